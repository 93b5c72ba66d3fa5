"""Derivatives of ``turned_lattices`` (kernels/orientations.py): from and to each step's axes, by hand."""

from nanobragg_numba.jit.decorators import entry
from nanobragg_numba.jit.entry_types import Doubles2, Numbers2
from nanobragg_numba.maths.vectors3 import dot, rotate_about_axis, scale

from . import complex_step  # noqa: F401 - the formulas must know complex numbers before they are compiled
from .bundles import Turning
from .formula_derivatives import rotation_adjoint, rotation_tangent
from .gradient_sums import add_to
from .kept_corrections import vector_of


@entry
def lattice_adjoint(turning: Turning, lattice_bar: Numbers2, bars: Turning) -> None:
    """Add to ``bars`` what the gradients ``lattice_bar`` (steps, 9) with respect to every step's axes give."""
    rotations = turning.rotations
    domains = max(rotations.shape[0], 1)
    spindle = vector_of(turning.spindle, 0)
    for tic in range(turning.angles.shape[0]):
        angle = turning.angles[tic]
        for axis in range(3):
            v = vector_of(turning.axes, 3 * axis)
            turned = rotate_about_axis(v, spindle, angle)
            zero = turned[0] - turned[0]
            x, y, z = zero, zero, zero
            for domain in range(domains):
                bar = vector_of(lattice_bar[tic * domains + domain], 3 * axis)
                if rotations.shape[0] == 0:
                    x, y, z = x + bar[0], y + bar[1], z + bar[2]
                else:
                    r = rotations[domain]
                    x += r[0] * bar[0] + r[3] * bar[1] + r[6] * bar[2]
                    y += r[1] * bar[0] + r[4] * bar[1] + r[7] * bar[2]
                    z += r[2] * bar[0] + r[5] * bar[1] + r[8] * bar[2]
                    for i in range(3):
                        add_to(bars.rotations[domain], 3 * i, scale(turned, bar[i]))
            v_bar, spindle_part, angle_part = rotation_adjoint(v, spindle, angle, turned, (x, y, z))
            add_to(bars.axes, 3 * axis, v_bar)
            add_to(bars.spindle, 0, spindle_part)
            bars.angles[tic] += angle_part


@entry
def lattice_tangent(turning: Turning, changes: Turning, out: Doubles2) -> None:
    """Changes ``out`` (steps, 9) of every step's axes."""
    rotations = turning.rotations
    domains = max(rotations.shape[0], 1)
    spindle, spindle_dot = vector_of(turning.spindle, 0), vector_of(changes.spindle, 0)
    for tic in range(turning.angles.shape[0]):
        angle = turning.angles[tic]
        for axis in range(3):
            v, v_dot = vector_of(turning.axes, 3 * axis), vector_of(changes.axes, 3 * axis)
            turned = rotate_about_axis(v, spindle, angle)
            change = rotation_tangent(v, spindle, angle, turned, v_dot, spindle_dot, changes.angles[tic])
            for domain in range(domains):
                row = out[tic * domains + domain]
                for i in range(3):
                    if rotations.shape[0] == 0:
                        row[3 * axis + i] = change[i]
                    else:
                        r, r_dot = vector_of(rotations[domain], 3 * i), vector_of(changes.rotations[domain], 3 * i)
                        row[3 * axis + i] = dot(r, change) + dot(r_dot, turned)
