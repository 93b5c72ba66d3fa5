"""Integer images from the float image, with C's conversions from floating point; zero outside ``window``."""

import numpy as np

from .stored_code import run

Window = tuple[int, int, int, int]


def scaled_counts(image: np.ndarray, window: Window, scale: float, offset: float) -> np.ndarray:
    """uint16 image: scale x photons + offset, clipped and rounded (in single precision)."""
    counts = np.zeros(image.shape, np.uint16)
    run("scaled_counts", image, window, scale, offset, counts)
    return counts


def grey_levels(image: np.ndarray, window: Window, scale: float) -> np.ndarray:
    """uint8 image: scale x photons, clipped at 255."""
    levels = np.zeros(image.shape, np.uint8)
    run("grey_levels", image, window, scale, levels)
    return levels


def noisy_counts(photons: np.ndarray, window: Window, offset: float) -> tuple[np.ndarray, int]:
    """uint16 image of photons + offset, and the number of pixels clipped."""
    counts = np.zeros(photons.shape, np.uint16)
    overloads = np.zeros(1, np.int64)
    run("noisy_counts", photons, window, offset, counts, overloads)
    return counts, int(overloads[0])
