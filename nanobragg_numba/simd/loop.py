"""The guarded engine: vectorised over the pixels of a row, each pixel's rounding proven or the pixel recomputed.

The float image holds each sum rounded once to single precision. The vector loop's double differs from the
reference's by less than the bound of docs/error-bound.md; where that could change the rounding, and wherever the
reference's state leaks into a pixel, the exact engine computes it anew (engine/pixel_engine.py).
"""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Flags2, Singles2, Whole1
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.exact import polarization_axis
from nanobragg_numba.kernels.formulas import (
    capture_fraction,
    flat_subpixel_position,
    is_beyond,
    polarization_frame,
    scattering_vector,
    solid_angle,
    subpixel_position,
    with_table,
)
from nanobragg_numba.kernels.live_pixels import live_run
from nanobragg_numba.maths.vectors3 import dot, magnitude, unit

from .error_bound import CHUNK, POLAR_ERROR, SMALLEST_POLAR
from .rounding_test import unsure_pixels, values_and_margins
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
def scattering_vectors(n, work, incident, wavelength):
    """Scattering vectors of n pixels for one source."""
    w = rows_of(work)
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    sx, sy, sz = w.scattering[0], w.scattering[1], w.scattering[2]
    for i in range(n):
        sx[i], sy[i], sz[i] = scattering_vector((dx[i], dy[i], dz[i]), incident, wavelength)


@compiled
def keep_within_resolution(n, work, dmin):
    """Set ``keep``: which pixels are within the resolution limit and not masked."""
    w = rows_of(work)
    sx, sy, sz = w.scattering[0], w.scattering[1], w.scattering[2]
    for i in range(n):
        w.keep[i] = 0.0 if is_beyond((sx[i], sy[i], sz[i]), dmin) else w.live[i]


@inlined
def polarization_without_angle(kahn, incident, diffracted, frame):
    """Polarization factor with cos(2 psi) from the components across the beam; within POLAR_ERROR of the reference's."""
    cos_two_theta = dot(incident, diffracted)
    cos_squared = cos_two_theta * cos_two_theta
    along_b, along_e = dot(diffracted, frame[0]), dot(diffracted, frame[1])
    b_squared, e_squared = along_b * along_b, along_e * along_e
    across = b_squared + e_squared
    cos_two_psi = (e_squared - b_squared) / across if across > 0.0 else 1.0
    return 0.5 * (1.0 + cos_squared - kahn * cos_two_psi * (1.0 - cos_squared))


@compiled
def polarize(n, work, incident, kahn, axis, renew, each):
    """Polarization factors of the kept pixels that have none yet, or need one at ``each`` source.

    ``renew``: make the diffracted vectors unit vectors again, in place, as the reference does (Q4).
    """
    w = rows_of(work)
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    frame = polarization_frame(incident, axis)
    if renew:
        for i in range(n):
            x, y, z = unit((dx[i], dy[i], dz[i]))
            due = w.keep[i] != 0.0 and (each or w.polar[i] == 0.0)
            dx[i], dy[i], dz[i] = x if due else dx[i], y if due else dy[i], z if due else dz[i]
    for i in range(n):
        polar = polarization_without_angle(kahn, incident, (dx[i], dy[i], dz[i]), frame)
        due = w.keep[i] != 0.0 and (each or w.polar[i] == 0.0)
        # A factor that could be zero in the reference alone, or here alone, must not be computed again: not a number stays.
        w.polar[i] = (polar if polar >= SMALLEST_POLAR else np.nan) if due else w.polar[i]


@compiled
def add_weighted(n, work, weight):
    """Add one source's sum, corrected, to the total ("spec")."""
    w = rows_of(work)
    for i in range(n):
        if w.keep[i] != 0.0:
            factor = weight * (w.capture[i] * w.polar[i] * w.omega[i])
            w.total[i] += factor * w.part[i]
            error = factor * w.part_error[i] + weight * (w.capture[i] * w.omega[i] * POLAR_ERROR) * w.part[i]
            # Terms of both signs would cancel, and no relative bound would hold.
            w.error[i] += error if factor >= 0.0 else np.inf


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


@compiled
def begin_part(n, work, background):
    """What one source's sums ("spec"), or all sources' ("c"), begin with."""
    w = rows_of(work)
    for i in range(n):
        w.part[i] = background
        w.part_error[i] = 0.0


@inlined
def chunk_sums(start, n, slow, detector, beam, crystal, rules, single, work):
    """Sums over all steps for n pixels of a row, in ``total`` ("spec") or ``part`` ("c"), and the factors that multiply them.

    Returns whether a step left the table of structure factors in "c" (Q2); then the sums are of no use.
    """
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
def chunk_values(start, n, slow, tables, bound, single, work):
    """Values of the live ones of n pixels in ``total``, and bounds on their errors in ``margin``.

    Returns whether a step left the table of structure factors in "c" (Q2); then the values are of no use.
    """
    detector, beam, crystal, rules = tables
    left = chunk_sums(start, n, slow, detector, beam, crystal, rules, single, work)
    values_and_margins(n, work, rules, bound)
    return left


@inlined
def guarded_row(slow, columns, mask, tables, first_pixel, bound, single, out, doubles, doubtful, work):
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
        if chunk_values(start, n, slow, tables, bound, single, work):
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
    rows: tuple[int, int], work: Doubles2, columns: tuple[int, int], mask: Flags2, tables: Tables, first_pixel: int, bound: float,
    single: bool, out: Singles2, doubles: Doubles2, omega_sums: Doubles1, doubtful: Flags2, counts: Whole1, left: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of ``rows`` and ``columns`` into ``out`` or ``doubles``, as ``exact_rows`` does; ``work``: WORK_SHAPE.

    Each value rounds to the reference's float32, but for those marked in ``doubtful`` (slow, fast), which the exact engine must
    compute; ``counts`` (slow,): how many. ``bound``: see ``relative_error_bound``; with 0 the guard is off.
    ``single``: sines in single precision, for previews. ``left`` (slow,): 1 where a step in the row left the table of
    structure factors in "c" (Q2); if any did, the exact engine must compute all of these rows.
    """
    for slow in range(rows[0], rows[1]):
        omega_sums[slow], counts[slow], gone = guarded_row(
            slow, columns, mask, tables, first_pixel, bound, single, out, doubles, doubtful, work
        )
        left[slow] = 1 if gone else 0
