"""Random rotations: mosaic domains and random missetting."""

import math

import numpy as np

from .c_text import c_negative
from .compiled import compiled
from .random_numbers import RandomState, reseed, uniform
from .vectors import Vector, magnitude


@compiled
def random_turn(spread, state):
    """A random unit vector x, y, z, and an angle within ``spread`` (radians), by a cube-root law in single precision."""
    r1 = 2.0 * np.float64(uniform(state)) - 1.0
    r2 = 2.0 * np.float64(uniform(state)) - 1.0
    r3 = 2.0 * np.float64(uniform(state)) - 1.0
    xy_radius = math.sqrt(1.0 - r2 * r2)
    angle = np.float64(np.float32(spread) * np.float32(math.pow(np.float32(1.0 - r3 * r3), np.float32(1.0 / 3.0))))
    x = xy_radius * math.sin(math.pi * r1)
    y = xy_radius * math.cos(math.pi * r1)
    return x, y, r2, angle


@compiled
def random_rotation(spread, state):
    """A (9,) rotation matrix, row by row, about a random axis by an angle within ``spread`` (radians).

    Quaternion form as in the reference.
    """
    x, y, z, angle = random_turn(spread, state)
    cosine = math.cos(angle)
    sine = math.sin(angle)
    versine = 1.0 - cosine
    vx = versine * x
    xy, xz, yz = vx * y, vx * z, versine * y * z
    sx, sy, sz = sine * x, sine * y, sine * z
    return np.array(
        (
            cosine + versine * (x * x), xy - sz, xz + sy,
            xy + sz, cosine + versine * (y * y), yz - sx,
            xz - sy, yz + sx, cosine + versine * (z * z),
        )
    )  # fmt: skip


@compiled
def _domains(spread, count, state):
    rotations = np.empty((count, 9))
    for domain in range(count):
        rotations[domain] = random_rotation(spread, state)
    return rotations


def mosaic_rotations(spread: float, count: int, state: RandomState) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain; the first is the identity, its deviates drawn all the same."""
    rotations = _domains(spread, count, state)
    rotations[0] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    return rotations


def seeded_rotations(spread: float, count: int, seed: int, state: RandomState) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain of a run; (0, 9) without a spread (radians), where nothing is turned.

    ``state`` is seeded, and drawn from in any case: the noise can go on with it.
    """
    reseed(state, c_negative(seed))
    return mosaic_rotations(spread, count, state)[: count if spread > 0.0 else 0]


def random_missetting(state: RandomState) -> Vector:
    """Missetting angles (radians, about x, y, z) of a random orientation.

    The spread of 90 is meant as degrees by the reference, and used as radians.
    """
    return missetting_angles(random_rotation(90.0, state))


def missetting_angles(rotation: np.ndarray) -> Vector:
    """The angles (radians) about x, then y, then z that make a (9,) rotation matrix, rows made unit length first."""
    rows = []
    for row in (0, 3, 6):
        x = (float(rotation[row]), float(rotation[row + 1]), float(rotation[row + 2]))
        rows.append(x)
    for _ in range(2):
        # The reference does this twice, and the last bits can depend on it.
        rows = [_divided(x) for x in rows]
    (uxx, _, _), (uyx, _, _), (uzx, uzy, uzz) = rows
    if uzx * uzx < 1.0:
        return (math.atan2(uzy, uzz), math.atan2(-uzx, math.sqrt(uzy * uzy + uzz * uzz)), math.atan2(uyx, uxx))
    return (math.atan2(1.0, 1.0) * 4.0, math.atan2(1.0, 1.0) * 2.0, math.atan2(rows[0][1], -rows[1][1]))


def _divided(x: Vector) -> Vector:
    length = magnitude(x)
    return (x[0] / length, x[1] / length, x[2] / length) if length > 0.0 else x
