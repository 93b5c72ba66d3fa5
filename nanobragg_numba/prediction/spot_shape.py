"""The crystal's shape transform around a reflection, with numpy: its metric, its share of the peak, and how far it reaches.

Everything is in offsets u = (dh, dk, dl) from the reflection. The radius in widths of a spot is R^2 = u^T D u; the formulas are those of
``kernels/formulas.py: lattice_factor``, divided by their peak and squared.
"""

import math

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.maths.constants import GAUSSIAN_END, GAUSSIAN_WIDTH, TOPHAT_EDGE

BOX_RADIUS = {"square": 2.0, "round": 2.0, "gauss": math.sqrt(GAUSSIAN_WIDTH / 2.0 * math.log(1000.0)), "tophat": math.sqrt(TOPHAT_EDGE)}
"""Half a box, in widths of a spot. Gauss: the ellipse of that radius holds 0.999 of the plane Gaussian exp(-2 R^2 / 0.63). Tophat: all.
Square and round spots have tails that fall with a power of R, and no end."""
SMALL = 1e-9


def spot_metric(x: Experiment) -> np.ndarray:
    """(3, 3): the matrix D, ``Crystal.fudge`` included. Raises InputError where spots have no width.

    D = N^2 of the tensor of numbers of cells, which is diag(Na, Nb, Nc) where nothing else is given; of Gaussian and flat spots in the C
    program's form (Q9) it is (Na Nb Nc)^2 times the metric of a*, b*, c* in 1/A.
    """
    crystal, cells = x.parameters.crystal, np.array(x.size.cells)
    if crystal.shape == "square" and cells.min() < 2.0:
        raise InputError("spots need two cells or more along each axis (-N): with fewer the intensity between reflections never vanishes")
    if not crystal.fudge > 0.0 and crystal.shape != "square":
        raise InputError("spots need a -fudge above zero: with 0 the crystal scatters everywhere")
    if crystal.shape in ("gauss", "tophat") and not x.tables.rules.spec:
        star = np.array(x.tables.crystal.star).reshape(3, 3)
        return np.asarray(star @ star.T * cells.prod() ** 2 * crystal.fudge)
    tensor = x.size.tensor
    return np.asarray(tensor @ tensor * (1.0 if crystal.shape == "square" else crystal.fudge))


def end_of(x: Experiment) -> float:
    """Where a Gaussian spot ends, as R^2 / 0.63: in "c" nowhere."""
    return GAUSSIAN_END if x.tables.rules.spec else math.inf


def reach(shape: str, least: float, end: float) -> float:
    """The radius beyond which no point has ``least`` of the peak: the envelope of the side lobes, or the exact radius."""
    if shape == "gauss":
        return math.sqrt(GAUSSIAN_WIDTH * min(-0.5 * math.log(least), end))
    if shape == "tophat":
        return math.sqrt(TOPHAT_EDGE)
    if shape == "round":
        # |3 (sin x / x - cos x) / x^2| <= 3 sqrt(1 + 1 / x^2) / x^2 <= 3 sqrt(2) / x^2 for x = pi R above 1.
        return max((18.0 / least) ** 0.25 / math.pi, 1.0)
    # (sin(N y) / (N sin y))^2 <= min(1, 1 / (4 r^2)) for r = N dh, dh <= 1/2. The product over three axes of r^2 that add up to R^2 is
    # largest where two of them take 1/4 each.
    return math.sqrt(0.25 / least + 0.5)


def share_of_peak(shape: str, offsets: np.ndarray, metric: np.ndarray, cells: np.ndarray, end: float = math.inf) -> np.ndarray:
    """(n,): the squared shape transform over its peak at ``offsets`` (n, 3); ``end``: see ``end_of``."""
    if shape == "square":
        return np.asarray(np.prod(_grating_share(offsets, cells), axis=1))
    squared = np.einsum("ni,ij,nj->n", offsets, metric, offsets)
    if shape == "gauss":
        return np.where(squared / GAUSSIAN_WIDTH > end, 0.0, np.exp(-2.0 / GAUSSIAN_WIDTH * squared))
    if shape == "tophat":
        return (squared < TOPHAT_EDGE).astype(np.float64)
    x = np.maximum(math.pi * np.sqrt(squared), 1e-3)
    return np.asarray((3.0 * (np.sin(x) / x - np.cos(x)) / (x * x)) ** 2)


def _grating_share(offsets: np.ndarray, cells: np.ndarray | float) -> np.ndarray:
    """(sin(N y) / (N sin(y)))^2 at y = pi dh, in the shape of ``offsets``."""
    y = np.where(np.abs(offsets) < SMALL, SMALL, offsets) * math.pi
    return np.asarray((np.sin(y * cells) / (cells * np.sin(y))) ** 2)


def nearest_offsets(shape: str, normals: np.ndarray, heights: np.ndarray, metric: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(n, 3): where, on each plane ``normals``.u = ``heights``, the shape transform is largest.

    For what falls with R alone that is the point of least R, u = height D^-1 m / (m^T D^-1 m). The transform of a parallelepiped has
    rods along a*, b* and c* besides: of the four points, the one with the largest value.
    """
    flat = normals @ np.linalg.inv(metric)
    nearest = flat * (heights / np.einsum("ni,ni->n", normals, flat))[:, None]
    if shape != "square":
        return nearest
    best, largest = nearest, share_of_peak(shape, nearest, metric, cells)
    for axis in range(3):
        with np.errstate(divide="ignore", invalid="ignore"):
            along = heights / normals[:, axis]
        meets = np.abs(along) < 0.5
        value = np.where(meets, _grating_share(np.where(meets, along, 0.0), cells[axis]), 0.0)
        better = np.flatnonzero(value > largest)
        best[better], largest[better] = np.eye(3)[axis] * along[better, None], value[better]
    return best
