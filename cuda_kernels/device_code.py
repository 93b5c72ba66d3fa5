"""The formulas and the sum over a pixel's steps, compiled for the GPU from the source that the CPU's kernels are compiled from.

Each function is built anew from its code with other globals (as in engine/plain_kernel.py), in which the functions that it calls
are device functions. Only these differ from the exact CPU kernel's: the lattice factor of parallelepipeds is the CPU's vector
loop's, of our own sine, whose error is proven; exp, cos and
atan2 are libdevice's; what the proof in docs/error-bound.md does not cover gives nan, and the exact CPU kernel computes
such a pixel.

That is "double". In "mixed", the gratings of parallelepipeds are single precision's of the CPU, which takes whole turns off
in double first; in "single", h, k, l are single precision, too. Geometry and sums are double in all of them.
"""

import math
from collections.abc import Callable, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from nanobragg_numba.jit.rebuild_source import add_plain, mathematics
from nanobragg_numba.kernels import accurate_maths, exact, formulas
from nanobragg_numba.maths import vectors3
from nanobragg_numba.simd import steps

from .compilation import device_function
from .coverage import LEAST_CAPTURE, LEAST_POLARIZATION
from .intrinsics import INTRINSICS, INTRINSICS_SINGLE, SIMULATED

FROM_MATH = ("sin", "cos", "sqrt", "exp", "atan2", "pi")
nan = math.nan


def _no_number(x: float) -> float:
    return nan


def _no_position(flat: Any, detector: Any) -> tuple[float, float, float]:
    return (nan, nan, nan)


def _no_factor(table: Any, h_min: int, k_min: int, l_min: int, h: float, k: float, l: float) -> float:
    return nan


def _no_grating(x: float, n: float) -> float:
    return nan


def _as_it_stands(crystal: Any, table: int) -> Any:
    # coverage.py keeps more tables than one off the GPU.
    return crystal


NOT_COVERED: dict[str, Callable[..., Any]] = {
    "sphere_transform": _no_number,
    "curved_position": _no_position,
    "tricubic_structure_factor": _no_factor,
    "grating": _no_grating,
    "with_table": _as_it_stands,
}
"""Formulas that coverage.py keeps off the GPU, and those of which parallelepipeds take others; left out of the code, they cost it no
registers."""


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


def _widened(formula: Any) -> Callable[..., float]:
    def nearest_structure_factor(table, h_min, k_min, l_min, h0, k0, l0, default_F):  # type: ignore[no-untyped-def]
        # The table may be single precision; what is computed from it is not.
        return np.float64(formula(table, h_min, k_min, l_min, h0, k0, l0, default_F))

    return nearest_structure_factor


def _unlisted(table: Any, h_min: int, k_min: int, l_min: int, h0: int, k0: int, l0: int, default_F: float) -> float:
    return default_F


PROVEN = {"polarization_factor": _proven_polarization, "capture_fraction": _proven_capture}
"""Formulas with libdevice's functions in them, held to where their error is bounded."""


def module_of(functions: dict[str, Any]) -> Any:
    """What the functions see as ``math``."""
    module = ModuleType("device_math")
    vars(module).update(functions)
    return module


def device_names(
    elementary: Mapping[str, Callable[..., Any]] | None = None, precision: str = "double", listed: bool = True
) -> dict[str, Any]:
    """Every function of vectors, formulas and pixel_kernel by name, as device functions.

    ``elementary``: functions of one or two doubles to take in place of exp, cos, atan2, or of our own ``sine``. ``listed``: whether
    there are structure factors besides ``default_F``; without, no index need be rounded to look them up.
    """
    intrinsics = {name: device_function(function) for name, function in INTRINSICS.items()}
    plain = vars(mathematics(np.float64)) if SIMULATED else {name: getattr(math, name) for name in FROM_MATH}
    given = {name: device_function(function) for name, function in (elementary or {}).items()}
    functions = {**plain, "ceil": intrinsics["whole_ceiling"], **given}
    names: dict[str, Any] = {"math": module_of(functions)}
    for module in (vectors3, formulas, exact):
        add_plain(module, names)
    for name, value in names.items():
        if isinstance(value, FunctionType):
            names[name] = device_function(NOT_COVERED.get(name, value))
    names.update({name: functions[name] for name in ("sin", "cos", "sqrt")}, is_zero=device_function(lambda x: x == 0.0))
    for name, proven in PROVEN.items():
        names[name] = device_function(proven(names[name]))
    names["nearest_structure_factor"] = device_function(_widened(names["nearest_structure_factor"]) if listed else _unlisted)
    singles = {name: device_function(function) for name, function in INTRINSICS_SINGLE.items()}
    if precision == "double":
        sine = given.get("sine") or _proven_sine(intrinsics)
        square: Callable[..., float] = _rebuilt(steps.parallelepiped_factor, {"math": names["math"], "sine_magnitude": sine})
    else:
        gratings = {**singles, "nearest_whole": intrinsics["nearest_whole"]} if precision == "mixed" else singles
        square = _parallelepiped_factor_single(gratings, precision == "single")
    reduced = _from_nearest(intrinsics["ceiling"]) if precision == "double" else _as_it_is
    names["lattice_factor"] = device_function(_lattice_factor(device_function(square), device_function(reduced), names["lattice_factor"]))
    if precision == "single":
        names["miller_indices"] = device_function(_miller_indices_single(names["miller_indices"]))
        names["nearest_index"] = device_function(_nearest_index_single(singles["whole_ceiling"]))
    return names


def _proven_sine(intrinsics: Mapping[str, Any]) -> Any:
    """``vector_math.sine_magnitude`` and the functions that it calls."""
    names = {**vars(accurate_maths), **intrinsics}
    for name in ("from_nearest_multiple_of_pi", "sine_within_quarter_turn", "sine_magnitude"):
        names[name] = device_function(_rebuilt(names[name], names))
    return names["sine_magnitude"]


def _from_nearest(ceiling: Any) -> Callable[[float], float]:
    """The CPU's ``from_nearest``."""

    def from_nearest(h):  # type: ignore[no-untyped-def]
        return h - ceiling(h - 0.5)

    return from_nearest


def _as_it_is(h: Any) -> Any:
    # ``grating_single`` takes whole h off itself.
    return h


def _lattice_factor(square_factor: Any, reduced: Any, others: Any) -> Callable[..., float]:
    """``lattice_factor`` that takes parallelepipeds' from ``square_factor``, in "spec" of ``reduced`` h, k, l. Its sign does not matter:
    it is squared."""
    square = formulas.SQUARE

    def lattice_factor(shape, h, k, l, h0, k0, l0, na, nb, nc, cross, star, fudge, spec):  # type: ignore[no-untyped-def]
        if shape == square:
            if spec:
                return square_factor(reduced(h), reduced(k), reduced(l), na, nb, nc)
            return square_factor(h, k, l, na, nb, nc)
        return others(shape, h, k, l, h0, k0, l0, na, nb, nc, cross, star, fudge, spec)

    return lattice_factor


def _parallelepiped_factor_single(intrinsics: Mapping[str, Any], all_single: bool) -> Callable[..., float]:
    """Of the CPU's ``grating_single``; ``all_single``: the number of cells is single precision, too."""
    names = {**vars(steps), **vars(accurate_maths), **intrinsics}
    names["sine_of_turns"] = device_function(_rebuilt(accurate_maths.sine_of_turns, names))
    grating = device_function(_rebuilt(steps.grating_single, names))
    cells = np.float32 if all_single else np.float64

    def parallelepiped_factor(h, k, l, na, nb, nc):  # type: ignore[no-untyped-def]
        return np.float64(grating(h, cells(na)) * grating(k, cells(nb)) * grating(l, cells(nc)))

    return parallelepiped_factor


def _miller_indices_single(formula: Any) -> Callable[..., Any]:
    """``miller_indices`` in single precision, of axes that are."""

    def miller_indices(axes, scattering):  # type: ignore[no-untyped-def]
        return formula(axes, (np.float32(scattering[0]), np.float32(scattering[1]), np.float32(scattering[2])))

    return miller_indices


def _nearest_index_single(ceiling: Any) -> FunctionType:
    """``nearest_index`` with its constant in single precision."""
    plain = formulas.nearest_index.py_func
    constants = tuple(np.float32(value) if isinstance(value, float) else value for value in plain.__code__.co_consts)
    return FunctionType(plain.__code__.replace(co_consts=constants), {"math": module_of({"ceil": ceiling})}, plain.__name__)


def _rebuilt(function: Any, names: dict[str, Any]) -> FunctionType:
    plain = function.py_func
    return FunctionType(plain.__code__, names, plain.__name__, plain.__defaults__)
