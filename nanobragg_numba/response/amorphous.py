"""Amorphous scattering, pixel by pixel with the reference's operations in its order."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Singles2, Whole1
from nanobragg_numba.kernels.arguments import BeamTable, DetectorTable
from nanobragg_numba.kernels.exact import polarization_axis
from nanobragg_numba.kernels.formulas import half_length, polarization_factor, scattering_vector, solid_angle, subpixel_position
from nanobragg_numba.maths.vectors3 import magnitude, unit

from .amorphous_arguments import AmorphousTable

RECORDED = 4
"""Of each pixel's last step: s, polarization factor, solid angle, piece of the table."""


@inlined
def piece_of(s, points, piece):
    """The piece that holds ``s``, looked for from another: in a table that does not ascend, that says which one is found."""
    last = points.shape[0] - 1
    while piece < last and s > points[piece]:
        piece += 1
    while piece >= 2 and s < points[piece]:
        piece -= 1
    return piece


@inlined
def cubic_through_four(x, points, values, at):
    """Lagrange's cubic through the points ``at`` to ``at`` + 3."""
    a, b, c, d = points[at], points[at + 1], points[at + 2], points[at + 3]
    first = (x - b) * (x - c) * (x - d) * values[at] / ((a - b) * (a - c) * (a - d))
    second = (x - a) * (x - c) * (x - d) * values[at + 1] / ((b - a) * (b - c) * (b - d))
    third = (x - a) * (x - b) * (x - d) * values[at + 2] / ((c - a) * (c - b) * (c - d))
    return first + second + third + (x - a) * (x - b) * (x - c) * values[at + 3] / ((d - a) * (d - b) * (d - c))


@inlined
def photons_of_sum(total, table):
    """Photons of a pixel whose steps add up to ``total``."""
    return total * table.scales[0] * table.scales[1] * table.scales[2] / table.scales[3]


@compiled
def exact_pixel(slow, fast, detector, beam, table, evaluation, piece, record):
    """A pixel's photons (or F), the sum of its sub-pixels' solid angles, and the piece of the table that it ended in.

    ``evaluation``: how often the polarization factor was computed before. ``record``: see ``RECORDED``; may be empty.
    """
    total, solid_angles = 0.0, 0.0
    s = F = omega = 0.0
    polar = 1.0
    for sub_slow in range(detector.oversample):
        for sub_fast in range(detector.oversample):
            position = subpixel_position(slow, fast, sub_slow, sub_fast, 0, detector)
            airpath = magnitude(position)
            diffracted = unit(position)
            omega = solid_angle(airpath, detector)
            solid_angles += omega
            for source in range(beam.wavelengths.shape[0]):
                incident = (beam.incident[source, 0], beam.incident[source, 1], beam.incident[source, 2])
                s = half_length(scattering_vector(diffracted, incident, beam.wavelengths[source]))
                piece = piece_of(s, table.s, piece)
                F = cubic_through_four(s, table.s, table.F, piece - 1)
                if beam.polarized:
                    # The reference makes its arguments unit vectors again in place, and goes on with them.
                    diffracted = unit(diffracted)
                    polar = polarization_factor(beam.kahn, unit(incident), diffracted, polarization_axis(beam, evaluation))
                    evaluation += 1
                total += (-F if F < 0.0 else F) * F * polar * omega * beam.weights[source]
    if record.shape[0] > 0:
        record[0], record[1], record[2], record[3] = s, polar, omega, piece
    return F if table.plots_F else photons_of_sum(total, table), solid_angles, piece


@entry
def amorphous_pixels(
    rows: tuple[int, int], piece: Whole1, window: tuple[int, int, int, int], detector: DetectorTable, beam: BeamTable,
    table: AmorphousTable, image: Singles2, solid_angles: Doubles1, records: Doubles2,
) -> None:  # fmt: skip
    """The pixels of ``window`` in these rows; the sum of the solid angles of each row into ``solid_angles``.

    ``piece[0]``: of the table, where the search begins and where it ended. ``records`` (pixels, ``RECORDED``) may be empty.
    """
    width = window[1] - window[0]
    each = detector.oversample * detector.oversample * beam.wavelengths.shape[0]
    nothing = records[0, 0:0] if records.shape[0] > 0 else records[0:0, 0]
    found = piece[0]
    for slow in range(rows[0], rows[1]):
        summed = 0.0
        for fast in range(window[0], window[1]):
            evaluation = ((slow - window[2]) * width + fast - window[0]) * each
            record = records[slow * image.shape[1] + fast, :] if records.shape[0] > 0 else nothing
            value, solid, found = exact_pixel(slow, fast, detector, beam, table, evaluation, found, record)
            image[slow, fast] = np.float32(value)
            summed += solid
        solid_angles[slow] = summed
    piece[0] = found


@entry
def solid_angles_in_order(window: tuple[int, int, int, int], detector: DetectorTable, result: Doubles1) -> None:
    """Into ``result[0]``: the sum of the solid angles of all sub-pixels, added up one by one in the reference's order."""
    total = 0.0
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            for sub_slow in range(detector.oversample):
                for sub_fast in range(detector.oversample):
                    total += solid_angle(magnitude(subpixel_position(slow, fast, sub_slow, sub_fast, 0, detector)), detector)
    result[0] = total


@entry
def shifted_deviations(image: Singles2, window: tuple[int, int, int, int], mean: float, result: Doubles1) -> None:
    """Into ``result[0]``: the sum of the squared deviations from ``mean`` of the pixels that follow those of ``window``.

    The reference counts a pixel too early; behind the last pixel it finds a zero.
    """
    squares = 0.0
    height, width = image.shape
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            at = slow * width + fast + 1
            value = np.float64(image[at // width, at % width]) if at < height * width else 0.0
            difference = value - mean
            squares += difference * difference
    result[0] = squares
