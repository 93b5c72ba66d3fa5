"""A detector's response to an image of photons, for Python: point spread, noise, read-out, one after the other.

The steps and their order are noisify's; what is not promised to be its bytes is done as it is meant: calibration has a generator of
its own, photons that leave a row do not come back in the next, and readings are rounded to the nearest whole number.
"""

from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beyond_bragg import DetectorResponse, Spread
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.seeds import fresh_seed
from nanobragg_numba.kernels.random_state import RandomState, new_state, reseed
from nanobragg_numba.threads import number_of_threads

from . import detection
from .point_spread import convolved, radius_followed, weights_within
from .smooth.forms import FORMS
from .smooth.fourier import reading_of, spread_by_fourier


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


def require_form(kind: str, fwhm_pixels: float, radius: int | None, beta: float) -> None:
    """Raise InputError for what is no point spread."""
    if kind not in FORMS:
        raise InputError(f"point_spread: kind must be one of {', '.join(FORMS)}, not {kind!r}")
    if not 0.0 < fwhm_pixels < float("inf"):
        raise InputError(f"point_spread: fwhm_pixels must be above zero, not {fwhm_pixels!r}")
    if not 1.0 < beta < float("inf"):
        raise InputError(f"point_spread: beta must be above 1, not {beta!r}")
    if radius is not None and radius < 1:
        raise InputError(f"point_spread: radius must be 1 or more, not {radius}")


def point_spread(
    image: Any, kind: Spread, fwhm_pixels: float, radius: int | None = None, exact: bool = True, threads: int | None = None,
    beta: float = 3.0,
) -> np.ndarray:  # fmt: skip
    """The image (slow, fast; photons) with each pixel's photons spread over its neighbours; float64, of the same shape.

    ``kind``: "gauss", a Gaussian of that full width at half maximum; "fiber", g / (2 pi) (g^2 + r^2)^(-3/2) with g = 0.652
    widths (Holton et al., J. Synchrotron Rad. 19 (2012) 1006); or "moffat", (1 + r^2 / a^2)^(-beta) normalised (Moffat, Astron. Astrophys.
    3 (1969) 455). Each is integrated over pixels, the first two in closed form. ``radius`` (pixels): how far it is followed; None: 3
    widths of a Gaussian, 50 of a fibre's, 20 of a Moffat function, no further than the image is wide. What falls beyond is shared out
    evenly over the image; what leaves the image is lost.
    ``exact``: term by term in the single precision of the C program noisify; otherwise by Fourier transforms in double precision.
    Raises InputError for what is no image, no point spread or no width.
    """
    photons = _photons(image, "point_spread")
    require_form(kind, fwhm_pixels, radius, beta)
    weights = weights_within(kind, fwhm_pixels, radius_followed(kind, fwhm_pixels, radius, photons.shape), beta)
    if exact:
        return convolved(photons, weights, number_of_threads(threads))
    return _by_fourier(np.asarray(image, np.float64), weights)


def _by_fourier(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    from numpy import fft

    spread: np.ndarray = spread_by_fourier(np.maximum(image, 0.0), weights, fft)
    return spread


def _state(seed: int) -> RandomState:
    state = new_state()
    reseed(state, -seed)
    return state


def calibration_map(shape: tuple[int, int], response: DetectorResponse) -> np.ndarray:
    """(slow, fast), float64: what each pixel's photons are multiplied with; it depends on shape, seed and size of the errors alone."""
    deviates = detection.gaussian_deviates(shape[0] * shape[1], _state(response.calibration_seed)).astype(np.float64)
    return 1.0 + response.calibration * deviates.reshape(shape)


BAD_PLACES = 104729
"""Added to the calibration's seed for the places of bad pixels, which are to have nothing to do with the calibration."""


def bad_pixels(shape: tuple[int, int], response: DetectorResponse) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of pixels, (slow, fast) bool: those that read 0, and those that read the largest reading; each pixel by itself is one
    with half the probability of ``response.bad_pixels``. They depend on shape, seed and that fraction alone."""
    seed = (response.calibration_seed + BAD_PLACES) % (2**31 - 2) + 1
    deviates = detection.gaussian_deviates(shape[0] * shape[1], _state(seed)).reshape(shape)
    limit = _quantile(response.bad_pixels / 2.0)
    return deviates < limit, deviates > -limit


def _quantile(share: float) -> float:
    """Below which a Gaussian deviate is with that probability, up to 1/2."""
    from statistics import NormalDist

    return -np.inf if share <= 0.0 else NormalDist().inv_cdf(share)


def detector_response(image: Any, response: DetectorResponse, seed: int | None = None, threads: int | None = None) -> np.ndarray:
    """What a detector reads of an image (slow, fast) of mean photons per pixel: uint16 or uint32.

    Each pixel's mean is multiplied by its calibration and by flicker, photons are counted, the point spread shares them out, and the
    read-out multiplies by the gain, adds offset and noise, rounds, and clips at zero and at the largest reading. Pixels below zero count
    no photons. Bad pixels read 0 or the largest reading. ``seed``: a whole number above zero, of flicker, photons and read-out; None: a
    fresh one. Raises InputError.
    """
    photons = _photons(image, "detector_response")
    seed = require_seed(fresh_seed() if seed is None else seed, "detector_response")
    return read_photons(photons, response, -seed, threads).counts


def require_seed(seed: Any, caller: str) -> int:
    """The seed as Python's whole number. Raises InputError, naming the caller, for what is no seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 < seed < 2**31 - 1:
        raise InputError(f"{caller}: seed must be a whole number above zero, not {seed!r}")
    return int(seed)


class Readings(NamedTuple):
    """What a detector has read."""

    counts: np.ndarray
    """(slow, fast), uint16 or uint32: ADU."""
    photons: float
    """Counted on all pixels."""
    overloads: int
    """Pixels that are clipped at the largest reading."""


def read_photons(photons: np.ndarray, response: DetectorResponse, seed: int, threads: int | None = None) -> Readings:
    """The same of a float32 image, which is overwritten; ``seed``: as the generator takes it, negative."""
    state = new_state()
    reseed(state, seed)
    if response.calibration > 0.0:
        photons *= calibration_map(photons.shape, response)  # type: ignore[arg-type]
    total = detection.count_photons(photons, response.flicker, 0.0, (seed, 0), state)
    counted: np.ndarray = photons.astype(np.float64)
    if response.psf is not None:
        radius = radius_followed(response.psf, response.psf_fwhm_pixels, response.psf_radius, photons.shape)
        counted = _by_fourier(counted, weights_within(response.psf, response.psf_fwhm_pixels, radius, response.psf_beta))
    reading = reading_of(counted, response.gain, response.adc_offset)
    if response.readout_noise_adu > 0.0:
        reading += response.readout_noise_adu * detection.gaussian_deviates(photons.size, state).reshape(photons.shape)
    full = np.floor(response.largest_reading)
    if response.bad_pixels > 0.0:
        dead, hot = bad_pixels(photons.shape, response)  # type: ignore[arg-type]
        reading[dead], reading[hot] = 0.0, full
    reading = np.floor(reading + 0.5)
    overloads = int((reading > full).sum())
    counts = np.clip(reading, 0.0, full).astype(np.uint16 if response.bits == 16 else np.uint32)
    return Readings(counts, total, overloads)


def read_experiment(image: np.ndarray, x: Experiment, seed: int, threads: int | None = None) -> Readings:
    """What the detector of the experiment's parameters reads of its image (slow, fast; photons); 0 outside the window. ``seed``: as the
    generator takes it. Raises InputError for parameters without a response, and for pixels that are not finite."""
    response = x.parameters.response
    if response is None:
        raise InputError("read_out needs a DetectorResponse, in Parameters.response or as its argument")
    read = read_photons(_photons(image, "the read-out"), response, seed, threads)
    fast, fast_end, slow, slow_end = x.geometry.window
    counts = np.zeros_like(read.counts)
    counts[slow:slow_end, fast:fast_end] = read.counts[slow:slow_end, fast:fast_end]
    return read._replace(counts=counts)
