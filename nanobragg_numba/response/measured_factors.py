"""Structure factors of an amorphous sample from a measured image, by the pieces of a table, as nonBragg's -img finds them.

What the reference means is the mean of F over the pixels nearest to each point. Pixels outside the window all go to a first group, which
has no room for them, and overwrite what follows it in memory; with -roi the means next to it are spoilt by that, here as there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .amorphous_image import AmorphousImage

FEWEST = 100
"""Pixels that a mean must have more of to be written."""


class Group(NamedTuple):
    """The pixels nearest to one point of the table."""

    point: int
    """Its place in the table."""
    s: float
    """1/m."""
    pixels: int
    mean: float
    """Of F (electrons); 0 without pixels."""
    rmsd: float


class Measured(NamedTuple):
    """An image whose structure factors are asked for."""

    pixels: np.ndarray
    """(slow, fast), counts; taken row after row, whatever the size of the image computed."""
    offset: float
    """Counts of a pixel without photons."""
    gain: float
    """Counts a photon."""
    ignore: tuple[int, ...]
    """Counts of pixels that mean nothing."""


def groups(made: AmorphousImage, measured: Measured, window: tuple[int, int, int, int]) -> Iterator[Group]:
    """The groups of all points but the last two and first two, from a run whose last steps were recorded."""
    height, width = made.image.shape
    slow, fast = np.divmod(np.arange(height * width), width)
    inside = (fast >= window[0]) & (fast < window[1]) & (slow >= window[2]) & (slow < window[3])
    counts = measured.pixels.ravel()[: height * width]
    F = np.where(inside, _factors(counts, made, measured), np.float32(0.0))
    points, (s, _, _, piece) = made.table.s, made.records.T
    nearest = piece.astype(np.int64)
    nearest += s > (points[nearest] + points[nearest + 1]) / 2.0
    nearest = np.where(inside & ~np.isin(counts, measured.ignore), nearest, 0)
    number = np.bincount(nearest[inside], minlength=len(points))
    starts = np.concatenate([[1], 1 + np.cumsum(2 * number[:-1] + 2)])
    memory = np.zeros(2 * height * width + 10 * len(points) + 10, np.float32)
    order = np.argsort(nearest, kind="stable")
    first = np.searchsorted(nearest[order], np.arange(len(points)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - first[nearest[order]]
    # Where two go to one place, the later pixel's stays.
    memory[starts[nearest] + rank] = F
    for point in range(2, len(points) - 2):
        values = memory[starts[point] : starts[point] + number[point]]
        mean = rmsd = 0.0
        if len(values):
            mean = float(_sum(values) / np.float32(len(values)))
            away = np.abs(values - np.float32(mean))
            rmsd = float(np.float32(np.sqrt(np.float64(_sum(away * away) / np.float32(len(values))))))
        yield Group(point, float(points[point]), int(number[point]), mean, rmsd)


def _sum(values: np.ndarray) -> np.float32:
    """One by one, in single precision."""
    return np.add.accumulate(values, dtype=np.float32)[-1]


def _factors(counts: np.ndarray, made: AmorphousImage, measured: Measured) -> np.ndarray:
    """F of each pixel's counts, its sign that of the photons, in single precision."""
    _, polar, omega, _ = made.records.T
    cross_section, fluence, molecules, steps = made.table.scales
    photons = ((counts.astype(np.float32).astype(np.float64) - measured.offset) / measured.gain).astype(np.float32)
    with np.errstate(all="ignore"):
        square = np.abs(photons).astype(np.float64) / polar / omega / fluence / cross_section / molecules * steps
        return (np.where(photons < 0.0, -1.0, 1.0) * np.sqrt(square)).astype(np.float32)
