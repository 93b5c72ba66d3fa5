"""The factors of a pixel that "c" computes once and keeps: solid angle, capture fraction, polarization; and their derivatives.

The reference takes the solid angle of the first sub-pixel of the first layer, the capture fraction of the first sub-pixel of the last
layer, and the polarization factor of the first sub-pixel and source that the resolution limit leaves (Q3).
"""

from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.formulas import capture_fraction, half_length, scattering_vector, solid_angle, subpixel_position
from nanobragg_numba.maths.vectors3 import dot, magnitude, rotate_about_axis, scale, unit

from .formula_derivatives import (
    along_unit,
    applied,
    capture_slope,
    polarization_and_slope,
    polarization_form,
    polarization_form_adjoint,
    polarization_form_tangent,
    rotation_adjoint,
    rotation_tangent,
    solid_angle_partials,
    symmetric_product,
)
from .gradient_sums import add_at, add_to


@derivative
def vector_of(array, at):
    """Three numbers of an array."""
    return array[at], array[at + 1], array[at + 2]


@derivative
def is_cut(scattering, dmin):
    """``is_beyond`` of the real parts."""
    stol = half_length((scattering[0].real, scattering[1].real, scattering[2].real))
    return stol > 0.0 and dmin.real > 0.5 / stol


@derivative
def places_on_pixel(slow, fast, sub_slow, sub_fast, detector):
    """Distances of a sub-pixel's centre along the fast and the slow axis, in pixels."""
    n = detector.oversample
    return (fast * n + sub_fast + 0.5) / n, (slow * n + sub_slow + 0.5) / n


@derivative
def position_adjoint(slow, fast, sub_slow, sub_fast, layer, bar, detector, bars):
    """Add to ``bars`` what the gradient ``bar`` with respect to ``subpixel_position`` gives the detector."""
    f, s = places_on_pixel(slow, fast, sub_slow, sub_fast, detector)
    if detector.curved:
        f_m, s_m = f * detector.pixel_size, s * detector.pixel_size
        bar = curved_adjoint(f_m, s_m, layer * detector.layer_thickness, bar, detector, bars)
    flat_adjoint(bar, scale(bar, f), s, layer, detector, bars)


@derivative
def flat_adjoint(bar, fast_bar, s, layer, detector, bars):
    """The same on the flat detector, for pixels of one row together.

    ``bar``: sum of their gradients; ``fast_bar``: sum of their gradients times the distance along the fast axis; ``s``: distance
    along the slow axis, both in pixels.
    """
    pixel = detector.pixel_size
    add_to(bars.pix0, 0, bar)
    add_to(bars.fast, 0, scale(fast_bar, pixel))
    add_to(bars.slow, 0, scale(bar, s * pixel))
    add_to(bars.normal, 0, scale(bar, layer * detector.layer_thickness))
    add_at(bars.pixel_size, 0, dot(fast_bar, detector.fast) + s * dot(bar, detector.slow))


@derivative
def flat_place(f_m, s_m, depth, axis, detector):
    """One coordinate of a point of the flat detector."""
    return f_m * detector.fast[axis] + s_m * detector.slow[axis] + depth * detector.normal[axis] + detector.pix0[axis]


@derivative
def curved_adjoint(f_m, s_m, depth, bar, detector, bars):
    """The same through ``curved_position``; returns the gradient with respect to the flat position."""
    beam, fast, slow = vector_of(detector.beam, 0), vector_of(detector.fast, 0), vector_of(detector.slow, 0)
    y, z = flat_place(f_m, s_m, depth, 1, detector), flat_place(f_m, s_m, depth, 2, detector)
    start = scale(beam, detector.distance)
    middle = rotate_about_axis(start, slow, y / detector.distance)
    end = rotate_about_axis(middle, fast, z / detector.distance)
    middle_bar, fast_bar, z_bar = rotation_adjoint(middle, fast, z / detector.distance, end, bar)
    start_bar, slow_bar, y_bar = rotation_adjoint(start, slow, y / detector.distance, middle, middle_bar)
    add_to(bars.fast, 0, fast_bar)
    add_to(bars.slow, 0, slow_bar)
    add_to(bars.beam, 0, scale(start_bar, detector.distance))
    add_at(bars.distance, 0, dot(start_bar, beam) - (y * y_bar + z * z_bar) / (detector.distance * detector.distance))
    return 0.0 * bar[0], y_bar / detector.distance, z_bar / detector.distance


@derivative
def position_tangent(slow, fast, sub_slow, sub_fast, layer, detector, dots, k):
    """Change of ``subpixel_position`` in the direction ``k`` of ``dots``."""
    f, s = places_on_pixel(slow, fast, sub_slow, sub_fast, detector)
    pixel, pixel_dot = detector.pixel_size, dots.pixel_size[k, 0]
    f_m, s_m, depth = f * pixel, s * pixel, layer * detector.layer_thickness
    p, a, b, o = dots.pix0[k], dots.fast[k], dots.slow[k], dots.normal[k]
    x = p[0] + f_m * a[0] + s_m * b[0] + depth * o[0] + pixel_dot * (f * detector.fast[0] + s * detector.slow[0])
    y = p[1] + f_m * a[1] + s_m * b[1] + depth * o[1] + pixel_dot * (f * detector.fast[1] + s * detector.slow[1])
    z = p[2] + f_m * a[2] + s_m * b[2] + depth * o[2] + pixel_dot * (f * detector.fast[2] + s * detector.slow[2])
    if detector.curved:
        return curved_tangent(f_m, s_m, depth, y, z, detector, dots, k)
    return x, y, z


@derivative
def curved_tangent(f_m, s_m, depth, y_dot, z_dot, detector, dots, k):
    """The same through ``curved_position``, from the changes of the flat position's y and z."""
    beam, fast, slow = vector_of(detector.beam, 0), vector_of(detector.fast, 0), vector_of(detector.slow, 0)
    y, z = flat_place(f_m, s_m, depth, 1, detector), flat_place(f_m, s_m, depth, 2, detector)
    distance, distance_dot = detector.distance, dots.distance[k, 0]
    b = dots.beam[k]
    start = scale(beam, distance)
    start_dot = (
        b[0] * distance + beam[0] * distance_dot,
        b[1] * distance + beam[1] * distance_dot,
        b[2] * distance + beam[2] * distance_dot,
    )
    middle = rotate_about_axis(start, slow, y / distance)
    end = rotate_about_axis(middle, fast, z / distance)
    y_turn, z_turn = (y_dot - y / distance * distance_dot) / distance, (z_dot - z / distance * distance_dot) / distance
    middle_dot = rotation_tangent(start, slow, y / distance, middle, start_dot, vector_of(dots.slow[k], 0), y_turn)
    return rotation_tangent(middle, fast, z / distance, end, middle_dot, vector_of(dots.fast[k], 0), z_turn)


@derivative
def ray_adjoint(slow, fast, sub_slow, sub_fast, layer, diffracted, airpath, direction_bar, airpath_bar, detector, bars):
    """Add to ``bars`` what gradients with respect to the unit vector along the diffracted ray and to its length give."""
    bar = position_bar(diffracted, airpath, direction_bar, airpath_bar)
    position_adjoint(slow, fast, sub_slow, sub_fast, layer, bar, detector, bars)


@derivative
def position_bar(diffracted, airpath, direction_bar, airpath_bar):
    """The gradient with respect to the position from those with respect to its unit vector and its length."""
    x, y, z = along_unit(diffracted, airpath, direction_bar)
    return x + airpath_bar * diffracted[0], y + airpath_bar * diffracted[1], z + airpath_bar * diffracted[2]


@derivative
def solid_angle_adjoint(omega, airpath, bar, detector, bars):
    """Add to ``bars`` what ``bar``, the gradient with respect to ``solid_angle``, gives; returns that of the air path."""
    by_airpath, by_pixel, by_distance = solid_angle_partials(omega, airpath, detector)
    add_at(bars.pixel_size, 0, bar * by_pixel)
    add_at(bars.close_distance, 0, bar * by_distance)
    return bar * by_airpath


@derivative
def solid_angle_tangent(omega, airpath, airpath_dot, detector, dots, k):
    """Change of ``solid_angle``."""
    by_airpath, by_pixel, by_distance = solid_angle_partials(omega, airpath, detector)
    return by_airpath * airpath_dot + by_pixel * dots.pixel_size[k, 0] + by_distance * dots.close_distance[k, 0]


@derivative
def capture_adjoint(layer, diffracted, bar, detector, bars):
    """Likewise for ``capture_fraction``; returns the gradient with respect to the ray's direction."""
    slope = bar * capture_slope(layer, diffracted, detector)
    add_to(bars.normal, 0, scale(diffracted, slope))
    return slope * detector.normal[0], slope * detector.normal[1], slope * detector.normal[2]


@derivative
def capture_tangent(layer, diffracted, direction_dot, detector, dots, k):
    """Change of ``capture_fraction``."""
    return capture_slope(layer, diffracted, detector) * (dot(direction_dot, detector.normal) + dot(diffracted, dots.normal[k]))


@derivative
def ray_of(slow, fast, sub_slow, sub_fast, layer, detector):
    """Direction and length of the ray to a sub-pixel."""
    position = subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector)
    return unit(position), magnitude(position)


@derivative
def form_of(source, beam):
    """``polarization_form`` of one source."""
    return polarization_form(beam.kahn, vector_of(beam.incident[source], 0), vector_of(beam.axes[0], 0))


@derivative
def pull_form(source, m, beam, bars):
    """Add to ``bars`` what ``polarization_form_adjoint`` of one source gives for ``m``."""
    by_kahn, by_incident, by_axis = polarization_form_adjoint(beam.kahn, vector_of(beam.incident[source], 0), vector_of(beam.axes[0], 0), m)
    add_at(bars.kahn, 0, by_kahn)
    add_to(bars.incident, 3 * source, by_incident)
    add_to(bars.polarization_axis, 0, by_axis)


@derivative
def form_tangent(source, beam, dots, k):
    """Change of ``form_of`` in the direction ``k`` of ``dots``."""
    return polarization_form_tangent(
        beam.kahn, vector_of(beam.incident[source], 0), vector_of(beam.axes[0], 0), dots.kahn[k, 0],
        vector_of(dots.incident[k], 3 * source), vector_of(dots.polarization_axis[k], 0),
    )  # fmt: skip


@derivative
def polarization_tangent(form_dot, slope, diffracted, diffracted_dot):
    """Change of a polarization factor whose derivative with respect to the ray is ``slope``."""
    return 0.5 * dot(diffracted, applied(form_dot, diffracted)) + dot(slope, diffracted_dot)


@derivative
def kept_polarization(slow, fast, tables):
    """Where "c" computes the polarization factor: layer, sub_slow, sub_fast, source; source -1 if it never does."""
    detector, beam, _, _ = tables
    for layer in range(detector.layers):
        for sub_slow in range(detector.oversample):
            for sub_fast in range(detector.oversample):
                direction = unit(subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector))
                for source in range(beam.wavelengths.shape[0]):
                    incident = vector_of(beam.incident[source], 0)
                    if not (beam.dmin > 0.0 and is_cut(scattering_vector(direction, incident, beam.wavelengths[source]), beam.dmin)):
                        return layer, sub_slow, sub_fast, source
    return 0, 0, 0, -1


@derivative
def kept_factors(slow, fast, tables):
    """Solid angle, capture fraction and polarization factor of a pixel in "c"."""
    detector, beam, _, _ = tables
    position = subpixel_position(slow, fast, 0, 0, 0, detector)
    omega = solid_angle(magnitude(position), detector)
    capture = 1.0 + (omega - omega)
    if detector.thickness != 0.0:
        layer = detector.layers - 1
        capture = capture_fraction(layer, unit(subpixel_position(slow, fast, 0, 0, layer, detector)), detector)
    polar = 1.0 + (omega - omega)
    if beam.polarized:
        layer, sub_slow, sub_fast, source = kept_polarization(slow, fast, tables)
        polar = polar - polar
        if source >= 0:
            direction = unit(subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector))
            polar, _ = polarization_and_slope(form_of(source, beam), direction)
    return omega, capture, polar


@derivative(inline=False)
def kept_factors_adjoint(slow, fast, omega_bar, capture_bar, polar_bar, tables, bars):
    """Add to ``bars`` what gradients with respect to ``kept_factors`` give."""
    detector, beam, _, _ = tables
    direction, airpath = ray_of(slow, fast, 0, 0, 0, detector)
    zero = omega_bar - omega_bar
    none = (zero, zero, zero)
    airpath_bar = solid_angle_adjoint(solid_angle(airpath, detector), airpath, omega_bar, detector, bars)
    ray_adjoint(slow, fast, 0, 0, 0, direction, airpath, none, airpath_bar, detector, bars)
    if detector.thickness != 0.0:
        layer = detector.layers - 1
        direction, airpath = ray_of(slow, fast, 0, 0, layer, detector)
        direction_bar = capture_adjoint(layer, direction, capture_bar, detector, bars)
        ray_adjoint(slow, fast, 0, 0, layer, direction, airpath, direction_bar, zero, detector, bars)
    if beam.polarized:
        layer, sub_slow, sub_fast, source = kept_polarization(slow, fast, tables)
        if source >= 0:
            direction, airpath = ray_of(slow, fast, sub_slow, sub_fast, layer, detector)
            _, slope = polarization_and_slope(form_of(source, beam), direction)
            pull_form(source, symmetric_product(scale(direction, polar_bar), direction), beam, bars)
            ray_adjoint(slow, fast, sub_slow, sub_fast, layer, direction, airpath, scale(slope, polar_bar), zero, detector, bars)


@derivative(inline=False)
def kept_factors_tangent(slow, fast, tables, dots, k):
    """Changes of ``kept_factors``."""
    detector, beam, _, _ = tables
    direction, airpath = ray_of(slow, fast, 0, 0, 0, detector)
    change = dot(direction, position_tangent(slow, fast, 0, 0, 0, detector, dots, k))
    omega_dot = solid_angle_tangent(solid_angle(airpath, detector), airpath, change, detector, dots, k)
    capture_dot = polar_dot = omega_dot - omega_dot
    if detector.thickness != 0.0:
        layer = detector.layers - 1
        direction, airpath = ray_of(slow, fast, 0, 0, layer, detector)
        direction_dot = along_unit(direction, airpath, position_tangent(slow, fast, 0, 0, layer, detector, dots, k))
        capture_dot = capture_tangent(layer, direction, direction_dot, detector, dots, k)
    if beam.polarized:
        layer, sub_slow, sub_fast, source = kept_polarization(slow, fast, tables)
        if source >= 0:
            direction, airpath = ray_of(slow, fast, sub_slow, sub_fast, layer, detector)
            _, slope = polarization_and_slope(form_of(source, beam), direction)
            change = position_tangent(slow, fast, sub_slow, sub_fast, layer, detector, dots, k)
            direction_dot = along_unit(direction, airpath, change)
            polar_dot = polarization_tangent(form_tangent(source, beam, dots, k), slope, direction, direction_dot)
    return omega_dot, capture_dot, polar_dot
