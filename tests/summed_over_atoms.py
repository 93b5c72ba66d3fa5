"""Structure factors by their definition: the sum over every atom of a cell, in numpy; and the files that hold such atoms.

Scattering factors are four Gaussians and a constant (gemmi's copy of International Tables C 6.1.1.4), f' and f'' gemmi's.
"""

from dataclasses import dataclass

import gemmi
import numpy as np
from space_groups import axes_of, operations, scattering_vectors


@dataclass
class Site:
    """An atom: element, fractional coordinates, B (A^2), occupancy of the site, and U (3, 3) of Cartesian axes in place of B."""

    element: str
    place: tuple[float, float, float]
    B: float = 20.0
    occupancy: float = 1.0
    U: np.ndarray | None = None


def images(place, name):
    """All places of a site in the cell, each once, and the rotation that leads there."""
    found = []
    for R, t in zip(*operations(name), strict=True):
        x = R @ place + t
        if not any(np.abs(x - y - np.rint(x - y)).max() < 1e-4 for y, _ in found):
            found.append((x, R))
    return found


def by_definition(sites, cell, name, hkl, wavelength=None):
    """F(hkl), complex."""
    s2 = (scattering_vectors(hkl, cell) ** 2).sum(axis=1)
    total = np.zeros(len(hkl), complex)
    for site in sites:
        element = gemmi.Element(site.element)
        table, Z = element.it92, element.atomic_number
        factor = table.c + sum(a * np.exp(-b * s2 / 4) for a, b in zip(table.a, table.b, strict=True)) + 0j
        if wavelength is not None and Z > 2:
            real, imaginary = gemmi.cromer_liberman(Z, gemmi.hc / wavelength)
            factor += real + 1j * imaginary
        for x, R in images(np.array(site.place), name):
            if site.U is None:
                smeared = np.exp(-site.B * s2 / 4)
            else:
                q = scattering_vectors(hkl @ R, cell)
                smeared = np.exp(-2 * np.pi**2 * np.einsum("ni,ij,nj->n", q, site.U, q))
            total += site.occupancy * factor * smeared * np.exp(2j * np.pi * (hkl @ x))
    return total


def pdb_text(sites, cell, name):
    """A PDB file of the sites."""
    lines = ["CRYST1%9.3f%9.3f%9.3f%7.2f%7.2f%7.2f %-11s" % (*cell, name)]
    for number, site in enumerate(sites, 1):
        x, y, z = axes_of(cell) @ site.place
        start = f"{number:5d} {site.element.upper():>2s}   UNK A{number:4d}    "
        lines.append(f"HETATM{start}{x:8.3f}{y:8.3f}{z:8.3f}{site.occupancy:6.2f}{site.B:6.2f}          {site.element.upper():>2s}")
        if site.U is not None:
            u = np.rint(1e4 * site.U[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]).astype(int)
            lines.append(f"ANISOU{start[:-2]}" + "".join(f"{value:7d}" for value in u) + f"      {site.element.upper():>2s}")
    return "\n".join([*lines, "END", ""])


def as_in_pdb(sites, cell):
    """The sites with the digits that a PDB file keeps."""
    rounded = []
    for site in sites:
        place = np.linalg.solve(axes_of(cell), np.round(axes_of(cell) @ site.place, 3))
        U = None if site.U is None else np.rint(1e4 * site.U) / 1e4
        rounded.append(Site(site.element, tuple(place), round(site.B, 2), site.occupancy, U))
    return rounded


def some_sites(number, B=20.0, anisotropic=False, seed=1):
    """Light atoms anywhere."""
    rng = np.random.default_rng(seed)
    sites = []
    for n in range(number):
        root = 0.4 * rng.normal(size=(3, 3))
        U = B / (8 * np.pi**2) * (np.eye(3) + root @ root.T) if anisotropic else None
        sites.append(Site("CNOS"[n % 4], tuple(rng.random(3)), B, 1.0, U))
    return sites
