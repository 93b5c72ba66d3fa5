"""The tangent's sums over steps: changes of intensities along each direction."""

from nanobragg_numba.derivatives.bundles import ALL_STEPS
from nanobragg_numba.derivatives.chunk_geometry import WEIGHT, S
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
    gather_from_table,
    has_tensor,
    multiply_structure_factors,
    table_at,
)
from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.formulas import GAUSS, SQUARE, with_table

# Rows of the array of changes (bundles.CHANGE_ROWS of them), for each direction: ray, air path, scattering vector, solid angle,
# capture, polarization, sum, total.
RAY_DOT, AIR_DOT, S_DOT, OMEGA_DOT, CAPTURE_DOT, POLAR_DOT, SUM_DOT, TOTAL_DOT = 0, 3, 4, 7, 8, 9, 10, 11


@derivative
def step_tangent(n, p, w, c, v, v_dot, cells_dot):
    """Add the change of one step's intensity in one direction to SUM_DOT."""
    v0, v1, v2, v3, v4, v5, v6, v7, v8 = v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]
    d0, d1, d2, d3, d4, d5, d6, d7, d8 = v_dot[0], v_dot[1], v_dot[2], v_dot[3], v_dot[4], v_dot[5], v_dot[6], v_dot[7], v_dot[8]
    na, nb, nc = cells_dot[0], cells_dot[1], cells_dot[2]
    for i in range(n):
        x, y, z = w[S, i], w[S + 1, i], w[S + 2, i]
        s, t, u = c[S_DOT, i], c[S_DOT + 1, i], c[S_DOT + 2, i]
        h = d0 * x + d1 * y + d2 * z + v0 * s + v1 * t + v2 * u
        k = d3 * x + d4 * y + d5 * z + v3 * s + v4 * t + v5 * u
        l = d6 * x + d7 * y + d8 * z + v6 * s + v7 * t + v8 * u
        along = p[BY_H, i] * h + p[BY_K, i] * k + p[BY_L, i] * l
        c[SUM_DOT, i] += along + p[BY_NA, i] * na + p[BY_NB, i] * nb + p[BY_NC, i] * nc


@derivative
def shape_tangent(n, p, c, shape, spec, fudge_dot, star_dot, cells_dot):
    """The part of fudge, of the tensor off its diagonal, and for Gaussian crystals in "c" of the reciprocal axes."""
    for i in range(n):
        c[SUM_DOT, i] += p[BY_FUDGE, i] * fudge_dot
    if shape == GAUSS and not spec:
        for row in range(9):
            for i in range(n):
                c[SUM_DOT, i] += p[BY_STAR + row, i] * star_dot[row]
    elif has_tensor(shape, spec):
        for row in range(3):
            for i in range(n):
                c[SUM_DOT, i] += p[BY_CROSS + row, i] * cells_dot[3 + row]


@derivative
def structure_factor_tangent(n, p, c, places, crystal, default_dot, factors_dot):
    """The part of the structure factors; ``factors_dot`` may be empty."""
    corner = (crystal.h_min, crystal.k_min, crystal.l_min)
    for i in range(n):
        c[SUM_DOT, i] += p[BY_F, i] * (default_dot if places[i] == DEFAULT else 0.0)
    if factors_dot.size == 0:
        return
    for i in range(n):
        if places[i] == INTERPOLATED:
            change = gather_from_table(factors_dot, corner, p[INDICES, i], p[INDICES + 1, i], p[INDICES + 2, i])
            c[SUM_DOT, i] += p[BY_F, i] * change
        elif places[i] != DEFAULT:
            c[SUM_DOT, i] += p[BY_F, i] * table_at(factors_dot, places[i])


@derivative(inline=False)
def tangent_steps(n, count, orientations, lattice_dot, all_tables, channel, spec, interpolate, changes, work, sums):
    """Steps at the scattering vectors in ``work.rays``, as for ``add_steps``: adds intensities to ``sums``, changes to SUM_DOT."""
    p, w, c, places = work.partials, work.rays, work.changes, work.places
    dots, factors_dot = changes.variables, changes.factors
    crystal = with_table(all_tables, channel)
    rows = crystal.factors.shape[0]
    listed = crystal.factors.size > 1
    f_squared = 1.0 if listed else crystal.default_F * crystal.default_F
    inner = w[WEIGHT]
    for i in range(n):
        inner[i] = 0.0
    for k in range(c.shape[0]):
        if not listed:
            for i in range(n):
                c[k, SUM_DOT, i] = 0.0
    for number in range(orientations.shape[0] if count == ALL_STEPS else count):
        step = number if count == ALL_STEPS else work.chosen[number]
        v = orientations[step]
        fill_partials(n, w, v, crystal, spec, p)
        if listed:
            interpolate = multiply_structure_factors(n, p, places, crystal, interpolate, spec)
        for i in range(n):
            inner[i] += p[VALUE, i]
        for k in range(c.shape[0]):
            step_tangent(n, p, w, c[k], v, lattice_dot[k, step], dots.cells[k])
            if crystal.shape != SQUARE:
                shape_tangent(n, p, c[k], crystal.shape, spec, dots.fudge[k, 0], dots.star[k], dots.cells[k])
            if listed:
                structure_factor_tangent(
                    n, p, c[k], places, crystal, dots.default_F[k, 0], factors_dot[k, channel * rows : (channel + 1) * rows]
                )
    for i in range(n):
        sums[i] += f_squared * inner[i]
    if not listed:
        for k in range(c.shape[0]):
            twice = 2.0 * crystal.default_F * dots.default_F[k, 0]
            for i in range(n):
                c[k, SUM_DOT, i] = f_squared * c[k, SUM_DOT, i] + twice * inner[i]
    return interpolate
