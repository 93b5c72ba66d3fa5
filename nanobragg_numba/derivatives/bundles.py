"""What the kernels of derivatives take together: pixels, gradients and changes, arrays to work in and their sizes."""

from typing import NamedTuple

from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Doubles3, Doubles4, Flags2, Numbers1, Numbers2, Whole1
from nanobragg_numba.kernels.reach.spots import Reach

from .flat_variables import Variables

PIXELS = 128
"""Pixels of a row that are worked on together on a CPU (gpu/derivative_code.py has another number)."""
ROWS = 25
"""Of the array of partial derivatives (step_derivatives.py)."""
WORK_ROWS = 25
"""Of the array of rays (chunk_geometry.py)."""
CHANGE_ROWS = 12
"""Of the array of changes, for each direction (tangent.py)."""

ALL_STEPS = -1


class Pixels(NamedTuple):
    """Which pixels there are."""

    columns: tuple[int, int]
    """Fast start and end."""
    mask: Flags2
    """(slow, fast): pixels computed."""
    first: int
    """Index of the pixel of the run's first sweep, or -1; it stands alone in its chunk, and so does the next."""
    leaving: int
    """Index of the pixel that left the table of structure factors (Q2), or -1."""
    reach: Reach
    """How far spots reach: steps farther off are left out. (A GPU computes them all.)"""


class Chunk(NamedTuple):
    """Neighbouring pixels of row ``slow``, from ``fast`` on."""

    slow: int
    fast: int
    pixels: int


class Turning(NamedTuple):
    """What the lattice of every step is turned from; or gradients with respect to it, or changes of it."""

    axes: Numbers1
    """(9,): a, b, c at no rotation (metres)."""
    spindle: Numbers1
    angles: Numbers1
    """(phi steps,): radians."""
    rotations: Numbers2
    """(domains, 9): mosaic rotations; (0, 9) for one domain that is not turned."""


class Gradients(NamedTuple):
    """Where the adjoint adds up; all but ``factors`` may be one row of an array with one for each block of pixels."""

    lattice: Numbers2
    """(steps, 9): with respect to each step's axes."""
    first_lattice: Numbers2
    """The same in the run's first sweep."""
    variables: Variables
    factors: Numbers1
    """With respect to the table of structure factors, in one row."""


class AdjointWork(NamedTuple):
    """Arrays that one thread of the adjoint works in."""

    partials: Numbers2
    """(ROWS, pixels), see step_derivatives.py."""
    rays: Numbers2
    """(WORK_ROWS, pixels), see chunk_geometry.py."""
    keep: Doubles1
    """1 where the resolution limit lets the pixel be computed, else 0."""
    places: Whole1
    """Where each structure factor comes from."""
    totals: Numbers2
    """(2, pixels): sums, and the image's gradient."""
    search: Doubles2
    """For the search of kernels/reach, and ..."""
    chosen: Whole1
    """... the steps that it finds for one source."""


class Changes(NamedTuple):
    """Directions of change, K of them, of what an image depends on."""

    lattice: Doubles3
    """(K, steps, 9)"""
    first_lattice: Doubles3
    variables: Variables
    """Arrays (K, n)."""
    factors: Doubles4
    """(K, h, k, l), or (K, 0, 0, 0) where they do not change."""


class TangentWork(NamedTuple):
    """Arrays that one thread of the tangent works in."""

    partials: Doubles2
    rays: Doubles2
    changes: Doubles3
    """(K, CHANGE_ROWS, pixels), see tangent.py."""
    keep: Doubles1
    places: Whole1
    sums: Doubles2
    """(2, pixels)."""
    search: Doubles2
    """For the search of kernels/reach, and ..."""
    chosen: Whole1
    """... the steps that it finds for one source."""
