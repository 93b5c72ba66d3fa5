"""The physics of one step, as small scalar functions; every kernel compiles these and no other.

Orders of operation are the reference's: nothing may be re-associated. Vectors are tuples (x, y, z). Lengths are in
metres, scattering vectors in 1/m, Miller indices h, k, l fractional.
"""

import math

from nanobragg_numba.jit.decorators import inlined
from nanobragg_numba.maths.constants import GAUSSIAN_END, GAUSSIAN_WIDTH, SPHERE_HEIGHT, TOPHAT_EDGE
from nanobragg_numba.maths.vectors3 import cross, dot, magnitude, rotate_about_axis, scale, unit

from .arguments import CrystalTable

SQUARE, ROUND, GAUSS, TOPHAT = 0, 1, 2, 3


@inlined
def grating(x, n):
    """Sum of n equal scatterers, sin(n x) / sin(x), at x = pi h."""
    if x == 0.0:
        return n
    return math.sin(x * n) / math.sin(x)


@inlined
def sphere_transform(x):
    """Fourier transform of a solid sphere, 3 (sin(x)/x - cos(x)) / x^2, one at the origin."""
    if x == 0.0:
        return 1.0
    return 3.0 * (math.sin(x) / x - math.cos(x)) / (x * x)


@inlined
def miller_indices(axes, scattering):
    """Fractional h, k, l: the products of a, b, c (``axes``, nine numbers in metres) with the scattering vector."""
    x, y, z = scattering
    return (
        axes[0] * x + axes[1] * y + axes[2] * z,
        axes[3] * x + axes[4] * y + axes[5] * z,
        axes[6] * x + axes[7] * y + axes[8] * z,
    )


@inlined
def nearest_index(h):
    """The whole index nearest to h; halves go down."""
    return math.ceil(h - 0.5)


@inlined
def spot_radius_squared(dh, dk, dl, na, nb, nc):
    """Squared distance from the reflection in widths of its spot, (Na dh)^2 + (Nb dk)^2 + (Nc dl)^2."""
    return dh * dh * na * na + dk * dk * nb * nb + dl * dl * nc * nc


@inlined
def is_diagonal(cross):
    """Whether the tensor of numbers of cells has nothing off its diagonal; ``cross``: Nab, Nac, Nbc."""
    return cross[0] == 0.0 and cross[1] == 0.0 and cross[2] == 0.0


@inlined
def tensor_times(dh, dk, dl, na, nb, nc, cross):
    """The product of the symmetric tensor N of numbers of cells with a vector."""
    ab, ac, bc = cross
    return na * dh + ab * dk + ac * dl, ab * dh + nb * dk + bc * dl, ac * dh + bc * dk + nc * dl


@inlined
def tensor_radius_squared(dh, dk, dl, na, nb, nc, cross):
    """``spot_radius_squared`` for a tensor: |N (dh, dk, dl)|^2."""
    x, y, z = tensor_times(dh, dk, dl, na, nb, nc, cross)
    return x * x + y * y + z * z


@inlined
def number_of_cells(na, nb, nc, cross):
    """The height of a spot: det N, which is Na Nb Nc to the last bit where nothing is off the diagonal."""
    ab, ac, bc = cross
    return na * nb * nc + (2.0 * ab * ac * bc - na * bc * bc - nb * ac * ac - nc * ab * ab)


@inlined
def sphere_argument(dh, dk, dl, na, nb, nc, fudge):
    """Argument of the sphere's transform at a distance (dh, dk, dl) from the reflection."""
    return math.pi * math.sqrt(spot_radius_squared(dh, dk, dl, na, nb, nc) * fudge)


@inlined
def scaled_radius_squared(dh, dk, dl, star, na, nb, nc):
    """What "c" takes for it (Q9): the squared distance (1/A) in reciprocal space, times (Na Nb Nc)^2; ``star``: a*, b*, c* row by row."""
    dx = dh * star[0] + dk * star[3] + dl * star[6]
    dy = dh * star[1] + dk * star[4] + dl * star[7]
    dz = dh * star[2] + dk * star[5] + dl * star[8]
    return (dx * dx + dy * dy + dz * dz) * na * na * nb * nb * nc * nc


@inlined
def gaussian_exponent(radius_squared, fudge):
    """Minus the exponent of a Gaussian spot as high and wide as a parallelepiped's."""
    return radius_squared / GAUSSIAN_WIDTH * fudge


@inlined
def tophat(radius_squared, fudge):
    """1 inside the half-height radius of that spot, 0 outside."""
    return 1.0 if radius_squared * fudge < TOPHAT_EDGE else 0.0


@inlined
def lattice_factor(shape, h, k, l, h0, k0, l0, na, nb, nc, cross, star, fudge, spec):
    """Amplitude of the crystal's lattice sum for each shape; ``star`` holds a*, b*, c* (1/A) row by row.

    Whole h, which changes no more than the sign of the grating of whole N, is taken off first in "spec": sin(N x) / sin(x) of
    other N has poles elsewhere. Gaussian spots end in "spec" (GAUSSIAN_END); in "c" they have no end.
    """
    dh, dk, dl = h - h0, k - k0, l - l0
    if shape == SQUARE:
        if spec:
            h, k, l = dh, dk, dl
        amplitude = 1.0
        if na > 1:
            amplitude *= grating(math.pi * h, na)
        if nb > 1:
            amplitude *= grating(math.pi * k, nb)
        if nc > 1:
            amplitude *= grating(math.pi * l, nc)
        return amplitude
    if shape == ROUND:
        return na * nb * nc * SPHERE_HEIGHT * sphere_transform(sphere_argument(dh, dk, dl, na, nb, nc, fudge))
    if not spec:
        radius_squared = scaled_radius_squared(dh, dk, dl, star, na, nb, nc)
    elif is_diagonal(cross):
        radius_squared = spot_radius_squared(dh, dk, dl, na, nb, nc)
    else:
        radius_squared = tensor_radius_squared(dh, dk, dl, na, nb, nc, cross)
    peak = number_of_cells(na, nb, nc, cross)
    if shape == GAUSS:
        exponent = gaussian_exponent(radius_squared, fudge)
        if spec and exponent > GAUSSIAN_END:
            return 0.0
        return peak * math.exp(-exponent)
    return peak * tophat(radius_squared, fudge)


@inlined
def cubic_terms(x, below, y):
    """Numerators of the cubic Lagrange polynomial through four values ``y`` at below - 1 ... below + 2."""
    d0, d1, d2, d3 = x - (below - 1.0), x - below, x - (below + 1.0), x - (below + 2.0)
    return d1 * d2 * d3 * y[0], d0 * d2 * d3 * y[1], d0 * d1 * d3 * y[2], d0 * d1 * d2 * y[3]


@inlined
def cubic_at(x, below, y):
    """That polynomial at x. The reference's denominators are products of whole numbers, so they are exact, and constant."""
    t0, t1, t2, t3 = cubic_terms(x, below, y)
    return t0 / -6.0 + t1 / 2.0 + t2 / -2.0 + t3 / 6.0


@inlined
def plane_value(table, i, j, m, k, l, k_floor, l_floor):
    """Bicubic value of the table's plane ``i`` at (k, l); ``j``, ``m`` are the table's indices of the floors."""
    return cubic_at(
        k,
        k_floor,
        (
            cubic_at(l, l_floor, (table[i, j - 1, m - 1], table[i, j - 1, m], table[i, j - 1, m + 1], table[i, j - 1, m + 2])),
            cubic_at(l, l_floor, (table[i, j, m - 1], table[i, j, m], table[i, j, m + 1], table[i, j, m + 2])),
            cubic_at(l, l_floor, (table[i, j + 1, m - 1], table[i, j + 1, m], table[i, j + 1, m + 1], table[i, j + 1, m + 2])),
            cubic_at(l, l_floor, (table[i, j + 2, m - 1], table[i, j + 2, m], table[i, j + 2, m + 1], table[i, j + 2, m + 2])),
        ),
    )


@inlined
def tricubic_structure_factor(table, h_min, k_min, l_min, h, k, l):
    """Structure factor between the reflections, by tricubic Lagrange interpolation; (h, k, l) must be inside."""
    h_floor, k_floor, l_floor = math.floor(h), math.floor(k), math.floor(l)
    i, j, m = h_floor - h_min, k_floor - k_min, l_floor - l_min
    return cubic_at(
        h,
        h_floor,
        (
            plane_value(table, i - 1, j, m, k, l, k_floor, l_floor),
            plane_value(table, i, j, m, k, l, k_floor, l_floor),
            plane_value(table, i + 1, j, m, k, l, k_floor, l_floor),
            plane_value(table, i + 2, j, m, k, l, k_floor, l_floor),
        ),
    )


@inlined
def can_interpolate(shape, h_min, k_min, l_min, h, k, l):
    """Whether the four reflections around h, k and l are all in a table of that shape (padding included)."""
    return (
        h - h_min + 3 <= shape[0] - 1 and h - 2 >= h_min
        and k - k_min + 3 <= shape[1] - 1 and k - 2 >= k_min
        and l - l_min + 3 <= shape[2] - 1 and l - 2 >= l_min
    )  # fmt: skip


@inlined
def is_listed(shape, i, j, m):
    """Whether these places are in a table of that shape, its padding left out."""
    return i >= 0 and i < shape[0] - 1 and j >= 0 and j < shape[1] - 1 and m >= 0 and m < shape[2] - 1


@inlined
def nearest_structure_factor(table, h_min, k_min, l_min, h0, k0, l0, default_F):
    """Structure factor of the reflection (h0, k0, l0), or ``default_F`` where it is not in the table."""
    i, j, m = h0 - h_min, k0 - k_min, l0 - l_min
    if is_listed(table.shape, i, j, m):
        return table[i, j, m]
    return default_F


@inlined
def with_table(crystal, table):
    """The crystal with one of its tables of structure factors alone."""
    c, rows = crystal, crystal.factors.shape[0] // crystal.tables
    return CrystalTable(
        c.orientations, c.first_orientations, c.star, c.na, c.nb, c.nc, c.cross, c.shape, c.fudge,
        c.factors[table * rows : (table + 1) * rows], 1, c.h_min, c.k_min, c.l_min, c.default_F,
    )  # fmt: skip


@inlined
def plane_position(fast_distance, slow_distance, depth, detector):
    """Laboratory position of a point of a flat detector, ``depth`` behind its front."""
    f, s, o, p = detector.fast, detector.slow, detector.normal, detector.pix0
    return (
        fast_distance * f[0] + slow_distance * s[0] + depth * o[0] + p[0],
        fast_distance * f[1] + slow_distance * s[1] + depth * o[1] + p[1],
        fast_distance * f[2] + slow_distance * s[2] + depth * o[2] + p[2],
    )


@inlined
def curved_position(flat, detector):
    """The same point with the detector bent to a sphere: its y and z are taken as arc lengths."""
    vector = scale(detector.beam, detector.distance)
    vector = rotate_about_axis(vector, detector.slow, flat[1] / detector.distance)
    return rotate_about_axis(vector, detector.fast, flat[2] / detector.distance)


@inlined
def flat_subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector):
    """Laboratory position of the centre of a sub-pixel on a sensor layer of a flat detector."""
    fast_distance = detector.subpixel_size * (fast * detector.oversample + sub_fast) + detector.subpixel_size / 2.0
    slow_distance = detector.subpixel_size * (slow * detector.oversample + sub_slow) + detector.subpixel_size / 2.0
    return plane_position(fast_distance, slow_distance, layer * detector.layer_thickness, detector)


@inlined
def subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector):
    """The same on a detector that may be curved."""
    flat = flat_subpixel_position(slow, fast, sub_slow, sub_fast, layer, detector)
    return curved_position(flat, detector) if detector.curved else flat


@inlined
def solid_angle(airpath, detector):
    """Solid angle of a pixel, obliquity included; for point pixels the inverse square law alone."""
    if detector.point_pixel:
        return 1.0 / airpath / airpath
    return detector.pixel_size * detector.pixel_size / airpath / airpath * detector.close_distance / airpath


@inlined
def scattering_vector(diffracted, incident, wavelength):
    """Difference of the two unit vectors over the wavelength."""
    return (
        (diffracted[0] - incident[0]) / wavelength,
        (diffracted[1] - incident[1]) / wavelength,
        (diffracted[2] - incident[2]) / wavelength,
    )


@inlined
def half_length(scattering):
    """sin(theta) / lambda, half the length of the scattering vector."""
    return 0.5 * magnitude(scattering)


@inlined
def is_beyond(scattering, dmin):
    """Whether the scattering is beyond the resolution limit dmin (metres)."""
    stol = half_length(scattering)
    return stol > 0.0 and dmin > 0.5 / stol


@inlined
def capture_fraction(layer, diffracted, detector):
    """Share of the photons that the sensor layer absorbs on the slanted path through it."""
    parallax = dot(diffracted, detector.normal)
    front = math.exp(-float(layer) * detector.layer_thickness * detector.mu / parallax)
    back = math.exp(-float(layer + 1) * detector.layer_thickness * detector.mu / parallax)
    return front - back


@inlined
def polarization_frame(incident, axis):
    """Unit vectors across the beam, along B and along E, for that polarization axis."""
    b_in = unit(cross(axis, incident))
    return b_in, unit(cross(incident, b_in))


@inlined
def polarization_factor(kahn, incident, diffracted, axis):
    """Polarization factor after Kahn et al. (1982) for unit vectors."""
    cos_two_theta = dot(incident, diffracted)
    cos_squared = cos_two_theta * cos_two_theta
    sin_squared = 1.0 - cos_squared
    psi = 0.0
    if kahn != 0.0:
        b_in, e_in = polarization_frame(incident, axis)
        psi = -math.atan2(dot(diffracted, b_in), dot(diffracted, e_in))
    return 0.5 * (1.0 + cos_squared - kahn * math.cos(2.0 * psi) * sin_squared)
