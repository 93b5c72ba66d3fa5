"""The rays that a run sums, and which of them a reflection meets: each is a source at one orientation of the lattice."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.experiment.derive import Experiment

MOST_PAIRS = 1 << 21
"""Reflections times rays that are looked at together."""


@dataclass(frozen=True)
class Rays:
    """Sources and orientations of a run."""

    incident: np.ndarray
    """(sources, 3): unit vectors along the beam."""
    wavelengths: np.ndarray
    """(sources,): metres."""
    weights: np.ndarray
    """(sources,): share of the photons."""
    reciprocal: np.ndarray
    """(phi steps, domains, 3, 3): columns a*, b*, c* (1/m) of each orientation."""


def rays_of(x: Experiment) -> Rays:
    """The rays of an experiment; a run's first sweep, where it differs (Q1), is that of one pixel and left out."""
    beam, table = x.tables.beam, x.tables.crystal.orientations
    weights = beam.weights if x.tables.rules.spec else np.full(len(beam.wavelengths), 1.0 / len(beam.wavelengths))
    reciprocal = np.linalg.inv(table.reshape(len(x.angles), -1, 3, 3))
    return Rays(np.asarray(beam.incident), np.asarray(beam.wavelengths), np.asarray(weights), reciprocal)


def squared_lengths(rays: Rays, hkl: np.ndarray) -> np.ndarray:
    """(n,): |g|^2 (1/m^2) of the reflections (n, 3), the same for all orientations."""
    metric = rays.reciprocal[0, 0].T @ rays.reciprocal[0, 0]
    # Column by column: for products with three columns, BLAS takes longer than all else.
    h, k, l = hkl.T
    diagonal = h * h * metric[0, 0] + k * k * metric[1, 1] + l * l * metric[2, 2]
    return np.asarray(diagonal + 2.0 * (h * k * metric[0, 1] + h * l * metric[0, 2] + k * l * metric[1, 2]))


def met_at_step(
    rays: Rays, step: int, hkl: np.ndarray, lengths: np.ndarray, reach: float
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Row of ``hkl`` (n, 3), domain and source of the rays at a phi step whose Ewald sphere comes within ``reach`` (1/m) of a reflection.

    ``lengths`` (n,): those of ``squared_lengths``.

    With g the reflection and s the incident direction, |g + s/lambda| - 1/lambda = g.s + lambda g^2 / 2 to within the square of what it is.
    A bound from the spread of all rays about their mean leaves out what none of them meets.
    """
    lattices = rays.reciprocal[step]
    along = np.einsum("dij,si->dsj", lattices, rays.incident).reshape(-1, 3)
    half = np.tile(rays.wavelengths / 2.0, len(lattices))
    mean, middle = along.mean(axis=0), 0.5 * (half.max() + half.min())
    spread = np.linalg.norm((along - mean) @ np.linalg.inv(lattices[0]), axis=1).max()
    # Second order of the excitation error, and the rounding of long vectors.
    reach = reach * (1.0 + reach * 2.0 * half.max()) + 1e-9 * np.sqrt(lengths.max(initial=0.0))
    loose = reach
    if len(along) > 1:
        loose = reach + 1.000001 * (np.sqrt(lengths) * spread + (half.max() - middle) * lengths)
    h, k, l = hkl.T
    near = np.flatnonzero(np.abs(h * mean[0] + k * mean[1] + l * mean[2] + middle * lengths) <= loose)
    chunk = max(MOST_PAIRS // len(along), 1)
    for first in range(0, len(near), chunk):
        rows = near[first : first + chunk]
        offsets = hkl[rows] @ along.T + lengths[rows, None] * half
        at, ray = np.nonzero(np.abs(offsets) <= reach)
        for start in range(0, len(at), MOST_PAIRS // 8):
            part = slice(start, start + MOST_PAIRS // 8)
            domain, source = np.divmod(ray[part], len(rays.wavelengths))
            yield rows[at[part]], domain, source
