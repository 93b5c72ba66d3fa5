"""Partial derivatives of the formulas of one step, shared by the adjoint and the tangent kernels.

Each function belongs to one of formulas.py and gives its partial derivatives, by hand; docs/derivatives.md lists them in the
same order. All are analytic in their arguments and compile for complex numbers too, from which second derivatives
come; where a choice has to be made, real parts decide.
"""

import math

from .compiled import derivative
from .formulas import cubic_at
from .vector_math import C2, C3, C4, C5, C6, C7, C8, C9, S0, S1, S2, S3, S4, S5, S6, S7, nearest_whole
from .vectors import cross, dot, magnitude, scale

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
    sine, cosine = math.sin(z), math.cos(z)
    first = polynomial(BESSEL1, small) if near else (sine / z - cosine) / square
    second = polynomial(BESSEL2, small) if near else ((3.0 / square - 1.0) * sine / z - 3.0 * cosine / square) / square
    transform = 3.0 * first
    return transform * transform, -3.0 * transform * second


@derivative
def cubic_weights(x, below):
    """The weights of the four values in ``cubic_at``."""
    return (
        cubic_at(x, below, (1.0, 0.0, 0.0, 0.0)), cubic_at(x, below, (0.0, 1.0, 0.0, 0.0)),
        cubic_at(x, below, (0.0, 0.0, 1.0, 0.0)), cubic_at(x, below, (0.0, 0.0, 0.0, 1.0)),
    )  # fmt: skip


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
def polarization_partials(kahn, incident, diffracted, axis):
    """``polarization_factor`` and its derivatives with respect to kahn, incident, diffracted and axis.

    With the unit vectors b along axis x incident and e along incident x b, x = e.d and y = b.d, cos(2 psi) is
    (x^2 - y^2) / (x^2 + y^2).
    """
    cosine = dot(incident, diffracted)
    v = cross(axis, incident)
    length_v = magnitude(v)
    b = scale(v, 1.0 / length_v)
    w = cross(incident, b)
    length_w = magnitude(w)
    e = scale(w, 1.0 / length_w)
    x, y = dot(diffracted, e), dot(diffracted, b)
    square = x * x + y * y
    ahead = square.real == 0.0
    inverse = 1.0 / (1.0 + square if ahead else square)
    double = 1.0 + square if ahead else (x * x - y * y) * inverse
    by_x, by_y = 4.0 * x * y * y * inverse * inverse, -4.0 * y * x * x * inverse * inverse
    sine_squared = 1.0 - cosine * cosine
    by_cosine = cosine + kahn * double * cosine
    by_double = -0.5 * kahn * sine_squared
    to_e, to_b = scale(diffracted, by_double * by_x), scale(diffracted, by_double * by_y)
    to_w = along_unit(e, length_w, to_e)
    more = cross(to_w, incident)
    to_v = along_unit(b, length_v, (to_b[0] + more[0], to_b[1] + more[1], to_b[2] + more[2]))
    from_w, from_v = cross(b, to_w), cross(to_v, axis)
    by_incident = (
        by_cosine * diffracted[0] + from_w[0] + from_v[0],
        by_cosine * diffracted[1] + from_w[1] + from_v[1],
        by_cosine * diffracted[2] + from_w[2] + from_v[2],
    )
    by_diffracted = (
        by_cosine * incident[0] + by_double * (by_x * e[0] + by_y * b[0]),
        by_cosine * incident[1] + by_double * (by_x * e[1] + by_y * b[1]),
        by_cosine * incident[2] + by_double * (by_x * e[2] + by_y * b[2]),
    )
    value = 0.5 * (1.0 + cosine * cosine - kahn * double * sine_squared)
    return value, -0.5 * double * sine_squared, by_incident, by_diffracted, cross(incident, to_v)


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
