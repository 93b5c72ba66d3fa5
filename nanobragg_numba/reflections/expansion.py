"""From the reflections of an asymmetric unit to the table of P1: symmetry mates, Friedel mates, centric and absent reflections.

Of an operation x' = R x + t, the reflection h' = h R has the amplitude of h. A reflection is absent if h R = h and h t is not whole for
any operation.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import INDEX_LIMIT, StructureFactors, empty_table

from .cells import Cell
from .sphere import ABSENT, LISTED, UNLISTED, limits_of_sphere, squared_lengths

UNEQUAL = 1e-3
"""Relative difference from which on two values of one reflection are two measurements."""


@dataclass(frozen=True)
class Reflections:
    """What a file lists: amplitudes of reflections as they stand there, before symmetry."""

    hkl: np.ndarray
    """(n, 3), whole numbers."""
    plus: np.ndarray
    """(n,): amplitude of h k l; nan where there is none."""
    minus: np.ndarray | None
    """(n,): amplitude of -h -k -l, nan where there is none; None: Friedel's law gives it, unless it is listed itself."""
    cell: Cell
    group: Any
    """gemmi.SpaceGroup."""
    source: str
    """Where the amplitudes are from, in words."""
    remarks: list[str] = field(default_factory=list)
    """What of the file was not used, or not as it stands, in sentences without the file's name."""


def turned(hkl: np.ndarray, group: Any) -> np.ndarray:
    """(operations, n, 3): the symmetry mates of ``hkl`` (n, 3), one for each rotation of the group, centring apart."""
    return np.stack([hkl @ np.array(op.rot) // op.DEN for op in group.operations().sym_ops])


def expanded(given: Reflections, where: str) -> tuple[np.ndarray, np.ndarray]:
    """All reflections that are known, each once, (m, 3), and their amplitudes (m,). A listed reflection goes before a Friedel mate.

    Raises InputError, naming ``where``, if one reflection has several values.
    """
    plus, minus = _pairs(given)
    mates = turned(given.hkl, given.group)
    explicit = mates.reshape(-1, 3)
    values = np.tile(plus, len(mates))
    known = np.isfinite(values)
    hkl, amplitudes = _once(explicit[known], values[known], given, where)
    values = np.tile(minus, len(mates))
    known = np.isfinite(values)
    keys, implied_keys = _keys(hkl), _keys(-explicit[known])
    implied_keys, first = np.unique(implied_keys, return_index=True)
    new = ~np.isin(implied_keys, keys)
    return np.concatenate([hkl, -explicit[known][first][new]]), np.concatenate([amplitudes, values[known][first][new]])


def _pairs(given: Reflections) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of h k l and of its Friedel mate. Where one of a pair is missing it is the other; centric mates are one reflection."""
    plus = given.plus.astype(np.float64)
    if given.minus is None:
        return plus, plus
    minus = given.minus.astype(np.float64)
    centric = given.group.operations().centric_flag_array(given.hkl.astype(np.int32)).astype(bool)
    one = np.isfinite(plus) != np.isfinite(minus)
    if (one & ~centric).any():
        given.remarks.append(
            f"of {np.count_nonzero(one & ~centric)} acentric reflections one of the pair is missing, and is taken equal to the other"
        )
    plus, minus = np.where(np.isfinite(plus), plus, minus), np.where(np.isfinite(minus), minus, plus)
    mean = (plus + minus) / 2
    return np.where(centric & (plus != minus), mean, plus), np.where(centric & (plus != minus), mean, minus)


def _keys(hkl: np.ndarray) -> np.ndarray:
    """One number for each reflection."""
    side = 2 * INDEX_LIMIT + 1
    h, k, l = (hkl.astype(np.int64) + INDEX_LIMIT).T
    keys: np.ndarray = (h * side + k) * side + l
    return keys


def _once(hkl: np.ndarray, amplitudes: np.ndarray, given: Reflections, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Each reflection once. Raises InputError if one has several values: data that are not merged."""
    order = np.argsort(_keys(hkl), kind="stable")
    hkl, amplitudes = hkl[order], amplitudes[order]
    keys = _keys(hkl)
    first = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    low, high = np.minimum.reduceat(amplitudes, first), np.maximum.reduceat(amplitudes, first)
    wrong = high - low > UNEQUAL * high
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InputError(
            f"{where}: the reflection {' '.join(map(str, hkl[first[at]].tolist()))} has several values in {given.source}, {low[at]:g} to "
            f"{high[at]:g}, its equivalents in {given.group.xhm()} included: the data are not merged, or the space group is another"
        )
    return hkl[first], amplitudes[first]


def table_of(hkl: np.ndarray, amplitudes: np.ndarray, given: Reflections, default_F: float, where: str) -> StructureFactors:
    """The table of reflections of P1, each given once, over the whole sphere to their resolution; what is absent by symmetry is 0."""
    absent = given.group.operations().systematic_absences(np.ascontiguousarray(hkl, np.int32)).astype(bool)
    if (amplitudes[absent] != 0.0).any():
        number = np.count_nonzero(amplitudes[absent])
        given.remarks.append(f"{number} of its reflections, mates included, are absent in {given.group.xhm()} and were set to 0")
    hkl, amplitudes = hkl[~absent], amplitudes[~absent]
    if len(hkl) == 0:
        raise InputError(f"{where}: no reflection has a value in {given.source}")
    finest = squared_lengths(hkl, given.cell).max()
    limits = np.maximum(limits_of_sphere(given.cell, finest), np.abs(hkl).max(axis=0))
    ranges = tuple(int(n) for n in 2 * limits + 1)
    table = empty_table((ranges[0], ranges[1], ranges[2]), default_F, where)
    status = np.full(ranges, UNLISTED, np.uint8)
    _mark_absent(table, status, limits, given.group)
    h, k, l = (hkl + limits).T
    table[h, k, l] = amplitudes
    status[h, k, l] = LISTED
    h_min, k_min, l_min = (-limits).tolist()
    return StructureFactors(
        table, h_min, k_min, l_min, len(hkl), cell=given.cell, space_group=given.group.xhm(), status=status, source=given.source
    )


def _mark_absent(table: np.ndarray, status: np.ndarray, limits: np.ndarray, group: Any) -> None:
    """Zero for what is absent by symmetry, whatever the default is."""
    operations = group.operations()
    if len(operations.cen_ops) == 1 and all(not any(op.tran) for op in operations.sym_ops):
        return
    k, l = (axis.ravel() for axis in np.meshgrid(*(np.arange(-n, n + 1, dtype=np.int32) for n in limits[1:]), indexing="ij"))
    for plane in range(status.shape[0]):
        hkl = np.column_stack([np.full_like(k, plane - limits[0]), k, l])
        absent = operations.systematic_absences(hkl).astype(bool).reshape(status.shape[1:])
        status[plane][absent] = ABSENT
        table[plane, :-1, :-1][absent] = 0.0
