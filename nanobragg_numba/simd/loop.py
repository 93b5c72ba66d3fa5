"""The guarded engine: vectorised over the pixels of a row, each pixel's rounding proven or the pixel recomputed.

The float image holds each sum rounded once to single precision. The vector loop's double differs from the
reference's by less than the bound of docs/error-bound.md; where that could change the rounding, and wherever the
reference's state leaks into a pixel, ``pixel_value`` of the exact engine computes it anew.
"""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Flags2, Singles2, Whole1
from nanobragg_numba.kernels.arguments import DetectorTable, Tables
from nanobragg_numba.kernels.exact import pixel_value, polarization_axis, store
from nanobragg_numba.kernels.formulas import (
    capture_fraction,
    is_beyond,
    polarization_frame,
    scattering_vector,
    solid_angle,
    subpixel_position,
)
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
def subpixel_geometry(n, w, start, slow, sub_slow, sub_fast, layer, detector):
    """Unit vectors to n sub-pixels of a row, and their distances."""
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    for i in range(n):
        position = subpixel_position(start + i, slow, sub_fast, sub_slow, layer, detector)
        w.airpath[i] = magnitude(position)
        dx[i], dy[i], dz[i] = unit(position)


@compiled
def scattering_vectors(n, w, incident, wavelength):
    """Scattering vectors of n pixels for one source."""
    dx, dy, dz = w.direction[0], w.direction[1], w.direction[2]
    sx, sy, sz = w.scattering[0], w.scattering[1], w.scattering[2]
    for i in range(n):
        sx[i], sy[i], sz[i] = scattering_vector((dx[i], dy[i], dz[i]), incident, wavelength)


@compiled
def keep_within_resolution(n, w, dmin):
    """Set ``keep``: which pixels are within the resolution limit and not masked."""
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
def polarize(n, w, incident, kahn, axis, renew, each):
    """Polarization factors of the kept pixels that have none yet, or need one at ``each`` source.

    ``renew``: make the diffracted vectors unit vectors again, in place, as the reference does (Q4).
    """
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
def add_weighted(n, w, weight):
    """Add one source's sum, corrected, to the total ("spec")."""
    for i in range(n):
        if w.keep[i] != 0.0:
            factor = weight * (w.capture[i] * w.polar[i] * w.omega[i])
            w.total[i] += factor * w.part[i]
            error = factor * w.part_error[i] + weight * (w.capture[i] * w.omega[i] * POLAR_ERROR) * w.part[i]
            # Terms of both signs would cancel, and no relative bound would hold.
            w.error[i] += error if factor >= 0.0 else np.inf


@inlined
def chunk_sums(start, n, slow, detector, beam, crystal, rules, single, w):
    """Sums over all steps for n pixels of a row, in ``total`` and ``error``, and the factors that multiply them.

    Returns whether a step left the table of structure factors in "c" (Q2); then the sums are of no use.
    """
    w.total[:n] = 0.0 if rules.spec else rules.background
    w.error[:n] = 0.0
    w.polar[:n] = 0.0 if beam.polarized else 1.0
    w.capture[:n] = 1.0
    w.omega_sum[:n] = 0.0
    # What steps of this shape and without a table do not set.
    w.slack[:n] = 0.0
    w.present[:n] = 1.0
    w.cell[:n] = crystal.default_F
    for i in range(n):
        w.keep[i] = w.live[i]
    # In "spec" each source's sum is weighted and corrected before it is added to the total.
    total, error = (w.part, w.part_error) if rules.spec else (w.total, w.error)
    each_polar = rules.spec or rules.each_polar
    # Only other sources of the same sub-pixel see the renewed vectors.
    renew = not rules.spec and beam.wavelengths.shape[0] > 1
    unpolarized = beam.polarized or rules.each_polar
    axis = polarization_axis(beam, 0)
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                subpixel_geometry(n, w, start, slow, sub_slow, sub_fast, layer, detector)
                at_corner = sub_slow == 0 and sub_fast == 0
                if rules.spec or rules.each_omega or (at_corner and layer == 0):
                    for i in range(n):
                        w.omega[i] = solid_angle(w.airpath[i], detector)
                for i in range(n):
                    w.omega_sum[i] += w.omega[i]
                if rules.each_thick or ((rules.spec or at_corner) and detector.thickness != 0.0):
                    for i in range(n):
                        w.capture[i] = capture_fraction(layer, (w.direction[0, i], w.direction[1, i], w.direction[2, i]), detector)
                for source in range(beam.wavelengths.shape[0]):
                    incident = three(beam.incident[source])
                    scattering_vectors(n, w, incident, beam.wavelengths[source])
                    if beam.dmin > 0.0:
                        keep_within_resolution(n, w, beam.dmin)
                    if unpolarized:
                        beam_again = incident if rules.spec else unit(incident)
                        polarize(n, w, beam_again, beam.kahn, axis, renew, each_polar)
                        unpolarized = each_polar or beam.dmin > 0.0
                    if rules.spec:
                        w.part[:n] = rules.background
                        w.part_error[:n] = 0.0
                    if add_steps(n, w, total, error, crystal, rules, single):
                        return True
                    if rules.spec:
                        add_weighted(n, w, beam.weights[source])
    return False


@inlined
def chunk_values(start, n, slow, wanted, tables, bound, single, w):
    """Values of n pixels in ``total``, and bounds on their errors in ``margin``; ``wanted`` (n,): which to compute.

    Returns whether a step left the table of structure factors in "c" (Q2); then the values are of no use.
    """
    detector, beam, crystal, rules = tables
    for i in range(n):
        w.live[i] = 1.0 if wanted[i] else 0.0
    left = chunk_sums(start, n, slow, detector, beam, crystal, rules, single, w)
    values_and_margins(n, w, rules, bound)
    return left


@inlined
def guarded_row(slow, columns, mask, tables, first_pixel, bound, single, out, doubles, work):
    """Compute one row; see ``guarded_rows``.

    Returns the sum of solid angles, how many pixels the exact engine computed, and whether a step left the table.
    """
    arrays, beam, crystal, rules = tables
    detector = DetectorTable(
        three(arrays.fast), three(arrays.slow), three(arrays.normal), three(arrays.beam), three(arrays.pix0), arrays.pixel_size,
        arrays.subpixel_size, arrays.oversample, arrays.distance, arrays.close_distance, arrays.curved, arrays.point_pixel,
        arrays.thickness, arrays.layer_thickness, arrays.layers, arrays.mu, arrays.fast_pixels,
    )  # fmt: skip
    tables = (detector, beam, crystal, rules)
    w = rows_of(work)
    w.row_omega[:] = 0.0
    recomputed = 0
    for start in range(columns[0], columns[1], CHUNK):
        n = min(CHUNK, columns[1] - start)
        wanted = mask[slow, start : start + n]
        live = 0
        for i in range(n):
            live += 1 if wanted[i] else 0
        if live == 0:
            continue
        if chunk_values(start, n, slow, wanted, tables, bound, single, w):
            return 0.0, recomputed, True
        if out.size > 0:
            pixels = out[slow, start : start + n]
            for i in range(n):
                # The reference adds to a single-precision zero: -0 becomes +0.
                pixels[i] = w.total[i] + 0.0 if w.live[i] != 0.0 else 0.0
        else:
            for i in range(n):
                doubles[slow, start + i] = w.total[i] + 0.0 if w.live[i] != 0.0 else 0.0
        for i in range(n):
            w.row_omega[i] += w.omega_sum[i] if w.live[i] != 0.0 else 0.0
        first = first_pixel - slow * detector.fast_pixels - start
        if unsure_pixels(n, w, bound > 0.0) == 0 and not 0 <= first < n:
            continue
        for i in range(n):
            if w.unsure[i] != 0.0 or (i == first and wanted[i]):
                value, _, still_on, _, _ = pixel_value(start + i, slow, tables, i == first, rules.interpolate, 0, None)
                if rules.interpolate and not still_on and not rules.spec:
                    return 0.0, recomputed, True
                store(out, doubles, slow, start + i, value)
                recomputed += 1
    omega_total = 0.0
    for i in range(CHUNK):
        omega_total += w.row_omega[i]
    return omega_total, recomputed, False


@entry
def guarded_rows(
    rows: tuple[int, int], work: Doubles2, columns: tuple[int, int], mask: Flags2, tables: Tables, first_pixel: int, bound: float,
    single: bool, out: Singles2, doubles: Doubles2, omega_sums: Doubles1, recomputed: Whole1, left: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of ``rows`` and ``columns`` into ``out`` or ``doubles``, as ``exact_rows`` does; ``work``: guard.WORK_SHAPE.

    Each value rounds to the reference's float32, but for single-precision ties that the exact engine resolves;
    ``recomputed`` (slow,) counts the pixels that it computed. ``bound``: see ``relative_error_bound``; with 0 the guard is off.
    ``single``: sines in single precision, for previews. ``left`` (slow,): 1 where a step in the row left the table of
    structure factors in "c" (Q2); if any did, the exact engine must compute all of these rows.
    """
    for slow in range(rows[0], rows[1]):
        omega_sums[slow], recomputed[slow], gone = guarded_row(slow, columns, mask, tables, first_pixel, bound, single, out, doubles, work)
        left[slow] = 1 if gone else 0
