"""Photon-counting noise, serial as in the reference: each pixel's deviates follow the last pixel's."""

import numpy as np

from .random_numbers import RandomState, new_state, reseed
from .stored_code import run


def draw_photons(image: np.ndarray, window: tuple[int, int, int, int], state: RandomState) -> tuple[np.ndarray, float]:
    """Poisson deviates of a float32 image inside ``window`` (zero outside), float64, and their sum."""
    photons = np.zeros(image.shape)
    total = np.zeros(1)
    run("draw_photons", image, window, state, photons, total)
    return photons, float(total[0])


def poisson_image(image: np.ndarray, seed: int) -> np.ndarray:
    """A noisy copy of ``image`` (slow, fast), in photons, with the reference's generator; float64."""
    state = new_state()
    reseed(state, -abs(seed))
    single = np.ascontiguousarray(image, dtype=np.float32)
    return draw_photons(single, (0, single.shape[1], 0, single.shape[0]), state)[0]
