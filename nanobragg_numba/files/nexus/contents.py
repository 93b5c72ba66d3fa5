"""What a master file holds, and how it follows from an ``Experiment``: one ``Setup`` of all frames, and a ``Frame`` of each.

Vectors are along NeXus's axes (``laboratory``), lengths in metres unless the name says otherwise, pairs slow first.
"""

import math
import zlib
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.seeds import Seeds
from nanobragg_numba.maths.constants import RTD

from .laboratory import nexus_axes

Vector = tuple[float, float, float]
NAN3 = (math.nan, math.nan, math.nan)
NOT_COMPUTED = 1
"""NXdetector's bit for places without a sensor, which all readers leave out; that of what the user masked is not known to all."""
SENSOR_MATERIAL = "Si"
"""Named because readers ask for one: what is simulated is a thickness and an attenuation depth, of no element."""


@dataclass(frozen=True)
class Module:
    """One plane of pixels, and where in a frame they stand."""

    name: str
    """Its group in the file."""
    origin: tuple[int, int]
    """Slow and fast index of its first pixel in the frame."""
    size: tuple[int, int]
    """Pixels along slow, fast."""
    corner: Vector
    """The outer corner of the first pixel."""
    slow: Vector
    """Unit vector along the slow axis."""
    fast: Vector
    """Unit vector along the fast axis."""
    pixel_size: tuple[float, float]
    """Edges of a pixel along slow, fast."""

    def position(self, slow: np.ndarray | float, fast: np.ndarray | float) -> np.ndarray:
        """(..., 3): where the point lies that is ``slow`` and ``fast`` pixels from the corner; a pixel's centre is at halves."""
        along_slow = np.multiply.outer(np.asarray(slow) * self.pixel_size[0], np.array(self.slow))
        along_fast = np.multiply.outer(np.asarray(fast) * self.pixel_size[1], np.array(self.fast))
        place: np.ndarray = np.array(self.corner) + along_slow + along_fast
        return place

    def beam_centre(self) -> tuple[float, float] | None:
        """Where the beam, along z from the sample, meets the plane, in pixels along slow, fast from the corner; None: it does not."""
        # corner + s slow + f fast = t z
        columns = np.array([self.slow, self.fast, (0.0, 0.0, -1.0)]).T
        if abs(np.linalg.det(columns)) < 1e-12:
            return None
        s, f, _ = np.linalg.solve(columns, -np.array(self.corner))
        return float(s / self.pixel_size[0]), float(f / self.pixel_size[1])

    def distance(self) -> float | None:
        """From the sample to the plane along the beam (z); negative against it; None: they do not meet."""
        centre = self.beam_centre()
        return None if centre is None else float(self.position(*centre)[2])


@dataclass(frozen=True)
class Setup:
    """What all frames of a master file share. Two of them are ``==`` where the frames may stand in one file."""

    modules: tuple[Module, ...]
    """The detector, at least one."""
    spindle: Vector
    """Unit vector along the axis of the phi rotation."""
    stokes: tuple[float, float, float, float] | None
    """The beam's polarization, I = 1, Q along x; None: left out of the simulation."""
    exposure_s: float
    """Exposure of a frame."""
    beam_size: float
    """Width of the square beam; negative: wider than any crystal."""
    divergence: tuple[float, float]
    """Full range (radians) about the axis across the E vector, and about the E vector."""
    sensor_thickness: float
    """0 where no sensor is modelled."""
    sensor_attenuation_depth: float | None
    """1/mu; None: no sensor is modelled."""
    computed: tuple[int, int, int, int]
    """Slow start, slow end, fast start, fast end (ends excluded): outside, pixels are zero."""
    mask_sum: int | None
    """A check sum of the mask of pixels; None: there is none."""

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of a frame along slow, fast."""
        slow, fast = (max(m.origin[axis] + m.size[axis] for m in self.modules) for axis in (0, 1))
        return slow, fast


@dataclass(frozen=True)
class Frame:
    """What one image was made from; a failed one may leave all but ``failed`` out."""

    command: str = ""
    """The command line that makes it."""
    failed: str = ""
    """Why there is no image; empty: there is one."""
    phi_deg: float = math.nan
    """Spindle angle at its start (degrees)."""
    osc_deg: float = math.nan
    """Range of the rotation (degrees); 0: a still."""
    cell: tuple[float, float, float, float, float, float] = (math.nan,) * 6
    """a, b, c (A), alpha, beta, gamma (degrees)."""
    ub: tuple[Vector, Vector, Vector] = (NAN3, NAN3, NAN3)
    """Rows of the matrix whose columns are a*, b*, c* (1/A, no 2 pi) along NeXus's x, y, z with the spindle at 0."""
    wavelengths_A: tuple[float, ...] = ()
    """Each wavelength of the beam once."""
    weights: tuple[float, ...] = ()
    """Their shares, which add up to 1."""
    fluence: float = math.nan
    """Photons per square metre."""
    seeds: Seeds | None = None
    """What its random numbers were drawn from."""


@dataclass(frozen=True)
class DataFile:
    """A file of consecutive frames, as ``write_frames`` makes it."""

    name: str
    """Its path as seen from the master file."""
    frames: int
    """Number of frames in it, failed ones too."""


def _along_nexus(axes: np.ndarray, vector: tuple[float, ...]) -> Vector:
    x, y, z = (axes @ np.array(vector, dtype=np.float64)).tolist()
    return x, y, z


def module_of(x: Experiment, axes: np.ndarray) -> Module:
    """The detector of an experiment."""
    g = x.geometry
    corner, slow, fast = (_along_nexus(axes, vector) for vector in (g.pix0, g.slow, g.fast))
    return Module("module", (0, 0), (g.slow_pixels, g.fast_pixels), corner, slow, fast, (g.pixel_size, g.pixel_size))


def setup_of(x: Experiment) -> Setup:
    """What the frames of a master file share, of an experiment's. Raises InputError for a curved detector, which NXmx has no place for."""
    parameters, g = x.parameters, x.geometry
    if parameters.detector.curved:
        raise InputError("-curved_det: a NeXus file describes planes of pixels, and has no place for a curved detector")
    axes = nexus_axes(g)
    fast, fast_end, slow, slow_end = g.window
    sensor = g.thickness > 0.0
    return Setup(
        modules=(module_of(x, axes),),
        spindle=_along_nexus(axes, g.spindle_axis),
        stokes=_stokes(x, axes),
        exposure_s=float(parameters.beam.exposure_s),
        beam_size=parameters.beam.beamsize_mm / 1000.0,
        divergence=(x.sources.hdiv.range, x.sources.vdiv.range) if x.sources.divergence_count >= 0 else (0.0, 0.0),
        sensor_thickness=g.thickness if sensor else 0.0,
        sensor_attenuation_depth=1.0 / g.mu if sensor and g.mu > 0.0 else None,
        computed=(slow, slow_end, fast, fast_end),
        mask_sum=None if x.mask is None else zlib.crc32(np.packbits(x.mask).tobytes()),
    )


def _stokes(x: Experiment, axes: np.ndarray) -> tuple[float, float, float, float] | None:
    beam = x.parameters.beam
    if not beam.polarized:
        return None
    ex, ey, _ = _along_nexus(axes, x.geometry.polarization_axis)
    angle = 2.0 * math.atan2(ey, ex)
    return 1.0, beam.polarization * math.cos(angle), beam.polarization * math.sin(angle), 0.0


def frame_of(x: Experiment, command: str = "", failed: str = "") -> Frame:
    """What one image was made from. ``command``: the line that makes it again; ``failed``: why there is none."""
    axes = nexus_axes(x.geometry)
    lattice = x.lattice
    columns = [_along_nexus(axes, star) for star in (lattice.a_star, lattice.b_star, lattice.c_star)]
    rows = tuple(zip(*columns, strict=True))
    a, b, c, alpha, beta, gamma = lattice.cell
    wavelengths, weights = spectrum_of(x)
    sampling = x.parameters.sampling
    osc = x.phi.range * RTD
    if mode_of(x.compat).spec and sampling.osc_deg is not None:
        osc = sampling.osc_deg
    return Frame(
        command, failed, sampling.phi_deg, osc, (a, b, c, alpha * RTD, beta * RTD, gamma * RTD),
        (rows[0], rows[1], rows[2]), wavelengths, weights, x.fluence, x.seeds,
    )  # fmt: skip


def spectrum_of(x: Experiment) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The wavelengths (A) of the sources, each once, and their shares: directions of one wavelength are added up."""
    wavelengths, place = np.unique(x.tables.beam.wavelengths, return_inverse=True)
    shares = np.bincount(place.ravel(), weights=x.tables.beam.weights)
    # The central one as it was given: metres and back may cost its last bit.
    in_angstroms = np.where(wavelengths == x.wavelength, x.parameters.beam.wavelength_A, 1e10 * wavelengths)
    return tuple(in_angstroms.tolist()), tuple((shares / shares.sum()).tolist())


def pixel_mask(x: Experiment) -> np.ndarray | None:
    """(slow, fast) uint32 for ``write_master``: ``NOT_COMPUTED`` at pixels outside -roi and -mask, which are zero; None: none is."""
    g = x.geometry
    fast, fast_end, slow, slow_end = g.window
    computed = np.zeros((g.slow_pixels, g.fast_pixels), bool)
    computed[slow:slow_end, fast:fast_end] = True
    if x.mask is not None:
        computed &= x.mask
    if computed.all():
        return None
    return np.where(computed, 0, NOT_COMPUTED).astype(np.uint32)
