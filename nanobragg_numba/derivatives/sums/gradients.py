"""The adjoint's sums over steps: gradients of axes, scattering vectors, crystal and structure factors."""

import math

from nanobragg_numba.derivatives.bundles import ALL_STEPS, Gradients
from nanobragg_numba.derivatives.chunk_geometry import S_BAR, STEP_WEIGHT, SUM, WEIGHT, S, zero_of
from nanobragg_numba.derivatives.formula_derivatives import cubic_weights
from nanobragg_numba.derivatives.gradient_sums import add_at, add_to
from nanobragg_numba.derivatives.step_derivatives import (
    BY_CROSS,
    BY_F,
    BY_FUDGE,
    BY_H,
    BY_K,
    BY_L,
    BY_NA,
    BY_NB,
    BY_NC,
    BY_STAR,
    DEFAULT,
    INDICES,
    INTERPOLATED,
    VALUE,
    fill_partials,
    has_tensor,
    multiply_structure_factors,
)
from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.formulas import GAUSS, SQUARE


@derivative
def spread_over_table(flat_bar, shape, corner, h, k, l, amount):
    """Add to ``flat_bar`` the gradient ``amount`` of an interpolated structure factor, by the weights of its 64 values.

    ``flat_bar``: gradients of the table's elements, in one row; ``shape``: the table's.
    """
    h0, k0, l0 = math.floor(h.real), math.floor(k.real), math.floor(l.real)
    wh, wk, wl = cubic_weights(h, h0), cubic_weights(k, k0), cubic_weights(l, l0)
    i, j, m = int(h0) - corner[0] - 1, int(k0) - corner[1] - 1, int(l0) - corner[2] - 1
    for a in range(4):
        for b in range(4):
            row = ((i + a) * shape[1] + j + b) * shape[2] + m
            for c in range(4):
                add_at(flat_bar, row + c, wh[a] * wk[b] * wl[c] * amount)


@derivative
def add_step(n, p, w, v, lattice_bar, bars):
    """Add the gradients of one step: ``w`` holds S, S_BAR, STEP_WEIGHT and SUM, ``v`` (9,) the step's axes."""
    v0, v1, v2, v3, v4, v5, v6, v7, v8 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]
    zero = w[STEP_WEIGHT, 0] - w[STEP_WEIGHT, 0]
    g0 = g1 = g2 = g3 = g4 = g5 = g6 = g7 = g8 = na = nb = nc = zero
    for i in range(n):
        weight = w[STEP_WEIGHT, i]
        a, b, c = weight * p[BY_H, i], weight * p[BY_K, i], weight * p[BY_L, i]
        x, y, z = w[S, i], w[S + 1, i], w[S + 2, i]
        g0, g1, g2 = g0 + a * x, g1 + a * y, g2 + a * z
        g3, g4, g5 = g3 + b * x, g4 + b * y, g5 + b * z
        g6, g7, g8 = g6 + c * x, g7 + c * y, g8 + c * z
        w[S_BAR, i] += a * v0 + b * v3 + c * v6
        w[S_BAR + 1, i] += a * v1 + b * v4 + c * v7
        w[S_BAR + 2, i] += a * v2 + b * v5 + c * v8
        w[SUM, i] += p[VALUE, i]
        na, nb, nc = na + weight * p[BY_NA, i], nb + weight * p[BY_NB, i], nc + weight * p[BY_NC, i]
    add_to(lattice_bar, 0, (g0, g1, g2))
    add_to(lattice_bar, 3, (g3, g4, g5))
    add_to(lattice_bar, 6, (g6, g7, g8))
    add_to(bars.cells, 0, (na, nb, nc))


@derivative
def add_shape(n, p, w, shape, spec, bars):
    """Gradients that parallelepipeds do not have: fudge, the tensor off its diagonal, of Gaussian crystals in "c" the reciprocal axes."""
    total = zero_of(w)
    for i in range(n):
        total += w[STEP_WEIGHT, i] * p[BY_FUDGE, i]
    add_at(bars.fudge, 0, total)
    if shape == GAUSS and not spec:
        for row in range(9):
            total = zero_of(w)
            for i in range(n):
                total += w[STEP_WEIGHT, i] * p[BY_STAR + row, i]
            add_at(bars.star, row, total)
    elif has_tensor(shape, spec):
        for row in range(3):
            total = zero_of(w)
            for i in range(n):
                total += w[STEP_WEIGHT, i] * p[BY_CROSS + row, i]
            add_at(bars.cells, 3 + row, total)


@derivative
def add_structure_factors(n, p, w, places, crystal, bars, factors_bar):
    """The gradient of the default structure factor and, unless ``factors_bar`` is empty, each listed one's own."""
    corner = (crystal.h_min, crystal.k_min, crystal.l_min)
    default = zero_of(w)
    for i in range(n):
        default += w[STEP_WEIGHT, i] * p[BY_F, i] * (1.0 if places[i] == DEFAULT else 0.0)
    add_at(bars.default_F, 0, default)
    if factors_bar.shape[0] == 0:
        return
    for i in range(n):
        amount = w[STEP_WEIGHT, i] * p[BY_F, i]
        if places[i] == DEFAULT:
            continue
        if places[i] == INTERPOLATED:
            spread_over_table(factors_bar, crystal.factors.shape, corner, p[INDICES, i], p[INDICES + 1, i], p[INDICES + 2, i], amount)
        else:
            add_at(factors_bar, places[i], amount)


@derivative
def add_steps(n, count, orientations, lattice_bar, crystal, spec, interpolate, gradients, work):
    """The first ``count`` of the steps in ``work.chosen``, or all with ALL_STEPS, at the scattering vectors in ``work.rays``, weighted
    with WEIGHT; SUM becomes their sum. Returns ``interpolate``."""
    p, w, places = work.partials, work.rays, work.places
    bars, factors_bar = gradients.variables, gradients.factors
    listed = crystal.factors.size > 1
    f = crystal.default_F
    f_squared = f * f
    for i in range(n):
        w[STEP_WEIGHT, i] = w[WEIGHT, i] if listed else w[WEIGHT, i] * f_squared
        w[SUM, i] = 0.0
    for number in range(orientations.shape[0] if count == ALL_STEPS else count):
        step = number if count == ALL_STEPS else work.chosen[number]
        v = orientations[step]
        fill_partials(n, w, v, crystal, spec, p)
        if listed:
            interpolate = multiply_structure_factors(n, p, places, crystal, interpolate, spec)
            add_structure_factors(n, p, w, places, crystal, bars, factors_bar)
        add_step(n, p, w, v, lattice_bar[step], bars)
        if crystal.shape != SQUARE:
            add_shape(n, p, w, crystal.shape, spec, bars)
    if not listed:
        total = f - f
        for i in range(n):
            total += w[WEIGHT, i] * w[SUM, i]
            w[SUM, i] *= f_squared
        add_at(bars.default_F, 0, 2.0 * f * total)
    return interpolate


@derivative
def sums_of_table(gradients, crystal, table):
    """The gradients with those of one table of structure factors alone."""
    size = gradients.factors.shape[0] // crystal.tables
    own = gradients.factors[table * size : (table + 1) * size]
    return Gradients(gradients.lattice, gradients.first_lattice, gradients.variables, own)
