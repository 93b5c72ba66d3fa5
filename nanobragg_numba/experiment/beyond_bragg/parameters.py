"""Parameters of amorphous background, of what stands before the detector, and of the detector's response.

response/ computes what they mean, and docs/detector.md gives steps, units and sources.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields.values import ArrayOf, carries_derivative, make_plain

Spread = Literal["gauss", "fiber", "moffat"]
LARGEST_READING = {16: 2**16 - 1, 32: 2**31 - 1}


def _require_finite(parameters: Any) -> None:
    """Raise InputError, naming the field, for numbers that are not finite, and for tensors."""
    cls = type(parameters).__name__
    for f in fields(parameters):
        value = getattr(parameters, f.name)
        if carries_derivative(value):
            raise InputError(f"{cls}.{f.name} is a tensor: the functions of nanobragg_numba.autograd take it, and keep its gradient")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{cls}.{f.name} must be finite, not {value}")


@dataclass(frozen=True)
class Background:
    """An amorphous sample in the beam, as wide as the beam (``Beam.beamsize_mm``)."""

    table: Any
    """(n, 2): sin(theta) / lambda (1/A), ascending, and the structure factor of a molecule there (electrons); a cubic in between. Negative
    structure factors take photons away."""
    thickness_mm: float = 0.1
    """Along the beam (mm)."""
    density_g_cm3: float = 1.0
    """Density (g/cm^3)."""
    molecular_weight: float = 18.0
    """Of a molecule (g/mol)."""

    def __post_init__(self) -> None:
        make_plain(self, {"table": ArrayOf((None, 2))})
        _require_finite(self)
        if not len(self.table) or not np.isfinite(self.table).all():
            raise InputError("Background.table must hold rows of two finite numbers")
        if not (np.diff(self.table[:, 0]) > 0.0).all() or self.table[0, 0] < 0.0:
            raise InputError("Background.table: sin(theta) / lambda must be zero or more, and ascend from row to row")
        for name in ("thickness_mm", "density_g_cm3", "molecular_weight"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"Background.{name} must be above zero, not {getattr(self, name):g}")


@dataclass(frozen=True)
class Shadow:
    """What stands between sample and detector and absorbs all: of Bragg spots and background alike."""

    beamstop_mm: float = 0.0
    """Radius of a disc across the beam (mm); 0: there is none. Pixels are in its shadow, or not, by their centres."""
    beamstop_distance_mm: float | None = None
    """From the sample to the disc (mm); None: it stands at the detector."""
    mask: np.ndarray | None = None
    """(slow, fast): the share of the photons that reaches each pixel, from 0 to 1; of whole numbers and bool, all where they are not 0.
    Unlike those of ``Detector.mask``, pixels in the shadow are read out like all others."""

    def __post_init__(self) -> None:
        make_plain(self, {"mask": ArrayOf((None, None), dtype=None)})
        _require_finite(self)
        if self.beamstop_mm < 0.0:
            raise InputError(f"Shadow.beamstop_mm must be zero or more, not {self.beamstop_mm:g}")
        if self.beamstop_distance_mm is not None and not self.beamstop_distance_mm > 0.0:
            raise InputError(f"Shadow.beamstop_distance_mm must be above zero, not {self.beamstop_distance_mm:g}")
        if self.mask is not None and self.mask.dtype.kind == "f" and not ((self.mask >= 0.0) & (self.mask <= 1.0)).all():
            raise InputError("Shadow.mask: a share of the photons must be from 0 to 1")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shadow):
            return NotImplemented
        same = np.array_equal(self.mask, other.mask) if self.mask is not None and other.mask is not None else self.mask is other.mask
        return same and (self.beamstop_mm, self.beamstop_distance_mm) == (other.beamstop_mm, other.beamstop_distance_mm)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class DetectorResponse:
    """What a detector makes of the photons that reach its pixels, in this order."""

    flicker: float = 0.0
    """Of the source: r.m.s. change of a pixel's mean, as a fraction, anew for every pixel."""
    calibration: float = 0.0
    """Error of a pixel's calibration, r.m.s., as a fraction; the same for every image with this ``calibration_seed``."""
    calibration_seed: int = 1
    """A whole number above zero; of the bad pixels' places too."""
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
    bad_pixels: float = 0.0
    """Fraction of pixels, from 0 to 1, that do not work: half of them read 0, the others the largest reading, whatever reaches them."""
    psf_beta: float = 3.0
    """Exponent of the point spread "moffat", above 1: the smaller, the longer its tails."""

    def __post_init__(self) -> None:
        make_plain(self)
        _require_finite(self)
        for name in ("flicker", "calibration", "readout_noise_adu", "bad_pixels"):
            if getattr(self, name) < 0.0:
                raise InputError(f"DetectorResponse.{name} must be zero or more, not {getattr(self, name):g}")
        if self.bad_pixels > 1.0:
            raise InputError(f"DetectorResponse.bad_pixels is a fraction, at most 1, not {self.bad_pixels:g}")
        if self.bits not in LARGEST_READING:
            raise InputError(f"DetectorResponse.bits must be 16 or 32, not {self.bits}")
        if not 1 <= self.calibration_seed < 2**31 - 1:
            raise InputError(f"DetectorResponse.calibration_seed must be above zero, and below 2^31 - 1, not {self.calibration_seed}")
        for name, low in (("psf_fwhm_pixels", 0.0), ("psf_beta", 1.0)):
            if not getattr(self, name) > low:
                raise InputError(f"DetectorResponse.{name} must be above {low:g}, not {getattr(self, name):g}")
        if self.psf_radius is not None and self.psf_radius < 1:
            raise InputError(f"DetectorResponse.psf_radius must be 1 or more, not {self.psf_radius}")
        largest = LARGEST_READING[self.bits]
        if self.saturation_adu is not None and not 0.0 <= self.saturation_adu <= largest:
            raise InputError(f"DetectorResponse.saturation_adu must be between 0 and {largest}, not {self.saturation_adu:g}")

    @property
    def largest_reading(self) -> float:
        """ADU."""
        return float(LARGEST_READING[self.bits]) if self.saturation_adu is None else self.saturation_adu
