"""Integer images from the float image, with C's conversions from floating point; zero outside ``window``."""

import numpy as np

from .stored_code import run_rows

Window = tuple[int, int, int, int]


def scaled_counts(image: np.ndarray, window: Window, scale: float, offset: float, threads: int) -> np.ndarray:
    """uint16 image: scale x photons + offset, clipped and rounded (in single precision)."""
    counts = np.zeros(image.shape, np.uint16)
    run_rows("scaled_counts", window[2:], threads, (0, 0), window[:2], image, scale, offset, counts)
    return counts


def grey_levels(image: np.ndarray, window: Window, scale: float, threads: int) -> np.ndarray:
    """uint8 image: scale x photons, clipped at 255."""
    levels = np.zeros(image.shape, np.uint8)
    run_rows("grey_levels", window[2:], threads, (0, 0), window[:2], image, scale, levels)
    return levels


def noisy_counts(photons: np.ndarray, window: Window, offset: float, threads: int) -> tuple[np.ndarray, int]:
    """uint16 image of photons + offset, and the number of pixels clipped."""
    counts = np.zeros(photons.shape, np.uint16)
    overloads = np.zeros(len(photons), np.int64)
    run_rows("noisy_counts", window[2:], threads, (0, 0), window[:2], photons, offset, counts, overloads)
    return counts, int(overloads.sum())
