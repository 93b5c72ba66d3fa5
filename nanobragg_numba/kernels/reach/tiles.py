"""The search for steps that can matter: tiles of neighbouring pixels against the spots' reach (docs/error-bound.md).

The rays of a tile lie within AWAY of a chord, centre + t half with |t| <= 1. In units of reciprocal axes it is a segment for each
orientation and source; scaled by the sources of a group, a patch. What is farther from every reflection than the spots' reach is left out.
Comparisons are such that what is no number is never left out.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import types

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.accurate_maths import nearest_whole
from nanobragg_numba.kernels.array_views import of_shape

from .spots import SEARCH_SHAPE

TILE = 8
"""Pixels of a tile: as many as a vector register holds, and few enough that a tile is short beside the distance of reflections."""
SOURCES = 62
"""Most sources of a group: a set of them is a whole number."""
SPREAD = 0.1
"""So far at most a group's sources spread a point of reciprocal space, in fractions of an axis."""
SLACK = 1e-12
"""Of |h|, relative to |a| / lambda: far more than all roundings in h, and than making a ray a unit vector again (Q4)."""

ROUNDED_NORMAL = 1e-22


class SearchRows(NamedTuple):
    """The rows of a search."""

    centre: Any
    """(3, tiles): the middle of each tile's chord of unit vectors."""
    half: Any
    """(3, tiles): half of it."""
    away: Any
    """(tiles,): bound on the distance of the tile's rays from it."""
    inverse: Any
    """(sources,): 1 / wavelength of the group's sources."""
    tiles: Any
    """(orientations,) int64: the set of tiles that each may matter to."""
    step: Any
    """(entries,) int64: the orientations that may matter to one tile, ..."""
    sources: Any
    """(entries,) int64: ... and the set of the group's sources for which."""


_of_search_shape = of_shape(SEARCH_SHAPE)
_whole = of_shape(SEARCH_SHAPE[1:], types.int64)


@inlined
def search_rows(array):
    """The rows of a search's array, which may be larger than SEARCH_SHAPE."""
    s = _of_search_shape(array)
    return SearchRows(s[0:3], s[3:6], s[6], s[7], _whole(s[8]), _whole(s[9]), _whole(s[10]))


@compiled
def measure_tiles(n, rays, search):
    """Set ``centre``, ``half`` and ``away`` of the tiles of n rays (3, pixels), and return how many there are."""
    s = search_rows(search)
    tiles = (n + TILE - 1) // TILE
    for tile in range(tiles):
        first = tile * TILE
        last = min(first + TILE, n) - 1
        x0, y0, z0 = rays[0, first].real, rays[1, first].real, rays[2, first].real
        x1, y1, z1 = rays[0, last].real, rays[1, last].real, rays[2, last].real
        cx, cy, cz = 0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.5 * (z0 + z1)
        ex, ey, ez = 0.5 * (x1 - x0), 0.5 * (y1 - y0), 0.5 * (z1 - z0)
        step = 2.0 / (last - first) if last > first else 0.0
        start = -1.0 if last > first else 0.0
        # The root of the sum is not below the largest, and keeps what is no number.
        squares = 0.0
        for pixel in range(first, last + 1):
            t = start + step * (pixel - first)
            x, y, z = rays[0, pixel].real - (cx + t * ex), rays[1, pixel].real - (cy + t * ey), rays[2, pixel].real - (cz + t * ez)
            squares += x * x + y * y + z * z
        s.centre[0, tile], s.centre[1, tile], s.centre[2, tile] = cx, cy, cz
        s.half[0, tile], s.half[1, tile], s.half[2, tile] = ex, ey, ez
        s.away[tile] = math.sqrt(squares)
    return tiles


@inlined
def three_of(values, row):
    """Real parts of a row of three numbers."""
    return values[row, 0].real, values[row, 1].real, values[row, 2].real


@compiled
def gather_sources(first, last, tiles, incident, wavelengths, reach, search):
    """How many sources from ``first`` on are tested together, up to ``last``; sets ``inverse``.

    They have one direction, and wavelengths so close that no point of the tiles moves by more than SPREAD.
    """
    s = search_rows(search)
    ix, iy, iz = three_of(incident, first)
    longest = 0.0
    for tile in range(tiles):
        x, y, z = s.centre[0, tile] - ix, s.centre[1, tile] - iy, s.centre[2, tile] - iz
        longest = max(longest, x * x + y * y + z * z)
    # A chord is at most 2 long.
    allowed = SPREAD / (math.sqrt(longest) * reach.longest)
    count = 1
    low = high = s.inverse[0] = 1.0 / wavelengths[first].real
    while first + count < last and count < SOURCES:
        x, y, z = three_of(incident, first + count)
        inverse = 1.0 / wavelengths[first + count].real
        below, above = min(low, inverse), max(high, inverse)
        if not (x == ix and y == iy and z == iz and above - below <= 2.0 * allowed):
            break
        s.inverse[count] = inverse
        low, high = below, above
        count += 1
    return count, 0.5 * (low + high), 0.5 * (high - low)


@inlined
def times(m, x, y, z):
    """The product of nine numbers, row by row, with a vector."""
    return m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z


@inlined
def axes_of(orientations, step):
    """a, b, c of one step, as nine real numbers."""
    v = orientations[step]
    return v[0].real, v[1].real, v[2].real, v[3].real, v[4].real, v[5].real, v[6].real, v[7].real, v[8].real


@inlined
def lengths_of(v):
    """|a|, |b|, |c|."""
    return (
        math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]),
        math.sqrt(v[3] * v[3] + v[4] * v[4] + v[5] * v[5]),
        math.sqrt(v[6] * v[6] + v[7] * v[7] + v[8] * v[8]),
    )


@inlined
def norm_of_product(m, v):
    """The Frobenius norm of M times the matrix of a, b, c: by so much the product lengthens a vector at most."""
    total = 0.0
    for column in range(3):
        x, y, z = times(m, v[column], v[3 + column], v[6 + column])
        total += x * x + y * y + z * z
    return math.sqrt(total)


@compiled
def tiles_in_reach(tiles, axes, incident, middle, half_range, reach, search):
    """The set of tiles with a point that may be within reach of a reflection, for 1 / wavelength of ``middle`` +- ``half_range``."""
    s = search_rows(search)
    cx, cy, cz, ex, ey, ez = s.centre[0], s.centre[1], s.centre[2], s.half[0], s.half[1], s.half[2]
    m = reach.root
    ix, iy, iz = incident
    inverse = abs(middle)
    v0, v1, v2, v3, v4, v5, v6, v7, v8 = axes
    v = (
        v0 * middle, v1 * middle, v2 * middle, v3 * middle, v4 * middle, v5 * middle, v6 * middle, v7 * middle, v8 * middle,
    )  # fmt: skip
    range_ = half_range / inverse
    wide = 1.0 + range_
    size_a, size_b, size_c = lengths_of(v)
    size = norm_of_product(m, v)
    along_a, along_b, along_c = reach.along
    found = np.int64(0)
    for tile in range(tiles):
        h, k, l = times(v, cx[tile] - ix, cy[tile] - iy, cz[tile] - iz)
        g_h, g_k, g_l = times(v, ex[tile], ey[tile], ez[tile])
        away = s.away[tile] * wide + SLACK
        dh, dk, dl = h - nearest_whole(h), k - nearest_whole(k), l - nearest_whole(l)
        far_h = abs(g_h) + range_ * (abs(h) + abs(g_h)) + size_a * away + along_a
        far_k = abs(g_k) + range_ * (abs(k) + abs(g_k)) + size_b * away + along_b
        far_l = abs(g_l) + range_ * (abs(l) + abs(g_l)) + size_c * away + along_c
        out = (abs(dh) > far_h) | (abs(dk) > far_k) | (abs(dl) > far_l)
        # Only then no other reflection is within reach.
        alone = (far_h < 0.5) & (far_k < 0.5) & (far_l < 0.5)
        dx, dy, dz = times(m, dh, dk, dl)
        gx, gy, gz = times(m, g_h, g_k, g_l)
        wx, wy, wz = times(m, h, k, l)
        radius = reach.radius + size * away
        # The distance from the chord's line, and from the plane in which the group's sources move it.
        x, y, z = dy * gz - dz * gy, dz * gx - dx * gz, dx * gy - dy * gx
        aside = radius + range_ * math.sqrt(wx * wx + wy * wy + wz * wz)
        off_line = x * x + y * y + z * z > aside * aside * (gx * gx + gy * gy + gz * gz)
        nx, ny, nz = gy * wz - gz * wy, gz * wx - gx * wz, gx * wy - gy * wx
        height = dx * nx + dy * ny + dz * nz
        # What rounding leaves of a normal of zero must not decide.
        noise = (dx * dx + dy * dy + dz * dz) * (gx * gx + gy * gy + gz * gz) * (wx * wx + wy * wy + wz * wz) * ROUNDED_NORMAL
        off_plane = height * height > 1.001 * radius * radius * (nx * nx + ny * ny + nz * nz) + noise
        out = out | (alone & (off_line | off_plane))
        found |= np.int64(0) if out else np.int64(1) << tile
    return found


@compiled
def sources_in_reach(count, tile, axes, incident, reach, search):
    """The set of the group's sources for which one tile has a point that may be within reach of a reflection."""
    s = search_rows(search)
    m = reach.root
    q_h, q_k, q_l = times(axes, s.centre[0, tile] - incident[0], s.centre[1, tile] - incident[1], s.centre[2, tile] - incident[2])
    e_h, e_k, e_l = times(axes, s.half[0, tile], s.half[1, tile], s.half[2, tile])
    ex, ey, ez = times(m, e_h, e_k, e_l)
    squared = ex * ex + ey * ey + ez * ez
    over_squared = 1.0 / squared if squared > 0.0 else 0.0
    away = s.away[tile] + SLACK
    size_a, size_b, size_c = lengths_of(axes)
    far_a, far_b, far_c = size_a * away + abs(e_h), size_b * away + abs(e_k), size_c * away + abs(e_l)
    size = norm_of_product(m, axes) * away
    along_a, along_b, along_c = reach.along
    found = np.int64(0)
    for source in range(count):
        inverse = s.inverse[source]
        h, k, l = inverse * q_h, inverse * q_k, inverse * q_l
        stretch = abs(inverse)
        dh, dk, dl = h - nearest_whole(h), k - nearest_whole(k), l - nearest_whole(l)
        far_h, far_k, far_l = far_a * stretch + along_a, far_b * stretch + along_b, far_c * stretch + along_c
        out = (abs(dh) > far_h) | (abs(dk) > far_k) | (abs(dl) > far_l)
        alone = (far_h < 0.5) & (far_k < 0.5) & (far_l < 0.5)
        dx, dy, dz = times(m, dh, dk, dl)
        t = (dx * ex + dy * ey + dz * ez) * over_squared
        t = min(max(t, -stretch), stretch)
        x, y, z = dx - t * ex, dy - t * ey, dz - t * ez
        radius = reach.radius + size * stretch
        out = out | (alone & (x * x + y * y + z * z > radius * radius))
        found |= np.int64(0) if out else np.int64(1) << source
    return found


@compiled
def search_orientations(first, last, tiles, group, incident, orientations, reach, search):
    """Set ``tiles`` of the orientations from ``first`` to ``last``, and return the set of tiles that any may matter to."""
    s = search_rows(search)
    _, middle, half_range = group
    together = np.int64(0)
    for step in range(first, last):
        found = tiles_in_reach(tiles, axes_of(orientations, step), incident, middle, half_range, reach, search)
        s.tiles[step - first] = found
        together |= found
    return together


@compiled
def search_tile(tile, first, last, group, incident, orientations, reach, search):
    """Set ``step`` and ``sources`` of one tile; returns how many entries there are, and the set of all their sources."""
    s = search_rows(search)
    count, _, _ = group
    entries = 0
    together = np.int64(0)
    for step in range(first, last):
        if (s.tiles[step - first] >> tile) & 1:
            found = sources_in_reach(count, tile, axes_of(orientations, step), incident, reach, search)
            if found != 0:
                s.step[entries], s.sources[entries] = step, found
                entries += 1
                together |= found
    return entries, together
