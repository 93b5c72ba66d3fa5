"""Every intermediate of one pixel, from the pixel kernel's own source, checked against the engine."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError, TraceMismatch
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.steps import effective_angles, phi_angles
from nanobragg_numba.kernels.arguments import PixelRecord, in_precision

from .pixel_engine import PixelEngine
from .plain_kernel import plain_functions, plain_pixel_value

Vector = tuple[Any, Any, Any]


@dataclass
class Step:
    """One phi step of one mosaic domain."""

    hkl: Vector
    """Where the step is in reciprocal space, in fractions of the reciprocal axes."""
    nearest: tuple[int, int, int]
    """The reflection nearest to it."""
    gratings: Vector
    """The lattice factor along each axis; nan where the crystal's shape has none."""
    f_latt: Any
    """The lattice factor: the crystal's sum over its cells, as an amplitude."""
    f_cell: Any = float("nan")
    """The structure factor (electrons); nan where the lattice factor is zero and the kernel did not look it up."""


@dataclass
class Sweep:
    """All phi steps and mosaic domains at one source, sub-pixel and sensor layer."""

    layer: int
    """The sensor layer, from 0."""
    sub_slow: int
    """The sub-pixel along the slow axis, from 0."""
    sub_fast: int
    """The sub-pixel along the fast axis, from 0."""
    source: int
    """The source, from 0."""
    position: Vector
    """Of the sub-pixel in the layer (metres)."""
    airpath: Any
    """From the sample to there (metres)."""
    diffracted: Vector
    """Unit vector from the sample to there."""
    incident: Vector
    """Unit vector along the source's beam."""
    wavelength: Any
    """Of the source (metres)."""
    scattering: Vector
    """(diffracted - incident) / wavelength (1/m)."""
    steps: list[Step] = field(default_factory=list)
    """Phi step by phi step and, within it, mosaic domain by mosaic domain."""
    orientations: np.ndarray = field(default_factory=lambda: np.zeros((0, 9)))
    """(steps, 9): a, b, c in metres."""
    total: Any = 0.0
    """The sum after this sweep: of the pixel in "c", of the sweep alone in "spec"."""
    capture: Any = 0.0
    """The share of the photons that the layer absorbs, in force at this sweep."""
    polar: Any = 0.0
    """The polarization factor in force at this sweep."""
    omega: Any = 0.0
    """The solid angle (sr) in force at this sweep."""


@dataclass(frozen=True)
class PixelTrace:
    """One pixel: what was asked, its sweeps in the kernel's order, its value."""

    experiment: Experiment
    """What the pixel belongs to."""
    slow: int
    """Its row, from 0."""
    fast: int
    """Its column, from 0."""
    dtype: Any
    """np.float64 or np.float32: the precision of all its numbers."""
    sweeps: list[Sweep]
    """Source within sub-pixel within sensor layer."""
    phi: list[float]
    """Radians: the nominal angle of each phi step."""
    effective_phi: list[float]
    """Radians: the angle whose rotation each phi step of the first sweep uses."""
    later_effective_phi: list[float]
    """Radians: the same in all later sweeps."""
    value: Any
    """Photons."""
    engine_value: float
    """What the exact engine computes in double precision."""
    total: Any
    """The sum over all steps before scaling; in "spec" over all sources alike."""
    polar: Any
    """The polarization factor that the kernel ends with."""
    omega: Any
    """The solid angle (sr) that the kernel ends with."""
    capture: Any
    """The absorbed share that the kernel ends with."""


class _Scribe:
    """Makes sweeps of the calls that the kernel is heard to make."""

    def __init__(self, crystal: Any) -> None:
        self.sweeps: list[Sweep] = []
        self.cells = crystal.na, crystal.nb, crystal.nc
        self.place: tuple[Any, ...] = ()
        self.airpath: Any = None
        self.source = 0
        self.step: Step | None = None
        self.gratings: list[Any] = []
        self.pending: Sweep | None = None

    def __call__(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        handler = getattr(self, f"_{name}", None)
        if handler is not None:
            handler(arguments, result)

    def _subpixel_position(self, arguments: Any, result: Any) -> None:
        _, _, sub_slow, sub_fast, layer, _ = arguments
        self.place = layer, sub_slow, sub_fast, result
        self.source = 0

    def _magnitude(self, _: Any, result: Any) -> None:
        self.airpath = result

    def _scattering_vector(self, arguments: Any, result: Any) -> None:
        layer, sub_slow, sub_fast, position = self.place
        diffracted, incident, wavelength = arguments
        self.pending = Sweep(
            layer, sub_slow, sub_fast, self.source, position, self.airpath, diffracted, incident, wavelength, result
        )  # fmt: skip
        self.source += 1

    def _grating(self, _: Any, result: Any) -> None:
        self.gratings.append(result)

    def _lattice_factor(self, arguments: Any, result: Any) -> None:
        _, h, k, l, h0, k0, l0 = arguments[:7]
        if arguments[0] == 0:
            # An axis of one cell has no grating to call.
            factors = iter(self.gratings)
            gratings = tuple(next(factors) if n > 1 else 1.0 for n in self.cells)
        else:
            gratings = (np.nan,) * 3
        self.gratings = []
        self.step = Step((h, k, l), (int(h0), int(k0), int(l0)), gratings, result)  # type: ignore[arg-type]
        assert self.pending is not None
        self.pending.steps.append(self.step)

    def _nearest_structure_factor(self, _: Any, result: Any) -> None:
        assert self.step is not None
        self.step.f_cell = result

    _tricubic_structure_factor = _nearest_structure_factor

    def _sweep(self, arguments: Any, result: Any) -> None:
        assert self.pending is not None
        _, _, self.pending.orientations, _, _, self.pending.capture, self.pending.polar, self.pending.omega = arguments[:8]
        self.pending.total = result[0]
        self.sweeps.append(self.pending)


def _run_engine(experiment: Experiment, slow: int, fast: int) -> tuple[float, bool, bool, int]:
    """The exact engine's value of the pixel, and the state in which the run comes to it: whether the run's first sweep is in
    it, whether interpolation is still on, how many polarization factors were computed before. The steps are those of the spots:
    background and shadow come afterwards, and are left out."""
    experiment = replace(experiment, parameters=replace(experiment.parameters, backgrounds=(), shadow=None))
    engine = PixelEngine(experiment, np.float64, "exact")
    tables = experiment.tables
    if not (0 <= slow < engine.image.shape[0] and 0 <= fast < engine.image.shape[1]):
        raise InputError(f"--pixel {slow} {fast}: the image has {engine.image.shape[0]} slow and {engine.image.shape[1]} fast pixels")
    if not engine.computed[slow, fast]:
        raise InputError(f"--pixel {slow} {fast}: that pixel is not computed, for -roi or -mask leaves it out")
    index = slow * engine.image.shape[1] + fast
    leaks = (tables.rules.interpolate and not tables.rules.spec) or engine.counts_evaluations
    if not leaks and not (engine.seeks_first and tables.beam.dmin > 0.0):
        # No pixel before this one matters but as the first: compute this one alone.
        engine.first_pixel = int(np.argmax(engine.computed))
        engine.window = (fast, fast + 1, slow, slow + 1)
    for block in engine.blocks():
        if block.slow_end > slow:
            break
    event = engine.out_of_table
    before = PixelEngine(experiment, np.float64, "exact").census(engine.window[2], slow + 1, 1) if engine.counts_evaluations else None
    evaluation = 0 if before is None else int(before[slow, fast])
    interpolate = bool(tables.rules.interpolate) and (event is None or index <= event.pixel)
    return float(engine.image[slow, fast]), index == engine.first_pixel, interpolate, evaluation


def trace_pixel(experiment: Experiment, slow: int, fast: int, dtype: Any = np.float64) -> PixelTrace:
    """Follow one pixel of ``experiment`` step by step.

    In float64 every number is the kernel's to the last bit. In float32 the experiment's tables are rounded to single
    precision and all arithmetic of the pixel is single precision, each sine, root or exponential being rounded from double.
    Raises InputError for a pixel that is not computed, TraceMismatch where float64 does not give the engine's value.
    """
    engine_value, first, interpolate, evaluation = _run_engine(experiment, slow, fast)
    tables = in_precision(experiment.tables, dtype)
    scribe = _Scribe(tables.crystal)
    record = np.full(PixelRecord.SIZE, np.nan)
    with np.errstate(all="ignore"):
        try:
            value = plain_pixel_value(dtype, scribe)(slow, fast, tables, first, interpolate, evaluation, record)[0]
        except (ValueError, OverflowError):
            raise InputError(f"--pixel {slow} {fast}: an index there is no finite number") from None
        value = dtype(value)
    if dtype is np.float64 and value + 0.0 != engine_value and not (np.isnan(value) and np.isnan(engine_value)):
        raise TraceMismatch(f"pixel slow {slow}, fast {fast}: the trace ends with {value!r}, the engine computes {engine_value!r}")
    if not scribe.sweeps:
        raise InputError(f"--pixel {slow} {fast}: nothing is summed there, for it lies beyond the resolution limit -dmin")
    angles = phi_angles(experiment.phi, experiment.phi_start)
    later, earliest = effective_angles(angles) if experiment.carryover else (angles, angles)
    total = sum(sweep.total for sweep in scribe.sweeps) if tables.rules.spec else record[PixelRecord.SUM]
    return PixelTrace(
        experiment, slow, fast, dtype, scribe.sweeps, angles, earliest if first else later, later, value, engine_value, dtype(total),
        record[PixelRecord.POLAR], record[PixelRecord.OMEGA], record[PixelRecord.CAPTURE],
    )  # fmt: skip


def cos_two_theta(trace: PixelTrace, sweep: Sweep) -> Any:
    """Cosine of the scattering angle, as the polarization factor takes it."""
    return plain_functions(trace.dtype)["dot"](sweep.incident, sweep.diffracted)
