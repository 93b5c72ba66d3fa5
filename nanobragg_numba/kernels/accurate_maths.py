"""Arithmetic that LLVM turns into vector instructions: fused multiply-add, rounding, and our own sine."""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from nanobragg_numba.jit.decorators import inlined

INVERSE_PI = 1.0 / math.pi
PI_2 = float.fromhex("0x1.1a62633145c07p-53")
PI_3 = float.fromhex("-0x1.f1976b7ed8fbcp-109")
"""pi = math.pi + PI_2 + PI_3, to 2^-162: one part more than usual, or a sine near its zeros would lose digits."""
# sin(r) = r + r^3 (S0 + S1 r^2 + ...): minimax on |r| <= pi / 2, error of the polynomial below 2^-57.
S0, S1, S2, S3, S4, S5, S6, S7 = (
    -0.16666666666666666, 0.008333333333333316, -0.00019841269841254966, 2.7557319219160833e-06,
    -2.505210761669045e-08, 1.6058977292642743e-10, -7.643969663988074e-13, 2.7314368769379893e-15,
)  # fmt: skip
# cos(r) = 1 - r^2 / 2 + r^4 (C2 + C3 r^2 + ...) on the same range: absolute error below 2^-55.
C2, C3, C4, C5, C6, C7, C8, C9 = (
    0.041666666666666664, -0.001388888888888888, 2.480158730157983e-05, -2.75573192215642e-07,
    2.0876756602192588e-09, -1.1470712228484135e-11, 4.777876512270728e-14, -1.521846222437237e-16,
)  # fmt: skip
INVERSE_LN2 = 1.0 / math.log(2.0)
LN2_1 = float.fromhex("0x1.62e42fefa39efp-1")
LN2_2 = float.fromhex("0x1.abc9e3b39803fp-56")
"""ln 2 = LN2_1 + LN2_2, to 2^-109."""
# exp(r) = 1 + r + r^2 / 2 + ... to r^13: truncated below 2^-57 on |r| <= ln(2) / 2.
E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 = (1.0 / math.factorial(n) for n in range(3, 14))
SIXTH = 1.0 / 6.0


def _calling(name: str) -> Any:
    """The code of an intrinsic: a call of the LLVM function of that name."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        kind = values[0].type
        function = builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind] * len(values)))
        return builder.call(function, values)

    return generate


@intrinsic
def fma(typing_context, x, y, z):  # type: ignore[no-untyped-def]
    """x y + z, rounded once."""
    return x(x, y, z), _calling("llvm.fma")


@intrinsic
def nearest_whole(typing_context, x):  # type: ignore[no-untyped-def]
    """The whole number nearest to x; halves go to the even one."""
    return x(x), _calling("llvm.rint")


@inlined
def nearest_whole_index(h):
    """``nearest_index`` as a double: halves go down."""
    return np.ceil(h - 0.5)


@intrinsic
def power_of_two(typing_context, k):  # type: ignore[no-untyped-def]
    """2^k for a whole double k in the range of normal exponents, by setting the exponent's bits."""

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        exponent = builder.sext(builder.fptosi(values[0], ir.IntType(32)), ir.IntType(64))
        biased = builder.add(exponent, ir.Constant(ir.IntType(64), 1023))
        return builder.bitcast(builder.shl(biased, ir.Constant(ir.IntType(64), 52)), ir.DoubleType())

    return k(k), generate


@inlined
def sixth(x):
    """x / 6, correctly rounded unless it is below 2^-960 (docs/error-bound.md)."""
    q = x * SIXTH
    return fma(fma(-6.0, q, x), SIXTH, q)


@inlined
def from_nearest_multiple_of_pi(x):
    """x less the nearest multiple of pi, |x| < 2^30."""
    k = nearest_whole(x * INVERSE_PI)
    return fma(-k, PI_3, fma(-k, PI_2, fma(-k, math.pi, x)))


@inlined
def sine_within_quarter_turn(r):
    """sin(r) for |r| <= pi / 2."""
    u = r * r
    p = fma(u, S7, S6)
    p = fma(u, p, S5)
    p = fma(u, p, S4)
    p = fma(u, p, S3)
    p = fma(u, p, S2)
    p = fma(u, p, S1)
    p = fma(u, p, S0)
    return fma(r * u, p, r)


@inlined
def cosine_within_quarter_turn(r):
    """cos(r) for |r| <= pi / 2."""
    u = r * r
    p = fma(u, C9, C8)
    p = fma(u, p, C7)
    p = fma(u, p, C6)
    p = fma(u, p, C5)
    p = fma(u, p, C4)
    p = fma(u, p, C3)
    p = fma(u, p, C2)
    p = fma(u, p, -0.5)
    return fma(u, p, 1.0)


@inlined
def sine_magnitude(x):
    """sin(x) up to its sign, for |x| < 2^30 (guard.LARGEST_ARGUMENT); relative error below 6 x 2^-53 (docs/error-bound.md)."""
    return sine_within_quarter_turn(from_nearest_multiple_of_pi(x))


@inlined
def sine_and_cosine(x):
    """sin(x) and cos(x) up to a sign common to both; the cosine's absolute error is below 7 x 2^-53."""
    r = from_nearest_multiple_of_pi(x)
    return sine_within_quarter_turn(r), cosine_within_quarter_turn(r)


# sin(pi r) = r (T0 + T1 r^2 + ...), in single precision, on |r| <= 1/2.
T0, T1, T2, T3, T4 = (
    np.float32(t) for t in (3.141592640070499, -5.16771007559742, 2.5500773608560525, -0.598290219747732, 0.07765547475102004)
)


@inlined
def sine_of_turns(r):
    """sin(pi r) for a float32 r of at most 1/2, to a few units of 2^-24."""
    u = r * r
    p = fma(u, T4, T3)
    p = fma(u, p, T2)
    p = fma(u, p, T1)
    p = fma(u, p, T0)
    return r * p


@inlined
def decay(y):
    """exp(-y) for y >= 0; relative error below 4 x 2^-53 (docs/error-bound.md), 0 above y = 700."""
    inside = y <= 700.0
    bounded = y if inside else 0.0
    k = nearest_whole(bounded * INVERSE_LN2)
    r = fma(k, LN2_2, fma(k, LN2_1, -bounded))
    p = E13
    p = fma(r, p, E12)
    p = fma(r, p, E11)
    p = fma(r, p, E10)
    p = fma(r, p, E9)
    p = fma(r, p, E8)
    p = fma(r, p, E7)
    p = fma(r, p, E6)
    p = fma(r, p, E5)
    p = fma(r, p, E4)
    p = fma(r, p, E3)
    p = fma(r, p, 0.5)
    p = fma(r, p, 1.0)
    p = fma(r, p, 1.0)
    return p * power_of_two(-k) if inside else 0.0
