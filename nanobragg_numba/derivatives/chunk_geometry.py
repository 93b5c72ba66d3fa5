"""The geometry of a chunk of pixels of a row, as adjoint and tangent share it: rays, their factors, scattering vectors, polarization."""

from nanobragg_numba.jit.decorators import derivative
from nanobragg_numba.kernels.formulas import capture_fraction, plane_position, scattering_vector, solid_angle, subpixel_position
from nanobragg_numba.maths.vectors3 import magnitude, scale, unit

from .bundles import PIXELS
from .formula_derivatives import polarization_and_slope
from .kept_corrections import is_cut, places_on_pixel

# Rows of the work array (bundles.WORK_ROWS of them); each behind a _BAR is the gradient of the one before, POLAR_BY the polarization
# factor's derivative by the ray;
# OWN is the product of solid angle and capture fraction, which all sources share.
S, S_BAR, RAY, RAY_BAR = 0, 3, 6, 9
AIR, AIR_BAR, OMEGA, CAPTURE, POLAR, WEIGHT, STEP_WEIGHT, SUM, POLAR_BY = 12, 13, 14, 15, 16, 17, 18, 19, 20
OWN, OWN_BAR = 23, 24


@derivative
def chunk_end(start, end_of_row, row_index, specials):
    """Where the chunk that begins at ``start`` ends: a special pixel (its index in the image, or -1) stands alone in its chunk."""
    # Not with min, which some versions of numba do not compile for a GPU.
    end = start + PIXELS if start + PIXELS < end_of_row else end_of_row
    for special in specials:
        at = special - row_index
        if start < at < end:
            end = at
        elif at == start:
            end = start + 1
    return end


@derivative
def zero_of(w):
    """A zero of the work array's kind, to start the sums over a chunk: only in local variables do they become vector instructions."""
    return w[S, 0] - w[S, 0]


@derivative
def rays(chunk, sub_slow, sub_fast, layer, detector, w):
    """Directions and lengths of the diffracted rays of a chunk; no gradients yet."""
    n, start, slow = chunk.pixels, chunk.fast, chunk.slow
    if detector.curved:
        for i in range(n):
            position = subpixel_position(slow, start + i, sub_slow, sub_fast, layer, detector)
            w[AIR, i] = magnitude(position)
            w[RAY, i], w[RAY + 1, i], w[RAY + 2, i] = unit(position)
    else:
        # The same without a branch in the loop, so that it becomes vector instructions.
        pixel, depth = detector.pixel_size, layer * detector.layer_thickness
        for i in range(n):
            f, s = places_on_pixel(slow, start + i, sub_slow, sub_fast, detector)
            position = plane_position(f * pixel, s * pixel, depth, detector)
            length = magnitude(position)
            w[AIR, i] = length
            inverse = 1.0 / (1.0 + length if length.real == 0.0 else length)
            w[RAY, i], w[RAY + 1, i], w[RAY + 2, i] = scale(position, inverse)
    for row in (RAY_BAR, RAY_BAR + 1, RAY_BAR + 2, AIR_BAR, OWN_BAR):
        for i in range(n):
            w[row, i] = 0.0


@derivative
def ray_at(w, i):
    """The direction of ray i."""
    return w[RAY, i], w[RAY + 1, i], w[RAY + 2, i]


@derivative
def scattering(n, incident, wavelength, dmin, w, keep):
    """Scattering vectors of n rays for one source, and which of them the resolution limit keeps."""
    for i in range(n):
        w[S, i], w[S + 1, i], w[S + 2, i] = scattering_vector(ray_at(w, i), incident, wavelength)
        w[S_BAR, i] = w[S_BAR + 1, i] = w[S_BAR + 2, i] = 0.0
        keep[i] = 1.0
    if dmin > 0.0:
        for i in range(n):
            keep[i] = 0.0 if is_cut((w[S, i], w[S + 1, i], w[S + 2, i]), dmin) else 1.0


@derivative
def polarize(n, form, w):
    """Polarization factors of n rays from the source's ``polarization_form``, and their derivatives with respect to the rays."""
    for i in range(n):
        w[POLAR, i], (w[POLAR_BY, i], w[POLAR_BY + 1, i], w[POLAR_BY + 2, i]) = polarization_and_slope(form, ray_at(w, i))


@derivative
def own_factors(n, layer, detector, w):
    """Solid angles and capture fractions of n rays; polarization factors of 1 until ``polarize`` is called."""
    for i in range(n):
        w[OMEGA, i] = solid_angle(w[AIR, i], detector)
        w[CAPTURE, i] = w[POLAR, i] = 1.0
        w[POLAR_BY, i] = w[POLAR_BY + 1, i] = w[POLAR_BY + 2, i] = 0.0
    if detector.thickness != 0.0:
        for i in range(n):
            w[CAPTURE, i] = capture_fraction(layer, ray_at(w, i), detector)
    for i in range(n):
        w[OWN, i] = w[OMEGA, i] * w[CAPTURE, i]


@derivative
def leaves_out(reach, interpolate):
    """Whether steps beyond the spots' reach are left out; a GPU computes them all."""
    return reach.used and not interpolate
