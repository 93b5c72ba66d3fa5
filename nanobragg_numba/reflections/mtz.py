"""MTZ files."""

import os
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError

from .cells import Cell, agree, shown_cell
from .columns import Column, Names, Role, choose, is_minus
from .expansion import Reflections
from .gemmi_library import gemmi

BASE = "HKL_base"
"""The data set of the indices."""
ROLES: dict[str, Role] = {
    "F": "F", "J": "I", "G": "F+", "K": "I+", "Q": "beside", "L": "beside", "M": "beside", "P": "beside", "W": "beside",
}  # fmt: skip
KINDS = {
    "D": "an anomalous difference", "E": "normalised amplitudes", "I": "integers", "B": "a batch number", "Y": "M/ISYM",
    "A": "phase coefficients", "R": "of type R, any real number", "H": "an index",
}  # fmt: skip


class _Contents(NamedTuple):
    """What is used of an MTZ file."""

    mtz: Any
    columns: list[Column]
    cells: dict[str, tuple[float, ...]]
    """Of each data set, by its name."""
    group_name: str


def read(path: str, flag: str, names: Names, wanted: str | None, cell: Cell | None) -> Reflections:
    """The reflections of an MTZ file, its amplitudes in the columns ``wanted`` or found by type.

    ``cell``: the crystal's, if it is known; it decides between a file's two. Raises InputError, naming flag and file, for what is no
    whole MTZ file of merged reflections with a cell and a space group.
    """
    where = f"{flag} {path}"
    library = gemmi(where)
    try:
        contents = _contents(library.read_mtz_file(os.fspath(path)))
    except (RuntimeError, ValueError, MemoryError):
        raise InputError(f"{where}: the MTZ file is damaged or cut short") from None
    mtz = contents.mtz
    # The header is at the end.
    if len(mtz.columns) == 0:
        raise InputError(f"{where}: the MTZ file is damaged or cut short")
    if len(mtz.batches):
        raise InputError(f"{where}: its reflections are not merged ({len(mtz.batches)} batches); merge them first")
    if mtz.nreflections == 0:
        raise InputError(f"{where}: no reflections in the file")
    if mtz.spacegroup is None:
        raise InputError(f"{where}: the file has no space group that is known ({contents.group_name or 'none is named'})")
    chosen = choose(contents.columns, wanted, where, names.columns)
    hkl = mtz.make_miller_array().astype(np.int64)
    remarks = list(chosen.remarks)
    found = _cell(contents, chosen.group, cell, f"{where}: ", names.cell, remarks)
    data_sets = [name for name in contents.cells if name != BASE]
    if len(data_sets) > 1:
        remarks.append(f"it holds {len(data_sets)} data sets, {', '.join(data_sets)}; {chosen.source.split(' (')[0]} is used")
    return Reflections(hkl, chosen.plus, chosen.minus, found, mtz.spacegroup, chosen.source, remarks)


def _contents(mtz: Any) -> _Contents:
    """Columns and data sets. A data set is named by crystal and data set, once where these are alike, and by its number if need be."""
    names: dict[int, str] = {}
    for one in mtz.datasets:
        name = "/".join(dict.fromkeys(filter(None, (one.crystal_name, one.dataset_name))))
        names[one.id] = f"{name}#{one.id}" if name in names.values() else name
    columns = list(mtz.columns)
    made = []
    for at, column in enumerate(columns):
        role: Role = ROLES.get(column.type, "other")
        if is_minus(column.label) and column.type in "GK":
            role = "F-" if column.type == "G" else "I-"
        following = columns[at + 1].type if at + 1 < len(columns) else ""
        kind = KINDS.get(column.type, f"of type {column.type}")
        if column.type != "H":
            values = as_written(np.array(column.array))
            made.append(Column(column.label, role, names.get(column.dataset_id, ""), values, kind, following == "Q"))
    return _Contents(mtz, made, {names[one.id]: tuple(one.cell.parameters) for one in mtz.datasets}, mtz.spacegroup_name)


def as_written(values: np.ndarray) -> np.ndarray:
    """4-byte floats as the shortest decimal numbers that they stand for: 38.12, not 38.119998931884766.

    A list that was a text before it was an MTZ file gives the same numbers either way.
    """
    return values.astype(np.float32).astype("U32").astype(np.float64)


def _cell(contents: _Contents, group: str, given: Cell | None, where: str, flag: str, remarks: list[str]) -> Cell:
    """The cell of the data set, or the file's own where ``given`` says so. The two may differ, and programs take one or the other."""
    whole = tuple(contents.mtz.cell.parameters)
    own = contents.cells.get(group, whole)
    known = [cell for cell in (own, whole) if cell[0] > 1.0]
    if not known:
        raise InputError(f"{where}the file has no unit cell")
    if len(known) == 1 or np.allclose(own, whole, rtol=1e-5):
        return as_cell(known[0])
    told = f"the data set {group} has the cell {shown_cell(as_cell(own))}, the file {shown_cell(as_cell(whole))}"
    if agree(as_cell(own), as_cell(whole)):
        remarks.append(f"{told}; the data set's is used")
        return as_cell(own)
    if given is None:
        raise InputError(f"{where}{told}; say with {flag} which one is meant")
    return as_cell(whole if agree(given, as_cell(whole)) else own)


def as_cell(numbers: tuple[float, ...]) -> Cell:
    """Six numbers, those of 4-byte floats as they were written."""
    a, b, c, alpha, beta, gamma = (float(f"{value:.7g}") for value in numbers)
    return a, b, c, alpha, beta, gamma
