"""Rotation matrices of rotation vectors, smooth at the vector of no length."""

from typing import Any

SHORT = 0.01
"""Squared angle (radians) below which the series are taken: their next terms are below 1e-17."""
SINC = (1.0, -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362880.0)
VERSINC = (1.0 / 2.0, -1.0 / 24.0, 1.0 / 720.0, -1.0 / 40320.0, 1.0 / 3628800.0)


def rotation_matrices(vectors: Any, maths: Any) -> Any:
    """(n, 9): row by row, the rotations about the ``vectors`` (n, 3) by their lengths (radians), right-handed.

    Rodrigues' formula, 1 + A [v] + B [v]^2 with A = sin(t)/t, B = (1 - cos(t))/t^2 and t = |v|, both of them series in t^2 where that is
    small. ``maths``: numpy or torch, whose arrays or tensors these are; with torch all derivatives are right at length 0, too.
    """
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    squared = x * x + y * y + z * z
    short = squared < SHORT
    # A root of 0 would have no derivative, and spoil that of the branch that is taken.
    safe = maths.where(short, maths.ones_like(squared), squared)
    half = maths.sqrt(safe) / 2.0
    sine = maths.sin(half)
    a = maths.where(short, _series(SINC, squared), sine * maths.cos(half) / half)
    b = maths.where(short, _series(VERSINC, squared), sine * sine / (2.0 * half * half))
    ax, ay, az = a * x, a * y, a * z
    bxy, bxz, byz = b * x * y, b * x * z, b * y * z
    rows = (
        1.0 - b * (y * y + z * z), bxy - az, bxz + ay,
        bxy + az, 1.0 - b * (x * x + z * z), byz - ax,
        bxz - ay, byz + ax, 1.0 - b * (x * x + y * y),
    )  # fmt: skip
    return maths.stack(rows, 1)


def _series(terms: tuple[float, ...], x: Any) -> Any:
    total = terms[-1]
    for term in reversed(terms[:-1]):
        total = total * x + term
    return total
