"""From the lines of a .stol file to the table that the kernels read, with the error bounds of the vector kernel.

The bounds hold for the difference between what the reference computes and what ``amorphous_rows`` does, in units of u = 2^-53. Unit
vectors are off by a few u, and by up to 1.5 u more each time that the reference makes one a unit vector again, once a source; so
sin(theta) / lambda differs by less than (32 + 4 n) u / lambda for n sources, and the polarization factor by less than
(40 + 12 n) (1 + |K|) u. A cubic's value differs by its largest slope times the former, and by 24 u times the sum of its terms'
magnitudes. Both are taken as the largest over a piece and its neighbours: near a point either piece may be found.
"""

from itertools import combinations

import numpy as np

from nanobragg_numba.errors import InputError

from .amorphous_arguments import AmorphousTable

U = 2.0**-53
WIDE = np.longdouble
"""For coefficients, where there is more than double precision; the bounds do not rely on it."""
LEAST_CELLS, MOST_CELLS = 1 << 8, 1 << 17
BELOW, ABOVE = (-1e99, -1e98), (1e98, 1e99)
"""1/m: where the reference puts the points beyond those given."""


def padded(s: np.ndarray, F: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The points with two more on either side, of the first and the last F; an F that is nan (missing) counts as 0.

    Raises InputError, naming ``where``, if there is no F at all.
    """
    known = F[~np.isnan(F)]
    if not known.size:
        raise InputError(f"{where}: no structure factor in the file")
    return np.array([*BELOW, *s, *ABOVE]), np.array([known[0]] * 2 + np.where(np.isnan(F), 0.0, F).tolist() + [known[-1]] * 2)


def ascends(s: np.ndarray) -> bool:
    """Whether every point is beyond the one before, so that it does not matter where the search for a piece begins."""
    return bool((np.diff(s) > 0.0).all())


def table_of(
    s: np.ndarray, F: np.ndarray, wavelengths: np.ndarray, kahn: float, oversample: int, scales: tuple[float, float, float, float],
    plots_F: bool = False,
) -> AmorphousTable:  # fmt: skip
    """The table of ``padded`` points; see ``AmorphousTable``."""
    sources, shortest = len(wavelengths), float(np.abs(wavelengths).min())
    shift = (32.0 + 4.0 * sources) * U / shortest
    largest_polar = 0.5 * (2.0 + abs(kahn))
    steps = sources * oversample * oversample
    relative = (40.0 + 12.0 * sources) * (1.0 + abs(kahn)) * U + largest_polar * (40.0 + 2.0 * steps) * U
    if not ascends(s):
        # The vector kernel is not for such a table.
        return AmorphousTable(s, F, np.zeros((1, 8)), np.zeros(1, np.int32), 0.0, True, relative, scales, plots_F)
    inner = np.arange(1, len(s) - 2)
    points, values = (np.stack([column[inner + offset] for offset in (-1, 0, 1, 2)], axis=1).astype(WIDE) for column in (s, F))
    low, high = np.maximum(points[:, 1], 0.0), np.minimum(points[:, 2], 1.1 / shortest)
    pieces = np.zeros((len(s), 8))
    pieces[inner, :5], unlike, largest_slope, size = _cubics(points, values, low, high, shift)
    error = 2.0 * _around(largest_slope) * shift + 24.0 * U * _around(size) + _around(unlike)
    pieces[inner, 5] = 2.1 * largest_polar * error
    cells, cells_per_s, crowded = _cells(s, 1.1 / shortest)
    return AmorphousTable(s, F, pieces, cells, cells_per_s, crowded, relative, scales, plots_F)


def _cubics(points: np.ndarray, values: np.ndarray, low: np.ndarray, high: np.ndarray, shift: float) -> tuple[np.ndarray, ...]:
    """Of each piece: a point and the coefficients of the cubic there; the largest error of these, the largest slope and the largest sum
    of the magnitudes of the terms of Lagrange's form, all between ``low`` and ``high`` and a little beyond.
    """
    gaps = points[:, :, None] - points[:, None, :]
    gaps[:, range(4), range(4)] = 1.0
    over = values / gaps.prod(axis=2)
    reach = np.maximum(np.abs(low[:, None] - points), np.abs(high[:, None] - points)) + shift
    at = np.where(points[:, 1] < 0.0, points[:, 2], points[:, 1]).astype(np.float64)
    cubic = np.zeros((len(points), 4), WIDE)
    slope, rough, size = np.zeros((3, len(points)), WIDE), np.zeros(len(points), WIDE), np.zeros(len(points), WIDE)
    for i in range(4):
        others = [other for other in range(4) if other != i]
        a, b, c = (at - points[:, other] for other in others)
        cubic += over[:, i, None] * np.stack([a * b * c, a * b + a * c + b * c, a + b + c, np.ones_like(a)], axis=1)
        size += np.abs(over[:, i]) * reach[:, others].prod(axis=1)
        for left, right in combinations(others, 2):
            rough += np.abs(over[:, i]) * reach[:, left] * reach[:, right]
            for row, x in zip(slope, (low, 0.5 * (low + high), high), strict=True):
                row += over[:, i] * (x - points[:, left]) * (x - points[:, right])
    cubic = cubic.astype(np.float64)
    unlike = _difference(points, over, at, cubic, low, high) + 8.0 * U * _magnitudes(at, cubic, low, high)
    # A parabola, as the slope is, stays within 5/4 of the largest of three equally spaced values.
    return np.column_stack([at, cubic]), unlike, 1.25 * np.abs(slope).max(axis=0) + 64.0 * U * rough, size


def _difference(points: np.ndarray, over: np.ndarray, at: np.ndarray, cubic: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """By how much at most the cubic of these coefficients differs from Lagrange's between ``low`` and ``high``.

    The difference is a cubic, and so within 1.7 of the largest of four equally spaced values.
    """
    largest = np.zeros(len(points), WIDE)
    for part in range(4):
        x = (low + (high - low) * part / 3.0).astype(WIDE)
        t = x - at
        lagrange = np.zeros(len(points), WIDE)
        for i in range(4):
            lagrange += over[:, i] * np.prod([x - points[:, other] for other in range(4) if other != i], axis=0)
        largest = np.maximum(largest, np.abs(((cubic[:, 3] * t + cubic[:, 2]) * t + cubic[:, 1]) * t + cubic[:, 0] - lagrange))
    return 1.7 * largest


def _magnitudes(at: np.ndarray, cubic: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The largest sum of the magnitudes of a cubic's terms."""
    t = np.maximum(np.abs(low - at), np.abs(high - at))
    return np.abs(cubic[:, 0]) + np.abs(cubic[:, 1]) * t + np.abs(cubic[:, 2]) * t**2 + np.abs(cubic[:, 3]) * t**3


def _cells(s: np.ndarray, end: float) -> tuple[np.ndarray, float, bool]:
    """The piece at the beginning of each cell up to ``end``, cells in 1/m, and whether more than one piece begins in any."""
    gaps = np.diff(s[(s >= 0.0) & (s < end)])
    least = float(gaps[gaps > 0.0].min(initial=end))
    count = int(min(max(2.0 * end / least, LEAST_CELLS), MOST_CELLS))
    edges = np.arange(count + 1) * (end / count)
    pieces = np.maximum(np.searchsorted(s, edges, side="right") - 1, 1)
    # Nearly at an edge, a cell too far may be taken.
    return pieces[:-1].astype(np.int32), count / end, bool((np.diff(pieces) > 1).any())


def _around(values: np.ndarray) -> np.ndarray:
    """The largest of each value and its two neighbours."""
    padded_values = np.concatenate([values[:1], values, values[-1:]])
    return np.maximum(np.maximum(padded_values[:-2], padded_values[1:-1]), padded_values[2:])
