"""The exact engine: the sum over all steps of a pixel, in the reference's order, row by row."""

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Doubles2, Flags2, Singles2, Whole1, Whole2
from nanobragg_numba.maths.vectors3 import magnitude, unit

from .arguments import Tables
from .formulas import (
    can_interpolate,
    capture_fraction,
    half_length,
    is_beyond,
    lattice_factor,
    miller_indices,
    nearest_index,
    nearest_structure_factor,
    polarization_factor,
    scattering_vector,
    solid_angle,
    subpixel_position,
    tricubic_structure_factor,
    with_table,
)


@inlined
def switched(intensity, rules, capture, polar, omega):
    """``intensity`` times what the switches multiply by at every step, in the reference's order."""
    if rules.each_thick:
        intensity *= capture
    if rules.each_polar:
        intensity *= polar
    if rules.each_omega:
        intensity *= omega
    return intensity


@inlined
def sweep(total, scattering, orientations, crystal, rules, capture, polar, omega, interpolate, record):
    """Add the intensities of all phi steps and mosaic domains at one scattering vector to ``total``.

    Returns the new total and whether interpolation is still on: in "c" the first step outside the table turns it
    off for good (Q2), in "spec" such a step takes the nearest reflection. ``record`` is None or an array.
    """
    na, nb, nc, cross, star = crystal.na, crystal.nb, crystal.nc, crystal.cross, crystal.star
    table, h_min, k_min, l_min = crystal.factors, crystal.h_min, crystal.k_min, crystal.l_min
    for step in range(orientations.shape[0]):
        v = orientations[step]
        h, k, l = miller_indices(v, scattering)
        h0, k0, l0 = nearest_index(h), nearest_index(k), nearest_index(l)
        f_latt = lattice_factor(crystal.shape, h, k, l, h0, k0, l0, na, nb, nc, cross, star, crystal.fudge, rules.spec)
        if record is not None:
            record[0], record[1], record[2] = h, k, l
            record[3], record[4], record[5] = h0, k0, l0
            record[7] = f_latt
            for i in range(9):
                record[8 + i] = v[i]
        if f_latt == 0.0 and rules.skip_zeros:
            continue
        inside = False
        if interpolate:
            inside = can_interpolate(table.shape, h_min, k_min, l_min, h, k, l)
            if not inside and not rules.spec:
                interpolate = False
                if record is not None:
                    for i in range(6):
                        record[24 + i] = record[i]
        if inside:
            f_cell = tricubic_structure_factor(table, h_min, k_min, l_min, h, k, l)
        else:
            f_cell = nearest_structure_factor(table, h_min, k_min, l_min, h0, k0, l0, crystal.default_F)
        if record is not None:
            record[6] = f_cell
        intensity = f_cell * f_cell * f_latt * f_latt
        if rules.running_products:
            total = switched(total + intensity, rules, capture, polar, omega)
        else:
            total += switched(intensity, rules, capture, polar, omega)
    return total, interpolate


@inlined
def polarization_axis(beam, evaluation):
    """The polarization axis at that evaluation of the run, counted from 0 (Q4)."""
    n, start = beam.axes.shape[0], beam.axes_repeat_from
    if evaluation >= n:
        evaluation = start + (evaluation - start) % (n - start)
    return (beam.axes[evaluation, 0], beam.axes[evaluation, 1], beam.axes[evaluation, 2])


@inlined
def pixel_value(slow, fast, tables, first, interpolate, evaluation, record):
    """Photons in one pixel.

    ``first``: the run's first sweep is in this pixel; ``interpolate``: interpolation is still on here;
    ``evaluation``: how often the polarization factor was computed before this pixel. Returns the value, the sum of
    the solid angles of all sub-pixels, whether interpolation is still on, the number of evaluations so far, and the
    number of sweeps done.
    """
    detector, beam, crystal, rules = tables
    spec = rules.spec
    total = 0.0 if spec else rules.background
    spec_total = 0.0
    polar = 0.0 if beam.polarized else 1.0
    omega = 0.0
    omega_sum = 0.0
    capture = 0.0
    sweeps = 0
    for layer in range(detector.layers):
        capture = 1.0 if detector.thickness == 0.0 else 0.0
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                position = subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector)
                airpath = magnitude(position)
                diffracted = unit(position)
                if omega == 0.0 or rules.each_omega or spec:
                    omega = solid_angle(airpath, detector)
                omega_sum += omega
                if capture == 0.0 or (rules.each_thick if not spec else detector.thickness != 0.0):
                    capture = capture_fraction(layer, diffracted, detector)
                if record is not None:
                    record[17], record[18], record[19] = position
                for source in range(beam.wavelengths.shape[0]):
                    incident = (beam.incident[source, 0], beam.incident[source, 1], beam.incident[source, 2])
                    scattering = scattering_vector(diffracted, incident, beam.wavelengths[source])
                    if record is not None:
                        record[30] = half_length(scattering)
                    if beam.dmin > 0.0 and is_beyond(scattering, beam.dmin):
                        continue
                    if spec:
                        if beam.polarized:
                            polar = polarization_factor(beam.kahn, incident, diffracted, polarization_axis(beam, 0))
                    elif polar == 0.0 or rules.each_polar:
                        # The reference makes its arguments unit vectors again in place, and goes on with them (Q4).
                        diffracted = unit(diffracted)
                        axis = polarization_axis(beam, evaluation)
                        polar = polarization_factor(beam.kahn, unit(incident), diffracted, axis)
                        evaluation += 1
                    listed = with_table(crystal, beam.channels[source])
                    if spec:
                        part, _ = sweep(
                            rules.background, scattering, crystal.orientations, listed, rules, capture, polar, omega, interpolate, record
                        )
                        spec_total += beam.weights[source] * (part * (capture * polar * omega))
                    else:
                        orientations = crystal.first_orientations if first and sweeps == 0 else crystal.orientations
                        total, interpolate = sweep(
                            total, scattering, orientations, listed, rules, capture, polar, omega, interpolate, record
                        )
                    sweeps += 1
    if spec:
        value = rules.scale * spec_total / rules.steps
    else:
        value = rules.scale * total / rules.steps
        if not rules.each_thick:
            value *= capture
        if not rules.each_polar:
            value *= polar
        if not rules.each_omega:
            value *= omega
    if record is not None:
        record[20], record[21], record[22], record[23] = total, polar, omega, capture
    return value, omega_sum, interpolate, evaluation, sweeps


@inlined
def store(out, doubles, slow, fast, value):
    """Put a pixel into whichever of the two images is wanted. The reference adds to a single-precision zero: -0 becomes +0."""
    if doubles.shape[0] > 0:
        doubles[slow, fast] = value + 0.0
    else:
        out[slow, fast] = value + 0.0


@entry
def exact_rows(
    rows: tuple[int, int], work: tuple[()], columns: tuple[int, int], mask: Flags2, tables: Tables, first_pixel: int,
    last_interpolated: int, evaluations: Whole2, out: Singles2, doubles: Doubles2, omega_sums: Doubles1, left: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of ``rows`` and ``columns`` (start, end) that ``mask`` (slow, fast) tells to.

    They go into ``out`` (slow, fast), or, where that is not empty, into ``doubles``. ``first_pixel``: index of the pixel
    of the run's first sweep;
    ``last_interpolated``: index of the last pixel that begins with interpolation on; ``evaluations`` (slow, fast)
    or (1, 1): polarization factors computed before each pixel. ``omega_sums`` (slow,) gets the sum of solid angles;
    ``left`` (slow,) the fast index of the first pixel that left the structure-factor table, or -1.
    """
    counted = evaluations.size > 1
    for slow in range(rows[0], rows[1]):
        omega_total = 0.0
        left_at = -1
        for fast in range(columns[0], columns[1]):
            if not mask[slow, fast]:
                continue
            index = slow * tables.detector.fast_pixels + fast
            on = tables.rules.interpolate and index <= last_interpolated
            before = evaluations[slow, fast] if counted else 0
            value, omega_sum, still_on, _, _ = pixel_value(slow, fast, tables, index == first_pixel, on, before, None)
            store(out, doubles, slow, fast, value)
            omega_total += omega_sum
            if on and not still_on and left_at < 0:
                left_at = fast
        omega_sums[slow] = omega_total
        left[slow] = left_at


@entry
def count_rows(
    rows: tuple[int, int], work: tuple[()], columns: tuple[int, int], mask: Flags2, tables: Tables, evaluations: Whole2, sweeps: Whole2
) -> None:
    """Count, for each pixel of some rows, the polarization factors computed and the sweeps done.

    Give tables without orientations: then only the geometry is worked out.
    """
    for slow in range(rows[0], rows[1]):
        for fast in range(columns[0], columns[1]):
            if mask[slow, fast]:
                _, _, _, evaluations[slow, fast], sweeps[slow, fast] = pixel_value(slow, fast, tables, False, False, 0, None)


@entry
def record_pixel(slow: int, fast: int, tables: Tables, first: bool, interpolate: bool, evaluation: int, record: Doubles1) -> None:
    """Compute one pixel and leave its intermediates in ``record``; see PixelRecord."""
    pixel_value(slow, fast, tables, first, interpolate, evaluation, record)


@entry
def serial_solid_angle(window: tuple[int, int, int, int], mask: Flags2, tables: Tables, result: Doubles1) -> None:
    """Into ``result[0]``: the sum of the solid angles of all sub-pixels, added up one by one in the reference's order."""
    detector, _, _, rules = tables
    total = 0.0
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            if not mask[slow, fast]:
                continue
            omega = 0.0
            for layer in range(detector.layers):
                for sub_slow in range(detector.oversample):
                    for sub_fast in range(detector.oversample):
                        if omega == 0.0 or rules.each_omega or rules.spec:
                            position = subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector)
                            omega = solid_angle(magnitude(position), detector)
                        total += omega
    result[0] = total
