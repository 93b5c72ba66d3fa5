"""The sum over phi steps and mosaic domains at one scattering vector, for the pixels of a chunk at once."""

import math

import numpy as np

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.accurate_maths import (
    decay,
    fma,
    nearest_whole,
    nearest_whole_index,
    sine_and_cosine,
    sine_magnitude,
    sine_of_turns,
    sine_within_quarter_turn,
)
from nanobragg_numba.kernels.formulas import (
    GAUSS,
    ROUND,
    SQUARE,
    gaussian_exponent,
    is_diagonal,
    miller_indices,
    number_of_cells,
    scaled_radius_squared,
    sphere_argument,
    spot_radius_squared,
    tensor_radius_squared,
    tophat,
)
from nanobragg_numba.maths.constants import GAUSSIAN_END, SPHERE_HEIGHT

from .error_bound import POLAR_ERROR, SMALLEST_POLAR
from .structure_factors import nearest_factors, tricubic_factors
from .work_rows import rows_of

TRANSFORM_ERROR = 24.0 * 2.0**-53
"""Bound on the difference of sin(x)/x - cos(x) from the reference's (docs/error-bound.md)."""
LAST_NONZERO, FIRST_ZERO = 745.0, 746.0
"""The C library's exp(-y) is above zero up to the first, and zero from the second."""


@inlined
def parallelepiped_factor(h, k, l, na, nb, nc):
    """The parallelepiped's lattice factor up to its sign; the sines' arguments are rounded as in the reference."""
    x, y, z = math.pi * h, math.pi * k, math.pi * l
    top_x, top_y, top_z = sine_magnitude(x * na), sine_magnitude(y * nb), sine_magnitude(z * nc)
    low_x, low_y, low_z = sine_magnitude(x), sine_magnitude(y), sine_magnitude(z)
    top_x, low_x = (na, 1.0) if low_x == 0.0 else (top_x, low_x)
    top_y, low_y = (nb, 1.0) if low_y == 0.0 else (top_y, low_y)
    top_z, low_z = (nc, 1.0) if low_z == 0.0 else (top_z, low_z)
    return (top_x * top_y * top_z) / (low_x * low_y * low_z)


@inlined
def parallelepiped_factor_near(dh, dk, dl, na, nb, nc):
    """The same at a distance of at most 1/2 along h, k and l from the nearest reflection."""
    x, y, z = math.pi * dh, math.pi * dk, math.pi * dl
    top_x, top_y, top_z = sine_magnitude(x * na), sine_magnitude(y * nb), sine_magnitude(z * nc)
    low_x, low_y, low_z = sine_within_quarter_turn(x), sine_within_quarter_turn(y), sine_within_quarter_turn(z)
    top_x, low_x = (na, 1.0) if low_x == 0.0 else (top_x, low_x)
    top_y, low_y = (nb, 1.0) if low_y == 0.0 else (top_y, low_y)
    top_z, low_z = (nc, 1.0) if low_z == 0.0 else (top_z, low_z)
    return (top_x * top_y * top_z) / (low_x * low_y * low_z)


@inlined
def squared_lattice_factor(h, k, l, na, nb, nc):
    """The square of the parallelepiped's lattice factor."""
    amplitude = parallelepiped_factor(h, k, l, na, nb, nc)
    return amplitude * amplitude


@inlined
def grating_single(h, n):
    """sin(n pi h) / sin(pi h) up to its sign, in single precision; whole turns are taken off first, in the precision of h and n, and
    before h is multiplied by n, or large n would lose digits."""
    below = h - nearest_whole(h)
    turns = below * n
    top = sine_of_turns(np.float32(turns - nearest_whole(turns)))
    low = sine_of_turns(np.float32(below))
    return np.float32(n) if low == np.float32(0.0) else top / low


@inlined
def squared_grating_single(h, n):
    """Its square."""
    quotient = grating_single(h, n)
    return quotient * quotient


@inlined
def squared_lattice_factor_single(h, k, l, na, nb, nc):
    """The square of the parallelepiped's lattice factor in single precision, for previews."""
    return np.float64(squared_grating_single(h, na) * squared_grating_single(k, nb)) * np.float64(squared_grating_single(l, nc))


@inlined
def squared_sphere_factor(dh, dk, dl, na, nb, nc, fudge):
    """The square of the ellipsoid's lattice factor, and a bound on its difference from the reference's."""
    x = sphere_argument(dh, dk, dl, na, nb, nc, fudge)
    sine, cosine = sine_and_cosine(x)
    inverse = 1.0 / x
    difference = abs(fma(sine, inverse, -cosine))
    height = na * nb * nc * SPHERE_HEIGHT
    scale = height * (3.0 * (inverse * inverse))
    weight = scale * scale
    square = weight * (difference * difference)
    slack = weight * (TRANSFORM_ERROR * (2.0 * difference + TRANSFORM_ERROR))
    return (square, slack, difference) if x != 0.0 else (height * height, 0.0, 1.0)


@inlined
def lattice_axes(orientations, step):
    """a, b, c of one step, as nine numbers."""
    v = orientations[step]
    return v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]


@inlined
def from_nearest(h):
    """Distance of h from the nearest index."""
    return h - nearest_whole_index(h)


@compiled
def step_indices(n, work, axes):
    """h, k, l of one step."""
    w = rows_of(work)
    sx, sy, sz = w.scattering[0], w.scattering[1], w.scattering[2]
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    for i in range(n):
        hs[i], ks[i], ls[i] = miller_indices(axes, (sx[i], sy[i], sz[i]))


@compiled
def square_factors(n, work, na, nb, nc, spec, single):
    """Squared lattice factors of parallelepiped crystals."""
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    if single:
        for i in range(n):
            w.square[i] = squared_lattice_factor_single(hs[i], ks[i], ls[i], na, nb, nc)
    elif spec:
        for i in range(n):
            amplitude = parallelepiped_factor_near(from_nearest(hs[i]), from_nearest(ks[i]), from_nearest(ls[i]), na, nb, nc)
            w.square[i] = amplitude * amplitude
    else:
        for i in range(n):
            w.square[i] = squared_lattice_factor(hs[i], ks[i], ls[i], na, nb, nc)


@compiled
def spot_radii(n, work, crystal, spec):
    """Squared distances from the nearest reflections, into ``square``."""
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    na, nb, nc, star = crystal.na, crystal.nb, crystal.nc, crystal.star
    # With the branch in the loop, spots without a tensor would pay for its products.
    if spec and is_diagonal(crystal.cross):
        for i in range(n):
            w.square[i] = spot_radius_squared(from_nearest(hs[i]), from_nearest(ks[i]), from_nearest(ls[i]), na, nb, nc)
    elif spec:
        for i in range(n):
            dh, dk, dl = from_nearest(hs[i]), from_nearest(ks[i]), from_nearest(ls[i])
            w.square[i] = tensor_radius_squared(dh, dk, dl, na, nb, nc, crystal.cross)
    else:
        for i in range(n):
            w.square[i] = scaled_radius_squared(from_nearest(hs[i]), from_nearest(ks[i]), from_nearest(ls[i]), star, na, nb, nc)


@compiled
def other_factors(n, work, crystal, spec, zeros_matter):
    """The same for the other shapes, with ``slack``.

    ``zeros_matter``: what the reference leaves out as exactly zero must be told from what is tiny, in ``present``;
    where that cannot be foretold, the slack is infinite.
    """
    w = rows_of(work)
    hs, ks, ls = w.hkl[0], w.hkl[1], w.hkl[2]
    square, slack, present = w.square, w.slack, w.present
    na, nb, nc, fudge = crystal.na, crystal.nb, crystal.nc, crystal.fudge
    if crystal.shape != ROUND:
        spot_radii(n, work, crystal, spec)
    if crystal.shape == ROUND:
        for i in range(n):
            dh, dk, dl = from_nearest(hs[i]), from_nearest(ks[i]), from_nearest(ls[i])
            value, error, difference = squared_sphere_factor(dh, dk, dl, na, nb, nc, fudge)
            square[i] = value
            slack[i] = np.inf if zeros_matter and difference <= TRANSFORM_ERROR else error
    elif crystal.shape == GAUSS:
        end = GAUSSIAN_END if spec else np.inf
        peak = number_of_cells(na, nb, nc, crystal.cross)
        if zeros_matter:
            for i in range(n):
                exponent = gaussian_exponent(square[i], fudge)
                present[i] = 0.0 if exponent >= FIRST_ZERO else 1.0
                slack[i] = np.inf if (exponent > LAST_NONZERO) & (exponent < FIRST_ZERO) else 0.0
        for i in range(n):
            exponent = gaussian_exponent(square[i], fudge)
            amplitude = 0.0 if exponent > end else peak * decay(exponent)
            square[i] = amplitude * amplitude
    else:
        peak = number_of_cells(na, nb, nc, crystal.cross)
        for i in range(n):
            amplitude = peak * tophat(square[i], fudge)
            square[i] = amplitude * amplitude
            if zeros_matter:
                present[i] = 0.0 if amplitude == 0.0 else 1.0


@inlined
def is_switched(rules):
    """Whether factors multiply every step, or the running sum."""
    return rules.each_thick or rules.each_polar or rules.each_omega


@inlined
def switched_factors(w, i, rules):
    """What the switches multiply pixel i's running sum, or its steps, by: capture, polarization, solid angle."""
    return (
        w.capture[i] if rules.each_thick else 1.0,
        w.polar[i] if rules.each_polar else 1.0,
        w.omega[i] if rules.each_omega else 1.0,
    )


@compiled
def give_up_wild_factors(n, work, rules, largest_factor):
    """Make ``part_error`` infinite where a switch's factor keeps the sum's error from being bounded."""
    w = rows_of(work)
    for i in range(n):
        thick, polar, omega = switched_factors(w, i, rules)
        # A negative factor would make later terms cancel, and no relative bound would hold.
        bounded = 0.0 <= thick <= largest_factor and polar >= SMALLEST_POLAR and 0.0 <= omega <= largest_factor
        w.part_error[i] = w.part_error[i] if bounded or w.keep[i] == 0.0 else np.inf


@compiled
def accumulate(n, work, rules, with_slack):
    """Add one step's intensities to the running sums, and multiply these, or the step's, where a switch asks for it (Q3)."""
    w = rows_of(work)
    polar_error = POLAR_ERROR if rules.each_polar else 0.0
    switched = is_switched(rules)
    if switched and not rules.running_products:
        for i in range(n):
            thick, polar, omega = switched_factors(w, i, rules)
            intensity = w.cell[i] * w.cell[i] * (thick * omega)
            new = w.square[i] * intensity
            kept = w.keep[i] != 0.0
            w.part[i] += new * polar if kept else 0.0
            w.part_error[i] += w.slack[i] * intensity * polar + new * polar_error if kept else 0.0
    elif switched:
        for i in range(n):
            if w.keep[i] != 0.0 and w.present[i] != 0.0:
                thick, polar, omega = switched_factors(w, i, rules)
                intensity = w.cell[i] * w.cell[i]
                new = w.part[i] + w.square[i] * intensity
                w.part[i] = new * thick * polar * omega
                w.part_error[i] = ((w.part_error[i] + w.slack[i] * intensity) * polar + new * polar_error) * (thick * omega)
    else:
        for i in range(n):
            w.part[i] += w.square[i] * (w.cell[i] * w.cell[i]) if w.keep[i] != 0.0 else 0.0
        if with_slack:
            for i in range(n):
                w.part_error[i] += w.slack[i] * (w.cell[i] * w.cell[i]) if w.keep[i] != 0.0 else 0.0


@inlined
def add_step(n, work, step, crystal, rules, single):
    """Add one orientation's intensities to ``part``; see ``add_steps``."""
    listed = crystal.factors.size > 1
    step_indices(n, work, lattice_axes(crystal.orientations, step))
    if crystal.shape == SQUARE:
        square_factors(n, work, crystal.na, crystal.nb, crystal.nc, rules.spec, single)
    else:
        # Adding a zero is the same as leaving it out, but for products of the running sum, and for Q2.
        zeros_matter = rules.skip_zeros and ((is_switched(rules) and rules.running_products) or rules.interpolate)
        other_factors(n, work, crystal, rules.spec, zeros_matter)
    if rules.interpolate:
        if tricubic_factors(n, work, crystal, rules.spec):
            return True
    elif listed:
        nearest_factors(n, work, crystal)
    accumulate(n, work, rules, crystal.shape == ROUND)
    return False


@compiled
def add_steps(n, work, crystal, rules, single):
    """Add the intensities of all orientations to ``part``, and to ``part_error`` what their relative bound does not cover.

    Returns whether a step left the table of structure factors in "c" (Q2); then the sums are of no use.
    """
    if is_switched(rules):
        # What a Gaussian spot leaves out below the range of doubles must not grow.
        give_up_wild_factors(n, work, rules, 1.0 if crystal.shape == GAUSS else np.inf)
    for step in range(crystal.orientations.shape[0]):  # noqa: SIM110 - numba compiles no ``any`` of these
        if add_step(n, work, step, crystal, rules, single):
            return True
    return False
