"""Structure factors of coordinates: the density of the atoms on a grid, Fourier transformed (gemmi), with bulk solvent and dispersion.

F(h) = A(h) + sum over elements of (f' + i f'') C(h), A the transform of the density with f0, C that of an element's atoms as points of one
electron that move as the atoms do. The densities are real, so that A(-h) = A(h)* and C(-h) = C(h)*: Friedel mates differ by f''. Only f'
and f'' depend on the wavelength.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.memory import require_memory

from .cells import Cell
from .coordinates import Atoms
from .dispersion import dispersion
from .sphere import sphere, squared_lengths

RATE = 2.0
"""Grid points along d_min: 2 RATE at least. With SPACING_A and CUTOFF, what keeps F within 5e-5 of the mean F of the sum over the atoms."""
SPACING_A = 0.75
"""Of the grid, at most."""
CUTOFF = 1e-8
"""Density (e/A^3) below which an atom ends."""
MASK_SPACING_A = 0.6
"""Of the solvent's mask, at most; and at most a third of d_min."""
FINEST_A, COARSEST_A = 0.2, 100.0
SHOWN = 3
"""Wavelengths named."""


class Solvent(NamedTuple):
    """A flat bulk solvent: k_sol exp(-B_sol s^2 / 4) times the transform of its mask; the defaults are those of gemmi's scaling."""

    k_sol: float = 0.35
    """Electrons per A^3."""
    B_sol: float = 46.0
    """A^2."""


class Calculated(NamedTuple):
    """Structure factors of P1."""

    hkl: np.ndarray
    """(n, 3): every reflection to the resolution, and 0 0 0."""
    F: np.ndarray
    """(wavelengths, n), complex, electrons per cell; one row without dispersion."""
    cell: Cell
    group: Any
    source: str


def calculate(atoms: Atoms, d_min: float, wavelengths_A: Sequence[float], solvent: Solvent | None, library: Any, where: str) -> Calculated:
    """The structure factors of ``atoms`` with d >= ``d_min`` (A), those at exactly ``d_min`` too.

    ``wavelengths_A`` give f' and f''; none: neither. ``solvent``: None for none. Raises InputError, naming ``where``, for a resolution
    that makes no sense, or a grid that does not fit in memory.
    """
    if not FINEST_A <= d_min <= COARSEST_A:
        raise InputError(f"{where}: the resolution must be from {FINEST_A:g} to {COARSEST_A:g} A, not {d_min:g}")
    structure = atoms.structure
    model, a_cell = structure[0], structure.cell
    a, b, c, alpha, beta, gamma = a_cell.parameters
    cell = (a, b, c, alpha, beta, gamma)
    rate = max(RATE, d_min / (2 * SPACING_A))
    points = a_cell.volume * (2 * rate / d_min) ** 3
    require_memory(int(30 * points), f"{where}: the density to {d_min:g} A")
    found = [one.atom for one in model.all()]
    hkl = np.concatenate([np.zeros((1, 3), np.int64), sphere(cell, d_min)])
    s2 = squared_lengths(hkl, cell)

    density = library.DensityCalculatorX()
    density.d_min, density.rate, density.cutoff = d_min, rate, CUTOFF
    density.set_grid_cell_and_spacegroup(structure)
    density.set_refmac_compatible_blur(model)
    density.put_model_density_on_grid(model)
    unblur = np.exp(density.blur * s2 / 4)
    F = _transform(density.grid, hkl, library) * unblur
    if solvent is not None:
        F += solvent.k_sol * np.exp(-solvent.B_sol * s2 / 4) * _transform(_mask(structure, model, d_min, library), hkl, library)
    F = np.repeat(F[None], max(len(wavelengths_A), 1), axis=0)
    for element, corrections in dispersion((atom.element for atom in found), wavelengths_A, library, atoms.remarks).items():
        density.grid.fill(0.0)
        for atom in found:
            if atom.element.name == element:
                density.add_c_contribution_to_grid(atom, 1.0)
        density.grid.symmetrize_sum()
        F += corrections[:, None] * (_transform(density.grid, hkl, library) * unblur)
    return Calculated(hkl, F, cell, structure.find_spacegroup(), _source(len(found), d_min, wavelengths_A, solvent))


def _transform(grid: Any, hkl: np.ndarray, library: Any) -> np.ndarray:
    """The Fourier transform of a real grid of the whole cell at ``hkl`` (n, 3)."""
    half = library.transform_map_to_f_phi(grid, half_l=True)
    values = np.asarray(half.array)
    mates = hkl[:, 2] < 0
    upper = np.where(mates[:, None], -hkl, hkl)
    h, k, l = (upper % (half.nu, half.nv, grid.nw)).T
    found = values[h, k, l].astype(np.complex128)
    transform: np.ndarray = np.where(mates, found.conj(), found)
    return transform


def _mask(structure: Any, model: Any, d_min: float, library: Any) -> Any:
    """The grid of what the atoms leave to the solvent: 1 there, 0 elsewhere."""
    grid = library.FloatGrid()
    grid.setup_from(structure, spacing=min(MASK_SPACING_A, d_min / 3))
    library.SolventMasker(library.AtomicRadiiSet.Refmac).put_mask_on_float_grid(grid, model)
    return grid


def _source(number: int, d_min: float, wavelengths_A: Sequence[float], solvent: Solvent | None) -> str:
    """How they were made, in words."""
    parts = [f"{number} atoms to {d_min:g} A"]
    at = ", ".join(f"{wavelength:g}" for wavelength in wavelengths_A[:SHOWN]) + (", ..." if len(wavelengths_A) > SHOWN else "")
    parts.append(f"f' and f'' at {at} A" if wavelengths_A else "without dispersion")
    parts.append("no bulk solvent" if solvent is None else f"bulk solvent k_sol {solvent.k_sol:g} e/A^3, B_sol {solvent.B_sol:g} A^2")
    return ", ".join(parts)
