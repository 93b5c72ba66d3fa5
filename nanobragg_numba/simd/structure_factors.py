"""Structure factors of one step for the pixels of a chunk: of the nearest reflections, or interpolated between them."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.accurate_maths import nearest_whole_index, sixth
from nanobragg_numba.kernels.array_views import in_one_row
from nanobragg_numba.kernels.formulas import can_interpolate, cubic_terms

from .work_rows import rows_of


@compiled
def nearest_factors(n, work, crystal):
    """Structure factors of the nearest reflections, into ``cell``; as ``nearest_structure_factor``, without a branch."""
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    h_size, k_size, l_size = crystal.factors.shape
    flat = in_one_row(crystal.factors)
    for i in range(n):
        h = nearest_whole_index(hs[i]) - crystal.h_min
        k = nearest_whole_index(ks[i]) - crystal.k_min
        l = nearest_whole_index(ls[i]) - crystal.l_min
        inside = (h >= 0.0) & (h < h_size - 1) & (k >= 0.0) & (k < k_size - 1) & (l >= 0.0) & (l < l_size - 1)
        w.place[i] = (h * k_size + k) * l_size + l if inside else -1.0
    for i in range(n):
        place = int(w.place[i])
        value = flat[max(place, 0)]
        w.cell[i] = value if place >= 0 else crystal.default_F


@inlined
def cubic_between(x, y):
    """``cubic_at`` from the nearest whole number below, with the same bits, without a division."""
    t0, t1, t2, t3 = cubic_terms(x, np.floor(x), y)
    return sixth(-t0) + 0.5 * t1 + -0.5 * t2 + sixth(t3)


@compiled
def interpolated_factors(n, work, crystal):
    """Tricubic structure factors of the steps that are ``inside``, into ``cell``: ``tricubic_structure_factor``, one
    cubic of all pixels after the other."""
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    _, k_size, l_size = crystal.factors.shape
    flat = in_one_row(crystal.factors)
    for i in range(n):
        h, k, l = np.floor(hs[i]) - crystal.h_min, np.floor(ks[i]) - crystal.k_min, np.floor(ls[i]) - crystal.l_min
        # Any place will do for the steps that are not inside: what is read there is not used.
        w.place[i] = ((h - 1) * k_size + (k - 1)) * l_size + (l - 1) if w.inside[i] != 0.0 else 0.0
    lines, planes = w.lines, w.planes
    corners = w.corners
    for plane in range(4):
        for line in range(4):
            offset = (plane * k_size + line) * l_size
            # The table could overlap the rows for all that the compiler knows: read apart, it leaves a vector loop below.
            for i in range(n):
                place = int(w.place[i]) + offset
                y0, y1, y2, y3 = (
                    flat[np.uint64(place)], flat[np.uint64(place + 1)], flat[np.uint64(place + 2)], flat[np.uint64(place + 3)],
                )  # fmt: skip
                corners[4 * i], corners[4 * i + 1], corners[4 * i + 2], corners[4 * i + 3] = y0, y1, y2, y3
            for i in range(n):
                lines[line, i] = cubic_between(ls[i], (corners[4 * i], corners[4 * i + 1], corners[4 * i + 2], corners[4 * i + 3]))
        for i in range(n):
            planes[plane, i] = cubic_between(ks[i], (lines[0, i], lines[1, i], lines[2, i], lines[3, i]))
    for i in range(n):
        value = cubic_between(hs[i], (planes[0, i], planes[1, i], planes[2, i], planes[3, i]))
        w.cell[i] = value if w.inside[i] != 0.0 else w.cell[i]


@compiled
def tricubic_factors(n, work, crystal, spec):
    """Structure factors between the reflections, into ``cell``; outside the table, those of the nearest reflections.

    Returns whether a step that the reference takes is outside; in "c" that ends the run's interpolation (Q2).
    """
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    outside = 0
    for i in range(n):
        inside = can_interpolate(crystal.factors.shape, crystal.h_min, crystal.k_min, crystal.l_min, hs[i], ks[i], ls[i])
        w.inside[i] = 1.0 if inside else 0.0
        outside += 0 if inside or w.keep[i] == 0.0 or w.present[i] == 0.0 else 1
    if outside > 0 and not spec:
        return True
    if outside > 0:
        nearest_factors(n, work, crystal)
    interpolated_factors(n, work, crystal)
    return False
