"""The work array of the vector loops: one row of doubles for each quantity of a chunk of pixels."""

from typing import Any, NamedTuple

from numba import types

from nanobragg_numba.jit.decorators import inlined
from nanobragg_numba.kernels.array_views import in_one_row, of_shape

from .error_bound import WORK_SHAPE


class Rows(NamedTuple):
    """One row (pixels,), or three, for each quantity; the sums' names are those of docs/error-bound.md."""

    direction: Any
    """(3, pixels): unit vectors to the sub-pixels."""
    airpath: Any
    scattering: Any
    """(3, pixels)."""
    live: Any
    """1 where the mask lets the pixel be computed, else 0."""
    keep: Any
    """1 where it is also within the resolution limit at this source, else 0."""
    omega: Any
    polar: Any
    capture: Any
    omega_sum: Any
    """The sum of the solid angles of all sub-pixels and layers."""
    total: Any
    """The running sum of intensities, then the pixel's value."""
    error: Any
    """The running sum of what the relative bound does not cover; infinite where the exact engine must decide."""
    part: Any
    part_error: Any
    """The same two for one source."""
    hkl: Any
    """(3, pixels): h, k, l of one step."""
    square: Any
    """Squared lattice factor, then intensity, of one step."""
    slack: Any
    """Absolute error of ``square``."""
    present: Any
    """0 where the reference leaves the step because its lattice factor is zero, else 1."""
    place: Any
    """Index of its structure factor in the flat table, or -1."""
    cell: Any
    """Structure factor of one step."""
    inside: Any
    """1 where the step is far enough inside the table to interpolate, else 0."""
    corners: Any
    """(4 pixels,): the four values around a step on one line of the table, of one pixel after the other."""
    lines: Any
    """(4, pixels): values on four lines of a plane of the table."""
    planes: Any
    """(4, pixels): values on four planes."""
    margin: Any
    """Bound on the difference of the pixel's value from the reference's."""
    unsure: Any
    """1 where the exact engine must decide, else 0."""
    row_omega: Any
    """The sum of ``omega_sum`` over the chunks of a row of the image."""
    search: Any
    """For the search of kernels/reach, and ..."""
    chosen: Any
    """... int64, the steps that it finds for one source."""


of_work_shape = of_shape(WORK_SHAPE)
_whole_row = of_shape(WORK_SHAPE[1:], types.int64)


@inlined
def rows_of(work):
    """The rows of a work array."""
    w = of_work_shape(work)
    return Rows(
        w[0:3], w[3], w[4:7], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15], w[16], w[17:20], w[20], w[21], w[22], w[23],
        w[24], w[25], in_one_row(w[26:30]), w[30:34], w[34:38], w[38], w[39], w[40], w[41:44], _whole_row(w[44]),
    )  # fmt: skip
