"""Amorphous scattering of many pixels of a row at once, in vectors, with a bound on what differs from ``exact_pixel``.

What is worked out in another way than the reference's: one reciprocal of the airpath for all divisions by it, the polarization's
angle by its cosine and sine, vectors made unit vectors once, and the cubic with its products worked out before. Where the bound (see
``AmorphousTable``) leaves open to which single-precision number a pixel is to be rounded, ``exact_pixel`` decides.
"""

import math

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Singles2
from nanobragg_numba.kernels.arguments import BeamTable, DetectorTable
from nanobragg_numba.kernels.formulas import plane_position, polarization_frame
from nanobragg_numba.maths.vectors3 import dot

from .amorphous import exact_pixel, photons_of_sum, piece_of
from .amorphous_arguments import AmorphousTable

CHUNK = 256
"""Pixels of a row."""
ROWS = 10
"""Of work for a chunk."""
DX, DY, DZ, OMEGA, SUM, ERROR, S, WEIGHT, PIECE, OMEGAS = range(ROWS)
LAST_ROUNDINGS = 8.0 * 2.0**-53


@compiled
def fill_directions(fast, slow, sub_fast, sub_slow, detector, x, y, z, omegas, omega_sums):
    """Unit vectors to the sub-pixels from ``fast`` on, and their solid angles."""
    slow_distance = detector.subpixel_size * (slow * detector.oversample + sub_slow) + detector.subpixel_size / 2.0
    facing = 1.0 if detector.point_pixel else detector.pixel_size * detector.pixel_size * detector.close_distance
    for n in range(x.shape[0]):
        fast_distance = detector.subpixel_size * float((fast + n) * detector.oversample + sub_fast) + detector.subpixel_size / 2.0
        position = plane_position(fast_distance, slow_distance, 0.0, detector)
        inverse = 1.0 / math.sqrt(dot(position, position))
        x[n], y[n], z[n] = position[0] * inverse, position[1] * inverse, position[2] * inverse
        omega = facing * inverse * inverse
        omega = omega if detector.point_pixel else omega * inverse
        omegas[n] = omega
        omega_sums[n] += omega


@compiled
def fill_steps(incident, wavelength, weight, kahn, polarized, frame, x, y, z, omegas, s, weights):
    """sin(theta) / lambda of one source's ray to each sub-pixel, and what F^2 is to be multiplied with."""
    b_in, e_in = frame
    half = 0.5 / wavelength
    for n in range(x.shape[0]):
        dx, dy, dz = x[n] - incident[0], y[n] - incident[1], z[n] - incident[2]
        s[n] = half * math.sqrt(dx * dx + dy * dy + dz * dz)
        polar = 1.0
        if polarized:
            cosine = x[n] * incident[0] + y[n] * incident[1] + z[n] * incident[2]
            b = x[n] * b_in[0] + y[n] * b_in[1] + z[n] * b_in[2]
            e = x[n] * e_in[0] + y[n] * e_in[1] + z[n] * e_in[2]
            # b^2 + e^2 is the squared sine of two-theta, by which the reference multiplies cos(2 psi).
            polar = 0.5 * (1.0 + cosine * cosine - kahn * (e * e - b * b))
        weights[n] = polar * omegas[n] * weight


@compiled
def fill_steps_unpolarized(incident, wavelength, weight, polarized, x, y, z, omegas, s, weights):
    """The same without a polarized part."""
    half = 0.5 / wavelength
    share = 0.5 if polarized else 0.0
    base = 0.5 if polarized else 1.0
    for n in range(x.shape[0]):
        dx, dy, dz = x[n] - incident[0], y[n] - incident[1], z[n] - incident[2]
        s[n] = half * math.sqrt(dx * dx + dy * dy + dz * dz)
        cosine = x[n] * incident[0] + y[n] * incident[1] + z[n] * incident[2]
        weights[n] = (base + share * cosine * cosine) * omegas[n] * weight


@inlined
def find_pieces(s, points, pieces):
    """The piece of the table for each s."""
    piece = 1
    for n in range(s.shape[0]):
        piece = piece_of(s[n], points, piece)
        pieces[n] = piece


@compiled
def add_steps(s, weights, omegas, pieces, table, size, sums, errors):
    """Add F^2 times the weights to the sums, and what that may be wrong by to the errors; ``size``: of the source's weight."""
    data = table.pieces
    for n in range(s.shape[0]):
        at = np.int64(pieces[n])
        a, b, c, d = s[n] - data[at, 0], s[n] - data[at, 1], s[n] - data[at, 2], s[n] - data[at, 3]
        F = (data[at, 4] * b + data[at, 5] * a) * (c * d) + (data[at, 6] * d + data[at, 7] * c) * (a * b)
        magnitude_of_F = abs(F)
        sums[n] += magnitude_of_F * F * weights[n]
        errors[n] += magnitude_of_F * (magnitude_of_F * table.relative + data[at, 8]) * (abs(omegas[n]) * size)


@entry
def guarded_pixels(
    rows: tuple[int, int], work: Doubles2, window: tuple[int, int, int, int], detector: DetectorTable, beam: BeamTable,
    table: AmorphousTable, image: Singles2, solid_angles: Doubles1,
) -> None:  # fmt: skip
    """See ``amorphous_pixels``; for a flat detector and a table that ascends. ``work``: (``ROWS``, ``CHUNK``)."""
    width = window[1] - window[0]
    sources = beam.wavelengths.shape[0]
    each = detector.oversample * detector.oversample * sources
    axis = (beam.axes[0, 0], beam.axes[0, 1], beam.axes[0, 2])
    none = work[0, 0:0]
    for slow in range(rows[0], rows[1]):
        solid_angles[slow] = 0.0
        for fast in range(window[0], window[1], CHUNK):
            count = min(CHUNK, window[1] - fast)
            x, y, z, omegas = work[DX, :count], work[DY, :count], work[DZ, :count], work[OMEGA, :count]
            sums, errors, omega_sums = work[SUM, :count], work[ERROR, :count], work[OMEGAS, :count]
            s, weights, pieces = work[S, :count], work[WEIGHT, :count], work[PIECE, :count]
            for n in range(count):
                sums[n] = errors[n] = omega_sums[n] = 0.0
            for sub_slow in range(detector.oversample):
                for sub_fast in range(detector.oversample):
                    fill_directions(fast, slow, sub_fast, sub_slow, detector, x, y, z, omegas, omega_sums)
                    for source in range(sources):
                        incident = (beam.incident[source, 0], beam.incident[source, 1], beam.incident[source, 2])
                        weight = beam.weights[source]
                        if beam.polarized and beam.kahn != 0.0:
                            frame = polarization_frame(incident, axis)
                            fill_steps(incident, beam.wavelengths[source], weight, beam.kahn, True, frame, x, y, z, omegas, s, weights)
                        else:
                            fill_steps_unpolarized(incident, beam.wavelengths[source], weight, beam.polarized, x, y, z, omegas, s, weights)
                        find_pieces(s, table.s, pieces)
                        add_steps(s, weights, omegas, pieces, table, abs(weight), sums, errors)
            for n in range(count):
                value = photons_of_sum(sums[n], table)
                error = abs(photons_of_sum(errors[n], table)) + abs(value) * LAST_ROUNDINGS
                low, high = np.float32(value - error), np.float32(value + error)
                if low != high:
                    evaluation = ((slow - window[2]) * width + fast + n - window[0]) * each
                    exact, _, _ = exact_pixel(fast + n, slow, detector, beam, table, evaluation, 1, none)
                    low = np.float32(exact)
                image[slow, fast + n] = low
                solid_angles[slow] += omega_sums[n]
