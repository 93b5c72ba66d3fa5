"""numba's front end alone: from typed Python to LLVM's code, function by function, with nothing optimised or made runnable on the way.

numba optimises each function when it is compiled and again in every function that calls it, and emits machine code of all of
them. What is compiled ahead is linked and optimised once, as a whole (ahead_of_time.py). numba has no switch for that: the methods
that would do it are replaced meanwhile, and what numba makes must not be called afterwards in the same process.
"""

import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils, codegen
from numba.core.registry import cpu_target
from numba.np import arrayobj

_WORDS = ir.IntType(64).as_pointer()


@contextmanager
def front_end_alone() -> Iterator[None]:
    """What numba compiles meanwhile is neither optimised nor loaded."""
    # numba's own runtime must be compiled, and loaded, as usual.
    numba.njit(lambda x: x)(1)

    def unoptimised(library: Any, module: Any) -> None:
        module.data_layout = library._codegen._data_layout

    def finalised(library: Any) -> None:
        library._finalized = True

    with (
        patch.object(codegen.CPUCodeLibrary, "_optimize_functions", unoptimised),
        patch.object(codegen.CPUCodeLibrary, "finalize", finalised),
        patch.object(codegen.JITCodeLibrary, "get_pointer_to_function", lambda library, name: 0),
        patch.object(codegen.JITCPUCodegen, "set_env", lambda self, name, env: None),
    ):
        yield


def modules_of(libraries: Iterable[Any]) -> list[Any]:
    """LLVM's modules of these code libraries and of all that they call, each once."""
    seen: dict[Any, None] = {}
    waiting = list(libraries)
    while waiting:
        library = waiting.pop()
        if library not in seen:
            seen[library] = None
            waiting += library._linking_libraries
    return [library._final_module for library in seen]


def compiled_entry(function: Any, symbol: str, number: str) -> tuple[list[str], Any, Any]:
    """The kinds of the flat values that an entry point takes (calls.Kind, as text), its code library, and the module of a C function
    ``symbol`` that takes them in three arrays and calls it."""
    hints = typing.get_type_hints(function.py_func, include_extras=True)
    hints.pop("return", None)
    argument_types = tuple(numba_type(hint, number) for hint in hints.values())
    function.compile(argument_types)
    result = function.overloads[argument_types]
    context = cpu_target.target_context
    module = context.create_module(symbol)
    wrapper = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORDS, ir.DoubleType().as_pointer(), _WORDS]), symbol)
    flat = _Flat(context, ir.IRBuilder(wrapper.append_basic_block()), wrapper.args, number)
    values = [flat.value(hint) for hint in hints.values()]
    callee_type = context.call_conv.get_function_type(result.fndesc.restype, result.fndesc.argtypes)
    callee = ir.Function(module, callee_type, result.fndesc.llvm_func_name)
    context.call_conv.call_function(flat.builder, callee, types.none, argument_types, values)
    flat.builder.ret_void()
    return flat.kinds, result.library, llvm.parse_assembly(cgutils.normalize_ir_text(str(module)))


def numba_type(hint: Any, number: str) -> Any:
    """numba's type for an annotation of an entry point."""
    plain = {int: types.int64, float: types.float64, bool: types.boolean}
    if hint in plain:
        return plain[hint]
    if typing.get_origin(hint) is typing.Annotated:
        element, *axes = hint.__metadata__
        scalar = types.boolean if element == "bool" else getattr(types, number if element == "number" else element)
        return types.Array(scalar, axes[0], "C") if axes else scalar
    if typing.get_origin(hint) is tuple:
        return types.Tuple(tuple(numba_type(part, number) for part in typing.get_args(hint)))
    parts = [numba_type(part, number) for part in typing.get_type_hints(hint, include_extras=True).values()]
    return types.BaseTuple.from_types(parts, hint)


class _Flat:
    """Takes an entry point's values from the three arrays, in the order of ``calls._flat``."""

    def __init__(self, context: Any, builder: Any, arrays: Any, number: str):
        self.context, self.builder, self.number = context, builder, number
        self.arrays = dict(zip(("whole", "floats", "pointers"), arrays, strict=True))
        self.counts = dict.fromkeys(self.arrays, 0)
        self.kinds: list[str] = []

    def value(self, hint: Any) -> Any:
        """The next value of that type."""
        kind = numba_type(hint, self.number)
        if isinstance(kind, types.Array):
            return self._array(kind)
        if isinstance(kind, types.BaseTuple):
            named = typing.get_origin(hint) is not tuple
            parts = typing.get_type_hints(hint, include_extras=True).values() if named else typing.get_args(hint)
            return self.context.make_tuple(self.builder, kind, [self.value(part) for part in parts])
        self.kinds.append("bool" if kind == types.boolean else str(kind))
        if kind == types.float64:
            return self._next("floats")
        if isinstance(kind, types.Complex):
            number = self.context.make_complex(self.builder, kind)
            number.real, number.imag = self._next("floats"), self._next("floats")
            return number._getvalue()
        word = self._next("whole")
        return cgutils.is_not_null(self.builder, word) if kind == types.boolean else word

    def _array(self, kind: Any) -> Any:
        self.kinds.append(f"{'bool' if kind.dtype == types.boolean else kind.dtype} {kind.ndim}")
        context, builder = self.context, self.builder
        shape = [self._next("whole") for _ in range(kind.ndim)]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        strides = [size]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(self._next("pointers"), context.get_data_type(kind.dtype).as_pointer())
        arrayobj.populate_array(array, data, cgutils.pack_array(builder, shape), cgutils.pack_array(builder, strides), size, meminfo=None)
        return array._getvalue()

    def _next(self, array: str) -> Any:
        at = self.counts[array]
        self.counts[array] += 1
        return self.builder.load(self.builder.gep(self.arrays[array], [ir.Constant(ir.IntType(64), at)]))
