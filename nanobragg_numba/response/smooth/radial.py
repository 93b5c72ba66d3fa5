"""An amorphous sample's photons as a sum over steps, sub-pixels and sources, of the squared structure factor there."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.experiment.beam import fluence
from nanobragg_numba.experiment.beyond_bragg import Background
from nanobragg_numba.experiment.detector import mask_of
from nanobragg_numba.experiment.memory import require_memory

from .. import amorphous_table
from ..amorphous_image import render
from ..background import Exposure, molecules_of
from .places import absorbed


class RadialSteps(NamedTuple):
    """Where each step of each pixel is, and what its squared structure factor is multiplied with to be photons."""

    s: np.ndarray
    """(steps, pixels): sin(theta) / lambda (1/m)."""
    piece: np.ndarray
    """(steps, pixels), int64: the first of the four points of the table that the cubic goes through."""
    weights: np.ndarray
    """(steps, pixels): photons per electron^2; zero where the mask is, and outside the window."""
    points: np.ndarray
    """(n + 4,): the table's s (1/m), with two points more on either side."""
    shape: tuple[int, int]
    """(slow, fast)."""


def steps_of(background: Background, exposure: Exposure) -> RadialSteps:
    """The steps, by the kernel that computes the image: each sub-pixel as a pixel of a finer detector, one source after the other."""
    parameters, geometry, sources, n = exposure
    shape = geometry.slow_pixels, geometry.fast_pixels
    count = len(sources.wavelengths)
    require_memory(shape[0] * shape[1] * n * n * count * 64, f"{n * n * count} steps of {shape[1]}x{shape[0]} pixels")
    points = amorphous_table.padded(background.table[:, 0] * 1e10, background.table[:, 1], "Background.table")
    fast, fast_end, slow, slow_end = (n * edge for edge in geometry.window)
    whole = fast, fast_end - 1, slow, slow_end - 1
    fine = replace(
        geometry, pixel_size=geometry.pixel_size / n, fast_pixels=n * geometry.fast_pixels, slow_pixels=n * geometry.slow_pixels, roi=whole
    )
    size = 1.0 / (n * n) if parameters.detector.point_pixel else 1.0
    share, mask = absorbed(geometry), mask_of(parameters, geometry, "spec")
    every = np.ones(shape) if share is None else share
    every = every if mask is None else every * mask
    found: list[list[np.ndarray]] = [[], [], []]
    for source in range(count):
        one = replace(
            sources, wavelengths=sources.wavelengths[source : source + 1], directions=sources.directions[source : source + 1],
            intensities=np.ones(1),
        )  # fmt: skip
        made = render(fine, parameters, one, points, 1, fluence(parameters.beam), molecules_of(background, exposure), 1, recorded=True)
        s, polar, omega, piece = (
            column.reshape(shape[0], n, shape[1], n).transpose(1, 3, 0, 2).reshape(n * n, -1) for column in made.records.T
        )
        cross_section, photons, molecules, _ = made.table.scales
        scale = cross_section * photons * molecules * size * float(sources.intensities[source]) / count
        found[0].append(s)
        found[1].append(np.maximum(piece.astype(np.int64) - 1, 0))
        found[2].append(polar * omega * scale * every.ravel())
    s, piece, weights = (np.concatenate(arrays) for arrays in found)
    return RadialSteps(s, piece, weights, points[0], shape)


def squared_factors(s: Any, points: Any, F: Any, at: Any) -> Any:
    """F |F| of the cubic through four points, of numpy's arrays or torch's tensors: the kernel's own formula, uncompiled."""
    from ..amorphous import cubic_through_four

    value = cubic_through_four.py_func(s, points, F, at)
    return value * abs(value)
