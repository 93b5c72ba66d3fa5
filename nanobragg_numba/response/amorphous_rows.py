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
from nanobragg_numba.kernels.noise import place
from nanobragg_numba.maths.vectors3 import dot
from nanobragg_numba.simd.error_bound import WORK_SHAPE
from nanobragg_numba.simd.work_rows import of_work_shape

from .amorphous import exact_pixel, photons_of_sum
from .amorphous_arguments import AmorphousTable

DX, DY, DZ, OMEGA, SUM, ERROR, S, WEIGHT, FACTOR, SLACK, OMEGAS, LEAST, MOST = range(13)
"""Rows of the work array: unit vector to a sub-pixel, its solid angle, sums of F^2 and their errors, sin(theta) / lambda, what F^2 is
multiplied with, F and its error, sums of the solid
angles, a pixel's bounds."""
CHUNK = WORK_SHAPE[1]
"""Pixels of a row."""
LAST_ROUNDINGS = 8.0 * 2.0**-53


@compiled
def begin_chunk(count, work):
    """Nothing is summed yet."""
    w = of_work_shape(work)
    sums, errors, omegas = w[SUM], w[ERROR], w[OMEGAS]
    for n in range(count):
        sums[n] = errors[n] = omegas[n] = 0.0


@compiled
def fill_directions(count, work, slow, fast, sub_slow, sub_fast, detector):
    """Unit vectors to the sub-pixels from ``fast`` on, and their solid angles."""
    w = of_work_shape(work)
    x, y, z, omegas, omega_sums = w[DX], w[DY], w[DZ], w[OMEGA], w[OMEGAS]
    slow_distance = detector.subpixel_size * (slow * detector.oversample + sub_slow) + detector.subpixel_size / 2.0
    facing = 1.0 if detector.point_pixel else detector.pixel_size * detector.pixel_size * detector.close_distance
    for n in range(count):
        fast_distance = detector.subpixel_size * float((fast + n) * detector.oversample + sub_fast) + detector.subpixel_size / 2.0
        position = plane_position(fast_distance, slow_distance, 0.0, detector)
        inverse = 1.0 / math.sqrt(dot(position, position))
        x[n], y[n], z[n] = position[0] * inverse, position[1] * inverse, position[2] * inverse
        omega = facing * inverse * inverse * (1.0 if detector.point_pixel else inverse)
        omegas[n] = omega
        omega_sums[n] += omega


@compiled
def fill_steps(count, work, incident, wavelength, weight, base, share):
    """sin(theta) / lambda of one source's ray to each sub-pixel, and what F^2 is to be multiplied with, for an unpolarized beam.

    The polarization factor is ``base`` plus ``share`` times the squared cosine of two-theta.
    """
    w = of_work_shape(work)
    x, y, z, omegas, s, weights = w[DX], w[DY], w[DZ], w[OMEGA], w[S], w[WEIGHT]
    half = 0.5 / wavelength
    for n in range(count):
        dx, dy, dz = x[n] - incident[0], y[n] - incident[1], z[n] - incident[2]
        s[n] = half * math.sqrt(dx * dx + dy * dy + dz * dz)
        cosine = x[n] * incident[0] + y[n] * incident[1] + z[n] * incident[2]
        weights[n] = (base + share * cosine * cosine) * omegas[n] * weight


@compiled
def polarize(count, work, weight, kahn, frame):
    """Take the polarized part off what F^2 is to be multiplied with."""
    w = of_work_shape(work)
    x, y, z, omegas, weights = w[DX], w[DY], w[DZ], w[OMEGA], w[WEIGHT]
    b_in, e_in = frame
    half = 0.5 * kahn * weight
    for n in range(count):
        b = x[n] * b_in[0] + y[n] * b_in[1] + z[n] * b_in[2]
        e = x[n] * e_in[0] + y[n] * e_in[1] + z[n] * e_in[2]
        # b^2 + e^2 is the squared sine of two-theta, by which the reference multiplies cos(2 psi).
        weights[n] -= half * (e * e - b * b) * omegas[n]


@inlined
def factor_at(x, at, pieces):
    """The cubic of piece ``at``."""
    i = place(at)
    t = x - pieces[i, 0]
    return ((pieces[i, 4] * t + pieces[i, 3]) * t + pieces[i, 2]) * t + pieces[i, 1], pieces[i, 5]


@compiled
def fill_factors(count, work, table):
    """F at each s, and the largest error of F^2 over F."""
    w = of_work_shape(work)
    s, factors, slacks = w[S], w[FACTOR], w[SLACK]
    points, cells, pieces, cells_per_s = table.s, table.cells, table.pieces, table.cells_per_s
    last = place(cells.shape[0] - 1)
    if table.crowded:
        for n in range(count):
            at = np.int64(cells[min(place(np.int64(s[n] * cells_per_s)), last)])
            while s[n] >= points[place(at + 1)]:
                at += 1
            factors[n], slacks[n] = factor_at(s[n], at, pieces)
        return
    for n in range(count):
        # Unsigned: what is no number goes to the last.
        at = np.int64(cells[min(place(np.int64(s[n] * cells_per_s)), last)])
        at += 1 if s[n] >= points[place(at + 1)] else 0
        factors[n], slacks[n] = factor_at(s[n], at, pieces)


@compiled
def fill_values(count, work, table):
    """From sums and errors to photons: the least and the most that each pixel may be rounded from."""
    w = of_work_shape(work)
    sums, errors, least, most = w[SUM], w[ERROR], w[LEAST], w[MOST]
    for n in range(count):
        value = photons_of_sum(sums[n], table)
        error = abs(photons_of_sum(errors[n], table)) + abs(value) * LAST_ROUNDINGS
        least[n], most[n] = value - error, value + error


@compiled
def add_steps(count, work, relative, size):
    """Add F^2 times the weights to the sums, and what that may be wrong by to the errors; ``size``: of the source's weight."""
    w = of_work_shape(work)
    omegas, factors, weights, sums, errors, slacks = w[OMEGA], w[FACTOR], w[WEIGHT], w[SUM], w[ERROR], w[SLACK]
    for n in range(count):
        magnitude_of_F = abs(factors[n])
        sums[n] += magnitude_of_F * factors[n] * weights[n]
        errors[n] += magnitude_of_F * (magnitude_of_F * relative + slacks[n]) * (abs(omegas[n]) * size)


@entry
def guarded_pixels(
    rows: tuple[int, int], work: Doubles2, window: tuple[int, int, int, int], detector: DetectorTable, beam: BeamTable,
    table: AmorphousTable, image: Singles2, solid_angles: Doubles1,
) -> None:  # fmt: skip
    """See ``amorphous_pixels``; for a flat detector and a table that ascends. ``work``: of ``WORK_SHAPE``."""
    width = window[1] - window[0]
    sources = beam.wavelengths.shape[0]
    each = detector.oversample * detector.oversample * sources
    axis = (beam.axes[0, 0], beam.axes[0, 1], beam.axes[0, 2])
    base, share = (0.5, 0.5) if beam.polarized else (1.0, 0.0)
    none = work[0, 0:0]
    for slow in range(rows[0], rows[1]):
        solid_angles[slow] = 0.0
        for fast in range(window[0], window[1], CHUNK):
            count = min(CHUNK, window[1] - fast)
            begin_chunk(count, work)
            for sub_slow in range(detector.oversample):
                for sub_fast in range(detector.oversample):
                    fill_directions(count, work, slow, fast, sub_slow, sub_fast, detector)
                    for source in range(sources):
                        incident = (beam.incident[source, 0], beam.incident[source, 1], beam.incident[source, 2])
                        weight = beam.weights[source]
                        fill_steps(count, work, incident, beam.wavelengths[source], weight, base, share)
                        if beam.polarized and beam.kahn != 0.0:
                            polarize(count, work, weight, beam.kahn, polarization_frame(incident, axis))
                        fill_factors(count, work, table)
                        add_steps(count, work, table.relative, abs(weight))
            fill_values(count, work, table)
            for n in range(count):
                low, high = np.float32(work[LEAST, n]), np.float32(work[MOST, n])
                if low != high:
                    evaluation = ((slow - window[2]) * width + fast + n - window[0]) * each
                    exact, _, _ = exact_pixel(slow, fast + n, detector, beam, table, evaluation, 1, none)
                    low = np.float32(exact)
                image[slow, fast + n] = low
                solid_angles[slow] += work[OMEGAS, n]
