"""The parameters that a caller may replace by tensors: where each belongs, and of what shape it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import derive_sources
from nanobragg_numba.experiment.detector import derive_geometry
from nanobragg_numba.experiment.parameters import Compat, Parameters, SourceList
from nanobragg_numba.experiment.structure_factors import StructureFactors

from .effects import Given, refuse_without_effect, remark_on_refinement

Tensor = torch.Tensor


@dataclass(frozen=True)
class Override:
    """One parameter: the part and the field of ``Parameters`` it replaces; its shapes, sizes None where they vary."""

    part: str
    field: str
    shapes: tuple[tuple[int | None, ...], ...]
    unit: str


SCALAR, THREE, MATRIX = ((),), ((3,),), ((3, 3),)
OVERRIDES: dict[str, Override] = {
    "phi_deg": Override("sampling", "phi_deg", SCALAR, "degrees"),
    "osc_deg": Override("sampling", "osc_deg", SCALAR, "degrees"),
    "spindle_axis": Override("axes", "spindle_axis", THREE, "direction"),
    "misset_deg": Override("crystal", "misset_deg", THREE, "degrees"),
    "orientation": Override("crystal", "orientation", ((3, 3), (4,)), "rotation matrix, or quaternion w, x, y, z"),
    "cell": Override("crystal", "cell", ((6,),), "A, degrees"),
    "real_space_matrix": Override("crystal", "real_space_matrix", MATRIX, "A; rows a, b, c"),
    "n_cells": Override("crystal", "n_cells", THREE, "cells"),
    "n_cells_off_diagonal": Override("crystal", "n_cells_off_diagonal", THREE, "cells; Nab, Nac, Nbc"),
    "mosaic_spread_deg": Override("crystal", "mosaic_spread_deg", SCALAR, "degrees"),
    "mosaic_width_deg": Override("crystal", "mosaic_width_deg", ((1,), (3,)), "degrees"),
    "mosaic_rotations": Override("crystal", "mosaic_rotations", ((None, 3, 3),), "rotation matrices"),
    "wavelength_A": Override("beam", "wavelength_A", SCALAR, "A"),
    "source_wavelengths_A": Override("sources", "wavelengths_m", ((None,),), "A"),
    "source_directions": Override("sources", "positions", ((None, 3),), "direction from the sample to the source"),
    "source_weights": Override("sources", "intensities", ((None,),), "relative"),
    "distance_mm": Override("detector", "distance_mm", SCALAR, "mm"),
    "close_distance_mm": Override("detector", "close_distance_mm", SCALAR, "mm"),
    "beam_center_mm": Override("detector", "beam_center_mm", ((2,),), "mm; X, Y of the convention"),
    "detector_rotations_deg": Override("detector", "rotations_deg", THREE, "degrees"),
    "twotheta_deg": Override("detector", "twotheta_deg", SCALAR, "degrees"),
    "pix0_mm": Override("detector", "pix0_mm", THREE, "mm"),
    "detector_vectors": Override("axes", "fast slow normal", MATRIX, "directions; rows fast, slow, normal"),
    "pixel_size_mm": Override("detector", "pixel_size_mm", SCALAR, "mm"),
    "fluence": Override("beam", "fluence", SCALAR, "photons per square metre"),
    "polarization": Override("beam", "polarization", SCALAR, "Kahn factor"),
    "polarization_axis": Override("axes", "polarization_axis", THREE, "direction"),
    "structure_factors": Override(
        "crystal",
        "structure_factors",
        ((None, None, None), (None, None, None, None)),
        "electrons; (h, k, l), padded or not; with tables per channel (channel, h, k, l)",
    ),
    "default_F": Override("crystal", "default_F", SCALAR, "electrons"),
    "water_um": Override("crystal", "water_um", SCALAR, "micrometres"),
    "fudge": Override("crystal", "fudge", SCALAR, "1"),
}


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w is None or n == w for n, w in zip(shape, wanted, strict=True))


def is_for_shots(name: str, tensor: Tensor, parameters: Parameters) -> bool:
    """Whether the tensor has one more axis, of shots, before those of ``name``."""
    if name not in OVERRIDES or tensor.ndim == 0:
        return False
    shapes = OVERRIDES[name].shapes
    if name == "structure_factors" and parameters.crystal.structure_factors is not None:
        # With an axis of channels there is one shape only.
        shapes = (shapes[parameters.crystal.structure_factors.table.ndim - 3],)
    return any(_fits(tuple(tensor.shape[1:]), wanted) for wanted in shapes)


def as_tensor(name: str, value: Any) -> Tensor:
    """``value`` in its graph, floating point: a tensor, a number, or nested sequences of both. Raises InputError."""
    tensor = _as_tensor(name, value)
    return tensor if tensor.is_floating_point() else tensor.double()


def _as_tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, (list, tuple)):
        return torch.stack([_as_tensor(name, part) for part in value])
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} must be numbers, not {value!r}") from None
    if tensor.is_complex() or tensor.layout != torch.strided:
        raise InputError(f"{name} must be real and dense, not {tensor.dtype}, {tensor.layout}")
    return tensor


def check_overrides(parameters: Parameters, compat: Compat, given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The overrides as floating-point tensors, all on one device.

    Raises InputError for a name or shape that is not in the table, mixed devices, and a replacement without effect.
    """
    tensors: dict[str, Tensor] = {}
    for name, value in given.items():
        if name not in OVERRIDES:
            raise InputError(f"{name} is no parameter that a tensor can replace; these are: {', '.join(OVERRIDES)}")
        tensor = as_tensor(name, value)
        if not any(_fits(tuple(tensor.shape), wanted) for wanted in OVERRIDES[name].shapes):
            wanted_shapes = " or ".join(str(shape).replace("None", "n") for shape in OVERRIDES[name].shapes)
            raise InputError(f"{name} has shape {wanted_shapes}, not {tuple(tensor.shape)}")
        tensors[name] = tensor
    devices = {name: tensor.device for name, tensor in tensors.items() if isinstance(given[name], Tensor)}
    for name, device in devices.items():
        first, other = next(iter(devices.items()))
        if device != other:
            raise InputError(f"{first} is on {other} and {name} on {device}: move them to one device")
    given_all = Given(parameters, compat, tensors)
    refuse_without_effect(given_all)
    _check_table(parameters, tensors)
    remark_on_refinement(given_all)
    return tensors


def _check_table(parameters: Parameters, tensors: Mapping[str, Tensor]) -> None:
    if "structure_factors" in tensors:
        factors = parameters.crystal.structure_factors
        if factors is None:
            raise InputError("structure_factors replaces the values of a table: the parameters must have one")
        shape = tuple(tensors["structure_factors"].shape)
        without = (*factors.table.shape[:-3], *factors.ranges)
        if shape not in (factors.table.shape, without):
            raise InputError(f"structure_factors has shape {without} (or {factors.table.shape}, padded), not {shape}")


def padded_table(tensor: Tensor, factors: StructureFactors) -> Tensor:
    """The table with its padding; the padding is never looked up."""
    return tensor if tuple(tensor.shape) == factors.table.shape else torch.nn.functional.pad(tensor, (0, 1, 0, 1, 0, 1))


def _sources(parameters: Parameters, values: Mapping[str, np.ndarray], compat: Compat) -> SourceList:
    """The sources that are there, listed or from divergence and dispersion, with some of their columns replaced.

    A beam of one source that is not listed takes as many directions or wavelengths as are given.
    """
    old = parameters.beam.sources
    if old is None:
        there = derive_sources(parameters.beam, derive_geometry(parameters, compat), parameters.beam.wavelength_A / 1.0e10)
        old = SourceList(there.positions, there.intensities, there.wavelengths)
    n = len(old.wavelengths_m)
    if n == 1 and parameters.beam.sources is None:
        n = max((len(value) for name, value in values.items() if name != "source_weights"), default=1)
        old = SourceList(*(np.repeat(column, n, axis=0) for column in (old.positions, old.intensities, old.wavelengths_m)))
    for name, value in values.items():
        if len(value) != n:
            raise InputError(f"{name} has {len(value)} sources, not {n}")
    if n == 1 and "source_weights" in values:
        raise InputError("source_weights has no effect on one source: weights are relative")
    wavelengths = values["source_wavelengths_A"] / 1e10 if "source_wavelengths_A" in values else old.wavelengths_m
    weights = values.get("source_weights", old.intensities)
    return SourceList(values.get("source_directions", old.positions), weights, wavelengths, old.channels)


def replaced(parameters: Parameters, values: Mapping[str, Any], compat: Compat) -> Parameters:
    """``parameters`` with fields replaced: by plain numbers and arrays, or by Numbers, which sources and structure factors leave out."""
    changes: dict[str, dict[str, Any]] = {}
    sources = {name: value for name, value in values.items() if OVERRIDES[name].part == "sources"}
    for name, value in values.items():
        place = OVERRIDES[name]
        if place.part == "sources":
            continue
        if name == "structure_factors":
            factors = parameters.crystal.structure_factors
            assert factors is not None
            value = replace(factors, table=np.ascontiguousarray(padded_table(torch.as_tensor(value), factors).numpy()))
        fields = place.field.split()
        for field, part in zip(fields, value if len(fields) > 1 else (value,), strict=True):
            changes.setdefault(place.part, {})[field] = part
    if "beam_center_mm" in values:
        changes["detector"]["beam_center_y_m"] = None
    if "real_space_matrix" in values:
        changes["crystal"] |= {"mosflm_matrix": None, "cell": None}
    if "mosaic_width_deg" in values:
        changes["crystal"]["mosaic_spread_deg"] = None
    if "mosaic_rotations" in values:
        changes["crystal"]["mosaic_width_deg"] = None
    parts = {part: replace(getattr(parameters, part), **fields) for part, fields in changes.items()}
    parameters = replace(parameters, **parts)
    if sources:
        parameters = replace(parameters, beam=replace(parameters.beam, sources=_sources(parameters, sources, compat)))
    return parameters


def quaternion_matrix(q: Any) -> tuple[tuple[Any, Any, Any], ...]:
    """The rotation matrix of a quaternion (w, x, y, z), which need not be of unit length."""
    w, x, y, z = q
    s = 2.0 / (w * w + x * x + y * y + z * z)
    return (
        (1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)),
        (s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)),
        (s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)),
    )


def plain_values(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The overrides as plain numbers, tuples and arrays. Raises InputError for what is not finite, and for vectors of no direction."""
    values: dict[str, Any] = {}
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().double().numpy()
        if not np.isfinite(array).all():
            raise InputError(f"{name} must be finite, not {array.tolist()}")
        if OVERRIDES[name].unit.startswith("direction") and not (np.linalg.norm(array, axis=-1) > 0.0).all():
            raise InputError(f"{name}: a vector of no length has no direction")
        if name == "orientation" and array.shape == (4,):
            if not array.any():
                raise InputError("orientation: the quaternion is zero")
            array = np.array(quaternion_matrix(array.tolist()))
        matrix_like = (
            name in ("orientation", "real_space_matrix", "mosaic_rotations", "structure_factors") or OVERRIDES[name].part == "sources"
        )
        if matrix_like:
            values[name] = array
        elif name == "detector_vectors":
            values[name] = tuple(tuple(row) for row in array.tolist())
        else:
            values[name] = array.item() if array.size == 1 else tuple(array.tolist())
    return values
