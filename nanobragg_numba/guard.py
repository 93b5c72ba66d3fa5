"""What the guarded engine covers, and the bound on its error: decided before anything is computed, without the compiler."""

import math

import numpy as np

from .parameters import SHAPES
from .tables import Tables
from .target import has_fused_multiply_add, has_known_libm

CHUNK = 128
"""Pixels of a row that the vector loops take at once."""
WORK_SHAPE = (21, CHUNK)
"""The space that they work in, a thread."""
LARGEST_ARGUMENT = 2.0**30
"""Up to here the argument reduction of ``vector_math.sine_magnitude`` keeps its bound."""
# Units of 2^-53, derived in docs/error-bound.md: of one step's intensity with all that is done once a pixel, of the
# sum's growth a step, and of its growth where the switches multiply the running sum.
STEP_UNITS = 160.0
GROWTH_UNITS = 3.0
PRODUCT_UNITS = 10.0


def is_supported(tables: Tables) -> bool:
    """Whether the vector loop covers all that ``tables`` ask for; what it does not, the exact engine computes."""
    rules, beam = tables.rules, tables.beam
    return (
        has_fused_multiply_add()
        and has_known_libm()
        and _shape_is_covered(tables)
        and not rules.interpolate
        and (len(beam.axes) == 1 or beam.kahn == 0.0 or rules.spec)
        and rules.background >= 0.0
        and rules.scale > 0.0
        and _largest_argument(tables) < LARGEST_ARGUMENT
    )


def _multiplies_the_sum(tables: Tables) -> bool:
    """Whether an oversampling switch multiplies the running sum at every step (Q3)."""
    rules = tables.rules
    return rules.each_thick or rules.each_polar or rules.each_omega


def _shape_is_covered(tables: Tables) -> bool:
    """Round crystals cancel near the zeros of their transform; flat and Gaussian spots can be exactly zero, where the
    reference skips the switches' products. The limits keep what underflows far below single precision."""
    rules, crystal = tables.rules, tables.crystal
    if crystal.shape == SHAPES.index("square"):
        return True
    if crystal.shape == SHAPES.index("round") or _multiplies_the_sum(tables):
        return False
    peak = (crystal.na * crystal.nb * crystal.nc) ** 2 * max(float(np.abs(crystal.factors).max()), abs(crystal.default_F)) ** 2
    return crystal.fudge >= 0.0 and peak < 1e100 and rules.scale < 1e100


def _largest_argument(tables: Tables) -> float:
    """An upper bound of |N pi h| over all steps: |a| |s| with |s| at most 2 / lambda."""
    crystal = tables.crystal
    edges = np.linalg.norm(crystal.orientations.reshape(-1, 3, 3), axis=2).max(axis=0)
    cells = np.array([crystal.na, crystal.nb, crystal.nc])
    return float((edges * cells).max() * 2.01 / tables.beam.wavelengths.min() * math.pi)


def relative_error_bound(tables: Tables) -> float:
    """Bound on the relative difference of a pixel's value from the reference's."""
    detector = tables.detector
    growth = PRODUCT_UNITS if _multiplies_the_sum(tables) else GROWTH_UNITS
    steps = len(tables.crystal.orientations) * len(tables.beam.wavelengths) * detector.oversample**2 * detector.layers
    return (STEP_UNITS + growth * steps) * 2.0**-53
