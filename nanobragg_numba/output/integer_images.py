"""Integer images from the float image, some rows at a time, with C's conversions from floating point; zero outside ``window``."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nanobragg_numba.jit.entries import Entry
from nanobragg_numba.kernels import entries
from nanobragg_numba.kernels.random_state import RandomState
from nanobragg_numba.threads import FinishedRows, made_ahead

from .photon_noise import PhotonDraw, Window, row_ends

PIXELS_OF_BLOCK = 1 << 17
BRIGHTEST = 55000.0
"""Counts of the brightest pixel where no scale is given."""
ADC_OFFSET = 40.0
"""Counts of a pixel without photons where no offset is given."""


def automatic_scale(maximum: float) -> float:
    """Counts per photon that make an image's largest value ``BRIGHTEST``; 1 for an image without photons."""
    return BRIGHTEST / maximum if maximum > 0.0 else 1.0


def scaled_counts(image: np.ndarray, window: Window, scale: float, offset: float) -> Iterator[np.ndarray]:
    """The rows (rows, fast) of the uint16 image: scale x photons + offset, clipped and rounded (in single precision)."""
    yield from _converted(entries.scaled_counts, np.uint16, image, window, scale, offset)


def grey_levels(image: np.ndarray, window: Window, scale: float) -> Iterator[np.ndarray]:
    """The rows (rows, fast) of the uint8 image: scale x photons, clipped at 255."""
    yield from _converted(entries.grey_levels, np.uint8, image, window, scale)


def _converted(entry: Entry, dtype: Any, image: np.ndarray, window: Window, *numbers: float) -> Iterator[np.ndarray]:
    height, width = image.shape
    size = max(PIXELS_OF_BLOCK // width, 1)
    for start in range(0, height, size):
        rows = image[start : start + size]
        result = np.zeros(rows.shape, dtype)
        inside = max(window[2] - start, 0), min(window[3] - start, len(rows))
        entry.over_rows(inside, 0, tuple, window[:2], rows, *numbers, result)
        yield result


def noisy_counts(photons: np.ndarray, window: Window, offset: float) -> tuple[np.ndarray, int]:
    """uint16 image of photons + offset, and the number of pixels clipped."""
    counts = np.zeros(photons.shape, np.uint16)
    overloads = np.zeros(len(photons), np.int64)
    entries.noisy_counts.over_rows(window[2:], 0, tuple, window[:2], photons, offset, counts, overloads)
    return counts, int(overloads.sum())


class NoiseImage:
    """The uint16 image with photon-counting noise, of a float32 image that may still be in the making."""

    def __init__(self, image: np.ndarray, window: Window, state: RandomState, offset: float, threads: int):
        self.finished = FinishedRows()
        """To be told of the rows of the float image."""
        self.overloads = 0
        self._image, self._window, self._offset, self._ahead = image, window, offset, threads > 1
        self._draw = PhotonDraw(image, window, state, threads)

    @property
    def total(self) -> float:
        """Sum of the photons drawn so far."""
        return self._draw.total

    def rows(self) -> Iterator[np.ndarray]:
        """The rows (rows, fast), drawn as the float image's are finished. Raises AbandonedError if they never will be."""
        fast_start, fast_end, slow_start, _ = self._window
        photons = self._draw.blocks(self._ends())
        done = 0
        for drawn in made_ahead(photons, 2) if self._ahead else photons:
            if done == 0:
                yield from self._nothing(slow_start)
            counts, overloads = noisy_counts(drawn, (fast_start, fast_end, 0, len(drawn)), self._offset)
            self.overloads += overloads
            done = max(done, slow_start) + len(drawn)
            yield counts
        yield from self._nothing(len(self._image) - done)

    def _ends(self) -> Iterator[int]:
        for end in row_ends(self._window):
            self.finished.wait_for(end)
            yield end

    def _nothing(self, rows: int) -> Iterator[np.ndarray]:
        if rows > 0:
            yield np.zeros((rows, self._image.shape[1]), np.uint16)
