"""Reflections in CIF files: those deposited with the PDB (SF-mmCIF), and those of small molecules."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import INDEX_LIMIT

from .cells import Cell
from .columns import Column, Role, choose
from .expansion import Reflections

ROLES: dict[str, Role] = {
    "F_meas_au": "F", "F_meas": "F", "F_calc_au": "F", "F_calc": "F", "F_squared_meas": "I", "intensity_meas": "I",
    "intensity_calc": "I", "F_squared_calc": "I", "pdbx_F_plus": "F+", "pdbx_F_minus": "F-", "pdbx_I_plus": "I+", "pdbx_I_minus": "I-",
    "pdbx_F_calc_with_solvent": "F", "pdbx_F_calc_part_solvent": "other", "F_part_au": "other", "F_part": "other",
}  # fmt: skip
"""What the names of the dictionaries stand for, behind _refln. or _refln_."""
BESIDE = ("sigma", "phase", "weight", "status", "fom", "flag", "crystal_id", "wavelength_id", "scale_group", "index_")
NOT_MEASURED = {"x": "unreliable", "-": "systematically absent"}
"""Flags of reflections that a deposition lists and does not use; their values are left out."""
INDICES = ("index_h", "index_k", "index_l")
Table = tuple[Any, str, Any]
"""A block, what its tags begin with, and its loop."""


def tables(document: Any) -> list[Table]:
    """The loops of reflections in the blocks of a CIF."""
    found = []
    for block in document:
        for prefix in ("_refln.", "_refln_"):
            column = block.find_loop(prefix + "index_h")
            if column.get_loop() is not None:
                found.append((block, prefix, column.get_loop()))
    return found


def read(document: Any, library: Any, where: str, columns_flag: str, wanted: str | None) -> Reflections:
    """The reflections of a CIF that was parsed already; several blocks are told apart as BLOCK/label.

    Raises InputError, naming ``where``, for tables without indices, cell or space group.
    """
    found = tables(document)
    columns, status, first = [], {}, {}
    for table in found:
        block, prefix, loop = table
        name = block.name if len(found) > 1 else ""
        made, flags = _columns(prefix, loop, name)
        columns += made
        status[name], first[name] = flags, table
    remarks: list[str] = []
    if len(found) > 1 and wanted is None:
        # Depositions put what the structure was refined against first.
        name = found[0][0].name
        remarks.append(f"it holds {len(found)} tables of reflections, {', '.join(block.name for block, _, _ in found)}; {name} is used")
        columns = [column for column in columns if column.group == name]
    chosen = choose(columns, wanted, where, columns_flag)
    block, prefix, loop = first[chosen.group]
    hkl = _indices(prefix, loop, where)
    plus, minus, flags = chosen.plus, chosen.minus, status[chosen.group]
    if flags is not None:
        for flag, meaning in NOT_MEASURED.items():
            out = (flags == flag) & (np.isfinite(plus) if minus is None else np.isfinite(plus) | np.isfinite(minus))
            if out.any():
                remarks.append(f"{np.count_nonzero(out)} reflections with the status {flag}, {meaning}, were left out")
                plus = np.where(out, np.nan, plus)
                minus = None if minus is None else np.where(out, np.nan, minus)
    cell, group = _crystal([block, *(one for one in document if one is not block)], library, where)
    return Reflections(hkl, plus, minus, cell, group, chosen.source, [*chosen.remarks, *remarks])


def _columns(prefix: str, loop: Any, name: str) -> tuple[list[Column], np.ndarray | None]:
    """The columns of a loop, and the flags that say which reflections were used."""
    labels = [tag[len(prefix) :] for tag in loop.tags]
    cells = np.array(loop.values, dtype=object).reshape(-1, len(labels))
    made, flags = [], None
    for at, label in enumerate(labels):
        if label in ("status", "observed_status", "include_status"):
            flags = np.array([text.strip("'\"") for text in cells[:, at]])
        role: Role = ROLES.get(label, "beside" if any(part in label for part in BESIDE) else "other")
        if label not in INDICES:
            values = _numbers(cells[:, at]) if role not in ("beside", "other") else np.empty(0)
            sigma = {label.replace("_meas", "_meas_sigma"), label.replace("_meas", "_sigma"), f"{label}_sigma"} - {label}
            made.append(Column(label, role, name, values, "no amplitude that is known here", bool(sigma & set(labels))))
    return made, flags


def _numbers(texts: Sequence[str] | np.ndarray) -> np.ndarray:
    """CIF's numbers: 12.5(3) is 12.5; ? and . are nan, as is what is no number."""
    numbers = np.empty(len(texts))
    for at, text in enumerate(texts):
        try:
            numbers[at] = float(text.partition("(")[0])
        except ValueError:
            numbers[at] = math.nan
    return numbers


def _indices(prefix: str, loop: Any, where: str) -> np.ndarray:
    labels = [tag[len(prefix) :] for tag in loop.tags]
    cells = np.array(loop.values, dtype=object).reshape(-1, len(labels))
    for label in INDICES:
        if label not in labels:
            raise InputError(f"{where}: the table of reflections lacks {prefix}{label}")
    hkl = np.column_stack([_numbers(cells[:, labels.index(label)]) for label in INDICES])
    wrong = ~((hkl == np.rint(hkl)) & (np.abs(hkl) < INDEX_LIMIT)).all(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        texts = " ".join(cells[row, labels.index(label)] for label in INDICES)
        raise InputError(
            f"{where}: reflection {row + 1} of the table has the indices {texts}, which are not whole numbers below {INDEX_LIMIT}"
        )
    return hkl.astype(np.int64)


def _crystal(blocks: Sequence[Any], library: Any, where: str) -> tuple[Cell, Any]:
    """Cell and space group, from the first block that has them."""
    cell = next(filter(None, map(_cell, blocks)), None)
    if cell is None:
        raise InputError(f"{where}: the file has no unit cell")
    names = [
        block.find_value(tag)
        for block in blocks
        for tag in (
            "_symmetry.space_group_name_H-M",
            "_symmetry_space_group_name_H-M",
            "_space_group.name_H-M_alt",
            "_space_group_name_H-M_alt",
        )
    ]
    for text in filter(None, names):
        group = library.find_spacegroup_by_name(library.cif.as_string(text), cell[3], cell[5])
        if group is not None:
            return cell, group
    for block in blocks:
        for tag in (
            "_symmetry_equiv_pos_as_xyz",
            "_space_group_symop_operation_xyz",
            "_symmetry_equiv.pos_as_xyz",
            "_space_group_symop.operation_xyz",
        ):
            operations = [library.cif.as_string(text) for text in block.find_loop(tag)]
            group = library.find_spacegroup_by_ops(library.GroupOps([library.Op(text) for text in operations])) if operations else None
            if group is not None:
                return cell, group
    named = next((library.cif.as_string(text) for text in filter(None, names)), None)
    raise InputError(f"{where}: the file has no space group that is known ({named or 'none is named'})")


def _cell(block: Any) -> Cell | None:
    for separator in "._":
        tags = [f"_cell{separator}{name}" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")]
        a, b, c, alpha, beta, gamma = _numbers([block.find_value(tag) or "?" for tag in tags]).tolist()
        if min(a, b, c, alpha, beta, gamma) > 0.0 and a > 1.0:
            return a, b, c, alpha, beta, gamma
    return None
