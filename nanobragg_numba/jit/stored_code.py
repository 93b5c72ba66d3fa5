"""Libraries of compiled code, kept as files between runs, so that a warm start does without the compiler.

A file is named by its library and by all that its code depends on: the versions of numba and llvmlite, the processor, the
settings that change code, and the sources it is compiled from. Where there is none, a process of its own makes it
(ahead_of_time.py), and others at the same time; where that fails, numba compiles the same entry points here (by_numba.py).
docs/compiled-code.md says it in full.
"""

import ctypes
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numpy as np

from .cache_folder import CACHE_FOLDER, USUAL_FOLDER, mark_used, remove_what_nothing_uses
from .calls import Compiled, Kind
from .cpu_features import cpu_features, cpu_name

if TYPE_CHECKING:
    from .entries import Entry, Library

SYMBOL = "nanobragg_{}"
SETTINGS = ("NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE")
"""numba's settings that are heeded, beside those that name the processor."""
_PACKAGE = Path(__file__).parent.parent
_CHECKSUM = hashlib.sha256
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_loading = threading.RLock()
_ready: dict[str, dict[str, Compiled]] = {}
"""The entry points of each library that is loaded."""


def loaded(entry: "Entry") -> Compiled:
    """The entry point, ready to be called; compiled first, if it must be."""
    ready = _ready.get(entry.library.name)
    if ready is None:
        with _loading:
            ready = _ready.get(entry.library.name) or _load(entry)
            _ready[entry.library.name] = ready
    return ready[entry.function]


def _load(entry: "Entry") -> dict[str, Compiled]:
    stored = _stored(entry.library)
    if stored is not None:
        return stored
    from . import by_numba, compilation

    path, failure = compilation.result(entry)
    content = content_of(path) if failure is None else None
    if content is None:
        return by_numba.entry_points(entry.library, failure or "the file with the code is damaged")
    return _linked(entry.library.name, content)


def _stored(library: "Library") -> dict[str, Compiled] | None:
    """The library as kept for this processor; None if there is none or it is damaged."""
    for path in places(library):
        content = content_of(path)
        if content is not None:
            mark_used(path)
            with suppress(Exception):
                return _linked(library.name, content)
    return None


def places(library: "Library") -> list[Path]:
    """Where the library's file is looked for; the first is where this process writes it."""
    name = file_name(library, cpu_name(), cpu_features())
    named = file_name(library, cpu_name(), "")
    return [folder / file for file in dict.fromkeys((name, named)) for folder in dict.fromkeys((CACHE_FOLDER, USUAL_FOLDER))]


def is_kept(library: "Library") -> bool:
    """Whether the library need not be compiled."""
    return library.name in _ready or any(path.is_file() for path in places(library))


def file_name(library: "Library", cpu: str, features: str) -> str:
    """The file for that processor; empty ``features``: what its name implies."""
    settings = [os.environ.get(name, "") for name in SETTINGS]
    key = hashlib.sha256("\n".join([_versions(), cpu, features, library.number, *settings, _sources(library.rooms)]).encode())
    return f"{library.name}-{key.hexdigest()[:20]}.code"


@cache
def _versions() -> str:
    """Version strings of the compilers, without importing them."""
    texts = [f"python {sys.version_info[0]}.{sys.version_info[1]}"]
    for package in ("numba", "llvmlite"):
        found = importlib.util.find_spec(package)
        try:
            texts.append((Path(found.origin or "").parent / "_version.py").read_text() if found is not None else "")
        except OSError:
            from importlib.metadata import version

            texts.append(version(package))
    return "\n".join(texts)


@cache
def _sources(rooms: tuple[str, ...]) -> str:
    """A hash of the sources of compiled modules."""
    digest = hashlib.sha256()
    for room in ("jit", "maths", *rooms):
        for folder, _, files in sorted(os.walk(_PACKAGE / room)):
            for name in sorted(files):
                if name.endswith(".py"):
                    digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()


def content_of(path: Path) -> bytes | None:
    """What ``keep`` put into the file; None if there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    size = _CHECKSUM().digest_size
    return content[size:] if content[:size] == _CHECKSUM(content[size:]).digest() else None


def keep(path: Path, content: bytes) -> None:
    """Put the content into the file, whole or not at all. Raises OSError."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(_CHECKSUM(content).digest() + content)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        os.replace(beside, path)
    finally:
        with suppress(OSError):
            beside.unlink()
    remove_what_nothing_uses(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks; a process that dies lets go."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    library = path.name.split("-")[0]
    with open(path.with_name(f"{library}.lock"), "w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _linked(name: str, content: bytes) -> dict[str, Compiled]:
    kinds, code = unpacked(content)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    jit = _linker()
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for function in kinds:
        builder.export_symbol(SYMBOL.format(function))
    tracker = builder.link(jit, f"{name} {len(_kept_loaded)}")
    _kept_loaded.append(tracker)
    return {
        function: Compiled(function, _PROTOTYPE(tracker[SYMBOL.format(function)]), [_parsed(kind) for kind in kinds[function]])
        for function in kinds
    }


_kept_loaded: list[Any] = []


@cache
def _linker() -> Any:
    return llvm.create_lljit_compiler()


def packed(kinds: dict[str, list[str]], code: bytes) -> bytes:
    """A file's content: a line for each entry point with the kinds of the values it takes, an empty line, the object code."""
    lines = [f"{name}: {', '.join(values)}\n" for name, values in kinds.items()]
    return "".join(lines).encode() + b"\n" + code


def unpacked(content: bytes) -> tuple[dict[str, list[str]], bytes]:
    """What was packed."""
    header, _, code = content.partition(b"\n\n")
    lines = (line.partition(": ") for line in header.decode().splitlines())
    return {name: kinds.split(", ") for name, _, kinds in lines}, code


def _parsed(kind: str) -> Kind:
    element, _, axes = kind.partition(" ")
    return (np.dtype(element), int(axes)) if axes else element
