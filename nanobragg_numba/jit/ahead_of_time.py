"""From the entry points to object code: what jit/stored_code.py keeps. Imports the compiler."""

import importlib
import typing
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from .cpu_features import cpu_features, cpu_name
from .decorators import ENTRIES
from .stored_code import SYMBOL

MODULES = (
    "kernels.exact",
    "simd.loop",
    "kernels.images",
    "kernels.random",
    "kernels.noise",
    "kernels.orientations",
    "kernels.text_numbers",
)
"""Where entry points stand."""
LIBRARY_FUNCTIONS = frozenset("sin cos tan exp log pow atan2 sqrt floor ceil trunc rint fma powf sincos memset memcpy memmove".split())
"""What the code may call outside itself: C's mathematics and memory."""
_SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.float64), types.CPointer(types.voidptr))


def compile_entries() -> tuple[dict[str, list[str]], bytes]:
    """What each entry point takes (see ``stored_code._Library``), and the object code of all.

    Raises RuntimeError if the code calls anything but C's mathematics: it could not be loaded without numba.
    """
    for module in MODULES:
        importlib.import_module(f"nanobragg_numba.{module}")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    kinds = {}
    whole = llvm.parse_assembly("")
    for name, function in sorted(ENTRIES.items()):
        kinds[name], wrapper = _wrapper(function)
        compiled = numba.cfunc(_SIGNATURE, error_model="numpy")(wrapper)
        whole.link_in(_with_one_symbol(compiled.inspect_llvm(), compiled.native_name, SYMBOL.format(name)))
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=cpu_name(), features=cpu_features(), opt=3, reloc="pic", codemodel="default")
    passes = llvm.create_new_module_pass_manager()
    # What a wrapper does about exceptions and reference counts is never reached; these passes see that and drop it.
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(whole, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    called = {f.name for f in whole.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if called - LIBRARY_FUNCTIONS:
        raise RuntimeError(f"compiled code calls {', '.join(sorted(called - LIBRARY_FUNCTIONS))}")
    return kinds, machine.emit_object(whole)


def _with_one_symbol(text: str, native_name: str, symbol: str) -> Any:
    """The module of that text, all of it private but one function, which gets the name ``symbol``."""
    module = llvm.parse_assembly(text)
    for value in (*module.functions, *module.global_variables):
        if value.is_declaration:
            continue
        value.linkage = "external" if value.name == native_name else "internal"
    module.get_function(native_name).name = symbol
    return module


def _wrapper(function: Any) -> tuple[list[str], Callable[..., None]]:
    """The kinds of the flat values that ``function`` takes, and a function that takes them in three arrays and calls it."""
    hints = typing.get_type_hints(function.py_func, include_extras=True)
    hints.pop("return", None)
    flat = _Flat({"function": function, "carray": numba.carray, "bool": np.bool_})
    arguments = ", ".join(flat.expression(hint) for hint in hints.values())
    exec(f"def wrapper(whole, floats, pointers):\n    function({arguments})", flat.names)
    return flat.kinds, flat.names["wrapper"]


class _Flat:
    """Counts the places in the three arrays as parameters take them, in the order of ``stored_code._flattened``."""

    def __init__(self, names: dict[str, Any]):
        self.names = names
        self.kinds: list[str] = []
        self.counts = {"whole": 0, "floats": 0, "pointers": 0}

    def expression(self, hint: Any) -> str:
        """The text that makes a value of type ``hint`` from its places."""
        if hint is int:
            return self._scalar("int64", "whole")
        if hint is float:
            return self._scalar("float64", "floats")
        if hint is bool:
            return f"({self._scalar('bool', 'whole')} != 0)"
        if typing.get_origin(hint) is typing.Annotated:
            element, axes = hint.__metadata__
            self.kinds.append(f"{element} {axes}")
            self.names[element] = np.dtype(element).type
            pointer = self._place("pointers")
            shape = "".join(self._place("whole") + ", " for _ in range(axes))
            return f"carray({pointer}, ({shape}), {element})"
        if typing.get_origin(hint) is tuple:
            return f"({''.join(self.expression(part) + ', ' for part in typing.get_args(hint))})"
        # A named tuple.
        self.names[hint.__name__] = hint
        return f"{hint.__name__}({', '.join(self.expression(part) for part in typing.get_type_hints(hint, include_extras=True).values())})"

    def _scalar(self, kind: str, array: str) -> str:
        self.kinds.append(kind)
        return self._place(array)

    def _place(self, array: str) -> str:
        self.counts[array] += 1
        return f"{array}[{self.counts[array] - 1}]"
