"""What a simulation is made of, in the units that crystallographers use.

Frozen dataclasses: make a changed copy with ``dataclasses.replace``. ``None`` means "not given": the program then
chooses as the reference does, and the choice is found in the derived objects that ``simulate`` returns.
"""

import math
import sys
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.dual_functions import value_of

from .structure_factors import StructureFactors

Vector = tuple[float, float, float]
Compat = Literal["c", "c-fixed", "spec"]
Precision = Literal["guarded", "exact", "double", "mixed", "single"]
PRECISIONS: tuple[Precision, ...] = ("guarded", "exact", "double", "mixed", "single")
CONVENTIONS = ("custom", "adxv", "mosflm", "xds", "dials", "denzo")
SHAPES = ("square", "round", "gauss", "tophat")


class RotatedVectors(NamedTuple):
    """Axes of the lattice, each an array or a tensor of shape (phi, mosaic, 3)."""

    real: tuple[Any, Any, Any]
    """a, b, c in A."""
    reciprocal: tuple[Any, Any, Any]
    """a*, b*, c* in 1/A."""


@dataclass(frozen=True)
class Crystal:
    """The crystal: lattice, orientation, size and shape, mosaicity, structure factors."""

    cell: tuple[float, float, float, float, float, float] | None = None
    """a, b, c (A), alpha, beta, gamma (degrees). Zero lengths copy a, zero angles are 90."""
    mosflm_matrix: np.ndarray | None = None
    """(3, 3): columns a*, b*, c* along laboratory x, y, z, times the wavelength, as in MOSFLM's file."""
    real_space_matrix: np.ndarray | None = None
    """(3, 3): rows a, b, c along laboratory x, y, z (A), before missetting; in place of cell and MOSFLM matrix."""
    misset_deg: Vector | Literal["random"] | None = None
    """Rotation about laboratory x, then y, then z (degrees), or a random orientation."""
    orientation: np.ndarray | None = None
    """(3, 3): a rotation of the lattice after missetting."""
    misset_seed: int | None = None
    """Seed of the random orientation; None takes the clock."""
    n_cells: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Unit cells along a, b, c."""
    size_mm: Vector = (0.0, 0.0, 0.0)
    """Full width of the crystal along a, b, c (mm); where positive it replaces ``n_cells``."""
    shape: Literal["square", "round", "gauss", "tophat"] = "square"
    fudge: float = 1.0
    """Multiplies the squared reciprocal-space radius of round, gauss and tophat spots."""
    mosaic_spread_deg: float | None = None
    """Half-width of the cap of random misorientations (degrees)."""
    mosaic_domains: int | None = None
    mosaic_seed: int = 12345678
    mosaic_rotations: np.ndarray | None = None
    """(domains, 3, 3): rotation of each mosaic domain, in place of random ones."""
    structure_factors: StructureFactors | None = None
    default_F: float = 0.0
    """Structure factor (electrons) of every reflection that is not listed."""
    interpolate: bool | None = None
    """Tricubic interpolation of structure factors; None: on when any of Na, Nb, Nc is 2 or less."""
    water_um: float = 0.0
    """Thickness of water in the beam (micrometres), for the background."""

    def __post_init__(self) -> None:
        if isinstance(self.misset_deg, str) and self.misset_deg != "random":
            raise InputError(f"misset_deg must be three angles or 'random', not {self.misset_deg!r}")
        for name in ("real_space_matrix", "orientation", "mosflm_matrix"):
            if getattr(self, name) is not None:
                self._check_matrix(getattr(self, name))

    @staticmethod
    def _check_matrix(matrix: Any) -> None:
        if isinstance(matrix, tuple):
            matrix = np.array([[value_of(x) for x in row] for row in matrix])
        if not isinstance(matrix, np.ndarray):
            from nanobragg_numba.maths.torch_values import values_of

            values = values_of(matrix)
            if values is None:
                return
            matrix = values
        matrix = matrix.astype(np.float64)
        if matrix.shape != (3, 3):
            raise InputError(f"an orientation matrix has shape (3, 3), not {matrix.shape}")
        edges = np.linalg.norm(matrix, axis=0).prod()
        if not abs(np.linalg.det(matrix)) > 1e-9 * edges:
            raise InputError("the orientation matrix encloses no volume: its three axes lie in one plane")

    def rotated_real_vectors(
        self,
        sampling: "Sampling",
        *,
        wavelength_A: Any = None,
        compat: Compat = "spec",
        sweep: Literal["first", "later"] = "later",
        convention: str = "custom",
    ) -> RotatedVectors:
        """a, b, c (A) and a*, b*, c* (1/A) at every phi step and mosaic domain, each of shape (phi, mosaic, 3).

        ``(a, b, c), (a_star, b_star, c_star) = crystal.rotated_real_vectors(sampling)``. In "c", or with
        ``sampling.carryover``, a step at phi = 0 has the vectors of the last other angle before it, cyclically (Q1); only the
        ``sweep`` "first" of a run has none before it. ``wavelength_A`` is needed with a MOSFLM matrix. The spindle is
        ``sampling.spindle_axis``, unless a ``convention`` other than "custom" (``Detector.convention``) has its own.

        Where fields or arguments are torch tensors, so are the results, on their device, in the widest of their dtypes and
        differentiable in each of them, the phi angles included; else they are numpy's, the very numbers that the
        kernels sum over. Raises InputError where there is no lattice, and for tensors on different devices.
        """
        raise NotImplementedError("experiment/__init__.py puts rotated_axes.rotated_real_vectors here")

    get_rotated_real_vectors = rotated_real_vectors

    def to(self, device: Any = None, dtype: Any = None) -> "Crystal":
        """The same crystal with its tensors on ``device`` and, where they are floating point, in ``dtype``; gradients go through."""
        from nanobragg_numba.maths.torch_values import moved

        return moved(self, device, dtype)


@dataclass(frozen=True)
class SourceList:
    """X-ray sources as a source file gives them; nan where a column is missing."""

    positions: np.ndarray
    """(sources, 3): position in metres; only the direction counts."""
    intensities: np.ndarray
    """(sources,): relative weight."""
    wavelengths_m: np.ndarray
    """(sources,): wavelength in metres."""

    def __post_init__(self) -> None:
        for name in ("positions", "intensities", "wavelengths_m"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        n = len(self.wavelengths_m)
        if n == 0 or self.positions.shape != (n, 3) or self.intensities.shape != (n,):
            raise InputError(f"sources need positions (n, 3), intensities (n,) and n > 0 wavelengths, not {n}")
        bad = self.wavelengths_m <= 0.0
        if bad.any():
            raise InputError(
                f"source {int(np.argmax(bad)) + 1} has a wavelength that is not positive "
                "(a column missing on a line without a plain newline is read as zero)"
            )


@dataclass(frozen=True)
class Beam:
    """The incident beam: spectrum, divergence, polarization, intensity."""

    wavelength_A: float = 1.0
    dispersion_percent: float = 0.0
    """Full spectral width, delta-lambda / lambda, in percent."""
    dispersion_steps: int | None = None
    hdivrange_mrad: float | None = None
    hdivstep_mrad: float | None = None
    hdivsteps: int | None = None
    vdivrange_mrad: float | None = None
    vdivstep_mrad: float | None = None
    vdivsteps: int | None = None
    round_divergence: bool = True
    """Cut the corners off the grid of divergence steps."""
    sources: SourceList | None = None
    """Given, it replaces divergence and dispersion."""
    direction: Vector = (1.0, 0.0, 0.0)
    """Used by the convention "custom"."""
    polarization: float = 0.0
    """Kahn polarization factor, -1 to 1."""
    polarization_axis: Vector = (0.0, 0.0, 1.0)
    """Direction of the E vector; used by the convention "custom"."""
    polarized: bool = True
    """False leaves the polarization factor out."""
    fluence: float = 125932015286227086360700780544.0
    """Photons per square metre."""
    flux: float = 0.0
    """Photons per second; not zero, it gives the fluence, with ``exposure_s`` and ``beamsize_mm``."""
    exposure_s: float = 1.0
    beamsize_mm: float = 0.1


@dataclass(frozen=True)
class Detector:
    """The detector: pixels, position and orientation, sensor."""

    pixels: tuple[int, int] = (0, 0)
    """Fast, slow; zero takes the number from ``size_mm``."""
    size_mm: tuple[float, float] = (102.4, 102.4)
    pixel_size_mm: float = 0.1
    distance_mm: float = 100.0
    """From the sample to the detector along the beam."""
    close_distance_mm: float | None = None
    """From the sample to the nearest point of the detector plane."""
    convention: Literal["custom", "adxv", "mosflm", "xds", "dials", "denzo"] = "mosflm"
    """Sets the axes, the meaning of the beam centre and the pivot; "custom" uses the vectors given here."""
    pivot: Literal["beam", "sample"] = "beam"
    """What stays in place when the detector turns; only the convention "custom" is free to choose."""
    beam_center_mm: tuple[float | None, float | None] = (None, None)
    """X, Y of the direct beam as the convention counts them."""
    beam_center_y_m: float | None = None
    """Y in metres, before ``beam_center_mm``: a mask's header counts it from the far edge, and only the
    difference taken in metres has the reference's bits."""
    close_point_mm: tuple[float | None, float | None] = (None, None)
    """Xclose, Yclose: fast and slow coordinate of the point nearest to the sample."""
    org_pixels: tuple[float | None, float | None] = (None, None)
    """XDS's ORGX, ORGY."""
    fast_axis: Vector = (0.0, 0.0, 1.0)
    slow_axis: Vector = (0.0, -1.0, 0.0)
    normal_axis: Vector = (1.0, 0.0, 0.0)
    """Away from the sample. If its length is not exactly 1 it becomes fast x slow."""
    rotations_deg: Vector = (0.0, 0.0, 0.0)
    """Rotation about laboratory x, then y, then z."""
    twotheta_deg: float = 0.0
    twotheta_axis: Vector = (0.0, 1.0, 0.0)
    pix0_mm: Vector | None = None
    """Laboratory position of the first pixel's corner, all rotations done. Only "spec" uses it (Q11)."""
    curved: bool = False
    """All pixels at the same distance from the sample."""
    point_pixel: bool = False
    """Inverse square law only, no pixel area or obliquity."""
    thickness_um: float = 0.0
    layers: int | None = None
    attenuation_depth_um: float | None = None
    """1/mu of the sensor; 0 means no absorption; None takes the thickness."""
    mask: np.ndarray | None = None
    """(slow, fast): pixels where it is zero are skipped."""
    roi: tuple[int, int, int, int] | None = None
    """fast min, fast max, slow min, slow max, both ends included; negative: up to the edge."""


@dataclass(frozen=True)
class Sampling:
    """How the integral over rotation and pixel area is cut into steps."""

    phi_deg: float = 0.0
    osc_deg: float | None = None
    phistep_deg: float | None = None
    phisteps: int | None = None
    spindle_axis: Vector = (0.0, 0.0, 1.0)
    """Used by the convention "custom"."""
    oversample: int | None = None
    """Sub-pixels along each axis of a pixel; None: as many as the crystal size asks for."""
    oversample_thick: bool = False
    oversample_polar: bool = False
    oversample_omega: bool = False
    dmin_A: float = 0.0
    """Skip scattering beyond this resolution; zero: no limit."""
    carryover: bool | None = None
    """The reference's phi = 0 carryover (Q1): None leaves it to the compat mode."""


@dataclass(frozen=True)
class Axes:
    """Laboratory vectors that replace those of the detector's convention, "custom" included; None leaves its own. Made unit length."""

    fast: Vector | None = None
    """The detector's fast, slow and normal axis before its rotations."""
    slow: Vector | None = None
    normal: Vector | None = None
    spindle_axis: Vector | None = None
    polarization_axis: Vector | None = None


@dataclass(frozen=True)
class Parameters:
    """Everything that determines the float image."""

    crystal: Crystal = field(default_factory=Crystal)
    beam: Beam = field(default_factory=Beam)
    detector: Detector = field(default_factory=Detector)
    sampling: Sampling = field(default_factory=Sampling)
    axes: Axes = field(default_factory=Axes)


_CHOICES = {"shape": SHAPES, "convention": CONVENTIONS, "pivot": ("beam", "sample")}
_LENGTHS = {
    "cell": 6, "n_cells": 3, "size_mm": (2, 3), "direction": 3, "polarization_axis": 3, "pixels": 2, "beam_center_mm":
    2, "close_point_mm": 2, "org_pixels": 2, "fast_axis": 3, "slow_axis": 3, "normal_axis": 3, "rotations_deg": 3,
    "twotheta_axis": 3, "pix0_mm": 3, "roi": 4, "spindle_axis": 3, "misset_deg": 3, "fast": 3, "slow": 3, "normal": 3,
}  # fmt: skip
_WHOLE = (
    "misset_seed", "mosaic_domains", "mosaic_seed", "dispersion_steps", "hdivsteps", "vdivsteps", "pixels", "layers", "roi", "phisteps",
    "oversample",
)  # fmt: skip
_NEEDED = ("wavelength_A", "pixel_size_mm", "distance_mm", "fluence", "default_F", "fudge")


def validate(parameters: Parameters) -> None:
    """Raise InputError, naming the field, where a value is of the wrong kind or length, inf or nan, or a tensor."""
    if "torch" in sys.modules:
        from nanobragg_numba.maths.torch_values import tensors_of

        for name in tensors_of(parameters=parameters):
            raise InputError(f"{name} is a torch tensor: this image is made from plain numbers, and would lose its gradient")
    for part in (parameters.crystal, parameters.beam, parameters.detector, parameters.sampling, parameters.axes):
        for f in fields(part):
            value = getattr(part, f.name)
            name = f"{type(part).__name__}.{f.name}"
            if f.name in _CHOICES and value not in _CHOICES[f.name]:
                raise InputError(f"{name} must be one of {', '.join(_CHOICES[f.name])}, not {value!r}")
            if value is None and f.name in _NEEDED:
                raise InputError(f"{name} must be given")
            if value is None or not (f.name in _LENGTHS or isinstance(value, Real)) or (isinstance(value, str) and value == "random"):
                continue
            values = (value,) if isinstance(value, Real) else tuple(value)
            lengths = _LENGTHS.get(f.name, 1)
            if len(values) not in (lengths if isinstance(lengths, tuple) else (lengths,)) or isinstance(value, str):
                raise InputError(f"{name} must hold {lengths} values, not {value!r}")
            for number in values:
                if number is None and f.name in ("beam_center_mm", "close_point_mm", "org_pixels"):
                    continue
                if not isinstance(number, Real) or not math.isfinite(number):
                    raise InputError(f"{name} must be finite, not {value}")
                if f.name in _WHOLE and not (isinstance(number, Integral) and abs(int(number)) < 2**62):
                    raise InputError(f"{name} must be whole, not {value}")
