"""Host formulas recorded once as a straight line of operations, and replayed at other values for as long as every decision is the same.

The formulas are run on ``Recorded`` numbers. What they decide by comparing is recorded, too: where a comparison comes out otherwise at
other values, the recording does not hold there (``Recording.values`` says so), and the formulas must be run again.
"""

import math as _math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanobragg_numba.shots import entries
from nanobragg_numba.shots.operations import (
    ADD,
    CEIL,
    COS,
    DIVIDE,
    EQUAL,
    HOLD,
    LEAST,
    LESS,
    LESS_EQUAL,
    MAGNITUDE,
    MOST,
    MULTIPLY,
    NEGATE,
    SIN,
    SQRT,
    SUBTRACT,
)

from .number import Number

Place = tuple[int, int]
"""In which list, LEAF, CONSTANT or RESULT, and where in it."""
LEAF, CONSTANT, RESULT = range(3)


@dataclass
class _Tape:
    """What has been recorded so far."""

    leaves: int
    constants: dict[float, int] = field(default_factory=dict)
    operations: list[tuple[int, Place, Place]] = field(default_factory=list)
    decisions: list[tuple[int, Place, Place, bool]] = field(default_factory=list)

    def constant(self, value: float) -> Place:
        """Its place."""
        return CONSTANT, self.constants.setdefault(float(value), len(self.constants))

    def result(self, what: int, one: Place, other: Place) -> Place:
        """The place of an operation's result."""
        self.operations.append((what, one, other))
        return RESULT, len(self.operations) - 1


class Recorded(Number):
    """A Number whose operations are recorded; ``float`` has its value."""

    __slots__ = ("float", "place", "tape")

    def __init__(self, value: float, place: Place, tape: _Tape):
        self.float = value
        self.place = place
        self.tape = tape

    @property
    def value(self) -> "Held":  # type: ignore[override]
        """What is decided by, in a function that looks at the value alone."""
        return Held(self.float, self.tape.result(HOLD, self.place, self.place), self.tape)

    def _with(self, what: int, value: float, one: Place, other: Place) -> Any:
        return type(self)(value, self.tape.result(what, one, other), self.tape)

    def _other(self, other: Any) -> tuple[float, Place]:
        return (other.float, other.place) if isinstance(other, Recorded) else (other, self.tape.constant(other))

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Recorded) and other == 0.0:
            return self
        value, place = self._other(other)
        return self._with(ADD, self.float + value, self.place, place)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Recorded) and other in (0.0, 1.0):
            return self if other == 1.0 else self.float * 0.0
        value, place = self._other(other)
        return self._with(MULTIPLY, self.float * value, self.place, place)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Any:
        if not isinstance(other, Recorded) and other == 0.0:
            return self
        value, place = self._other(other)
        return self._with(SUBTRACT, self.float - value, self.place, place)

    def __rsub__(self, other: Any) -> Any:
        value, place = self._other(other)
        return self._with(SUBTRACT, value - self.float, place, self.place)

    def __truediv__(self, other: Any) -> Any:
        value, place = self._other(other)
        return self._with(DIVIDE, self.float / value, self.place, place)

    def __rtruediv__(self, other: Any) -> Any:
        value, place = self._other(other)
        return self._with(DIVIDE, value / self.float, place, self.place)

    def __neg__(self) -> Any:
        return self._with(NEGATE, -self.float, self.place, self.place)

    def _decided(self, what: int, one: Any, other: Any) -> bool:
        (x, place), (y, other_place) = self._other(one), self._other(other)
        outcome = x < y if what == LESS else x <= y if what == LESS_EQUAL else x == y
        self.tape.decisions.append((what, place, other_place, bool(outcome)))
        return bool(outcome)

    def __abs__(self) -> Any:
        return self._with(MAGNITUDE, abs(self.float), self.place, self.place)

    def __lt__(self, other: Any) -> bool:
        return self._decided(LESS, self, other)

    def __le__(self, other: Any) -> bool:
        return self._decided(LESS_EQUAL, self, other)

    def __gt__(self, other: Any) -> bool:
        return self._decided(LESS, other, self)

    def __ge__(self, other: Any) -> bool:
        return self._decided(LESS_EQUAL, other, self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int | Recorded) and self._decided(EQUAL, self, other)

    def __hash__(self) -> int:
        return hash(self.place)

    def clipped(self, low: float, high: float) -> Any:
        """See ``Number``. Which bound it is, rounding decides: that is no decision."""
        held = self.value
        least = held._with(LEAST, min(high, held.float), held.place, self.tape.constant(high))
        inside = held._with(MOST, max(low, least.float), least.place, self.tape.constant(low))
        return self + (inside - held)

    def sin(self) -> Any:
        """Sine (radians)."""
        return self._with(SIN, _math.sin(self.float), self.place, self.place)

    def cos(self) -> Any:
        """Cosine (radians)."""
        return self._with(COS, _math.cos(self.float), self.place, self.place)

    def sqrt(self) -> Any:
        """Square root."""
        return self._with(SQRT, _math.sqrt(self.float), self.place, self.place)


class Held(Recorded):
    """A value that decides, without its derivative. As a plain float it is only looked at: whether it is finite, and in messages; where
    a replay meets a number that is not finite, it does not hold."""

    __slots__ = ()

    def __float__(self) -> float:
        return self.float

    def __format__(self, form: str) -> str:
        return format(self.float, form)

    def __ceil__(self) -> int:
        place = self.tape.result(CEIL, self.place, self.place)
        whole = _math.ceil(self.float)
        self.tape.decisions.append((EQUAL, place, self.tape.constant(whole), True))
        return whole


@dataclass(frozen=True)
class Recording:
    """Formulas from ``leaves`` numbers to outputs, at the values that they were recorded at and at others."""

    leaves: int
    constants: np.ndarray
    operations: np.ndarray
    decisions: np.ndarray
    outputs: np.ndarray
    """(n,): places, -1 for outputs that do not depend on the leaves."""

    def values(self, leaves: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill ``out`` (shots, n), where outputs depend on ``leaves`` (shots, m); (shots,) bool: where the recording holds."""
        alike = np.zeros(len(leaves), np.int64)
        work = np.zeros(self.size)
        entries.replay((0, len(leaves)), work, leaves, self.constants, self.operations, self.decisions, self.outputs, out, alike)
        return alike != 0

    @property
    def size(self) -> int:
        """How many places there are."""
        return self.leaves + len(self.constants) + len(self.operations)

    def back(self, leaves: np.ndarray, out_bar: np.ndarray) -> np.ndarray:
        """(shots, m): gradients from those of the outputs, (shots, n)."""
        leaf_bar = np.zeros(leaves.shape)
        work = np.zeros((2, self.size))
        bar = np.ascontiguousarray(out_bar)
        entries.replay_adjoint((0, len(leaves)), work, leaves, self.constants, self.operations, self.outputs, bar, leaf_bar)
        return leaf_bar

    def forth(self, leaves: np.ndarray, leaf_dot: np.ndarray) -> np.ndarray:
        """(shots, K, n): changes of the outputs from those of the leaves, (shots, K, m)."""
        out_dot = np.zeros((*leaf_dot.shape[:2], len(self.outputs)))
        work = np.zeros((2, self.size))
        dot = np.ascontiguousarray(leaf_dot)
        entries.replay_tangent((0, len(leaves)), work, leaves, self.constants, self.operations, self.outputs, dot, out_dot)
        return out_dot

    def depends_on(self, leaves: np.ndarray) -> np.ndarray:
        """(n,) bool: which outputs depend on those of the ``leaves`` (m,) that are True."""
        reached = np.zeros(self.size, np.bool_)
        reached[: self.leaves] = leaves
        before = self.leaves + len(self.constants)
        touched = reached.tolist()
        for at, (_, one, other) in enumerate(self.operations.tolist(), before):
            touched[at] = touched[one] or touched[other]
        return np.array([place >= 0 and touched[place] for place in self.outputs.tolist()], np.bool_)


def recorder(values: Sequence[float]) -> tuple[list[Recorded], _Tape]:
    """Recorded numbers of those values, the leaves, and what records their operations."""
    tape = _Tape(len(values))
    return [Recorded(float(value), (LEAF, at), tape) for at, value in enumerate(values)], tape


def recording(tape: _Tape, outputs: Sequence[Any]) -> Recording:
    """What leads to the ``outputs``, Recorded or plain numbers, and to the decisions."""
    ends = [output.place for output in outputs if isinstance(output, Recorded)]
    ends += [place for _, one, other, _ in tape.decisions for place in (one, other)]
    needed = {at for kind, at in ends if kind == RESULT}
    for at in reversed(range(len(tape.operations))):
        if at in needed:
            needed.update(number for kind, number in tape.operations[at][1:] if kind == RESULT)
    kept = {at: number for number, at in enumerate(sorted(needed))}
    before = tape.leaves + len(tape.constants)

    def place(of: Place) -> int:
        kind, at = of
        return at if kind == LEAF else tape.leaves + at if kind == CONSTANT else before + kept[at]

    operations = [(what, place(one), place(other)) for what, one, other in (tape.operations[at] for at in kept)]
    decisions = {(what, place(one), place(other), outcome) for what, one, other, outcome in tape.decisions}
    places = [place(output.place) if isinstance(output, Recorded) else -1 for output in outputs]
    return Recording(
        tape.leaves, np.array(list(tape.constants), np.float64), np.array(operations, np.int64).reshape(-1, 3),
        np.array(sorted(decisions), np.int64).reshape(-1, 4), np.array(places, np.int64),
    )  # fmt: skip
