"""Random rotations: mosaic domains and random missetting."""

import math

import numpy as np

from .random_numbers import RandomState
from .stored_code import run
from .vectors import Vector, magnitude


def mosaic_rotations(spread: float, count: int, state: RandomState) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain; the first is the identity, its deviates drawn all the same."""
    rotations = np.empty((count, 9))
    run("random_rotations", spread, state, rotations)
    rotations[0] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    return rotations


def random_missetting(state: RandomState) -> Vector:
    """Missetting angles (radians, about x, y, z) of a random orientation.

    The spread of 90 is meant as degrees by the reference, and used as radians.
    """
    rotation = np.empty((1, 9))
    run("random_rotations", 90.0, state, rotation)
    return missetting_angles(rotation[0])


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
