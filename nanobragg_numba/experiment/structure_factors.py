"""The table of structure factors: a dense block over h, k, l."""

import math
import os
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
    """Structure factor amplitudes on a grid, those of P1.

    ``from_arrays`` makes it from lists and ``read_hkl`` from a text file, and neither adds symmetry or Friedel mates; ``from_mtz``,
    ``from_cif`` and ``from_model`` do. Only ``|F|`` enters an image, so of complex numbers the modulus is taken.
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
    cell: tuple[float, float, float, float, float, float] | None = None
    """a, b, c (A), alpha, beta, gamma (degrees) of the crystal that they are of; None: not known. ``Crystal.cell`` is not taken from it."""
    space_group: str | None = None
    """Its Hermann-Mauguin symbol, which the reflections obey; None: not known."""
    status: np.ndarray | None = None
    """(h range, k range, l range), uint8: 0 where nothing is known, 1 what is listed, 2 what symmetry makes zero; None: not known."""
    source: str = ""
    """Where they are from, in words."""

    def __post_init__(self) -> None:
        if not is_tensor(self.table):
            object.__setattr__(self, "table", _real(self.table))
        axes = 4 if np.ndim(self.table) == 4 else 3
        make_plain(self, {"table": ArrayOf((None,) * axes), "status": ArrayOf((None, None, None), np.uint8)})
        if not is_tensor(self.table):
            object.__setattr__(self, "table", np.ascontiguousarray(self.table))
        if min(self.table.shape[-3:]) < 2 or 0 in self.table.shape:
            raise InputError(
                f"StructureFactors.table of shape {self.table.shape} holds no reflection: the last plane of each axis is padding"
            )
        if self.status is not None and self.status.shape != self.ranges:
            raise InputError(f"StructureFactors.status must have shape {self.ranges}, not {self.status.shape}")

        if self.cell is not None and not encloses_volume(self.cell):
            raise InputError(
                f"StructureFactors.cell {' '.join(f'{value:g}' for value in self.cell)} is no unit cell: it encloses no volume"
            )

    def __repr__(self) -> str:
        h, h_end, k, k_end, l, l_end = self.limits
        tables = [f"{self.tables} tables"] if self.tables > 1 else []
        parts = [*tables, f"{self.count} reflections, h {h} to {h_end}, k {k} to {k_end}, l {l} to {l_end}"]
        if (known := self._known()) is not None:
            parts.append(f"{100 * known[1]:.4g} % complete to {known[0]:.4g} A")
        if self.cell is not None:
            parts.append(f"cell {' '.join(f'{value:g}' for value in self.cell)}")
        parts += filter(None, (self.space_group, self.source))
        return f"<StructureFactors: {', '.join(parts)}>"

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

    def _known(self) -> tuple[float, float] | None:
        """Resolution (A) and completeness; None without a cell or a status."""
        if self.cell is None or self.status is None:
            return None
        from nanobragg_numba.reflections.sphere import completeness

        return completeness(self.status, (self.h_min, self.k_min, self.l_min), self.cell)

    @property
    def resolution_A(self) -> float | None:
        """d of the finest reflection that is listed (A); None where cell or list are not known."""
        known = self._known()
        return None if known is None else known[0]

    @property
    def completeness(self) -> float | None:
        """How many of the reflections that symmetry allows to ``resolution_A`` are listed, 0 to 1; of all P1, without 0 0 0."""
        known = self._known()
        return None if known is None else known[1]

    @staticmethod
    def from_arrays(
        hkl: ArrayLike, amplitudes: ArrayLike, default_F: float = 0.0, cell: tuple[float, ...] | None = None
    ) -> "StructureFactors":
        """``from_arrays``."""
        return from_arrays(hkl, amplitudes, default_F, cell)

    @staticmethod
    def from_mtz(
        path: str | os.PathLike[str],
        columns: str | None = None,
        d_min: float | None = None,
        default_F: float = 0.0,
        cell: tuple[float, float, float, float, float, float] | None = None,
    ) -> "StructureFactors":
        """The table of an MTZ file, expanded to P1 with symmetry and Friedel mates; F as it is in the file.

        ``columns``: labels parted by commas, of amplitudes (``"F,SIGF"``), intensities, or a Friedel pair (``"F(+),F(-)"``), whose mates
        stay apart. None: the first kind that there is, out of pairs of F, F with a sigma, pairs of I, I with a sigma, F, I; ``source``
        names what was found. Intensities become F = sqrt(I), negative ones 0. ``d_min`` (A): what lies beyond is left out. ``cell``: which
        of two cells in the file is meant, where they differ. What is not listed has ``default_F``, what is absent by symmetry is 0. Needs
        gemmi. Raises InputError, naming the file, for what cannot be used, and where the choice is not clear; a UserWarning says what was
        not used as it stands.
        """
        from nanobragg_numba.reflections.from_python import from_mtz

        return from_mtz(path, columns, d_min, default_F, cell)

    @staticmethod
    def from_cif(
        path: str | os.PathLike[str], columns: str | None = None, d_min: float | None = None, default_F: float = 0.0
    ) -> "StructureFactors":
        """The table of reflections in a CIF, as deposited with the PDB (SF-mmCIF) or of a small molecule; otherwise as ``from_mtz``.

        ``columns`` are the names behind ``_refln.``, as ``"F_meas_au"``; where a file has several tables, ``"BLOCK/F_meas_au"``.
        """
        from nanobragg_numba.reflections.from_python import from_cif

        return from_cif(path, columns, d_min, default_F)

    @staticmethod
    def from_model(
        path: str | os.PathLike[str],
        d_min: float,
        wavelength_A: float | Sequence[float] | None = None,
        solvent: bool | tuple[float, float] = True,
        default_F: float = 0.0,
    ) -> "StructureFactors":
        """The table computed from coordinates, a PDB, mmCIF or small-molecule CIF file: all of P1 with d >= ``d_min`` (A), 0 0 0 too.

        F in electrons per cell: atoms with their B factors, isotropic or not, and occupancies, by density and FFT; f' and f'' (Cromer and
        Liberman) at ``wavelength_A``, so that Friedel mates differ, or neither (None); of several wavelengths a table each, for the
        channels of ``wavelength_channels``. ``solvent``: True, a flat bulk solvent of
        k_sol 0.35 e/A^3 and B_sol 46 A^2 for macromolecules and none for small molecules; (k_sol, B_sol) others; False, none. Without
        solvent they are within 1e-4 of the mean F of the sum over the atoms. Needs gemmi. Raises InputError, naming the file, for what
        cannot be used; a UserWarning says what was not used as it stands.
        """
        from nanobragg_numba.reflections.from_python import from_model

        return from_model(path, d_min, wavelength_A, solvent, default_F)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table to a file of the kind that its name ends in.

        ``.hkl``: every reflection of the table as h k l F, zeros too, with all digits; ``read_hkl`` gives the same table. ``.mtz``: those
        that are listed, or zero by symmetry (without a ``status``, all), in P1, as 4-byte floats, one column F, or F(+) and F(-) where
        Friedel mates differ; needs gemmi and ``cell``. Raises InputError for other names, and where the file cannot be written.
        """
        from nanobragg_numba.reflections.writing import write

        write(self, os.fspath(path))

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
    first, count = tables[0], sum(one.count for one in tables)
    cell = first.cell if all(one.cell == first.cell for one in tables) else None
    group = first.space_group if all(one.space_group == first.space_group for one in tables) else None
    source = first.source if all(one.source == first.source for one in tables) else ""
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), count, cell, group, source=source)


def encloses_volume(cell: tuple[float, ...]) -> bool:
    """Whether the edges are positive, and the angles (degrees) can meet in a corner."""
    x, y, z = (math.cos(math.radians(angle)) for angle in cell[3:])
    return min(cell) > 0.0 and math.isfinite(sum(cell)) and 1.0 - x * x - y * y - z * z + 2.0 * x * y * z > 1e-9


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


def from_arrays(hkl: ArrayLike, amplitudes: ArrayLike, default_F: float = 0.0, cell: tuple[float, ...] | None = None) -> StructureFactors:
    """A table from indices (n, 3) and amplitudes (n,) in electrons, arrays or lists; of duplicates the last one counts.

    Indices are whole numbers of any type. Of complex amplitudes the modulus is taken, as only ``|F|`` enters; real ones keep their
    sign. ``default_F`` fills what the box of the indices holds and the list does not; beyond the box ``Crystal.default_F`` counts.
    ``cell``: a, b, c (A), alpha, beta, gamma (degrees), for resolution and completeness in ``repr`` and for MTZ files.
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
    status = None
    if cell is not None:
        status = np.zeros(ranges, np.uint8)
        status[h, k, l] = 1
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(indices), cell, status=status)  # type: ignore[arg-type]


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
