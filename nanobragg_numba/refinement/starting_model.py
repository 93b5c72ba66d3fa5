"""A starting model in the terms that are refined: cell, orientation, size of the crystal, fluence, and the plane of the detector.

Whatever a line says it with (a MOSFLM matrix, missetting, a flux, a beam centre of some convention, a pivot), the same image is described
by a cell, the rotation that takes its default orientation (a* along x, b* in the xy plane) to where it stands, and the detector's first
pixel and axes.
"""

from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.crystal import derive_lattice
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.parameters import Axes, Crystal, Parameters
from nanobragg_numba.kernels.random_state import new_state
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.panels.detector import Box, PanelDetector
from nanobragg_numba.panels.placing import as_single
from nanobragg_numba.panels.simulate import derive_panels

NO_DISTANCE = "the beam does not meet the detector's plane, whose distance cannot be refined then"


@dataclass(frozen=True)
class Plane:
    """Where the detector stands, by the point at which the beam meets it."""

    axes: np.ndarray
    """(3, 3): unit vectors fast, slow, normal, row by row."""
    beam: np.ndarray
    """(3,): unit vector along the beam."""
    distance_mm: float
    """From the sample to the plane along the beam."""
    beam_mm: tuple[float, float]
    """Fast, slow coordinate of that point from the first pixel's corner."""


@dataclass(frozen=True)
class StartingPanel:
    """A panel of a shot's detector."""

    parameters: Parameters
    """With that panel for the detector."""
    box: Box
    """Its place in the shot's image: slow start, slow end, fast start, fast end."""
    mask: np.ndarray | None
    """(slow, fast): 0 where its pixels do not count."""


@dataclass(frozen=True)
class StartingModel:
    """Parameters that make the image of the given ones, with every refined quantity a field of its own."""

    parameters: Parameters
    experiment: Experiment
    plane: Plane
    """Of several panels that of the one which the beam meets, or comes nearest to."""
    panels: tuple[StartingPanel, ...]
    detector: PanelDetector | None = None
    """None: the detector is that of ``parameters``."""

    @property
    def cell(self) -> np.ndarray:
        """(6,): A, degrees."""
        return np.array(self.parameters.crystal.cell)

    @property
    def orientation(self) -> np.ndarray:
        """(3, 3): from the cell's default orientation to the lattice at phi = 0."""
        assert self.parameters.crystal.orientation is not None
        return self.parameters.crystal.orientation


def starting_model(parameters: Parameters, detector: PanelDetector | None = None) -> StartingModel:
    """See ``StartingModel``; as "spec" means the parameters. ``detector``: in place of that of the parameters.

    Steps that follow from sizes (sub-pixels, mosaic domains, interpolation) are kept as they are now, or the image would jump. Raises
    InputError for random orientations without a seed, curved detectors, and beams that do not meet the detector's plane.
    """
    return _of_plane(parameters) if detector is None else _of_panels(parameters, detector)


def _of_panels(parameters: Parameters, detector: PanelDetector) -> StartingModel:
    if parameters.detector.curved:
        raise InputError("-curved_det: a curved detector is not refined")
    taken = derive_panels(parameters, detector, "spec").oversample[1]
    given = replace(parameters, sampling=replace(parameters.sampling, oversample=taken))
    models, panels = [], []
    for panel, box in zip(detector.panels, detector.boxes, strict=True):
        corner = panel.position_mm(0, 0).tolist()
        alone = replace(panel, origin_mm=tuple(corner), first_pixel=(0, 0), place=None, mask=None, cut_from=None, group=None)
        single = as_single(given, PanelDetector((alone,), axes=detector.axes))
        if single is None:
            raise InputError(f"panel {panel.name!r}: pixels that are not square are not refined")
        models.append(_of_plane(single, whole=False))
        panels.append(StartingPanel(models[-1].parameters, box, panel.mask))
    # Where the beam comes nearest to a panel its distance and tilts are most independent.
    first = models[int(np.argmin([_from_beam(model) for model in models]))]
    if not first.plane.distance_mm > 0.0:
        raise InputError(NO_DISTANCE)
    shared = replace(first.parameters, detector=parameters.detector)
    return StartingModel(shared, first.experiment, first.plane, tuple(panels), detector)


def _from_beam(model: StartingModel) -> float:
    """How far (mm) a panel is from where the beam meets its plane; inf where it does not."""
    pixels, pixel = np.array(model.parameters.detector.pixels), model.parameters.detector.pixel_size_mm
    point = np.array(model.plane.beam_mm)
    away = float(np.linalg.norm(point - np.clip(point, 0.0, pixels * pixel)))
    return away if model.plane.distance_mm > 0.0 else np.inf


def _of_plane(parameters: Parameters, whole: bool = True) -> StartingModel:
    """``whole``: whether the beam must meet the plane."""
    crystal, detector = parameters.crystal, parameters.detector
    if crystal.misset_deg == "random" and crystal.misset_seed is None:
        raise InputError("a random orientation without a seed is no starting model: give -misset_seed, or the angles")
    if detector.curved:
        raise InputError("-curved_det: a curved detector is not refined")
    x = derive_experiment(parameters, "spec")
    g, lattice = x.geometry, x.lattice
    a, b, c, alpha, beta, gamma = lattice.cell
    cell = (a, b, c, alpha * RTD, beta * RTD, gamma * RTD)
    state = new_state()
    default = derive_lattice(Crystal(cell=cell), 1e-10, state, "spec")
    there, here = (np.array([one.a_star, one.b_star, one.c_star]).T for one in (lattice, default))
    turn = there @ np.linalg.inv(here)
    # Rounding of the cell alone is taken out.
    u, _, v = np.linalg.svd(turn)
    if np.linalg.det(turn) < 0.0 or np.abs(u @ v - turn).max() > 1e-6:
        raise InputError("the lattice's axes are left-handed: exchange two, or the sign of one")
    axes = np.array([g.fast, g.slow, g.normal])
    if abs(np.dot(g.fast, g.slow)) > 1e-6:
        raise InputError("a detector with axes that are not at right angles is not refined")
    pix0, beam = 1000.0 * np.array(g.pix0), np.array(g.beam)
    along = float(beam @ axes[2])
    distance = float(pix0 @ axes[2]) / along if abs(along) > 1e-3 else -1.0
    if whole and not distance > 0.0:
        raise InputError(NO_DISTANCE)
    point = distance * beam - pix0
    plane = Plane(axes, beam, distance, (float(point @ axes[0]), float(point @ axes[1])))
    new = replace(
        parameters,
        crystal=replace(
            crystal, cell=cell, mosflm_matrix=None, real_space_matrix=None, misset_deg=None, orientation=u @ v, n_cells=x.size.cells,
            size_mm=(0.0, 0.0, 0.0), mosaic_domains=x.mosaic_domains, interpolate=x.interpolate,
        ),
        beam=replace(parameters.beam, fluence=x.fluence, flux=0.0),
        detector=replace(
            detector, pixels=(g.fast_pixels, g.slow_pixels), rotations_deg=(0.0, 0.0, 0.0), twotheta_deg=0.0,
            close_distance_mm=None, distance_mm=distance, pix0_mm=(float(pix0[0]), float(pix0[1]), float(pix0[2])),
        ),
        sampling=replace(parameters.sampling, oversample=x.oversample),
        axes=Axes(
            fast=g.fast, slow=g.slow, normal=g.normal, spindle_axis=g.spindle_axis, polarization_axis=g.polarization_axis, beam=g.beam,
            twotheta_axis=parameters.axes.twotheta_axis,
        ),
    )  # fmt: skip
    panel = StartingPanel(new, (0, g.slow_pixels, 0, g.fast_pixels), None)
    return StartingModel(new, derive_experiment(new, "spec"), plane, (panel,))
