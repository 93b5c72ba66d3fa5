"""Many shots at given values: what the kernels of many shots take, and the way back to the overrides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from nanobragg_numba.derivatives.flat_variables import Variables, variables_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.crystal import CrystalSize, is_positive_definite
from nanobragg_numba.experiment.derive import Experiment, derive_experiment, oversampling
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.fields.meaning import RULES
from nanobragg_numba.shots.computing import ManyShots
from nanobragg_numba.shots.pixels import ShotPixels

from .chain import is_scalar, tensor_sections
from .graphs import pulled, pushed
from .overrides import OVERRIDES, plain_values, replaced
from .recorded import Recording
from .recordings import Kept, holding, recordings_of

Tensor = torch.Tensor
BEHIND = 6
"""What a recording's outputs have behind the variables."""


@dataclass(frozen=True)
class Given:
    """What many shots are asked for with; ``arrays`` in float64, those in ``each`` with an axis of shots."""

    parameters: tuple[Parameters, ...]
    """One, or one a shot."""
    arrays: Mapping[str, np.ndarray]
    each: frozenset[str]
    count: int

    def of(self, shot: int) -> tuple[Parameters, dict[str, np.ndarray]]:
        """Those of one shot."""
        own = self.parameters[shot if len(self.parameters) > 1 else 0]
        return own, {name: np.asarray(array[shot] if name in self.each else array) for name, array in self.arrays.items()}

    def derived(self, shot: int) -> Experiment:
        """Its experiment. Raises InputError."""
        own, arrays = self.of(shot)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return derive_experiment(replaced(own, plain_values(tensors), "spec"), "spec")

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the scalar overrides, without the axis of shots."""
        return {name: array.shape[name in self.each :] for name, array in self.arrays.items() if is_scalar(name)}

    @cached_property
    def leaves(self) -> np.ndarray:
        """(shots, m): the scalar overrides of each shot, one behind the other."""
        rows = [np.zeros((self.count, 0))]
        for name in self.shapes:
            own = self.arrays[name].reshape(self.count if name in self.each else 1, -1)
            rows.append(np.broadcast_to(own, (self.count, own.shape[1])))
        return np.ascontiguousarray(np.concatenate(rows, axis=1))

    @cached_property
    def own_leaves(self) -> np.ndarray:
        """(m,) bool: those that have an axis of shots."""
        own = [np.full(math.prod(shape), name in self.each) for name, shape in self.shapes.items()]
        return np.concatenate([np.zeros(0, np.bool_), *own])

    def meaningful(self) -> bool:
        """Whether each shot's own values are such that ``validate`` and ``plain_values`` have nothing to say of any."""
        return all(_meaningful(name, self.arrays[name]) for name in self.each) and self._positive_definite

    @property
    def _positive_definite(self) -> bool:
        """Of the tensors of numbers of cells of shots that share parameters; what parameters alone say is seen when they are derived."""
        if not self.each & {"n_cells", "n_cells_off_diagonal"}:
            return True
        crystal = self.parameters[0].crystal
        cells = np.maximum(self.arrays.get("n_cells", crystal.n_cells), 1.0)
        cells, across = np.broadcast_arrays(cells, self.arrays.get("n_cells_off_diagonal", crystal.n_cells_off_diagonal))
        tensors = [CrystalSize(tuple(n), (0.0, 0.0, 0.0), tuple(off)).tensor for n, off in zip(cells, across, strict=True)]
        return bool(is_positive_definite(np.array(tensors)).all())


def _meaningful(name: str, array: np.ndarray) -> bool:
    override = OVERRIDES[name]
    if not np.isfinite(array).all():
        return False
    if override.unit.startswith("direction") and not (np.linalg.norm(array, axis=-1) > 0.0).all():
        return False
    if name in ("orientation", "real_space_matrix") and array.shape[-1] == 3:
        # As ``fields.meaning`` and ``fields.values.require_volume``.
        return bool((np.linalg.det(array) > 1e-9 * np.linalg.norm(array, axis=1).prod(axis=-1)).all())
    rules = [rule for rule in RULES if (rule.part, rule.field) == (override.part, override.field)]
    return all(rule.holds(float(end)) for rule in rules for end in (array.min(), array.max()))


@dataclass(frozen=True)
class ShotPoint:
    """See the module."""

    given: Given
    experiments: tuple[Experiment, ...]
    """Of the first shot, or, where each has parameters of its own, of each."""
    many: ManyShots

    @property
    def experiment(self) -> Experiment:
        """Of the first shot."""
        return self.experiments[0]

    @cached_property
    def groups(self) -> list[tuple[np.ndarray, Recording]]:
        """Which recording holds for which shots."""
        found = groups_of(self.given, self.experiments)
        if found is None:
            raise InputError(f"no derivative at these values of {', '.join(self.given.arrays)}: a formula divides by zero there")
        return found

    @cached_property
    def _taken(self) -> np.ndarray:
        """(n,) bool: variables that ``tensor_sections`` makes."""
        whole = {
            name: torch.from_numpy(np.asarray(array[0] if name in self.given.each else array)) for name, array in self.given.arrays.items()
        }
        made = tensor_sections(self.experiment, {name: tensor for name, tensor in whole.items() if not is_scalar(name)})
        return np.concatenate([np.full(size, name in made) for name, size in zip(Variables._fields, self.many.sizes, strict=True)])

    def back(self, flat_bar: np.ndarray, factors_bar: np.ndarray | None) -> dict[str, np.ndarray]:
        """Gradients with respect to the overrides, those without an axis of shots summed over shots."""
        given = self.given
        bar = np.concatenate([np.where(self._taken, 0.0, flat_bar), np.zeros((given.count, BEHIND))], axis=1)
        leaf_bar = np.zeros(given.leaves.shape)
        if given.shapes:
            for shots, recording in self.groups:
                leaf_bar[shots] = recording.back(np.ascontiguousarray(given.leaves[shots]), bar[shots])
        found, at = {}, 0
        for name, shape in given.shapes.items():
            size = math.prod(shape)
            rows = leaf_bar[:, at : at + size].reshape(given.count, *shape)
            found[name] = rows if name in given.each else rows.sum(axis=0)
            at += size
        if "structure_factors" in given.arrays and factors_bar is not None:
            found["structure_factors"] = self._table_bar(factors_bar)
        return found | self._back_through_tensors(flat_bar)

    def _table_bar(self, factors_bar: np.ndarray) -> np.ndarray:
        """From tables with padding and channels behind one another to the override's shape."""
        factors, array = self.experiment.parameters.crystal.structure_factors, self.given.arrays["structure_factors"]
        assert factors is not None
        each = "structure_factors" in self.given.each
        table = factors_bar.reshape(-1, *factors.table.shape) if each else factors_bar.reshape(factors.table.shape)
        return table[_unpadded(array)]

    @cached_property
    def _whole(self) -> list[str]:
        """Overrides that enter as whole tensors; structure factors are the kernels' own."""
        return [name for name in self.given.arrays if not is_scalar(name) and name != "structure_factors"]

    def _sections_of(self, shot: int) -> tuple[list[Tensor], list[slice], list[Tensor]]:
        """The graph of ``tensor_sections``: its leaves, and where each output stands among the variables, and the outputs."""
        arrays, starts = self.given.of(shot)[1], np.cumsum((0, *self.many.sizes)).tolist()
        with torch.enable_grad():
            leaves = {name: torch.from_numpy(arrays[name].copy()).requires_grad_() for name in self._whole}
            made = tensor_sections(self.experiments[shot if len(self.experiments) > 1 else 0], leaves)
        places = [Variables._fields.index(name) for name in made]
        return list(leaves.values()), [slice(starts[at], starts[at + 1]) for at in places], list(made.values())

    def _shots_of_whole(self) -> range:
        """The first alone where all shots share these overrides, and all else."""
        own = len(self.experiments) > 1 or bool(self.given.each & set(self._whole))
        return range(self.given.count if own else 1)

    def _back_through_tensors(self, flat_bar: np.ndarray) -> dict[str, np.ndarray]:
        if not self._whole:
            return {}
        rows = []
        shots = self._shots_of_whole()
        for shot in shots:
            # What all shots share is linear in the sum of their gradients.
            bar = flat_bar[shot] if len(shots) == self.given.count else flat_bar.sum(axis=0)
            leaves, places, outputs = self._sections_of(shot)
            rows.append([grad.numpy() for grad in pulled(outputs, leaves, [torch.from_numpy(bar[at].copy()) for at in places])])
        found = {name: np.stack(own) for name, own in zip(self._whole, zip(*rows, strict=True), strict=True)}
        return {name: own if name in self.given.each else own.sum(axis=0) for name, own in found.items()}

    def _forth_through_tensors(self, dots: Mapping[str, np.ndarray], out: np.ndarray) -> None:
        """Add their part to ``out`` (shots, K, n)."""
        if not self._whole:
            return
        shots = self._shots_of_whole()
        for shot in shots:
            leaves, places, outputs = self._sections_of(shot)
            moved = [dots[name][:, shot] if name in self.given.each else dots[name] for name in self._whole]
            with torch.enable_grad():
                changes = pushed(outputs, leaves, [torch.from_numpy(np.array(change, order="C")) for change in moved])
            for at, change in zip(places, changes, strict=True):
                out[shot if len(shots) == self.given.count else slice(None), :, at] = change.detach().numpy()

    def forth(self, dots: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Changes (shots, K, n) of the variables, and of the table of structure factors, (K, h, k, l) or None, from those of the
        overrides (K, ...); structure factors must be shared."""
        given = self.given
        directions = len(next(iter(dots.values())))
        rows = [np.zeros((given.count, directions, 0))]
        for name in given.shapes:
            dot = dots[name].reshape(directions, given.count if name in given.each else 1, -1)
            rows.append(np.broadcast_to(dot.swapaxes(0, 1), (given.count, directions, dot.shape[-1])))
        leaf_dot = np.concatenate(rows, axis=2)
        out = np.zeros((given.count, directions, self.many.flats.shape[1]))
        if given.shapes:
            for shots, recording in self.groups:
                out[shots] = recording.forth(np.ascontiguousarray(given.leaves[shots]), leaf_dot[shots])[:, :, :-BEHIND]
        self._forth_through_tensors(dots, out)
        table = None
        if "structure_factors" in dots:
            factors = self.experiment.parameters.crystal.structure_factors
            assert factors is not None
            table = np.zeros((directions, *factors.table.shape))
            dot = dots["structure_factors"]
            table[_unpadded(dot)] = dot
            table = table.reshape(directions, *factors.stacked.shape)
        return out, table


def _unpadded(table: np.ndarray) -> tuple[Any, ...]:
    """Where a table of structure factors is in one with padding, or without."""
    h, k, l = table.shape[-3:]
    return ..., slice(h), slice(k), slice(l)


def groups_of(given: Given, experiments: Sequence[Experiment]) -> list[tuple[np.ndarray, Recording]] | None:
    """Which recording holds for which shots; None where there is none. ``experiments``: see ``ShotPoint``."""
    groups = []
    for at, (own, experiment) in enumerate(zip(given.parameters, experiments, strict=True)):
        known = recordings_of(own, experiment, given.shapes)
        shots = np.arange(given.count) if len(given.parameters) == 1 else np.array([at])
        found = _held(known, own, experiment, given, shots)
        if found is None:
            return None
        groups += found
    return groups


def _held(
    known: Kept, parameters: Parameters, experiment: Experiment, given: Given, shots: np.ndarray
) -> list[tuple[np.ndarray, Recording]] | None:
    try:
        found = holding(known, parameters, experiment, given.shapes, given.leaves[shots])
    except (ZeroDivisionError, OverflowError):
        return None
    return None if found is None else [(shots[rows], recording) for rows, recording in found]


def point_at(given: Given, pixels: Any, threads: int) -> ShotPoint | None:
    """The shots at these values, or None where their kernels do not serve. ``pixels``: from the first shot's experiment to ``ShotPixels``.

    Raises InputError where parameters make no sense.
    """
    first = given.derived(0)
    if first.carryover or first.tables.crystal.first_orientations is not first.tables.crystal.orientations:
        return None
    found = _flats(given, first)
    if found is None:
        return None
    flats, experiments = found
    tables = first.tables
    wanted: ShotPixels = pixels(first)
    factors = tables.crystal.factors[None]
    if "structure_factors" in given.each:
        factors = np.stack([_table(given.of(shot)[0], given.of(shot)[1]["structure_factors"]) for shot in range(given.count)])
    sizes = variables_of(first).sizes
    many = ManyShots(tables, sizes, flats, factors, wanted, first.steps, threads)
    return ShotPoint(given, experiments, many) if many.is_covered(float(np.abs(factors).max())) else None


def _table(parameters: Parameters, values: np.ndarray) -> np.ndarray:
    return replaced(parameters, {"structure_factors": values}, "spec").crystal.structure_factors.stacked  # type: ignore[union-attr]


def _flats(given: Given, first: Experiment) -> tuple[np.ndarray, tuple[Experiment, ...]] | None:
    """(shots, n): each shot's variables: the first one's, replayed, or derived; and ``ShotPoint.experiments``."""
    row = np.concatenate(variables_of(first))
    if given.count == 1:
        return row[None], (first,)
    if len(given.parameters) == 1 and all(is_scalar(name) or name == "structure_factors" for name in given.each):
        flats = _replayed(given, first, row)
        if flats is not None:
            return flats, (first,)
    experiments = (first, *map(given.derived, range(1, given.count)))
    for other in experiments:
        same = "structure_factors" in given.arrays or _equal(first.tables.crystal.factors, other.tables.crystal.factors)
        if not (same and alike(first, other)):
            return None
    flats = np.array([np.concatenate(variables_of(x)) for x in experiments])
    return flats, experiments if len(given.parameters) > 1 else (first,)


def _equal(one: np.ndarray, two: np.ndarray) -> bool:
    return one is two or np.shares_memory(one, two) or np.array_equal(one, two)


def _replayed(given: Given, first: Experiment, row: np.ndarray) -> np.ndarray | None:
    """The variables of each shot by recordings; None where these are not the first shot's to the last bit, or do not say all."""
    crystal = first.parameters.crystal
    if not given.meaningful() or (crystal.interpolate is None and crystal.structure_factors is not None and "n_cells" in given.each):
        return None
    if "water_um" in given.each and (given.arrays["water_um"] == 0.0).any():
        return None
    groups = groups_of(given, (first,))
    # Where formulas are decided otherwise, whole numbers may differ, too.
    if groups is None or len(groups) > 1:
        return None
    recording = groups[0][1]
    out = np.zeros((given.count, len(row) + BEHIND))
    recording.values(given.leaves, out)
    own = recording.depends_on(given.own_leaves)
    if not np.array_equal(out[0, : len(row)][own[:-BEHIND]], row[own[:-BEHIND]]):
        return None
    sampling = first.parameters.sampling
    if (sampling.oversample is None or sampling.oversample <= 0) and own[-BEHIND:].any():
        behind = np.where(recording.outputs[-BEHIND:] >= 0, out[:, -BEHIND:], _behind(first))
        if any(_oversample(first, values) != first.oversample for values in behind.tolist()):
            return None
    return np.where(own[:-BEHIND], out[:, :-BEHIND], row)


def _behind(first: Experiment) -> list[float]:
    return [*first.size.widths, first.geometry.close_distance, first.geometry.pixel_size, first.wavelength]


def _oversample(first: Experiment, values: Sequence[float]) -> int:
    geometry: Any = SimpleNamespace(close_distance=values[3], pixel_size=values[4])
    size: Any = SimpleNamespace(widths=values[:3])
    return oversampling(first.parameters, first.compat, geometry, size, values[5])[1]


def alike(first: Experiment, other: Experiment) -> bool:
    """Whether two experiments differ in variables and structure factors alone, so that one kernel call serves both."""
    one, two = first.tables, other.tables
    return (
        _rest(first) == _rest(other)
        and one.crystal.factors.shape == two.crystal.factors.shape
        and np.array_equal(one.beam.channels, two.beam.channels)
    )


def _rest(x: Experiment) -> tuple[Any, ...]:
    detector, beam, crystal, rules = x.tables
    whole = (
        detector.oversample, detector.curved, detector.point_pixel, detector.thickness, detector.layer_thickness, detector.layers,
        detector.mu, detector.fast_pixels, beam.polarized, beam.dmin, crystal.shape, crystal.tables, crystal.h_min, crystal.k_min,
        crystal.l_min,
    )  # fmt: skip
    geometry = x.geometry
    return (*whole, rules._replace(background=0.0, scale=0.0), x.steps, variables_of(x).sizes, geometry.slow_pixels, geometry.window)
