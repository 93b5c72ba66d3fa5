"""The work array of the vector loops: one row of doubles for each quantity of a chunk of pixels."""

from typing import Any, NamedTuple

from numba import types
from numba.core import cgutils, imputils
from numba.extending import intrinsic
from numba.np import arrayobj

from nanobragg_numba.jit.decorators import inlined

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
    """For the search of kernels/reach."""


@intrinsic
def of_work_shape(typing_context, work):  # type: ignore[no-untyped-def]
    """The work array with its shape as a constant: then the compiler knows that rows do not overlap, and needs no checks."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.return_type)(context, builder, values[0])
        rows, pixels = WORK_SHAPE
        array.shape = cgutils.pack_array(builder, [context.get_constant(types.intp, n) for n in (rows, pixels)])
        array.strides = cgutils.pack_array(builder, [context.get_constant(types.intp, n) for n in (8 * pixels, 8)])
        return imputils.impl_ret_borrowed(context, builder, signature.return_type, array._getvalue())

    return work(work), generate


@intrinsic
def in_one_row(typing_context, array):  # type: ignore[no-untyped-def]
    """A contiguous array of doubles with all its values in one row, without the checks of ``reshape``, which can raise."""
    flat = types.Array(types.float64, 1, "C")

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        given = context.make_array(signature.args[0])(context, builder, values[0])
        result = context.make_array(flat)(context, builder)
        size = context.get_constant(types.intp, 8)
        shape, strides = cgutils.pack_array(builder, [given.nitems]), cgutils.pack_array(builder, [size])
        arrayobj.populate_array(result, given.data, shape, strides, size, given.meminfo)
        return imputils.impl_ret_borrowed(context, builder, flat, result._getvalue())

    return flat(array), generate


@inlined
def rows_of(work):
    """The rows of a work array."""
    w = of_work_shape(work)
    return Rows(
        w[0:3], w[3], w[4:7], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15], w[16], w[17:20], w[20], w[21], w[22], w[23],
        w[24], w[25], in_one_row(w[26:30]), w[30:34], w[34:38], w[38], w[39], w[40], w[41:44],
    )  # fmt: skip
