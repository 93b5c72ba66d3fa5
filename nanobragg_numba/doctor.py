"""``python -m nanobragg_numba.doctor``: what this installation runs on, and what is wrong with any of it."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("numba", "llvmlite", "numpy", "fabio", "pillow", "torch", "numba-cuda")


def _versions() -> Iterator[tuple[str, str]]:
    from nanobragg_numba import __version__

    yield "nanobragg_numba", f"{__version__}, {Path(__file__).parent}"
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, "not installed"


def _processor() -> Iterator[tuple[str, str]]:
    from nanobragg_numba.jit.cpu_features import cpu_features, cpu_name, reason_for_exact_engine
    from nanobragg_numba.threads import most_threads

    wide = [name for name in ("avx512f", "avx2", "avx", "neon") if f"+{name}" in cpu_features().split(",")]
    yield "processor", f"{cpu_name()} ({wide[0] if wide else 'no wide vectors'}), {most_threads()} threads"
    reason = reason_for_exact_engine()
    yield "engine", "guarded, vectorised" if reason is None else f"exact, about 15 times slower: {reason}"


def _compiled_code() -> Iterator[tuple[str, str]]:
    from nanobragg_numba.engine.needed_code import ALL
    from nanobragg_numba.jit.cache_folder import CACHE_FOLDER, USUAL_FOLDER
    from nanobragg_numba.jit.stored_code import content_of, places

    yield "compiled code", str(CACHE_FOLDER) + ("" if CACHE_FOLDER == USUAL_FOLDER else f" (cannot write to {USUAL_FOLDER})")
    for library in ALL:
        files = [path for path in places(library) if path.exists()]
        good = next((path for path in files if content_of(path) is not None), None)
        state = f"kept, {good.name}" if good else "damaged: will be compiled anew" if files else "not compiled yet"
        yield f"  {library.name}", state
    unheeded = [name for name in ("NUMBA_DISABLE_JIT", "NUMBA_OPT", "NUMBA_DEBUGINFO", "NUMBA_BOUNDSCHECK") if os.environ.get(name)]
    if unheeded:
        yield "settings", f"{', '.join(unheeded)}: not heeded by what is compiled ahead"


def _gpu() -> Iterator[tuple[str, str]]:
    from nanobragg_numba.errors import InputError

    try:
        from nanobragg_numba.gpu.device import require_device

        device = require_device(0)
        name = getattr(device, "name", "")
        yield "GPU", name.decode() if isinstance(name, bytes) else str(name or "simulated")
    except InputError as error:
        yield "GPU", f"none: {str(error).split(': ', 1)[-1]}"
    except ImportError as error:
        yield "GPU", f"none: {error}"


def report() -> str:
    """The findings, one a line."""
    rows = [row for part in (_versions, _processor, _compiled_code, _gpu) for row in part()]
    return "".join(f"{name:18} {text}\n" for name, text in rows)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(f"doctor: error: takes no words, and {sys.argv[1]} is one", file=sys.stderr)
        sys.exit(2)
    print(report(), end="")
