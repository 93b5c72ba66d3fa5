"""The table that the kernels of amorphous scattering read."""

from typing import NamedTuple

from nanobragg_numba.jit.entry_types import Doubles1, Doubles2


class AmorphousTable(NamedTuple):
    """Structure factor F of a molecule over s = sin(theta) / lambda (1/m), a cubic through four points between any two."""

    s: Doubles1
    """(n,): the points, with two far below and two far above those given."""
    F: Doubles1
    """(n,): electrons."""
    pieces: Doubles2
    """(n, 9): for the piece above point i, the four points i - 1 to i + 2, F of each over the product of its distances from the other
    three, and the largest error of F squared over F, twice that of F: what is not given exactly below."""
    relative: float
    """The largest error of all else, relative to the square of F."""
    scales: tuple[float, float, float, float]
    """A pixel's sum times three of them over the fourth is its photons: Thomson cross section (m^2), fluence (1/m^2), molecules; steps."""
    plots_F: bool
    """Give F at each pixel in place of photons."""
