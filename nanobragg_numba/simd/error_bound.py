"""What the guarded engine covers, and the bound on its error: decided before anything is computed, without the compiler."""

import math

import numpy as np

from nanobragg_numba.experiment.parameters import SHAPES
from nanobragg_numba.jit.cpu_features import reason_for_exact_engine
from nanobragg_numba.kernels.arguments import Tables

CHUNK = 256
"""Pixels computed together: few enough that the rows one loop reads and writes stay in the nearest cache (measured: 128 is slower)."""
WORK_SHAPE = (45, CHUNK)
"""Shape of the array, float64, that each thread needs (simd/work_rows.py)."""
LARGEST_ARGUMENT = 2.0**30
"""Up to here the argument reduction of ``vector_math.sine_magnitude`` keeps its bound."""
SQUARE, ROUND = SHAPES.index("square"), SHAPES.index("round")
# Units of 2^-53: of one step's intensity with all that is done once a pixel, of the sum's growth a step, and of its
# growth where the switches multiply the running sum.
STEP_UNITS = 160.0
GROWTH_UNITS = 3.0
PRODUCT_UNITS = 10.0
POLAR_ERROR = 50.0 * 2.0**-53
"""Bound on the difference of a polarization factor from the reference's."""
SMALLEST_POLAR = 1e-6
"""Below this, the exact engine decides."""
LARGEST_PEAK = 1e100
LARGEST_SUM = 1e200
"""Limits that keep what under- and overflows far outside single precision."""
SURE_ENOUGH = 1e-8
"""A pixel whose value is known no better than this goes to the exact engine even without the guard."""


def is_supported(tables: Tables) -> bool:
    """Whether the vector loop covers all that ``tables`` ask for; what it does not, the exact engine computes."""
    rules, beam, crystal = tables.rules, tables.beam, tables.crystal
    # Of a positive definite tensor the determinant is no more than the product of its diagonal.
    cells = crystal.na * crystal.nb * crystal.nc
    peak = (cells * max(float(np.abs(crystal.factors).max()), abs(crystal.default_F))) ** 2
    return (
        reason_for_exact_engine() is None
        and (len(beam.axes) == 1 or beam.kahn == 0.0 or rules.spec)
        and not (rules.interpolate and min(crystal.factors.shape[0] // crystal.tables, *crystal.factors.shape[1:]) < 6)
        and abs(beam.kahn) <= 1.0
        and rules.background >= 0.0
        and crystal.fudge >= 0.0
        and peak < LARGEST_PEAK
        and 1.0 / LARGEST_PEAK < rules.scale < LARGEST_PEAK
        and _largest_argument(tables) < LARGEST_ARGUMENT
    )


def _largest_argument(tables: Tables) -> float:
    """An upper bound of the sines' arguments over all steps."""
    crystal = tables.crystal
    cells = np.array([crystal.na, crystal.nb, crystal.nc])
    if crystal.shape == SQUARE:
        # |N pi h|: |a| |s| with |s| at most 2 / |lambda|; "spec" takes less, h from the nearest whole number.
        edges = np.linalg.norm(crystal.orientations.reshape(-1, 3, 3), axis=2).max(axis=0)
        shortest = float(np.abs(tables.beam.wavelengths).min())
        return float((edges * cells).max()) * 2.01 / shortest * math.pi if shortest > 0.0 else math.inf
    if crystal.shape == ROUND:
        return float(math.pi * np.linalg.norm(cells) * 0.51 * math.sqrt(crystal.fudge))
    return 0.0


def relative_error_bound(tables: Tables) -> float:
    """Bound on the relative difference of a pixel's value from the reference's, the absolute part apart."""
    detector, rules = tables.detector, tables.rules
    multiplied = rules.running_products and (rules.each_thick or rules.each_polar or rules.each_omega)
    growth = PRODUCT_UNITS if multiplied else GROWTH_UNITS
    steps = len(tables.crystal.orientations) * len(tables.beam.wavelengths) * detector.oversample**2 * detector.layers
    return (STEP_UNITS + growth * steps) * 2.0**-53
