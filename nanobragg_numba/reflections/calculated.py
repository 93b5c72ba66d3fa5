"""Structure factors of coordinates: the density of the atoms on a grid, Fourier transformed (gemmi), with bulk solvent and dispersion.

F(h) = A(h) + i B(h), A the transform of the density with f0 + f', B that with f''. Both densities are real, so that of the Friedel mate
F(-h) = A(h)* + i B(h)*: the two differ where B is not zero.
"""

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
    """(n,), complex, electrons per cell."""
    cell: Cell
    group: Any
    source: str


def calculate(atoms: Atoms, d_min: float, wavelength_A: float | None, solvent: Solvent | None, library: Any, where: str) -> Calculated:
    """The structure factors of ``atoms`` with d >= ``d_min`` (A), those at exactly ``d_min`` too.

    ``wavelength_A`` gives f' and f''; None: neither. ``solvent``: None for none. Raises InputError, naming ``where``, for a resolution
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
    corrections = dispersion((atom.element for atom in found), wavelength_A, library, atoms.remarks)
    hkl = np.concatenate([np.zeros((1, 3), np.int64), sphere(cell, d_min)])
    s2 = squared_lengths(hkl, cell)

    density = library.DensityCalculatorX()
    density.d_min, density.rate, density.cutoff = d_min, rate, CUTOFF
    density.set_grid_cell_and_spacegroup(structure)
    for atom in found:
        density.addends.set(atom.element, corrections[atom.element.name].real)
    density.set_refmac_compatible_blur(model)
    density.put_model_density_on_grid(model)
    unblur = np.exp(density.blur * s2 / 4)
    F = _transform(density.grid, hkl, library) * unblur
    if solvent is not None:
        F += solvent.k_sol * np.exp(-solvent.B_sol * s2 / 4) * _transform(_mask(structure, model, d_min, library), hkl, library)
    if any(correction.imaginary for correction in corrections.values()):
        density.grid.fill(0.0)
        for atom in found:
            density.add_c_contribution_to_grid(atom, corrections[atom.element.name].imaginary)
        density.grid.symmetrize_sum()
        F += 1j * (_transform(density.grid, hkl, library) * unblur)
    return Calculated(hkl, F, cell, structure.find_spacegroup(), _source(len(found), d_min, wavelength_A, solvent))


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


def _source(number: int, d_min: float, wavelength_A: float | None, solvent: Solvent | None) -> str:
    """How they were made, in words."""
    parts = [f"{number} atoms to {d_min:g} A"]
    parts.append("without dispersion" if wavelength_A is None else f"f' and f'' at {wavelength_A:g} A")
    parts.append("no bulk solvent" if solvent is None else f"bulk solvent k_sol {solvent.k_sol:g} e/A^3, B_sol {solvent.B_sol:g} A^2")
    return ", ".join(parts)
