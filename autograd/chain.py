"""From the replaced parameters to the kernels' variables, differentiably: the host formulas, run on numbers that carry a derivative.

Nothing here is a formula of its own where the library has one: ``derive_geometry``, ``derive_lattice`` and the others are called with
fields that are Numbers. Control flow follows the values.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from nanobragg_numba.derivatives.flat_variables import variables_of
from nanobragg_numba.experiment.beam import clip_to_beam, fluence, incident_rays
from nanobragg_numba.experiment.crystal import crystal_size, derive_lattice
from nanobragg_numba.experiment.derive import Experiment, photon_factors
from nanobragg_numba.experiment.detector import derive_geometry
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.mosaic import crystal_frame, gaussian_points, gaussian_rotations, mosaic_turns
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.experiment.seeds import generator_seed
from nanobragg_numba.experiment.steps import effective_angles, phi_angles
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.vectors3 import rotation_rows, scale, unit

from .number import Number, numbers, stacked
from .overrides import OVERRIDES, padded_table, quaternion_matrix, replaced

Tensor = torch.Tensor
WHOLE = ("structure_factors", "mosaic_rotations", "mosaic_spread_deg", "mosaic_width_deg")
"""Overrides that stay tensors, since they are many numbers or enter only as such."""


def flat_variables(parameters: Parameters, experiment: Experiment, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    """The flat vector of ``Variables`` and, if replaced, the padded table of structure factors, both float64, in the graph of ``tensors``.

    ``experiment``: derived from the same values.
    """
    like = torch.zeros((), dtype=torch.float64)
    given = {name: tensor.double() for name, tensor in tensors.items()}
    found, _ = number_sections(parameters, experiment, {name: numbers(given[name]) for name in given if is_scalar(name)})
    a, c_star = tuple(found["axes"][:3]), tuple(found["star"][6:])

    def frame() -> Tensor:
        vectors = crystal_frame(a, c_star, found["spindle"], found["angles"])
        return stacked([x for vector in vectors for x in vector], like).reshape(3, 3)

    sections = {name: stacked(value, like) for name, value in found.items()} | tensor_sections(experiment, given, frame)
    factors = None
    if "structure_factors" in given and parameters.crystal.structure_factors is not None:
        table = padded_table(given["structure_factors"], parameters.crystal.structure_factors)
        factors = table.reshape(-1, *table.shape[-2:])
    return torch.cat(list(sections.values())), factors


def is_scalar(name: str) -> bool:
    """Whether the override enters the host formulas number by number."""
    return name not in WHOLE and OVERRIDES[name].part != "sources"


def number_sections(parameters: Parameters, experiment: Experiment, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The sections of ``Variables``, of Numbers and floats, from scalar overrides that are Numbers; those of ``tensor_sections`` are as in
    the experiment. And what the number of sub-pixels follows from: widths of the crystal, nearest distance, pixel, wavelength (metres)."""
    p = replaced(parameters, _matrices(values), experiment.compat)
    geometry = derive_geometry(p, experiment.compat)
    wavelength = p.beam.wavelength_A / 1.0e10
    state = new_state()
    reseed(state, generator_seed(experiment.seeds.misset))
    lattice = derive_lattice(p.crystal, wavelength, state, experiment.compat)
    widths, _ = clip_to_beam(p.crystal.size_mm, p.beam)
    size = crystal_size(p.crystal, lattice, widths)
    angles, first_angles = _angles(p, experiment)
    spec = mode_of(experiment.compat).spec
    sweep_steps = len(experiment.tables.crystal.orientations)
    photon_scale, background = photon_factors(fluence(p.beam), p.crystal.water_um, sweep_steps, spec)
    found = variables_of(experiment)._asdict() | {
        "axes": [component for axis in (lattice.a, lattice.b, lattice.c) for component in scale(axis, 1e-10)],
        "spindle": geometry.spindle_axis, "angles": angles, "first_angles": first_angles,
        "star": [*lattice.a_star, *lattice.b_star, *lattice.c_star], "cells": [*size.cells, *size.off_diagonal], "fudge": [p.crystal.fudge],
        "default_F": [p.crystal.default_F], "kahn": [p.beam.polarization], "polarization_axis": unit(geometry.polarization_axis),
        "fast": geometry.fast, "slow": geometry.slow, "normal": geometry.normal, "beam": geometry.beam, "pix0": geometry.pix0,
        "pixel_size": [geometry.pixel_size], "distance": [geometry.distance], "close_distance": [geometry.obliquity_distance],
        "background": [background], "scale": [photon_scale],
    } | _rays(p, experiment, geometry, wavelength)  # fmt: skip
    return found, [*size.widths, geometry.close_distance, geometry.pixel_size, wavelength]


def _matrices(values: Mapping[str, Any]) -> dict[str, Any]:
    if len(values.get("orientation", ())) == 4:
        return {**values, "orientation": quaternion_matrix(values["orientation"])}
    return dict(values)


def _rays(p: Parameters, experiment: Experiment, geometry: Any, wavelength: Any) -> dict[str, list[Any]]:
    """Incident directions and wavelengths of sources that are not listed, or the wavelengths of those listed without one."""
    if p.beam.sources is None:
        rays, wavelengths = incident_rays(p.beam, experiment.sources, geometry, wavelength)
        copies = len(experiment.sources.wavelengths) // len(rays)
        return {"incident": [x for ray in rays for x in ray] * copies, "wavelengths": wavelengths * copies}
    if isinstance(wavelength, Number):
        listed, found = p.beam.sources.wavelengths_m.tolist(), experiment.sources.wavelengths.tolist()
        return {"wavelengths": [wavelength if math.isnan(own) else one for own, one in zip(listed, found, strict=True)]}
    return {}


def has_frame(parameters: Parameters, widths: int | None = None) -> bool:
    """Whether the mosaic domains depend on the crystal's axes, as those of three widths do; ``widths``: how many replace those given."""
    own = parameters.crystal.mosaic_width_deg
    return ((len(own) if isinstance(own, tuple) else 1) if widths is None else widths) == 3


def no_frame() -> Tensor:
    """For experiments without one."""
    raise AssertionError("these mosaic domains depend on the crystal's axes")


def tensor_sections(experiment: Experiment, given: Mapping[str, Tensor], frame: Callable[[], Tensor] = no_frame) -> dict[str, Tensor]:
    """The sections of ``Variables`` that are made of whole tensors: sources and mosaic domains. ``frame`` makes the ``crystal_frame``,
    (3, 3), of those that have one (``has_frame``)."""
    sections: dict[str, Tensor] = {}
    if "source_wavelengths_A" in given:
        sections["wavelengths"] = given["source_wavelengths_A"] / 1e10
    if "source_directions" in given:
        directions = given["source_directions"]
        sections["incident"] = -(directions / torch.linalg.vector_norm(directions, dim=1, keepdim=True)).reshape(-1)
    if "source_weights" in given:
        sections["weights"] = given["source_weights"] / given["source_weights"].sum()
    return sections | _mosaic_sections(experiment, given, frame)


def _angles(p: Parameters, experiment: Experiment) -> tuple[list[Any], list[Any]]:
    phi = experiment.phi
    step = p.sampling.osc_deg / RTD / phi.count if isinstance(p.sampling.osc_deg, Number) else phi.step
    start = p.sampling.phi_deg / RTD
    angles = phi_angles(type(phi)(phi.range, step, phi.count), start)
    later, first = effective_angles(angles) if experiment.carryover else (angles, angles)
    return later, first if experiment.first_angles != experiment.angles else []


def _mosaic_sections(experiment: Experiment, given: Mapping[str, Tensor], frame: Callable[[], Tensor]) -> dict[str, Tensor]:
    """The mosaic rotations, smooth functions of spread or width at fixed random deviates."""
    if "mosaic_rotations" in given:
        return {"mosaic": given["mosaic_rotations"].reshape(-1)}
    crystal = experiment.parameters.crystal
    if "mosaic_width_deg" in given or has_frame(experiment.parameters):
        widths = given.get("mosaic_width_deg", torch.tensor(crystal.mosaic_width_deg, dtype=torch.float64)).reshape(-1)
        points = torch.tensor(gaussian_points(experiment.mosaic_domains, crystal.mosaic_seed))
        return {"mosaic": gaussian_rotations(widths, points, frame, torch).reshape(-1)}
    if "mosaic_spread_deg" not in given or len(experiment.mosaic) == 0:
        return {}
    turns = mosaic_turns(experiment.mosaic_domains, crystal.mosaic_seed)
    x, y, z, fraction = torch.as_tensor(turns).unbind(1)
    angle = given["mosaic_spread_deg"] / RTD * fraction
    rows: Any = rotation_rows((x, y, z), torch.sin(angle), torch.cos(angle))  # type: ignore[arg-type]
    return {"mosaic": torch.stack(rows, 1).reshape(-1)}
