"""How far from a reflection its spot reaches: decided once for an experiment, without the compiler."""

import math
from typing import NamedTuple

import numpy as np

from nanobragg_numba.kernels.arguments import CrystalTable, Tables
from nanobragg_numba.maths.constants import GAUSSIAN_END, GAUSSIAN_WIDTH, TOPHAT_EDGE

GAUSS, TOPHAT = 2, 3
"""As in formulas.py, which needs the compiler."""
LEFT_OUT = 1e-57
"""What all steps that are left out of a pixel in "c" may add up to: photons, before solid angle and the other factors."""
SMALLEST_EXPONENT = 1.0
WORTH_WHILE = 0.5
"""Above this share of reciprocal space, spots are so large that looking for them takes longer than it saves."""
ROUNDING = 1e-9
"""Relative: far more than all roundings of a radius."""
ROUNDED_STEP = 1e-12
"""Far more than all roundings of M dh, relative to M."""
ROUNDED_INVERSE = 1e-14
"""More than all roundings of M^-1, relative to |M| |M^-1|^2."""
ROW = 64
"""Most tiles of a chunk; orientations searched at once; bits of a set."""
SEARCH_SHAPE = (11, ROW)
"""Shape of the array, float64, that each search works in."""
Three = tuple[float, float, float]
Nine = tuple[float, float, float, float, float, float, float, float, float]


class Reach(NamedTuple):
    """Steps farther than this from the nearest reflection are left out."""

    root: Nine
    """M, row by row: a step (dh, dk, dl) from a reflection is |M dh| widths of its spot away."""
    radius: float
    """In widths."""
    along: Three
    """The largest dh, dk and dl within the radius."""
    longest: float
    """The longest axis of all steps, metres."""
    left_out: float
    """Bound on what the steps left out of a pixel add up to: photons, before solid angle, capture and polarization."""
    used: bool
    """Whether steps are left out at all."""


NO_REACH = Reach((0.0,) * 9, math.inf, (math.inf,) * 3, math.inf, 0.0, False)


def metric_root(crystal: CrystalTable, spec: bool) -> np.ndarray:
    """(3, 3): the M of ``Reach``, without fudge: of ``tensor_radius_squared`` in "spec", with or without anything off the diagonal, and of
    ``scaled_radius_squared`` in "c"."""
    cells = np.array([crystal.na, crystal.nb, crystal.nc])
    if not spec:
        return np.reshape(crystal.star, (3, 3)).T * cells.prod()
    ab, ac, bc = crystal.cross
    return np.diag(cells) + np.array([[0.0, ab, ac], [ab, 0.0, bc], [ac, bc, 0.0]])


def reach_of(tables: Tables) -> Reach:
    """The reach of an experiment's spots; where any step may matter, or most do, one that is not used."""
    _, beam, crystal, rules = tables
    switched = rules.each_thick or rules.each_polar or rules.each_omega
    # In "c" these make later steps, or pixels, depend on steps that add nothing.
    leaks = not rules.spec and (switched or beam.dmin > 0.0)
    if crystal.shape not in (GAUSS, TOPHAT) or leaks or not crystal.fudge > 0.0:
        return NO_REACH
    squared, left_out = TOPHAT_EDGE, 0.0
    if crystal.shape == GAUSS:
        squared = GAUSSIAN_WIDTH * GAUSSIAN_END
        if not rules.spec:
            squared, left_out = GAUSSIAN_WIDTH * _exponent_of_least(tables), LEFT_OUT
    root = metric_root(crystal, rules.spec)
    radius = math.sqrt(squared / crystal.fudge) * (1.0 + ROUNDING) + ROUNDED_STEP * float(np.linalg.norm(root))
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(root)
        except np.linalg.LinAlgError:
            return NO_REACH
        rounded = ROUNDED_INVERSE * np.linalg.norm(root) * np.linalg.norm(inverse) ** 2
        along = radius * (np.linalg.norm(inverse, axis=1) * (1.0 + ROUNDING) + rounded)
        longest = float(np.linalg.norm(crystal.orientations.reshape(-1, 3), axis=1).max(initial=0.0))
    used = bool(np.prod(np.minimum(2.0 * along, 1.0)) < WORTH_WHILE) and math.isfinite(longest)
    numbers = [float(value) for value in root.ravel()]
    return Reach(tuple(numbers), radius, tuple(map(float, along)), longest, left_out, used)  # type: ignore[arg-type]


def _exponent_of_least(tables: Tables) -> float:
    """The exponent of L from which all steps of a pixel together stay below LEFT_OUT."""
    detector, beam, crystal, rules = tables
    steps = len(crystal.orientations) * len(beam.wavelengths) * detector.oversample**2 * detector.layers
    largest = max(float(np.abs(crystal.factors).max()), abs(crystal.default_F)) * crystal.na * crystal.nb * crystal.nc
    photons = largest * largest * rules.scale * steps / rules.steps
    return max(0.5 * math.log(photons / LEFT_OUT) * (1.0 + ROUNDING), SMALLEST_EXPONENT) if photons > 0.0 else SMALLEST_EXPONENT
