"""One source's scattering vectors, polarization factors and sums, for the pixels of a chunk at once."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled, inlined
from nanobragg_numba.kernels.formulas import is_beyond, polarization_frame, scattering_vector
from nanobragg_numba.maths.vectors3 import dot, unit

from .error_bound import POLAR_ERROR, SMALLEST_POLAR
from .work_rows import rows_of


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
        kept = w.keep[i] != 0.0
        factor = weight * (w.capture[i] * w.polar[i] * w.omega[i])
        value = factor * w.part[i]
        error = factor * w.part_error[i] + weight * (w.capture[i] * w.omega[i] * POLAR_ERROR) * w.part[i]
        # Terms of both signs would cancel, and no relative bound would hold.
        error = error if factor >= 0.0 else np.inf
        w.total[i] += value if kept else 0.0
        w.error[i] += error if kept else 0.0


@compiled
def begin_part(n, work, background):
    """What one source's sums ("spec"), or all sources' ("c"), begin with."""
    w = rows_of(work)
    for i in range(n):
        w.part[i] = background
        w.part_error[i] = 0.0
