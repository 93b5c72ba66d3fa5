"""A detector's response to an image of photons, for Python: point spread, noise, read-out, one after the other.

The steps and their order are noisify's; what is not promised to be its bytes is done as it is meant: calibration has a generator of
its own, photons that leave a row do not come back in the next, and readings are rounded to the nearest whole number.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.seeds import fresh_seed
from nanobragg_numba.fields.values import make_plain
from nanobragg_numba.kernels.random_state import RandomState, new_state, reseed
from nanobragg_numba.threads import number_of_threads

from . import detection
from .point_spread import KINDS, WIDTHS_FOLLOWED, convolved, weights_within

Spread = Literal["gauss", "fiber"]
LARGEST_READING = {16: 2**16 - 1, 32: 2**31 - 1}


@dataclass(frozen=True)
class DetectorResponse:
    """What a detector makes of the photons that reach its pixels, in this order."""

    flicker: float = 0.0
    """Of the source: r.m.s. change of a pixel's mean, as a fraction, anew for every pixel."""
    calibration: float = 0.0
    """Error of a pixel's calibration, r.m.s., as a fraction; the same for every image with this ``calibration_seed``."""
    calibration_seed: int = 1
    """A whole number above zero."""
    psf: Spread | None = None
    """Form of the point spread, of the counted photons; None: there is none."""
    psf_fwhm_pixels: float = 1.0
    """Its full width at half maximum (pixels)."""
    psf_radius: int | None = None
    """How far it is followed (pixels); see ``point_spread``."""
    gain: float = 1.0
    """ADU a photon."""
    adc_offset: float = 40.0
    """ADU of a pixel without photons."""
    readout_noise_adu: float = 0.0
    """Noise of the read-out, r.m.s. (ADU)."""
    saturation_adu: float | None = None
    """The largest reading; None: what ``bits`` can hold."""
    bits: int = 16
    """Of a reading: 16 or 32."""

    def __post_init__(self) -> None:
        make_plain(self)
        for name in ("flicker", "calibration", "readout_noise_adu"):
            if getattr(self, name) < 0.0:
                raise InputError(f"DetectorResponse.{name} must be zero or more, not {getattr(self, name):g}")
        if self.bits not in LARGEST_READING:
            raise InputError(f"DetectorResponse.bits must be 16 or 32, not {self.bits}")
        if self.calibration_seed < 1:
            raise InputError(f"DetectorResponse.calibration_seed must be above zero, not {self.calibration_seed}")
        largest = LARGEST_READING[self.bits]
        if self.saturation_adu is not None and not 0.0 <= self.saturation_adu <= largest:
            raise InputError(f"DetectorResponse.saturation_adu must be between 0 and {largest}, not {self.saturation_adu:g}")


def _photons(image: Any, caller: str) -> np.ndarray:
    """A float32 copy of an image of any real type. Raises InputError naming the pixel that is no number of photons."""
    array = np.asarray(image)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiub":
        raise InputError(f"{caller} takes an image (slow, fast) of real numbers, not {array.dtype} of shape {array.shape}")
    with np.errstate(over="ignore"):
        photons = np.array(array, np.float32, order="C")
    bad = np.flatnonzero(~np.isfinite(photons))
    if bad.size:
        slow, fast = divmod(int(bad[0]), photons.shape[1])
        raise InputError(f"{caller}: {bad.size} pixels are not finite in single precision (slow {slow}, fast {fast} is the first)")
    return photons


def point_spread(
    image: Any, kind: Spread, fwhm_pixels: float, radius: int | None = None, exact: bool = True, threads: int | None = None
) -> np.ndarray:
    """The image (slow, fast; photons) with each pixel's photons spread over its neighbours; float64, of the same shape.

    ``kind``: "gauss", a Gaussian of that full width at half maximum, or "fiber", g / (2 pi) (g^2 + r^2)^(-3/2) with g = 0.652
    widths (Holton et al., J. Synchrotron Rad. 19 (2012) 1006), each integrated over pixels in closed form. ``radius`` (pixels): how
    far it is followed; None: 3 widths of a Gaussian, 50 of a fibre's, no further than the image is wide. What falls beyond is shared out
    evenly over the image; what leaves the image is lost.
    ``exact``: term by term in the single precision of the C program noisify; otherwise by Fourier transforms in double precision.
    Raises InputError for what is no image, no point spread or no width.
    """
    photons = _photons(image, "point_spread")
    if kind not in KINDS:
        raise InputError(f"point_spread: kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if not 0.0 < fwhm_pixels < float("inf"):
        raise InputError(f"point_spread: fwhm_pixels must be above zero, not {fwhm_pixels!r}")
    most = max(photons.shape)
    if radius is None:
        radius = int(np.ceil(WIDTHS_FOLLOWED[kind] * fwhm_pixels))
    if radius < 1:
        raise InputError(f"point_spread: radius must be 1 or more, not {radius}")
    weights = weights_within(kind, fwhm_pixels, min(radius, most))
    if exact:
        return convolved(photons, weights, number_of_threads(threads))
    return _by_fourier(np.asarray(image, np.float64), weights)


def _by_fourier(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    from numpy.fft import irfft2, rfft2

    radius = weights.shape[0] // 2
    shape = tuple(size + radius for size in image.shape)
    # Enough zeros between the image and its periodic copies; what wraps around lands there.
    kernel = np.zeros(shape)
    for down in range(-radius, radius + 1):
        for columns in (slice(radius, 2 * radius + 1), slice(0, radius)):
            part = weights[down + radius, columns]
            start = 0 if columns.start else shape[1] - radius
            kernel[down % shape[0], start : start + len(part)] += part
    padded = np.zeros(shape)
    padded[: image.shape[0], : image.shape[1]] = np.maximum(image, 0.0)
    spread = irfft2(rfft2(padded) * rfft2(kernel), shape)[: image.shape[0], : image.shape[1]]
    return spread + padded.sum() * (1.0 - weights.sum()) / image.size


def _state(seed: int) -> RandomState:
    state = new_state()
    reseed(state, -seed)
    return state


def calibration_map(shape: tuple[int, int], response: DetectorResponse) -> np.ndarray:
    """(slow, fast), float64: what each pixel's photons are multiplied with; it depends on shape, seed and size of the errors alone."""
    deviates = detection.gaussian_deviates(shape[0] * shape[1], _state(response.calibration_seed)).astype(np.float64)
    return 1.0 + response.calibration * deviates.reshape(shape)


def detector_response(image: Any, response: DetectorResponse, seed: int | None = None, threads: int | None = None) -> np.ndarray:
    """What a detector reads of an image (slow, fast) of mean photons per pixel: uint16 or uint32.

    Each pixel's mean is multiplied by its calibration and by flicker, photons are counted, the point spread shares them out, and the
    read-out multiplies by the gain, adds offset and noise, rounds, and clips at zero and at the largest reading. Pixels below zero count
    no photons. ``seed``: a whole number above zero, of flicker, photons and read-out; None: a fresh one. Raises InputError.
    """
    photons = _photons(image, "detector_response")
    seed = fresh_seed() if seed is None else seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 < seed < 2**31 - 1:
        raise InputError(f"detector_response: seed must be a whole number above zero, not {seed!r}")
    state = _state(int(seed))
    if response.calibration > 0.0:
        photons = (photons * calibration_map(photons.shape, response)).astype(np.float32)
    detection.count_photons(photons, response.flicker, 0.0, (-int(seed), 0), state)
    counted: np.ndarray = photons.astype(np.float64)
    if response.psf is not None:
        counted = point_spread(photons, response.psf, response.psf_fwhm_pixels, response.psf_radius, exact=False, threads=threads)
    reading = counted * response.gain + response.adc_offset
    if response.readout_noise_adu > 0.0:
        reading += response.readout_noise_adu * detection.gaussian_deviates(photons.size, state).reshape(photons.shape)
    full = LARGEST_READING[response.bits] if response.saturation_adu is None else response.saturation_adu
    return np.clip(np.floor(reading + 0.5), 0.0, np.floor(full)).astype(np.uint16 if response.bits == 16 else np.uint32)
