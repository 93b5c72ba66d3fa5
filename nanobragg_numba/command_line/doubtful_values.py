"""Values that are read as they stand in "c" and have no meaning: sentences that name the option."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.experiment.parameters import Detector, Parameters

LONGEST_X_RAY = 100.0
"""A; beyond lies the ultraviolet, and an energy that was given in keV."""


class _Rule(NamedTuple):
    """What a number must be; each number where there are several."""

    option: str
    field: str
    allowed: str
    holds: Callable[[float], bool]


def _not_negative(value: float) -> bool:
    return value >= 0.0


def _of_x_rays(value: float) -> bool:
    return value <= LONGEST_X_RAY


RULES = (
    _Rule("-N", "crystal.n_cells", "0 or more", _not_negative),
    _Rule("-xtalsize", "crystal.size_mm", "0 or more", _not_negative),
    _Rule("-fudge", "crystal.fudge", "0 or more", _not_negative),
    _Rule("-mosaic", "crystal.mosaic_spread_deg", "0 or more", _not_negative),
    _Rule("-mosaic_domains", "crystal.mosaic_domains", "1 or more", lambda value: value >= 1),
    _Rule("-water", "crystal.water_um", "0 or more", _not_negative),
    _Rule("-lambda or -energy", "beam.wavelength_A", f"at most {LONGEST_X_RAY:g} A, for X-rays (an energy is in eV)", _of_x_rays),
    _Rule("-polar", "beam.polarization", "from -1 to 1", lambda value: -1.0 <= value <= 1.0),
    _Rule("-fluence", "beam.fluence", "0 or more", _not_negative),
    _Rule("-flux", "beam.flux", "0 or more", _not_negative),
    _Rule("-exposure", "beam.exposure_s", "0 or more", _not_negative),
    _Rule("-beamsize", "beam.beamsize_mm", "0 or more", _not_negative),
    _Rule("-detector_thick", "detector.thickness_um", "0 or more", _not_negative),
    _Rule("-detector_abs", "detector.attenuation_depth_um", "0 or more", _not_negative),
    _Rule("-dmin", "sampling.dmin_A", "0 or more", _not_negative),
)  # fmt: skip


def doubtful_values(parameters: Parameters) -> list[str]:
    """A sentence for each value that makes no sense, and for a window of no pixels and a matrix that is no crystal's."""
    said = []
    for rule in RULES:
        part, field = rule.field.split(".")
        value = getattr(getattr(parameters, part), field)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not rule.holds(number):
                said.append(f"{rule.option} must be {rule.allowed}, not {number:g}")
                break
    return said + _window(parameters.detector) + _matrix(parameters.crystal.mosflm_matrix)


def _window(detector: Detector) -> list[str]:
    """A sentence where the region of interest is empty: its ends are included, and negative ones are the image's edge."""
    if detector.roi is None:
        return []
    sides = []
    for name, pixels, size_mm, (low, high) in zip(
        ("fast", "slow"), detector.pixels, detector.size_mm, (detector.roi[:2], detector.roi[2:]), strict=True
    ):
        count = pixels or round(size_mm / detector.pixel_size_mm) if detector.pixel_size_mm > 0.0 else 0
        low, high = max(low, 0), count - 1 if high < 0 else high
        if count > 0 and (low > high or low >= count):
            sides.append(f"{low} to {high} along the {name} axis of {count} pixels")
    return [f"-roi holds no pixel: {' and '.join(sides)}"] if sides else []


def _matrix(matrix: Any) -> list[str]:
    """A sentence for MOSFLM's matrix where no reflection can come from it, or where it is left-handed.

    Its columns are a*, b*, c* times the wavelength: the length of the matrix times h, k, l is lambda/d = 2 sin(theta), and for
    whole indices at least its smallest singular value.
    """
    if matrix is None:
        return []
    said = []
    shortest = float(np.linalg.norm(matrix, -2))
    if shortest > 2.0:
        said.append(f"-mat allows no reflection: lambda/d is {shortest:g} or more, and never above 2; is it a matrix of real space?")
    if np.linalg.det(matrix) < 0.0:
        said.append("-mat is left-handed: has one axis the wrong sign, or have two changed places?")
    return said
