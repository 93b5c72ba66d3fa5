"""Structure factors that are refined: those reflections of the asymmetric unit that have spots, shared by all shots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.experiment.structure_factors import StructureFactors, from_arrays

from ..starting_model import StartingModel
from ..symmetry import AsymmetricUnit, asymmetric_unit

Tensor = torch.Tensor


@dataclass(frozen=True)
class ShotAmplitudes:
    """The table of a shot from the amplitudes that have spots on it."""

    unit: AsymmetricUnit
    start: Tensor
    """(unit,): all amplitudes of the asymmetric unit."""
    rows: Tensor
    """(n,) int64: which of them the shot's numbers are."""

    def table(self, values: Tensor) -> Tensor:
        """(h, k, l): from the shot's numbers (n,)."""
        return self.unit.expand(self.start.index_put((self.rows,), values))


@dataclass(frozen=True)
class Amplitudes:
    """See the module."""

    unit: AsymmetricUnit
    start: np.ndarray
    """(unit,): electrons."""
    refined: np.ndarray
    """(n,) int64: the reflections of the unit that have spots."""
    of_shots: tuple[np.ndarray, ...]
    """Of each shot, which of ``refined`` it has."""

    def of_shot(self, shot: int) -> ShotAmplitudes:
        """See ``ShotAmplitudes``."""
        return ShotAmplitudes(self.unit, torch.from_numpy(self.start), torch.from_numpy(self.refined[self.of_shots[shot]]))

    @property
    def names(self) -> tuple[str, ...]:
        """h k l of each refined one."""
        return tuple(" ".join(map(str, hkl)) for hkl in self.unit.hkl[self.refined].tolist())


def with_tables(models: Sequence[StartingModel], hkl: Sequence[np.ndarray]) -> list[StartingModel]:
    """The models, those without a list of structure factors with one of ``default_F``: a box of all indices in ``hkl``, (n, 3) a shot."""
    if all(model.parameters.crystal.structure_factors is not None for model in models):
        return list(models)
    most = np.abs(np.concatenate(hkl)).max(axis=0, initial=1)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), -1).reshape(-1, 3)

    def listed(p: Parameters) -> Parameters:
        crystal = p.crystal
        if crystal.structure_factors is not None:
            return p
        return replace(p, crystal=replace(crystal, structure_factors=from_arrays(grid, np.full(len(grid), crystal.default_F))))

    return [
        replace(
            model, parameters=listed(model.parameters),
            panels=tuple(replace(panel, parameters=listed(panel.parameters)) for panel in model.panels),
        )
        for model in models
    ]  # fmt: skip


def amplitudes(factors: Sequence[StructureFactors | None], hkl: Sequence[np.ndarray], group: Any) -> Amplitudes:
    """From each shot's table (``with_tables``), which must be the same, and the indices (n, 3) of its spots.

    Raises InputError for shots with other tables, and where no reflection of the table has a spot.
    """
    first = factors[0]
    assert first is not None
    for number, other in enumerate(factors, 1):
        if other is None or other.limits != first.limits or not np.array_equal(other.table, first.table):
            raise InputError(f"shot {number} has other structure factors than shot 1")
    unit = asymmetric_unit(first, group)
    start = unit.mean(first.only_table).numpy()
    found = []
    for own in hkl:
        at = np.asarray(own, np.int64) - unit.corner
        inside = ((at >= 0) & (at < np.array(unit.place.shape))).all(axis=1)
        rows = np.unique(unit.place.numpy()[tuple(at[inside].T)])
        # What starts from 0 stays 0: so does the slope of its square.
        found.append(rows[(rows < len(unit)) & (start[np.minimum(rows, len(unit) - 1)] != 0.0)])
    refined = np.unique(np.concatenate(found))
    if not len(refined):
        raise InputError("structure_factors: no reflection of the list has a spot")
    return Amplitudes(unit, start, refined, tuple(np.searchsorted(refined, rows) for rows in found))
