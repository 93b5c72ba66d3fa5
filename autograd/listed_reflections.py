"""Whether a list of structure factors holds every reflection that an image can show."""

import math
from itertools import product

import numpy as np

from nanobragg_numba.experiment.derive import Experiment


def all_listed(experiment: Experiment) -> bool:
    """Whether the indices of all steps lie inside the box of the list; True only where that is certain.

    |h| = |a.s| is at most |a| |s|, and |s| at most what the window's corners reach.
    """
    factors = experiment.parameters.crystal.structure_factors
    if factors is None:
        return False
    largest = _largest_scattering_vector(experiment)
    axes = experiment.tables.crystal.orientations.reshape(-1, 3, 3)
    lengths = np.linalg.norm(axes, axis=2).max(axis=0)
    # The nearest index, or the four neighbours that interpolation takes along each axis.
    around = 2.0 if experiment.interpolate else 0.5
    for low, high, length in zip(factors.limits[::2], factors.limits[1::2], lengths, strict=True):
        reach = math.floor(length * largest + around + 1e-9)
        if low > -reach or high < reach:
            return False
    return True


def _largest_scattering_vector(experiment: Experiment) -> float:
    """An upper bound of |s| (1/m)."""
    geometry, sources = experiment.geometry, experiment.sources
    largest = 2.0 / float(np.abs(sources.wavelengths).min())
    if not experiment.parameters.detector.curved:
        fast_start, fast_end, slow_start, slow_end = geometry.window
        depths = (0.0, geometry.thickness)
        edges = product((fast_start, fast_end), (slow_start, slow_end), depths)
        pix0, fast, slow, normal = (np.array(v) for v in (geometry.pix0, geometry.fast, geometry.slow, geometry.normal))
        corners = np.array([pix0 + geometry.pixel_size * (f * fast + s * slow) + depth * normal for f, s, depth in edges])
        rays = corners / np.linalg.norm(corners, axis=1, keepdims=True)
        cosines = rays @ -sources.directions.T
        # Of a flat window in front, the corners scatter the most.
        if (cosines > 0.0).all():
            largest = float((np.sqrt(np.maximum(0.0, 2.0 - 2.0 * cosines)) / sources.wavelengths).max())
    cut = experiment.tables.beam.dmin
    return min(largest, 1.0 / cut) if cut > 0.0 else largest
