"""The derivatives' kernels compiled for the GPU from the source that the CPU's are compiled from.

As in device_code.py, each function is built anew with other globals. Only these differ: ``add_at``, since many threads add to one
gradient at once; the rounding functions, which are instructions; ``gradient_at``, since the image's gradient is one array; and PIXELS,
the number of pixels of a row that a thread computes together.
"""

import math
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from nanobragg_numba.derivatives import (
    adjoint,
    chunk_geometry,
    formula_derivatives,
    gradient_sums,
    kept_corrections,
    step_derivatives,
    tangent,
)
from nanobragg_numba.derivatives.step_derivatives import unravelled
from nanobragg_numba.derivatives.sums import changes, gradients
from nanobragg_numba.jit.rebuild_source import add_plain, mathematics
from nanobragg_numba.kernels import formulas, live_pixels
from nanobragg_numba.maths import vectors3

from .compilation import device_function
from .device_code import module_of
from .intrinsics import SIMULATED, ceiling, nearest_whole, whole_ceiling

MODULES = (
    vectors3,
    formulas,
    live_pixels,
    gradient_sums,
    formula_derivatives,
    step_derivatives,
    kept_corrections,
    chunk_geometry,
    gradients,
    changes,
    adjoint,
    tangent,
)
FROM_MATH = ("sin", "cos", "sqrt", "exp", "atan2", "floor", "pi")
PIXELS = 4
"""Pixels of a row that a thread of the adjoint computes together: so many times fewer additions to shared gradients."""


def _gradient_at(grad: Any, same: Any, slow: int, fast: int) -> Any:
    return float(grad[slow, fast])


def _nearest_whole_index(h: Any) -> Any:
    return ceiling(h - 0.5)


def _decay(y: Any) -> Any:
    return math.exp(-y)


def _sine_and_cosine(x: Any) -> Any:
    return math.sin(x), math.cos(x)


def _table_at(table: Any, place: int) -> Any:
    return table[unravelled(place, table.shape)]


FROM_LIBRARY = {"nearest_whole_index": _nearest_whole_index, "decay": _decay, "sine_and_cosine": _sine_and_cosine, "table_at": _table_at}
"""What the CPU has in a form of its own for the sake of vector instructions."""


def _leaves_out(reach: Any, interpolate: Any) -> bool:
    return False


def _nothing(n: Any, tables: Any, reach: Any, gradients: Any, work: Any) -> None:
    """A GPU computes every step."""


def _nothing_changes(n: Any, tables: Any, reach: Any, changes: Any, work: Any, out: Any) -> None:
    """A GPU computes every step."""


def derivative_names(add_at: Callable[..., None]) -> dict[str, Any]:
    """Every function of MODULES by name, as device functions; ``add_at(array, index, value)`` adds to a shared gradient."""
    plain = vars(mathematics(np.float64)) if SIMULATED else {name: getattr(math, name) for name in FROM_MATH}
    names: dict[str, Any] = {"math": module_of({**plain, "ceil": device_function(whole_ceiling)})}
    for module in MODULES:
        add_plain(module, names)
    # The names that they use are those of the kernels, too.
    names.update({name: FunctionType(function.__code__, names, name) for name, function in FROM_LIBRARY.items()})
    every_step = {"add_reached": _nothing, "add_reached_changes": _nothing_changes, "leaves_out": _leaves_out}
    replaced = {**every_step, "add_at": add_at, "gradient_at": _gradient_at, "nearest_whole": nearest_whole, "ceiling": ceiling}
    for name, value in {**names, **replaced}.items():
        if isinstance(value, FunctionType):
            names[name] = device_function(value)
    names.update({name: plain[name] for name in ("sin", "cos", "sqrt")}, is_zero=device_function(lambda x: x == 0.0), PIXELS=PIXELS)
    return names
