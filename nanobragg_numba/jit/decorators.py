"""The decorators of compiled functions. Importing this module imports numba: only what is compiled stands above it.

A command or a Python call that finds its kernels stored (stored_code.py) loads neither numba nor the modules that use these
decorators. numba's own cache is not used: it looks only at the file that a function stands in, and does not know all settings.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
from numba.core.registry import cpu_target
from numba.extending import overload, register_jitable

from nanobragg_numba.maths import dual_functions, vectors3

for _function in (
    vectors3.dot, vectors3.cross, vectors3.magnitude, vectors3.scale, vectors3.unit, vectors3.turn, vectors3.rotate_about_axis,
    vectors3.rotation_rows,
):  # fmt: skip
    register_jitable(forceinline=True)(_function)


def _as_in_math(name: str) -> Any:
    """What compiled code sees in place of the function of dual_functions.py: ``math``'s."""
    function = getattr(math, name)
    return lambda x: lambda x: function(x)


for _name in ("sin", "cos", "sqrt"):
    overload(getattr(dual_functions, _name), jit_options={"forceinline": True})(_as_in_math(_name))
overload(dual_functions.is_zero, jit_options={"forceinline": True})(lambda x: lambda x: x == 0.0)

WITHOUT_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Code to call a function from Python takes as long to compile as the function; set while compiling ahead."""
_ahead = False


def known(options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that this numba has; without the others code is slower, or cannot be compiled ahead."""
    return {name: value for name, value in options.items() if hasattr(cpu_target.options, name)}


def compile_ahead() -> None:
    """From now on, compile without what calls from Python need; before the modules of compiled functions are imported."""
    global _ahead
    _ahead = True


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """``numba.njit`` with C's division rules; never fastmath.

    References to the tables' arrays are not counted: that would cost more than a step's arithmetic. Such a function must not allocate.
    """
    if function is None:
        return lambda inner: compiled(inner, **options)
    # What is not given here a function would inherit from the one that calls it first.
    own = {"_nrt": False, "boundscheck": False, "debug": False, "forceinline": False, "fastmath": False, **options}
    return numba.njit(error_model="numpy", **known({**own, **(WITHOUT_WRAPPERS if _ahead else {})}))(function)


def inlined(function: Callable[..., Any]) -> Any:
    """``compiled`` for what runs inside a pixel: always inlined."""
    return compiled(forceinline=True)(function)


def derivative(function: Callable[..., Any] | None = None, *, inline: bool = True) -> Any:
    """``inlined`` for derivatives, which need not match the reference's last bits: sums may be re-associated and
    contracted, so that sums over pixels become vector instructions. Nothing may be assumed of nan and inf.

    Give ``inline=False`` to what is called for a chunk of pixels.
    """
    if function is None:
        return lambda inner: derivative(inner, inline=inline)
    return compiled(forceinline=inline, fastmath={"contract", "reassoc", "nsz"})(function)


def entry(function: Callable[..., None]) -> Any:
    """An entry point (entries.py): compiled with the types of its annotations, and called from Python.

    Parameters are int, float, bool, the types of entry_types.py, and tuples and named tuples of these. It returns nothing and
    must not allocate.
    """
    return compiled(nogil=True)(function)
