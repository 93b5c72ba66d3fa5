"""The way round: entry points compiled by numba in this process, where they cannot be compiled ahead. Slower to begin, and not kept."""

import importlib
import os
from typing import TYPE_CHECKING

from . import compilation
from .calls import Compiled

if TYPE_CHECKING:
    from .entries import Library

_told: set[str] = set()


def entry_points(library: "Library", failure: str) -> dict[str, Compiled]:
    """The library's entry points as functions of numba's, which compiles each when it is first called."""
    from .entries import ENTRIES

    if failure not in _told:
        _told.add(failure)
        compilation.say(f"cannot compile ahead: {failure}; numba compiles the kernels in this process instead, which takes longer")
    import numba

    # In plain Python the kernels would take hours, and what numba adds to the language is not there.
    numba.config.DISABLE_JIT = 0  # type: ignore[attr-defined]
    os.environ.pop("NUMBA_DISABLE_JIT", None)
    found = {}
    for entry in ENTRIES[library.name]:
        found[entry.function] = Compiled(entry.function, getattr(importlib.import_module(entry.module), entry.function), None)
    return found
