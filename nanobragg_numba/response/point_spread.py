"""The point spread of a detector: each pixel's photons shared out over its neighbours by a closed form's integral over pixels.

``gauss``: a Gaussian of full width w at half maximum, exp(-4 ln 2 r^2 / w^2). ``fiber``: of a fibre-optic taper,
g / (2 pi) (g^2 + r^2)^(-3/2) with g = 0.652 w (Holton, Nielsen, Frankel, J. Synchrotron Rad. 19 (2012) 1006), whose tails hold
g / sqrt(g^2 + r^2) of the photons beyond r.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nanobragg_numba.experiment.memory import require_memory
from nanobragg_numba.maths.c_numbers import c_int

from . import entries

KINDS = ("gauss", "fiber")
FIBER_G = 0.652383013252053
"""g of a fibre's point spread over its full width at half maximum: 1 / (2 sqrt(2^(2/3) - 1))."""
WIDTHS_FOLLOWED = {"gauss": 3.0, "fiber": 50.0}
"""Full widths at half maximum that are followed where nothing is given: 1e-11 of a Gaussian's photons are left, 1.3 % of a fibre's."""
ROOM = 8
"""Columns of zeros behind the weights, for sums over whole blocks of pixels."""
LOG_2, LOG_4, LOG_16 = (math.log(n) for n in (2.0, 4.0, 16.0))
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


def pixel_integrals(kind: str, fwhm_pixels: float, radius: int) -> np.ndarray:
    """(2 radius + 1, 2 radius + 1), float64: the point spread's integral over each pixel around the one that it is centred on."""
    whole = np.arange(-radius, radius + 1, dtype=np.float64)
    corner: Callable[[np.ndarray, np.ndarray], np.ndarray]
    if kind == "gauss":
        # The reference divides a pixel's place and its width by the Gaussian's, each by itself.
        edges = [whole / fwhm_pixels + side * (1.0 / fwhm_pixels) / 2.0 for side in (-1.0, 1.0)]
        corner = _gaussian_corner
    else:
        edges = [whole - 0.5, whole + 0.5]
        corner = _fiber_corner(FIBER_G * fwhm_pixels)
    (left, right), (low, high) = edges, edges
    return corner(right, high) - corner(right, low) - corner(left, high) + corner(left, low)


def _gaussian_corner(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(y, x): the integral of a Gaussian of width 1 from its centre to each corner."""
    along_x = np.array(list(map(math.erf, (2.0 * x * math.sqrt(LOG_2)).tolist())))
    along_y = np.array(list(map(math.erf, (y * math.sqrt(LOG_16)).tolist())))
    return 0.125 * (along_x[None, :] * along_y[:, None] * math.sqrt(LOG_16 / LOG_2))


def _fiber_corner(g: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The same for a fibre's point spread."""

    def corner(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        ratio = (x[None, :] * y[:, None]) / (g * np.sqrt(g * g + x[None, :] * x[None, :] + y[:, None] * y[:, None]))
        # numpy's arc tangent differs from C's in the last bit.
        return np.array(list(map(math.atan, ratio.ravel().tolist()))).reshape(ratio.shape) / 2.0 / math.pi

    return corner


def weights_within(kind: str, fwhm_pixels: float, radius: int) -> np.ndarray:
    """``pixel_integrals`` within the circle of that radius, zero outside."""
    whole = np.arange(-radius, radius + 1)
    inside = whole[None, :] ** 2 + whole[:, None] ** 2 <= radius * radius
    return np.where(inside, pixel_integrals(kind, fwhm_pixels, radius), 0.0)


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
