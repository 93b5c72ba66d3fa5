"""Lets the formulas compile for complex numbers, for derivatives of derivatives by the complex step.

f(x + i e v) = f(x) + i e f'(x) v for a tiny e: the imaginary part is the derivative along v to the last digits, since nothing is
subtracted (Squire and Trapp 1998). numba's math functions take real numbers only; these overloads add complex ones.
"""

import cmath
import math
from collections.abc import Callable

from numba import types
from numba.extending import overload

STEP = 1e-50


def _also_complex(name: str) -> None:
    real_function: Callable[[float], float] = getattr(math, name)
    complex_function: Callable[[complex], complex] = getattr(cmath, name)

    @overload(real_function)
    def for_complex(x):  # type: ignore[no-untyped-def]
        return (lambda x: complex_function(x)) if isinstance(x, types.Complex) else None


for _name in ("sqrt", "sin", "cos", "exp"):
    _also_complex(_name)
