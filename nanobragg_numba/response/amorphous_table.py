"""From the lines of a .stol file to the table that the kernels read, with the error bounds of the vector kernel.

The bounds hold for the difference between what the reference computes and what ``amorphous_rows`` does, in units of u = 2^-53. Unit
vectors are off by a few u, and by up to 1.5 u more each time that the reference makes one a unit vector again, once a source; so
sin(theta) / lambda differs by less than (32 + 4 n) u / lambda for n sources, and the polarization factor by less than
(40 + 12 n) (1 + |K|) u. A cubic's value differs by its largest slope times the former, and by 24 u times the sum of its terms'
magnitudes. Both are taken as the largest over a piece and its neighbours: near a point either piece may be found.
"""

import numpy as np

from nanobragg_numba.errors import InputError

from .amorphous_arguments import AmorphousTable

U = 2.0**-53
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
    pieces = np.zeros((len(s), 9))
    inner = np.arange(1, len(s) - 2)
    points = np.stack([s[inner + offset] for offset in (-1, 0, 1, 2)], axis=1)
    with np.errstate(all="ignore"):
        gaps = points[:, :, None] - points[:, None, :]
        gaps[:, range(4), range(4)] = 1.0
        over = np.stack([F[inner + offset] for offset in (-1, 0, 1, 2)], axis=1) / gaps.prod(axis=2)
        low, high = np.maximum(points[:, 1], 0.0), np.minimum(points[:, 2], 1.1 / shortest)
        reach = np.maximum(np.abs(low[:, None] - points), np.abs(high[:, None] - points)) + shift
        slope, size = np.zeros(len(inner)), np.zeros(len(inner))
        for i in range(4):
            j, k, m = (other for other in range(4) if other != i)
            size += np.abs(over[:, i]) * reach[:, j] * reach[:, k] * reach[:, m]
            slope += np.abs(over[:, i]) * (reach[:, j] * reach[:, k] + reach[:, j] * reach[:, m] + reach[:, k] * reach[:, m])
    error = 2.0 * _around(slope) * shift + 24.0 * U * _around(size)
    pieces[inner, :4], pieces[inner, 4:8] = points, over
    pieces[inner, 8] = 2.1 * largest_polar * error
    return AmorphousTable(s, F, pieces, relative, scales, plots_F)


def _around(values: np.ndarray) -> np.ndarray:
    """The largest of each value and its two neighbours."""
    padded_values = np.concatenate([values[:1], values, values[-1:]])
    return np.maximum(np.maximum(padded_values[:-2], padded_values[1:-1]), padded_values[2:])
