"""Photons counted and read out: one image through the steps of a detector, each with the reference's arithmetic.

Photons until the read-out, which multiplies by the gain (ADU a photon) and adds an offset and noise (ADU).
"""

from typing import NamedTuple

import numpy as np

from nanobragg_numba.kernels.random_state import RandomState

from . import entries

FULL = {16: 65535.0, 32: 2147483647.0}
"""The largest reading by the number of bits: of 32 the reference leaves one unused."""
NO_DEVIATES = np.zeros(0, np.float32)


class Counts(NamedTuple):
    """A detector's numbers."""

    image: np.ndarray
    """(slow, fast), uint16 or uint32."""
    overloads: int
    """Pixels clipped."""


def photons_of(image: np.ndarray, factor: float, threads: int) -> np.ndarray:
    """The float32 image times ``factor``, in single precision."""
    photons = np.empty_like(image)
    entries.scaled_photons.over_rows((0, len(image)), threads, tuple, image, factor, photons)
    return photons


def count_photons(photons: np.ndarray, flicker: float, calibration: float, seeds: tuple[int, int], state: RandomState) -> float:
    """Replace each pixel's mean by a count, changed before by flicker and calibration (relative); their sum.

    ``seeds``: of flicker and photons, and of calibration. Both go on in one generator, ``state``, as in the reference: the deviates
    of the one depend on those of the other.
    """
    total = np.zeros(1)
    entries.noisy_photons(photons, flicker, calibration, np.array(seeds, np.int64), state, total)
    return float(total[0])


def gaussian_deviates(count: int, state: RandomState) -> np.ndarray:
    """(count,), float32: the generator's next deviates of mean 0 and variance 1."""
    deviates = np.empty(count, np.float32)
    entries.gaussian_deviates(state.integers[:1].copy(), state, deviates)
    return deviates


def total_of(image: np.ndarray) -> float:
    """The sum of a float32 image, pixel by pixel in double precision."""
    total = np.zeros(1)
    entries.sum_in_order(image, total)
    return float(total[0])


def read_out(
    photons: np.ndarray, gain: float, offset: float, bits: int, threads: int, noise: float = 0.0, deviates: np.ndarray = NO_DEVIATES,
    full: float | None = None,
) -> Counts:  # fmt: skip
    """Whole numbers of ``bits`` from float32 photons: gain x photons + offset + noise x deviate, cut to a whole number as C does.

    ``full``: the largest reading, by default that of ``FULL``. What is below zero wraps around, as in the reference.
    """
    height = len(photons)
    overloads = np.zeros(height, np.int64)
    full = FULL[bits] if full is None else full
    counts = np.empty(photons.shape, np.uint16 if bits == 16 else np.uint32)
    entry = entries.counts_of_16_bits if bits == 16 else entries.counts_of_32_bits
    entry.over_rows((0, height), threads, tuple, photons, gain, offset, noise, deviates, full, counts, overloads)
    return Counts(counts, int(overloads.sum()))
