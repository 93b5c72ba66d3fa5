"""The table of structure factors: a dense block over h, k, l."""

from dataclasses import dataclass

import numpy as np

from nanobragg_numba.errors import InputError

from .memory import require_memory


@dataclass(frozen=True)
class StructureFactors:
    """Structure factor amplitudes on a grid.

    ``table`` has shape (h range + 1, k range + 1, l range + 1), float64: the last plane of each axis is the
    reference's padding and is never looked up. ``table[0, 0, 0]`` is the reflection (h_min, k_min, l_min).
    """

    table: np.ndarray
    h_min: int
    k_min: int
    l_min: int
    count: int
    """Reflections listed, duplicates included."""

    @property
    def ranges(self) -> tuple[int, int, int]:
        """Number of h, k, l values that the table spans."""
        h, k, l = self.table.shape
        return h - 1, k - 1, l - 1

    @property
    def limits(self) -> tuple[int, int, int, int, int, int]:
        """h_min, h_max, k_min, k_max, l_min, l_max."""
        h, k, l = self.ranges
        return (
            self.h_min, self.h_min + h - 1, self.k_min, self.k_min + k - 1, self.l_min, self.l_min + l - 1,
        )  # fmt: skip


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


def from_arrays(hkl: np.ndarray, amplitudes: np.ndarray, default_F: float = 0.0) -> StructureFactors:
    """A table from indices (n, 3), integers, and amplitudes (n,); of duplicates the last one counts.

    Raises InputError if the shapes do not fit or an index is not whole.
    """
    hkl = np.asarray(hkl)
    amplitudes = np.asarray(amplitudes, dtype=np.float64)
    if hkl.ndim != 2 or hkl.shape[1] != 3 or amplitudes.shape != (len(hkl),) or len(hkl) == 0:
        raise InputError(f"structure factors need indices (n, 3) and amplitudes (n,), not {hkl.shape} and {amplitudes.shape}")
    whole = hkl.astype(np.int64)
    if not np.array_equal(whole, hkl):
        raise InputError("Miller indices must be whole numbers")
    low = whole.min(axis=0)
    ranges = tuple(int(n) for n in whole.max(axis=0) - low + 1)
    table = empty_table((ranges[0], ranges[1], ranges[2]), default_F, "the given arrays")
    h, k, l = (whole - low).T
    table[h, k, l] = amplitudes
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(hkl))
