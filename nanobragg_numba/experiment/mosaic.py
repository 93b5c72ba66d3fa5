"""Random rotations: mosaic domains and random missetting."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields.kept import Kept
from nanobragg_numba.kernels.entries import random_rotations, random_turns, uniform_deviates
from nanobragg_numba.kernels.random_state import RandomState, new_state, reseed
from nanobragg_numba.maths.c_numbers import c_negative
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.rotation_vectors import rotation_matrices
from nanobragg_numba.maths.vectors3 import Vector, cross, magnitude, rotate_about_axis, rotation_rows, unit

from .modes import mode_of
from .parameters import Compat, Crystal
from .steps import mosaic_steps

MOST_KEPT = 1000
GAUSSIAN_DOMAINS, FEWEST_GAUSSIAN = 10, 6
"""Of Gaussian mosaicity: domains where no number is given, and the fewest: three pairs."""
_rotations_before = Kept(4)


def mosaic_rotations(spread: float, count: int, state: RandomState) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain; the first is the identity, its deviates drawn all the same."""
    rotations = np.empty((count, 9))
    random_rotations(spread, state, rotations)
    rotations[0] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    return rotations


def mosaic_turns(count: int, seed: int) -> np.ndarray:
    """(domains, 4): axis of each mosaic domain's rotation, and its angle over the spread; the first is not turned."""
    state = new_state()
    reseed(state, c_negative(seed))
    turns = np.empty((count, 4))
    random_turns(1.0, state, turns)
    turns[0] = (1.0, 0.0, 0.0, 0.0)
    return turns


def seeded_rotations(spread: float, count: int, seed: int, state: RandomState, rounded: bool = True) -> np.ndarray:
    """(domains, 9): the rotation of each mosaic domain of a run; (0, 9) without a spread (radians), where nothing is turned.

    ``state`` is seeded, and drawn from in any case: the noise can go on with it. ``rounded``: to the reference's single-precision
    angles; otherwise the rotations are smooth functions of the spread.
    """
    start = c_negative(seed)
    reseed(state, start)
    # Only a negative seed starts the generator anew, whatever was drawn before.
    key = (spread, count, seed, rounded) if start < 0 and count <= MOST_KEPT else None
    rotations, drawn_to = _rotations_before.get("rotations", key, lambda: _drawn_rotations(spread, count, seed, state, rounded))
    state.integers[:] = drawn_to
    return rotations


def _drawn_rotations(spread: float, count: int, seed: int, state: RandomState, rounded: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rotations, and the generator's whole numbers after them."""
    rotations = mosaic_rotations(spread, count, state)[: count if spread > 0.0 else 0]
    if not rounded and len(rotations) > 0:
        x, y, z, fraction = mosaic_turns(count, seed).T
        rotations = np.ascontiguousarray(np.array(rotation_rows((x, y, z), np.sin(spread * fraction), np.cos(spread * fraction))).T)
    return rotations, state.integers.copy()


@lru_cache(maxsize=4)
def gaussian_points(count: int, seed: int) -> np.ndarray:
    """(domains, 3) The rotation vectors of ``count`` domains, over the width: pairs z and -z, and of an odd number the first is 0.

    Their mean is 0 and their second moments are those of the normal distribution, (1/domains) sum z z^T = 1, to rounding, so that a few
    stand for it: normal deviates by G. Box & M. Muller, Ann. Math. Stat. 29 (1958) 610, their three components made orthogonal and of
    that length, one after the other (Gram and Schmidt). They do not depend on the width: an image is a smooth function of it.
    """
    pairs = count // 2
    state = new_state()
    reseed(state, c_negative(seed))
    # The first deviate after a seed is not uniform: see random_missetting.
    deviates = np.empty(1 + 2 * ((3 * pairs + 1) // 2), np.float32)
    uniform_deviates(state, deviates)
    normal: list[float] = []
    for u, v in zip(deviates[1::2].tolist(), deviates[2::2].tolist(), strict=True):
        radius = math.sqrt(-2.0 * math.log(u))
        normal += (radius * math.cos(2.0 * math.pi * v), radius * math.sin(2.0 * math.pi * v))
    z = np.array(normal[: 3 * pairs]).reshape(pairs, 3)
    columns, triangle = np.linalg.qr(z)
    z = columns * np.sign(triangle.diagonal()) * math.sqrt(count / 2.0)
    points = np.concatenate((np.zeros((count % 2, 3)), np.stack((z, -z), 1).reshape(-1, 3)))
    points.setflags(write=False)
    return points


def gaussian_count(crystal: Crystal, compat: Compat) -> int:
    """The number of domains of a crystal with ``mosaic_width_deg``. Raises InputError where Gaussian mosaicity has no place."""
    if not mode_of(compat).spec:
        raise InputError(f"Crystal.mosaic_width_deg (-mosaic_width) has no meaning in compat={compat!r}; use compat='spec' (-compat spec)")
    for field, option in (("mosaic_spread_deg", " (-mosaic)"), ("mosaic_rotations", "")):
        if getattr(crystal, field) is not None:
            raise InputError(f"Crystal.mosaic_width_deg (-mosaic_width) and {field}{option} both give the mosaicity: leave one of them out")
    count = GAUSSIAN_DOMAINS if crystal.mosaic_domains is None else crystal.mosaic_domains
    if count < FEWEST_GAUSSIAN:
        raise InputError(
            f"Crystal.mosaic_domains (-mosaic_domains) must be {FEWEST_GAUSSIAN} or more with mosaic_width_deg (-mosaic_width), not {count}"
        )
    return count


def crystal_frame(a: Any, c_star: Any, spindle: Any, angles: Sequence[Any]) -> tuple[Vector, Vector, Vector]:
    """Unit vectors along a, c* x a and c* (the orthogonal frame of the PDB) of the crystal of a still, turned about the unit vector
    ``spindle`` by its angle. Raises InputError for several angles: the domains are turned after the spindle, and would not follow it."""
    if len(angles) > 1:
        raise InputError(
            f"Crystal.mosaic_width_deg (-mosaic_width): three widths are about the crystal's axes in a still, and there are "
            f"{len(angles)} phi steps; give one width, or a still for each phi"
        )
    x, z = unit(a), unit(c_star)
    first, second, third = (rotate_about_axis(v, spindle, angles[0]) for v in (x, cross(z, x), z))
    return first, second, third


def gaussian_rotations(widths_deg: Any, points: Any, frame: Callable[[], Any], maths: Any) -> Any:
    """(domains, 9): rotations about the vectors width z of the ``points`` z (domains, 3): along laboratory x, y, z with one width, (1,),
    and along the rows of ``frame``, (3, 3), with three. ``maths``: numpy or torch, whose arrays or tensors all are."""
    vectors = points * (widths_deg / RTD)
    return rotation_matrices(vectors if len(widths_deg) == 1 else vectors @ frame(), maths)


def domains_of(
    crystal: Crystal, compat: Compat, state: RandomState, frame: Callable[[], Any]
) -> tuple[float, int, np.ndarray, tuple[str, ...]]:
    """Mosaic spread (radians; 0 of a Gaussian), number of domains, their rotations (domains, 9) as ``seeded_rotations``, the reference's
    warnings. ``frame`` makes the ``crystal_frame``."""
    if crystal.mosaic_width_deg is not None:
        count = gaussian_count(crystal, compat)
        reseed(state, c_negative(crystal.mosaic_seed))
        widths = np.atleast_1d(crystal.mosaic_width_deg)
        points = gaussian_points(count, crystal.mosaic_seed)
        return 0.0, count, gaussian_rotations(widths, points, lambda: np.array(frame()), np), ()
    if mode_of(compat).spec and crystal.mosaic_spread_deg is not None and crystal.mosaic_spread_deg < 0.0:
        raise InputError(f"-mosaic must be zero or more, not {crystal.mosaic_spread_deg:g} degrees")
    spread, count, warnings = mosaic_steps(crystal.mosaic_spread_deg, crystal.mosaic_domains)
    rotations = seeded_rotations(spread, count, crystal.mosaic_seed, state, rounded=not mode_of(compat).spec)
    if crystal.mosaic_rotations is not None:
        rotations = np.array(crystal.mosaic_rotations, dtype=np.float64).reshape(-1, 9)
        count = len(rotations)
    return spread, count, rotations, warnings


def random_missetting(state: RandomState, compat: Compat) -> Vector:
    """Missetting angles (radians, about x, y, z) of a random orientation, from a generator just seeded.

    "spec": uniform over all rotations (see ``uniform_rotation``), from the second to the fourth deviate: the first after a seed is below
    1/32 twice as often as it should be, since the value that picks it from the shuffle table stands in the first place of that table.
    "c": the reference's rotation by up to 90, meant as degrees and used as radians, which is not uniform.
    """
    if mode_of(compat).spec:
        deviates = np.empty(4, np.float32)
        uniform_deviates(state, deviates)
        return missetting_angles(uniform_rotation(*deviates[1:].tolist()))
    rotation = np.empty((1, 9))
    random_rotations(90.0, state, rotation)
    return missetting_angles(rotation[0])


def uniform_rotation(u: float, v: float, w: float) -> np.ndarray:
    """(9,) The rotation matrix of three uniform deviates, uniform over all rotations: the unit quaternion of K. Shoemake,
    "Uniform random rotations", Graphics Gems III (1992) 124-132."""
    low, high = math.sqrt(1.0 - u), math.sqrt(u)
    x, y = low * math.sin(2.0 * math.pi * v), low * math.cos(2.0 * math.pi * v)
    z, cosine = high * math.sin(2.0 * math.pi * w), high * math.cos(2.0 * math.pi * w)
    sine = math.sqrt(x * x + y * y + z * z)
    axis = (x / sine, y / sine, z / sine) if sine > 0.0 else (1.0, 0.0, 0.0)
    # Quaternion (cos, axis sin) of half the angle.
    return np.array(rotation_rows(axis, 2.0 * sine * cosine, cosine * cosine - sine * sine))


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
