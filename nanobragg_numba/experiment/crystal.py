"""The lattice: direct and reciprocal axes from a cell or a matrix, and the crystal's size in cells."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.kernels.random_state import RandomState
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.dual_functions import clipped, cos, sin, sqrt, value_of
from nanobragg_numba.maths.vectors3 import Vector, cross, dot, magnitude, rescale, rotate_xyz, scale

from .modes import mode_of
from .mosaic import random_missetting
from .parameters import Compat, Crystal

SLACK = 1.0000001
OF_TENSORS = ("gauss", "tophat")
"""Shapes whose spots a tensor of numbers of cells can describe."""
LEAST_EIGENVALUE = 1e-9
"""Of such a tensor, relative to its largest: with less, rounding decides how far spots reach."""


@dataclass(frozen=True)
class Lattice:
    """Axes in laboratory coordinates at phi = 0; lengths in A, angles in radians."""

    a: Vector
    """Direct axis a (A)."""
    b: Vector
    """Direct axis b (A)."""
    c: Vector
    """Direct axis c (A)."""
    a_star: Vector
    """Reciprocal axis a* (1/A), without 2 pi."""
    b_star: Vector
    """Reciprocal axis b* (1/A)."""
    c_star: Vector
    """Reciprocal axis c* (1/A)."""
    volume: float
    """Of the unit cell (A^3)."""
    cell: tuple[float, float, float, float, float, float]
    """a, b, c (A), alpha, beta, gamma (radians)."""
    reciprocal_cell: tuple[float, float, float, float, float, float]
    """a*, b*, c* (1/A), alpha*, beta*, gamma* (radians)."""
    cell_report: tuple[str, ...]
    """The reference's lines about odd angles of the cell that was given, which come before it reads a matrix."""
    report: tuple[str, ...]
    """The reference's lines about missetting and odd angles."""


@dataclass(frozen=True)
class CrystalSize:
    """How large the crystal is."""

    cells: tuple[float, float, float]
    """Unit cells along a, b, c."""
    widths: tuple[float, float, float]
    """Full width along a, b, c (metres); of a tensor N of numbers of cells the lengths of Na a + Nab b + Nac c, ..."""
    off_diagonal: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Nab, Nac, Nbc."""

    @property
    def tensor(self) -> np.ndarray:
        """(3, 3): the symmetric tensor of numbers of cells."""
        (na, nb, nc), (ab, ac, bc) = self.cells, self.off_diagonal
        return np.array([[na, ab, ac], [ab, nb, bc], [ac, bc, nc]])


class _Angles:
    """Three angles from sines and cosines, clipped as the reference does, with its warning where far off."""

    def __init__(self, sines: tuple[float, ...], cosines: tuple[float, ...], title: str, names: tuple[str, ...]):
        self.report: list[str] = []
        if any(abs(value) > SLACK for value in (*sines, *cosines)):
            self.report.append(f"WARNING: oddball {title}:")
            for i in range(3):
                self.report.append(c_format(f"{names[2 * i]} = %.25g", value_of(sines[i])))
                self.report.append(c_format(f"{names[2 * i + 1]} = %.25g", value_of(cosines[i])))
        self.sines = tuple(clipped(value, -1.0, 1.0) for value in sines)
        self.cosines = tuple(1.0 if value * value > 1.0 else value for value in cosines)
        alpha, beta, gamma = (math.atan2(value_of(s), value_of(c)) for s, c in zip(self.sines, self.cosines, strict=True))
        self.triple: Vector = (alpha, beta, gamma)


DIRECT_NAMES = ("sin_alpha", "cos_alpha", "sin_beta ", "cos_beta ", "sin_gamma", "cos_gamma")
RECIPROCAL_NAMES = (
    "sin(alpha_star)", "cos(alpha_star)", "sin(beta_star) ", "cos(beta_star) ", "sin(gamma_star)", "cos(gamma_star)",
)  # fmt: skip
FIRST_RECIPROCAL_NAMES = (*RECIPROCAL_NAMES[:5], "cos9gamma_star)")


def axes_in_default_orientation(lengths: Any, cosines: Any, sin_g: Any, c_z: Any) -> tuple[Vector, Vector, Vector]:
    """a* along x, b* in the xy plane, c* with the given z component, from reciprocal lengths and angles.

    Operators only, so it also serves tensors.
    """
    a_s, b_s, c_s = lengths
    cos_a, cos_b, cos_g = cosines
    return (
        (a_s, 0.0, 0.0),
        (b_s * cos_g, b_s * sin_g, 0.0),
        (c_s * cos_b, c_s * (cos_a - cos_b * cos_g) / sin_g, c_z),
    )


def _axes_from_cell(
    cell: tuple[float, ...], compat: Compat, beside_matrix: bool
) -> tuple[tuple[Vector, Vector, Vector], tuple[float, float, float], float, list[str]]:
    """Reciprocal axes in the default orientation (a* along x, b* in the xy plane), edges, volume, report.

    The reference's c* has a wrong z component unless sin(gamma) = sin(gamma*), so that the angles of a triclinic
    cell come out a little off (Q13); "spec" takes V* / (a* b* sin(gamma*)), which is 1/c. Of an impossible cell
    ``beside_matrix`` "c" uses edges and volume, as the reference does.
    """
    a, b, c = cell[:3]
    if not (a > 0.0 and math.isfinite(value_of(a))):
        raise InputError(f"Crystal.cell (-cell): the edge a must be positive, not {value_of(a):g} A")
    b = a if b <= 0.0 else b
    c = a if c <= 0.0 else c
    alpha, beta, gamma = (math.pi / 2 if angle / RTD <= 0.0 else angle / RTD for angle in cell[3:])
    half = (alpha + beta + gamma) / 2
    skew = sin(half) * sin(half - alpha) * sin(half - beta) * sin(half - gamma)
    volume = 2.0 * a * b * c * sqrt(abs(skew))
    v_star = 1.0 / volume if volume else math.inf
    sines = sin(alpha), sin(beta), sin(gamma)
    # Angles that cannot meet in a corner leave a skew that is zero or negative, up to rounding.
    positive = all(sine > 0.0 for sine in sines)
    closes = (skew > 1e-12 and positive) or (beside_matrix and not mode_of(compat).spec)
    if not (closes and math.isfinite(value_of(volume)) and math.isfinite(value_of(v_star))):
        raise InputError(
            f"Crystal.cell (-cell): {' '.join(f'{value_of(value):g}' for value in cell)} is no unit cell: it encloses no volume"
        )
    a_s, b_s, c_s = b * c * sines[0] * v_star, c * a * sines[1] * v_star, a * b * sines[2] * v_star
    report: list[str] = []
    if not positive:
        lengths = (value_of(a_s), value_of(b_s), value_of(c_s))
        report.append(c_format("WARNING: impossible reciprocal cell lengths: %g %g %g", *lengths))
        a_s, b_s, c_s = abs(a_s), abs(b_s), abs(c_s)
    cosines = cos(alpha), cos(beta), cos(gamma)
    angles = _Angles(
        (a * v_star / b_s / c_s, b * v_star / a_s / c_s, c * v_star / a_s / b_s),
        (
            (cosines[1] * cosines[2] - cosines[0]) / (sines[1] * sines[2]),
            (cosines[2] * cosines[0] - cosines[1]) / (sines[2] * sines[0]),
            (cosines[0] * cosines[1] - cosines[2]) / (sines[0] * sines[1]),
        ),
        "reciprocal cell angles",
        FIRST_RECIPROCAL_NAMES,
    )
    sin_g = angles.sines[2]
    c_z = v_star / (a_s * b_s * sin_g) if mode_of(compat).spec else c_s * volume / (a * b * c * sin_g)
    axes = axes_in_default_orientation((a_s, b_s, c_s), angles.cosines, sin_g, c_z)
    return axes, (a, b, c), volume, [*report, *angles.report]


def axes_from_matrix(matrix: Any, wavelength: Any) -> tuple[Vector, Vector, Vector]:
    """Reciprocal axes (1/A): the columns of MOSFLM's matrix, the wavelength (metres) taken out.

    ``matrix``: three rows of three numbers, floats or tensors.
    """
    factor = 1e-10 / wavelength
    a_star, b_star, c_star = (scale((x, y, z), factor) for x, y, z in zip(*matrix, strict=True))
    return a_star, b_star, c_star


def _rows(matrix: Any) -> tuple[Vector, Vector, Vector]:
    """The rows of a (3, 3) array, or three vectors."""
    rows = matrix.tolist() if isinstance(matrix, np.ndarray) else matrix
    x, y, z = (tuple(row) for row in rows)
    return x, y, z


def _product(rows: tuple[Vector, Vector, Vector], v: Vector) -> Vector:
    return dot(rows[0], v), dot(rows[1], v), dot(rows[2], v)


def reciprocal_axes(a: Vector, b: Vector, c: Vector) -> tuple[Vector, Vector, Vector]:
    """a*, b*, c* of real axes, or the other way round."""
    bc = cross(b, c)
    inverse = 1.0 / dot(a, bc)
    return scale(bc, inverse), scale(cross(c, a), inverse), scale(cross(a, b), inverse)


def derive_lattice(crystal: Crystal, wavelength: float, state: RandomState, compat: Compat) -> Lattice:
    """The lattice at phi = 0; ``state`` must be seeded for a random missetting.

    A matrix gives the orientation; a cell given too then sets the lengths and the volume, as in the reference.
    Raises InputError for a cell or a matrix that encloses no volume.
    """
    if crystal.cell is None and crystal.mosflm_matrix is None and crystal.real_space_matrix is None:
        raise InputError("the crystal has neither a cell nor a matrix (-cell or -mat)")
    cell_report: list[str] = []
    report: list[str] = []
    edges: tuple[float, float, float] | None = None
    volume = 0.0
    if crystal.real_space_matrix is not None:
        stars = reciprocal_axes(*_rows(crystal.real_space_matrix))
    elif crystal.cell is not None:
        stars, edges, volume, cell_report = _axes_from_cell(crystal.cell, compat, crystal.mosflm_matrix is not None)
    if crystal.mosflm_matrix is not None and crystal.real_space_matrix is None:
        stars = axes_from_matrix(_rows(crystal.mosflm_matrix), wavelength)
    if crystal.misset_deg is not None:
        if crystal.misset_deg == "random":
            misset = random_missetting(state, compat)
            report.append(c_format("random orientation misset angles: %f %f %f deg", *(angle * RTD for angle in misset)))
        else:
            x, y, z = crystal.misset_deg
            misset = (x / RTD, y / RTD, z / RTD)
        stars = (rotate_xyz(stars[0], *misset), rotate_xyz(stars[1], *misset), rotate_xyz(stars[2], *misset))
    if crystal.orientation is not None:
        rows = _rows(crystal.orientation)
        stars = (_product(rows, stars[0]), _product(rows, stars[1]), _product(rows, stars[2]))
    a_star, b_star, c_star = stars
    ab, bc, ca = cross(a_star, b_star), cross(b_star, c_star), cross(c_star, a_star)
    v_star = dot(a_star, bc)
    if edges is not None:
        bc, ca, ab = rescale(bc, edges[0] / volume), rescale(ca, edges[1] / volume), rescale(ab, edges[2] / volume)
        v_star = 1.0 / volume
    volume = 1.0 / v_star
    a, b, c = scale(bc, volume), scale(ca, volume), scale(ab, volume)
    a_star, b_star, c_star = scale(cross(b, c), v_star), scale(cross(c, a), v_star), scale(cross(a, b), v_star)
    la, lb, lc = magnitude(a), magnitude(b), magnitude(c)
    las, lbs, lcs = magnitude(a_star), magnitude(b_star), magnitude(c_star)
    angles = _Angles(
        (las * volume / lb / lc, lbs * volume / la / lc, lcs * volume / la / lb),
        (dot(b, c) / lb / lc, dot(a, c) / la / lc, dot(a, b) / la / lb),
        "cell angles",
        DIRECT_NAMES,
    )
    star_angles = _Angles(
        (la * v_star / lbs / lcs, lb * v_star / las / lcs, lc * v_star / las / lbs),
        (dot(b_star, c_star) / lbs / lcs, dot(a_star, c_star) / las / lcs, dot(a_star, b_star) / las / lbs),
        "reciprocal cell angles",
        RECIPROCAL_NAMES,
    )
    return Lattice(
        a, b, c, a_star, b_star, c_star, volume,
        (la, lb, lc, *angles.triple), (las, lbs, lcs, *star_angles.triple),
        tuple(cell_report), (*report, *angles.report, *star_angles.report),
    )  # fmt: skip


def crystal_size(crystal: Crystal, lattice: Lattice, size: tuple[float, float, float]) -> CrystalSize:
    """Cells along each axis from ``size`` (metres; where positive) or ``crystal.n_cells``; at least one. And what is off the diagonal."""
    cells, widths = [], []
    for axis, given, full in zip((lattice.a, lattice.b, lattice.c), crystal.n_cells, size, strict=True):
        length = magnitude(scale(axis, 1e-10))
        n = float(math.ceil(full / value_of(length))) if full > 0 else given * 1.0
        n = max(n, 1.0)
        cells.append(n)
        widths.append(length * n)
    ab, ac, bc = (n * 1.0 for n in crystal.n_cells_off_diagonal)
    if any(value_of(n) != 0.0 for n in (ab, ac, bc)):
        a, b, c = (scale(axis, 1e-10) for axis in (lattice.a, lattice.b, lattice.c))
        rows = (cells[0], ab, ac), (ab, cells[1], bc), (ac, bc, cells[2])
        widths = [magnitude(_sum(scale(a, row[0]), scale(b, row[1]), scale(c, row[2]))) for row in rows]
    return CrystalSize((cells[0], cells[1], cells[2]), (widths[0], widths[1], widths[2]), (ab, ac, bc))


def _sum(a: Vector, b: Vector, c: Vector) -> Vector:
    return a[0] + b[0] + c[0], a[1] + b[1] + c[1], a[2] + b[2] + c[2]


def require_tensor(crystal: Crystal, size: CrystalSize, compat: Compat) -> None:
    """Raise InputError where numbers of cells off the diagonal (``crystal.n_cells_off_diagonal``) have no place or meaning."""
    if not any(crystal.n_cells_off_diagonal):
        return
    name = "Crystal.n_cells_off_diagonal (-N_cross)"
    if not mode_of(compat).spec:
        raise InputError(f"{name} has no meaning in compat={compat!r}; use compat='spec' (-compat spec)")
    if crystal.shape not in OF_TENSORS:
        raise InputError(f"{name} is for gauss and tophat spots (-gauss_xtal, -tophat_spots), not for a {crystal.shape} crystal")
    if any(width > 0.0 for width in crystal.size_mm):
        raise InputError(f"{name} needs numbers of cells beside it, n_cells (-N), and not Crystal.size_mm (-xtal_size, -samplesize)")
    if not is_positive_definite(size.tensor):
        rows = "; ".join(" ".join(f"{n:g}" for n in row) for row in size.tensor)
        raise InputError(f"{name} and n_cells (-N) must make a positive definite tensor of numbers of cells, not {rows}")


def is_positive_definite(tensors: np.ndarray) -> np.ndarray:
    """Of symmetric tensors (..., 3, 3): whether all eigenvalues are positive, the least not below LEAST_EIGENVALUE of the largest."""
    found = np.linalg.eigvalsh(tensors)
    return np.asarray(found[..., 0] > LEAST_EIGENVALUE * found[..., -1])
