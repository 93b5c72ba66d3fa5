"""Three-vectors as tuples of floats, in the reference's order of operations.

Plain Python on the host and, unchanged, inside compiled kernels (jit/decorators.py hands them to numba): sums run x, y, z
from the left, nothing is re-associated, so both give the reference's bits.
"""

from .dual_functions import cos, is_zero, sin, sqrt

Vector = tuple[float, float, float]


def dot(x: Vector, y: Vector) -> float:
    """Inner product."""
    return x[0] * y[0] + x[1] * y[1] + x[2] * y[2]


def cross(x: Vector, y: Vector) -> Vector:
    """Vector product x cross y."""
    return (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])


def magnitude(x: Vector) -> float:
    """Length."""
    return sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2])


def scale(x: Vector, factor: float) -> Vector:
    """The vector ``factor`` times as long."""
    return (factor * x[0], factor * x[1], factor * x[2])


def unit(x: Vector) -> Vector:
    """The unit vector along ``x``; the zero vector stays zero."""
    length = magnitude(x)
    if not is_zero(length):
        return (x[0] / length, x[1] / length, x[2] / length)
    return (0.0, 0.0, 0.0)


def turn(v: Vector, axis: Vector, sine: float, cosine: float) -> Vector:
    """``v`` turned right-handedly about the unit vector ``axis`` by the angle of that sine and cosine (Rodrigues' formula).

    Operators only, so it also serves components that are arrays or tensors.
    """
    along = (axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2]) * (1.0 - cosine)
    return (
        axis[0] * along + v[0] * cosine + (-axis[2] * v[1] + axis[1] * v[2]) * sine,
        axis[1] * along + v[1] * cosine + (axis[2] * v[0] - axis[0] * v[2]) * sine,
        axis[2] * along + v[2] * cosine + (-axis[1] * v[0] + axis[0] * v[1]) * sine,
    )


def rotate_about_axis(v: Vector, axis: Vector, angle: float) -> Vector:
    """``v`` turned right-handedly by ``angle`` (radians) about the unit vector ``axis``."""
    return turn(v, axis, sin(angle), cos(angle))


def rotation_rows(axis: Vector, sine: float, cosine: float) -> tuple[float, ...]:
    """The nine elements, row by row, of the rotation about the unit vector ``axis``; operators only, in the reference's order."""
    x, y, z = axis
    versine = 1.0 - cosine
    vx = versine * x
    xy, xz, yz = vx * y, vx * z, versine * y * z
    sx, sy, sz = sine * x, sine * y, sine * z
    return (
        cosine + versine * (x * x), xy - sz, xz + sy,
        xy + sz, cosine + versine * (y * y), yz - sx,
        xz - sy, yz + sx, cosine + versine * (z * z),
    )  # fmt: skip


def rescale(x: Vector, length: float) -> Vector:
    """The vector along ``x`` with the given length; a zero vector stays zero."""
    old = magnitude(x)
    if old <= 0.0:
        old = 1.0
    factor = length / old
    return (factor * x[0], factor * x[1], factor * x[2])


def rotate_xyz(v: Vector, angle_x: float, angle_y: float, angle_z: float) -> Vector:
    """``v`` turned about the laboratory x, then y, then z axis (radians); an angle of zero is no operation."""
    x, y, z = v
    if not is_zero(angle_x):
        c, s = cos(angle_x), sin(angle_x)
        y, z = y * c + z * -s, y * s + z * c
    if not is_zero(angle_y):
        c, s = cos(angle_y), sin(angle_y)
        # The products with zero are the reference's: they turn -0 into +0.
        x, z = x * c + y * 0.0 + z * s, x * -s + y * 0.0 + z * c
    if not is_zero(angle_z):
        c, s = cos(angle_z), sin(angle_z)
        x, y = x * c + y * -s, x * s + y * c
    return (x, y, z)
