"""The numbers that are refined, and what they make of a shot: one vector, with rows for what shots share and for what each has alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from nanobragg_numba.autograd.overrides import plain_values, replaced
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters

from .kinds import DETECTOR, KINDS
from .starting_model import Plane, StartingModel
from .symmetry import CellConstraint

Tensor = torch.Tensor


@dataclass(frozen=True)
class Row:
    """One number of the vector."""

    name: str
    part: str
    shot: int | None
    """None: shared."""

    def __str__(self) -> str:
        part = f" {self.part}" if self.part else ""
        return f"{self.name}{part}" + ("" if self.shot is None else f" (shot {self.shot + 1})")


def rotation(vector: Tensor) -> Tensor:
    """(3, 3): the rotation about ``vector`` (3,) by its length in degrees."""
    x, y, z = torch.deg2rad(vector)
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3))


@dataclass(frozen=True)
class FreeParameters:
    """Which numbers are refined. ``columns[shot]`` picks a shot's own and the shared ones out of the vector, kind by kind."""

    models: tuple[StartingModel, ...]
    names: tuple[str, ...]
    constraint: CellConstraint
    rows: tuple[Row, ...]
    start: np.ndarray
    """(n,): logarithms where the kind is logarithmic."""
    columns: tuple[np.ndarray, ...]
    slices: Mapping[str, slice]
    """Where each name is in a shot's part."""

    @cached_property
    def _logarithms(self) -> np.ndarray:
        """(n,) bool: numbers that are logarithms."""
        return np.array([KINDS[row.name].form != "itself" for row in self.rows])

    @cached_property
    def _shares(self) -> list[np.ndarray]:
        """The rows of numbers that make shares together."""
        found: dict[tuple[str, int | None], list[int]] = {}
        for number, row in enumerate(self.rows):
            if KINDS[row.name].form == "share":
                found.setdefault((row.name, row.shot), []).append(number)
        return [np.array(rows) for rows in found.values()]

    def values(self, vector: np.ndarray) -> np.ndarray:
        """(n,): in the units of ``KINDS``."""
        values = np.where(self._logarithms, np.exp(np.where(self._logarithms, vector, 0.0)), vector)
        for rows in self._shares:
            values[rows] /= values[rows].sum()
        return values

    def slopes(self, vector: np.ndarray) -> np.ndarray:
        """(n, n): of ``values`` (rows) by the vector (columns)."""
        values = self.values(vector)
        slopes = np.diag(np.where(self._logarithms, values, 1.0))
        for rows in self._shares:
            slopes[np.ix_(rows, rows)] -= np.outer(values[rows], values[rows])
        return slopes

    @cached_property
    def fixed(self) -> np.ndarray:
        """(k, n): combinations of the vector that no image depends on, and which stay what they are at the start."""
        found = np.zeros((len(self._shares), len(self.rows)))
        for number, rows in enumerate(self._shares):
            found[number, rows] = 1.0 / len(rows)
        return found

    def priors(self) -> np.ndarray:
        """(n,): how far each number of the start may be off; in logarithms where refined so."""
        values = self.values(self.start)
        return np.array([KINDS[row.name].prior(values[[n]])[0] for n, row in enumerate(self.rows)])

    def overrides(self, shot: int, part: Tensor) -> dict[str, Tensor]:
        """The overrides of ``autograd.simulate`` from a shot's ``part`` of the vector; differentiable."""
        model = self.models[shot]
        own = {name: part[where] for name, where in self.slices.items()}
        found: dict[str, Tensor] = {}
        if "orientation" in own:
            found["orientation"] = rotation(own["orientation"]) @ torch.from_numpy(model.orientation)
        if "cell" in own:
            found["cell"] = self.constraint.cell(own["cell"])
        if "n_cells" in own:
            found["n_cells"] = own["n_cells"].exp()
        if "mosaic_spread_deg" in own:
            found["mosaic_spread_deg"] = own["mosaic_spread_deg"][0].exp()
        if "spectrum" in own:
            found["source_weights"] = own["spectrum"].softmax(0)
        if "scale" in own:
            found["fluence"] = own["scale"][0].exp() * model.parameters.beam.fluence
        if set(DETECTOR) & set(own):
            found |= _placed(model.plane, own)
        return found

    def parameters(self, shot: int, vector: np.ndarray) -> Parameters:
        """The parameters of a shot at ``vector``."""
        part = torch.from_numpy(vector[self.columns[shot]])
        return replaced(self.models[shot].parameters, plain_values(self.overrides(shot, part)), "spec")


def _placed(plane: Plane, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """First pixel and axes of a detector turned about the point where the beam meets it."""
    axes, beam = torch.from_numpy(plane.axes), torch.from_numpy(plane.beam)
    distance = own["distance_mm"][0] if "distance_mm" in own else torch.tensor(plane.distance_mm, dtype=torch.float64)
    point = own["beam_mm"] if "beam_mm" in own else torch.tensor(plane.beam_mm, dtype=torch.float64)
    if "tilts_deg" in own:
        axes = axes @ rotation(own["tilts_deg"] @ axes).T
    return {"pix0_mm": distance * beam - point[0] * axes[0] - point[1] * axes[1], "detector_vectors": axes}


def _start(model: StartingModel, name: str, constraint: CellConstraint) -> np.ndarray:
    """The values that a shot starts from."""
    crystal, plane = model.parameters.crystal, model.plane
    found: dict[str, Any] = {
        "orientation": (0.0, 0.0, 0.0), "scale": (1.0,), "n_cells": crystal.n_cells, "distance_mm": (plane.distance_mm,),
        "beam_mm": plane.beam_mm, "tilts_deg": (0.0, 0.0, 0.0), "mosaic_spread_deg": (crystal.mosaic_spread_deg or 0.0,),
        "spectrum": model.experiment.sources.intensities,
    }  # fmt: skip
    return constraint.free(model.cell) if name == "cell" else np.array(found[name], np.float64)


def _parts(model: StartingModel, name: str, constraint: CellConstraint) -> tuple[str, ...]:
    if name == "cell":
        return constraint.names
    return source_names(model) if name == "spectrum" else KINDS[name].parts


def source_names(model: StartingModel) -> tuple[str, ...]:
    """Wavelengths in A, or numbers where sources have the same."""
    wavelengths = tuple(f"{1e10 * one:.7g} A" for one in model.experiment.sources.wavelengths)
    return wavelengths if len(set(wavelengths)) == len(wavelengths) else tuple(f"source {n + 1}" for n in range(len(wavelengths)))


def free_parameters(
    models: Sequence[StartingModel], names: Sequence[str], constraint: CellConstraint, per_shot: Sequence[str] = ()
) -> FreeParameters:
    """The vector of what is refined. ``names``: of ``KINDS``. ``per_shot``: shared kinds that each shot is to have alone.

    What is shared starts from the mean of the shots. Raises InputError for other names, for a mosaicity that is to be refined from 0 or
    with one domain, and for shots whose detectors differ though a parameter of theirs is shared.
    """
    for name in (*names, *per_shot):
        if name not in KINDS:
            raise InputError(f"{name!r} cannot be refined; these can: {', '.join(KINDS)}")
    for name in per_shot:
        if name not in names:
            raise InputError(f"{name} cannot be each shot's own: it is not refined")
    ordered = tuple(name for name in KINDS if name in names)
    if not ordered:
        raise InputError(f"nothing is to be refined; these can be: {', '.join(KINDS)}")
    own = {name for name in ordered if not KINDS[name].shared or name in per_shot}
    _check(models, ordered, own)
    rows: list[Row] = []
    start: list[float] = []
    columns: list[list[int]] = [[] for _ in models]
    slices: dict[str, slice] = {}
    for name in ordered:
        kind = KINDS[name]
        starts = np.array([_start(model, name, constraint) for model in models])
        starts = starts if kind.form == "itself" else np.log(starts)
        parts = _parts(models[0], name, constraint)
        slices[name] = slice(len(columns[0]), len(columns[0]) + len(parts))
        for shot in range(len(models)) if name in own else (None,):
            values = starts[shot] if shot is not None else starts.mean(axis=0)
            numbers = range(len(rows), len(rows) + len(parts))
            for each in range(len(models)) if shot is None else (shot,):
                columns[each] += numbers
            rows += [Row(name, part, shot) for part in parts]
            start += values.tolist()
    picked = tuple(np.array(column) for column in columns)
    return FreeParameters(tuple(models), ordered, constraint, tuple(rows), np.array(start), picked, slices)


def _check(models: Sequence[StartingModel], names: Sequence[str], own: set[str]) -> None:
    for number, model in enumerate(models, 1):
        crystal, where = model.parameters.crystal, f"shot {number}: "
        if "mosaic_spread_deg" in names and not ((crystal.mosaic_spread_deg or 0.0) > 0.0 and model.experiment.mosaic_domains > 1):
            raise InputError(f"{where}mosaic_spread_deg is refined from a spread above 0 with more than one domain: give -mosaic_spread")
        if "n_cells" in names and min(crystal.n_cells) <= 1.0:
            raise InputError(f"{where}n_cells is refined from more than one cell along each axis, not {crystal.n_cells}")
        if "scale" in names and not model.parameters.beam.fluence > 0.0:
            raise InputError(f"{where}scale is refined from a fluence above 0")
        if "spectrum" in names:
            _check_sources(where, model, models[0] if "spectrum" not in own else model)
    first = models[0].plane
    for name in set(DETECTOR) & set(names) - own:
        for number, model in enumerate(models, 1):
            if not np.allclose(model.plane.axes, first.axes, atol=1e-9) or not np.allclose(model.plane.beam, first.beam, atol=1e-9):
                raise InputError(f"shot {number} has another detector than shot 1: {name} cannot be shared")


def _check_sources(where: str, model: StartingModel, first: StartingModel) -> None:
    sources, others = model.experiment.sources, first.experiment.sources
    if len(sources.intensities) < 2:
        raise InputError(f"{where}spectrum is refined of a beam of several sources: give -spectrum, -sourcefile or -dispersion")
    if not (sources.intensities > 0.0).all():
        raise InputError(f"{where}spectrum is refined from weights above 0, and that of source {np.argmin(sources.intensities) + 1} is not")
    same = len(sources.wavelengths) == len(others.wavelengths) and np.allclose(sources.wavelengths, others.wavelengths, rtol=1e-9, atol=0.0)
    if not same or not np.allclose(sources.directions, others.directions, atol=1e-9):
        raise InputError(f"{where}has other sources than shot 1: spectrum cannot be shared")
