"""Compiled functions built anew from their source with other globals: as plain Python, or for another compiler."""

import math
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

Globals = dict[str, Any]


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
