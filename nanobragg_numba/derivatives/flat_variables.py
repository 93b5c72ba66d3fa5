"""The continuous quantities in the kernels' tables as one flat vector: what an image can be differentiated with respect to."""

from typing import NamedTuple

import numpy as np

from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.jit.entry_types import Numbers2, Vector
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.entries import turned_lattices

from . import entries


class Variables(NamedTuple):
    """Views of a flat vector, one for each quantity, or of rows of such vectors, with a leading axis, which is what kernels take.

    SI units but for ``star`` (1/A).
    """

    axes: Numbers2
    """(9,): a, b, c at no rotation, row by row (metres)."""
    spindle: Numbers2
    angles: Numbers2
    """(phi steps,): the angle that each step is turned by (radians), the carryover (Q1) done."""
    first_angles: Numbers2
    """(phi steps,) or (0,): the same in the first sweep of the run where that differs."""
    mosaic: Numbers2
    """(9 domains,) or (0,): rotation of each domain, row by row."""
    star: Numbers2
    cells: Numbers2
    """(6,): Na, Nb, Nc, Nab, Nac, Nbc."""
    fudge: Numbers2
    default_F: Numbers2
    incident: Numbers2
    """(3 sources,)."""
    wavelengths: Numbers2
    weights: Numbers2
    kahn: Numbers2
    polarization_axis: Numbers2
    fast: Numbers2
    slow: Numbers2
    normal: Numbers2
    beam: Numbers2
    """(3,): the beam's direction; only curved detectors use it."""
    pix0: Numbers2
    pixel_size: Numbers2
    distance: Numbers2
    """(1,): only curved detectors use it."""
    close_distance: Numbers2
    background: Numbers2
    scale: Numbers2

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each view."""
        return tuple(len(view) for view in self)


def split(flat: np.ndarray, sizes: tuple[int, ...]) -> Variables:
    """Views of ``flat``, of those lengths."""
    ends = np.cumsum(sizes)
    return Variables._make(flat[end - size : end] for end, size in zip(ends, sizes, strict=True))


def variables_of(experiment: Experiment) -> Variables:
    """The values that the experiment's kernels use."""
    detector, beam, crystal, rules = experiment.tables
    lattice = experiment.lattice
    one = [np.array([value]) for value in (crystal.fudge, crystal.default_F, beam.kahn)]
    return Variables(  # type: ignore[call-arg]
        np.array([*lattice.a, *lattice.b, *lattice.c]) * 1e-10, np.array(experiment.geometry.spindle_axis),
        np.array(experiment.angles), np.array(experiment.first_angles if experiment.first_angles != experiment.angles else []),
        experiment.mosaic.ravel(), np.array(crystal.star), np.array([crystal.na, crystal.nb, crystal.nc, *crystal.cross]), one[0], one[1],
        beam.incident.ravel(), beam.wavelengths, beam.weights, one[2], beam.axes[0],
        *(np.array(vector) for vector in (detector.fast, detector.slow, detector.normal, detector.beam, detector.pix0)),
        *(np.array([value]) for value in (detector.pixel_size, detector.distance, detector.close_distance)),
        np.array([rules.background]), np.array([rules.scale]),
    )  # fmt: skip


def _turned(v: Variables, angles: np.ndarray) -> np.ndarray:
    """``lattice_orientations``, of complex numbers too."""
    mosaic = v.mosaic.reshape(-1, 9)
    orientations = np.empty((len(angles) * max(len(mosaic), 1), 9), v.axes.dtype)
    turned = entries.complex_turned_lattices if v.axes.dtype.kind == "c" else turned_lattices
    turned(v.axes.reshape(3, 3), tuple(v.spindle), angles, mosaic, orientations)
    return orientations


def _three(v: np.ndarray) -> Vector:
    return v[0], v[1], v[2]


def tables_at(v: Variables, factors: np.ndarray, tables: Tables) -> Tables:
    """``tables`` with their continuous quantities replaced by ``v`` and ``factors``, which may be complex."""
    detector, beam, crystal, rules = tables
    orientations = _turned(v, v.angles)
    first = _turned(v, v.first_angles) if len(v.first_angles) else orientations
    pixel = v.pixel_size[0]
    return Tables(
        detector._replace(
            fast=_three(v.fast), slow=_three(v.slow), normal=_three(v.normal), beam=_three(v.beam), pix0=_three(v.pix0), pixel_size=pixel,
            subpixel_size=pixel / detector.oversample, distance=v.distance[0], close_distance=v.close_distance[0],
        ),
        beam._replace(
            incident=v.incident.reshape(-1, 3), wavelengths=v.wavelengths, weights=v.weights, kahn=v.kahn[0],
            axes=v.polarization_axis.reshape(1, 3), axes_repeat_from=0,
        ),
        crystal._replace(
            orientations=orientations, first_orientations=first, star=tuple(v.star), na=v.cells[0], nb=v.cells[1], nc=v.cells[2],
            cross=_three(v.cells[3:]), fudge=v.fudge[0], default_F=v.default_F[0], factors=factors,
        ),
        rules._replace(background=v.background[0], scale=v.scale[0]),
    )  # fmt: skip
