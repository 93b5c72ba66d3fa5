"""``nanoBragg -compile``: compiles all kernels ahead, for images of containers and for login nodes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from nanobragg_numba.engine.needed_code import ALL
from nanobragg_numba.errors import InputError
from nanobragg_numba.jit import compilation, stored_code
from nanobragg_numba.jit.cache_folder import CACHE_FOLDER
from nanobragg_numba.jit.entries import Library
from nanobragg_numba.threads import most_threads


def compile_all(processor: str, say: Callable[[str], None]) -> None:
    """Compile every library for this processor (``host``), or for the one that LLVM knows by that name.

    Raises InputError, naming the library, where one cannot be compiled.
    """
    settings = {} if processor == "host" else {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    missing = [library for library in ALL if processor != "host" or not stored_code.is_kept(library)]
    failures = []
    started = perf_counter()

    def finished(library: Library, outcome: compilation.Outcome) -> None:
        if outcome.failure is None:
            say(f"{library.what} ({library.name}): {outcome.path.name}, after {perf_counter() - started:.1f} s\n")
        else:
            failures.append(f"{library.name}: {outcome.failure}")

    say(f"compiled code is kept in {CACHE_FOLDER}; {len(ALL) - len(missing)} of {len(ALL)} libraries are there already\n")
    with ThreadPoolExecutor(most_threads()) as pool:
        for share in compilation.shares(missing, most_threads()):
            pool.submit(compilation.in_own_process, share, CACHE_FOLDER, settings, finished)
    if failures:
        raise InputError(f"-compile: {failures[0]}")
