"""Partial derivatives of the formulas of one step, shared by the adjoint and the tangent kernels.

Each function belongs to one of kernels/formulas.py and gives its partial derivatives, by hand; docs/derivatives.md lists them in the
same order. All are analytic in their arguments and compile for complex numbers too, from which second derivatives
come; where a choice has to be made, real parts decide.
"""

import math

from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.accurate_maths import (  # fmt: skip
    C2,
    C3,
    C4,
    C5,
    C6,
    C7,
    C8,
    C9,
    E3,
    E4,
    E5,
    E6,
    E7,
    E8,
    E9,
    E10,
    E11,
    E12,
    E13,
    INVERSE_LN2,
    LN2_1,
    LN2_2,
    S0,
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    fma,
    from_nearest_multiple_of_pi,
    nearest_whole,
    power_of_two,
)
from nanobragg_numba.kernels.formulas import cubic_terms, number_of_cells
from nanobragg_numba.maths.vectors3 import cross, dot, magnitude, scale

# j1(z) / z and j2(z) / z^2 as series in z^2: term n has the factor (-1/2)^n / (n! (2n + 3)!!) and the like.
BESSEL1 = tuple((-0.5) ** n / (math.factorial(n) * math.prod(range(1, 2 * n + 4, 2))) for n in range(10))
BESSEL2 = tuple((-0.5) ** n / (math.factorial(n) * math.prod(range(1, 2 * n + 6, 2))) for n in range(10))
SMALL_SPHERE = 1.0


@derivative
def polynomial(coefficients, u):
    """c[0] + c[1] u + c[2] u^2 + ..."""
    total = coefficients[-1] + 0.0 * u
    for n in range(len(coefficients) - 2, -1, -1):
        total = total * u + coefficients[n]
    return total


@derivative
def sine_and_cosine_parts(u):
    """The s and c of sin(x) = x (1 + u s) and cos(x) = 1 + u c, for u = x^2 and |x| <= pi / 2; vector_math's polynomials."""
    return polynomial((S0, S1, S2, S3, S4, S5, S6, S7), u), polynomial((-0.5, C2, C3, C4, C5, C6, C7, C8, C9), u)


@derivative
def sine_and_cosine(x):
    """sin(x) and cos(x), up to a sign that both have in common."""
    r = from_nearest_multiple_of_pi(x.real) + (x - x.real)
    u = r * r
    s, c = sine_and_cosine_parts(u)
    return r + r * u * s, 1.0 + u * c


@derivative
def decay(y):
    """exp(-y) for y >= 0, and 0 above 700: ``accurate_maths.decay``, of complex numbers too."""
    inside = y.real <= 700.0
    bounded = y if inside else y - y
    k = nearest_whole(bounded.real * INVERSE_LN2)
    r = fma(k, LN2_2, fma(k, LN2_1, -bounded.real)) + (bounded.real - bounded)
    power = power_of_two(-k) if inside else 0.0
    return polynomial((1.0, 1.0, 0.5, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13), r) * power


@derivative
def reduced_index(h, spec):
    """h as the grating takes it: in "spec" less the nearest whole number."""
    return h - (nearest_whole(h.real) if spec else 0.0)


@derivative
def squared_grating(h, n):
    """(sin(pi n h) / sin(pi h))^2 and its derivatives with respect to h and n.

    With m the nearest whole number, x = pi (h - m), y = n x + pi n m less whole turns, and U = sin(y) / sin(x), all up to a sign:
    dU/dh = pi (n cos(y) - U cos(x)) / sin(x), dU/dn = pi h cos(y) / sin(x). Where y = n x, near a lattice point, the first
    cancels, and is n x (y^2 (c_y - s_y) + x^2 (s_x - c_x) + x^2 y^2 (c_y s_x - s_y c_x)) / sin(x)^2 with the parts s and c of
    ``sine_and_cosine_parts``.
    """
    m = nearest_whole(h.real)
    x = math.pi * (h - m)
    shift = n * m - nearest_whole(n.real * m)
    turns = n * (h - m) + shift
    half_turns = nearest_whole(turns.real)
    y = math.pi * (turns - half_turns)
    x_square, y_square = x * x, y * y
    x_sine, x_cosine = sine_and_cosine_parts(x_square)
    y_sine, y_cosine = sine_and_cosine_parts(y_square)
    sine, cosine = x + x * x_square * x_sine, 1.0 + x_square * x_cosine
    top, top_cosine = y + y * y_square * y_sine, 1.0 + y_square * y_cosine
    exact = sine == 0.0
    inverse = 1.0 / (1.0 + sine if exact else sine)
    u = n + x if exact else top * inverse
    bent = y_square * (y_cosine - y_sine) + x_square * (x_sine - x_cosine)
    bent += x_square * y_square * (y_cosine * x_sine - y_sine * x_cosine)
    near = shift == 0.0 and half_turns == 0.0
    slope = (y * bent * inverse if near else n * top_cosine - u * cosine) * inverse
    by_n = 1.0 + x if exact else math.pi * h * top_cosine * inverse
    return u * u, 2.0 * math.pi * u * slope, 2.0 * u * by_n


@derivative
def squared_sphere(radius_squared):
    """T^2 for the sphere's transform T(z) = 3 j1(z) / z at z^2 = ``radius_squared``, and its derivative with respect to z^2.

    dT/d(z^2) = -3/2 j2(z) / z^2.
    """
    near = radius_squared.real < SMALL_SPHERE
    small = radius_squared if near else radius_squared - radius_squared
    square = 1.0 + small if near else radius_squared
    z = math.sqrt(square)
    sine, cosine = sine_and_cosine(z)
    first = polynomial(BESSEL1, small) if near else (sine / z - cosine) / square
    second = polynomial(BESSEL2, small) if near else ((3.0 / square - 1.0) * sine / z - 3.0 * cosine / square) / square
    transform = 3.0 * first
    return transform * transform, -3.0 * transform * second


@derivative
def peak_slopes(na, nb, nc, cross):
    """Derivatives of log V^2, V = ``number_of_cells``, with respect to Na, Nb, Nc, Nab, Nac, Nbc: cofactors over V, twice; those off the
    diagonal stand in V in two places."""
    ab, ac, bc = cross
    twice = 2.0 / number_of_cells(na, nb, nc, cross)
    return (
        twice * (nb * nc - bc * bc), twice * (na * nc - ac * ac), twice * (na * nb - ab * ab),
        2.0 * twice * (ac * bc - ab * nc), 2.0 * twice * (ab * bc - ac * nb), 2.0 * twice * (ab * ac - bc * na),
    )  # fmt: skip


@derivative
def cubic_weights(x, below):
    """The weights of the four values in ``cubic_at``."""
    t0, t1, t2, t3 = cubic_terms(x, below, (1.0, 1.0, 1.0, 1.0))
    return t0 / -6.0, t1 / 2.0, t2 / -2.0, t3 / 6.0


@derivative
def cubic_slopes(x, below):
    """The derivatives of those weights with respect to x."""
    t = x - below
    return (
        (-3.0 * t * t + 6.0 * t - 2.0) / 6.0, (3.0 * t * t - 4.0 * t - 1.0) / 2.0,
        (-3.0 * t * t + 2.0 * t + 2.0) / 2.0, (3.0 * t * t - 1.0) / 6.0,
    )  # fmt: skip


@derivative
def solid_angle_partials(omega, airpath, detector):
    """Derivatives of ``solid_angle`` with respect to the air path, the pixel size and the close distance."""
    if detector.point_pixel:
        return -2.0 * omega / airpath, 0.0 * omega, 0.0 * omega
    cube = airpath * airpath * airpath
    area = detector.pixel_size * detector.pixel_size
    return -3.0 * omega / airpath, 2.0 * detector.pixel_size * detector.close_distance / cube, area / cube


@derivative
def capture_slope(layer, diffracted, detector):
    """Derivative of ``capture_fraction`` with respect to the cosine between ray and detector normal."""
    parallax = dot(diffracted, detector.normal)
    front = detector.layer_thickness * detector.mu * layer / parallax
    back = detector.layer_thickness * detector.mu * (layer + 1) / parallax
    return (front * math.exp(-front) - back * math.exp(-back)) / parallax


@derivative
def along_unit(direction, length, vector):
    """The derivative of v / |v| = ``direction`` at |v| = ``length``, applied to a change or, being symmetric, to a gradient."""
    away = dot(direction, vector)
    return (
        (vector[0] - direction[0] * away) / length,
        (vector[1] - direction[1] * away) / length,
        (vector[2] - direction[2] * away) / length,
    )


@derivative
def safe_length(v):
    """Length of a vector, or 1 where it has none, so that the quotient is the zero vector, as ``unit`` has it."""
    length = magnitude(v)
    return 1.0 + length if length.real == 0.0 else length


@derivative
def polarization_frame_with_lengths(incident, axis):
    """``polarization_frame``, and the lengths of the two vectors before they were made unit vectors."""
    v = cross(axis, incident)
    length_v = safe_length(v)
    b = scale(v, 1.0 / length_v)
    w = cross(incident, b)
    length_w = safe_length(w)
    return b, scale(w, 1.0 / length_w), length_v, length_w


@derivative
def symmetric_product(a, b):
    """The symmetric part of the matrix a b^T: its elements xx, yy, zz, xy, xz, yz."""
    return (
        a[0] * b[0], a[1] * b[1], a[2] * b[2],
        0.5 * (a[0] * b[1] + a[1] * b[0]), 0.5 * (a[0] * b[2] + a[2] * b[0]), 0.5 * (a[1] * b[2] + a[2] * b[1]),
    )  # fmt: skip


@derivative
def applied(m, v):
    """The product of a symmetric matrix (xx, yy, zz, xy, xz, yz) with a vector."""
    return (
        m[0] * v[0] + m[3] * v[1] + m[4] * v[2],
        m[3] * v[0] + m[1] * v[1] + m[5] * v[2],
        m[4] * v[0] + m[5] * v[1] + m[2] * v[2],
    )


@derivative
def combined(a, x, b, y, c, z):
    """a x + b y + c z of three symmetric matrices."""
    return (
        a * x[0] + b * y[0] + c * z[0], a * x[1] + b * y[1] + c * z[1], a * x[2] + b * y[2] + c * z[2],
        a * x[3] + b * y[3] + c * z[3], a * x[4] + b * y[4] + c * z[4], a * x[5] + b * y[5] + c * z[5],
    )  # fmt: skip


@derivative
def is_along(axis, incident):
    """Whether the polarization axis lies along the beam, so that it tells no direction across it."""
    return magnitude(cross(axis, incident)).real == 0.0


@derivative
def e_squared(incident, axis, e):
    """e e^T; for an axis along the beam, where ``polarization_factor`` takes psi = 0, 1 - i i^T, which is all that is across it."""
    square = symmetric_product(e, e)
    if is_along(axis, incident):
        zero = square[0] - square[0]
        identity = (1.0 + zero, 1.0 + zero, 1.0 + zero, zero, zero, zero)
        return combined(1.0, identity, -1.0, symmetric_product(incident, incident), 0.0, square)
    return square


@derivative
def polarization_form(kahn, incident, axis):
    """The symmetric matrix N with ``polarization_factor`` = (1 + d.N d) / 2 for the unit vector d along a diffracted ray.

    With the unit vectors b along axis x incident and e along incident x b, d's components across the beam have the squares'
    sum sin(2 theta)^2 and cos(2 psi) is their squares' difference over that sum, so N = i i^T - kahn (e e^T - b b^T).
    """
    b, e, _, _ = polarization_frame_with_lengths(incident, axis)
    return combined(1.0, symmetric_product(incident, incident), -kahn, e_squared(incident, axis, e), kahn, symmetric_product(b, b))


@derivative
def polarization_and_slope(form, diffracted):
    """The polarization factor, and its derivative N d with respect to d."""
    slope = applied(form, diffracted)
    return 0.5 * (1.0 + dot(diffracted, slope)), slope


@derivative
def polarization_form_adjoint(kahn, incident, axis, m):
    """Gradients with respect to kahn, incident and axis from ``m``, the sum over rays of d d^T times the factor's gradient."""
    b, e, length_v, length_w = polarization_frame_with_lengths(incident, axis)
    to_incident, to_e, to_b = applied(m, incident), applied(m, e), applied(m, b)
    to_w = along_unit(e, length_w, scale(to_e, -kahn))
    more = cross(to_w, incident)
    to_v = along_unit(b, length_v, (kahn * to_b[0] + more[0], kahn * to_b[1] + more[1], kahn * to_b[2] + more[2]))
    from_w, from_v = cross(b, to_w), cross(to_v, axis)
    by_incident = (
        to_incident[0] + from_w[0] + from_v[0],
        to_incident[1] + from_w[1] + from_v[1],
        to_incident[2] + from_w[2] + from_v[2],
    )
    if is_along(axis, incident):
        along, trace = dot(incident, to_incident), m[0] + m[1] + m[2]
        return 0.5 * (along - trace), scale(to_incident, 1.0 + kahn), scale(axis, 0.0 * trace)
    return 0.5 * (dot(b, to_b) - dot(e, to_e)), by_incident, cross(incident, to_v)


@derivative
def polarization_form_tangent(kahn, incident, axis, kahn_dot, incident_dot, axis_dot):
    """Change of ``polarization_form``."""
    b, e, length_v, length_w = polarization_frame_with_lengths(incident, axis)
    first, second = cross(axis_dot, incident), cross(axis, incident_dot)
    b_dot = along_unit(b, length_v, (first[0] + second[0], first[1] + second[1], first[2] + second[2]))
    first, second = cross(incident_dot, b), cross(incident, b_dot)
    e_dot = along_unit(e, length_w, (first[0] + second[0], first[1] + second[1], first[2] + second[2]))
    if is_along(axis, incident):
        turned, across = symmetric_product(incident, incident_dot), e_squared(incident, axis, e)
        return combined(2.0 + 2.0 * kahn, turned, -kahn_dot, across, 0.0, across)
    moved = combined(
        2.0, symmetric_product(incident, incident_dot), -2.0 * kahn, symmetric_product(e, e_dot), 2.0 * kahn, symmetric_product(b, b_dot)
    )
    return combined(1.0, moved, -kahn_dot, symmetric_product(e, e), kahn_dot, symmetric_product(b, b))


@derivative
def rotation_tangent(v, axis, angle, turned, v_dot, axis_dot, angle_dot):
    """Change of ``turned`` = ``rotate_about_axis(v, axis, angle)``: the angle's part is the cross product with the axis."""
    sine, cosine = math.sin(angle), math.cos(angle)
    versine = 1.0 - cosine
    along = dot(axis, v) * versine
    along_dot = (dot(axis_dot, v) + dot(axis, v_dot)) * versine
    round_axis = cross(axis, turned)
    first, second = cross(axis_dot, v), cross(axis, v_dot)
    return (
        axis_dot[0] * along + axis[0] * along_dot + v_dot[0] * cosine + (first[0] + second[0]) * sine + round_axis[0] * angle_dot,
        axis_dot[1] * along + axis[1] * along_dot + v_dot[1] * cosine + (first[1] + second[1]) * sine + round_axis[1] * angle_dot,
        axis_dot[2] * along + axis[2] * along_dot + v_dot[2] * cosine + (first[2] + second[2]) * sine + round_axis[2] * angle_dot,
    )


@derivative
def rotation_adjoint(v, axis, angle, turned, bar):
    """Gradients with respect to v, axis and angle from ``bar``, the one with respect to the turned vector."""
    sine, cosine = math.sin(angle), math.cos(angle)
    versine = 1.0 - cosine
    along_v, along_bar = dot(axis, v) * versine, dot(axis, bar) * versine
    back, sideways = cross(bar, axis), cross(v, bar)
    v_bar = (
        axis[0] * along_bar + bar[0] * cosine + back[0] * sine,
        axis[1] * along_bar + bar[1] * cosine + back[1] * sine,
        axis[2] * along_bar + bar[2] * cosine + back[2] * sine,
    )
    axis_bar = (
        bar[0] * along_v + v[0] * along_bar + sideways[0] * sine,
        bar[1] * along_v + v[1] * along_bar + sideways[1] * sine,
        bar[2] * along_v + v[2] * along_bar + sideways[2] * sine,
    )
    return v_bar, axis_bar, dot(bar, cross(axis, turned))
