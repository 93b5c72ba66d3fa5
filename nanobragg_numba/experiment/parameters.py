"""What a simulation is made of, in the units that crystallographers use.

Frozen dataclasses: make a changed copy with ``dataclasses.replace``. ``None`` means "not given": the program then
chooses as the reference does, and the choice is found in the derived objects that ``simulate`` returns.

Numbers may be Python's or numpy's, and what holds several a tuple, a list or an array: they are kept as plain numbers and tuples, and
matrices as float64 arrays. Anything else is refused at once with the field's name. ``==`` of parameters with arrays raises numpy's
ValueError unless these are the same objects: compare such fields with ``numpy.array_equal``.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields import summaries
from nanobragg_numba.fields.meaning import validate as validate
from nanobragg_numba.fields.values import ArrayOf, make_plain, require_volume

from .beyond_bragg import Background, DetectorResponse, Shadow
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


_CRYSTAL_ARRAYS = {
    "mosflm_matrix": ArrayOf((3, 3)), "real_space_matrix": ArrayOf((3, 3)), "orientation": ArrayOf((3, 3)),
    "mosaic_rotations": ArrayOf((None, 3, 3)),
}  # fmt: skip
_SOURCE_ARRAYS = {"positions": ArrayOf((None, 3)), **{name: ArrayOf((None,)) for name in ("intensities", "wavelengths_m", "channels")}}


@dataclass(frozen=True)
class Crystal:
    """The crystal: lattice, orientation, size and shape, mosaicity, structure factors."""

    cell: tuple[float, float, float, float, float, float] | None = None
    """a, b, c (A), alpha, beta, gamma (degrees). Zero lengths copy a, zero angles are 90. None: a matrix gives the lattice."""
    mosflm_matrix: np.ndarray | None = None
    """(3, 3): columns a*, b*, c* along laboratory x, y, z, times the wavelength (no unit), as in MOSFLM's file; a cell given too sets
    the lengths. It holds the wavelength, so that a change of ``Beam.wavelength_A`` alone changes the cell in proportion, and no spot
    moves. None: the cell alone gives the lattice, a* along x, b* in the xy plane."""
    real_space_matrix: np.ndarray | None = None
    """(3, 3): rows a, b, c along laboratory x, y, z (A), before missetting; in place of cell and MOSFLM matrix. None: those count."""
    misset_deg: Vector | Literal["random"] | None = None
    """Rotation about laboratory x, then y, then z (degrees), or a random orientation; None: none."""
    orientation: np.ndarray | None = None
    """(3, 3): a rotation of the lattice after missetting; None: none."""
    misset_seed: int | None = None
    """Seed of the random orientation; None: a fresh one for each image (``Simulation.seeds``)."""
    n_cells: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Unit cells along a, b, c; less than 1 counts as 1."""
    n_cells_off_diagonal: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Nab, Nac, Nbc: what the symmetric tensor of numbers of cells has off its diagonal, ``n_cells``; it must be positive definite. Only
    gauss and tophat spots in "spec" have it."""
    size_mm: Vector = (0.0, 0.0, 0.0)
    """Full width of the crystal along a, b, c (mm); where positive it replaces ``n_cells``."""
    shape: Literal["square", "round", "gauss", "tophat"] = "square"
    """Shape of the crystal, and so of its spots: parallelepiped, ellipsoid, Gaussian spots, spots of one height."""
    fudge: float = 1.0
    """Multiplies the squared reciprocal-space radius of round, gauss and tophat spots."""
    mosaic_spread_deg: float | None = None
    """Half-width of the cap of random misorientations (degrees); None: no spread."""
    mosaic_domains: int | None = None
    """Number of mosaic domains; None: 10 with a spread or a width (which needs 6), 1 without."""
    mosaic_width_deg: float | tuple[float, float, float] | None = None
    """Standard deviation (degrees) of Gaussian misorientations, in place of the cap: one, or three about a, c* x a and c* as they stand
    in a still. None: the cap. Only "spec" has it."""
    mosaic_seed: int = 12345678
    """Seed of the mosaic domains' random rotations."""
    mosaic_rotations: np.ndarray | None = None
    """(domains, 3, 3): rotation of each mosaic domain; None: random ones, by spread, number and seed."""
    structure_factors: StructureFactors | None = None
    """The table of listed reflections; None: every reflection has ``default_F``."""
    default_F: float = 0.0
    """Structure factor (electrons) of every reflection that is not listed."""
    interpolate: bool | None = None
    """Tricubic interpolation of structure factors; None: on when any of Na, Nb, Nc is 2 or less."""
    water_um: float = 0.0
    """Thickness of water in the beam (micrometres), for the background."""

    def __post_init__(self) -> None:
        make_plain(self, _CRYSTAL_ARRAYS)
        for name in ("real_space_matrix", "orientation", "mosflm_matrix"):
            if getattr(self, name) is not None:
                require_volume(f"Crystal.{name}", getattr(self, name))

    def __repr__(self) -> str:
        return f"<Crystal: {summaries.crystal(self)}>"

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
    channels: np.ndarray | None = None
    """(sources,) whole numbers: which table of ``Crystal.structure_factors`` each source takes, counted from 0; None: there is one."""

    def __post_init__(self) -> None:
        make_plain(self, _SOURCE_ARRAYS)
        n = len(self.wavelengths_m)
        if n == 0 or self.positions.shape != (n, 3) or self.intensities.shape != (n,):
            raise InputError(f"sources need positions (n, 3), intensities (n,) and n > 0 wavelengths, not {n}")
        if self.channels is not None:
            channels = self.channels
            if channels.shape != (n,) or (channels < 0).any() or (channels != np.rint(channels)).any():
                raise InputError(f"SourceList.channels must be {n} whole numbers, 0 or more, not {channels.tolist()}")
            object.__setattr__(self, "channels", channels.astype(np.int64))
        bad = self.wavelengths_m <= 0.0
        if bad.any():
            raise InputError(
                f"source {int(np.argmax(bad)) + 1} has a wavelength that is not positive "
                "(a column missing on a line without a plain newline is read as zero)"
            )

    @staticmethod
    def from_spectrum(path: Any) -> "SourceList":
        """Sources along the beam from a file: energy or wavelength and weight in two columns, or an NXbeam in an HDF5 file (needs h5py).

        A line before the numbers may name the unit (eV, keV, A, nm); else numbers up to 5 are A, and from 500 on eV. Colours of weight 0
        are left out. Raises InputError, naming the file, for anything else.
        """
        from nanobragg_numba.spectra.reading import sources_of

        return sources_of(str(path), "from_spectrum")[0]

    def __repr__(self) -> str:
        low, high = (f"{1e10 * value:g}" for value in (np.nanmin(self.wavelengths_m), np.nanmax(self.wavelengths_m)))
        return f"<SourceList: {len(self.wavelengths_m)} sources, {low} to {high} A>"


@dataclass(frozen=True)
class Beam:
    """The incident beam: spectrum, divergence, polarization, intensity."""

    wavelength_A: float = 1.0
    """Central wavelength (A); see ``Crystal.mosflm_matrix``."""
    dispersion_percent: float = 0.0
    """Full spectral width, delta-lambda / lambda, in percent."""
    dispersion_steps: int | None = None
    """Number of wavelengths; None: 2 with a spectral width, 1 without."""
    hdivrange_mrad: float | None = None
    """Full horizontal divergence (mrad), about the axis at right angles to beam and E vector; None: as steps and their size give."""
    hdivstep_mrad: float | None = None
    """Size of a horizontal step (mrad); None: as range and number give."""
    hdivsteps: int | None = None
    """Number of horizontal steps; None: as range and size give, 2 with one of them alone, 1 without either."""
    vdivrange_mrad: float | None = None
    """Full vertical divergence (mrad), about the E vector; None: as steps and their size give."""
    vdivstep_mrad: float | None = None
    """Size of a vertical step (mrad); None: as range and number give."""
    vdivsteps: int | None = None
    """Number of vertical steps; None: as range and size give, 2 with one of them alone, 1 without either."""
    round_divergence: bool = True
    """Cut the corners off the grid of divergence steps."""
    sources: SourceList | None = None
    """Given, it replaces divergence and dispersion; None: those make the sources."""
    direction: Vector = (1.0, 0.0, 0.0)
    """Where the beam goes, along laboratory x, y, z; used by the convention "custom"."""
    polarization: float = 0.0
    """Kahn polarization factor, -1 to 1."""
    polarization_axis: Vector = (0.0, 0.0, 1.0)
    """Direction of the E vector; used by the convention "custom"."""
    polarized: bool = True
    """False leaves the polarization factor out."""
    fluence: float = 125932015286227086360700780544.0
    """Photons per square metre, of the whole exposure."""
    flux: float = 0.0
    """Photons per second; not zero, it gives the fluence, with ``exposure_s`` and ``beamsize_mm``."""
    exposure_s: float = 1.0
    """Exposure time (s); used with a flux."""
    beamsize_mm: float = 0.1
    """Width of the square beam (mm); it clips ``Crystal.size_mm`` along b and c. Negative: no clipping."""

    def __post_init__(self) -> None:
        make_plain(self)

    def __repr__(self) -> str:
        return summaries.changed_fields(self)


@dataclass(frozen=True)
class Detector:
    """The detector: pixels, position and orientation, sensor."""

    pixels: tuple[int, int] = (0, 0)
    """Number of pixels, fast, slow; zero takes the number from ``size_mm``."""
    size_mm: tuple[float, float] = (102.4, 102.4)
    """Width along fast and slow axis (mm); used where ``pixels`` is zero."""
    pixel_size_mm: float = 0.1
    """Edge of the square pixels (mm)."""
    distance_mm: float = 100.0
    """From the sample to the detector along the beam (mm); with the pivot "sample", before the two-theta swing."""
    close_distance_mm: float | None = None
    """From the sample to the nearest point of the detector plane (mm), all rotations done; given, ``distance_mm`` has no say. None:
    as ``distance_mm`` gives."""
    convention: Literal["custom", "adxv", "mosflm", "xds", "dials", "denzo"] = "mosflm"
    """Sets the axes, the meaning of the beam centre and the pivot; "custom" uses the vectors given here."""
    pivot: Literal["beam", "sample"] = "beam"
    """What stays in place when the detector turns; only the convention "custom" is free to choose."""
    beam_center_mm: tuple[float | None, float | None] = (None, None)
    """X, Y of the point where the direct beam meets the detector (mm); with the pivot "sample", before the detector turns. adxv: along
    fast, and from the far edge against slow. mosflm, denzo: X along slow, Y along fast; mosflm counts half a pixel less. xds, dials,
    custom: along fast, slow. None: near the middle, where the convention has it."""
    beam_center_y_m: float | None = None
    """Y in metres, which goes before ``beam_center_mm``; None: that counts. A mask's header counts it from the far edge, and only the
    difference taken in metres has the reference's bits."""
    close_point_mm: tuple[float | None, float | None] = (None, None)
    """Xclose, Yclose: fast and slow coordinate (mm) of the point nearest to the sample, all rotations done, in place of
    ``beam_center_mm``; None: as ``org_pixels``, or the middle."""
    org_pixels: tuple[float | None, float | None] = (None, None)
    """XDS's ORGX, ORGY: that point in pixels along fast, slow, the first pixel's centre being 1; None: the middle of the detector."""
    fast_axis: Vector = (0.0, 0.0, 1.0)
    """Direction of the fast axis before all rotations, along laboratory x, y, z; used by the convention "custom"."""
    slow_axis: Vector = (0.0, -1.0, 0.0)
    """Direction of the slow axis, likewise."""
    normal_axis: Vector = (1.0, 0.0, 0.0)
    """Direction of the detector's normal, away from the sample, likewise: says which side of fast x slow that is. In "c" it stays as
    given if its length is exactly 1."""
    rotations_deg: Vector = (0.0, 0.0, 0.0)
    """Rotation of the detector about laboratory x, then y, then z (degrees)."""
    twotheta_deg: float = 0.0
    """Swing of the detector about ``twotheta_axis`` (degrees), after ``rotations_deg``."""
    twotheta_axis: Vector = (0.0, 1.0, 0.0)
    """Axis of the swing, along laboratory x, y, z; used by the convention "custom"."""
    pix0_mm: Vector | None = None
    """Laboratory position of the first pixel's corner (mm), all rotations done; None: distance, beam centre and pivot give it. Only
    "spec" uses it (Q11)."""
    curved: bool = False
    """All pixels at the same distance from the sample."""
    point_pixel: bool = False
    """Inverse square law only, no pixel area or obliquity."""
    thickness_um: float = 0.0
    """Thickness of the sensor (micrometres); 0: no sensor is modelled."""
    layers: int | None = None
    """Layers into which the sensor is cut; None: 2 with a thickness, 1 without."""
    attenuation_depth_um: float | None = None
    """1/mu of the sensor (micrometres); 0 means no sensor is modelled; None takes the thickness."""
    mask: np.ndarray | None = None
    """(slow, fast), of any real type: pixels where it is zero are skipped; None: none is."""
    roi: tuple[int, int, int, int] | None = None
    """fast min, fast max, slow min, slow max (pixels from 0), both ends included; negative: up to the edge. None: the whole image."""

    def __post_init__(self) -> None:
        make_plain(self, {"mask": ArrayOf((None, None), dtype=None)})

    def __repr__(self) -> str:
        return summaries.changed_fields(self)


@dataclass(frozen=True)
class Sampling:
    """How the integral over rotation and pixel area is cut into steps."""

    phi_deg: float = 0.0
    """Spindle angle of the first step (degrees)."""
    osc_deg: float | None = None
    """Rotation range (degrees); None: number times size of the steps, one degree for a number alone, a still without either."""
    phistep_deg: float | None = None
    """Size of a rotation step (degrees); None: as range and number give."""
    phisteps: int | None = None
    """Number of rotation steps; None: as range and size give, 2 with one of them alone, 1 without either."""
    spindle_axis: Vector = (0.0, 0.0, 1.0)
    """Axis of the rotation, right-handed, along laboratory x, y, z; used by the convention "custom"."""
    oversample: int | None = None
    """Sub-pixels along each axis of a pixel; None: as many as the crystal size asks for."""
    oversample_thick: bool = False
    """In "c", absorption anew for each sub-pixel (Q3); "spec" always does so."""
    oversample_polar: bool = False
    """In "c", the polarization factor anew for each sub-pixel and source (Q3); "spec" always does so."""
    oversample_omega: bool = False
    """In "c", the solid angle anew for each sub-pixel (Q3); "spec" always does so."""
    dmin_A: float = 0.0
    """Skip scattering beyond this resolution (A); zero: no limit."""
    carryover: bool | None = None
    """The reference's phi = 0 carryover (Q1): None leaves it to the compat mode."""

    def __post_init__(self) -> None:
        make_plain(self)

    def __repr__(self) -> str:
        return summaries.changed_fields(self)


@dataclass(frozen=True)
class Axes:
    """Laboratory vectors that replace those of the detector's convention, "custom" included; None leaves its own. Made unit length."""

    fast: Vector | None = None
    """The detector's fast axis before its rotations."""
    slow: Vector | None = None
    """The detector's slow axis before its rotations."""
    normal: Vector | None = None
    """The detector's normal before its rotations, away from the sample."""
    spindle_axis: Vector | None = None
    """Axis of the phi rotation, right-handed."""
    polarization_axis: Vector | None = None
    """Direction of the E vector."""
    beam: Vector | None = None
    """Direction of the beam, away from the source."""
    twotheta_axis: Vector | None = None
    """Axis of the detector's two-theta swing, right-handed."""

    def __post_init__(self) -> None:
        make_plain(self)

    def __repr__(self) -> str:
        return summaries.changed_fields(self)


@dataclass(frozen=True)
class Parameters:
    """Everything that determines the float image, and how it is read out."""

    crystal: Crystal = field(default_factory=Crystal)
    """What scatters."""
    beam: Beam = field(default_factory=Beam)
    """What comes in."""
    detector: Detector = field(default_factory=Detector)
    """What counts the photons."""
    sampling: Sampling = field(default_factory=Sampling)
    """Rotation, and how finely all is summed."""
    axes: Axes = field(default_factory=Axes)
    """Vectors in place of the convention's."""
    backgrounds: tuple[Background, ...] = ()
    """Amorphous samples in the beam, whose photons are added."""
    shadow: Shadow | None = None
    """What stands before the detector; None: nothing."""
    response: DetectorResponse | None = None
    """How the detector reads the photons out (``Simulation.read_out``); the image itself is of photons before that."""

    def __post_init__(self) -> None:
        make_plain(self)

    def __repr__(self) -> str:
        return f"<Parameters: {summaries.parameters(self)}>"

    def to_expt(self, path: Any, detector: Any = None, image: Any = None) -> None:
        """Write an experiment list for DIALS: ``write_expt``, whose arguments and errors these are."""
        from nanobragg_numba.panels.dials_writing import write_expt

        write_expt(path, self, detector, image)
