"""From parameters to an experiment: all that follows from them before the first pixel is computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields import summaries
from nanobragg_numba.fields.kept import Kept, fingerprint
from nanobragg_numba.fields.meaning import PARTS
from nanobragg_numba.kernels.arguments import BeamTable, CrystalTable, DetectorTable, Rules, Tables
from nanobragg_numba.kernels.entries import turned_lattices
from nanobragg_numba.kernels.random_state import RandomState, new_state, reseed
from nanobragg_numba.maths.constants import AVOGADRO, RTD, THOMSON_CROSS_SECTION, WATER_F, WATER_WEIGHT
from nanobragg_numba.maths.vectors3 import Vector, scale, unit

from .beam import Sources, clip_to_beam, derive_sources, fluence
from .crystal import CrystalSize, Lattice, crystal_size, derive_lattice, require_tensor
from .detector import Geometry, derive_geometry, mask_of
from .memory import require_memory
from .modes import mode_of
from .mosaic import crystal_frame, domains_of
from .parameters import SHAPES, Compat, Parameters, validate
from .seeds import Seeds, fresh_seed, generator_seed
from .steps import Steps, carries_over, effective_angles, phi_angles, phi_steps

MOST_UNITISINGS = 4096
_set_ups_before = Kept(4)


@dataclass(frozen=True)
class Experiment:
    """The derived quantities of a simulation, and the tables for the kernels."""

    parameters: Parameters
    """What all else follows from."""
    compat: Compat
    """"c" for the reference's quirks, "spec" for the physics as promised."""
    carryover: bool
    """Whether the reference's phi = 0 carryover (Q1) is in force."""
    geometry: Geometry
    """Where the detector stands."""
    lattice: Lattice
    """The crystal's axes at phi = 0."""
    size: CrystalSize
    """How large the crystal is."""
    sources: Sources
    """Directions, wavelengths and weights of the incident rays."""
    phi: Steps
    """Range, step size (radians) and number of the rotation steps."""
    phi_start: float
    """The spindle's angle at the first step (radians)."""
    angles: list[float]
    """The angle that each phi step is turned by (radians), the carryover done."""
    first_angles: list[float]
    """The same in the first sweep of the run."""
    mosaic_spread: float
    """Half-width of the cap of misorientations (radians); 0 of a Gaussian."""
    mosaic_domains: int
    """Number of mosaic domains."""
    mosaic: np.ndarray
    """(domains, 9): rotation of each domain; (0, 9) where the one domain is not turned."""
    wavelength: float
    """The central wavelength (metres)."""
    fluence: float
    """Photons per square metre."""
    interpolate: bool
    """Whether structure factors are interpolated between reflections."""
    oversample: int
    """Sub-pixels along each axis of a pixel."""
    recommended_oversample: int
    """As many as the size of the crystal asks for."""
    steps: int
    """Steps summed in each pixel, sensor layers apart."""
    mask: np.ndarray | None
    """(slow, fast) bool: pixels to compute; None: all."""
    tables: Tables
    """What the kernels read."""
    random_state: RandomState
    """The generator, as orientation and mosaic domains left it."""
    seeds: Seeds
    """What the random orientation and the mosaic domains were drawn from, and what the noise is to be drawn from."""
    clip_warnings: tuple[str, ...]
    """The reference's lines about a crystal that is wider than the beam."""
    mosaic_warnings: tuple[str, ...]
    """The reference's lines about the number of mosaic domains."""

    def __repr__(self) -> str:
        crystal = self.parameters.crystal
        cells = summaries.cells(self.size.cells, self.size.off_diagonal)
        sources = len(self.sources.wavelengths)
        spectrum = f"{1e10 * self.wavelength:g} A, {sources} source{'s' * (sources > 1)}"
        return (
            f"<Experiment ({self.compat}): {summaries.lattice(self.lattice)}, {cells} {crystal.shape}, {spectrum},\n "
            f"{summaries.geometry(self.geometry)}; {self.steps} step{'s' * (self.steps > 1)} a pixel>"
        )


@dataclass(frozen=True)
class SetUp:
    """What follows from all but the crystal; the fields that ``Experiment`` has too are its."""

    geometry: Geometry
    """Where the detector stands."""
    wavelength: float
    """The central wavelength (metres)."""
    sources: Sources
    """Directions, wavelengths and weights of the incident rays."""
    weights: np.ndarray
    """(sources,): the share of each in "spec", 1 in "c" (Q7)."""
    polarization_axes: np.ndarray
    """(n, 3): the polarization axis at each evaluation (``axis_orbit``)."""
    repeat_from: int
    """The row from which they repeat."""
    phi: Steps
    """Range, step size (radians) and number of the rotation steps."""
    phi_start: float
    """The spindle's angle at the first step (radians)."""
    carryover: bool
    """Whether the reference's phi = 0 carryover (Q1) is in force."""
    angles: list[float]
    """The angle that each phi step is turned by (radians)."""
    first_angles: list[float]
    """The same in the first sweep of the run."""


def axis_orbit(axis: Vector) -> tuple[np.ndarray, int]:
    """The polarization axis at each evaluation, and the row from which it repeats.

    The reference makes the axis a unit vector anew, in place, whenever it computes a polarization factor (Q4).
    Rounding mostly makes that settle at once; about one axis in sixty takes longer or runs in a cycle.
    """
    rows = [unit(axis)]
    seen = {rows[0]: 0}
    while len(rows) < MOST_UNITISINGS:
        following = unit(rows[-1])
        if following in seen:
            return np.array(rows), seen[following]
        seen[following] = len(rows)
        rows.append(following)
    return np.array(rows), len(rows) - 1


def lattice_orientations(axes: np.ndarray, spindle: Vector, angles: Sequence[float], rotations: np.ndarray) -> np.ndarray:
    """(phi steps x domains, 9): a, b, c turned by each angle (radians) about the spindle, then by each domain's rotation.

    ``axes`` (3, 3) holds a, b, c row by row; ``rotations`` (domains, 9), or (0, 9) for one domain that is not turned.
    An angle of 0 is no operation.
    """
    orientations = np.empty((len(angles) * max(len(rotations), 1), 9))
    turned_lattices(axes, spindle, np.asarray(angles), rotations, orientations)
    return orientations


def derive_experiment(
    parameters: Parameters, compat: Compat = "spec", *, noise_seed: int | None = None, missing_seed: Callable[[], int] = fresh_seed
) -> Experiment:
    """Work out everything but the pixels. Raises InputError where the parameters make no sense.

    ``missing_seed`` makes the seeds that are not given, by default another for each image; ``Experiment.seeds`` has them.
    """
    mode = mode_of(compat)
    if not isinstance(parameters, Parameters):
        raise InputError(f"parameters must be Parameters (parameters_from_command_line makes them), not {type(parameters).__name__}")
    # The mask has no say in the set-up.
    unmasked = replace(parameters.detector, mask=None) if parameters.detector.mask is not None else parameters.detector
    key = fingerprint(compat, parameters.beam, unmasked, parameters.sampling, parameters.axes)
    validate(parameters, mode.spec, ("crystal",) if _set_ups_before.has("set-up", key) else PARTS)
    given = parameters.crystal.misset_seed
    seeds = Seeds(
        missing_seed() if given is None else given, parameters.crystal.mosaic_seed, missing_seed() if noise_seed is None else noise_seed
    )
    try:
        return _derive(parameters, compat, seeds, _set_ups_before.get("set-up", key, lambda: _set_up(parameters, compat)))
    except (ZeroDivisionError, OverflowError):
        raise InputError("these numbers are beyond double precision: look at -cell, -mat, -lambda, -distance and -pixel") from None


def _set_up(parameters: Parameters, compat: Compat) -> SetUp:
    beam, sampling = parameters.beam, parameters.sampling
    geometry = derive_geometry(parameters, compat)
    if mode_of(compat).spec:
        _require_window(geometry)
    wavelength = beam.wavelength_A / 1.0e10
    phi = phi_steps(sampling, compat)
    phi_start = sampling.phi_deg / RTD
    sources = derive_sources(beam, geometry, wavelength, compat)
    angles = phi_angles(phi, phi_start)
    carryover = carries_over(sampling, compat)
    effective, effective_first = effective_angles(angles) if carryover else (angles, angles)
    axes, repeat_from = axis_orbit(geometry.polarization_axis)
    return SetUp(
        geometry, wavelength, sources, _weights(sources, compat), axes, repeat_from, phi, phi_start, carryover, effective, effective_first
    )


def _weights(sources: Sources, compat: Compat) -> np.ndarray:
    weight_sum = float(sources.intensities.sum())
    if not mode_of(compat).spec:
        return np.ones(len(sources.intensities))
    if not weight_sum > 0.0:
        raise InputError("-sourcefile: the source intensities do not add up to a positive number")
    return sources.intensities / weight_sum


def _derive(parameters: Parameters, compat: Compat, seeds: Seeds, given: SetUp) -> Experiment:
    crystal, beam = parameters.crystal, parameters.beam
    state = new_state()
    size, clip_warnings = clip_to_beam(crystal.size_mm, beam)
    geometry, wavelength, sources, phi = given.geometry, given.wavelength, given.sources, given.phi
    reseed(state, generator_seed(seeds.misset))
    lattice = derive_lattice(crystal, wavelength, state, compat)
    cells = crystal_size(crystal, lattice, size)
    require_tensor(crystal, cells, compat)
    interpolate = crystal.interpolate if crystal.interpolate is not None else min(crystal.n_cells) <= 2
    factors = crystal.structure_factors
    if factors is None or factors.count == 0:
        interpolate = False
    recommended, oversample = oversampling(parameters, compat, geometry, cells, wavelength)
    asked = crystal.mosaic_domains or 1
    require_memory(asked * max(phi.count, 1) * 160, f"{asked} mosaic domains at {phi.count} phi steps")
    spread, domains, rotations, mosaic_warnings = domains_of(
        crystal, compat, state, lambda: crystal_frame(lattice.a, lattice.c_star, geometry.spindle_axis, given.angles)
    )
    steps = len(sources.wavelengths) * domains * phi.count * oversample * oversample
    if steps == 0:
        raise InputError("-phisteps: no phi step is left to compute")
    axes = np.array([scale(axis, 1e-10) for axis in (lattice.a, lattice.b, lattice.c)])
    orientations = lattice_orientations(axes, geometry.spindle_axis, given.angles, rotations)
    first = orientations
    if given.first_angles != given.angles:
        first = lattice_orientations(axes, geometry.spindle_axis, given.first_angles, rotations)
    photons = fluence(beam)
    tables = _tables(parameters, compat, given, lattice, cells, oversample, steps, photons, interpolate, orientations, first)
    return Experiment(
        parameters, compat, given.carryover, geometry, lattice, cells, sources, phi, given.phi_start, given.angles, given.first_angles,
        spread, domains, rotations, wavelength, photons, interpolate, oversample, recommended, steps,
        mask_of(parameters, geometry, compat), tables, state, seeds, clip_warnings, mosaic_warnings,
    )  # fmt: skip


def _require_window(geometry: Geometry) -> None:
    """Raise InputError for a window that is reversed or holds no pixel of the image."""
    fast, fast_end, slow, slow_end = geometry.window
    if fast >= fast_end or slow >= slow_end:
        size = f"{geometry.fast_pixels}x{geometry.slow_pixels}"
        raise InputError(
            f"Detector.roi (-roi) {' '.join(map(str, geometry.roi))} holds no pixel of the {size} image: "
            "it is fast min, fast max, slow min, slow max, counted from 0"
        )


def oversampling(parameters: Parameters, compat: Compat, geometry: Geometry, cells: CrystalSize, wavelength: float) -> tuple[int, int]:
    """Sub-pixels along an axis: the number that the crystal size asks for, and the number taken."""
    # Pixels are widest in reciprocal space at the nearest point; the distance along the beam may be negative, or without end.
    distance = abs(geometry.close_distance) if mode_of(compat).spec else geometry.distance
    reciprocal_pixel = wavelength * distance / geometry.pixel_size
    with np.errstate(all="ignore"):
        wanted = np.ceil(np.float64(3.0 * max(cells.widths)) / reciprocal_pixel)
    recommended = int(wanted) if 0 < wanted < 2**31 else 1
    given = parameters.sampling.oversample
    oversample = given if given is not None and given > 0 else recommended
    if oversample > 10000:
        raise InputError(f"-oversample: {oversample}-fold oversampling is too much (a crystal of {max(cells.widths) * 1e6:g} micrometres?)")
    return recommended, oversample


def detector_table(parameters: Parameters, geometry: Geometry, oversample: int) -> DetectorTable:
    """What the kernels read of the detector."""
    return DetectorTable(
        geometry.fast, geometry.slow, geometry.normal, geometry.beam, geometry.pix0,
        geometry.pixel_size, geometry.pixel_size / oversample, oversample, geometry.distance, geometry.obliquity_distance,
        parameters.detector.curved, parameters.detector.point_pixel,
        geometry.thickness, geometry.layer_thickness, geometry.layers, geometry.mu, geometry.fast_pixels,
    )  # fmt: skip


def photon_factors(photons: float, water_um: float, sweep_steps: int, spec: bool) -> tuple[float, float]:
    """r_e^2 times the fluence, and what a pixel's sum ("c") or each source's ("spec") starts with: the scattering of the water.

    In "spec" each source's sum starts with the water of all its steps, so that the division by them leaves it once.
    """
    water = water_um / 1e6
    scattering_water = WATER_F * WATER_F * THOMSON_CROSS_SECTION * photons * water * water * water * 1e6 * AVOGADRO / WATER_WEIGHT
    photon_scale = THOMSON_CROSS_SECTION * photons
    if not spec:
        return photon_scale, scattering_water
    return photon_scale, scattering_water / photon_scale * sweep_steps if photon_scale else 0.0


def _channels(parameters: Parameters, sources: int) -> np.ndarray:
    """(sources,) int64: which table of structure factors each source takes. Raises InputError where there are several, and nothing says."""
    factors, listed = parameters.crystal.structure_factors, parameters.beam.sources
    tables = 1 if factors is None else factors.tables
    channels = None if listed is None else listed.channels
    if channels is None:
        if tables > 1:
            raise InputError(f"Crystal.structure_factors has {tables} tables: SourceList.channels must say which of them each source takes")
        return np.zeros(sources, np.int64)
    if channels.max() >= tables:
        raise InputError(f"SourceList.channels names table {channels.max()}, and Crystal.structure_factors has {tables}, counted from 0")
    return channels


def _tables(
    parameters: Parameters, compat: Compat, given: SetUp, lattice: Lattice, cells: CrystalSize, oversample: int,
    steps: int, photons: float, interpolate: bool, orientations: np.ndarray, first: np.ndarray,
) -> Tables:  # fmt: skip
    crystal, beam, sampling, sources = parameters.crystal, parameters.beam, parameters.sampling, given.sources
    mode = mode_of(compat)
    spec = mode.spec
    detector = detector_table(parameters, given.geometry, oversample)
    beam_table = BeamTable(
        np.ascontiguousarray(-sources.directions), sources.wavelengths.astype(np.float64), given.weights, float(beam.polarization),
        beam.polarized, given.polarization_axes, given.repeat_from, float(sampling.dmin_A * 1e-10),
        _channels(parameters, len(sources.wavelengths)),
    )  # fmt: skip
    factors = crystal.structure_factors
    # Without a list every index is outside this table of no reflections, and takes default_F.
    table, tables = (factors.stacked, factors.tables) if factors is not None else (np.zeros((1, 1, 1)), 1)
    h_min, k_min, l_min = (factors.h_min, factors.k_min, factors.l_min) if factors is not None else (0, 0, 0)
    crystal_table = CrystalTable(
        orientations, first, (*lattice.a_star, *lattice.b_star, *lattice.c_star), *cells.cells, cells.off_diagonal,
        SHAPES.index(crystal.shape), float(crystal.fudge), table, tables, h_min, k_min, l_min, float(crystal.default_F),
    )  # fmt: skip
    photon_scale, background = photon_factors(photons, crystal.water_um, orientations.shape[0], spec)
    divisor = float(orientations.shape[0] * oversample * oversample if spec else steps)
    rules = Rules(
        spec, interpolate, sampling.oversample_thick and not spec, sampling.oversample_polar and not spec,
        sampling.oversample_omega and not spec, mode.running_products, background, crystal.water_um == 0.0, photon_scale, divisor,
    )  # fmt: skip
    return Tables(detector, beam_table, crystal_table, rules)
