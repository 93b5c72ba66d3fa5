"""The guarded engine: vectorised over the pixels of a row, each pixel's rounding proven or the pixel recomputed.

The float image holds each sum rounded once to single precision. The vector loop's double differs from the
reference's by less than the bound of docs/error-bound.md; where that could change the rounding, and wherever the
reference's state leaks into a pixel, the exact engine computes it anew (engine/pixel_engine.py).
"""

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Flags2, Singles2, Whole1
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.exact import polarization_axis
from nanobragg_numba.kernels.formulas import capture_fraction, flat_subpixel_position, solid_angle, subpixel_position, with_table
from nanobragg_numba.kernels.live_pixels import live_run
from nanobragg_numba.kernels.reach.spots import Reach
from nanobragg_numba.maths.vectors3 import magnitude, unit

from .error_bound import CHUNK
from .reached import add_reached
from .rounding_test import unsure_pixels, values_and_margins
from .sources import add_weighted, begin_part, keep_within_resolution, polarize, scattering_vectors
from .steps import add_steps
from .work_rows import rows_of


@inlined
def three(v):
    """A vector from an array, so that the compiler knows it does not change."""
    return (v[0], v[1], v[2])


@compiled
def subpixel_geometry(n, work, start, slow, sub_slow, sub_fast, layer, detector):
    """Unit vectors to n sub-pixels of a row, and their distances."""
    w = rows_of(work)
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    # With the branch in the loop, its vectors would call sine and cosine for flat detectors too.
    if detector.curved:
        for i in range(n):
            position = subpixel_position(slow, start + i, sub_slow, sub_fast, layer, detector)
            w.airpath[i] = magnitude(position)
            dx[i], dy[i], dz[i] = unit(position)
    else:
        for i in range(n):
            position = flat_subpixel_position(slow, start + i, sub_slow, sub_fast, layer, detector)
            w.airpath[i] = magnitude(position)
            dx[i], dy[i], dz[i] = unit(position)


@compiled
def solid_angles(n, work, detector):
    """Solid angles of n sub-pixels of a row."""
    w = rows_of(work)
    for i in range(n):
        w.omega[i] = solid_angle(w.airpath[i], detector)


@compiled
def capture_fractions(n, work, layer, detector):
    """Shares of the photons that the sensor layer absorbs in n sub-pixels."""
    w = rows_of(work)
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    for i in range(n):
        w.capture[i] = capture_fraction(layer, (dx[i], dy[i], dz[i]), detector)


@compiled
def begin_sums(n, work, polar, default_F):
    """What the sums of a chunk begin with; ``keep`` is ``live``."""
    w = rows_of(work)
    for i in range(n):
        w.total[i] = 0.0
        w.error[i] = 0.0
        w.polar[i] = polar
        w.capture[i] = 1.0
        w.omega_sum[i] = 0.0
        # What steps of some shape and without a table do not set.
        w.slack[i] = 0.0
        w.present[i] = 1.0
        w.cell[i] = default_F
        w.keep[i] = w.live[i]


@compiled
def add_omegas(n, work):
    """Add the solid angles to their sums."""
    w = rows_of(work)
    for i in range(n):
        w.omega_sum[i] += w.omega[i]


@inlined
def chunk_sums(start, n, slow, detector, beam, crystal, rules, reach, single, work):
    """Sums over all steps for n pixels of a row, in ``total`` ("spec") or ``part`` ("c"), and the factors that multiply them.

    Returns whether a step left the table of structure factors in "c" (Q2); then the sums are of no use.
    """
    reached = reach.used and not rules.interpolate
    begin_sums(n, work, 0.0 if beam.polarized else 1.0, crystal.default_F)
    if not rules.spec:
        begin_part(n, work, rules.background)
    each_polar = rules.spec or rules.each_polar
    # Only other sources of the same sub-pixel see the renewed vectors.
    renew = not rules.spec and beam.wavelengths.shape[0] > 1
    unpolarized = beam.polarized or rules.each_polar
    axis = polarization_axis(beam, 0)
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                subpixel_geometry(n, work, start, slow, sub_slow, sub_fast, layer, detector)
                at_corner = sub_slow == 0 and sub_fast == 0
                if rules.spec or rules.each_omega or (at_corner and layer == 0):
                    solid_angles(n, work, detector)
                add_omegas(n, work)
                if rules.each_thick or ((rules.spec or at_corner) and detector.thickness != 0.0):
                    capture_fractions(n, work, layer, detector)
                if reached:
                    add_reached(n, work, beam, crystal, rules, reach, unpolarized)
                    unpolarized = unpolarized and rules.spec
                    continue
                for source in range(beam.wavelengths.shape[0]):
                    incident = three(beam.incident[source])
                    scattering_vectors(n, work, incident, beam.wavelengths[source])
                    if beam.dmin > 0.0:
                        keep_within_resolution(n, work, beam.dmin)
                    if unpolarized:
                        beam_again = incident if rules.spec else unit(incident)
                        polarize(n, work, beam_again, beam.kahn, axis, renew, each_polar)
                        unpolarized = each_polar or beam.dmin > 0.0
                    if rules.spec:
                        begin_part(n, work, rules.background)
                    if add_steps(n, work, with_table(crystal, beam.channels[source]), rules, single):
                        return True
                    if rules.spec:
                        add_weighted(n, work, beam.weights[source])
    return False


@compiled
def live_pixels(n, work, wanted):
    """Set ``live``: which of n pixels to compute."""
    w = rows_of(work)
    for i in range(n):
        w.live[i] = 1.0 if wanted[i] else 0.0


@compiled
def put_pixels(n, work, pixels):
    """Put the values into a row of the image, and add up the solid angles."""
    w = rows_of(work)
    for i in range(n):
        # The reference adds to a single-precision zero: -0 becomes +0.
        pixels[i] = w.total[i] + 0.0 if w.live[i] != 0.0 else 0.0
    for i in range(n):
        w.row_omega[i] += w.omega_sum[i] if w.live[i] != 0.0 else 0.0


@inlined
def chunk_values(start, n, slow, tables, reach, bound, single, work):
    """Values of the live ones of n pixels in ``total``, and bounds on their errors in ``margin``.

    Returns whether a step left the table of structure factors in "c" (Q2); then the values are of no use.
    """
    detector, beam, crystal, rules = tables
    left = chunk_sums(start, n, slow, detector, beam, crystal, rules, reach, single, work)
    values_and_margins(n, work, rules, bound, reach.left_out if reach.used else 0.0)
    return left


@inlined
def guarded_row(slow, columns, mask, tables, reach, first_pixel, bound, single, out, doubles, doubtful, work):
    """Compute one row; see ``guarded_rows``.

    Returns the sum of solid angles, how many pixels are doubtful, and whether a step left the table.
    """
    w = rows_of(work)
    w.row_omega[:] = 0.0
    count = 0
    end = columns[0]
    while end < columns[1]:
        start, n = live_run(mask, slow, end, min(end + CHUNK, columns[1]))
        end = start + n
        if n == 0:
            continue
        wanted = mask[slow, start:end]
        live_pixels(n, work, wanted)
        if chunk_values(start, n, slow, tables, reach, bound, single, work):
            return 0.0, count, True
        if out.size > 0:
            put_pixels(n, work, out[slow, start : start + n])
        else:
            put_pixels(n, work, doubles[slow, start : start + n])
        first = first_pixel - slow * tables.detector.fast_pixels - start
        if unsure_pixels(n, work, bound > 0.0) == 0 and not 0 <= first < n:
            continue
        for i in range(n):
            if w.unsure[i] != 0.0 or (i == first and wanted[i]):
                doubtful[slow, start + i] = True
                count += 1
    omega_total = 0.0
    for i in range(CHUNK):
        omega_total += w.row_omega[i]
    return omega_total, count, False


@entry
def guarded_rows(
    rows: tuple[int, int], work: Doubles2, columns: tuple[int, int], mask: Flags2, tables: Tables, reach: Reach, first_pixel: int,
    bound: float, single: bool, out: Singles2, doubles: Doubles2, omega_sums: Doubles1, doubtful: Flags2, counts: Whole1, left: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of ``rows`` and ``columns`` into ``out`` or ``doubles``, as ``exact_rows`` does; ``work``: WORK_SHAPE.

    Each value rounds to the reference's float32, but for those marked in ``doubtful`` (slow, fast), which the exact engine must
    compute; ``counts`` (slow,): how many. ``reach``: see ``reach_of``; ``bound``: see ``relative_error_bound``; with 0 the guard is off.
    ``single``: sines in single precision, for previews. ``left`` (slow,): 1 where a step in the row left the table of
    structure factors in "c" (Q2); if any did, the exact engine must compute all of these rows.
    """
    for slow in range(rows[0], rows[1]):
        omega_sums[slow], counts[slow], gone = guarded_row(
            slow, columns, mask, tables, reach, first_pixel, bound, single, out, doubles, doubtful, work
        )
        left[slow] = 1 if gone else 0
