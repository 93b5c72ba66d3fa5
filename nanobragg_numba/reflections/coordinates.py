"""Atoms of a crystal, from PDB and mmCIF files of macromolecules and CIF files of small molecules."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

SAME_PLACE_A = 0.4
"""An atom so near to its own image stands on a special position."""
HEAVIEST_WITH_GAUSSIANS = 98
NO_CELL = (1.0, 1.0, 1.0)


@dataclass
class Atoms:
    """The model of a crystal."""

    structure: Any
    """gemmi.Structure with one model; occupancies are those of crystallography, an atom on an axis counting its share."""
    macromolecule: bool
    """Whether solvent fills what the atoms leave."""
    remarks: list[str] = field(default_factory=list)


def from_pdb(content: bytes, library: Any, where: str) -> Atoms:
    """The first model of a PDB file. Raises InputError, naming ``where``, for one without cell, space group or usable atoms."""
    # Records have fixed columns: one sign for each byte.
    text = content.decode("latin-1").encode("ascii", "replace").decode()
    try:
        structure = library.read_pdb_string(text)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{where}: {_first_line(error)}") from None
    atoms = _checked(structure, library, where)
    lines = [line for line in text.splitlines() if line.startswith(("ATOM  ", "HETATM"))]
    short = sum(len(line.rstrip()) < 60 for line in lines)
    if short:
        atoms.remarks.append(
            f"{short} of {len(lines)} atom records end before occupancy or B factor; 1 and 20 A^2 stand for what is missing"
        )
    return atoms


def from_mmcif(block: Any, library: Any, where: str) -> Atoms:
    """The first model of an mmCIF block; raises InputError as ``from_pdb``."""
    try:
        structure = library.make_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{where}: {_first_line(error)}") from None
    return _checked(structure, library, where)


def from_small_molecule_cif(block: Any, library: Any, where: str) -> Atoms:
    """The sites of a small-molecule CIF block, whose occupancies are chemical; raises InputError as ``from_pdb``."""
    try:
        small = library.make_small_structure_from_block(block)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{where}: {_first_line(error)}") from None
    if small.spacegroup is None:
        raise InputError(f"{where}: the file has no space group that is known ({small.spacegroup_hm or 'none is named'})")
    small.setup_cell_images()
    small.change_occupancies_to_crystallographic()
    structure, chain = library.Structure(), library.Chain("A")
    structure.cell, structure.spacegroup_hm = small.cell, small.spacegroup.xhm()
    still = 0
    for number, site in enumerate(small.sites):
        place = site.fract.tolist()
        if not np.isfinite(place).all():
            raise InputError(f"{where}: the site {site.label} has no coordinates")
        residue, atom = library.Residue(), library.Atom()
        residue.name, residue.seqid = "UNK", library.SeqId(number + 1, " ")
        atom.name, atom.element, atom.occ = site.label, site.element, site.occ
        atom.pos, atom.b_iso = small.cell.orthogonalize(site.fract), 8 * np.pi**2 * site.u_iso
        if site.aniso.nonzero():
            u = _cartesian(np.array(site.aniso.as_mat33().tolist()), small.cell)
            atom.aniso = library.SMat33f(u[0, 0], u[1, 1], u[2, 2], u[0, 1], u[0, 2], u[1, 2])
            atom.b_iso = 8 * np.pi**2 * np.trace(u) / 3
        still += atom.b_iso == 0.0
        residue.add_atom(atom)
        chain.add_residue(residue)
    model = library.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_cell_images()
    _require_usable(structure, where)
    remarks = [f"{still} of {len(small.sites)} atoms have no displacement parameters and are taken to be at rest"] if still else []
    return Atoms(structure, False, remarks)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "the file is damaged"


def _cartesian(u: np.ndarray, cell: Any) -> np.ndarray:
    """U of Cartesian axes from U of a CIF, which refers to vectors of length a*, b*, c* along the axes of the cell."""
    reciprocal = cell.reciprocal()
    axes = np.array(cell.orth.mat.tolist()) * np.array([reciprocal.a, reciprocal.b, reciprocal.c])
    tensor: np.ndarray = axes @ u @ axes.T
    return tensor


def _checked(structure: Any, library: Any, where: str) -> Atoms:
    """One model of a macromolecule: copies by non-crystallographic symmetry made, special positions counted once."""
    remarks = []
    if len(structure) == 0:
        raise InputError(f"{where}: no atoms in the file")
    if len(structure) > 1:
        remarks.append(f"it holds {len(structure)} models; the first is used")
        for at in range(len(structure) - 1, 0, -1):
            del structure[at]
    copies = sum(not one.given for one in structure.ncs)
    if copies:
        structure.expand_ncs(library.HowToNameCopiedChain.Short)
        remarks.append(f"{copies} copies by non-crystallographic symmetry that the file does not list were added")
    structure.setup_cell_images()
    _require_usable(structure, where)
    shared = 0
    for found in structure[0].all():
        images = 1 + structure.cell.is_special_position(found.atom.pos, SAME_PLACE_A)
        if images > 1 and found.atom.occ * images > 1.001:
            found.atom.occ /= images
            shared += 1
    if shared:
        remarks.append(f"{shared} atoms on special positions were counted once, not once for each operation that leaves them in place")
    return Atoms(structure, True, remarks)


def _require_usable(structure: Any, where: str) -> None:
    """Raise InputError for a structure that is no crystal, or for atoms that cannot be counted."""
    if tuple(structure.cell.parameters[:3]) == NO_CELL or not structure.cell.is_crystal():
        raise InputError(f"{where}: the file has no unit cell (a CRYST1 record, or _cell)")
    if structure.find_spacegroup() is None:
        raise InputError(f"{where}: the file has no space group that is known ({structure.spacegroup_hm or 'none is named'})")
    number = 0
    for found in structure[0].all():
        number += 1
        atom, name = found.atom, f"the atom {found.atom.name} of {found.residue.name} {found.residue.seqid} in chain {found.chain.name}"
        if not 0 < atom.element.atomic_number <= HEAVIEST_WITH_GAUSSIANS:
            raise InputError(
                f"{where}: {name} is of no element that has a scattering factor ({atom.element.name}): name its element, or take it out"
            )
        if not np.isfinite([*atom.pos.tolist(), atom.b_iso, atom.occ]).all():
            raise InputError(f"{where}: {name} has a coordinate, B factor or occupancy that is no number")
        if atom.b_iso < 0.0:
            raise InputError(f"{where}: {name} has the B factor {atom.b_iso:g} A^2, and none may be negative")
    if number == 0:
        raise InputError(f"{where}: no atoms in the file")
