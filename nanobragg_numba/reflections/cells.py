"""Unit cells: their lengths in reciprocal space, and whether two agree."""

import numpy as np

from nanobragg_numba.errors import InputError

Cell = tuple[float, float, float, float, float, float]

LENGTH_TOLERANCE = 0.01
"""Relative difference of edges up to which two cells are taken for one crystal's."""
ANGLE_TOLERANCE_DEG = 1.0
"""The same of angles."""


def completed(cell: Cell) -> Cell:
    """The cell with what is zero or less filled in as -cell has it: lengths copy a, angles are 90."""
    a, b, c, *angles = cell
    alpha, beta, gamma = (90.0 if angle <= 0.0 else angle for angle in angles)
    return a, a if b <= 0.0 else b, a if c <= 0.0 else c, alpha, beta, gamma


def cell_of_axes(axes: np.ndarray) -> Cell:
    """Lengths, and angles in degrees, of the rows a, b, c of ``axes`` (3, 3)."""
    a, b, c = np.linalg.norm(axes, axis=1).tolist()
    cosines = (axes[1] @ axes[2] / (b * c), axes[2] @ axes[0] / (c * a), axes[0] @ axes[1] / (a * b))
    alpha, beta, gamma = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).tolist()
    return a, b, c, alpha, beta, gamma


def agree(one: Cell, other: Cell) -> bool:
    """Whether each edge is within LENGTH_TOLERANCE of the other's, and each angle within ANGLE_TOLERANCE_DEG."""
    edges = all(abs(x - y) <= LENGTH_TOLERANCE * max(x, y) for x, y in zip(one[:3], other[:3], strict=True))
    return edges and all(abs(x - y) <= ANGLE_TOLERANCE_DEG for x, y in zip(one[3:], other[3:], strict=True))


def shown_cell(cell: Cell) -> str:
    """The six numbers in a line."""
    return " ".join(f"{value:.6g}" for value in cell)


def require_agreement(given: Cell, flag: str, found: Cell, where: str) -> None:
    """Raise InputError, showing both, if the cell of ``flag`` is not that found in the file that ``where`` names."""
    if not agree(given, found):
        raise InputError(
            f"{where}: its cell {shown_cell(found)} is not that of {flag}, {shown_cell(given)}: they differ by more than "
            f"{100 * LENGTH_TOLERANCE:g} % in a length or {ANGLE_TOLERANCE_DEG:g} degree in an angle"
        )
