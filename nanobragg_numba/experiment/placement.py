"""From beam centre, nearest point, distances, rotations and pivot to the position of the detector's first pixel.

The plane, in "spec": a point of it is pix0 + F fast + S slow with unit vectors fast and slow that need not be at right angles, and its
unit normal n is. The sample's nearest point is D n, and the beam b meets the plane at (D / b.n) b.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.vectors3 import Vector, cross, dot, magnitude, rotate_about_axis, rotate_xyz, scale

from .conventions import BEAM_CENTRES, CONVENTIONS, Convention, X, Y, Z, minus
from .parameters import Detector

Pair = tuple[Any, Any]
ProgramName = Literal["nanoBragg", "nonBragg"]
SMALLEST = 2.2250738585072014e-308
LEAST_AREA = 1e-9
"""Of what unit steps along fast and slow span."""
RIGHT = 1e-12
LEAST_COSINE = 1e-9
"""Of beam and normal, for a beam that meets the plane."""
SAME_POINT = 0.01
"""Pixels by which a beam centre and a nearest point that are both given may disagree."""


class Placement(NamedTuple):
    """The detector in its place; metres, coordinates fast, slow from the corner of the first pixel."""

    fast: Vector
    slow: Vector
    normal: Vector
    pix0: Vector
    distance: float
    close_distance: float
    obliquity_distance: float
    beam_centre: Pair
    """X and Y as the convention counts them."""
    beam_point: Pair
    near_centre: Pair
    """The reference's Xclose and Yclose."""
    near_point: Pair
    dials_origin: Vector


def metres(millimetres: float | None) -> float:
    """nan where nothing is given."""
    return math.nan if millimetres is None else millimetres / 1000.0


def _given(value: float) -> bool:
    return not math.isnan(value_of(value))


def _or(value: float, default: float) -> float:
    return value if _given(value) else default


def _from_axes(x: float, fast: Vector, y: float, slow: Vector, z: float, normal: Vector) -> Vector:
    return (
        x * fast[0] + y * slow[0] + z * normal[0],
        x * fast[1] + y * slow[1] + z * normal[1],
        x * fast[2] + y * slow[2] + z * normal[2],
    )


def _minus(v: Vector, w: Vector) -> Vector:
    return (v[0] - w[0], v[1] - w[1], v[2] - w[2])


@dataclass(frozen=True)
class Frame:
    """What the detector is placed from."""

    detector: Detector
    """Its parameters."""
    axes: Convention
    """The axes before it turns."""
    pixel: float
    """Edge of a pixel (metres)."""
    size: Pair
    """Width along fast, slow (metres)."""

    @property
    def pivot(self) -> str:
        """What the detector turns about."""
        convention = self.detector.convention
        return self.detector.pivot if convention == "custom" else CONVENTIONS[convention].pivot

    @property
    def beam_centre(self) -> Pair:
        """X and Y as given, or nan."""
        x, y = (metres(value) for value in self.detector.beam_center_mm)
        return x, y if self.detector.beam_center_y_m is None else self.detector.beam_center_y_m

    @property
    def org(self) -> Pair:
        """The point that ORGX and ORGY name, or nan: they count from 1, to the centres of pixels."""
        x, y = ((math.nan if value is None else value) for value in self.detector.org_pixels)
        return (x - 0.5) * self.pixel, (y - 0.5) * self.pixel

    @property
    def close_point(self) -> Pair:
        """Xclose and Yclose as given, or nan."""
        x, y = (metres(value) for value in self.detector.close_point_mm)
        return x, y

    def turn(self, vector: Vector) -> Vector:
        """The detector's rotations about the laboratory axes."""
        rx, ry, rz = (angle / RTD for angle in self.detector.rotations_deg)
        return rotate_xyz(vector, rx, ry, rz)

    def swing(self, vector: Vector) -> Vector:
        """The rotations, and two-theta after them."""
        return rotate_about_axis(self.turn(vector), self.axes.twotheta_axis, self.detector.twotheta_deg / RTD)


def default_centre(convention: str, pixel: float, size: Pair) -> Pair:
    """X and Y of the beam where nothing is given, in the conventions whose pivot is the beam."""
    fast, slow = size
    if convention == "adxv":
        return (fast + pixel) / 2.0, (slow - pixel) / 2.0
    return (slow + pixel) / 2.0, (fast + pixel) / 2.0


def placed_as_in_c(frame: Frame) -> Placement:
    """The reference's way, number for number: it forgets two-theta in distances, and uses the points that its convention knows."""
    detector, pixel = frame.detector, frame.pixel
    near = _or(frame.org[0], frame.size[0] / 2.0), _or(frame.org[1], frame.size[1] / 2.0)
    named = _or(frame.close_point[0], near[0]), _or(frame.close_point[1], near[1])
    x, y = frame.beam_centre
    if detector.convention in ("adxv", "mosflm", "denzo"):
        default = default_centre(detector.convention, pixel, frame.size)
        x, y = _or(x, default[0]), _or(y, default[1])
    else:
        x, y = _or(x, named[0]), _or(y, named[1])
        if detector.convention == "custom":
            near = x, y
    beam_point = BEAM_CENTRES[detector.convention].on_detector(x, y, pixel, frame.size[1])
    return _in_its_place(frame, near, (x, y), beam_point, named, abs)


def placed_as_in_nonbragg(frame: Frame) -> Placement:
    """nonBragg's way: no conventions, ORGX counted from the first pixel's corner, and a middle half a pixel off either way."""
    detector, pixel = frame.detector, frame.pixel
    org = tuple(math.nan if value is None else value * pixel for value in detector.org_pixels)
    middle = (frame.size[0] - pixel) / 2.0, (frame.size[1] + pixel) / 2.0
    close = frame.close_point
    near = _or(org[0], _or(close[0], middle[0])), _or(org[1], _or(close[1], middle[1]))
    x, y = frame.beam_centre
    point = _or(x, near[0]), _or(y, near[1])
    return _in_its_place(frame, near, point, point, near, lambda distance: distance)


def _in_its_place(frame: Frame, near: Pair, centre: Pair, beam_point: Pair, named: Pair, sense: Callable[[Any], Any]) -> Placement:
    """The detector turned, and placed by ``near`` or ``beam_point``, whichever the pivot asks for.

    ``sense``: what becomes of the distance to the plane that the distance along the beam gives.
    """
    detector, start = frame.detector, frame.axes
    ratio = dot(start.beam, frame.turn(start.normal))
    if ratio == 0.0:
        ratio = SMALLEST
    close_distance = metres(detector.close_distance_mm)
    if not _given(close_distance):
        close_distance = sense(ratio * (detector.distance_mm / 1000.0))
    distance = close_distance / ratio
    pix0 = (0.0, 0.0, 0.0)
    if frame.pivot == "sample":
        pix0 = frame.swing(_from_axes(-near[0], start.fast, -near[1], start.slow, close_distance, start.normal))
    fast, slow, normal = frame.swing(start.fast), frame.swing(start.slow), frame.swing(start.normal)
    if frame.pivot == "beam":
        pix0 = _from_axes(-beam_point[0], fast, -beam_point[1], slow, distance, start.beam)
    close_distance = dot(pix0, normal)
    distance = close_distance / ratio
    impact = _minus(scale(start.beam, distance), pix0)
    return Placement(
        fast, slow, normal, pix0, distance, close_distance, close_distance, centre, (dot(fast, impact), dot(slow, impact)), named,
        (-dot(pix0, fast), -dot(pix0, slow)), (1000.0 * dot(pix0, Z), 1000.0 * dot(pix0, Y), 1000.0 * dot(pix0, minus(X))),
    )  # fmt: skip


def _in_plane(fast: Vector, slow: Vector, normal: Vector) -> Callable[[Vector], Pair]:
    """The function that gives the coordinates F, S of a vector F fast + S slow + (anything along the normal)."""
    area = dot(cross(fast, slow), normal)
    along_fast, along_slow = scale(cross(slow, normal), 1.0 / area), scale(cross(normal, fast), 1.0 / area)
    return lambda v: (dot(v, along_fast), dot(v, along_slow))


def _area(fast: Vector, slow: Vector) -> float:
    """What unit steps along the two span: 1 for right angles, and for what rounding to six digits makes of them."""
    area = magnitude(cross(fast, slow))
    return 1.0 if isinstance(area, float) and abs(1.0 - area) < RIGHT else area


def _apart(beam: Vector, normal: Vector, plane: float) -> Vector | None:
    """From the nearest point of a plane to the point where the beam meets it; None where it does not, ahead of the sample."""
    cosine = dot(beam, normal)
    if abs(value_of(cosine)) < LEAST_COSINE or value_of(plane / cosine) <= 0.0:
        return None
    return _minus(scale(beam, plane / cosine), scale(normal, plane))


def _reconciled(own: Pair, other: Pair, shift: Pair | None, default: Pair, pixel: float, names: tuple[str, str]) -> Pair:
    """Coordinates of one point from those given, of it or of the other point, which is ``shift`` before it."""
    found = []
    for i in range(2):
        if _given(other[i]) and shift is None:
            raise InputError(f"{names[1]}: the beam does not meet the detector's plane, so that the two points have no relation")
        implied = other[i] + shift[i] if shift is not None and _given(other[i]) else math.nan
        if _given(own[i]) and _given(implied) and abs(value_of(own[i] - implied)) > SAME_POINT * value_of(pixel):
            raise InputError(f"{names[0]} and {names[1]} both say where the detector is, and contradict one another: leave one of them out")
        found.append(_or(own[i], _or(implied, default[i])))
    return found[0], found[1]


BEAM_NAMES, NEAR_NAMES = "the beam centre (-Xbeam, -Ybeam)", "the nearest point (-ORGX, -ORGY, -Xclose, -Yclose)"


def _near_point(frame: Frame) -> Pair:
    """The nearest point that is asked for, or nan."""
    for org, close, axis in zip(frame.org, frame.close_point, "XY", strict=True):
        if _given(org) and _given(close) and abs(value_of(org - close)) > SAME_POINT * value_of(frame.pixel):
            raise InputError(f"-ORG{axis} and -{axis}close both name the nearest point, and contradict one another: leave one of them out")
    return _or(frame.close_point[0], frame.org[0]), _or(frame.close_point[1], frame.org[1])


def _asked_beam(frame: Frame) -> Pair:
    """Fast and slow coordinate of the beam centre that is asked for, or nan."""
    x, y = frame.beam_centre
    return BEAM_CENTRES[frame.detector.convention].on_detector(x, y, frame.pixel, frame.size[1])


def _pix0_about_beam(frame: Frame) -> Vector:
    """Pivot "beam": in its final orientation the plane is where the beam meets it, at the distance along the beam."""
    detector, start, beam = frame.detector, frame.axes, frame.axes.beam
    fast, slow, normal = frame.swing(start.fast), frame.swing(start.slow), frame.swing(start.normal)
    cosine = dot(beam, normal)
    close_distance = metres(detector.close_distance_mm)
    distance = detector.distance_mm / 1000.0
    if _given(close_distance):
        if value_of(cosine) < LEAST_COSINE:
            raise InputError(
                "-close_distance: turned like this the detector is not met by the beam, which it turns about; use -pivot sample"
            )
        distance = close_distance / cosine
    default: Pair = (frame.size[0] / 2.0, frame.size[1] / 2.0)
    if detector.convention != "custom":
        centre = default_centre(detector.convention, frame.pixel, frame.size)
        default = BEAM_CENTRES[detector.convention].on_detector(*centre, frame.pixel, frame.size[1])
    near = _near_point(frame)
    shift: Pair | None = None
    if any(_given(value) for value in near):
        apart = _apart(beam, normal, distance * cosine)
        shift = None if apart is None else _in_plane(fast, slow, normal)(apart)
    x, y = _reconciled(_asked_beam(frame), near, shift, default, frame.pixel, (BEAM_NAMES, NEAR_NAMES))
    return _from_axes(-x, fast, -y, slow, distance, beam)


def _pix0_about_sample(frame: Frame) -> Vector:
    """Pivot "sample": the nearest point of the plane is at its distance, whatever the rotations; the beam centre is that before them.

    In the convention "custom" the beam centre is the nearest point, as if the beam ran along the normal, as in the reference.
    """
    detector, start = frame.detector, frame.axes
    close_distance = metres(detector.close_distance_mm)
    if not _given(close_distance):
        cosine = abs(dot(start.beam, frame.turn(start.normal)))
        if value_of(cosine) < LEAST_COSINE:
            raise InputError("-distance: the beam runs along the detector's plane; give -close_distance")
        close_distance = cosine * (detector.distance_mm / 1000.0)
    beam = _asked_beam(frame)
    shift: Pair | None = None
    if detector.convention == "custom":
        shift = (0.0, 0.0)
    elif any(_given(value) for value in beam):
        apart = _apart(start.beam, start.normal, close_distance)
        back = None if apart is None else _in_plane(start.fast, start.slow, start.normal)(apart)
        shift = None if back is None else (0.0 - back[0], 0.0 - back[1])
    default = frame.size[0] / 2.0, frame.size[1] / 2.0
    x, y = _reconciled(_near_point(frame), beam, shift, default, frame.pixel, (NEAR_NAMES, BEAM_NAMES))
    return frame.swing(_from_axes(-x, start.fast, -y, start.slow, close_distance, start.normal))


def placed(frame: Frame) -> Placement:
    """The detector where the parameters say; ``pix0_mm``, where given, has the last word on its position."""
    detector, start, beam = frame.detector, frame.axes, frame.axes.beam
    fast, slow, normal = frame.swing(start.fast), frame.swing(start.slow), frame.swing(start.normal)
    pix0: Vector
    if detector.pix0_mm is not None:
        x, y, z = detector.pix0_mm
        pix0 = (x / 1000.0, y / 1000.0, z / 1000.0)
    else:
        pix0 = _pix0_about_sample(frame) if frame.pivot == "sample" else _pix0_about_beam(frame)
    plane = dot(pix0, normal)
    if value_of(plane) == 0.0:
        raise InputError("the detector's plane goes through the sample (-distance, -pix0_vector, -twotheta, -detector_rotx, -roty, -rotz)")
    coordinates = _in_plane(fast, slow, normal)
    near = coordinates(scale(pix0, -1.0))
    cosine = dot(beam, normal)
    distance = plane / (SMALLEST if value_of(cosine) == 0.0 else cosine)
    meets = coordinates(_minus(scale(beam, distance), pix0))
    return Placement(
        fast, slow, normal, pix0, distance, plane, abs(plane) * _area(start.fast, start.slow),
        _counted_centre(frame, plane, near, meets), meets, near, near,
        (1000.0 * dot(pix0, start.fast), -1000.0 * dot(pix0, start.slow), -1000.0 * dot(pix0, beam)),
    )  # fmt: skip


def _counted_centre(frame: Frame, plane: float, near: Pair, meets: Pair) -> Pair:
    """The X and Y of the beam that ask for this detector."""
    point, start = meets, frame.axes
    if frame.pivot == "sample" and frame.detector.convention == "custom":
        point = near
    elif frame.pivot == "sample":
        apart = _apart(start.beam, start.normal, plane)
        if apart is not None:
            shift = _in_plane(start.fast, start.slow, start.normal)(apart)
            point = near[0] + shift[0], near[1] + shift[1]
    counted = BEAM_CENTRES[frame.detector.convention].counted(*point, frame.pixel, frame.size[1])
    if frame.detector.pix0_mm is not None:
        return counted
    given = frame.beam_centre
    return _or(given[0], counted[0]), _or(given[1], counted[1])


@dataclass(frozen=True)
class Program:
    """What one of the reference's programs makes of the geometry parameters."""

    spare_pixel: float
    """What is taken off a width in pixels before it is rounded up to a number of pixels."""
    placed: Callable[[Frame], Placement]
    """Where the detector stands."""


PROGRAMS: Mapping[ProgramName, Program] = {"nanoBragg": Program(0.5, placed_as_in_c), "nonBragg": Program(0.0, placed_as_in_nonbragg)}
