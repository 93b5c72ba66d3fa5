"""The guarded engine: vectorised over the pixels of a row, each pixel's rounding proven or the pixel recomputed.

The float image holds each sum rounded once to single precision. The vector loop's double differs from the
reference's by less than the bound of docs/error-bound.md; where that could change the rounding, and wherever the
reference's state leaks into a pixel, ``pixel_value`` of the exact engine computes it anew.
"""

import math

import numpy as np

from .array_types import Doubles1, Doubles2, Flags2, Singles2, Whole1
from .compiled import compiled, entry, inlined
from .formulas import (
    GAUSS,
    SQUARE,
    capture_fraction,
    gaussian_exponent,
    is_beyond,
    nearest_index,
    nearest_structure_factor,
    polarization_factor,
    scaled_radius_squared,
    scattering_vector,
    solid_angle,
    subpixel_position,
    tophat,
)
from .guard import CHUNK
from .pixel_kernel import pixel_value, polarization_axis, store
from .tables import DetectorTable, Tables
from .vector_math import decay, nearest_whole, sine_magnitude, sine_of_turns
from .vectors import magnitude, unit


@inlined
def squared_lattice_factor(h, k, l, na, nb, nc):
    """The square of the parallelepiped's lattice factor; the sines' arguments are rounded as in the reference."""
    x, y, z = math.pi * h, math.pi * k, math.pi * l
    top_x, top_y, top_z = sine_magnitude(x * na), sine_magnitude(y * nb), sine_magnitude(z * nc)
    low_x, low_y, low_z = sine_magnitude(x), sine_magnitude(y), sine_magnitude(z)
    top_x, low_x = (na, 1.0) if low_x == 0.0 else (top_x, low_x)
    top_y, low_y = (nb, 1.0) if low_y == 0.0 else (top_y, low_y)
    top_z, low_z = (nc, 1.0) if low_z == 0.0 else (top_z, low_z)
    amplitude = (top_x * top_y * top_z) / (low_x * low_y * low_z)
    return amplitude * amplitude


@inlined
def squared_grating_single(h, n):
    """(sin(n pi h) / sin(pi h))^2 in single precision; whole turns are taken off in double, or large n would lose digits."""
    below = h - nearest_whole(h)
    turns = below * n
    top = sine_of_turns(np.float32(turns - nearest_whole(turns)))
    low = sine_of_turns(np.float32(below))
    quotient = np.float32(n) if low == np.float32(0.0) else top / low
    return quotient * quotient


@inlined
def squared_lattice_factor_single(h, k, l, na, nb, nc):
    """The square of the parallelepiped's lattice factor in single precision, for previews."""
    return np.float64(squared_grating_single(h, na) * squared_grating_single(k, nb)) * np.float64(squared_grating_single(l, nc))


@inlined
def lattice_axes(orientations, step):
    """a, b, c of one step, as nine numbers."""
    v = orientations[step]
    return v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]


@compiled
def add_steps(s, total, n, orientations, na, nb, nc, intensity, single):
    """Add ``intensity`` times the squared lattice factor of every orientation to ``total``, for n pixels.

    ``s`` (3, pixels): scattering vectors; likewise below.
    """
    sx, sy, sz = s[0], s[1], s[2]
    for step in range(orientations.shape[0]):
        a0, a1, a2, b0, b1, b2, c0, c1, c2 = lattice_axes(orientations, step)
        if single:
            for i in range(n):
                x, y, z = sx[i], sy[i], sz[i]
                total[i] += intensity * squared_lattice_factor_single(
                    a0 * x + a1 * y + a2 * z, b0 * x + b1 * y + b2 * z, c0 * x + c1 * y + c2 * z, na, nb, nc
                )
        else:
            for i in range(n):
                x, y, z = sx[i], sy[i], sz[i]
                total[i] += intensity * squared_lattice_factor(
                    a0 * x + a1 * y + a2 * z, b0 * x + b1 * y + b2 * z, c0 * x + c1 * y + c2 * z, na, nb, nc
                )


@compiled
def add_general_steps(s, total, n, orientations, crystal, listed, keep, products, hkl, squares, single):
    """The same where steps have structure factors of their own (``listed``), some pixels are cut (``keep`` is 0), or
    every step multiplies the running sum by ``products`` (3, pixels): lattice factors as vectors first, then the rest.
    """
    sx, sy, sz = s[0], s[1], s[2]
    hs, ks, ls = hkl[0], hkl[1], hkl[2]
    thick, polar, omega = products[0], products[1], products[2]
    na, nb, nc = crystal.na, crystal.nb, crystal.nc
    c = crystal.star
    star = (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])
    intensity = crystal.default_F * crystal.default_F
    for step in range(orientations.shape[0]):
        a0, a1, a2, b0, b1, b2, c0, c1, c2 = lattice_axes(orientations, step)
        for i in range(n):
            x, y, z = sx[i], sy[i], sz[i]
            hs[i], ks[i], ls[i] = a0 * x + a1 * y + a2 * z, b0 * x + b1 * y + b2 * z, c0 * x + c1 * y + c2 * z
        if crystal.shape == SQUARE and single:
            for i in range(n):
                squares[i] = squared_lattice_factor_single(hs[i], ks[i], ls[i], na, nb, nc)
        elif crystal.shape == SQUARE:
            for i in range(n):
                squares[i] = squared_lattice_factor(hs[i], ks[i], ls[i], na, nb, nc)
        else:
            for i in range(n):
                h, k, l = hs[i], ks[i], ls[i]
                dh, dk, dl = h - np.ceil(h - 0.5), k - np.ceil(k - 0.5), l - np.ceil(l - 0.5)
                radius_squared = scaled_radius_squared(dh, dk, dl, star, na, nb, nc)
                if crystal.shape == GAUSS:
                    amplitude = na * nb * nc * decay(gaussian_exponent(radius_squared, crystal.fudge))
                else:
                    amplitude = na * nb * nc * tophat(radius_squared, crystal.fudge)
                squares[i] = amplitude * amplitude
        if listed:
            for i in range(n):
                f_cell = nearest_structure_factor(
                    crystal.factors,
                    crystal.h_min,
                    crystal.k_min,
                    crystal.l_min,
                    nearest_index(hs[i]),
                    nearest_index(ks[i]),
                    nearest_index(ls[i]),
                    crystal.default_F,
                )
                squares[i] *= f_cell * f_cell
        else:
            for i in range(n):
                squares[i] *= intensity
        for i in range(n):
            if keep[i] != 0.0:
                total[i] = (total[i] + squares[i]) * thick[i] * polar[i] * omega[i]


@inlined
def three(v):
    """A vector from an array, so that the compiler knows it does not change."""
    return (v[0], v[1], v[2])


@compiled
def chunk_geometry(start, n, slow, sub_slow, sub_fast, layer, detector, dx, dy, dz, air):
    """Unit vectors to n sub-pixels of a row, and their distances."""
    for i in range(n):
        position = subpixel_position(start + i, slow, sub_fast, sub_slow, layer, detector)
        air[i] = magnitude(position)
        dx[i], dy[i], dz[i] = unit(position)


@compiled
def scattering_vectors(n, dx, dy, dz, incident, wavelength, s):
    """Scattering vectors of n pixels for one source."""
    sx, sy, sz = s[0], s[1], s[2]
    for i in range(n):
        sx[i], sy[i], sz[i] = scattering_vector((dx[i], dy[i], dz[i]), incident, wavelength)


@compiled
def cut_by_resolution(n, s, dmin, keep):
    """Set ``keep`` to 0 for the pixels beyond the resolution limit, to 1 for the others."""
    for i in range(n):
        keep[i] = 0.0 if is_beyond((s[0, i], s[1, i], s[2, i]), dmin) else 1.0


@compiled
def chunk_polarization(n, dx, dy, dz, incident, kahn, axis, polar):
    """Polarization factors of n pixels; the directions become unit vectors again, in place, as in the reference (Q4)."""
    beam = unit(incident)
    for i in range(n):
        direction = unit((dx[i], dy[i], dz[i]))
        dx[i], dy[i], dz[i] = direction
        polar[i] = polarization_factor(kahn, beam, direction, axis)


@compiled
def plain_polarization(n, dx, dy, dz, incident, kahn, axis, polar):
    """Polarization factors of n pixels, and nothing else."""
    for i in range(n):
        polar[i] = polarization_factor(kahn, incident, (dx[i], dy[i], dz[i]), axis)


@compiled
def late_polarization(n, dx, dy, dz, incident, kahn, axis, keep, each, polar):
    """The same for the pixels that are not cut at this source and have no factor yet, or need one at ``each`` source."""
    beam = unit(incident)
    for i in range(n):
        if keep[i] != 0.0 and (each or polar[i] == 0.0):
            direction = unit((dx[i], dy[i], dz[i]))
            dx[i], dy[i], dz[i] = direction
            polar[i] = polarization_factor(kahn, beam, direction, axis)


@entry
def guarded_rows(
    rows: tuple[int, int], work: Doubles2, columns: tuple[int, int], mask: Flags2, tables: Tables, first_pixel: int, bound: float,
    single: bool, out: Singles2, doubles: Doubles2, omega_sums: Doubles1, recomputed: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of ``rows`` and ``columns`` into ``out`` or ``doubles``, as ``exact_rows`` does; ``work``: guard.WORK_SHAPE.

    Each value rounds to the reference's float32, but for single-precision ties that the exact engine resolves;
    ``recomputed`` (slow,) counts the pixels that it computed. ``bound``: see ``relative_error_bound``; with 0 the guard is off.
    ``single``: sines in single precision, for previews.
    """
    arrays, beam, crystal, rules = tables
    chunks = (columns[1] - columns[0] + CHUNK - 1) // CHUNK
    for slow in range(rows[0], rows[1]):
        detector = DetectorTable(
            three(arrays.fast), three(arrays.slow), three(arrays.normal), three(arrays.beam), three(arrays.pix0), arrays.pixel_size,
            arrays.subpixel_size, arrays.oversample, arrays.distance, arrays.close_distance, arrays.curved, arrays.point_pixel,
            arrays.thickness, arrays.layer_thickness, arrays.layers, arrays.mu, arrays.fast_pixels,
        )  # fmt: skip
        omega_total = 0.0
        again = 0
        for chunk in range(chunks):
            start = columns[0] + chunk * CHUNK
            n = min(CHUNK, columns[1] - start)
            any_pixel = False
            for i in range(n):
                any_pixel |= mask[slow, start + i]
            if not any_pixel:
                continue
            chunk_sums(start, n, slow, detector, beam, crystal, rules, single, work)
            total, omega, polar, capture, omega_sum = work[7], work[8], work[9], work[10], work[11]
            for i in range(n):
                value = rules.scale * total[i] / rules.steps
                if not rules.spec:
                    value *= 1.0 if rules.each_thick else capture[i]
                    value *= 1.0 if rules.each_polar else polar[i]
                    value *= 1.0 if rules.each_omega else omega[i]
                total[i] = value
            for i in range(n):
                fast = start + i
                if not mask[slow, fast]:
                    continue
                value = total[i]
                low, high = np.float32(value * (1.0 - bound)), np.float32(value * (1.0 + bound))
                first = slow * detector.fast_pixels + fast == first_pixel
                # A factor of zero makes the reference compute it again at the next sub-pixel or source.
                again_here = not rules.spec and (capture[i] == 0.0 or polar[i] == 0.0 or omega[i] == 0.0)
                if low != high or first or value != value or again_here:
                    value, _, _, _, _ = pixel_value(fast, slow, (detector, beam, crystal, rules), first, False, 0, None)
                    again += 1
                store(out, doubles, slow, fast, value)
                omega_total += omega_sum[i]
        omega_sums[slow] = omega_total
        recomputed[slow] = again


@compiled
def chunk_sums(start, n, slow, detector, beam, crystal, rules, single, work):
    """Sums over all steps for n pixels of a row, left in row 7 of ``work``; omega, polar, capture and the sum of the
    solid angles in rows 8 to 11."""
    dx, dy, dz, air = work[0], work[1], work[2], work[3]
    s = work[4:7]
    total, omega, polar, capture, omega_sum = work[7], work[8], work[9], work[10], work[11]
    keep, squares, hkl, products = work[12], work[13], work[14:17], work[18:21]
    # In "spec" each source's sum is weighted and corrected before it is added to the total.
    part = work[17] if rules.spec else total
    total[:n] = 0.0 if rules.spec else rules.background
    polar[:n] = 0.0 if beam.polarized else 1.0
    omega_sum[:n] = 0.0
    keep[:n] = 1.0
    listed = crystal.factors.size > 1
    general = crystal.shape != SQUARE or listed or beam.dmin > 0.0 or rules.each_thick or rules.each_polar or rules.each_omega
    pending = beam.polarized
    for layer in range(detector.layers):
        if detector.thickness == 0.0:
            capture[:n] = 1.0
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                chunk_geometry(start, n, slow, sub_slow, sub_fast, layer, detector, dx, dy, dz, air)
                at_corner = sub_slow == 0 and sub_fast == 0
                if rules.spec or rules.each_omega or (at_corner and layer == 0):
                    for i in range(n):
                        omega[i] = solid_angle(air[i], detector)
                for i in range(n):
                    omega_sum[i] += omega[i]
                if rules.each_thick or ((rules.spec or at_corner) and detector.thickness != 0.0):
                    for i in range(n):
                        capture[i] = capture_fraction(layer, (dx[i], dy[i], dz[i]), detector)
                for source in range(beam.wavelengths.shape[0]):
                    incident = three(beam.incident[source])
                    scattering_vectors(n, dx, dy, dz, incident, beam.wavelengths[source], s)
                    if beam.dmin > 0.0:
                        cut_by_resolution(n, s, beam.dmin, keep)
                    if rules.spec:
                        part[:n] = rules.background
                        if beam.polarized:
                            plain_polarization(n, dx, dy, dz, incident, beam.kahn, polarization_axis(beam, 0), polar)
                    elif beam.dmin > 0.0 or rules.each_polar:
                        late_polarization(n, dx, dy, dz, incident, beam.kahn, polarization_axis(beam, 0), keep, rules.each_polar, polar)
                    elif pending:
                        chunk_polarization(n, dx, dy, dz, incident, beam.kahn, polarization_axis(beam, 0), polar)
                        pending = False
                    if general:
                        for i in range(n):
                            products[0, i] = capture[i] if rules.each_thick else 1.0
                            products[1, i] = polar[i] if rules.each_polar else 1.0
                            products[2, i] = omega[i] if rules.each_omega else 1.0
                        add_general_steps(s, part, n, crystal.orientations, crystal, listed, keep, products, hkl, squares, single)
                    else:
                        intensity = crystal.default_F * crystal.default_F
                        add_steps(s, part, n, crystal.orientations, crystal.na, crystal.nb, crystal.nc, intensity, single)
                    if rules.spec:
                        weight = beam.weights[source]
                        for i in range(n):
                            total[i] += keep[i] * weight * (part[i] * (capture[i] * polar[i] * omega[i]))
