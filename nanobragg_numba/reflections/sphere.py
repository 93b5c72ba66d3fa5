"""Which reflections of a table are known, to what resolution, and how many of all there are."""

import math

import numpy as np

UNLISTED, LISTED, ABSENT = 0, 1, 2
"""A reflection of which nothing is known, one that is listed, and one that symmetry makes zero."""
ON_THE_EDGE = 1e-9
"""Relative slack of 1/d^2, so that a reflection at exactly the resolution asked for is inside."""


def reciprocal_metric(cell: tuple[float, ...]) -> np.ndarray:
    """(3, 3), 1/A^2: products of the reciprocal axes; the inverse of the metric tensor of a, b, c (A), alpha, beta, gamma (degrees)."""
    a, b, c = cell[:3]
    # Right angles exactly.
    cosines = [0.0 if angle == 90.0 else math.cos(math.radians(angle)) for angle in cell[3:]]
    metric = [
        [a * a, a * b * cosines[2], a * c * cosines[1]],
        [a * b * cosines[2], b * b, b * c * cosines[0]],
        [a * c * cosines[1], b * c * cosines[0], c * c],
    ]
    return np.linalg.inv(np.array(metric))


def squared_lengths(hkl: np.ndarray, cell: tuple[float, ...]) -> np.ndarray:
    """(n,), 1/A^2: 1/d^2 of each reflection of ``hkl`` (n, 3)."""
    rows = np.asarray(hkl, np.float64)
    lengths: np.ndarray = np.einsum("ni,ij,nj->n", rows, reciprocal_metric(cell), rows)
    return lengths


def limits_of_sphere(cell: tuple[float, ...], finest: float) -> np.ndarray:
    """(3,): the largest h, k, l with 1/d^2 up to ``finest`` (1/A^2); h is at most a/d."""
    return np.floor(np.array(cell[:3]) * math.sqrt(finest * (1 + ON_THE_EDGE)) + 1e-9).astype(np.int64)


def sphere(cell: tuple[float, ...], d_min: float) -> np.ndarray:
    """(n, 3): all h k l but 0 0 0 with d >= ``d_min`` (A), those at exactly ``d_min`` too."""
    finest = 1.0 / d_min**2
    h, k, l = limits_of_sphere(cell, finest)
    metric = reciprocal_metric(cell)
    ks, ls = (axis.ravel() for axis in np.meshgrid(np.arange(-k, k + 1), np.arange(-l, l + 1), indexing="ij"))
    planes = []
    for index in range(-h, h + 1):
        plane = np.column_stack([np.full_like(ks, index), ks, ls])
        rows = plane.astype(np.float64)
        lengths = np.einsum("ni,ij,nj->n", rows, metric, rows)
        planes.append(plane[(lengths <= finest * (1 + ON_THE_EDGE)) & (lengths > 0.0)])
    return np.concatenate(planes)


def completeness(status: np.ndarray, low: tuple[int, int, int], cell: tuple[float, ...]) -> tuple[float, float]:
    """The resolution (A) of what is listed, and how much of what symmetry allows within it is listed, 0 to 1; 0 0 0 does not count.

    ``status``: (h, k, l) as in ``StructureFactors.status``; ``low``: the indices of its first entry.
    """
    listed = np.argwhere(status == LISTED) + low
    listed = listed[listed.any(axis=1)]
    if len(listed) == 0:
        return math.inf, 1.0
    finest = float(squared_lengths(listed, cell).max())
    possible = sphere(cell, 1.0 / math.sqrt(finest))
    places = possible - low
    inside = ((places >= 0) & (places < status.shape)).all(axis=1)
    absent = np.count_nonzero(status[tuple(places[inside].T)] == ABSENT)
    return 1.0 / math.sqrt(finest), len(listed) / (len(possible) - absent)
