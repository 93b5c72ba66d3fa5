"""The reference's uniform deviates, Park-Miller with a shuffle table after Numerical Recipes' ran1, and random rotations."""

import math

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles2, Singles1
from nanobragg_numba.maths.vectors3 import rotation_rows

from .random_state import RandomState

_TABLE = 32
_MODULUS = 2147483647
_MULTIPLIER = 16807
_QUOTIENT = 127773
_REMAINDER = 2836
_DIVISOR = 1 + (_MODULUS - 1) // _TABLE
_SHIFT = 26
"""_DIVISOR is 2^26."""
_TO_UNIT = 1.0 / _MODULUS
_LARGEST = 1.0 - 1.2e-7


@inlined
def _advance(seed):
    k = seed // _QUOTIENT
    seed = _MULTIPLIER * (seed - k * _QUOTIENT) - _REMAINDER * k
    return seed + _MODULUS if seed < 0 else seed


@compiled
def uniform(state):
    """A float32 deviate between 0 and 1, both excluded."""
    integers = state.integers
    if integers[0] <= 0 or integers[1] == 0:
        seed = max(-integers[0], 1)
        for j in range(_TABLE + 7, -1, -1):
            seed = _advance(seed)
            if j < _TABLE:
                integers[2 + j] = seed
        integers[0] = seed
        integers[1] = integers[2]
    integers[0] = _advance(integers[0])
    j = integers[1] // _DIVISOR
    integers[1] = integers[2 + j]
    integers[2 + j] = integers[0]
    value = np.float32(_TO_UNIT * integers[1])
    return np.float32(_LARGEST) if value > _LARGEST else value


@inlined
def random_turn(spread, state):
    """A random unit vector x, y, z, and an angle within ``spread`` (radians), by a cube-root law in single precision."""
    r1 = 2.0 * np.float64(uniform(state)) - 1.0
    r2 = 2.0 * np.float64(uniform(state)) - 1.0
    r3 = 2.0 * np.float64(uniform(state)) - 1.0
    xy_radius = math.sqrt(1.0 - r2 * r2)
    angle = np.float64(np.float32(spread) * np.float32(math.pow(np.float32(1.0 - r3 * r3), np.float32(1.0 / 3.0))))
    return xy_radius * math.sin(math.pi * r1), xy_radius * math.cos(math.pi * r1), r2, angle


@entry
def random_turns(spread: float, state: RandomState, turns: Doubles2) -> None:
    """Draw an axis and an angle within ``spread`` (radians) into every row of ``turns`` (n, 4)."""
    for row in range(turns.shape[0]):
        turns[row, 0], turns[row, 1], turns[row, 2], turns[row, 3] = random_turn(spread, state)


@entry
def random_rotations(spread: float, state: RandomState, rotations: Doubles2) -> None:
    """Draw a rotation within ``spread`` (radians) into every row of ``rotations`` (n, 9); quaternion form as in the reference."""
    for row in range(rotations.shape[0]):
        x, y, z, angle = random_turn(spread, state)
        matrix = rotation_rows((x, y, z), math.sin(angle), math.cos(angle))
        for i in range(9):
            rotations[row, i] = matrix[i]


@entry
def uniform_deviates(state: RandomState, deviates: Singles1) -> None:
    """The next deviates of the generator, as ``uniform`` draws them."""
    count = deviates.shape[0]
    # What a seed of 0 or of a multiple of the modulus does is over after three.
    for n in range(min(3, count)):
        deviates[n] = uniform(state)
    integers = state.integers
    table = integers[2:]
    seed, last = integers[0], integers[1]
    for n in range(3, count):
        product = _MULTIPLIER * seed
        # The remainder for the modulus 2^31 - 1.
        seed = (product & _MODULUS) + (product >> 31)
        seed = seed - _MODULUS if seed >= _MODULUS else seed
        # Unsigned, or the compiler provides for places counted from the end.
        j = np.uint64(last) >> np.uint64(_SHIFT)
        last = table[j]
        table[j] = seed
        value = np.float32(_TO_UNIT * last)
        deviates[n] = np.float32(_LARGEST) if value > _LARGEST else value
    integers[0], integers[1] = seed, last
