"""Image statistics, from the single-precision image and in serial order, as the reference prints them."""

import math
from typing import NamedTuple

import numpy as np

from nanobragg_numba.kernels.entries import image_sums, squared_deviations


class Statistics(NamedTuple):
    """Brightest pixel (value, index; -1 where no pixel is above zero), mean, rms and rms deviation."""

    maximum: float
    maximum_index: int
    mean: float
    rms: float
    rmsd: float


def statistics(image: np.ndarray, window: tuple[int, int, int, int], mask: np.ndarray) -> Statistics:
    """Statistics of a float32 image (slow, fast).

    ``window``: fast start, fast end, slow start, slow end. The mask counts for all but the deviation, as in the reference.
    """
    sums, counts = np.zeros(3), np.zeros(2, np.int64)
    image_sums(image, window, mask, sums, counts)
    (maximum, total, squares), (at, count) = map(float, sums), map(int, counts)
    mean = total / max(count, 1)
    rms = math.sqrt(squares / (max(count, 2) - 1))
    deviations = np.zeros(1)
    squared_deviations(image, window, mean, deviations)
    pixels = max(window[1] - window[0], 0) * max(window[3] - window[2], 0)
    rmsd = math.sqrt(float(deviations[0]) / (max(pixels, 2) - 1))
    return Statistics(maximum, at, mean, rms, rmsd)
