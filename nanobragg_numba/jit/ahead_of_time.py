"""From a library's entry points to object code, in a process of its own: ``python -m nanobragg_numba.jit.ahead_of_time``.

Imports the compiler.
"""

import gc
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from . import decorators, stored_code
from .cpu_features import cpu_name, features_of_code, is_on
from .entries import ENTRIES, Library

LIBRARY_FUNCTIONS = frozenset(
    "sin cos tan sinh cosh hypot exp log pow atan2 sqrt floor ceil trunc rint fma powf sincos memset memcpy memmove".split()
)
"""What the code may call outside itself: C's mathematics and memory."""


OURS = "_ZN15nanobragg_numba"
"""What the names of our functions begin with in LLVM's code."""


class NotAloneError(RuntimeError):
    """The code calls something that is not there without numba."""


def object_code(library: Library) -> tuple[dict[str, list[str]], bytes]:
    """What each entry point takes (calls.Kind, as text), and the object code of all. Raises NotAloneError."""
    from .front_end import compiled_entry, front_end_alone, modules_of

    kinds: dict[str, list[str]] = {}
    libraries, modules = [], []
    with front_end_alone():
        for entry in ENTRIES[library.name]:
            function = getattr(importlib.import_module(entry.module), entry.function)
            kinds[entry.function], made, wrapper = compiled_entry(function, stored_code.SYMBOL.format(entry.function), library.number)
            libraries.append(made)
            modules.append(wrapper)
        modules += modules_of(libraries)
        whole = modules.pop(0)
        for module in modules:
            # Kept: the next library may have it too.
            whole.link_in(module, preserve=True)
    return kinds, _optimised(whole, [stored_code.SYMBOL.format(name) for name in kinds])


def _optimised(module: Any, symbols: Sequence[str]) -> bytes:
    """Object code of the module, all of it private but the functions of those names."""
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration:
            value.linkage = "external" if value.name in symbols else "internal"
    for function in module.functions:
        # A loop over pixels becomes vector instructions in a function of its own, where little can overlap.
        if function.name.startswith(OURS) and not function.is_declaration and b"alwaysinline" not in b" ".join(function.attributes):
            function.add_function_attribute("noinline")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=cpu_name(), features=features_of_code(), opt=3, reloc="pic", codemodel="default")
    module.data_layout = str(machine.target_data)
    full = llvm.create_pipeline_tuning_options(speed_level=3)
    full.loop_vectorization, full.slp_vectorization = is_on("NUMBA_LOOP_VECTORIZE", True), is_on("NUMBA_SLP_VECTORIZE", False)
    builder = llvm.create_pass_builder(machine, full)
    passes = builder.getModulePassManager()
    # What is left of exceptions and reference counts is never reached; these passes see that and drop it.
    passes.add_ipsccp_pass()
    passes.add_simplify_cfg_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(module, builder)
    called = {f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")}
    if called - LIBRARY_FUNCTIONS:
        raise NotAloneError(f"compiled code calls {', '.join(sorted(called - LIBRARY_FUNCTIONS))}")
    return bytes(machine.emit_object(module))


def compile_into(name: str, declared_in: str, target: Path) -> None:
    """Compile the library of that name, declared in that module, into the file, unless another process does."""
    importlib.import_module(declared_in)
    with stored_code.locked(target):
        if stored_code.content_of(target) is None:
            kinds, code = object_code(ENTRIES[name][0].library)
            stored_code.keep(target, stored_code.packed(kinds, code))


def main(words: Sequence[str]) -> None:
    """Compile libraries one after another, three words each: name, module that declares it, file.

    Writes one line for each to standard output, as soon as it is finished: its name and, if it failed, why.
    """
    # What the compiler makes, it keeps.
    gc.disable()
    decorators.compile_ahead()
    for name, declared_in, target in zip(words[::3], words[1::3], words[2::3], strict=True):
        failure = ""
        try:
            compile_into(name, declared_in, Path(target))
        except Exception as error:
            failure = f" {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        print(name + failure, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
