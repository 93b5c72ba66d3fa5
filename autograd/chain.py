"""From the replaced parameters to the kernels' variables, differentiably: the host formulas, run on numbers that carry a derivative.

Nothing here is a formula of its own where the library has one: ``derive_geometry``, ``derive_lattice`` and the others are called with
fields that are Numbers. Control flow follows the values.
"""

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
from nanobragg_numba.maths.vectors3 import rotation_rows, scale

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
    p = replaced(parameters, _numbers(given), experiment.compat)
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
    values = variables_of(experiment)._asdict() | {
        "axes": [component for axis in (lattice.a, lattice.b, lattice.c) for component in scale(axis, 1e-10)],
        "spindle": geometry.spindle_axis, "angles": angles, "first_angles": first_angles,
        "star": [*lattice.a_star, *lattice.b_star, *lattice.c_star], "cells": size.cells, "fudge": [p.crystal.fudge],
        "default_F": [p.crystal.default_F], "kahn": [p.beam.polarization], "polarization_axis": geometry.polarization_axis,
        "fast": geometry.fast, "slow": geometry.slow, "normal": geometry.normal, "beam": geometry.beam, "pix0": geometry.pix0,
        "pixel_size": [geometry.pixel_size], "distance": [geometry.distance], "close_distance": [geometry.obliquity_distance],
        "background": [background], "scale": [photon_scale],
    }  # fmt: skip
    sections = {name: stacked(value, like) for name, value in values.items()}
    sections |= _source_sections(p, experiment, geometry, wavelength, given, like)
    sections |= _mosaic_sections(experiment, given, lambda: crystal_frame(lattice.a, lattice.c_star, geometry.spindle_axis, angles))
    factors = None
    if "structure_factors" in given and parameters.crystal.structure_factors is not None:
        table = padded_table(given["structure_factors"], parameters.crystal.structure_factors)
        factors = table.reshape(-1, *table.shape[-2:])
    return torch.cat(list(sections.values())), factors


def _numbers(given: Mapping[str, Tensor]) -> dict[str, Any]:
    values = {name: numbers(tensor) for name, tensor in given.items() if name not in WHOLE and OVERRIDES[name].part != "sources"}
    if len(values.get("orientation", ())) == 4:
        values["orientation"] = quaternion_matrix(values["orientation"])
    return values


def _angles(p: Parameters, experiment: Experiment) -> tuple[list[Any], list[Any]]:
    phi = experiment.phi
    step = p.sampling.osc_deg / RTD / phi.count if isinstance(p.sampling.osc_deg, Number) else phi.step
    start = p.sampling.phi_deg / RTD
    angles = phi_angles(type(phi)(phi.range, step, phi.count), start)
    later, first = effective_angles(angles) if experiment.carryover else (angles, angles)
    return later, first if experiment.first_angles != experiment.angles else []


def _source_sections(
    p: Parameters, experiment: Experiment, geometry: Any, wavelength: Any, given: Mapping[str, Tensor], like: Tensor
) -> dict[str, Tensor]:
    """Incident directions, wavelengths and weights of the sources."""
    sections: dict[str, Tensor] = {}
    n = len(experiment.sources.wavelengths)
    if p.beam.sources is None:
        rays, wavelengths = incident_rays(p.beam, experiment.sources, geometry, wavelength)
        copies = n // len(rays)
        sections["incident"] = stacked([x for ray in rays for x in ray], like).repeat(copies)
        sections["wavelengths"] = stacked(wavelengths, like).repeat(copies)
    elif isinstance(wavelength, Number):
        missing = torch.as_tensor(p.beam.sources.wavelengths_m).isnan()
        sections["wavelengths"] = torch.where(missing, wavelength.tensor, torch.as_tensor(experiment.sources.wavelengths))
    if "source_wavelengths_A" in given:
        sections["wavelengths"] = given["source_wavelengths_A"] / 1e10
    if "source_directions" in given:
        directions = given["source_directions"]
        sections["incident"] = -(directions / torch.linalg.vector_norm(directions, dim=1, keepdim=True)).reshape(-1)
    if "source_weights" in given:
        sections["weights"] = given["source_weights"] / given["source_weights"].sum()
    return sections


def _mosaic_sections(experiment: Experiment, given: Mapping[str, Tensor], frame: Callable[[], Any]) -> dict[str, Tensor]:
    """The mosaic rotations, smooth functions of spread or width at fixed random deviates; ``frame`` makes the ``crystal_frame``."""
    if "mosaic_rotations" in given:
        return {"mosaic": given["mosaic_rotations"].reshape(-1)}
    crystal = experiment.parameters.crystal
    if crystal.mosaic_width_deg is not None:
        widths = given.get("mosaic_width_deg", torch.tensor(crystal.mosaic_width_deg, dtype=torch.float64).reshape(-1))
        points = torch.tensor(gaussian_points(experiment.mosaic_domains, crystal.mosaic_seed))
        rows = gaussian_rotations(widths, points, lambda: stacked([x for v in frame() for x in v], points).reshape(3, 3), torch)
        return {"mosaic": rows.reshape(-1)}
    if "mosaic_spread_deg" not in given or len(experiment.mosaic) == 0:
        return {}
    turns = mosaic_turns(experiment.mosaic_domains, crystal.mosaic_seed)
    x, y, z, fraction = torch.as_tensor(turns).unbind(1)
    angle = given["mosaic_spread_deg"] / RTD * fraction
    elements: Any = rotation_rows((x, y, z), torch.sin(angle), torch.cos(angle))  # type: ignore[arg-type]
    return {"mosaic": torch.stack(elements, 1).reshape(-1)}
