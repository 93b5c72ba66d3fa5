"""Arrays of compiled code seen as others over the same memory: no checks that could raise, no references counted, nothing copied."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, imputils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array


def _viewed(context: Any, builder: Any, signature: Any, value: Any, first: Any, shape: list[Any] | None) -> Any:
    """The array ``value`` as one of the signature's type that begins at element ``first`` of the memory: contiguous with a ``shape``,
    else with its own shape and strides."""
    given = context.make_array(signature.args[0])(context, builder, value)
    kind = signature.return_type
    lengths, strides = given.shape, given.strides
    if shape is not None:
        steps = [context.get_constant(types.intp, 8)]
        for length in shape[:0:-1]:
            steps.insert(0, builder.mul(steps[0], length))
        lengths, strides = cgutils.pack_array(builder, shape), cgutils.pack_array(builder, steps)
    data = builder.bitcast(builder.gep(given.data, [first]), context.get_value_type(kind.dtype).as_pointer())
    result = context.make_array(kind)(context, builder)
    populate_array(result, data, lengths, strides, given.itemsize, given.meminfo)
    return imputils.impl_ret_borrowed(context, builder, kind, result._getvalue())


_START = ir.Constant(ir.IntType(64), 0)


def of_shape(shape: tuple[int, ...], number: Any = types.float64) -> Any:
    """An intrinsic: an array of doubles at least that large with ``shape`` as a constant, so that the compiler knows that rows do not
    overlap, and needs no checks. With int64 as ``number``, the same bits as whole numbers."""
    kind = types.Array(number, len(shape), "C")

    @intrinsic
    def view(typing_context, array):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            lengths = [context.get_constant(types.intp, n) for n in shape]
            return _viewed(context, builder, signature, values[0], _START, lengths)

        return kind(array), generate

    return view


@intrinsic
def in_one_row(typing_context, array):  # type: ignore[no-untyped-def]
    """A contiguous array of doubles with all its values in one row."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        given = context.make_array(array)(context, builder, values[0])
        return _viewed(context, builder, signature, values[0], _START, [given.nitems])

    return types.Array(types.float64, 1, "C")(array), generate


@intrinsic
def from_column(typing_context, array, first):  # type: ignore[no-untyped-def]
    """A contiguous array as if all its rows began at that column."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        return _viewed(context, builder, signature, values[0], values[1], None)

    return array(array, types.intp), generate
