"""MTZ files."""

import os
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .cells import Cell, agree, shown_cell
from .columns import Column, Role, choose, is_minus
from .expansion import Reflections
from .gemmi_library import gemmi

ROLES: dict[str, Role] = {
    "F": "F", "J": "I", "G": "F+", "K": "I+", "Q": "beside", "L": "beside", "M": "beside", "P": "beside", "W": "beside",
}  # fmt: skip
KINDS = {
    "D": "an anomalous difference", "E": "normalised amplitudes", "I": "integers", "B": "a batch number", "Y": "M/ISYM",
    "A": "phase coefficients", "R": "of type R, any real number", "H": "an index",
}  # fmt: skip


def read(path: str, flag: str, columns_flag: str, wanted: str | None, cell: Cell | None) -> Reflections:
    """The reflections of an MTZ file, its amplitudes in the columns ``wanted`` or found by type.

    ``cell``: the crystal's, if it is known; it decides between a file's two. Raises InputError, naming flag and file, for what is no
    whole MTZ file of merged reflections with a cell and a space group.
    """
    where = f"{flag} {path}"
    library = gemmi(where)
    try:
        mtz = library.read_mtz_file(os.fspath(path))
    except (RuntimeError, ValueError, MemoryError):
        raise InputError(f"{where}: the MTZ file is damaged or cut short") from None
    if len(mtz.columns) == 0:
        # The header is at the end.
        raise InputError(f"{where}: the MTZ file is damaged or cut short")
    if len(mtz.batches):
        raise InputError(f"{where}: its reflections are not merged ({len(mtz.batches)} batches); merge them first")
    if mtz.nreflections == 0:
        raise InputError(f"{where}: no reflections in the file")
    if mtz.spacegroup is None:
        raise InputError(f"{where}: the file has no space group that is known ({mtz.spacegroup_name or 'none is named'})")
    chosen = choose(_columns(mtz), wanted, where, columns_flag)
    hkl = mtz.make_miller_array().astype(np.int64)
    remarks = list(chosen.remarks)
    found = _cell(mtz, chosen.group, cell, where, remarks)
    data_sets = [one for one in map(_name, mtz.datasets) if one != "HKL_base"]
    if len(data_sets) > 1:
        remarks.append(f"it holds {len(data_sets)} data sets, {', '.join(data_sets)}; {chosen.source.split(' (')[0]} is used")
    return Reflections(hkl, chosen.plus, chosen.minus, found, mtz.spacegroup, chosen.source, remarks)


def _name(data_set: Any) -> str:
    """Crystal and data set, once where they are of one name."""
    return "/".join(dict.fromkeys(filter(None, (data_set.crystal_name, data_set.dataset_name))))


def _columns(mtz: Any) -> list[Column]:
    columns = list(mtz.columns)
    made = []
    for at, column in enumerate(columns):
        role: Role = ROLES.get(column.type, "other")
        if is_minus(column.label) and column.type in "GK":
            role = "F-" if column.type == "G" else "I-"
        following = columns[at + 1].type if at + 1 < len(columns) else ""
        group = _name(mtz.dataset(column.dataset_id))
        kind = KINDS.get(column.type, f"of type {column.type}")
        if column.type != "H":
            made.append(Column(column.label, role, group, as_written(np.array(column.array)), kind, following == "Q"))
    return made


def as_written(values: np.ndarray) -> np.ndarray:
    """4-byte floats as the shortest decimal numbers that they stand for: 38.12, not 38.119998931884766.

    A list that was a text before it was an MTZ file gives the same numbers either way.
    """
    return values.astype(np.float32).astype("U32").astype(np.float64)


def _cell(mtz: Any, group: str, given: Cell | None, where: str, remarks: list[str]) -> Cell:
    """The cell of the data set, or the file's own where ``given`` says so. The two may differ, and programs take one or the other."""
    own = next(tuple(one.cell.parameters) for one in mtz.datasets if _name(one) == group)
    whole = tuple(mtz.cell.parameters)
    known = [cell for cell in (own, whole) if cell[0] > 1.0]
    if not known:
        raise InputError(f"{where}: the file has no unit cell")
    if len(known) == 1 or np.allclose(own, whole, rtol=1e-5):
        return as_cell(known[0])
    told = f"the data set {group} has the cell {shown_cell(as_cell(own))}, the file {shown_cell(as_cell(whole))}"
    if agree(as_cell(own), as_cell(whole)):
        remarks.append(f"{told}; the data set's is used")
        return as_cell(own)
    if given is None:
        raise InputError(f"{where}: {told}; say with -cell which one is meant")
    return as_cell(whole if agree(given, as_cell(whole)) else own)


def as_cell(numbers: tuple[float, ...]) -> Cell:
    """Six numbers, those of 4-byte floats as they were written."""
    a, b, c, alpha, beta, gamma = (float(f"{value:.7g}") for value in numbers)
    return a, b, c, alpha, beta, gamma
