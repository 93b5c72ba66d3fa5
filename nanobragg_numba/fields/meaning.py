"""Which values make sense: in every mode finite numbers, in "spec" those that mean what they say."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError

if TYPE_CHECKING:
    from nanobragg_numba.experiment.parameters import Beam, Crystal, Parameters

LARGEST_WHOLE = 2**62
LONGEST_X_RAY = 100.0
"""A; beyond lies the ultraviolet, and an energy that was given in keV."""


class Rule(NamedTuple):
    """What a number must be in "spec"; each number where there are several."""

    part: str
    field: str
    option: str
    allowed: str
    holds: Callable[[float], bool]
    everywhere: bool = False
    """Whether "c" refuses it too."""

    def broken_by(self, parameters: "Parameters") -> float | None:
        """The first number of the field that is not what it must be."""
        value = getattr(getattr(parameters, self.part), self.field)
        numbers = value if isinstance(value, tuple) else (value,)
        return next((number for number in numbers if number is not None and not self.holds(number)), None)


def _not_negative(value: float) -> bool:
    return value >= 0.0


def _positive(value: float) -> bool:
    return value > 0.0


RULES = (
    Rule("crystal", "n_cells", "-N", "0 or more", _not_negative),
    Rule("crystal", "size_mm", "-xtalsize or -samplesize", "0 or more", _not_negative),
    Rule("crystal", "fudge", "-fudge", "0 or more", _not_negative),
    Rule("crystal", "mosaic_spread_deg", "-mosaic", "0 or more", _not_negative),
    Rule("crystal", "mosaic_width_deg", "-mosaic_width", "0 or more", _not_negative),
    Rule("crystal", "mosaic_domains", "-mosaic_domains", "1 or more", lambda value: value >= 1),
    Rule("crystal", "water_um", "-water", "0 or more", _not_negative),
    Rule("beam", "wavelength_A", "-lambda", "positive", _positive, True),
    Rule(
        "beam", "wavelength_A", "-lambda or -energy", f"at most {LONGEST_X_RAY:g} A, for X-rays (an energy is in eV)",
        lambda value: value <= LONGEST_X_RAY,
    ),
    Rule("beam", "polarization", "-polar", "from -1 to 1", lambda value: -1.0 <= value <= 1.0),
    Rule("beam", "fluence", "-fluence", "0 or more", _not_negative),
    Rule("beam", "flux", "-flux", "0 or more", _not_negative),
    Rule("beam", "exposure_s", "-exposure", "0 or more", _not_negative),
    Rule("beam", "beamsize_mm", "-beamsize", "0 or more", _not_negative),
    Rule("detector", "pixel_size_mm", "-pixel", "positive", _positive, True),
    Rule("detector", "distance_mm", "-distance", "positive", _positive, True),
    Rule("detector", "close_distance_mm", "-close_distance", "positive", _positive, True),
    Rule("detector", "thickness_um", "-detector_thick", "0 or more", _not_negative),
    Rule("detector", "attenuation_depth_um", "-detector_abs", "0 or more", _not_negative),
    Rule("sampling", "oversample", "-oversample", "0 or more", _not_negative),
    Rule("sampling", "dmin_A", "-dmin", "0 or more", _not_negative),
)  # fmt: skip


PARTS = ("crystal", "beam", "detector", "sampling", "axes")


def validate(parameters: "Parameters", spec: bool, parts: Sequence[str] = PARTS) -> None:
    """Raise InputError, naming the field, for inf or nan, a tensor, and in "spec" for a value that has no meaning.

    In "c" every finite number counts as it does in the reference. ``parts``: those that are not known to be in order.
    """
    if "torch" in sys.modules:
        from nanobragg_numba.maths.torch_values import tensors_of

        for name in tensors_of(parameters=parameters):
            raise InputError(f"{name} is a torch tensor: this image is made from plain numbers, and would lose its gradient")
    for name in parts:
        part = getattr(parameters, name)
        for field, value in vars(part).items():
            _require_finite(part, field, value)
    if spec:
        _require_meaning(parameters, parts)


def _require_finite(part: Any, field: str, value: Any) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float):
            if not math.isfinite(number):
                raise InputError(f"{type(part).__name__}.{field} must be finite, not {value}")
        elif isinstance(number, int) and abs(number) >= LARGEST_WHOLE:
            raise InputError(f"{type(part).__name__}.{field} is a number too large")


def _require_meaning(parameters: "Parameters", parts: Sequence[str]) -> None:
    for rule in RULES:
        number = rule.broken_by(parameters) if rule.part in parts else None
        if number is not None:
            part = type(getattr(parameters, rule.part)).__name__
            raise InputError(f"{part}.{rule.field} ({rule.option}) must be {rule.allowed}, not {number:g}")
    if "beam" in parts:
        _require_beam(parameters.beam)
    if "crystal" in parts:
        _require_lattice(parameters.crystal)


def _require_beam(beam: "Beam") -> None:
    if beam.flux != 0.0:
        for name, value in (("exposure_s (-exposure)", beam.exposure_s), ("beamsize_mm (-beamsize)", beam.beamsize_mm)):
            if not value > 0.0:
                raise InputError(f"Beam.{name} must be positive where a flux is given, not {value:g}")
    if (source := undirected_source(beam)) is not None:
        raise InputError(f"SourceList.positions (-sourcefile): source {source} is where the sample is, and has no direction")
    if beam.sources is not None and (beam.sources.intensities < 0.0).any():
        raise InputError(f"SourceList.intensities (-sourcefile) must be 0 or more, not {np.nanmin(beam.sources.intensities):g}")


def undirected_source(beam: "Beam") -> int | None:
    """Which of the sources, counted from 1, is at the sample, so that no ray comes from it."""
    if beam.sources is None:
        return None
    at_sample = (np.asarray(beam.sources.positions) == 0.0).all(axis=1)
    return int(at_sample.argmax()) + 1 if at_sample.any() else None


def shortest_of_mosflm(matrix: Any) -> float:
    """No more than lambda/d = 2 sin(theta) of any reflection: MOSFLM's columns are a*, b*, c* times the wavelength, and the length of
    the matrix times whole h, k, l is at least its smallest singular value."""
    return float(np.linalg.norm(matrix, -2))


class LatticeFault(NamedTuple):
    """What makes a matrix no crystal's."""

    field: str
    option: str
    """The command's; empty where it has none."""
    text: str
    advice: str = ""
    """For those who can give another field."""


def lattice_faults(crystal: "Crystal") -> Iterator[LatticeFault]:
    """Matrices that are not finite or of the wrong hand, and one of real space in place of MOSFLM's."""
    if crystal.mosflm_matrix is not None:
        shortest = shortest_of_mosflm(crystal.mosflm_matrix)
        if shortest > 2.0:
            text = f"allows no reflection: lambda/d is {shortest:g} or more, and never above 2; is it a matrix of real space?"
            yield LatticeFault("mosflm_matrix", "-mat", text, " In Python real_space_matrix takes one, with rows a, b, c in A")
    for field, option in (("mosflm_matrix", "-mat"), ("real_space_matrix", ""), ("orientation", ""), ("mosaic_rotations", "")):
        matrix = getattr(crystal, field)
        if matrix is None:
            continue
        if not np.isfinite(matrix).all():
            yield LatticeFault(field, option, "must be finite")
        elif not (np.linalg.det(matrix) > 0.0).all():
            yield LatticeFault(field, option, "is left-handed: has one axis the wrong sign, or have two changed places?")


def _require_lattice(crystal: "Crystal") -> None:
    for fault in lattice_faults(crystal):
        option = f" ({fault.option})" if fault.option else ""
        raise InputError(f"Crystal.{fault.field}{option} {fault.text}{fault.advice}")
