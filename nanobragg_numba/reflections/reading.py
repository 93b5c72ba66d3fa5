"""A table of structure factors from a file of any of the kinds that gemmi reads."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors, encloses_volume, per_channel
from nanobragg_numba.files.reading import read_bytes

from . import coordinates, mtz, refln_cif
from .calculated import Solvent, calculate
from .cells import Cell, shown_cell
from .columns import OF_THE_COMMAND, Names
from .expansion import Reflections, expanded, table_of
from .gemmi_library import gemmi
from .opening import Kind, unpacked
from .sphere import ON_THE_EDGE, reciprocal_metric, squared_lengths

SAME_SHAPE = 0.01
"""Change of a product of reciprocal axes by symmetry, relative to their lengths, up to which a cell is taken to have that symmetry."""


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a file; each goes with some kinds of file, and is refused with others."""

    columns: str | None = None
    """Labels, parted by commas; None: found by type."""
    d_min: float | None = None
    """Resolution (A): needed for coordinates; of listed reflections those beyond are left out. None: all that are listed."""
    solvent: Solvent | bool = True
    """True: by default for macromolecules; False: none."""
    wavelengths_A: tuple[float, ...] = ()
    """For f' and f'' of coordinates, a table for each where there are several; none: neither."""
    default_F: float = 0.0
    cell: Cell | None = None
    """The crystal's, if it is known; it says which of two cells in a file is meant."""
    names: Names = OF_THE_COMMAND


class Found(NamedTuple):
    """A table, and what is to be told of the file."""

    factors: StructureFactors
    remarks: tuple[str, ...]
    """What was not used, or not as it stands, in whole sentences."""
    computed: bool = False
    """Whether they were computed, with f' and f''."""


def read(path: str, kind: Kind, flag: str, wishes: Wishes) -> Found:
    """The table of the file at ``path``. Raises InputError, naming ``flag`` and the file, for what cannot be used."""
    where = f"{flag} {path}"
    if wishes.d_min is not None and not (math.isfinite(wishes.d_min) and wishes.d_min > 0.0):
        raise InputError(f"{wishes.names.resolution} must be positive (A), not {wishes.d_min:g}")
    if kind == "mtz":
        read_bytes(path, flag)
        return _of_reflections(mtz.read(path, flag, wishes.names, wishes.columns, wishes.cell), wishes, where)
    library = gemmi(where)
    content = unpacked(read_bytes(path, flag), where)
    if kind == "pdb":
        return _of_atoms(coordinates.from_pdb(content, library, where), wishes, library, where)
    return _of_cif(content, wishes, library, where)


def _of_cif(content: bytes, wishes: Wishes, library: Any, where: str) -> Found:
    """Reflections or coordinates, whichever the file holds; of both, those that the wishes go with."""
    try:
        document = library.cif.read_string(content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace"))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{where}: not a CIF file: {str(error).splitlines()[0].removeprefix('string:')}") from None
    tables = refln_cif.tables(document)
    blocks = [block for block in document if block.find_values("_atom_site.Cartn_x") or block.find_values("_atom_site_fract_x")]
    if tables and blocks and (wishes.columns is None) == (wishes.d_min is None):
        raise InputError(
            f"{where}: the file holds reflections and coordinates: {wishes.names.columns} takes the first, "
            f"{wishes.names.resolution} alone the second"
        )
    if tables and not (blocks and wishes.columns is None):
        return _of_reflections(refln_cif.read(document, library, where, wishes.names.columns, wishes.columns), wishes, where)
    if not blocks:
        raise InputError(f"{where}: the CIF file holds neither a table of reflections nor coordinates")
    reader = coordinates.from_mmcif if blocks[0].find_values("_atom_site.Cartn_x") else coordinates.from_small_molecule_cif
    atoms = reader(blocks[0], library, where)
    if len(blocks) > 1:
        atoms.remarks.append(f"it holds {len(blocks)} structures; the first, {blocks[0].name}, is used")
    return _of_atoms(atoms, wishes, library, where)


def _of_reflections(given: Reflections, wishes: Wishes, where: str) -> Found:
    if wishes.solvent is not True:
        raise InputError(f"{where}: {wishes.names.solvent} goes with coordinates, and the file holds reflections")
    _require_volume(given.cell, where)
    given.remarks.extend(_unlike(given.cell, given.group))
    if wishes.d_min is not None:
        given = _within(given, wishes.d_min, where)
    _require_values(given, where)
    hkl, amplitudes = expanded(given, where)
    factors = table_of(hkl, amplitudes, given, wishes.default_F, where)
    return Found(factors, tuple(f"{where}: {text}" for text in given.remarks))


def _require_volume(cell: Cell, where: str) -> None:
    if not encloses_volume(cell):
        raise InputError(f"{where}: its cell {shown_cell(cell)} encloses no volume")


def _unlike(cell: Cell, group: Any) -> list[str]:
    """A sentence where an operation of the group changes the lengths of reciprocal vectors in this cell."""
    metric = reciprocal_metric(cell)
    rotations = np.array([operation.rot for operation in group.operations().sym_ops]) // group.operations().sym_ops[0].DEN
    changes = np.abs(rotations @ metric @ rotations.transpose(0, 2, 1) - metric) / np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    return [f"its cell {shown_cell(cell)} does not have the symmetry of {group.xhm()}"] if changes.max() > SAME_SHAPE else []


def _require_values(given: Reflections, where: str) -> None:
    """Raise InputError where no reflection has a value, or one that is infinite."""
    pair = [given.plus] if given.minus is None else [given.plus, given.minus]
    if not any(np.isfinite(values).any() for values in pair):
        raise InputError(f"{where}: no reflection has a value in {given.source}")
    for values in pair:
        if np.isinf(values).any():
            at = given.hkl[int(np.argmax(np.isinf(values)))].tolist()
            raise InputError(f"{where}: the value of reflection {' '.join(map(str, at))} is infinite")


def _within(given: Reflections, d_min: float, where: str) -> Reflections:
    inside = squared_lengths(given.hkl, given.cell) <= (1 + ON_THE_EDGE) / d_min**2
    if not inside.any():
        raise InputError(f"{where}: no reflection has a resolution of {d_min:g} A or less fine")
    minus = None if given.minus is None else given.minus[inside]
    return replace(given, hkl=given.hkl[inside], plus=given.plus[inside], minus=minus)


def _of_atoms(atoms: coordinates.Atoms, wishes: Wishes, library: Any, where: str) -> Found:
    if wishes.columns is not None:
        raise InputError(f"{where}: {wishes.names.columns} goes with reflections, and the file holds coordinates")
    if wishes.d_min is None:
        raise InputError(f"{where}: the file holds coordinates: {wishes.names.resolution} is needed, the finest spacing to be computed (A)")
    a, b, c, alpha, beta, gamma = atoms.structure.cell.parameters
    _require_volume((a, b, c, alpha, beta, gamma), where)
    solvent = wishes.solvent if isinstance(wishes.solvent, Solvent) else Solvent() if wishes.solvent and atoms.macromolecule else None
    made = calculate(atoms, wishes.d_min, wishes.wavelengths_A, solvent, library, where)
    given = Reflections(made.hkl, np.abs(made.F[0]), None, made.cell, made.group, made.source)
    atoms.remarks.extend(_unlike(made.cell, made.group))
    absent = made.group.operations().systematic_absences(made.hkl.astype(np.int32)).astype(bool)
    tables = [table_of(made.hkl[~absent], np.abs(F)[~absent], given, wishes.default_F, where) for F in made.F]
    factors = tables[0] if len(tables) == 1 else per_channel(tables, wishes.default_F)
    return Found(factors, tuple(f"{where}: {text}" for text in atoms.remarks), computed=True)
