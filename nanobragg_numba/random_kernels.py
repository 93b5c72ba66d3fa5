"""The reference's random numbers: Park-Miller with a shuffle table, Gaussian and Poisson deviates, and what it draws with them.

Formulas after Numerical Recipes' ran1, gasdev, gammln and poidev, in the reference's mixture of single and double
precision.
"""

import math

import numpy as np

from .array_types import Doubles1, Doubles2, Singles2
from .compiled import compiled, entry, inlined
from .random_numbers import RandomState

_TABLE = 32
_MODULUS = 2147483647
_MULTIPLIER = 16807
_QUOTIENT = 127773
_REMAINDER = 2836
_DIVISOR = 1 + (_MODULUS - 1) // _TABLE
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


@compiled
def gaussian(state):
    """A float32 deviate of unit variance (Box-Muller)."""
    if state.flags[0]:
        state.flags[0] = 0
        return state.floats[0]
    while True:
        v1 = np.float32(2.0 * uniform(state) - 1.0)
        v2 = np.float32(2.0 * uniform(state) - 1.0)
        square = np.float32(v1 * v1 + v2 * v2)
        if not (square >= np.float32(1.0) or square == np.float32(0.0)):
            break
    factor = np.float32(math.sqrt(-2.0 * math.log(np.float64(square)) / np.float64(square)))
    state.floats[0] = v1 * factor
    state.flags[0] = 1
    return np.float32(v2 * factor)


@compiled
def log_gamma(single):
    """Natural logarithm of the gamma function (Lanczos), float32 in and out."""
    x = np.float64(single)
    shifted = x + 5.5
    shifted -= (x + 0.5) * math.log(shifted)
    series = 1.000000000190015
    y = x
    for coefficient in (
        76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5,
    ):  # fmt: skip
        y += 1.0
        series += coefficient / y
    return np.float32(-shifted + math.log(2.5066282746310005 * series / x))


@compiled
def poisson(mean, state):
    """A float32 Poisson deviate of float32 ``mean``: direct below 12, rejection up to 1e6, Gaussian above."""
    if mean > 1.0e6:
        return np.float32(np.float64(mean) + math.sqrt(np.float64(mean)) * np.float64(gaussian(state)))
    cache = state.floats
    if mean < 12.0:
        if mean != cache[1]:
            cache[1] = mean
            cache[4] = math.exp(-np.float64(mean))
        count = np.float32(-1.0)
        product = np.float32(1.0)
        while True:
            count = np.float32(count + np.float32(1.0))
            product = np.float32(product * uniform(state))
            if not product > cache[4]:
                return count
    if mean != cache[1]:
        cache[1] = mean
        cache[2] = math.sqrt(2.0 * np.float64(mean))
        cache[3] = math.log(np.float64(mean))
        cache[4] = mean * cache[3] - log_gamma(np.float32(np.float64(mean) + 1.0))
    while True:
        while True:
            y = np.float32(math.tan(math.pi * np.float64(uniform(state))))
            count = np.float32(cache[2] * y + mean)
            if not count < np.float32(0.0):
                break
        count = np.float32(math.floor(np.float64(count))) if count == count else count
        exponent = np.float32(count * cache[3] - log_gamma(np.float32(np.float64(count) + 1.0)) - cache[4])
        ratio = np.float32(0.9 * (1.0 + np.float64(np.float32(y * y))) * math.exp(np.float64(exponent)))
        if not uniform(state) > ratio:
            return count


@inlined
def random_rotation(spread, state):
    """A rotation matrix, nine numbers row by row, about a random axis by an angle within ``spread`` (radians).

    The angle follows a cube-root law, in single precision; quaternion form as in the reference.
    """
    r1 = 2.0 * np.float64(uniform(state)) - 1.0
    r2 = 2.0 * np.float64(uniform(state)) - 1.0
    r3 = 2.0 * np.float64(uniform(state)) - 1.0
    xy_radius = math.sqrt(1.0 - r2 * r2)
    angle = np.float64(np.float32(spread) * np.float32(math.pow(np.float32(1.0 - r3 * r3), np.float32(1.0 / 3.0))))
    x = xy_radius * math.sin(math.pi * r1)
    y = xy_radius * math.cos(math.pi * r1)
    z = r2
    cosine = math.cos(angle)
    sine = math.sin(angle)
    versine = 1.0 - cosine
    vx = versine * x
    xy, xz, yz = vx * y, vx * z, versine * y * z
    sx, sy, sz = sine * x, sine * y, sine * z
    return (
        cosine + versine * (x * x), xy - sz, xz + sy,
        xy + sz, cosine + versine * (y * y), yz - sx,
        xz - sy, yz + sx, cosine + versine * (z * z),
    )  # fmt: skip


@entry
def random_rotations(spread: float, state: RandomState, rotations: Doubles2) -> None:
    """Draw a rotation within ``spread`` (radians) into every row of ``rotations`` (n, 9)."""
    for row in range(rotations.shape[0]):
        matrix = random_rotation(spread, state)
        for i in range(9):
            rotations[row, i] = matrix[i]


@entry
def draw_photons(image: Singles2, window: tuple[int, int, int, int], state: RandomState, photons: Doubles2, total: Doubles1) -> None:
    """Draw a Poisson deviate for every pixel inside ``window`` into ``photons``; their sum into ``total[0]``."""
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            value = np.float64(poisson(image[slow, fast], state))
            photons[slow, fast] = value
            total[0] += value
