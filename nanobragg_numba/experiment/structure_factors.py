"""The table of structure factors: a dense block over h, k, l."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields.values import ArrayOf, make_plain
from nanobragg_numba.maths.torch_values import is_tensor

from .memory import require_memory

INDEX_LIMIT = 10**6
"""No Miller index is so large."""


@dataclass(frozen=True)
class StructureFactors:
    """Structure factor amplitudes on a grid; ``from_arrays`` makes it from lists, ``read_hkl`` from a file.

    Only ``|F|`` enters an image, so of complex numbers the modulus is taken. Friedel mates and symmetry mates are not added: the table
    is that of P1.
    """

    table: np.ndarray
    """(h range + 1, k range + 1, l range + 1), electrons: the last plane of each axis is the reference's padding and is never
    looked up. ``table[0, 0, 0]`` is the reflection (h_min, k_min, l_min). Made float64 and C-contiguous. With one more axis before
    these, there are several tables, as ``per_channel`` makes them."""
    h_min: int
    """The least h of the table."""
    k_min: int
    """The least k of the table."""
    l_min: int
    """The least l of the table."""
    count: int
    """Reflections listed, duplicates included."""

    def __post_init__(self) -> None:
        if not is_tensor(self.table):
            object.__setattr__(self, "table", _real(self.table))
        axes = 4 if np.ndim(self.table) == 4 else 3
        make_plain(self, {"table": ArrayOf((None,) * axes)})
        if not is_tensor(self.table):
            object.__setattr__(self, "table", np.ascontiguousarray(self.table))
        if min(self.table.shape[-3:]) < 2 or 0 in self.table.shape:
            raise InputError(
                f"StructureFactors.table of shape {self.table.shape} holds no reflection: the last plane of each axis is padding"
            )

    def __repr__(self) -> str:
        h, h_end, k, k_end, l, l_end = self.limits
        tables = f"{self.tables} tables, " if self.tables > 1 else ""
        return f"<StructureFactors: {tables}{self.count} reflections, h {h} to {h_end}, k {k} to {k_end}, l {l} to {l_end}>"

    @property
    def tables(self) -> int:
        """How many tables there are: one, or one for each wavelength channel."""
        return len(self.table) if self.table.ndim == 4 else 1

    @property
    def only_table(self) -> np.ndarray:
        """(h range + 1, k range + 1, l range + 1): the table. Raises InputError where there are several."""
        if self.tables > 1:
            raise InputError(f"these are {self.tables} tables of structure factors, and a file of them holds one")
        return self.stacked

    @property
    def stacked(self) -> np.ndarray:
        """(tables x (h range + 1), k range + 1, l range + 1): one table behind the other, as the kernels take them."""
        return self.table.reshape(-1, *self.table.shape[-2:])

    @property
    def ranges(self) -> tuple[int, int, int]:
        """Number of h, k, l values that the table spans."""
        h, k, l = self.table.shape[-3:]
        return h - 1, k - 1, l - 1

    @property
    def limits(self) -> tuple[int, int, int, int, int, int]:
        """h_min, h_max, k_min, k_max, l_min, l_max."""
        h, k, l = self.ranges
        return (
            self.h_min, self.h_min + h - 1, self.k_min, self.k_min + k - 1, self.l_min, self.l_min + l - 1,
        )  # fmt: skip


def per_channel(tables: Sequence[StructureFactors], default_F: float = 0.0) -> StructureFactors:
    """One table for each wavelength channel, of which ``SourceList.channels`` says which one a source takes: anomalous scattering.

    All get the box of indices that holds each one's; ``default_F`` fills what a table does not list. Raises InputError where there are
    none, or one of them has several already.
    """
    if not tables or any(one.tables > 1 for one in tables):
        raise InputError("structure factors per channel are made from single tables, at least one")
    limits = np.array([one.limits for one in tables])
    low, high = limits[:, ::2].min(axis=0), limits[:, 1::2].max(axis=0)
    h, k, l = (int(n) for n in high - low + 1)
    require_memory(8 * len(tables) * (h + 1) * (k + 1) * (l + 1), f"{len(tables)} structure-factor tables of {h}x{k}x{l}")
    table = np.zeros((len(tables), h + 1, k + 1, l + 1))
    table[:, :-1, :-1, :-1] = default_F
    for own, one in zip(table, tables, strict=True):
        start = np.array(one.limits[::2]) - low
        place = tuple(slice(first, first + n) for first, n in zip(start, one.ranges, strict=True))
        own[place] = one.table[:-1, :-1, :-1]
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), sum(one.count for one in tables))


def empty_table(ranges: tuple[int, int, int], default_F: float, name: str) -> np.ndarray:
    """A padded table filled with ``default_F``.

    Raises InputError, naming ``name``, if it would not fit in memory.
    """
    shape = tuple(n + 1 for n in ranges)
    require_memory(8 * shape[0] * shape[1] * shape[2], f"the structure-factor table of {name} ({'x'.join(map(str, ranges))})")
    table = np.zeros(shape)
    if default_F != 0.0:
        table[:-1, :-1, :-1] = default_F
    return table


def from_arrays(hkl: ArrayLike, amplitudes: ArrayLike, default_F: float = 0.0) -> StructureFactors:
    """A table from indices (n, 3) and amplitudes (n,) in electrons, arrays or lists; of duplicates the last one counts.

    Indices are whole numbers of any type. Of complex amplitudes the modulus is taken, as only ``|F|`` enters; real ones keep their
    sign. ``default_F`` fills what the box of the indices holds and the list does not; beyond the box ``Crystal.default_F`` counts.
    Friedel mates and symmetry mates are not added. Raises InputError if the shapes do not fit, an index is not whole or absurd, or an
    amplitude is not finite.
    """
    indices, values = _numbers("Miller indices", hkl), _real(_numbers("amplitudes", amplitudes))
    if indices.ndim != 2 or indices.shape[1:] != (3,) or values.shape != (len(indices),) or len(indices) == 0:
        raise InputError(f"structure factors need indices (n, 3) and amplitudes (n,), not {indices.shape} and {values.shape}")
    if indices.dtype.kind == "c":
        raise InputError("Miller indices must be whole numbers, not complex ones")
    odd = ~(np.abs(indices.astype(np.float64)) < INDEX_LIMIT).all(axis=1) | (indices != np.rint(indices)).any(axis=1)
    if odd.any():
        row = int(np.argmax(odd))
        raise InputError(f"Miller indices must be whole numbers below {INDEX_LIMIT}, not {indices[row].tolist()} (row {row})")
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"amplitudes must be finite, not {values[row]:g} (row {row}, reflection {indices[row].tolist()})")
    whole = indices.astype(np.int64)
    low = whole.min(axis=0)
    ranges = tuple(int(n) for n in whole.max(axis=0) - low + 1)
    table = empty_table((ranges[0], ranges[1], ranges[2]), default_F, "the given arrays")
    h, k, l = (whole - low).T
    table[h, k, l] = values
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(indices))


def _numbers(name: str, value: Any) -> np.ndarray:
    """``value`` as an array of real or complex numbers. Raises InputError, naming ``name``."""
    if is_tensor(value) and value.requires_grad:
        raise InputError(f"{name} would lose their gradient here: give plain numbers, and the tensor as the override structure_factors")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} must be an array, all rows of one length") from None
    if array.dtype.kind not in "iufc":
        raise InputError(f"{name} must be numbers, not of {array.dtype}")
    return array


def _real(values: Any) -> Any:
    """The modulus of complex numbers; all else as it is."""
    return np.abs(values) if isinstance(values, np.ndarray) and values.dtype.kind == "c" else values
