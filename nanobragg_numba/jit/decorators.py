"""The decorators of compiled functions. Importing this module imports numba: only what is compiled stands below it.

A command or a Python call that finds the kernels stored (jit/stored_code.py) loads neither numba nor the modules that use
these decorators. numba's own cache, of the functions one by one, looks only at the file a function stands in, so a
change in one module would leave stale callers in another; its folder is therefore named by a hash of all sources.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
from numba.extending import overload, register_jitable

from nanobragg_numba.maths import dual_functions, vectors3

from .cache_folder import CACHE_FOLDER

config: Any = numba.config

ENTRIES: dict[str, Any] = {}
"""The compiled functions that jit/stored_code.py calls by name."""

for _function in (
    vectors3.dot, vectors3.cross, vectors3.magnitude, vectors3.scale, vectors3.unit, vectors3.turn, vectors3.rotate_about_axis,
    vectors3.rotation_rows,
):  # fmt: skip
    register_jitable(_function)


def _as_in_math(name: str) -> Any:
    """What compiled code sees in place of the function of maths/dual_functions.py: ``math``'s."""
    function = getattr(math, name)
    return lambda x: lambda x: function(x)


for _name in ("sin", "cos", "sqrt"):
    overload(getattr(dual_functions, _name))(_as_in_math(_name))
overload(dual_functions.is_zero)(lambda x: lambda x: x == 0.0)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """``numba.njit`` with C's division rules and the cache of this package; never fastmath."""
    if function is None:
        return lambda inner: compiled(inner, **options)
    # numba reads the folder when it decorates: set it for our functions only.
    before = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_FOLDER)
    try:
        return numba.njit(cache=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before


def inlined(function: Callable[..., Any]) -> Any:
    """``compiled`` for what runs inside a pixel: always inlined, and without counting references to the tables.

    Passing the tables on by value, and counting references to their arrays atomically, would cost more than a step's
    arithmetic. Such a function must not allocate.
    """
    return compiled(_nrt=False, forceinline=True)(function)


def derivative(function: Callable[..., Any] | None = None, *, inline: bool = True, **options: Any) -> Any:
    """``inlined`` for derivatives, which need not match the reference's last bits: sums may be re-associated and
    contracted, so that sums over pixels become vector instructions. Nothing may be assumed of nan and inf.

    Give ``inline=False`` to what is called for a chunk of pixels: it still counts no references.
    """
    if function is None:
        return lambda inner: derivative(inner, inline=inline, **options)
    return compiled(_nrt=False, forceinline=inline, fastmath={"contract", "reassoc", "nsz"}, **options)(function)


def entry(function: Callable[..., None]) -> Any:
    """An entry point: compiled ahead with the types of its annotations, stored, and called as ``stored_code.run(name, ...)``.

    Parameters are int, float, bool, the arrays of jit/entry_types.py, and tuples and named tuples of these. It returns
    nothing and must not allocate.
    """
    ENTRIES[function.__name__] = inlined(function)
    return ENTRIES[function.__name__]
