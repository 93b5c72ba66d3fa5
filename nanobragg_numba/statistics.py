"""Image statistics, from the single-precision image and in serial order, as the reference prints them."""

import math
from typing import NamedTuple

import numpy as np

from .compiled import compiled


class Statistics(NamedTuple):
    """Brightest pixel (value, index; -1 where no pixel is above zero), mean, rms and rms deviation."""

    maximum: float
    maximum_index: int
    mean: float
    rms: float
    rmsd: float


@compiled
def _sums(image, window, mask):
    maximum, at = 0.0, -1
    total = squares = 0.0
    count = 0
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            if mask[slow, fast]:
                value = image[slow, fast]
                if value > maximum:
                    maximum, at = np.float64(value), slow * image.shape[1] + fast
                total += value
                squares += np.float64(np.float32(value * value))
                count += 1
    return maximum, at, total, squares, count


@compiled
def _squared_deviations(image, window, mean):
    squares = 0.0
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            difference = np.float64(image[slow, fast]) - mean
            squares += difference * difference
    return squares


def statistics(image: np.ndarray, window: tuple[int, int, int, int], mask: np.ndarray) -> Statistics:
    """Statistics of a float32 image (slow, fast).

    ``window``: fast start, fast end, slow start, slow end. The mask counts for all but the deviation, as in the reference.
    """
    maximum, at, total, squares, count = _sums(image, window, mask)
    mean = total / max(count, 1)
    rms = math.sqrt(squares / (max(count, 2) - 1))
    deviations = _squared_deviations(image, window, mean)
    pixels = max(window[1] - window[0], 0) * max(window[3] - window[2], 0)
    rmsd = math.sqrt(deviations / (max(pixels, 2) - 1))
    return Statistics(maximum, at, mean, rms, rmsd)
