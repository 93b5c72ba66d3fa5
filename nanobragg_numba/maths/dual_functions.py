"""Sine, cosine and the like of floats or of numbers that carry a derivative (autograd/number.py).

Host formulas call these instead of ``math``'s, so that one definition gives values and derivatives. Compiled code sees ``math``'s.
"""

import math
from typing import Any


def sin(x: Any) -> Any:
    """Sine of an angle in radians."""
    return math.sin(x) if isinstance(x, (float, int)) else x.sin()


def cos(x: Any) -> Any:
    """Cosine of an angle in radians."""
    return math.cos(x) if isinstance(x, (float, int)) else x.cos()


def sqrt(x: Any) -> Any:
    """Square root."""
    return math.sqrt(x) if isinstance(x, (float, int)) else x.sqrt()


def is_zero(x: Any) -> bool:
    """Whether an operation with ``x`` may be left out; never where a derivative passes through."""
    return isinstance(x, (float, int)) and x == 0.0


def clipped(x: Any, low: float, high: float) -> Any:
    """``x`` moved to the nearer bound if it lies outside, with its derivative kept: rounding alone brings it there."""
    if isinstance(x, (float, int)):
        return max(low, min(high, x))
    return x.clipped(low, high)


def value_of(x: Any) -> Any:
    """The float without its derivative, for what is reported or decided."""
    return x if isinstance(x, (float, int)) or x is None else x.value
