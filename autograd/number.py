"""A float that carries its derivative: what the host formulas are run on to learn the derivatives of the kernels' tables."""

import math
from typing import Any

import numpy as np
import torch

Tensor = torch.Tensor


def parts(x: Any) -> tuple[float, Any]:
    """Value and tensor; a plain number is both."""
    return (x.value, x.tensor) if isinstance(x, Number) else (x, x)


class Number:
    """A float ``value``, which decides every comparison, and a 0-d ``tensor`` of the same value, through which derivatives flow.

    It has no ``__float__``, so that a function which would drop the derivative raises TypeError instead. What a plain 0 or 1 leaves
    unchanged, or makes zero, is kept out of the graph: with axes along x, y and z that is half of it.
    """

    __slots__ = ("tensor", "value")

    def __init__(self, value: float, tensor: Tensor):
        self.value = value
        self.tensor = tensor

    def __add__(self, other: Any) -> "Number":
        value, tensor = parts(other)
        if tensor is value and value == 0.0:
            return self
        return Number(self.value + value, self.tensor + tensor)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        value, tensor = parts(other)
        if tensor is value and value in (0.0, 1.0):
            return self if value == 1.0 else self.value * value
        return Number(self.value * value, self.tensor * tensor)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> "Number":
        value, tensor = parts(other)
        if tensor is value and value == 0.0:
            return self
        return Number(self.value - value, self.tensor - tensor)

    def __rsub__(self, other: Any) -> "Number":
        value, tensor = parts(other)
        return Number(value - self.value, tensor - self.tensor)

    def __truediv__(self, other: Any) -> "Number":
        value, tensor = parts(other)
        return Number(self.value / value, self.tensor / tensor)

    def __rtruediv__(self, other: Any) -> "Number":
        value, tensor = parts(other)
        return Number(value / self.value, tensor / self.tensor)

    def __neg__(self) -> "Number":
        return Number(-self.value, -self.tensor)

    def __abs__(self) -> "Number":
        return -self if self.value < 0.0 else self

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < parts(other)[0])

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= parts(other)[0])

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > parts(other)[0])

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= parts(other)[0])

    def __eq__(self, other: object) -> bool:
        return bool(self.value == parts(other)[0])

    def __hash__(self) -> int:
        return hash(self.value)

    def clipped(self, low: float, high: float) -> "Number":
        """Moved to the nearer bound if it lies outside, with its derivative kept."""
        return self + (max(low, min(high, self.value)) - self.value)

    def sin(self) -> "Number":
        """Sine (radians)."""
        return Number(math.sin(self.value), torch.sin(self.tensor))

    def cos(self) -> "Number":
        """Cosine (radians)."""
        return Number(math.cos(self.value), torch.cos(self.tensor))

    def sqrt(self) -> "Number":
        """Square root."""
        return Number(math.sqrt(self.value), torch.sqrt(self.tensor))


def numbers(tensor: Tensor) -> Any:
    """A Number of a 0-d tensor, or nested tuples of them; on device "meta", which has no values, 1 or the identity stands for them."""
    if tensor.is_meta:
        values = torch.eye(*tensor.shape) if tensor.ndim == 2 else torch.ones(tensor.shape)
    else:
        values = tensor.detach().cpu().double()
    return _paired(values.tolist(), tensor)


def _paired(values: Any, tensor: Tensor) -> Any:
    if tensor.ndim == 0:
        return Number(values, tensor)
    return tuple(_paired(value, part) for value, part in zip(values, tensor, strict=True))


def stacked(values: Any, like: Tensor) -> Tensor:
    """The flat tensor of a sequence of Numbers and floats, in dtype and on device of ``like``."""
    if isinstance(values, np.ndarray):
        return torch.as_tensor(values, dtype=like.dtype, device=like.device)
    if all(not isinstance(value, Number) for value in values):
        return torch.tensor([float(value) for value in values], dtype=like.dtype, device=like.device)
    return torch.stack([torch.as_tensor(parts(value)[1], dtype=like.dtype, device=like.device) for value in values])
