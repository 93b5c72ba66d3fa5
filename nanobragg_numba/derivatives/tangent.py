"""The tangent: from K directions of change of the continuous variables to K derivative images, in one pass over the steps.

``Changes`` have a leading axis for the direction. Geometry, steps and their partial derivatives are those of the adjoint.
"""

from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles3
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.formulas import GAUSS, SQUARE, with_table
from nanobragg_numba.kernels.live_pixels import live_run
from nanobragg_numba.maths.vectors3 import dot

from .bundles import Changes, Chunk, Pixels, TangentWork
from .chunk_geometry import (  # fmt: skip
    AIR,
    CAPTURE,
    OMEGA,
    POLAR,
    POLAR_BY,
    WEIGHT,
    S,
    chunk_end,
    own_factors,
    polarize,
    ray_at,
    rays,
    scattering,
)
from .formula_derivatives import along_unit
from .kept_corrections import (
    capture_tangent,
    form_of,
    form_tangent,
    kept_factors,
    kept_factors_tangent,
    polarization_tangent,
    position_tangent,
    solid_angle_tangent,
    vector_of,
)
from .step_derivatives import (
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
    multiply_structure_factors,
    table_at,
)

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
def shape_tangent(n, p, c, shape, spec, fudge_dot, star_dot):
    """The part of fudge and, for Gaussian crystals in "c", of the reciprocal axes."""
    for i in range(n):
        c[SUM_DOT, i] += p[BY_FUDGE, i] * fudge_dot
    if shape == GAUSS and not spec:
        for row in range(9):
            for i in range(n):
                c[SUM_DOT, i] += p[BY_STAR + row, i] * star_dot[row]


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
def tangent_steps(n, orientations, lattice_dot, all_tables, channel, spec, interpolate, changes, work, sums):
    """All steps at the scattering vectors in ``work.rays``: adds their intensities to ``sums`` and their changes to SUM_DOT."""
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
    for step in range(orientations.shape[0]):
        v = orientations[step]
        fill_partials(n, w, v, crystal, spec, p)
        if listed:
            interpolate = multiply_structure_factors(n, p, places, crystal, interpolate, spec)
        for i in range(n):
            inner[i] += p[VALUE, i]
        for k in range(c.shape[0]):
            step_tangent(n, p, w, c[k], v, lattice_dot[k, step], dots.cells[k])
            if crystal.shape != SQUARE:
                shape_tangent(n, p, c[k], crystal.shape, spec, dots.fudge[k, 0], dots.star[k])
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


@derivative
def ray_tangents(chunk, sub_slow, sub_fast, layer, detector, dots, w, c, k):
    """Changes of directions and lengths of the diffracted rays of a chunk."""
    n, start, slow = chunk.pixels, chunk.fast, chunk.slow
    for i in range(n):
        ray = ray_at(w, i)
        change = position_tangent(slow, start + i, sub_slow, sub_fast, layer, detector, dots, k)
        c[RAY_DOT, i], c[RAY_DOT + 1, i], c[RAY_DOT + 2, i] = along_unit(ray, w[AIR, i], change)
        c[AIR_DOT, i] = dot(ray, change)


@derivative
def scattering_tangents(n, source, wavelength, dots, w, c, k):
    """Changes of n scattering vectors."""
    inverse = 1.0 / wavelength
    stretch = dots.wavelengths[k, source] * inverse
    for axis in range(3):
        incident_dot = dots.incident[k, 3 * source + axis]
        for i in range(n):
            c[S_DOT + axis, i] = (c[RAY_DOT + axis, i] - incident_dot) * inverse - w[S + axis, i] * stretch


@derivative
def polarization_tangents(n, form_dot, w, c):
    """Changes of n polarization factors."""
    for i in range(n):
        slope = (w[POLAR_BY, i], w[POLAR_BY + 1, i], w[POLAR_BY + 2, i])
        c[POLAR_DOT, i] = polarization_tangent(form_dot, slope, ray_at(w, i), (c[RAY_DOT, i], c[RAY_DOT + 1, i], c[RAY_DOT + 2, i]))


@derivative(inline=False)
def spec_tangent_chunk(chunk, tables, interpolate, changes, work, out):
    """Derivative images ``out`` (K, pixels) of the pixels of a chunk in "spec"."""
    detector, beam, crystal, rules = tables
    n, w, c, keep, sums, dots = chunk.pixels, work.rays, work.changes, work.keep, work.sums[0], changes.variables
    per_step = rules.scale / rules.steps
    directions = c.shape[0]
    out[:, :n] = 0.0
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                rays(chunk, sub_slow, sub_fast, layer, detector, w)
                own_factors(n, layer, detector, w)
                for k in range(directions):
                    ray_tangents(chunk, sub_slow, sub_fast, layer, detector, dots, w, c[k], k)
                    for i in range(n):
                        c[k, OMEGA_DOT, i] = solid_angle_tangent(w[OMEGA, i], w[AIR, i], c[k, AIR_DOT, i], detector, dots, k)
                        c[k, CAPTURE_DOT, i] = 0.0
                        c[k, POLAR_DOT, i] = 0.0
                        if detector.thickness != 0.0:
                            ray_dot = (c[k, RAY_DOT, i], c[k, RAY_DOT + 1, i], c[k, RAY_DOT + 2, i])
                            c[k, CAPTURE_DOT, i] = capture_tangent(layer, ray_at(w, i), ray_dot, detector, dots, k)
                for source in range(beam.wavelengths.shape[0]):
                    wavelength, weight = beam.wavelengths[source], beam.weights[source]
                    incident = vector_of(beam.incident[source], 0)
                    scattering(n, incident, wavelength, beam.dmin, w, keep)
                    if beam.polarized:
                        polarize(n, form_of(source, beam), w)
                    for k in range(directions):
                        scattering_tangents(n, source, wavelength, dots, w, c[k], k)
                        if beam.polarized:
                            polarization_tangents(n, form_tangent(source, beam, dots, k), w, c[k])
                        c[k, SUM_DOT, :n] = 0.0
                    sums[:n] = 0.0
                    tangent_steps(
                        n, crystal.orientations, changes.lattice, crystal, beam.channels[source], True, interpolate, changes, work, sums
                    )
                    for k in range(directions):
                        weight_dot = dots.weights[k, source]
                        scale_dot = dots.scale[k, 0] / rules.scale
                        for i in range(n):
                            total = sums[i] + rules.background
                            total_dot = c[k, SUM_DOT, i] + dots.background[k, 0]
                            capture, polar, omega = w[CAPTURE, i], w[POLAR, i], w[OMEGA, i]
                            factor = capture * polar * omega
                            change = c[k, CAPTURE_DOT, i] * polar * omega + capture * c[k, POLAR_DOT, i] * omega
                            change += capture * polar * c[k, OMEGA_DOT, i]
                            both = (weight_dot + weight * scale_dot) * factor + weight * change
                            out[k, i] += keep[i] * per_step * (both * total + weight * factor * total_dot)


@derivative(inline=False)
def c_tangent_chunk(chunk, tables, first, interpolate, changes, work, out):
    """Derivative images ``out`` (K, pixels) of the pixels of a chunk in "c"; see ``c_chunk``."""
    detector, beam, crystal, rules = tables
    n, start, slow, w, c, keep, dots = chunk.pixels, chunk.fast, chunk.slow, work.rays, work.changes, work.keep, changes.variables
    sums, totals = work.sums[0], work.sums[1]
    per_step = rules.scale / rules.steps
    directions = c.shape[0]
    totals[:n] = rules.background
    for k in range(directions):
        c[k, TOTAL_DOT, :n] = dots.background[k, 0]
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                rays(chunk, sub_slow, sub_fast, layer, detector, w)
                for k in range(directions):
                    ray_tangents(chunk, sub_slow, sub_fast, layer, detector, dots, w, c[k], k)
                for source in range(beam.wavelengths.shape[0]):
                    wavelength = beam.wavelengths[source]
                    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
                    if n == 1 and keep[0] == 0.0:
                        continue
                    for k in range(directions):
                        scattering_tangents(n, source, wavelength, dots, w, c[k], k)
                        c[k, SUM_DOT, :n] = 0.0
                    sums[:n] = 0.0
                    if first:
                        orientations, lattice_dot = crystal.first_orientations, changes.first_lattice
                    else:
                        orientations, lattice_dot = crystal.orientations, changes.lattice
                    first = False
                    interpolate = tangent_steps(
                        n, orientations, lattice_dot, crystal, beam.channels[source], False, interpolate, changes, work, sums
                    )
                    for i in range(n):
                        totals[i] += keep[i] * sums[i]
                    for k in range(directions):
                        for i in range(n):
                            c[k, TOTAL_DOT, i] += keep[i] * c[k, SUM_DOT, i]
    for i in range(n):
        omega, capture, polar = kept_factors(slow, start + i, tables)
        factor = capture * polar * omega
        for k in range(directions):
            omega_dot, capture_dot, polar_dot = kept_factors_tangent(slow, start + i, tables, dots, k)
            change = capture_dot * polar * omega + capture * polar_dot * omega + capture * polar * omega_dot
            change += factor * dots.scale[k, 0] / rules.scale
            out[k, i] = per_step * (change * totals[i] + factor * c[k, TOTAL_DOT, i])


@derivative(inline=False)
def tangent_rows(rows, step, pixels, tables, changes, work, out):
    """Fill ``out`` (K, slow, fast) in every ``step``-th row of ``rows``; see ``adjoint_rows``."""
    rules = tables.rules
    width = tables.detector.fast_pixels
    for slow in range(rows[0], rows[1], step):
        start = pixels.columns[0]
        while start < pixels.columns[1]:
            end = chunk_end(start, pixels.columns[1], slow * width, (pixels.first, pixels.leaving))
            first, n = live_run(pixels.mask, slow, start, end)
            start = first + n
            if n > 0:
                chunk = Chunk(slow, first, n)
                index = slow * width + first
                images = out[:, slow, first:start]
                if rules.spec:
                    spec_tangent_chunk(chunk, tables, rules.interpolate, changes, work, images)
                else:
                    interpolate = rules.interpolate and (pixels.leaving < 0 or index <= pixels.leaving)
                    c_tangent_chunk(chunk, tables, index == pixels.first, interpolate, changes, work, images)
                for i in range(n):
                    if not pixels.mask[slow, first + i]:
                        out[:, slow, first + i] = 0.0


@entry
def tangent_blocks(
    blocks: tuple[int, int], work: TangentWork, step: int, rows: tuple[int, int], pixels: Pixels, tables: Tables, changes: Changes,
    out: Doubles3,
) -> None:  # fmt: skip
    """``tangent_rows`` of some blocks: block b has the rows b, b + ``step``, ... of ``rows``."""
    for block in range(blocks[0], blocks[1]):
        tangent_rows((rows[0] + block, rows[1]), step, pixels, tables, changes, work, out)
