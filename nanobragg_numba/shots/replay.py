"""Recorded formulas, computed again at other values: straight lines of operations, forwards and, for gradients, backwards.

``operations`` (n, 3): which, and the places of its operands. The places are those of the leaves, then of the constants, then of the
operations' results. Values are those of Python's floats to the last bit.
"""

import math

from nanobragg_numba.jit.decorators import compiled, entry
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Doubles3, Whole1, Whole2

from .operations import ADD, CEIL, COS, DIVIDE, LEAST, LESS, LESS_EQUAL, MAGNITUDE, MOST, MULTIPLY, NEGATE, SIN, SQRT, SUBTRACT


@compiled
def evaluate(leaves, constants, operations, x):
    """All values into ``x``; whether all are finite."""
    n, c = leaves.shape[0], constants.shape[0]
    finite = True
    for i in range(n):
        x[i] = leaves[i]
    for i in range(c):
        x[n + i] = constants[i]
    for i in range(operations.shape[0]):
        what, a, b = operations[i, 0], x[operations[i, 1]], x[operations[i, 2]]
        if what == ADD:
            value = a + b
        elif what == SUBTRACT:
            value = a - b
        elif what == MULTIPLY:
            value = a * b
        elif what == DIVIDE:
            value = a / b
        elif what == NEGATE:
            value = -a
        elif what == MAGNITUDE:
            value = abs(a)
        elif what == SIN:
            value = math.sin(a)
        elif what == COS:
            value = math.cos(a)
        elif what == SQRT:
            value = math.sqrt(a)
        elif what == CEIL:
            value = math.ceil(a) * 1.0
        elif what == LEAST:
            value = b if b < a else a
        elif what == MOST:
            value = b if b > a else a
        else:
            value = a
        finite = finite and abs(value) <= 1.7976931348623157e308
        x[n + c + i] = value
    return finite


@compiled
def decides_alike(decisions, x):
    """Whether every comparison comes out as recorded; ``decisions`` (n, 4): which, its two operands' places, the outcome."""
    for i in range(decisions.shape[0]):
        what, a, b = decisions[i, 0], x[decisions[i, 1]], x[decisions[i, 2]]
        outcome = a < b if what == LESS else a <= b if what == LESS_EQUAL else a == b
        if outcome != (decisions[i, 3] == 1):
            return False
    return True


@entry
def replay(
    shots: tuple[int, int], work: Doubles1, leaves: Doubles2, constants: Doubles1, operations: Whole2, decisions: Whole2, outputs: Whole1,
    out: Doubles2, alike: Whole1,
) -> None:  # fmt: skip
    """``out`` (shots, n): the values at ``outputs`` (n,), from ``leaves`` (shots, m); where a place is -1 it is left as it is.

    ``alike`` (shots,): 1 where all decisions come out as recorded and all values are finite; elsewhere the recording says nothing.
    """
    for shot in range(shots[0], shots[1]):
        finite = evaluate(leaves[shot], constants, operations, work)
        alike[shot] = 1 if finite and decides_alike(decisions, work) else 0
        for i in range(outputs.shape[0]):
            if outputs[i] >= 0:
                out[shot, i] = work[outputs[i]]


@entry
def replay_adjoint(
    shots: tuple[int, int], work: Doubles2, leaves: Doubles2, constants: Doubles1, operations: Whole2, outputs: Whole1,
    out_bar: Doubles2, leaf_bar: Doubles2,
) -> None:  # fmt: skip
    """``leaf_bar`` (shots, m): gradients with respect to the leaves from those of the outputs."""
    x, bar = work[0], work[1]
    m, before = leaves.shape[1], leaves.shape[1] + constants.shape[0]
    for shot in range(shots[0], shots[1]):
        evaluate(leaves[shot], constants, operations, x)
        bar[:] = 0.0
        for i in range(outputs.shape[0]):
            if outputs[i] >= 0:
                bar[outputs[i]] += out_bar[shot, i]
        for back in range(operations.shape[0]):
            i = operations.shape[0] - 1 - back
            what, at, other = operations[i, 0], operations[i, 1], operations[i, 2]
            g, value = bar[before + i], x[before + i]
            if g == 0.0:
                continue
            if what == ADD:
                bar[at] += g
                bar[other] += g
            elif what == SUBTRACT:
                bar[at] += g
                bar[other] -= g
            elif what == MULTIPLY:
                bar[at] += g * x[other]
                bar[other] += g * x[at]
            elif what == DIVIDE:
                bar[at] += g / x[other]
                bar[other] -= g * value / x[other]
            elif what == NEGATE:
                bar[at] -= g
            elif what == MAGNITUDE:
                bar[at] += -g if x[at] < 0.0 else g
            elif what == SIN:
                bar[at] += g * math.cos(x[at])
            elif what == COS:
                bar[at] -= g * math.sin(x[at])
            elif what == SQRT:
                bar[at] += g / (2.0 * value)
        for i in range(m):
            leaf_bar[shot, i] = bar[i]


@entry
def replay_tangent(
    shots: tuple[int, int], work: Doubles2, leaves: Doubles2, constants: Doubles1, operations: Whole2, outputs: Whole1,
    leaf_dot: Doubles3, out_dot: Doubles3,
) -> None:  # fmt: skip
    """``out_dot`` (shots, K, n): changes of the outputs from those of the leaves (shots, K, m)."""
    x, dot = work[0], work[1]
    m, before = leaves.shape[1], leaves.shape[1] + constants.shape[0]
    for shot in range(shots[0], shots[1]):
        evaluate(leaves[shot], constants, operations, x)
        for k in range(leaf_dot.shape[1]):
            dot[:before] = 0.0
            for i in range(m):
                dot[i] = leaf_dot[shot, k, i]
            for i in range(operations.shape[0]):
                what, at, other = operations[i, 0], operations[i, 1], operations[i, 2]
                value, change, second = x[before + i], dot[at], dot[other]
                if what == ADD:
                    result = change + second
                elif what == SUBTRACT:
                    result = change - second
                elif what == MULTIPLY:
                    result = change * x[other] + x[at] * second
                elif what == DIVIDE:
                    result = (change - value * second) / x[other]
                elif what == NEGATE:
                    result = -change
                elif what == MAGNITUDE:
                    result = -change if x[at] < 0.0 else change
                elif what == SIN:
                    result = change * math.cos(x[at])
                elif what == COS:
                    result = -change * math.sin(x[at])
                elif what == SQRT:
                    result = change / (2.0 * value)
                else:
                    result = 0.0
                dot[before + i] = result
            for i in range(outputs.shape[0]):
                out_dot[shot, k, i] = dot[outputs[i]] if outputs[i] >= 0 else 0.0
