"""The point spread of a detector: each pixel's photons shared out over its neighbours by an integral over pixels (smooth/forms.py).

A fibre's tails hold g / sqrt(g^2 + r^2) of the photons beyond r.
"""

import math
from typing import NamedTuple

import numpy as np

from nanobragg_numba.experiment.memory import require_memory
from nanobragg_numba.maths.c_numbers import c_int

from . import entries
from .smooth.forms import FIBER_G, pixel_integrals

KINDS = ("gauss", "fiber")
"""The reference's, as it counts them."""
WIDTHS_FOLLOWED = {"gauss": 3.0, "fiber": 50.0, "moffat": 20.0}
"""Full widths at half maximum that are followed where nothing is given: 1e-11 of a Gaussian's photons are left, 1.3 % of a fibre's, 6e-6 of
a Moffat function's of exponent 3."""
ROOM = 8
"""Columns of zeros behind the weights, for sums over whole blocks of pixels."""
LOG_4 = math.log(4.0)
NO_REACH = -(2**31)
"""C's whole number for a radius that is none."""
ROWS_OF_BAND = 16
"""That a thread adds to at a time."""


class Spread(NamedTuple):
    """An image after its point spread, and what the reference says about it."""

    image: np.ndarray
    """(slow, fast), float32."""
    brightest: float | None
    """Photons of the brightest pixel, where the radius was chosen by it."""
    chosen_radius: int | None
    """The radius in pixels so chosen; None with one given, and without photons."""
    lost: float | None
    """Photons that fell beyond the radius, and were shared out evenly; None where nothing was spread."""


def within(radius: int) -> np.ndarray:
    """(2 radius + 1, 2 radius + 1), bool: the circle of that radius."""
    whole = np.arange(-radius, radius + 1)
    inside: np.ndarray = whole[None, :] ** 2 + whole[:, None] ** 2 <= radius * radius
    return inside


def weights_within(kind: str, fwhm_pixels: float, radius: int, beta: float = 3.0) -> np.ndarray:
    """``pixel_integrals`` within the circle of that radius, zero outside."""
    return np.where(within(radius), pixel_integrals(kind, fwhm_pixels, radius, beta), 0.0)


def radius_followed(kind: str, fwhm_pixels: float, radius: int | None, shape: tuple[int, ...]) -> int:
    """How far a point spread is followed: as given, else as WIDTHS_FOLLOWED says, and no further than the image is wide."""
    return min(int(np.ceil(WIDTHS_FOLLOWED[kind] * fwhm_pixels)) if radius is None else radius, max(shape))


def automatic_radius(kind: str, fwhm_pixels: float, brightest: float) -> int:
    """Pixels from which on less than a tenth of the shot noise of a pixel with that many photons is left; else ``NO_REACH``."""
    lost = math.sqrt(brightest) / 10.0
    if kind == "gauss":
        ratio = -math.log(lost / brightest) / LOG_4 / 2.0
        wanted = math.sqrt(ratio) * fwhm_pixels if ratio >= 0.0 else math.nan
    else:
        wanted = FIBER_G * fwhm_pixels * (brightest / lost)
    return c_int(1.0 + math.ceil(wanted)) if math.isfinite(wanted) else NO_REACH


def spread_photons(photons: np.ndarray, kind: str, fwhm_pixels: float, radius: int, threads: int) -> Spread:
    """Spread a float32 image (slow, fast) as the reference does, bit for bit.

    ``radius`` (pixels): 0 or less for one chosen by the brightest pixel; of less, nothing is spread but what is lost beyond.
    What falls just beyond the end of a row counts in the first pixel of the next. Pixels that are not positive have nothing to spread,
    and are left out. Raises InputError where the weights do not fit into memory.
    """
    height, width = photons.shape
    spread = np.zeros_like(photons)
    brightest = chosen = None
    largest = radius
    if radius <= 0:
        brightest = float(photons.max(initial=0.0))
        if not brightest > 0.0:
            brightest = 0.0
            return Spread(spread, brightest, None, None)
        largest = chosen = automatic_radius(kind, fwhm_pixels, brightest)
    most = max(height, width)
    largest = min(1 if largest == 0 else largest, most)
    kind_number, size = KINDS.index(kind), fwhm_pixels if kind == "gauss" else FIBER_G * fwhm_pixels
    reaches = np.zeros((0, 0), np.int32)
    if radius == 0:
        reaches = np.zeros(photons.shape, np.int32)
        entries.reaches_of_pixels.over_rows((0, height), threads, tuple, photons, kind_number, size, most, reaches)
    total = np.zeros(1)
    reach = largest if radius > 0 else radius
    entries.lost_photons(photons, reaches, reach, kind_number, size, total)
    if radius >= 0 and largest > 0:
        require_memory(10 * (2 * largest + 1) ** 2 * 8, f"a point spread of radius {largest} pixels")
        _add_spread(photons, reaches, weights_within(kind, fwhm_pixels, largest), threads, True, spread)
    lost = float(total[0])
    entries.add_everywhere.over_rows((0, height), threads, tuple, lost / photons.size, spread)
    return Spread(spread, brightest, chosen, lost)


def convolved(photons: np.ndarray, weights: np.ndarray, threads: int) -> np.ndarray:
    """A float32 image (slow, fast) spread with these weights, term by term; float64.

    What the weights lack of 1 is shared out evenly; what falls outside is lost.
    """
    spread = np.zeros_like(photons)
    _add_spread(photons, np.zeros((0, 0), np.int32), weights, threads, False, spread)
    lost = float(np.maximum(photons, 0.0).sum(dtype=np.float64)) * (1.0 - float(weights.sum()))
    return spread.astype(np.float64) + lost / photons.size


def _add_spread(photons: np.ndarray, reaches: np.ndarray, weights: np.ndarray, threads: int, wraps: bool, spread: np.ndarray) -> None:
    radius = weights.shape[0] // 2
    halves = np.array([math.isqrt(radius * radius - down * down) for down in range(radius + 1)], np.int64)
    padded = np.pad(weights, ((0, 0), (0, ROOM)))
    bands = -(-len(photons) // ROWS_OF_BAND)
    entries.spread_rows.over_rows((0, bands), threads, tuple, ROWS_OF_BAND, photons, reaches, radius, halves, padded, wraps, spread)
