"""The lattice at every phi step and mosaic domain."""

from nanobragg_numba.jit.decorators import entry
from nanobragg_numba.jit.entry_types import Numbers1, Numbers2, Vector
from nanobragg_numba.maths.vectors3 import rotate_about_axis


@entry
def turned_lattices(axes: Numbers2, spindle: Vector, angles: Numbers1, rotations: Numbers2, orientations: Numbers2) -> None:
    """See ``experiment.lattice_orientations``; the result goes into ``orientations``."""
    domains = max(rotations.shape[0], 1)
    for tic in range(angles.shape[0]):
        for axis in range(3):
            v = (axes[axis, 0], axes[axis, 1], axes[axis, 2])
            if angles[tic] != 0.0:
                v = rotate_about_axis(v, spindle, angles[tic])
            for domain in range(domains):
                row = tic * domains + domain
                for i in range(3):
                    if rotations.shape[0] == 0:
                        orientations[row, 3 * axis + i] = v[i]
                    else:
                        u = (rotations[domain, 3 * i], rotations[domain, 3 * i + 1], rotations[domain, 3 * i + 2])
                        orientations[row, 3 * axis + i] = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
