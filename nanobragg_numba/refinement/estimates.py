"""Standard deviations, correlations and what cannot be told apart, from the Gauss-Newton matrix J^T W J at the end of a fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .optimisers import sensitivities

UNDETERMINED = 1e-9
"""A direction with so little of the curvature that its parameters have by themselves is not determined."""
STRONG = 0.95
"""Correlations of this size are named."""
SHARE = 0.2
"""Of a direction's length: what a parameter must have to be named with it."""


@dataclass(frozen=True)
class Estimates:
    """What the data say of the parameters' precision."""

    sigmas: np.ndarray
    """(n,): standard deviations; inf where a parameter is not determined."""
    correlations: np.ndarray
    """(n, n); nan for what is not determined."""
    undetermined: tuple[tuple[int, ...], ...]
    """Groups of parameters that can move together without a change of the image: rows of an eigenvector each."""


def estimates(matrix: np.ndarray, slopes: np.ndarray | None = None) -> Estimates:
    """From J^T W J (n, n), W the inverse variances. ``slopes`` (n, n): of the reported values by the parameters of the matrix."""
    n = len(matrix)
    slopes = np.eye(n) if slopes is None else slopes
    scale = sensitivities(matrix)
    dead = np.diag(matrix) <= 0.0
    scaled = scale[:, None] * matrix * scale
    values, vectors = np.linalg.eigh(scaled)
    lost = values < UNDETERMINED * max(values.max(initial=0.0), 1e-300)
    inverse = (vectors[:, ~lost] / values[~lost]) @ vectors[:, ~lost].T
    by_scaled = slopes * scale
    covariance = by_scaled @ inverse @ by_scaled.T
    reach = np.linalg.norm(by_scaled, axis=1)[:, None]
    free = (np.abs(by_scaled @ vectors[:, lost]) > 1e-3 * reach).any(axis=1) | dead
    sigmas = np.where(free, np.inf, np.sqrt(np.maximum(np.diag(covariance), 0.0)))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    correlations[free, :] = correlations[:, free] = np.nan
    correlations[np.arange(n), np.arange(n)] = 1.0
    groups = [tuple(np.flatnonzero(np.abs(vector) > SHARE * np.abs(vector).max()).tolist()) for vector in vectors[:, lost].T]
    return Estimates(sigmas, correlations, tuple(groups))


def strong_pairs(found: Estimates, least: float = STRONG) -> list[tuple[int, int, float]]:
    """Pairs of parameters whose correlation is ``least`` or more in size, strongest first."""
    n = len(found.sigmas)
    pairs = [(i, j, float(found.correlations[i, j])) for i in range(n) for j in range(i + 1, n)]
    return sorted((pair for pair in pairs if abs(pair[2]) >= least), key=lambda pair: -abs(pair[2]))


def describe(found: Estimates, names: Sequence[str], most: int = 20) -> list[str]:
    """A sentence for each group that is not determined and each strongly correlated pair."""
    said = [f"not determined: {' and '.join(names[n] for n in group)}: they can move together without a change" if len(group) > 1
            else f"not determined: {names[group[0]]}: the image does not depend on it" for group in found.undetermined]  # fmt: skip
    said = said[:most] + ([f"and {len(said) - most} more that are not determined"] if len(said) > most else [])
    pairs = strong_pairs(found)
    said += [f"hard to tell apart: {names[i]} and {names[j]}: correlation {value:+.3f}" for i, j, value in pairs[:most]]
    return said + ([f"and {len(pairs) - most} pairs more"] if len(pairs) > most else [])
