"""The pixel kernel's own source run as plain Python: in double or single precision, with a listener on its calls.

Each function is built anew from its code with other globals: its ``math`` computes in the precision asked for, and
the functions it calls are the plain ones. So a traced number comes from the kernel's own lines, and there is no second
version of them.
"""

import math
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from . import formulas, pixel_kernel, vectors
from .tables import Tables

Listener = Callable[[str, tuple[Any, ...], Any], None]
Globals = dict[str, Any]

# What the listener hears: the calls that pixel_value and sweep make, and the grating along each axis.
KERNEL_CALLS = (
    "subpixel_position", "magnitude", "solid_angle", "capture_fraction", "scattering_vector", "is_beyond", "polarization_factor",
    "lattice_factor", "nearest_structure_factor", "tricubic_structure_factor", "sweep",
)  # fmt: skip
FORMULA_CALLS = ("grating",)


def mathematics(dtype: Any) -> Any:
    """``math`` with results of ``dtype`` and C's answers, inf and nan, where Python raises."""

    def elementary(function: Callable[..., float]) -> Callable[..., Any]:
        def computed(*values: Any) -> Any:
            try:
                return dtype(function(*map(float, values)))
            except ValueError:
                return dtype(math.nan)
            except OverflowError:
                return dtype(math.inf)

        return computed

    functions = {name: elementary(getattr(math, name)) for name in ("sin", "cos", "sqrt", "exp", "atan2")}
    return SimpleNamespace(**functions, ceil=math.ceil, floor=math.floor, pi=dtype(math.pi))


def add_plain(module: ModuleType, names: Globals) -> None:
    """Add what ``module`` defines to ``names``, its functions plain and with ``names`` as their globals."""
    for name, value in vars(module).items():
        function = getattr(value, "py_func", value)
        if isinstance(function, FunctionType):
            if function.__module__ == module.__name__:
                names[name] = FunctionType(function.__code__, names, name, function.__defaults__)
        elif not isinstance(value, ModuleType) and not name.startswith("__"):
            names[name] = value


def _heard(names: Globals, calls: tuple[str, ...], listener: Listener) -> None:
    def heard(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            listener(name, arguments, result)
            return result

        return call

    names.update({name: heard(name, names[name]) for name in calls})


def plain_functions(dtype: Any) -> Globals:
    """Every function of ``vectors`` and ``formulas`` by name, as plain Python with ``elementary``'s functions in ``dtype``."""
    names: Globals = {}
    for module in (vectors, formulas):
        add_plain(module, names)
    names["math"] = functions = mathematics(dtype)
    names.update(sin=functions.sin, cos=functions.cos, sqrt=functions.sqrt, is_zero=lambda x: x == 0.0)
    return names


def plain_pixel_value(dtype: Any, listener: Listener) -> Callable[..., Any]:
    """``pixel_kernel.pixel_value`` as plain Python; ``listener(name, arguments, result)`` hears its calls, inner ones first."""
    base = plain_functions(dtype)
    _heard(base, FORMULA_CALLS, listener)
    kernel = dict(base)
    add_plain(pixel_kernel, kernel)
    _heard(kernel, KERNEL_CALLS, listener)
    return kernel["pixel_value"]  # type: ignore[no-any-return]


def in_precision(tables: Tables, dtype: Any) -> Tables:
    """The tables with every floating-point number and array in ``dtype``; as scalars of numpy, which divide as C does."""

    def converted(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(dtype) if value.dtype.kind == "f" else value
        return dtype(value) if isinstance(value, float) else value

    return Tables(*(type(table)(*map(converted, table)) for table in tables))  # type: ignore[arg-type]
