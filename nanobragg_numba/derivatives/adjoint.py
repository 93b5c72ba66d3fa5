"""The adjoint: from the gradient with respect to the image to those of all continuous variables, in one pass over the steps.

Nothing of the forward pass is stored: each step is computed again. ``Gradients`` are added up; those with respect to the turned lattice
axes of each step are handed on to angles, spindle, mosaic rotations and cell axes at the end (lattice_turning.py). All may be complex
(complex_step.py).
"""

from nanobragg_numba.jit.decorators import derivative, entry
from nanobragg_numba.jit.entry_types import Doubles2, Numbers2, Numbers3, Singles2
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.formulas import GAUSS, SQUARE, with_table
from nanobragg_numba.kernels.live_pixels import GAP

from . import complex_step  # noqa: F401 - the formulas must know complex numbers before they are compiled
from .bundles import AdjointWork, Chunk, Gradients, Pixels
from .chunk_geometry import (  # fmt: skip
    AIR,
    AIR_BAR,
    CAPTURE,
    OMEGA,
    OWN,
    OWN_BAR,
    POLAR,
    POLAR_BY,
    RAY_BAR,
    S_BAR,
    STEP_WEIGHT,
    SUM,
    WEIGHT,
    S,
    chunk_end,
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
    multiply_structure_factors,
    spread_over_table,
)


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
    """Gradients that only round and Gaussian crystals have: fudge, and in "c" the reciprocal axes."""
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
def add_steps(n, orientations, lattice_bar, crystal, spec, interpolate, gradients, work):
    """All steps at the scattering vectors in ``work.rays``, weighted with WEIGHT; SUM becomes their sum. Returns ``interpolate``."""
    p, w, places = work.partials, work.rays, work.places
    bars, factors_bar = gradients.variables, gradients.factors
    listed = crystal.factors.size > 1
    f = crystal.default_F
    f_squared = f * f
    for i in range(n):
        w[STEP_WEIGHT, i] = w[WEIGHT, i] if listed else w[WEIGHT, i] * f_squared
        w[SUM, i] = 0.0
    for step in range(orientations.shape[0]):
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


@derivative(inline=False)
def spec_chunk(chunk, tables, interpolate, gradients, work):
    """Gradients of the pixels of a chunk in "spec", where each source's sum has its own factors."""
    detector, beam, crystal, rules = tables
    n, w, keep, bars, g = chunk.pixels, work.rays, work.keep, gradients.variables, work.totals[1]
    per_step = rules.scale / rules.steps
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                rays(chunk, sub_slow, sub_fast, layer, detector, w)
                own_factors(n, layer, detector, w)
                for source in range(beam.wavelengths.shape[0]):
                    wavelength, weight = beam.wavelengths[source], beam.weights[source]
                    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
                    if beam.polarized:
                        polarize(n, form_of(source, beam), w)
                    background = zero_of(w)
                    for i in range(n):
                        w[WEIGHT, i] = g[i] * keep[i] * per_step * weight * (w[POLAR, i] * w[OWN, i])
                        background += w[WEIGHT, i]
                    add_at(bars.background, 0, background)
                    channel = beam.channels[source]
                    listed, sums = with_table(crystal, channel), sums_of_table(gradients, crystal, channel)
                    add_steps(n, crystal.orientations, gradients.lattice, listed, True, interpolate, sums, work)
                    pull_scattering(n, source, wavelength, w, bars)
                    pull_factors(n, g, keep, source, per_step, tables, w, bars)
                pull_own_factors(n, layer, detector, w, bars)
                pull_rays(chunk, sub_slow, sub_fast, layer, detector, w, bars)


@derivative(inline=False)
def c_chunk(chunk, tables, first, interpolate, gradients, work):
    """Gradients of the pixels of a chunk in "c", where one solid angle, capture fraction and polarization factor holds for the whole pixel.

    ``first``: the run's first sweep is in this pixel, which then stands alone, as does one that leaves the table (Q2).
    """
    detector, beam, crystal, rules = tables
    n, start, slow, w, keep, bars = chunk.pixels, chunk.fast, chunk.slow, work.rays, work.keep, gradients.variables
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
                for source in range(beam.wavelengths.shape[0]):
                    wavelength = beam.wavelengths[source]
                    scattering(n, vector_of(beam.incident[source], 0), wavelength, beam.dmin, w, keep)
                    for i in range(n):
                        w[WEIGHT, i] = g[i] * keep[i] * per_step * (w[CAPTURE, i] * w[POLAR, i] * w[OMEGA, i])
                    if n == 1 and keep[0] == 0.0:
                        continue
                    if first:
                        orientations, lattice = crystal.first_orientations, gradients.first_lattice
                    else:
                        orientations, lattice = crystal.orientations, gradients.lattice
                    first = False
                    channel = beam.channels[source]
                    listed, sums = with_table(crystal, channel), sums_of_table(gradients, crystal, channel)
                    interpolate = add_steps(n, orientations, lattice, listed, False, interpolate, sums, work)
                    pull_scattering(n, source, wavelength, w, bars)
                    for i in range(n):
                        total[i] += keep[i] * w[SUM, i]
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
                    spec_chunk(chunk, tables, rules.interpolate, gradients, work)
                else:
                    interpolate = rules.interpolate and (pixels.leaving < 0 or index <= pixels.leaving)
                    c_chunk(chunk, tables, index == pixels.first, interpolate, gradients, work)


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
