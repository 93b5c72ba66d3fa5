"""What of the whole image is smooth, in torch: background, point spread, read-out on average; the formulas are those of numpy's images.

Counting and read-out noise draw whole numbers and have no derivatives: these functions give what a detector reads on average, and the
variance of that is in docs/detector.md.
"""

from typing import Any

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beyond_bragg import Background, Spread
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.response.background import exposure_of
from nanobragg_numba.response.point_spread import radius_followed, within
from nanobragg_numba.response.smooth.forms import FORMS, Maths, pixel_integrals
from nanobragg_numba.response.smooth.fourier import reading_of, spread_by_fourier
from nanobragg_numba.response.smooth.radial import squared_factors, steps_of

Tensor = torch.Tensor


def _maths(device: torch.device) -> Maths:
    return Maths(
        torch.erf, torch.atan, torch.sqrt, torch.stack, torch.concatenate, torch.flip, lambda array: torch.as_tensor(array, device=device)
    )


def _image(image: Any, caller: str) -> Tensor:
    """The image as float64. Raises InputError for what is none."""
    if not isinstance(image, torch.Tensor) or image.ndim != 2 or image.is_complex():
        raise InputError(f"{caller} takes a tensor (slow, fast) of photons, not {type(image).__name__}")
    return image.double()


def _above(name: str, value: Any, low: float) -> None:
    if not _number(value) > low:
        raise InputError(f"{name} must be above {low:g}, not {_number(value):g}")


def _number(value: Any) -> float:
    return float(value.detach()) if isinstance(value, torch.Tensor) else float(value)


def point_spread(image: Tensor, kind: Spread, fwhm_pixels: Any, radius: int | None = None, beta: Any = 3.0) -> Tensor:
    """``nanobragg_numba.point_spread(..., exact=False)`` of a tensor (slow, fast; photons), float64, differentiable in the image, in
    ``fwhm_pixels`` and in the exponent ``beta`` of "moffat".

    ``radius`` (pixels) is a whole number and has no derivative; without it, it follows from the width's value. Raises InputError.
    """
    photons = _image(image, "point_spread")
    if kind not in FORMS:
        raise InputError(f"point_spread: kind must be one of {', '.join(FORMS)}, not {kind!r}")
    _above("point_spread: fwhm_pixels", fwhm_pixels, 0.0)
    _above("point_spread: beta", beta, 1.0)
    if radius is not None and radius < 1:
        raise InputError(f"point_spread: radius must be 1 or more, not {radius}")
    followed = radius_followed(kind, _number(fwhm_pixels), radius, tuple(photons.shape))
    width = torch.as_tensor(fwhm_pixels, dtype=torch.float64, device=photons.device)
    exponent = torch.as_tensor(beta, dtype=torch.float64, device=photons.device)
    weights = pixel_integrals(kind, width, followed, exponent, _maths(photons.device))
    weights = weights * torch.as_tensor(within(followed), device=photons.device)
    spread: Tensor = spread_by_fourier(photons.clamp(min=0.0), weights, torch.fft)
    return spread


def mean_reading(
    image: Tensor, *, calibration: Any = None, psf: Spread | None = None, fwhm_pixels: Any = 1.0, radius: int | None = None,
    beta: Any = 3.0, gain: Any = 1.0, adc_offset: Any = 0.0,
) -> Tensor:  # fmt: skip
    """What a detector reads on average (ADU, float64) of a tensor of mean photons (slow, fast), before clipping and rounding.

    ``calibration`` (slow, fast), or one number, multiplies the photons; the point spread shares them out; ``gain`` (ADU a photon) and
    ``adc_offset`` (ADU) make readings of them. Differentiable in all of these. The noise itself is not. Raises InputError.
    """
    photons = _image(image, "mean_reading")
    if calibration is not None:
        photons = photons * calibration
    counted = photons if psf is None else point_spread(photons, psf, fwhm_pixels, radius, beta)
    reading: Tensor = reading_of(counted, gain, adc_offset)
    return reading


def amorphous_background(
    background: Background, parameters: Parameters, *, thickness_mm: Any = None, scale: Any = 1.0, factors: Any = None
) -> Tensor:
    """``nanobragg_numba.amorphous_background`` in float64, (slow, fast; photons), differentiable in what is a tensor of these.

    ``thickness_mm`` (mm) and ``factors`` (n,), the structure factors (electrons) at the s of ``background.table``, take the places of
    ``background``'s; ``scale`` multiplies the photons. Detector and beam are plain numbers. It keeps a few doubles for each pixel,
    sub-pixel and source. Raises InputError.
    """
    given = [value for value in (thickness_mm, scale, factors) if isinstance(value, torch.Tensor)]
    device = given[0].device if given else torch.device("cpu")
    steps = steps_of(background, exposure_of(parameters))
    F = torch.as_tensor(background.table[:, 1] if factors is None else factors, dtype=torch.float64, device=device)
    if F.shape != (len(background.table),):
        raise InputError(f"amorphous_background: factors must have shape ({len(background.table)},), not {tuple(F.shape)}")
    if thickness_mm is not None:
        _above("amorphous_background: thickness_mm", thickness_mm, 0.0)
    padded = torch.concatenate([F[:1], F[:1], F, F[-1:], F[-1:]])
    s, at, weights = (torch.as_tensor(np.ascontiguousarray(array), device=device) for array in (steps.s, steps.piece, steps.weights))
    points = torch.as_tensor(steps.points, device=device)
    photons: Tensor = (squared_factors(s, points, padded, at) * weights).sum(0)
    thicker = 1.0 if thickness_mm is None else thickness_mm / background.thickness_mm
    return photons.reshape(steps.shape) * thicker * scale
