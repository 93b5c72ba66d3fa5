"""Passes over a finished image: sums for the statistics, and integers with C's conversions from floating point.

Loops that LLVM shall turn into vector instructions count from 0 along a slice: a place that might be negative stands in the way.
"""

import math

import numpy as np

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Bytes2, Doubles1, Flags2, Singles2, Whole1, Words2


@entry
def image_sums(image: Singles2, window: tuple[int, int, int, int], mask: Flags2, sums: Doubles1, counts: Whole1) -> None:
    """Into ``sums``: maximum, sum, sum of squares; into ``counts``: where the maximum is (-1: nowhere), pixels. In serial order."""
    maximum, at = 0.0, -1
    total = squares = 0.0
    count = 0
    for slow in range(window[2], window[3]):
        values, seen = image[slow, window[0] : window[1]], mask[slow, window[0] : window[1]]
        special = 0
        for i in range(values.shape[0]):
            special += 1 if not seen[i] or values[i] > maximum else 0
        if special == 0:
            # Each addition waits for the one before: nothing else may stand between them.
            for i in range(values.shape[0]):
                total += values[i]
                squares += np.float64(np.float32(values[i] * values[i]))
            count += values.shape[0]
            continue
        for i in range(values.shape[0]):
            if seen[i]:
                if values[i] > maximum:
                    maximum, at = np.float64(values[i]), slow * image.shape[1] + window[0] + i
                total += values[i]
                squares += np.float64(np.float32(values[i] * values[i]))
                count += 1
    sums[0], sums[1], sums[2] = maximum, total, squares
    counts[0], counts[1] = at, count


@entry
def squared_deviations(image: Singles2, window: tuple[int, int, int, int], mean: float, result: Doubles1) -> None:
    """Into ``result[0]``: the sum of the squared deviations from ``mean``."""
    squares = 0.0
    for slow in range(window[2], window[3]):
        values = image[slow, window[0] : window[1]]
        for i in range(values.shape[0]):
            difference = np.float64(values[i]) - mean
            squares += difference * difference
    result[0] = squares


@inlined
def truncated(value):
    """The integer that x86-64 C takes from a double before it cuts it to size; 0 for nan and out of range."""
    return np.int32(value) if -2147483649.0 < value < 2147483648.0 else np.int32(0)


@entry
def scaled_counts(
    rows: tuple[int, int], work: tuple[()], columns: tuple[int, int], image: Singles2, scale: float, offset: float, counts: Words2
) -> None:
    """Scale x photons + offset, clipped and rounded (in single precision)."""
    for slow in range(rows[0], rows[1]):
        values, results = image[slow, columns[0] : columns[1]], counts[slow, columns[0] : columns[1]]
        for i in range(values.shape[0]):
            value = float(values[i]) * scale + offset
            value = 65535.0 if value > 65535.0 else value
            value = 0.0 if value < 0.0 else value
            results[i] = truncated(math.floor(np.float64(np.float32(value + 0.5))) if value == value else value) & np.int32(0xFFFF)


@entry
def grey_levels(rows: tuple[int, int], work: tuple[()], columns: tuple[int, int], image: Singles2, scale: float, levels: Bytes2) -> None:
    """Scale x photons, clipped at 255."""
    for slow in range(rows[0], rows[1]):
        values, results = image[slow, columns[0] : columns[1]], levels[slow, columns[0] : columns[1]]
        for i in range(values.shape[0]):
            value = float(values[i]) * scale
            results[i] = truncated(255.0 if value > 255.0 else value) & np.int32(0xFF)


@entry
def noisy_counts(
    rows: tuple[int, int], work: tuple[()], columns: tuple[int, int], photons: Singles2, offset: float, counts: Words2, overloads: Whole1
) -> None:
    """Photons + offset; the number of pixels clipped in each row into ``overloads``."""
    for slow in range(rows[0], rows[1]):
        values, results = photons[slow, columns[0] : columns[1]], counts[slow, columns[0] : columns[1]]
        clipped = 0
        for i in range(values.shape[0]):
            value = float(values[i]) + offset
            clipped += 1 if value > 65535.0 else 0
            results[i] = truncated(65535.0 if value > 65535.0 else value) & np.int32(0xFFFF)
        overloads[slow] = clipped
