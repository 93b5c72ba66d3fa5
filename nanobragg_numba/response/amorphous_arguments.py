"""The table that the kernels of amorphous scattering read."""

from typing import Annotated, NamedTuple

import numpy as np

from nanobragg_numba.jit.entry_types import Doubles1, Doubles2

Places1 = Annotated[np.ndarray, "int32", 1]


class AmorphousTable(NamedTuple):
    """Structure factor F of a molecule over s = sin(theta) / lambda (1/m), a cubic through four points between any two."""

    s: Doubles1
    """(n,): the points, with two far below and two far above those given."""
    F: Doubles1
    """(n,): electrons."""
    pieces: Doubles2
    """(n, 8): for the piece above point i, a point of its own, the cubic's four coefficients in the distance from there, and the largest
    error of F squared over F, twice that of F: what is not given exactly below."""
    cells: Places1
    """The piece at the beginning of each of many equal cells from s = 0 on."""
    cells_per_s: float
    """Cells in 1/m."""
    crowded: bool
    """Whether there are cells in which more than one piece begins."""
    relative: float
    """The largest error of all else, relative to the square of F."""
    scales: tuple[float, float, float, float]
    """A pixel's sum times three of them over the fourth is its photons: Thomson cross section (m^2), fluence (1/m^2), molecules; steps."""
    plots_F: bool
    """Give F at each pixel in place of photons."""
