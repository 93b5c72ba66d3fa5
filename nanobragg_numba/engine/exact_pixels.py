"""The exact kernel for single pixels that another engine left to it."""

from collections.abc import Sequence

import numpy as np

from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.entries import exact_rows

FEW_ROWS = 64


class ExactPixels:
    """Recomputes pixels of images of one shape (slow, fast). For one thread at a time: it keeps a mask of that size."""

    def __init__(self, shape: tuple[int, int]):
        self._mask = np.zeros(shape, np.bool_)
        self._omega_sums, self._left = np.zeros(shape[0]), np.zeros(shape[0], np.int64)

    def compute(self, pixels: np.ndarray, tables: Tables, first_pixel: int, threads: int, images: Sequence[np.ndarray]) -> None:
        """Compute the pixels of those indices into the first of ``images``, float32, or the second, float64: the one that is not empty.

        ``first_pixel``: the index of the pixel with the run's first sweep, or -1. Structure factors are not interpolated.
        """
        if not len(pixels):
            return
        self._mask.ravel()[pixels] = True
        slow = np.unique(pixels // self._mask.shape[1])
        fast = pixels % self._mask.shape[1]
        columns = int(fast.min()), int(fast.max()) + 1
        few = len(slow) <= FEW_ROWS
        for rows in [(int(row), int(row) + 1) for row in slow] if few else [(int(slow[0]), int(slow[-1]) + 1)]:
            exact_rows.over_rows(
                rows, 0 if few else threads, tuple, columns, self._mask, tables, first_pixel, -1,
                np.zeros((1, 1), np.int64), *images, self._omega_sums, self._left,
            )  # fmt: skip
        self._mask.ravel()[pixels] = False
