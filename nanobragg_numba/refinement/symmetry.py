"""Structure factors on the asymmetric unit: reflections that the space group makes equal share one parameter.

|F(h R)| = |F(h)| for each operator x -> R x + t of the space group, and |F(-h)| = |F(h)| without anomalous scattering. A reflection with
h R = h and h . t no whole number is absent.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors

Tensor = torch.Tensor
NO_GEMMI = "space groups need gemmi: pip install 'nanobragg_numba[refine]'"


def space_group(name: Any) -> Any:
    """gemmi's SpaceGroup of a name ("P 21 21 21"), a number, or a SpaceGroup. Raises InputError for one that is none."""
    try:
        import gemmi
    except ImportError:
        raise InputError(NO_GEMMI) from None
    if isinstance(name, gemmi.SpaceGroup):
        return name
    found = None
    if isinstance(name, int) or str(name).isdigit():
        found = gemmi.find_spacegroup_by_number(int(name)) if 1 <= int(name) <= 230 else None
    elif str(name).strip():
        found = gemmi.find_spacegroup_by_name(str(name))
    if found is None:
        raise InputError(f"{name!r} is no space group")
    return found


@dataclass(frozen=True)
class AsymmetricUnit:
    """The parameters behind a table of structure factors in P1."""

    hkl: np.ndarray
    """(n, 3) int64: a reflection of each parameter, in gemmi's asymmetric unit of the reciprocal lattice; those of Friedel mates kept
    apart that are outside of it are given as they are."""
    place: Tensor
    """(h, k, l) int64: the parameter of each reflection of the table, without padding; n where there is none: absences, and 0 0 0."""
    corner: tuple[int, int, int]
    """h, k, l of the table's first reflection."""

    def __len__(self) -> int:
        return len(self.hkl)

    def expand(self, values: Tensor) -> Tensor:
        """(h, k, l): the table in P1 from ``values`` (n,), for the override ``structure_factors``; 0 where there is no parameter.

        Raises InputError for another number of values.
        """
        if values.shape != (len(self),):
            raise InputError(
                f"the asymmetric unit has {len(self)} reflections: values must have shape {(len(self),)}, not {tuple(values.shape)}"
            )
        return torch.cat([values, values.new_zeros(1)])[self.place.to(values.device)]

    def mean(self, table: Any) -> Tensor:
        """(n,): the mean of equivalents in a ``table`` (h, k, l), padded or not: start values, or what a P1 table says."""
        full = torch.as_tensor(table)
        h, k, l = self.place.shape
        if tuple(full.shape) not in ((h, k, l), (h + 1, k + 1, l + 1)):
            raise InputError(f"the table has shape {(h, k, l)} (or padded), not {tuple(full.shape)}")
        flat, places = full[:h, :k, :l].reshape(-1), self.place.reshape(-1)
        sums = torch.zeros(len(self) + 1, dtype=full.dtype).index_add(0, places, flat)
        return (sums / self.multiplicity_and_rest.to(full.dtype))[:-1]

    @property
    def multiplicity_and_rest(self) -> Tensor:
        """(n + 1,): how many reflections of the table each parameter has, and how many have none."""
        return torch.bincount(self.place.reshape(-1), minlength=len(self) + 1)


def asymmetric_unit(factors: StructureFactors, group: Any, *, friedel: bool = True) -> AsymmetricUnit:
    """The asymmetric unit of a table's box of indices. ``group``: see ``space_group``. ``friedel``: whether mates share a parameter.

    Equivalents outside the box do not count. Raises InputError without gemmi, for what is no space group, and for several tables.
    """
    if factors.tables > 1:
        raise InputError("the asymmetric unit is that of a single table of structure factors")
    found = space_group(group)
    operators = found.operations()
    h, k, l = factors.ranges
    corner = (factors.h_min, factors.k_min, factors.l_min)
    axes = (np.arange(low, low + n) for low, n in zip(corner, (h, k, l), strict=True))
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    # gemmi's rotations are 24 times the matrix.
    rotations = np.unique([np.array(one.rot) // 24 for one in operators], axis=0)
    if friedel:
        rotations = np.unique(np.concatenate([rotations, -rotations]), axis=0)
    # A key for each reflection; the largest of the equivalents stands for them all.
    reach = int(np.abs(hkl).max()) * 3 + 1
    radix = np.array([(2 * reach + 1) ** 2, 2 * reach + 1, 1])
    largest = np.full(len(hkl), np.iinfo(np.int64).min)
    for rotation in rotations:
        largest = np.maximum(largest, (hkl @ rotation + reach) @ radix)
    keys, inverse = np.unique(largest, return_inverse=True)
    stand_ins = np.stack([keys // radix[0], keys // radix[1] % (2 * reach + 1), keys % (2 * reach + 1)], 1) - reach
    present = np.array([bool(one.any()) and not operators.is_systematically_absent(one.tolist()) for one in stand_ins])
    number = np.where(present, np.cumsum(present) - 1, int(present.sum()))
    place = torch.from_numpy(number[inverse].reshape(h, k, l))
    return AsymmetricUnit(_in_unit(stand_ins[present], found, operators, friedel), place, corner)


def _in_unit(hkl: np.ndarray, group: Any, operators: Any, friedel: bool) -> np.ndarray:
    import gemmi

    unit = gemmi.ReciprocalAsu(group)
    moved = []
    for one in hkl.tolist():
        there, operator = unit.to_asu(one, operators)
        # Odd numbers of gemmi's operators are of the plus mate.
        moved.append(there if friedel or operator % 2 == 1 else [-index for index in there])
    return np.array(moved, np.int64).reshape(-1, 3)


CELL_NAMES = ("a", "b", "c", "alpha", "beta", "gamma")


@dataclass(frozen=True)
class CellConstraint:
    """The cell's free parameters: cell = matrix @ free + constant."""

    system: str
    names: tuple[str, ...]
    matrix: np.ndarray
    """(6, n)"""
    constant: np.ndarray
    """(6,)"""

    def free(self, cell: Any) -> np.ndarray:
        """(n,): the free parameters of a cell (a, b, c in A; angles in degrees), means where the system makes several equal.

        Raises InputError for a cell that is far (2 %, 1 degree) from what the system allows.
        """
        given = np.asarray(cell, np.float64)
        found: np.ndarray = np.linalg.lstsq(self.matrix, given - self.constant, rcond=None)[0]
        off = np.abs(self.matrix @ found + self.constant - given)
        if (off > np.r_[0.02 * given[:3], 1.0, 1.0, 1.0]).any():
            raise InputError(f"the cell {' '.join(f'{value:g}' for value in given)} is not {self.system}")
        return found

    def cell(self, free: Tensor) -> Tensor:
        """(6,): the cell of free parameters (n,)."""
        return torch.from_numpy(self.matrix).to(free) @ free + torch.from_numpy(self.constant).to(free)


_RIGHT, _HEXAGONAL = (90.0, 90.0, 90.0), (90.0, 90.0, 120.0)
_SYSTEMS: dict[str, tuple[tuple[str, ...], tuple[float, float, float]]] = {
    # Which free parameter each edge and angle takes; "-": the angle that stands behind.
    "triclinic": (("a", "b", "c", "alpha", "beta", "gamma"), _RIGHT),
    "monoclinic, axis a": (("a", "b", "c", "alpha", "-", "-"), _RIGHT),
    "monoclinic, axis b": (("a", "b", "c", "-", "beta", "-"), _RIGHT),
    "monoclinic, axis c": (("a", "b", "c", "-", "-", "gamma"), _RIGHT),
    "orthorhombic": (("a", "b", "c", "-", "-", "-"), _RIGHT),
    "tetragonal": (("a", "a", "c", "-", "-", "-"), _RIGHT),
    "hexagonal": (("a", "a", "c", "-", "-", "-"), _HEXAGONAL),
    "rhombohedral": (("a", "a", "a", "alpha", "alpha", "alpha"), _RIGHT),
    "cubic": (("a", "a", "a", "-", "-", "-"), _RIGHT),
}


def cell_constraint(group: Any) -> CellConstraint:
    """What the crystal system of a space group, in its setting, leaves free of the cell. Raises InputError as ``space_group`` does."""
    found = space_group(group)
    system = found.crystal_system_str()
    if system == "monoclinic":
        system = f"monoclinic, axis {found.monoclinic_unique_axis()}"
    elif system == "trigonal":
        system = "rhombohedral" if found.ext == "R" else "hexagonal"
    takes, angles = _SYSTEMS[system]
    names = tuple(dict.fromkeys(name for name in takes if name != "-"))
    matrix = np.array([[float(taken == name) for name in names] for taken in takes])
    constant = np.array([0.0, 0.0, 0.0, *(angle if taken == "-" else 0.0 for taken, angle in zip(takes[3:], angles, strict=True))])
    return CellConstraint(system, names, matrix, constant)
