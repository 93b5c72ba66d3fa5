"""Runs the compiled kernels from object code kept between runs, so that a warm start does without the compiler.

All entry points (``compiled.entry``) are compiled together, once for these sources, this compiler and this processor, and kept
in one file. LLVM links it into the process, and ctypes, which lets other Python threads run meanwhile, calls it.
"""

import ctypes
import hashlib
import json
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np

from .cache_folder import CACHE_FOLDER, USUAL_FOLDER
from .cpu_features import cpu_features, cpu_name

SYMBOL = "nanobragg_{}"
announce_compilation: Callable[[], None] = lambda: None  # noqa: E731
"""Called before the kernels are compiled, which takes a while."""
_COMPILER_SETTINGS = ("NUMBA_OPT", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE", "NUMBA_DISABLE_INTEL_SVML", "NUMBA_ENABLE_AVX")
_CHECKSUM = hashlib.sha256
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_WHOLE: dict[str, Any] = {"bool": (bool, np.bool_), "int64": (int, np.integer)}
_loading = threading.Lock()
_library: "_Library | None" = None


class _Library(NamedTuple):
    functions: dict[str, Any]
    kinds: dict[str, list[Any]]
    """What each entry point takes, flat: ``int64``, ``float64``, ``bool`` or, for an array, its type and number of axes."""
    code: Any
    """Keeps the code loaded."""


class _Arguments(NamedTuple):
    whole: np.ndarray
    floats: np.ndarray
    pointers: np.ndarray
    kept: list[Any]
    """The arrays that the pointers lead to: they must outlive a thread that still computes behind an interrupt."""


def stored_file(folder: Path = CACHE_FOLDER) -> Path:
    """The file with the object code for this processor."""
    settings = [os.environ.get(name, "") for name in _COMPILER_SETTINGS]
    key = hashlib.sha256("\n".join([cpu_name(), cpu_features(), *settings]).encode())
    return folder / f"kernels-{key.hexdigest()[:16]}.code"


def run(name: str, *arguments: Any) -> None:
    """Call the entry point of that name."""
    library = _loaded()
    given = _flattened(name, library.kinds[name], arguments)
    library.functions[name](given.whole.ctypes.data, given.floats.ctypes.data, given.pointers.ctypes.data)


def run_rows(name: str, rows: tuple[int, int], threads: int, work: tuple[int, int], *arguments: Any) -> None:
    """Call the entry point ``name(rows, work, *arguments)`` for a few rows at a time, from several threads, until all are done.

    With 0 threads, for what is done before a thread would have started, the calling one does it. Each thread has an
    array of shape ``work`` (float64) of its own. An interrupt ends the wait at once; the threads stop behind the rows
    that they are at.
    """
    library = _loaded()
    function = library.functions[name]
    given = _flattened(name, library.kinds[name], (rows, np.empty((0, 0)), *arguments))
    first, last = rows
    threads = min(threads, last - first)
    size = max(1, (last - first) // (32 * threads or 1))
    starts = iter(range(first, last, size))
    taking = threading.Lock()

    def next_start() -> int | None:
        with taking:
            return next(starts, None)

    failures: list[BaseException] = []

    def compute() -> None:
        try:
            compute_rows()
        except BaseException as error:
            failures.append(error)

    def compute_rows() -> None:
        own_work = np.empty(work)
        whole, pointers = given.whole.copy(), given.pointers.copy()
        whole[2:4] = work
        pointers[0] = own_work.ctypes.data
        addresses = whole.ctypes.data, given.floats.ctypes.data, pointers.ctypes.data
        while (start := next_start()) is not None:
            whole[:2] = start, min(start + size, last)
            function(*addresses)

    if threads <= 0:
        compute_rows()
        return
    # Not in the main thread, which an interrupt could not reach while it computes.
    workers = [threading.Thread(target=compute, daemon=True) for _ in range(threads)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except BaseException:
        starts = iter(())
        raise
    if failures:
        raise failures[0]


def _flattened(name: str, kinds: Sequence[Any], arguments: Any) -> _Arguments:
    whole: list[int] = []
    floats: list[float] = []
    pointers: list[int] = []
    leaves = list(_leaves(arguments))
    if len(leaves) != len(kinds):
        raise TypeError(f"{name} takes {len(kinds)} values, not {len(leaves)}")
    for at, (kind, leaf) in enumerate(zip(kinds, leaves, strict=True)):
        if kind == "float64" and isinstance(leaf, float | int | np.floating):
            floats.append(float(leaf))
        elif isinstance(leaf, _WHOLE.get(kind, ())):
            whole.append(int(leaf))
        elif isinstance(leaf, np.ndarray) and kind == (leaf.dtype, leaf.ndim) and leaf.flags.c_contiguous:
            pointers.append(leaf.ctypes.data)
            whole.extend(leaf.shape)
        else:
            what = f"array of {leaf.dtype}, {leaf.ndim} axes" if isinstance(leaf, np.ndarray) else repr(leaf)
            raise TypeError(f"{name}: value {at} must be {kind}, contiguous, not {what}")
    return _Arguments(np.array(whole, np.int64), np.array(floats), np.array(pointers, np.uintp), leaves)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _loaded() -> _Library:
    global _library
    if _library is None:
        with _loading:
            if _library is None:
                _library = _read_library() or _compile_library()
    return _library


def _read_library() -> _Library | None:
    """The stored code; None if there is none or it is damaged."""
    return next(filter(None, map(_library_in, dict.fromkeys((CACHE_FOLDER, USUAL_FOLDER)))), None)


def _library_in(folder: Path) -> _Library | None:
    try:
        content = stored_file(folder).read_bytes()
    except OSError:
        return None
    size = _CHECKSUM().digest_size
    if content[:size] != _CHECKSUM(content[size:]).digest():
        return None
    header, _, code = content[size:].partition(b"\n")
    return _link(json.loads(header), code)


def _compile_library() -> _Library:
    announce_compilation()
    from .ahead_of_time import compile_entries

    try:
        kinds, code = compile_entries()
    except (pickle.UnpicklingError, EOFError):
        # The compiler's own cache is damaged.
        for damaged in CACHE_FOLDER.rglob("*.nb[ic]"):
            damaged.unlink()
        kinds, code = compile_entries()
    library = _link(kinds, code)
    content = json.dumps(kinds).encode() + b"\n" + code
    target = stored_file()
    beside = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(_CHECKSUM(content).digest() + content)
        os.replace(beside, target)
    except OSError:
        # Then the next run compiles again.
        try:
            beside.unlink()
        except OSError:
            pass
    return library


def _link(kinds: dict[str, list[str]], code: bytes) -> _Library:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    jit = llvm.create_lljit_compiler()
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in kinds:
        builder.export_symbol(SYMBOL.format(name))
    tracker = builder.link(jit, "kernels")
    functions = {name: _PROTOTYPE(tracker[SYMBOL.format(name)]) for name in kinds}
    return _Library(functions, {name: [_parsed(kind) for kind in kinds[name]] for name in kinds}, (jit, tracker))


def _parsed(kind: str) -> str | tuple[np.dtype[Any], int]:
    element, _, axes = kind.partition(" ")
    return (np.dtype(element), int(axes)) if axes else element
