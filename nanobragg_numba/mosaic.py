"""Random rotations: mosaic domains and random missetting."""

import math

import numpy as np

from .c_text import c_negative
from .compiled import compiled
from .parameters import Compat, Crystal
from .random_numbers import RandomState, new_state, reseed, uniform
from .sampling import mosaic_steps
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
def rotation_rows(x, y, z, sine, cosine):
    """The nine elements, row by row, of the rotation about the unit vector (x, y, z); operators only, so it also serves arrays and tensors."""
    versine = 1.0 - cosine
    vx = versine * x
    xy, xz, yz = vx * y, vx * z, versine * y * z
    sx, sy, sz = sine * x, sine * y, sine * z
    return (
        cosine + versine * (x * x), xy - sz, xz + sy,
        xy + sz, cosine + versine * (y * y), yz - sx,
        xz - sy, yz + sx, cosine + versine * (z * z),
    )  # fmt: skip


@compiled
def random_rotation(spread, state):
    """A (9,) rotation matrix, row by row, about a random axis by an angle within ``spread`` (radians).

    Quaternion form as in the reference.
    """
    x, y, z, angle = random_turn(spread, state)
    return np.array(rotation_rows(x, y, z, math.sin(angle), math.cos(angle)))


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


def mosaic_turns(count: int, seed: int) -> np.ndarray:
    """(domains, 4): axis of each mosaic domain's rotation, and its angle over the spread; the first is not turned."""
    state = new_state()
    reseed(state, c_negative(seed))
    turns = np.array([random_turn(1.0, state) for _ in range(count)])
    turns[0] = (1.0, 0.0, 0.0, 0.0)
    return turns


def seeded_rotations(spread: float, count: int, seed: int, state: RandomState, rounded: bool = True) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain of a run; (0, 9) without a spread (radians), where nothing is turned.

    ``state`` is seeded, and drawn from in any case: the noise can go on with it. ``rounded``: to the reference's single-precision
    angles; otherwise the rotations are smooth functions of the spread.
    """
    reseed(state, c_negative(seed))
    rotations = mosaic_rotations(spread, count, state)[: count if spread > 0.0 else 0]
    if rounded or len(rotations) == 0:
        return rotations
    x, y, z, fraction = mosaic_turns(count, seed).T
    return np.ascontiguousarray(np.array(rotation_rows.py_func(x, y, z, np.sin(spread * fraction), np.cos(spread * fraction))).T)


def domains_of(crystal: Crystal, compat: Compat, state: RandomState) -> tuple[float, int, np.ndarray, tuple[str, ...]]:
    """Mosaic spread (radians), number of domains, their rotations (domains, 9) as ``seeded_rotations``, the reference's warnings."""
    spread, count, warnings = mosaic_steps(crystal.mosaic_spread_deg, crystal.mosaic_domains)
    rotations = seeded_rotations(spread, count, crystal.mosaic_seed, state, rounded=compat == "c")
    if crystal.mosaic_rotations is not None:
        rotations = np.array(crystal.mosaic_rotations, dtype=np.float64).reshape(-1, 9)
        count = len(rotations)
    return spread, count, rotations, warnings


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
