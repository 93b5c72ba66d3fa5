"""The vector loop's own functions, against rational arithmetic far beyond double precision."""

import math
import random
from fractions import Fraction

import numba
import numpy as np
import pytest

from nanobragg_numba.jit.cpu_features import has_fused_multiply_add
from nanobragg_numba.kernels.accurate_maths import decay, sine_and_cosine, sine_magnitude, sixth
from nanobragg_numba.simd.steps import FIRST_ZERO, LAST_NONZERO

needs_fused_multiply_add = pytest.mark.skipif(
    not has_fused_multiply_add(), reason="this processor has no fused multiply-add; the guarded engine is not used on it"
)
UNIT = 2.0**-53


def pi_fraction(bits: int = 600) -> Fraction:
    """pi by Machin's formula, to that many bits."""

    def arctan_of_inverse(x: int) -> int:
        term = (1 << (bits + 20)) // x
        total, n = term, 3
        while term:
            term //= -x * x
            total += term // n
            n += 2
        return total

    return Fraction(4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)), 1 << (bits + 20))


PI = pi_fraction()


def exact_sine(x: float) -> Fraction:
    """|sin(x)| to far beyond double precision, by its series after an exact reduction."""
    r = Fraction(x) - round(Fraction(x) / PI) * PI
    r = Fraction(round(r * 2**300), 2**300)
    term = total = r
    for n in range(1, 20):
        term = Fraction(round(-term * r * r / ((2 * n) * (2 * n + 1)) * 2**300), 2**300)
        total += term
    return abs(total)


@numba.njit(error_model="numpy")
def sines(x):
    result = np.empty_like(x)
    for i in range(x.shape[0]):
        result[i] = sine_magnitude(x[i])
    return result


def exact_cosine(x: float) -> Fraction:
    """|cos(x)| likewise."""
    r = Fraction(x) - round(Fraction(x) / PI) * PI
    r = Fraction(round(r * 2**300), 2**300)
    term = total = Fraction(1)
    for n in range(1, 20):
        term = Fraction(round(-term * r * r / ((2 * n - 1) * (2 * n)) * 2**300), 2**300)
        total += term
    return abs(total)


@numba.njit(error_model="numpy")
def cosines(x):
    result = np.empty_like(x)
    for i in range(x.shape[0]):
        result[i] = abs(sine_and_cosine(x[i])[1])
    return result


@numba.njit(error_model="numpy")
def sixths(x):
    result = np.empty_like(x)
    for i in range(x.shape[0]):
        result[i] = sixth(x[i])
    return result


def arguments() -> list[float]:
    r = random.Random(5)
    spread = [r.uniform(0, 1) * 2.0 ** r.uniform(-20, 29.9) for _ in range(700)]
    multiples = [float(k * PI) for k in (1, 2, 3, 22, 355, 1000, 103993, 2**20, 2**28, *(r.randrange(1, 2**28) for _ in range(300)))]
    near = [math.nextafter(x, math.inf) for x in multiples] + [x * (1 + 1e-9) for x in multiples]
    return [sign * x for x in (*spread, *multiples, *near) for sign in (1, -1)]


@needs_fused_multiply_add
def test_sine_is_within_its_share_of_the_bound():
    x = np.array(arguments())
    worst = max(
        abs(abs(Fraction(float(s))) - exact_sine(float(v))) / exact_sine(float(v)) for v, s in zip(x, sines(x), strict=True) if v != 0.0
    )
    print(f"largest relative error of the sine: {float(worst) / UNIT:.2f} x 2^-53")
    assert worst < 3 * UNIT
    assert sines(np.array([0.0]))[0] == 0.0


@needs_fused_multiply_add
def test_cosine_is_within_its_share_of_the_bound():
    quarter_turns = [float((2 * k + 1) * PI / 2) for k in range(300)]
    x = np.array(arguments() + quarter_turns)
    worst = max(abs(Fraction(float(c)) - exact_cosine(float(v))) for v, c in zip(x, cosines(x), strict=True))
    print(f"largest absolute error of the cosine: {float(worst) / UNIT:.2f} x 2^-53")
    assert worst < 4 * UNIT


@needs_fused_multiply_add
def test_a_sixth_is_correctly_rounded():
    r = np.random.default_rng(7)
    x = r.uniform(-1, 1, 200_000) * 2.0 ** r.integers(-900, 900, 200_000)
    whole = np.arange(-20_000, 20_000) * (1.0 + 2.0**-40)
    for values in (x, whole, 6 * x, np.nextafter(6 * x, np.inf), np.array([0.0, -0.0])):
        assert np.array_equal(sixths(values), values / 6.0)


def test_where_the_exponential_becomes_zero():
    r = random.Random(8)
    assert all(math.exp(-r.uniform(700, LAST_NONZERO)) > 0.0 for _ in range(2000)) and math.exp(-LAST_NONZERO) > 0.0
    assert all(math.exp(-r.uniform(FIRST_ZERO, 1100)) == 0.0 for _ in range(2000)) and math.exp(-FIRST_ZERO) == 0.0


@numba.njit(error_model="numpy")
def decays(y):
    result = np.empty_like(y)
    for i in range(y.shape[0]):
        result[i] = decay(y[i])
    return result


def exact_decay(y: float) -> Fraction:
    """exp(-y) to far beyond double precision: the series at y / 2^12, squared twelve times."""
    x = -Fraction(y) / 2**12
    term = total = Fraction(1)
    for n in range(1, 60):
        term = Fraction(round(term * x / n * 2**400), 2**400)
        total += term
    for _ in range(12):
        bits = 300 - round(math.log2(total))
        total = Fraction(round(total * total * 2**bits), 2**bits) if bits < 900 else total * total
    return total


@needs_fused_multiply_add
def test_decay_is_within_its_share_of_the_bound():
    r = random.Random(6)
    y = np.array([r.uniform(0, 1) * 10 ** r.uniform(-8, 2.4) for _ in range(800)])
    worst = max(abs(Fraction(float(d)) / exact_decay(float(v)) - 1) for v, d in zip(y, decays(y), strict=True))
    print(f"largest relative error of the decay: {float(worst) / UNIT:.2f} x 2^-53")
    assert worst < 4 * UNIT
    assert list(decays(np.array([0.0, 700.5, 1e300, math.inf]))) == [1.0, 0.0, 0.0, 0.0]
