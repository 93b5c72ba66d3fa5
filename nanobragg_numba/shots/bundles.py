"""What the kernels of many shots take together."""

from typing import NamedTuple

from nanobragg_numba.derivatives.bundles import AdjointWork, TangentWork
from nanobragg_numba.derivatives.flat_variables import Variables
from nanobragg_numba.jit.entry_types import Doubles2, Doubles3, Doubles4


class OfShots(NamedTuple):
    """The continuous quantities of each shot; some also as the matrices that the kernels know."""

    variables: Variables
    """Arrays (shots, n)."""
    axes: Doubles3
    """(shots, 3, 3): a, b, c (metres)."""
    mosaic: Doubles3
    """(shots, domains, 9)"""
    incident: Doubles3
    """(shots, sources, 3)"""
    polarization: Doubles3
    """(shots, 1, 3)"""
    factors: Doubles4
    """(shots, h, k, l), or (1, h, k, l) for all shots: structure factors."""


class ValueWork(NamedTuple):
    """What one thread computes values in."""

    rows: Doubles2
    """See simd/work_rows.py."""
    orientations: Doubles2
    """(steps, 9)"""


class GradientWork(NamedTuple):
    """What one thread computes gradients in."""

    adjoint: AdjointWork
    orientations: Doubles2
    lattice: Doubles2
    """(steps, 9): with respect to each step's axes."""


class ShotTangentWork(NamedTuple):
    """What one thread computes changes in."""

    tangent: TangentWork
    orientations: Doubles2
    lattice: Doubles3
    """(K, steps, 9): changes of each step's axes."""
