"""Tables of structure factors written to files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors
from nanobragg_numba.files import hkl as hkl_file
from nanobragg_numba.files.output import require_writable, write_whole
from nanobragg_numba.maths.torch_values import is_tensor

from .gemmi_library import gemmi
from .sphere import ABSENT, LISTED, ON_THE_EDGE, squared_lengths

CALLER = "StructureFactors.write"


def write(factors: StructureFactors, path: str) -> None:
    """Write ``factors`` to ``path``, a text list or an MTZ file as its name says."""
    if is_tensor(factors.table):
        raise InputError(f"{CALLER} {path}: the table is a tensor: make it an array first")
    name = path.lower()
    if name.endswith(".hkl"):
        write_whole(path, CALLER, [b"".join(hkl_file.lines(factors))])
    elif name.endswith(".mtz"):
        _write_mtz(factors, path)
    else:
        raise InputError(f"{CALLER} {path}: the name must end in .hkl or .mtz")


def write_merged(
    path: str, hkl: np.ndarray, amplitudes: np.ndarray, sigmas: np.ndarray, cell: tuple[float, ...], space_group: object
) -> None:
    """Write an MTZ file of F and SIGF on the asymmetric unit of ``space_group``, a symbol or gemmi's SpaceGroup: ``hkl`` (n, 3),
    ``amplitudes`` and ``sigmas`` (n,); a sigma that is not finite is missing. Raises InputError where the file cannot be written."""
    library = gemmi(f"{CALLER} {path}")
    require_writable(path, CALLER)
    mtz = library.Mtz(with_base=True)
    mtz.title = "refined structure factors"
    mtz.spacegroup = library.SpaceGroup(space_group) if isinstance(space_group, str) else space_group
    mtz.set_cell_for_all(library.UnitCell(*cell))
    mtz.add_dataset("refined")
    for label, kind in (("F", "F"), ("SIGF", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, amplitudes, np.where(np.isfinite(sigmas), sigmas, np.nan)]).astype(np.float32))
    _put(mtz, path)


def known(factors: StructureFactors) -> tuple[np.ndarray, np.ndarray]:
    """The reflections that are listed, or absent within their resolution, (n, 3), without a status all, and their amplitudes (n,)."""
    inside = factors.only_table[:-1, :-1, :-1]
    low = (factors.h_min, factors.k_min, factors.l_min)
    if factors.status is None or factors.cell is None:
        return np.argwhere(np.ones(inside.shape, bool)) + low, inside.ravel()
    listed, absent = factors.status == LISTED, factors.status == ABSENT
    finest = squared_lengths(np.argwhere(listed) + low, factors.cell).max(initial=0.0)
    absent[absent] = squared_lengths(np.argwhere(absent) + low, factors.cell) <= finest * (1 + ON_THE_EDGE)
    return np.argwhere(listed | absent) + low, inside[listed | absent]


def _write_mtz(factors: StructureFactors, path: str) -> None:
    where = f"{CALLER} {path}"
    if factors.cell is None:
        raise InputError(f"{where}: an MTZ file needs the unit cell, and StructureFactors.cell is None")
    library = gemmi(where)
    require_writable(path, CALLER)
    hkl, amplitudes = known(factors)
    # One of each Friedel pair: that with the first index that is not 0 above 0, l first, as in the asymmetric unit of P1.
    h, k, l = hkl.T
    upper = (l > 0) | ((l == 0) & ((h > 0) | ((h == 0) & (k >= 0))))
    half = np.where(upper[:, None], hkl, -hkl)
    unique, row = np.unique(half, axis=0, return_inverse=True)
    pair = np.full((2, len(unique)), np.nan)
    pair[np.where(upper, 0, 1), row.ravel()] = amplitudes
    plus, minus = pair
    minus = np.where((unique == 0).all(axis=1), plus, minus)
    mtz = library.Mtz(with_base=True)
    mtz.title = "structure factors of P1"
    mtz.spacegroup = library.SpaceGroup("P 1")
    mtz.set_cell_for_all(library.UnitCell(*factors.cell))
    mtz.add_dataset("factors")
    same = np.array_equal(plus, minus)
    for label, kind in (("F", "F"),) if same else (("F(+)", "G"), ("F(-)", "G")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([unique, plus] if same else [unique, plus, minus]).astype(np.float32))
    _put(mtz, path)


def _put(mtz: Any, path: str) -> None:
    with TemporaryDirectory() as folder:
        beside = Path(folder) / "table.mtz"
        mtz.write_to_file(str(beside))
        write_whole(path, CALLER, [beside.read_bytes()])
