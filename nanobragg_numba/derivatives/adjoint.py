"""The adjoint: from the gradient with respect to the image to those of all continuous variables, in one pass over the steps.

Nothing of the forward pass is stored: each step is computed again. ``Gradients`` are added up; those with respect to the turned lattice
axes of each step are handed on to angles, spindle, mosaic rotations and cell axes at the end (lattice_turning.py). All may be complex
(complex_step.py).
"""

from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles2, Numbers2, Numbers3, Singles2
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.array_views import from_column
from nanobragg_numba.kernels.formulas import with_table
from nanobragg_numba.kernels.live_pixels import GAP
from nanobragg_numba.kernels.reach.loop import choose_steps, end_of_direction, for_each_tile, lowest_member

from . import complex_step  # noqa: F401 - the formulas must know complex numbers before they are compiled
from .bundles import ALL_STEPS, AdjointWork, Chunk, Gradients, Pixels
from .chunk_geometry import (  # fmt: skip
    AIR,
    AIR_BAR,
    CAPTURE,
    OMEGA,
    OWN,
    OWN_BAR,
    POLAR,
    POLAR_BY,
    RAY,
    RAY_BAR,
    S_BAR,
    SUM,
    WEIGHT,
    S,
    chunk_end,
    leaves_out,
    own_factors,
    polarize,
    ray_at,
    rays,
    scattering,
    zero_of,
)
from .flat_variables import Variables
from .formula_derivatives import solid_angle_partials
from .gradient_sums import add_at, add_to
from .kept_corrections import (
    capture_adjoint,
    flat_adjoint,
    form_of,
    kept_factors,
    kept_factors_adjoint,
    places_on_pixel,
    position_bar,
    pull_form,
    ray_adjoint,
    vector_of,
)
from .sums.gradients import add_steps, sums_of_table


@derivative
def pull_rays(chunk, sub_slow, sub_fast, layer, detector, w, bars):
    """Hand the gradients of the rays on to the detector."""
    n, start, slow = chunk.pixels, chunk.fast, chunk.slow
    if detector.curved:
        for i in range(n):
            bar = (w[RAY_BAR, i], w[RAY_BAR + 1, i], w[RAY_BAR + 2, i])
            ray_adjoint(slow, start + i, sub_slow, sub_fast, layer, ray_at(w, i), w[AIR, i], bar, w[AIR_BAR, i], detector, bars)
        return
    x = y = z = by_x = by_y = by_z = zero_of(w)
    for i in range(n):
        bar = position_bar(ray_at(w, i), w[AIR, i], (w[RAY_BAR, i], w[RAY_BAR + 1, i], w[RAY_BAR + 2, i]), w[AIR_BAR, i])
        f, _ = places_on_pixel(slow, start + i, sub_slow, sub_fast, detector)
        x, y, z = x + bar[0], y + bar[1], z + bar[2]
        by_x, by_y, by_z = by_x + f * bar[0], by_y + f * bar[1], by_z + f * bar[2]
    _, s = places_on_pixel(slow, start, sub_slow, sub_fast, detector)
    flat_adjoint((x, y, z), (by_x, by_y, by_z), s, layer, detector, bars)


@derivative
def pull_scattering(n, source, wavelength, w, bars):
    """Hand the gradients of the scattering vectors on to ray, source and wavelength."""
    inverse = 1.0 / wavelength
    a = b = c = along = zero_of(w)
    for i in range(n):
        x, y, z = w[S_BAR, i] * inverse, w[S_BAR + 1, i] * inverse, w[S_BAR + 2, i] * inverse
        w[RAY_BAR, i] += x
        w[RAY_BAR + 1, i] += y
        w[RAY_BAR + 2, i] += z
        a, b, c = a - x, b - y, c - z
        along += x * w[S, i] + y * w[S + 1, i] + z * w[S + 2, i]
    add_to(bars.incident, 3 * source, (a, b, c))
    add_at(bars.wavelengths, source, -along)


@derivative
def pull_factors(n, g, keep, source, per_step, tables, w, bars):
    """Hand the gradients of one source's sums on to its weight, the scale, its polarization factors and the rays' own factors."""
    _, beam, _, rules = tables
    weight = beam.weights[source]
    by_weight = xx = yy = zz = xy = xz = yz = zero_of(w)
    for i in range(n):
        polar, own = w[POLAR, i], w[OWN, i]
        bar = g[i] * keep[i] * per_step * (w[SUM, i] + rules.background)
        by_weight += bar * own * polar
        bar *= weight
        w[OWN_BAR, i] += bar * polar
        bar *= own
        w[RAY_BAR, i] += bar * w[POLAR_BY, i]
        w[RAY_BAR + 1, i] += bar * w[POLAR_BY + 1, i]
        w[RAY_BAR + 2, i] += bar * w[POLAR_BY + 2, i]
        x, y, z = ray_at(w, i)
        x_bar, y_bar, z_bar = bar * x, bar * y, bar * z
        xx, yy, zz = xx + x_bar * x, yy + y_bar * y, zz + z_bar * z
        xy, xz, yz = xy + x_bar * y, xz + x_bar * z, yz + y_bar * z
    add_at(bars.weights, source, by_weight)
    add_at(bars.scale, 0, by_weight * weight / rules.scale)
    if beam.polarized:
        pull_form(source, (xx, yy, zz, xy, xz, yz), beam, bars)


@derivative
def pull_own_factors(n, layer, detector, w, bars):
    """Hand the gradients of solid angles and capture fractions on to rays and detector."""
    by_pixel = by_distance = zero_of(w)
    for i in range(n):
        bar = w[OWN_BAR, i] * w[CAPTURE, i]
        airpath_part, pixel_part, distance_part = solid_angle_partials(w[OMEGA, i], w[AIR, i], detector)
        w[AIR_BAR, i] += bar * airpath_part
        by_pixel, by_distance = by_pixel + bar * pixel_part, by_distance + bar * distance_part
    add_at(bars.pixel_size, 0, by_pixel)
    add_at(bars.close_distance, 0, by_distance)
    if detector.thickness != 0.0:
        for i in range(n):
            x, y, z = capture_adjoint(layer, ray_at(w, i), w[OWN_BAR, i] * w[OMEGA, i], detector, bars)
            w[RAY_BAR, i] += x
            w[RAY_BAR + 1, i] += y
            w[RAY_BAR + 2, i] += z


@derivative
def spec_source(n, source, count, tables, interpolate, gradients, work):
    """One source's part of ``spec_chunk``; ``count``: see ``add_steps``."""
    _, beam, crystal, rules = tables
    w, keep, bars, g = work.rays, work.keep, gradients.variables, work.totals[1]
    per_step = rules.scale / rules.steps
    wavelength, weight = beam.wavelengths[source], beam.weights[source]
    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
    if beam.polarized:
        polarize(n, form_of(source, beam), w)
    background = zero_of(w)
    for i in range(n):
        w[WEIGHT, i] = g[i] * keep[i] * per_step * weight * (w[POLAR, i] * w[OWN, i])
        background += w[WEIGHT, i]
    if count == ALL_STEPS:
        add_at(bars.background, 0, background)
    channel = beam.channels[source]
    listed, sums = with_table(crystal, channel), sums_of_table(gradients, crystal, channel)
    add_steps(n, count, crystal.orientations, gradients.lattice, listed, True, interpolate, sums, work)
    pull_scattering(n, source, wavelength, w, bars)
    pull_factors(n, g, keep, source, per_step, tables, w, bars)


@derivative
def c_source(n, source, count, tables, first, interpolate, gradients, work):
    """One source's part of ``c_chunk``. Returns whether the run's first sweep is still to come, and ``interpolate``."""
    _, beam, crystal, rules = tables
    w, keep, total, g = work.rays, work.keep, work.totals[0], work.totals[1]
    per_step = rules.scale / rules.steps
    wavelength = beam.wavelengths[source]
    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
    for i in range(n):
        w[WEIGHT, i] = g[i] * keep[i] * per_step * (w[CAPTURE, i] * w[POLAR, i] * w[OMEGA, i])
    if n == 1 and keep[0] == 0.0:
        return first, interpolate
    if first:
        orientations, lattice = crystal.first_orientations, gradients.first_lattice
    else:
        orientations, lattice = crystal.orientations, gradients.lattice
    channel = beam.channels[source]
    listed, sums = with_table(crystal, channel), sums_of_table(gradients, crystal, channel)
    interpolate = add_steps(n, count, orientations, lattice, listed, False, interpolate, sums, work)
    pull_scattering(n, source, wavelength, w, gradients.variables)
    for i in range(n):
        total[i] += keep[i] * w[SUM, i]
    return False, interpolate


@derivative(inline=False)
def add_background(n, tables, gradients, work):
    """The gradient with respect to the background, which is zero ("spec")."""
    _, beam, _, rules = tables
    w, g, sources = work.rays, work.totals[1], beam.wavelengths.shape[0]
    first = 0
    while first < sources:
        end = end_of_direction(first, beam.incident)
        if beam.polarized:
            polarize(n, form_of(first, beam), w)
        total = weight = zero_of(w)
        for source in range(first, end):
            weight += beam.weights[source]
        for i in range(n):
            total += g[i] * (w[POLAR, i] * w[OWN, i])
        add_at(gradients.variables.background, 0, total * weight * (rules.scale / rules.steps))
        first = end


@derivative(inline=False)
def add_tile(tile, given):
    """The gradients of the steps that may matter to one tile."""
    tables, gradients, work = given
    n, at, together = tile.pixels, tile.start, tile.sources
    here = AdjointWork(
        from_column(work.partials, at), from_column(work.rays, at), from_column(work.keep, at), from_column(work.places, at),
        from_column(work.totals, at), work.search, work.chosen,
    )  # fmt: skip
    while together != 0:
        source = lowest_member(together)
        together &= together - 1
        count = choose_steps(tile.entries, source, work.search, work.chosen)
        if tables.rules.spec:
            spec_source(n, tile.first_source + source, count, tables, False, gradients, here)
        else:
            c_source(n, tile.first_source + source, count, tables, False, False, gradients, here)


@derivative(inline=False)
def add_reached(n, tables, reach, gradients, work):
    """The steps of all sources that may matter, at one sub-pixel and layer; those left out are zero in "spec", and tiny in "c"."""
    _, beam, crystal, rules = tables
    if rules.spec:
        add_background(n, tables, gradients, work)
    given = (tables, gradients, work)
    all_sources = (0, beam.wavelengths.shape[0])
    for_each_tile(n, work.rays[RAY : RAY + 3], all_sources, beam, crystal.orientations, reach, work.search, add_tile, given)


@derivative(inline=False)
def spec_chunk(chunk, tables, reach, interpolate, gradients, work):
    """Gradients of the pixels of a chunk in "spec", where each source's sum has its own factors."""
    detector, beam, _, rules = tables
    n, w, bars = chunk.pixels, work.rays, gradients.variables
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                rays(chunk, sub_slow, sub_fast, layer, detector, w)
                own_factors(n, layer, detector, w)
                if leaves_out(reach, interpolate) and rules.background == 0.0 and beam.dmin == 0.0:
                    add_reached(n, tables, reach, gradients, work)
                else:
                    for source in range(beam.wavelengths.shape[0]):
                        spec_source(n, source, ALL_STEPS, tables, interpolate, gradients, work)
                pull_own_factors(n, layer, detector, w, bars)
                pull_rays(chunk, sub_slow, sub_fast, layer, detector, w, bars)


@derivative(inline=False)
def c_chunk(chunk, tables, reach, first, interpolate, gradients, work):
    """Gradients of the pixels of a chunk in "c", where one solid angle, capture fraction and polarization factor holds for the whole pixel.

    ``first``: the run's first sweep is in this pixel, which then stands alone, as does one that leaves the table (Q2).
    """
    detector, beam, _, rules = tables
    n, start, slow, w, bars = chunk.pixels, chunk.fast, chunk.slow, work.rays, gradients.variables
    total, g = work.totals[0], work.totals[1]
    per_step = rules.scale / rules.steps
    background = by_scale = zero_of(w)
    for i in range(n):
        w[OMEGA, i], w[CAPTURE, i], w[POLAR, i] = kept_factors(slow, start + i, tables)
        total[i] = rules.background
        background += g[i] * per_step * (w[CAPTURE, i] * w[POLAR, i] * w[OMEGA, i])
    add_at(bars.background, 0, background)
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                rays(chunk, sub_slow, sub_fast, layer, detector, w)
                if leaves_out(reach, interpolate) and not first:
                    add_reached(n, tables, reach, gradients, work)
                else:
                    for source in range(beam.wavelengths.shape[0]):
                        first, interpolate = c_source(n, source, ALL_STEPS, tables, first, interpolate, gradients, work)
                pull_rays(chunk, sub_slow, sub_fast, layer, detector, w, bars)
    for i in range(n):
        bar = g[i] * per_step * total[i]
        capture, polar, omega = w[CAPTURE, i], w[POLAR, i], w[OMEGA, i]
        by_scale += bar * capture * polar * omega
        kept_factors_adjoint(slow, start + i, bar * capture * polar, bar * polar * omega, bar * capture * omega, tables, bars)
    add_at(bars.scale, 0, by_scale / rules.scale)


@derivative
def gradient_at(singles, doubles, slow, fast):
    """One element of the image's gradient, which is in whichever of the two is not empty."""
    return float(singles[slow, fast]) if singles.shape[0] > 0 else doubles[slow, fast]


@derivative
def active_run(mask, singles, doubles, slow, start, end, g):
    """As ``live_run``, of pixels whose gradient is not zero; ``g`` gets the gradient."""
    first = start
    while first < end and not (mask[slow, first] and gradient_at(singles, doubles, slow, first) != 0.0):
        first += 1
    n = 0
    for i in range(end - first):
        value = gradient_at(singles, doubles, slow, first + i) if mask[slow, first + i] else 0.0
        g[i] = value
        if value != 0.0:
            n = i + 1
        elif i - n >= GAP:
            break
    return first, n


@derivative(inline=False)
def adjoint_rows(rows, step, pixels, singles, doubles, tables, gradients, work):
    """Add up the gradients of every ``step``-th row of ``rows``.

    ``singles`` or ``doubles`` (slow, fast), the other (0, 0): the image's gradient.
    """
    rules = tables.rules
    width = tables.detector.fast_pixels
    for slow in range(rows[0], rows[1], step):
        start = pixels.columns[0]
        while start < pixels.columns[1]:
            end = chunk_end(start, pixels.columns[1], slow * width, (pixels.first, pixels.leaving))
            first, n = active_run(pixels.mask, singles, doubles, slow, start, end, work.totals[1])
            start = first + n
            if n > 0:
                chunk = Chunk(slow, first, n)
                index = slow * width + first
                if rules.spec:
                    spec_chunk(chunk, tables, pixels.reach, rules.interpolate, gradients, work)
                else:
                    interpolate = rules.interpolate and (pixels.leaving < 0 or index <= pixels.leaving)
                    c_chunk(chunk, tables, pixels.reach, index == pixels.first, interpolate, gradients, work)


@derivative
def gradients_of(block, lattice, first_lattice, bars, factors):
    """The gradients of one block, from arrays with a row for each."""
    return Gradients(
        lattice[block], first_lattice[block],
        Variables(
            bars.axes[block], bars.spindle[block], bars.angles[block], bars.first_angles[block], bars.mosaic[block], bars.star[block],
            bars.cells[block], bars.fudge[block], bars.default_F[block], bars.incident[block], bars.wavelengths[block],
            bars.weights[block], bars.kahn[block], bars.polarization_axis[block], bars.fast[block], bars.slow[block],
            bars.normal[block], bars.beam[block], bars.pix0[block], bars.pixel_size[block], bars.distance[block],
            bars.close_distance[block], bars.background[block], bars.scale[block],
        ),
        factors[block],
    )  # fmt: skip


@entry
def adjoint_blocks(
    blocks: tuple[int, int], work: AdjointWork, step: int, rows: tuple[int, int], pixels: Pixels, singles: Singles2, doubles: Doubles2,
    tables: Tables, lattice: Numbers3, first_lattice: Numbers3, bars: Variables, factors: Numbers2,
) -> None:  # fmt: skip
    """``adjoint_rows`` of some blocks: block b has the rows b, b + ``step``, ... of ``rows``, and adds up in row b of the gradients."""
    for block in range(blocks[0], blocks[1]):
        gradients = gradients_of(block, lattice, first_lattice, bars, factors)
        adjoint_rows((rows[0] + block, rows[1]), step, pixels, singles, doubles, tables, gradients, work)
