"""The intensity of one step and its partial derivatives, for n pixels of a row at once: what adjoint and tangent share."""

import math

from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.accurate_maths import nearest_whole_index
from nanobragg_numba.kernels.formulas import (
    GAUSS,
    ROUND,
    SQUARE,
    can_interpolate,
    number_of_cells,
    scaled_radius_squared,
    tensor_radius_squared,
    tensor_times,
)
from nanobragg_numba.maths.constants import GAUSSIAN_END, GAUSSIAN_WIDTH, SPHERE_HEIGHT, TOPHAT_EDGE

from .formula_derivatives import cubic_slopes, cubic_weights, decay, peak_slopes, reduced_index, squared_grating, squared_sphere

# Rows of the array of partials (bundles.ROWS of them): F^2 L^2 and its derivatives with respect to h, k, l, Na, Nb, Nc, fudge, the
# structure factor, and of Gaussian and flat spots Nab, Nac, Nbc in "spec", of Gaussian ones the nine components of a*, b*, c* in "c"; then
# h, k, l themselves, the structure factor and its derivatives with respect to h, k, l.
VALUE, BY_H, BY_K, BY_L, BY_NA, BY_NB, BY_NC, BY_FUDGE, BY_F, BY_STAR, INDICES, FACTOR, FACTOR_BY = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 18, 21, 22
BY_CROSS = BY_STAR
# Where a step's structure factor comes from, beside the places in the table, which are 0 and more.
DEFAULT, INTERPOLATED = -1, -2


@derivative
def grating_or_one(h, n):
    """``squared_grating``, but 1 for an axis of one cell, as in ``lattice_factor``."""
    square, by_h, by_n = squared_grating(h, n)
    if n.real <= 1.0:
        return 1.0 + (square - square), by_h - by_h, by_n - by_n
    return square, by_h, by_n


@derivative
def fill_square(n, p, na, nb, nc, spec):
    """Parallelepiped crystals: L^2 is the product of three squared gratings."""
    for i in range(n):
        a, a_h, a_n = grating_or_one(reduced_index(p[INDICES, i], spec), na)
        b, b_h, b_n = grating_or_one(reduced_index(p[INDICES + 1, i], spec), nb)
        c, c_h, c_n = grating_or_one(reduced_index(p[INDICES + 2, i], spec), nc)
        bc, ca, ab = b * c, c * a, a * b
        p[VALUE, i] = a * bc
        p[BY_H, i], p[BY_K, i], p[BY_L, i] = a_h * bc, b_h * ca, c_h * ab
        p[BY_NA, i], p[BY_NB, i], p[BY_NC, i] = a_n * bc, b_n * ca, c_n * ab


@derivative
def away(h):
    """h minus the nearest whole index."""
    return h - nearest_whole_index(h.real)


@derivative
def has_tensor(shape, spec):
    """Whether spots of this shape are of a tensor of numbers of cells."""
    return spec and shape != SQUARE and shape != ROUND


@derivative
def put_radial(i, p, value, slope, away_by, cells, peak, fudge, radius_squared):
    """The partials of an L^2 that is (det N)^2 times a function of fudge R^2, R = |N (dh, dk, dl)|; ``slope``: its derivative with respect
    to fudge R^2; ``peak``: ``peak_slopes``."""
    (dh, dk, dl), (na, nb, nc, cross) = away_by, cells
    by_radius = 2.0 * slope * fudge
    x, y, z = tensor_times(dh, dk, dl, na, nb, nc, cross)
    h, k, l = tensor_times(x, y, z, na, nb, nc, cross)
    p[VALUE, i] = value
    p[BY_H, i], p[BY_K, i], p[BY_L, i] = by_radius * h, by_radius * k, by_radius * l
    p[BY_NA, i] = value * peak[0] + by_radius * x * dh
    p[BY_NB, i] = value * peak[1] + by_radius * y * dk
    p[BY_NC, i] = value * peak[2] + by_radius * z * dl
    p[BY_CROSS, i] = value * peak[3] + by_radius * (x * dk + y * dh)
    p[BY_CROSS + 1, i] = value * peak[4] + by_radius * (x * dl + z * dh)
    p[BY_CROSS + 2, i] = value * peak[5] + by_radius * (y * dl + z * dk)
    p[BY_FUDGE, i] = slope * radius_squared


@derivative
def fill_round(n, p, na, nb, nc, cross, fudge):
    """Round crystals: L = c Na Nb Nc T(z), z^2 = pi^2 fudge (dh^2 Na^2 + dk^2 Nb^2 + dl^2 Nc^2); theirs has nothing off the diagonal."""
    size = SPHERE_HEIGHT * na * nb * nc
    peak = peak_slopes(na, nb, nc, cross)
    factor = math.pi * math.pi
    for i in range(n):
        dh, dk, dl = away(p[INDICES, i]), away(p[INDICES + 1, i]), away(p[INDICES + 2, i])
        radius_squared = tensor_radius_squared(dh, dk, dl, na, nb, nc, cross)
        square, slope = squared_sphere(factor * radius_squared * fudge)
        value = size * size * square
        slope *= size * size * factor
        put_radial(i, p, value, slope, (dh, dk, dl), (na, nb, nc, cross), peak, fudge, radius_squared)


@derivative
def fill_gauss(n, p, na, nb, nc, cross, fudge):
    """Gaussian crystals: L = det N exp(-fudge R^2 / 0.63) up to the spot's end, R = |N (dh, dk, dl)|."""
    volume = number_of_cells(na, nb, nc, cross)
    peak = peak_slopes(na, nb, nc, cross)
    for i in range(n):
        dh, dk, dl = away(p[INDICES, i]), away(p[INDICES + 1, i]), away(p[INDICES + 2, i])
        radius_squared = tensor_radius_squared(dh, dk, dl, na, nb, nc, cross)
        exponent = fudge / GAUSSIAN_WIDTH * radius_squared
        value = volume * volume * decay(2.0 * exponent)
        value = value - value if exponent.real > GAUSSIAN_END else value
        slope = -2.0 / GAUSSIAN_WIDTH * value
        put_radial(i, p, value, slope, (dh, dk, dl), (na, nb, nc, cross), peak, fudge, radius_squared)


@derivative
def fill_scaled_gauss(n, p, na, nb, nc, star, fudge):
    """Gaussian crystals in "c" (Q9): L = V exp(-fudge R^2 / 0.63), R = V |dh a* + dk b* + dl c*|, V = Na Nb Nc."""
    volume = na * nb * nc
    volume_squared = volume * volume
    for i in range(n):
        dh, dk, dl = away(p[INDICES, i]), away(p[INDICES + 1, i]), away(p[INDICES + 2, i])
        x = dh * star[0] + dk * star[3] + dl * star[6]
        y = dh * star[1] + dk * star[4] + dl * star[7]
        z = dh * star[2] + dk * star[5] + dl * star[8]
        radius_squared = scaled_radius_squared(dh, dk, dl, star, na, nb, nc)
        value = volume_squared * decay(2.0 * fudge / GAUSSIAN_WIDTH * radius_squared)
        slope = -2.0 / GAUSSIAN_WIDTH * value
        by_vector = 2.0 * volume_squared * slope * fudge
        by_cells = 2.0 * value + 2.0 * slope * fudge * radius_squared
        p[VALUE, i] = value
        p[BY_H, i] = by_vector * (x * star[0] + y * star[1] + z * star[2])
        p[BY_K, i] = by_vector * (x * star[3] + y * star[4] + z * star[5])
        p[BY_L, i] = by_vector * (x * star[6] + y * star[7] + z * star[8])
        p[BY_NA, i], p[BY_NB, i], p[BY_NC, i] = by_cells / na, by_cells / nb, by_cells / nc
        p[BY_FUDGE, i] = slope * radius_squared
        p[BY_STAR, i], p[BY_STAR + 1, i], p[BY_STAR + 2, i] = by_vector * x * dh, by_vector * y * dh, by_vector * z * dh
        p[BY_STAR + 3, i], p[BY_STAR + 4, i], p[BY_STAR + 5, i] = by_vector * x * dk, by_vector * y * dk, by_vector * z * dk
        p[BY_STAR + 6, i], p[BY_STAR + 7, i], p[BY_STAR + 8, i] = by_vector * x * dl, by_vector * y * dl, by_vector * z * dl


@derivative
def fill_tophat(n, p, na, nb, nc, cross, star, fudge, spec):
    """Flat spots: V^2 inside a radius and 0 outside; the edge moves nothing by itself, so only V = det N has a derivative."""
    volume = number_of_cells(na, nb, nc, cross)
    peak = peak_slopes(na, nb, nc, cross)
    for i in range(n):
        dh, dk, dl = away(p[INDICES, i]), away(p[INDICES + 1, i]), away(p[INDICES + 2, i])
        if spec:
            radius_squared = tensor_radius_squared(dh, dk, dl, na, nb, nc, cross)
        else:
            radius_squared = scaled_radius_squared(dh, dk, dl, star, na, nb, nc)
        inside = (radius_squared * fudge).real < TOPHAT_EDGE
        value = volume * volume if inside else 0.0 * volume
        p[VALUE, i] = value
        p[BY_NA, i], p[BY_NB, i], p[BY_NC, i] = value * peak[0], value * peak[1], value * peak[2]
        p[BY_CROSS, i], p[BY_CROSS + 1, i], p[BY_CROSS + 2, i] = value * peak[3], value * peak[4], value * peak[5]
        p[BY_H, i] = p[BY_K, i] = p[BY_L, i] = p[BY_FUDGE, i] = 0.0


@derivative
def interpolated(table, corner, h, k, l):
    """Tricubic structure factor at (h, k, l) and its derivatives with respect to them; ``corner``: h_min, k_min, l_min."""
    h0, k0, l0 = math.floor(h.real), math.floor(k.real), math.floor(l.real)
    wh, wk, wl = cubic_weights(h, h0), cubic_weights(k, k0), cubic_weights(l, l0)
    sh, sk, sl = cubic_slopes(h, h0), cubic_slopes(k, k0), cubic_slopes(l, l0)
    i, j, m = int(h0) - corner[0] - 1, int(k0) - corner[1] - 1, int(l0) - corner[2] - 1
    zero = 0.0 * (h + k + l)
    value = by_h = by_k = by_l = zero
    for a in range(4):
        plane = plane_k = plane_l = zero
        for b in range(4):
            f = (table[i + a, j + b, m], table[i + a, j + b, m + 1], table[i + a, j + b, m + 2], table[i + a, j + b, m + 3])
            line = wl[0] * f[0] + wl[1] * f[1] + wl[2] * f[2] + wl[3] * f[3]
            plane += wk[b] * line
            plane_k += sk[b] * line
            plane_l += wk[b] * (sl[0] * f[0] + sl[1] * f[1] + sl[2] * f[2] + sl[3] * f[3])
        value += wh[a] * plane
        by_h += sh[a] * plane
        by_k += wh[a] * plane_k
        by_l += wh[a] * plane_l
    return value, by_h, by_k, by_l


@derivative
def gather_from_table(table_dot, corner, h, k, l):
    """The change of an interpolated structure factor when the table changes by ``table_dot``."""
    value, _, _, _ = interpolated(table_dot, corner, h, k, l)
    return value


@derivative
def unravelled(place, shape):
    """The three indices of a flat place in a table of that shape."""
    row = place // shape[2]
    return row // shape[1], row % shape[1], place % shape[2]


@derivative
def table_at(table, place):
    """The structure factor at a flat place. Indices are not checked, so that the last one alone leads there."""
    return table[0, 0, place]


@derivative
def find_nearest(n, p, places, crystal):
    """Flat places of the nearest reflections in the table, DEFAULT outside, and their structure factors."""
    table = crystal.factors
    h_min, k_min, l_min = crystal.h_min, crystal.k_min, crystal.l_min
    h_size, k_size, l_size = table.shape
    for i in range(n):
        h = nearest_whole_index(p[INDICES, i].real) - h_min
        k = nearest_whole_index(p[INDICES + 1, i].real) - k_min
        l = nearest_whole_index(p[INDICES + 2, i].real) - l_min
        inside = (h >= 0.0) & (h < h_size - 1) & (k >= 0.0) & (k < k_size - 1) & (l >= 0.0) & (l < l_size - 1)
        places[i] = int((h * k_size + k) * l_size + l if inside else DEFAULT)
    for i in range(n):
        # Read even where it is not used: the loop stays without a branch.
        listed = table_at(table, places[i] if places[i] >= 0 else 0)
        p[FACTOR, i] = listed if places[i] >= 0 else crystal.default_F


@derivative
def find_between(n, p, places, crystal):
    """Interpolated structure factors and their derivatives where all of a step's 64 are listed; returns how many are not."""
    table, corner = crystal.factors, (crystal.h_min, crystal.k_min, crystal.l_min)
    outside = 0
    for i in range(n):
        h, k, l = p[INDICES, i], p[INDICES + 1, i], p[INDICES + 2, i]
        p[FACTOR_BY, i] = p[FACTOR_BY + 1, i] = p[FACTOR_BY + 2, i] = 0.0
        if can_interpolate(table.shape, corner[0], corner[1], corner[2], h.real, k.real, l.real):
            places[i] = INTERPOLATED
            p[FACTOR, i], p[FACTOR_BY, i], p[FACTOR_BY + 1, i], p[FACTOR_BY + 2, i] = interpolated(table, corner, h, k, l)
        else:
            outside += 1
    return outside


@derivative
def multiply_structure_factors(n, p, places, crystal, interpolate, spec):
    """Turn the partials of L^2 into those of F^2 L^2, with each step's own structure factor F.

    ``places`` gets where F comes from. Returns whether interpolation is still on (Q2: in "c" the first step outside
    the table ends it; the pixel in which that happens must stand alone).
    """
    find_nearest(n, p, places, crystal)
    interpolated_here = interpolate
    if interpolate and find_between(n, p, places, crystal) > 0 and not spec:
        interpolate = False
    for i in range(n):
        factor = p[FACTOR, i]
        p[BY_F, i] = 2.0 * factor * p[VALUE, i]
    for row in range(BY_FUDGE + 1):
        for i in range(n):
            p[row, i] *= p[FACTOR, i] * p[FACTOR, i]
    if crystal.shape == GAUSS and not spec:
        for row in range(BY_STAR, BY_STAR + 9):
            for i in range(n):
                p[row, i] *= p[FACTOR, i] * p[FACTOR, i]
    elif has_tensor(crystal.shape, spec):
        for row in range(BY_CROSS, BY_CROSS + 3):
            for i in range(n):
                p[row, i] *= p[FACTOR, i] * p[FACTOR, i]
    if interpolated_here:
        for axis in range(3):
            for i in range(n):
                p[BY_H + axis, i] += p[BY_F, i] * p[FACTOR_BY + axis, i]
    return interpolate


@derivative
def fill_partials(n, s, v, crystal, spec, p):
    """Fill ``p`` (ROWS, pixels) with L^2 and its partials at the scattering vectors ``s`` (3, pixels), for the axes ``v`` (9,)."""
    a0, a1, a2, b0, b1, b2, c0, c1, c2 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]
    for i in range(n):
        x, y, z = s[0, i], s[1, i], s[2, i]
        p[INDICES, i] = a0 * x + a1 * y + a2 * z
        p[INDICES + 1, i] = b0 * x + b1 * y + b2 * z
        p[INDICES + 2, i] = c0 * x + c1 * y + c2 * z
    if crystal.shape == SQUARE:
        fill_square(n, p, crystal.na, crystal.nb, crystal.nc, spec)
    elif crystal.shape == ROUND:
        fill_round(n, p, crystal.na, crystal.nb, crystal.nc, crystal.cross, crystal.fudge)
    elif crystal.shape == GAUSS and spec:
        fill_gauss(n, p, crystal.na, crystal.nb, crystal.nc, crystal.cross, crystal.fudge)
    elif crystal.shape == GAUSS:
        fill_scaled_gauss(n, p, crystal.na, crystal.nb, crystal.nc, crystal.star, crystal.fudge)
    else:
        fill_tophat(n, p, crystal.na, crystal.nb, crystal.nc, crystal.cross, crystal.star, crystal.fudge, spec)
