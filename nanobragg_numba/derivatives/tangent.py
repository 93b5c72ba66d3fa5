"""The tangent: from K directions of change of the continuous variables to K derivative images, in one pass over the steps.

``Changes`` have a leading axis for the direction. Geometry, steps and their partial derivatives are those of the adjoint.
"""

from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles3
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.array_views import from_column
from nanobragg_numba.kernels.live_pixels import live_run
from nanobragg_numba.kernels.reach.loop import choose_steps, for_each_tile, lowest_member
from nanobragg_numba.maths.vectors3 import dot

from .bundles import ALL_STEPS, Changes, Chunk, Pixels, TangentWork
from .chunk_geometry import (  # fmt: skip
    AIR,
    CAPTURE,
    OMEGA,
    POLAR,
    POLAR_BY,
    RAY,
    S,
    chunk_end,
    leaves_out,
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
from .sums.changes import AIR_DOT, CAPTURE_DOT, OMEGA_DOT, POLAR_DOT, RAY_DOT, S_DOT, SUM_DOT, TOTAL_DOT, tangent_steps


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


@derivative
def spec_source_tangent(n, source, count, tables, interpolate, changes, work, out, at):
    """One source's part of ``spec_tangent_chunk``, whose pixels begin in ``out`` at ``at``; ``count``: see the adjoint's ``add_steps``."""
    _, beam, crystal, rules = tables
    w, c, keep, sums, dots = work.rays, work.changes, work.keep, work.sums[0], changes.variables
    per_step = rules.scale / rules.steps
    directions = c.shape[0]
    wavelength, weight = beam.wavelengths[source], beam.weights[source]
    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
    if beam.polarized:
        polarize(n, form_of(source, beam), w)
    for k in range(directions):
        scattering_tangents(n, source, wavelength, dots, w, c[k], k)
        if beam.polarized:
            polarization_tangents(n, form_tangent(source, beam, dots, k), w, c[k])
        c[k, SUM_DOT, :n] = 0.0
    sums[:n] = 0.0
    tangent_steps(
        n, count, crystal.orientations, changes.lattice, crystal, beam.channels[source], True, interpolate, changes, work, sums
    )  # fmt: skip
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
            out[k, at + i] += keep[i] * per_step * (both * total + weight * factor * total_dot)


@derivative
def c_source_tangent(n, source, count, tables, first, interpolate, changes, work):
    """One source's part of ``c_tangent_chunk``; see ``c_source``."""
    _, beam, crystal, _ = tables
    w, c, keep, sums, totals, dots = work.rays, work.changes, work.keep, work.sums[0], work.sums[1], changes.variables
    wavelength = beam.wavelengths[source]
    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
    if n == 1 and keep[0] == 0.0:
        return first, interpolate
    for k in range(c.shape[0]):
        scattering_tangents(n, source, wavelength, dots, w, c[k], k)
        c[k, SUM_DOT, :n] = 0.0
    sums[:n] = 0.0
    if first:
        orientations, lattice_dot = crystal.first_orientations, changes.first_lattice
    else:
        orientations, lattice_dot = crystal.orientations, changes.lattice
    interpolate = tangent_steps(
        n, count, orientations, lattice_dot, crystal, beam.channels[source], False, interpolate, changes, work, sums
    )  # fmt: skip
    for i in range(n):
        totals[i] += keep[i] * sums[i]
    for k in range(c.shape[0]):
        for i in range(n):
            c[k, TOTAL_DOT, i] += keep[i] * c[k, SUM_DOT, i]
    return False, interpolate


@derivative
def still_dry(dots):
    """Whether no direction changes the background, which pixels have without any step."""
    for k in range(dots.background.shape[0]):  # noqa: SIM110
        if dots.background[k, 0] != 0.0:
            return False
    return True


@derivative(inline=False)
def add_tile_changes(tile, given):
    """The changes of the steps that may matter to one tile."""
    tables, changes, work, out = given
    n, at, together = tile.pixels, tile.start, tile.sources
    here = TangentWork(
        from_column(work.partials, at), from_column(work.rays, at), from_column(work.changes, at), from_column(work.keep, at),
        from_column(work.places, at), from_column(work.sums, at), work.search, work.chosen,
    )  # fmt: skip
    while together != 0:
        source = lowest_member(together)
        together &= together - 1
        count = choose_steps(tile.entries, source, work.search, work.chosen)
        if tables.rules.spec:
            spec_source_tangent(n, tile.first_source + source, count, tables, False, changes, here, out, at)
        else:
            c_source_tangent(n, tile.first_source + source, count, tables, False, False, changes, here)


@derivative(inline=False)
def add_reached_changes(n, tables, reach, changes, work, out):
    """The steps of all sources that may matter; see the adjoint's ``add_reached``."""
    _, beam, crystal, _ = tables
    given = (tables, changes, work, out)
    all_sources = (0, beam.wavelengths.shape[0])
    for_each_tile(n, work.rays[RAY : RAY + 3], all_sources, beam, crystal.orientations, reach, work.search, add_tile_changes, given)


@derivative(inline=False)
def spec_tangent_chunk(chunk, tables, reach, interpolate, changes, work, out):
    """Derivative images ``out`` (K, pixels) of the pixels of a chunk in "spec"."""
    detector, beam, _, rules = tables
    n, w, c, dots = chunk.pixels, work.rays, work.changes, changes.variables
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
                if leaves_out(reach, interpolate) and rules.background == 0.0 and still_dry(dots):
                    add_reached_changes(n, tables, reach, changes, work, out)
                else:
                    for source in range(beam.wavelengths.shape[0]):
                        spec_source_tangent(n, source, ALL_STEPS, tables, interpolate, changes, work, out, 0)


@derivative(inline=False)
def c_tangent_chunk(chunk, tables, reach, first, interpolate, changes, work, out):
    """Derivative images ``out`` (K, pixels) of the pixels of a chunk in "c"; see ``c_chunk``."""
    detector, beam, _, rules = tables
    n, start, slow, w, c, dots = chunk.pixels, chunk.fast, chunk.slow, work.rays, work.changes, changes.variables
    totals = work.sums[1]
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
                if leaves_out(reach, interpolate) and not first:
                    add_reached_changes(n, tables, reach, changes, work, out)
                else:
                    for source in range(beam.wavelengths.shape[0]):
                        first, interpolate = c_source_tangent(n, source, ALL_STEPS, tables, first, interpolate, changes, work)
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
                    spec_tangent_chunk(chunk, tables, pixels.reach, rules.interpolate, changes, work, images)
                else:
                    interpolate = rules.interpolate and (pixels.leaving < 0 or index <= pixels.leaving)
                    c_tangent_chunk(chunk, tables, pixels.reach, index == pixels.first, interpolate, changes, work, images)
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
