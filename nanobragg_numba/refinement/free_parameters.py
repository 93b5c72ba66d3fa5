"""The numbers that are refined, and what they make of a shot: one vector, with rows for what shots share and for what each has alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from nanobragg_numba.autograd.overrides import plain_values, replaced
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.panels.detector import PanelDetector

from .kinds import ALIASES, BODIES, DETECTOR, KINDS
from .models.amplitudes import Amplitudes
from .models.bodies import Body, Motion, group_bodies, panel_bodies
from .models.layout import Row, check_crystals, check_starts, fixed_combinations, labels_of, source_names, width_names
from .models.piece import Piece, View, motions_of, views_of
from .starting_model import StartingModel
from .symmetry import CellConstraint

Tensor = torch.Tensor


@dataclass(frozen=True)
class FreeParameters:
    """Which numbers are refined. ``columns[piece]`` picks those that concern a piece out of the vector, kind by kind."""

    models: tuple[StartingModel, ...]
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    start: np.ndarray
    """(n,): logarithms where the kind is logarithmic."""
    pieces: tuple[Piece, ...]
    """The panels of all models, model by model."""
    columns: tuple[np.ndarray, ...]
    bodies: tuple[Mapping[str, Sequence[Body]], ...]
    """Of each shot those that are moved, by the keys of ``BODIES``."""
    amplitudes: Amplitudes | None
    images: tuple[int, ...]
    """The image of each model: those of one image are its crystals."""
    fixed: np.ndarray
    """(k, n): combinations of the vector that no image depends on, and which stay what they are at the start."""

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The panels of all images, image by image."""
        return views_of(self.pieces, self.columns, self.images)

    def of_view(self, view: int, vector: np.ndarray) -> list[Parameters]:
        """The parameters of each crystal of a view at ``vector``."""
        found = self.views[view]
        own = [plain_values(overrides) for overrides in found.overrides(torch.from_numpy(vector[found.columns]))]
        return [replaced(piece.parameters, values, "spec") for piece, values in zip(found.pieces, own, strict=True)]

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

    def priors(self) -> np.ndarray:
        """(n,): how far each number of the start may be off; in logarithms where refined so."""
        values = self.values(self.start)
        return np.array([KINDS[row.name].prior(values[[n]])[0] for n, row in enumerate(self.rows)])

    def overrides(self, piece: int, part: Tensor) -> dict[str, Tensor]:
        """The overrides of ``autograd.simulate`` from a piece's ``part`` of the vector; differentiable."""
        return self.pieces[piece].overrides(part)

    def of_piece(self, piece: int, vector: np.ndarray) -> Parameters:
        """The parameters of a piece at ``vector``."""
        part = torch.from_numpy(vector[self.columns[piece]])
        return replaced(self.pieces[piece].parameters, plain_values(self.overrides(piece, part)), "spec")

    def parameters(self, shot: int, vector: np.ndarray) -> Parameters:
        """The parameters of a shot at ``vector``; of a detector of several panels without these."""
        model = self.models[shot]
        found = self.of_piece(self._first(shot), vector)
        return found if model.detector is None else replace(found, detector=model.parameters.detector)

    def detector(self, shot: int, vector: np.ndarray) -> PanelDetector | None:
        """The panels of a shot at ``vector``; None where the parameters have the detector."""
        detector, first = self.models[shot].detector, self._first(shot)
        if detector is None:
            return None
        for key in BODIES:
            for number, body in enumerate(self.bodies[shot].get(key, ())):
                own = self._of_body(shot, key, number, vector)
                for motion in motions_of(self.pieces[first].plane, {key: body}, own):
                    group, panel = (body.name, None) if key == "group" else (None, body.name)
                    detector = detector.moved(group, panel, **_as_moved(motion))
        part, slices = torch.from_numpy(vector[self.columns[first]]), self.pieces[first].slices
        whole = {name: part[slices[name]] for name in DETECTOR if name in slices}
        for motion in motions_of(self.pieces[first].plane, {}, whole):
            detector = detector.moved(**_as_moved(motion))
        return detector

    def _first(self, shot: int) -> int:
        return next(number for number, piece in enumerate(self.pieces) if piece.shot == shot)

    def _of_body(self, shot: int, key: str, body: int, vector: np.ndarray) -> dict[str, Tensor]:
        """Shifts and tilts of a body, those that are refined."""
        found = {}
        for name in BODIES[key]:
            rows = [n for n, row in enumerate(self.rows) if row.name == name and row.shot in (None, shot)]
            if rows:
                found[name] = torch.from_numpy(vector[rows[3 * body : 3 * body + 3]])
        return found


def _as_moved(motion: Motion) -> dict[str, Any]:
    """The arguments of ``PanelDetector.moved``."""
    turn = motion.turn.numpy()
    across = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    angle = np.degrees(np.arctan2(np.linalg.norm(across), np.trace(turn) - 1.0))
    axis = across if angle else np.array([0.0, 0.0, 1.0])
    return {"translation_mm": motion.shift.tolist(), "axis": axis.tolist(), "angle_deg": float(angle), "pivot_mm": motion.pivot.tolist()}


def _start(model: StartingModel, name: str, constraint: CellConstraint) -> np.ndarray:
    """The values that a shot starts from."""
    crystal, plane = model.parameters.crystal, model.plane
    found: dict[str, Any] = {
        "orientation": (0.0, 0.0, 0.0), "scale": (1.0,), "n_cells": crystal.n_cells,
        "n_cells_off_diagonal": crystal.n_cells_off_diagonal, "distance_mm": (plane.distance_mm,),
        "beam_mm": plane.beam_mm, "tilts_deg": (0.0, 0.0, 0.0), "mosaic_spread_deg": (crystal.mosaic_spread_deg or 0.0,),
        "mosaic_width_deg": np.atleast_1d(crystal.mosaic_width_deg or 0.0), "spectrum": model.experiment.sources.intensities,
    }  # fmt: skip
    return constraint.free(model.cell) if name == "cell" else np.array(found[name], np.float64)


@dataclass(frozen=True)
class _Numbers:
    """Numbers of a kind that go together, of one shot or of all."""

    parts: tuple[str, ...]
    start: np.ndarray
    body: int | None = None
    """The body that they move; None: they concern every panel."""


class _Layout:
    """The vector in the making."""

    def __init__(self, pieces: Sequence[Piece], bodies: Sequence[Mapping[str, Sequence[Body]]], labels: Sequence[str]):
        self.pieces, self.bodies, self.labels = pieces, bodies, labels
        self.rows: list[Row] = []
        self.start: list[float] = []
        self.columns: list[list[int]] = [[] for _ in pieces]
        self.slices: list[dict[str, slice]] = [{} for _ in pieces]

    def add(self, name: str, shot: int | None, numbers: _Numbers, chosen: Sequence[np.ndarray] | None = None) -> None:
        """``chosen``: of each shot, which of the numbers concern it; None: all."""
        first = len(self.rows)
        self.rows += [Row(name, part, shot, "" if shot is None else self.labels[shot]) for part in numbers.parts]
        self.start += numbers.start.tolist()
        for piece, columns, slices in zip(self.pieces, self.columns, self.slices, strict=True):
            if shot not in (None, piece.shot) or (numbers.body is not None and not self._moves(name, numbers.body, piece)):
                continue
            own = np.arange(len(numbers.parts)) if chosen is None else chosen[piece.shot]
            slices[name] = slice(len(columns), len(columns) + len(own))
            columns += (first + own).tolist()

    def _moves(self, name: str, body: int, piece: Piece) -> bool:
        key = next(key for key, kinds in BODIES.items() if name in kinds)
        return piece.panel in self.bodies[piece.shot][key][body].panels


def free_parameters(
    models: Sequence[StartingModel],
    names: Sequence[str],
    constraint: CellConstraint,
    per_shot: Sequence[str] = (),
    groups: Sequence[str] = (),
    found: Amplitudes | None = None,
    images: Sequence[int] | None = None,
) -> FreeParameters:
    """The vector of what is refined. ``names``: of ``KINDS``, or ``ALIASES``. ``per_shot``: shared kinds that each shot is to have alone.
    ``groups``: of the detector, those that are moved; see ``group_bodies``. ``found``: the structure factors that are refined.
    ``images``: of each model, ascending, None: one each; models of one image are its crystals, each of which is then a shot of its own.

    What is shared starts from the mean of the shots. Raises InputError for other names, for a mosaicity that is to be refined from 0 or
    with one domain, and for shots whose detectors differ though a parameter of theirs is shared.
    """
    names, per_shot = expanded(names), expanded(per_shot)
    for name in per_shot:
        if name not in names:
            raise InputError(f"{name} cannot be each shot's own: it is not refined")
    if groups and not set(BODIES["group"]) & set(names):
        raise InputError(
            f"the groups {', '.join(groups)} are named, and none is refined: refine groups, group_shifts_mm or group_tilts_deg"
        )
    if "structure_factors" in per_shot:
        raise InputError("structure_factors are those of all shots together")
    ordered = tuple(name for name in KINDS if name in names)
    if not ordered:
        raise InputError(f"nothing is to be refined; these can be: {', '.join((*KINDS, *ALIASES))}")
    own = {name for name in ordered if not KINDS[name].shared or name in per_shot}
    images = tuple(range(len(models))) if images is None else tuple(images)
    labels = labels_of(images)
    check_starts(models, ordered, own, labels)
    check_crystals(models, own, images)
    bodies = _bodies(models, ordered, own, groups)
    pieces = [
        Piece(
            shot, number, panel.parameters, model.orientation, model.plane, constraint,
            {key: body for key, every in bodies[shot].items() for body in every if number in body.panels},
            None if found is None else found.of_shot(shot),
        )
        for shot, model in enumerate(models) for number, panel in enumerate(model.panels)
    ]  # fmt: skip
    layout = _Layout(pieces, bodies, labels)
    for name in ordered:
        for shot in range(len(models)) if name in own else (None,):
            if name == "structure_factors" and found is not None:
                layout.add(name, shot, _Numbers(found.names, found.start[found.refined]), found.of_shots)
                continue
            for numbers in _numbers_of(name, models if shot is None else [models[shot]], constraint, bodies[shot or 0]):
                layout.add(name, shot, numbers)
    placed = tuple(replace(piece, slices=slices) for piece, slices in zip(pieces, layout.slices, strict=True))
    columns, rows, start = tuple(np.array(column, np.int64) for column in layout.columns), tuple(layout.rows), np.array(layout.start)
    fixed = fixed_combinations(rows, start, models, bodies)
    return FreeParameters(tuple(models), ordered, rows, start, placed, columns, tuple(bodies), found, images, fixed)


def expanded(names: Sequence[str]) -> tuple[str, ...]:
    """Aliases replaced by what they stand for. Raises InputError for names of nothing."""
    found: list[str] = []
    for name in names:
        if name not in KINDS and name not in ALIASES:
            raise InputError(f"{name!r} cannot be refined; these can: {', '.join((*KINDS, *ALIASES))}")
        found += ALIASES.get(name, (name,))
    return tuple(dict.fromkeys(found))


def _numbers_of(
    name: str, models: Sequence[StartingModel], constraint: CellConstraint, bodies: Mapping[str, Sequence[Body]]
) -> list[_Numbers]:
    for key, kinds in BODIES.items():
        if name in kinds:
            return [
                _Numbers(tuple(f"{body.name} {axis}" for axis in ("fast", "slow", "normal")), np.zeros(3), number)
                for number, body in enumerate(bodies[key])
            ]
    starts = np.array([_start(model, name, constraint) for model in models])
    starts = starts if KINDS[name].form == "itself" else np.log(starts)
    of_start = {"cell": constraint.names, "spectrum": source_names(models[0]), "mosaic_width_deg": width_names(models[0])}
    parts = of_start.get(name, KINDS[name].parts)
    return [_Numbers(parts, starts.mean(axis=0))]


def _bodies(
    models: Sequence[StartingModel], names: Sequence[str], own: set[str], groups: Sequence[str]
) -> list[Mapping[str, Sequence[Body]]]:
    """The bodies of each shot that are moved. Raises InputError where there are none, or shots do not have those which they share."""
    made: list[Mapping[str, Sequence[Body]]] = []
    for number, model in enumerate(models, 1):
        found: dict[str, Sequence[Body]] = {}
        for key, kinds in BODIES.items():
            if not set(kinds) & set(names):
                continue
            if model.detector is None:
                raise InputError(f"shot {number} has a detector of one plane, and no {key}s: refine distance_mm, beam_mm, tilts_deg")
            found[key] = group_bodies(model.detector, groups) if key == "group" else panel_bodies(model.detector)
            shared = bool(set(kinds) & set(names) - own)
            if made and not _same_bodies(made[0][key], found[key], shared):
                raise InputError(f"shot {number} has another detector than shot 1: its {key}s cannot be refined together")
        made.append(found)
    return made


def _same_bodies(first: Sequence[Body], other: Sequence[Body], shared: bool) -> bool:
    """Whether they have the same names, and, where they are ``shared``, the same places."""
    if [body.name for body in first] != [body.name for body in other]:
        return False
    return not shared or all(
        np.allclose(one.pivot, two.pivot, atol=1e-6) and np.allclose(one.axes, two.axes, atol=1e-9)
        for one, two in zip(first, other, strict=True)
    )
