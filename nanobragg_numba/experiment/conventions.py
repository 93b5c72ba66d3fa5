"""The beam-centre conventions: their axes, what X and Y of the beam count, and what the detector turns about."""

from dataclasses import dataclass, fields
from typing import NamedTuple

from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.vectors3 import Vector, cross, dot, magnitude, unit

from .modes import mode_of
from .parameters import Compat, Parameters

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
IN_PLANE = 1e-6
"""Cosine below which a given normal lies in the detector's plane and cannot tell its sides apart."""


def minus(v: Vector) -> Vector:
    """The opposite vector, without negative zeros."""
    return (0.0 if v[0] == 0 else -v[0], 0.0 if v[1] == 0 else -v[1], 0.0 if v[2] == 0 else -v[2])


class Convention(NamedTuple):
    """The fixed vectors of a beam-centre convention, and the pivot it forces."""

    beam: Vector
    fast: Vector
    slow: Vector
    normal: Vector
    twotheta_axis: Vector
    polarization_axis: Vector
    spindle_axis: Vector
    pivot: str


CONVENTIONS = {
    "adxv": Convention(Z, X, minus(Y), Z, minus(X), X, X, "beam"),
    "mosflm": Convention(X, Z, minus(Y), X, minus(Z), Z, Z, "beam"),
    "denzo": Convention(X, Z, minus(Y), X, minus(Z), Z, Z, "beam"),
    "xds": Convention(Z, X, Y, Z, X, X, X, "sample"),
    "dials": Convention(Z, X, Y, Z, Y, Y, Y, "sample"),
}


@dataclass(frozen=True)
class BeamCentre:
    """What a convention's X and Y of the beam are on the detector: one is fast, the other slow, from where they are counted."""

    x_is_slow: bool = False
    """Whether X runs along the slow axis."""
    shift: float | None = None
    """Pixels from the edge of the first pixel to the convention's zero."""
    y_from_far_edge: bool = False
    """Whether Y is counted from the far edge, against the slow axis."""

    def on_detector(self, x: float, y: float, pixel: float, slow_size: float) -> tuple[float, float]:
        """Fast and slow coordinate (metres) from the corner of the first pixel."""
        fast, slow = (y, x) if self.x_is_slow else (x, y)
        if self.y_from_far_edge:
            slow = slow_size - slow
        return (fast, slow) if self.shift is None else (fast + self.shift * pixel, slow + self.shift * pixel)

    def counted(self, fast: float, slow: float, pixel: float, slow_size: float) -> tuple[float, float]:
        """X and Y (metres) of a point of the detector: the inverse of ``on_detector``."""
        if self.shift is not None:
            fast, slow = fast - self.shift * pixel, slow - self.shift * pixel
        if self.y_from_far_edge:
            slow = slow_size - slow
        return (slow, fast) if self.x_is_slow else (fast, slow)


BEAM_CENTRES = {
    "adxv": BeamCentre(y_from_far_edge=True),
    "mosflm": BeamCentre(x_is_slow=True, shift=0.5),
    "denzo": BeamCentre(x_is_slow=True, shift=0.0),
    "xds": BeamCentre(),
    "dials": BeamCentre(),
    "custom": BeamCentre(),
}


def starting_axes(parameters: Parameters, compat: Compat = "c") -> tuple[Convention, tuple[str, ...]]:
    """The vectors before any detector rotation, made unit length, and the reference's warning.

    A detector normal whose length is not exactly 1 is replaced by fast x slow. In "spec" the normal is always at right angles to fast
    and slow, on the side of the normal given, or else, where that lies in the plane, of the beam's direction; and the two-theta axis is
    of unit length too.
    """
    detector = parameters.detector
    if detector.convention == "custom":
        v = Convention(
            parameters.beam.direction, detector.fast_axis, detector.slow_axis, detector.normal_axis, detector.twotheta_axis,
            parameters.beam.polarization_axis, parameters.sampling.spindle_axis, detector.pivot,
        )  # fmt: skip
    else:
        v = CONVENTIONS[detector.convention]
    normal_length = magnitude(v.normal)
    given = {f.name: getattr(parameters.axes, f.name) for f in fields(parameters.axes)}
    v = v._replace(**{name: vector for name, vector in given.items() if vector is not None})
    beam, fast, slow, normal = unit(v.beam), unit(v.fast), unit(v.slow), unit(v.normal)
    given_normal = normal
    warnings: tuple[str, ...] = ()
    if normal_length != 1.0 and parameters.axes.normal is None:
        warnings = ("WARNING: auto-generating odet_vector",)
        normal = unit(cross(fast, slow))
    v = v._replace(
        beam=beam, fast=fast, slow=slow, normal=normal, polarization_axis=unit(v.polarization_axis), spindle_axis=unit(v.spindle_axis)
    )
    if mode_of(compat).spec:
        v = v._replace(normal=_upright(v._replace(normal=given_normal)), twotheta_axis=unit(v.twotheta_axis))
    return v, warnings


def _upright(v: Convention) -> Vector:
    """The unit normal of the plane that fast and slow span, on the side of ``v.normal``."""
    upright = unit(cross(v.fast, v.slow))
    side = value_of(dot(upright, v.normal))
    if abs(side) < IN_PLANE:
        side = value_of(dot(upright, v.beam))
    return (0.0 - upright[0], 0.0 - upright[1], 0.0 - upright[2]) if side < 0.0 else upright
