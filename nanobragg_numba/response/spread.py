"""Spreading each pixel's photons over its neighbours: sums in single precision, in the reference's order.

Each pixel of the result is a sum over the pixels around it, rounded to single precision after every term, in the order of the
source pixels. Sources are taken in that order, and each adds to one row after the other; threads share the rows of the result.
"""

import math
from typing import Annotated

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Singles2, Whole1

Reaches2 = Annotated[np.ndarray, "int32", 2]
BLOCK = 8
"""Pixels added to at once."""
NO_REACH = -(2**31)
"""What C makes of a radius that is no number or too large: it then spreads nothing."""
GAUSS = 0
LOG_16 = math.log(16.0)


@inlined
def whole_radius(wanted):
    """1 + the radius, rounded up, as a 32-bit integer."""
    radius = 1.0 + np.ceil(wanted)
    return np.int64(radius) if abs(radius) < 2147483648.0 else np.int64(NO_REACH)


@entry
def reaches_of_pixels(
    rows: tuple[int, int], work: tuple[()], photons: Singles2, kind: int, width: float, most: int, reaches: Reaches2
) -> None:
    """How far (pixels) each pixel's photons are followed: until a tenth of its shot noise is left outside.

    ``width``: full width at half maximum of a Gaussian, g of a fiber's, in pixels. 0 where there is nothing to spread.
    """
    for slow in range(rows[0], rows[1]):
        for fast in range(photons.shape[1]):
            value = np.float64(photons[slow, fast])
            reach = 0
            if value > 0.0:
                lost = math.sqrt(value) / 10.0
                if kind == GAUSS:
                    ratio = -math.log(lost / value) / LOG_16
                    reach = whole_radius(math.sqrt(ratio) * width if ratio >= 0.0 else np.nan)
                else:
                    reach = whole_radius(width * (value / lost))
                reach = 1 if reach == 0 else min(reach, most)
            reaches[slow, fast] = reach


@entry
def lost_photons(photons: Singles2, reaches: Reaches2, reach: int, kind: int, width: float, result: Doubles1) -> None:
    """Into ``result[0]``: the photons that fall beyond each pixel's reach, added one by one. ``reaches`` empty: ``reach`` for all."""
    total = 0.0
    before, factor = 0, 0.0
    for slow in range(photons.shape[0]):
        for fast in range(photons.shape[1]):
            value = np.float64(photons[slow, fast])
            if value <= 0.0:
                continue
            here = int(reaches[slow, fast]) if reaches.shape[0] > 0 else reach
            if here != before:
                before = here
                square = 0.0 if here == NO_REACH else np.float64(here * here)
                if kind == GAUSS:
                    ratio = np.float64(here) / width
                    factor = math.exp(-LOG_16 * (ratio * ratio))
                else:
                    factor = math.sqrt(width * width + square)
            total += value * factor if kind == GAUSS else value * width / factor
    result[0] = total


@compiled
def add_weighted(target, weights, value):
    """Add ``value`` times the weights to the pixels."""
    for i in range(target.shape[0]):
        target[i] = np.float32(np.float64(target[i]) + value * weights[i])


@inlined
def half_width(reach, down):
    """The columns within the circle on either side of the middle, so many rows from it."""
    square = reach * reach - down * down
    half = np.int64(math.sqrt(np.float64(square)))
    return half


@entry
def spread_rows(
    bands: tuple[int, int], work: tuple[()], size: int, photons: Singles2, reaches: Reaches2, radius: int, halves: Whole1,
    weights: Doubles2, wraps: bool, spread: Singles2,
) -> None:  # fmt: skip
    """Add to bands of ``size`` rows of ``spread`` what falls on them of the photons of all pixels.

    ``weights``: a row for each row from ``radius`` above to as many below, the middle column at ``radius``, at least ``BLOCK`` more
    zeros behind. ``reaches`` empty: ``radius`` for all.
    ``wraps``: what falls just beyond a row's end is added to the first pixel of the next, as in the reference.
    """
    height, width = photons.shape
    first, last = bands[0] * size, min(bands[1] * size, height)
    fixed = reaches.shape[0] == 0
    for slow in range(max(first - radius - 1, 0), min(last + radius, height)):
        for fast in range(width):
            single = photons[slow, fast]
            if not single > np.float32(0.0):
                continue
            value = np.float64(single)
            reach = radius if fixed else np.int64(reaches[slow, fast])
            for row in range(max(slow - reach, first), min(slow + reach + 1, last)):
                down = row - slow
                half = halves[abs(down)] if fixed else half_width(reach, down)
                start, end = max(fast - half, 0), min(fast + half + 1, width)
                count = end - start
                # Zeros may be added behind a circle that is all there is.
                padded = (count + BLOCK - 1) // BLOCK * BLOCK
                count = padded if fixed and start + padded <= width else count
                at = radius + start - fast
                add_weighted(spread[row, start : start + count], weights[down + radius, at : at + count], value)
            beyond = width - fast
            if wraps and reach >= beyond:
                half = half_width(reach, beyond)
                for row in range(max(slow - half, first - 1, 0), min(slow + half + 1, last - 1)):
                    spread[row + 1, 0] = np.float32(np.float64(spread[row + 1, 0]) + value * weights[row - slow + radius, radius + beyond])


@entry
def add_everywhere(rows: tuple[int, int], work: tuple[()], amount: float, image: Singles2) -> None:
    """Add the same to every pixel."""
    for slow in range(rows[0], rows[1]):
        row = image[slow, :]
        for fast in range(row.shape[0]):
            row[fast] = np.float32(np.float64(row[fast]) + amount)
