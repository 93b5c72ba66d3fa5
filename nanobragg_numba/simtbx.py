"""What users of cctbx, dxtbx and simtbx have, as this package takes it; none of these is imported.

dxtbx's dictionaries are what ``to_dict()`` of its models returns. docs/from-simtbx.md has the table of names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Beam, SourceList, Vector
from nanobragg_numba.panels.detector import PanelDetector
from nanobragg_numba.panels.dials import DialsExperiment, ExperimentList, read_beam
from nanobragg_numba.panels.dials_detector import read_detector
from nanobragg_numba.panels.json_values import Node

SOURCE_DISTANCE = 10.0
"""Metres; only the direction counts."""


def _square(name: str, matrix: ArrayLike) -> np.ndarray:
    """(3, 3), of nine numbers row by row or of three rows."""
    array = np.asarray(matrix, dtype=np.float64)
    if array.shape not in ((9,), (3, 3)) or not np.isfinite(array).all():
        raise InputError(f"{name} must be 9 finite numbers, or 3 rows of 3, not of shape {array.shape}")
    return array.reshape(3, 3)


def lattice_from_a(a_matrix: ArrayLike, transposed: bool = False) -> np.ndarray:
    """``Crystal.real_space_matrix`` (3, 3), rows a, b, c in A, of dxtbx's A = UB, ``crystal.get_A()``.

    Its columns are a*, b*, c* in 1/A: it takes h, k, l to the scattering vector. ``transposed``: of simtbx's ``SIM.Amatrix``, whose rows
    they are. Either may be nine numbers, row by row. Raises InputError for a matrix that encloses no volume.
    """
    stars = _square("the A matrix", a_matrix)
    stars = stars.T if transposed else stars
    if not abs(np.linalg.det(stars)) > 1e-9 * np.prod(np.linalg.norm(stars, axis=0)):
        raise InputError("the A matrix encloses no volume")
    lattice: np.ndarray = np.linalg.inv(stars)
    return lattice


def lattice_from_u_and_b(u_matrix: ArrayLike, b_matrix: ArrayLike) -> np.ndarray:
    """The same of U and B: ``crystal.get_U()``, a rotation, and ``crystal.get_B()``, which takes h, k, l to the crystal's own axes.

    Raises InputError for a U that is no rotation, as U and B that have changed places.
    """
    u, b = _square("U", u_matrix), _square("B", b_matrix)
    if np.abs(u @ u.T - np.eye(3)).max() > 1e-5 or np.linalg.det(u) < 0.0:
        raise InputError("U is no rotation: have U and B changed places?")
    return lattice_from_a(u @ b)


def beam_from_spectrum(
    spectrum: Sequence[tuple[float, float]],
    sample_to_source: Sequence[float] = (0.0, 0.0, -1.0),
    *,
    exposure_s: float = 1.0,
    beamsize_mm: float = 0.1,
    polarization: float = 0.0,
) -> Beam:
    """A beam of ``spectrum``, as ``NBbeam.spectrum`` has it: pairs of wavelength (A) and photons per second.

    ``sample_to_source``: dxtbx's beam direction, against which the beam goes. ``beamsize_mm``: width of the square beam. ``polarization``:
    Kahn's factor. Raises InputError for an empty spectrum, wavelengths that are not positive, negative fluxes and a direction of no length.
    """
    pairs = np.asarray(spectrum, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1:] != (2,) or len(pairs) == 0 or not np.isfinite(pairs).all():
        raise InputError("a spectrum must be pairs of wavelength (A) and photons per second, at least one")
    wavelengths, fluxes = pairs.T
    if not (wavelengths > 0.0).all() or (fluxes < 0.0).any() or not fluxes.sum() > 0.0:
        raise InputError("a spectrum needs wavelengths above zero, and photons: no flux below zero, and one above")
    direction = np.asarray(sample_to_source, dtype=np.float64)
    if direction.shape != (3,) or not 0.0 < np.linalg.norm(direction) < np.inf:
        raise InputError("the beam's direction must be 3 numbers, not all of them zero")
    direction = direction / np.linalg.norm(direction)
    along: Vector = (float(-direction[0]), float(-direction[1]), float(-direction[2]))
    sources = SourceList(np.tile(SOURCE_DISTANCE * direction, (len(pairs), 1)), fluxes, 1e-10 * wavelengths)
    mean = float(wavelengths @ fluxes / fluxes.sum())
    return Beam(
        wavelength_A=mean, sources=sources, direction=along, flux=float(fluxes.sum()), exposure_s=exposure_s, beamsize_mm=beamsize_mm,
        polarization=polarization,
    )  # fmt: skip


def detector_from_dictionary(
    detector: Mapping[str, Any], beam: Mapping[str, Any], rotation_axis: Sequence[float] | None = None
) -> PanelDetector:
    """The panels of dxtbx's ``detector.to_dict()``, in the laboratory where its beam, ``beam.to_dict()``, goes.

    Direction and E vector of that beam, and ``rotation_axis`` for the spindle, are the laboratory's for ``simulate_panels``; its wavelength
    is not taken. Raises InputError naming the key at fault.
    """
    _, along, electric = read_beam(Node(dict(beam), "beam"), [])
    spindle = None if rotation_axis is None else Node(list(rotation_axis), "rotation_axis").vector()
    panels = read_detector(Node(dict(detector), "detector"))[0]
    return replace(panels, axes=Axes(beam=along, polarization_axis=electric, spindle_axis=spindle))


def experiments_from_dictionary(experiments: Mapping[str, Any]) -> list[DialsExperiment]:
    """The experiments of dxtbx's ``ExperimentList.to_dict()``, as ``read_expt`` gives them. Raises InputError naming the key at fault."""
    return list(ExperimentList(Node(dict(experiments), "")))
