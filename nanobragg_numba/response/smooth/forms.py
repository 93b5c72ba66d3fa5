"""Point spreads, integrated over pixels; each formula once, for floats and numpy's arrays or for torch's tensors.

``gauss``: exp(-4 ln 2 r^2 / w^2) of full width w at half maximum. ``fiber``: g / (2 pi) (g^2 + r^2)^(-3/2), g = 0.652 w (Holton, Nielsen
and Frankel, J. Synchrotron Rad. 19 (2012) 1006). Both in closed form, by differences at a pixel's corners. ``moffat``:
(b - 1) / (pi a^2) (1 + r^2 / a^2)^(-b), a = w / (2 sqrt(2^(1/b) - 1)) (Moffat, Astron. Astrophys. 3 (1969) 455), which is ``fiber`` for
b = 3/2 and tends to ``gauss`` for large b; by Gauss and Legendre's rule, the pixels in the middle in many parts. Beyond r it leaves
(1 + r^2 / a^2)^(1 - b).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

FORMS = ("gauss", "fiber", "moffat")
FIBER_G = 0.652383013252053
"""g of a fibre's point spread over its full width at half maximum: 1 / (2 sqrt(2^(2/3) - 1))."""
LOG_2, LOG_16 = math.log(2.0), math.log(16.0)
NODES, PARTS = 8, 48
"""Of Gauss and Legendre's rule along each side of a pixel, and of each of the parts of a pixel in the middle."""
MIDDLE = 2
"""Pixels from the middle on that are cut into parts."""


class Maths(NamedTuple):
    """The functions of a library of arrays."""

    erf: Callable[[Any], Any]
    arctan: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]
    stack: Callable[[list[Any]], Any]
    concatenate: Callable[..., Any]
    flip: Callable[..., Any]
    array: Callable[[np.ndarray], Any]
    """The library's own array of these doubles."""


def _each(function: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """C's function of each number: numpy's arc tangent differs from it in the last bit, and it has no error function."""
    return lambda x: np.array(list(map(function, x.ravel().tolist()))).reshape(x.shape)


NUMPY = Maths(_each(math.erf), _each(math.atan), np.sqrt, np.stack, np.concatenate, np.flip, np.asarray)


def pixel_integrals(kind: str, fwhm_pixels: Any, radius: int, beta: Any = 3.0, maths: Maths = NUMPY) -> Any:
    """(2 radius + 1, 2 radius + 1), float64: the point spread's integral over each pixel around the one that it is centred on.

    ``beta``: of "moffat" alone.
    """
    whole = maths.array(np.arange(-radius, radius + 1, dtype=np.float64))
    if kind == "moffat":
        return _moffat_integrals(fwhm_pixels, beta, radius, maths)
    corner: Callable[[Any, Any, Any, Maths], Any]
    if kind == "gauss":
        # The reference divides a pixel's place and its width by the Gaussian's, each by itself.
        left, right = (whole / fwhm_pixels + side * (1.0 / fwhm_pixels) / 2.0 for side in (-1.0, 1.0))
        corner = _gaussian_corner
        g = fwhm_pixels
    else:
        left, right = whole - 0.5, whole + 0.5
        corner = _fiber_corner
        g = FIBER_G * fwhm_pixels
    return corner(right, right, g, maths) - corner(right, left, g, maths) - corner(left, right, g, maths) + corner(left, left, g, maths)


def _gaussian_corner(x: Any, y: Any, _: Any, maths: Maths) -> Any:
    """(y, x): the integral of a Gaussian of width 1 from its centre to each corner."""
    along_x, along_y = maths.erf(2.0 * x * math.sqrt(LOG_2)), maths.erf(y * math.sqrt(LOG_16))
    return 0.125 * (along_x[None, :] * along_y[:, None] * math.sqrt(LOG_16 / LOG_2))


def _fiber_corner(x: Any, y: Any, g: Any, maths: Maths) -> Any:
    """The same for a fibre's point spread."""
    ratio = (x[None, :] * y[:, None]) / (g * maths.sqrt(g * g + x[None, :] * x[None, :] + y[:, None] * y[:, None]))
    return maths.arctan(ratio) / 2.0 / math.pi


def moffat_width(fwhm_pixels: Any, beta: Any) -> Any:
    """a of a Moffat function of that full width at half maximum."""
    return fwhm_pixels / (2.0 * (2.0 ** (1.0 / beta) - 1.0) ** 0.5)


def _moffat_integrals(fwhm_pixels: Any, beta: Any, radius: int, maths: Maths) -> Any:
    a = moffat_width(fwhm_pixels, beta)
    coarse = _quadrant(a, beta, radius + 1, 1, maths)
    fine = _quadrant(a, beta, min(MIDDLE, radius + 1), PARTS, maths)
    rows = [maths.concatenate([fine[row], coarse[row][MIDDLE:]]) if row < MIDDLE else coarse[row] for row in range(radius + 1)]
    quarter = maths.stack(rows)
    half = maths.concatenate([maths.flip(quarter[1:], (0,)), quarter], 0)
    return maths.concatenate([maths.flip(half[:, 1:], (1,)), half], 1)


def _quadrant(a: Any, beta: Any, count: int, parts: int, maths: Maths) -> list[Any]:
    """Of the first ``count`` rows from the middle on, the integrals over as many pixels, each side in ``parts`` of NODES points."""
    points, shares = np.polynomial.legendre.leggauss(NODES)
    within = ((np.arange(parts)[:, None] + 0.5 + points / 2.0) / parts - 0.5).ravel()
    weights = maths.array(np.tile(shares / 2.0 / parts, parts))
    squares = maths.array((np.arange(count)[:, None] + within) ** 2)
    area = (beta - 1.0) / (math.pi * a * a)
    made = []
    for row in range(count):
        # (points down, pixels along, points along)
        height = (1.0 + (squares[row][:, None, None] + squares[None]) / (a * a)) ** (-beta)
        made.append(area * ((height @ weights) * weights[:, None]).sum(0))
    return made
