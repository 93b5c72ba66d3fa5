"""The formulas and the sum over a pixel's steps, compiled for the GPU from the source that the CPU's kernels are compiled from.

Each function is built anew from its code with other globals (as in plain_run.py), in which the functions that it calls
are device functions. Only these differ from the CPU's: gratings take our own sine, whose error is proven; exp, cos and
atan2 are libdevice's; what the proof in docs/error-bound.md does not cover gives nan, and the exact CPU kernel computes
such a pixel.
"""

import math
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from nanobragg_numba import formulas, pixel_kernel, vector_math, vectors
from nanobragg_numba.plain_run import add_plain, mathematics

from .compilation import device_function
from .coverage import LEAST_CAPTURE, LEAST_POLARIZATION
from .intrinsics import INTRINSICS, SIMULATED

FROM_MATH = ("sin", "cos", "sqrt", "exp", "atan2", "pi")
nan = math.nan


def _no_number(x: float) -> float:
    return nan


def _no_position(flat: Any, detector: Any) -> tuple[float, float, float]:
    return (nan, nan, nan)


def _no_factor(table: Any, h_min: int, k_min: int, l_min: int, h: float, k: float, l: float) -> float:
    return nan


NOT_COVERED: dict[str, Callable[..., Any]] = {
    "sphere_transform": _no_number,
    "curved_position": _no_position,
    "tricubic_structure_factor": _no_factor,
}
"""Formulas that coverage.py keeps off the GPU; left out of the code, they cost it no registers."""


def _proven_polarization(formula: Any) -> Callable[..., float]:
    least = LEAST_POLARIZATION

    def polarization_factor(kahn, incident, diffracted, axis):  # type: ignore[no-untyped-def]
        factor = formula(kahn, incident, diffracted, axis)
        return factor if kahn == 0.0 or factor >= least else nan

    return polarization_factor


def _proven_capture(formula: Any) -> Callable[..., float]:
    least = LEAST_CAPTURE

    def capture_fraction(layer, diffracted, detector):  # type: ignore[no-untyped-def]
        fraction = formula(layer, diffracted, detector)
        return fraction if fraction > least else nan

    return capture_fraction


PROVEN = {"polarization_factor": _proven_polarization, "capture_fraction": _proven_capture}
"""Formulas with libdevice's functions in them, held to where their error is bounded."""


def module_of(functions: dict[str, Any]) -> Any:
    """What the functions see as ``math``."""
    module = ModuleType("device_math")
    vars(module).update(functions)
    return module


def device_names(elementary: Mapping[str, Callable[..., Any]] | None = None) -> dict[str, Any]:
    """Every function of vectors, formulas and pixel_kernel by name, as device functions.

    ``elementary``: functions of one or two doubles to take in place of exp, cos, atan2, or of our own ``sine``.
    """
    intrinsics = {function.__name__: device_function(function) for function in INTRINSICS}
    plain = vars(mathematics(np.float64)) if SIMULATED else {name: getattr(math, name) for name in FROM_MATH}
    given = {name: device_function(function) for name, function in (elementary or {}).items()}
    functions = {**plain, "ceil": intrinsics["whole_ceiling"], **given}
    names: dict[str, Any] = {"math": module_of(functions)}
    for module in (vectors, formulas, pixel_kernel):
        add_plain(module, names)
    for name, value in names.items():
        if isinstance(value, FunctionType):
            names[name] = device_function(NOT_COVERED.get(name, value))
    names.update({name: functions[name] for name in ("sin", "cos", "sqrt")}, is_zero=device_function(lambda x: x == 0.0))
    sine = given.get("sine") or _proven_sine(intrinsics)
    # Its sign does not matter: the lattice factor is squared.
    names["grating"] = device_function(_rebuilt(formulas.grating, {"math": module_of({"sin": sine})}))
    for name, proven in PROVEN.items():
        names[name] = device_function(proven(names[name]))
    return names


def _proven_sine(intrinsics: Mapping[str, Any]) -> Any:
    """``vector_math.sine_magnitude`` and the functions that it calls."""
    names = {**vars(vector_math), **intrinsics}
    for name in ("from_nearest_multiple_of_pi", "sine_within_quarter_turn", "sine_magnitude"):
        names[name] = device_function(_rebuilt(names[name], names))
    return names["sine_magnitude"]


def _rebuilt(function: Any, names: dict[str, Any]) -> FunctionType:
    plain = function.py_func
    return FunctionType(plain.__code__, names, plain.__name__, plain.__defaults__)


pixel_value = device_names()["pixel_value"]
