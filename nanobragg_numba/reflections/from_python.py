"""``StructureFactors.from_mtz``, ``from_cif`` and ``from_model``: what is to be told of a file becomes a warning."""

import os
import warnings
from numbers import Real
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors
from nanobragg_numba.files.reading import read_bytes

from .calculated import Solvent
from .cells import Cell
from .columns import OF_PYTHON
from .opening import NATURES, Kind, content_kind, unpacked
from .reading import Wishes, read

Path = str | os.PathLike[str]


def from_mtz(path: Path, columns: str | None, d_min: float | None, default_F: float, cell: Cell | None) -> StructureFactors:
    return _read(path, ("mtz",), "from_mtz", Wishes(columns, d_min, default_F=default_F, cell=cell, names=OF_PYTHON))


def from_cif(path: Path, columns: str | None, d_min: float | None, default_F: float) -> StructureFactors:
    return _read(path, ("cif",), "from_cif", Wishes(columns, d_min, default_F=default_F, names=OF_PYTHON))


def from_model(path: Path, d_min: float, wavelength_A: Any, solvent: bool | tuple[float, float], default_F: float) -> StructureFactors:
    wavelengths = () if wavelength_A is None else tuple(np.atleast_1d(np.asarray(wavelength_A, np.float64)).tolist())
    if wavelength_A is not None and not (wavelengths and all(0.0 < one < np.inf for one in wavelengths)):
        raise InputError(f"from_model: wavelength_A must be positive, not {wavelength_A}")
    wanted: Solvent | bool = True
    if isinstance(solvent, bool):
        wanted = solvent
    else:
        numbers = np.asarray(solvent, dtype=object).ravel().tolist()
        if len(numbers) != 2 or not all(isinstance(one, Real) and 0.0 <= float(one) < np.inf for one in numbers):
            raise InputError(f"from_model: solvent must be True, False, or k_sol and B_sol, neither negative, not {solvent!r}")
        wanted = Solvent(float(numbers[0]), float(numbers[1]))
    return _read(path, ("pdb", "cif"), "from_model", Wishes(None, d_min, wanted, wavelengths, default_F, names=OF_PYTHON))


def _read(path: Path, kinds: tuple[Kind, ...], caller: str, wishes: Wishes) -> StructureFactors:
    name = os.fspath(path)
    where = f"{caller} {name}"
    kind = content_kind(unpacked(read_bytes(name, caller), where))
    if kind not in kinds:
        raise InputError(f"{where}: not {' or '.join(NATURES[one] for one in kinds)}")
    factors, remarks, _ = read(name, kind, caller, wishes)
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=4)
    return factors
