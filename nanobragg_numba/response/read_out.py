"""From photons to a detector's whole numbers, with C's conversions from floating point."""

from typing import Annotated

import numpy as np

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Singles1, Singles2, Whole1, Words2
from nanobragg_numba.kernels.images import truncated

Longs2 = Annotated[np.ndarray, "uint32", 2]


@entry
def scaled_photons(rows: tuple[int, int], work: tuple[()], image: Singles2, factor: float, photons: Singles2) -> None:
    """The image times a factor, in single precision."""
    for slow in range(rows[0], rows[1]):
        values, results = image[slow, :], photons[slow, :]
        for fast in range(values.shape[0]):
            results[fast] = np.float32(factor * np.float64(values[fast]))


@entry
def sum_in_order(image: Singles2, result: Doubles1) -> None:
    """Into ``result[0]``: the sum of all pixels, added one by one."""
    total = 0.0
    for slow in range(image.shape[0]):
        row = image[slow, :]
        for fast in range(row.shape[0]):
            total += np.float64(row[fast])
    result[0] = total


@inlined
def clipped_units(photons, gain, offset, noise, deviates, at, full):
    """A pixel's reading before it is cut to a whole number, at most ``full``, and 1 if it was above; ``deviates`` empty: no noise."""
    reading = np.float64(photons) * gain + offset
    if deviates.shape[0] > 0:
        reading += noise * np.float64(deviates[at])
    return (full, 1) if reading > full else (reading, 0)


@entry
def counts_of_16_bits(
    rows: tuple[int, int], work: tuple[()], photons: Singles2, gain: float, offset: float, noise: float, deviates: Singles1,
    full: float, counts: Words2, overloads: Whole1,
) -> None:  # fmt: skip
    """Gain x photons + offset + noise x deviate, clipped at ``full`` and cut to 16 bits; pixels clipped in each row in ``overloads``."""
    for slow in range(rows[0], rows[1]):
        values, results = photons[slow, :], counts[slow, :]
        begin = np.uint64(slow * photons.shape[1])
        clipped = 0
        for fast in range(values.shape[0]):
            reading, above = clipped_units(values[fast], gain, offset, noise, deviates, begin + np.uint64(fast), full)
            clipped += above
            results[fast] = truncated(reading) & np.int32(0xFFFF)
        overloads[slow] = clipped


@entry
def counts_of_32_bits(
    rows: tuple[int, int], work: tuple[()], photons: Singles2, gain: float, offset: float, noise: float, deviates: Singles1,
    full: float, counts: Longs2, overloads: Whole1,
) -> None:  # fmt: skip
    """The same for 32 bits."""
    for slow in range(rows[0], rows[1]):
        values, results = photons[slow, :], counts[slow, :]
        begin = np.uint64(slow * photons.shape[1])
        clipped = 0
        for fast in range(values.shape[0]):
            reading, above = clipped_units(values[fast], gain, offset, noise, deviates, begin + np.uint64(fast), full)
            clipped += above
            results[fast] = np.uint32(np.int64(reading) & np.int64(0xFFFFFFFF)) if reading > -9.2e18 else np.uint32(0)
        overloads[slow] = clipped
