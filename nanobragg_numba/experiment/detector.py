"""Where the detector stands: beam-centre conventions, pivots, rotations, the first pixel's position."""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.vectors3 import Vector, cross, dot, magnitude, rotate_about_axis, rotate_xyz, unit

from .memory import require_memory
from .modes import mode_of
from .parameters import Compat, Parameters
from .steps import even_steps

SMALLEST = 2.2250738585072014e-308
MOST_PIXELS = 2**31 - 1
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def _minus(v: Vector) -> Vector:
    return (0.0 if v[0] == 0 else -v[0], 0.0 if v[1] == 0 else -v[1], 0.0 if v[2] == 0 else -v[2])


class _Convention(NamedTuple):
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
    "adxv": _Convention(Z, X, _minus(Y), Z, _minus(X), X, X, "beam"),
    "mosflm": _Convention(X, Z, _minus(Y), X, _minus(Z), Z, Z, "beam"),
    "denzo": _Convention(X, Z, _minus(Y), X, _minus(Z), Z, Z, "beam"),
    "xds": _Convention(Z, X, Y, Z, X, X, X, "sample"),
    "dials": _Convention(Z, X, Y, Z, Y, Y, Y, "sample"),
}


@dataclass(frozen=True)
class Geometry:
    """Everything known about the detector, in metres and laboratory axes."""

    fast_pixels: int
    slow_pixels: int
    pixel_size: float
    size: tuple[float, float]
    beam: Vector
    fast: Vector
    slow: Vector
    normal: Vector
    pix0: Vector
    polarization_axis: Vector
    vertical_axis: Vector
    spindle_axis: Vector
    distance: float
    close_distance: float
    xbeam: float
    ybeam: float
    fbeam: float
    sbeam: float
    xclose: float
    yclose: float
    fclose: float
    sclose: float
    org: tuple[float, float]
    dials_origin: Vector
    """Millimetres."""
    beam_in_detector_frame: Vector
    roi: tuple[int, int, int, int]
    """fast min, fast max, slow min, slow max, ends included; may reach beyond the image."""
    thickness: float
    layer_thickness: float
    layers: int
    mu: float
    """Attenuation of the sensor, 1/m; -1 where no sensor is modelled."""
    convention: str
    pivot: str
    early_warnings: tuple[str, ...]
    """What the reference prints before its banner."""
    sensor_warnings: tuple[str, ...]

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The part of ``roi`` that lies on the image: fast start, fast end, slow start, slow end, ends excluded."""
        f0, f1, s0, s1 = self.roi
        return max(f0, 0), min(f1 + 1, self.fast_pixels), max(s0, 0), min(s1 + 1, self.slow_pixels)


def _metres(millimetres: float | None) -> float:
    return math.nan if millimetres is None else millimetres / 1000.0


def _or(value: float, default: float) -> float:
    return default if math.isnan(value_of(value)) else value


def _image_size(parameters: Parameters) -> tuple[int, int, float, float, float]:
    """Pixels (fast, slow), pixel size and detector size (metres), checked."""
    detector = parameters.detector
    pixel = detector.pixel_size_mm / 1000.0
    if not (pixel > 0.0 and math.isfinite(value_of(pixel))):
        raise InputError(f"-pixel: the pixel size must be positive, not {value_of(detector.pixel_size_mm):g} mm")
    sizes, counts = [], []
    for name, count, size_mm in zip(("fast", "slow"), detector.pixels, detector.size_mm, strict=True):
        size = pixel * count if count else size_mm / 1000.0
        if not (0.0 < size / pixel < 2.0**31):
            raise InputError(f"-detpixels/-detsize: {size / pixel:g} pixels along the {name} axis is no image size")
        sizes.append(size)
        counts.append(math.ceil(value_of(size / pixel) - 0.5))
    fast, slow = counts
    if min(counts) < 1:
        raise InputError(f"-detpixels/-detsize: an image of {fast}x{slow} pixels is empty")
    if fast * slow > MOST_PIXELS:
        raise InputError(f"-detpixels/-detsize: an image of {fast}x{slow} pixels is too large (at most {MOST_PIXELS} pixels)")
    require_memory(fast * slow * 12, f"an image of {fast}x{slow} pixels")
    return fast, slow, pixel, sizes[0], sizes[1]


def _check(parameters: Parameters) -> None:
    detector = parameters.detector
    for flag, value, unit_name in (
        ("-distance", detector.distance_mm, "mm"),
        ("-close_distance", detector.close_distance_mm, "mm"),
        ("-lambda", parameters.beam.wavelength_A, "A"),
    ):
        number = value_of(value)
        if number is not None and not (number > 0.0 and math.isfinite(number)):
            raise InputError(f"{flag} must be positive, not {number:g} {unit_name}")


def starting_axes(parameters: Parameters) -> tuple[_Convention, tuple[str, ...]]:
    """The vectors before any detector rotation, made unit length, and the reference's warning.

    A detector normal whose length is not exactly 1 is replaced by fast x slow.
    """
    detector = parameters.detector
    if detector.convention == "custom":
        v = _Convention(
            parameters.beam.direction, detector.fast_axis, detector.slow_axis, detector.normal_axis, detector.twotheta_axis,
            parameters.beam.polarization_axis, parameters.sampling.spindle_axis, detector.pivot,
        )  # fmt: skip
    else:
        v = CONVENTIONS[detector.convention]
    normal_length = magnitude(v.normal)
    given = {f.name: getattr(parameters.axes, f.name) for f in fields(parameters.axes)}
    v = v._replace(**{name: vector for name, vector in given.items() if vector is not None})
    fast, slow, normal = unit(v.fast), unit(v.slow), unit(v.normal)
    warnings: tuple[str, ...] = ()
    if normal_length != 1.0 and parameters.axes.normal is None:
        warnings = ("WARNING: auto-generating odet_vector",)
        normal = unit(cross(fast, slow))
    return v._replace(
        beam=unit(v.beam), fast=fast, slow=slow, normal=normal,
        polarization_axis=unit(v.polarization_axis), spindle_axis=unit(v.spindle_axis),
    ), warnings  # fmt: skip


def derive_geometry(parameters: Parameters, compat: Compat) -> Geometry:
    """Place the detector as the reference does; in "spec" ``pix0_mm``, where given, has the last word.

    Raises InputError for sizes and distances that are not positive, and for vectors of no direction.
    """
    detector = parameters.detector
    _check(parameters)
    fast_pixels, slow_pixels, pixel, size_f, size_s = _image_size(parameters)
    org = [math.nan if value is None else value for value in detector.org_pixels]
    fclose = _or((org[0] - 0.5) * pixel, size_f / 2.0)
    sclose = _or((org[1] - 0.5) * pixel, size_s / 2.0)
    xclose = _or(_metres(detector.close_point_mm[0]), fclose)
    yclose = _or(_metres(detector.close_point_mm[1]), sclose)
    if mode_of(compat).spec:
        # The reference takes the point nearest to the sample from ORGX and ORGY alone.
        fclose, sclose = xclose, yclose
    xbeam, ybeam = _metres(detector.beam_center_mm[0]), _metres(detector.beam_center_mm[1])
    if detector.beam_center_y_m is not None:
        ybeam = detector.beam_center_y_m

    convention = detector.convention
    pivot: str = detector.pivot if convention == "custom" else CONVENTIONS[convention].pivot
    if convention == "adxv":
        xbeam, ybeam = _or(xbeam, (size_f + pixel) / 2.0), _or(ybeam, (size_s - pixel) / 2.0)
        fbeam, sbeam = xbeam, size_s - ybeam
    elif convention in ("mosflm", "denzo"):
        # The X of these conventions runs along our slow axis.
        shift = (0.5 if convention == "mosflm" else 0.0) * pixel
        xbeam, ybeam = _or(xbeam, (size_s + pixel) / 2.0), _or(ybeam, (size_f + pixel) / 2.0)
        fbeam, sbeam = ybeam + shift, xbeam + shift
    else:
        xbeam, ybeam = _or(xbeam, xclose), _or(ybeam, yclose)
        fbeam, sbeam = xbeam, ybeam
        if convention == "custom":
            fclose, sclose = xbeam, ybeam

    start, warnings = starting_axes(parameters)
    beam, fast, slow, normal = start.beam, start.fast, start.slow, start.normal
    for flag, vector in (("-beam_vector", beam), ("-fdet_vector", fast), ("-sdet_vector", slow), ("-odet_vector", normal)):
        if not magnitude(vector) > 0.0:
            raise InputError(f"{flag} has no direction")
    vertical = unit(cross(beam, start.polarization_axis))

    rx, ry, rz = (angle / RTD for angle in detector.rotations_deg)
    twotheta = detector.twotheta_deg / RTD

    def swing(vector: Vector) -> Vector:
        return rotate_about_axis(rotate_xyz(vector, rx, ry, rz), start.twotheta_axis, twotheta)

    ratio = dot(beam, rotate_xyz(normal, rx, ry, rz))
    if ratio == 0.0:
        ratio = SMALLEST
    close_distance = _metres(detector.close_distance_mm)
    if math.isnan(value_of(close_distance)):
        close_distance = abs(ratio * (detector.distance_mm / 1000.0))
    distance = close_distance / ratio

    pix0 = (0.0, 0.0, 0.0)
    if pivot == "sample":
        pix0 = swing(_from_axes(-fclose, fast, -sclose, slow, close_distance, normal))
    fast, slow, normal = swing(fast), swing(slow), swing(normal)
    if pivot == "beam":
        pix0 = _from_axes(-fbeam, fast, -sbeam, slow, distance, beam)
    if mode_of(compat).spec and detector.pix0_mm is not None:
        x, y, z = detector.pix0_mm
        pix0 = (x / 1000.0, y / 1000.0, z / 1000.0)
    if mode_of(compat).spec:
        # The reference forgets the two-theta swing in what it reports of distance and beam centre.
        ratio = dot(beam, normal) or SMALLEST

    fclose, sclose = -dot(pix0, fast), -dot(pix0, slow)
    close_distance = dot(pix0, normal)
    distance = close_distance / ratio
    impact = (distance * beam[0] - pix0[0], distance * beam[1] - pix0[1], distance * beam[2] - pix0[2])

    roi = detector.roi or (-1, -1, -1, -1)
    edges = (0, fast_pixels, 0, slow_pixels)
    f0, f1, s0, s1 = (edge if given < 0 else given for given, edge in zip(roi, edges, strict=True))
    thickness, layer, layers, mu, sensor_warnings = _sensor(parameters, compat)
    return Geometry(
        fast_pixels, slow_pixels, pixel, (size_f, size_s), beam, fast, slow, normal, pix0,
        start.polarization_axis, vertical, start.spindle_axis,
        distance, close_distance, xbeam, ybeam, dot(fast, impact), dot(slow, impact), xclose, yclose, fclose, sclose,
        (fclose / pixel + 0.5, sclose / pixel + 0.5),
        (1000.0 * dot(pix0, Z), 1000.0 * dot(pix0, Y), 1000.0 * dot(pix0, _minus(X))),
        (dot(beam, fast), dot(beam, slow), dot(beam, normal)),
        (f0, f1, s0, s1),
        thickness, layer, layers, mu, convention, pivot, warnings, sensor_warnings,
    )  # fmt: skip


def _from_axes(x: float, fast: Vector, y: float, slow: Vector, z: float, normal: Vector) -> Vector:
    return (
        x * fast[0] + y * slow[0] + z * normal[0],
        x * fast[1] + y * slow[1] + z * normal[1],
        x * fast[2] + y * slow[2] + z * normal[2],
    )


def _sensor(parameters: Parameters, compat: Compat) -> tuple[float, float, int, float, tuple[str, ...]]:
    """Thickness, thickness of a layer (metres), layers, mu (1/m), and the reference's warning."""
    detector = parameters.detector
    thickness = detector.thickness_um * 1e-6
    depth = detector.attenuation_depth_um
    mu = -1.0 if depth is None else 0.0 if depth == 0.0 else 1.0 / (depth * 1e-6)
    warnings: tuple[str, ...] = ()
    if thickness > 0.0 and mu < 0.0:
        mu = 1.0 / thickness
        warnings = (f"WARNING: setting detector attenuation depth to {mu:g} m",)
    steps = even_steps("-detector_thicksteps", thickness, -1.0, detector.layers, 0.5e-6, ends_included=False)
    # The reference makes N layers of thickness / (N - 1).
    layer = steps.step if not mode_of(compat).spec else steps.range / steps.count
    return steps.range, layer, steps.count, mu, warnings


def mask_of(parameters: Parameters, geometry: Geometry, compat: Compat) -> np.ndarray | None:
    """(slow, fast) bool: which pixels to compute; None for all.

    A mask of another size is an InputError, but in "c" one with enough pixels is read as the reference reads it:
    pixel after pixel, rows broken where the image's rows end.
    """
    mask = parameters.detector.mask
    shape = (geometry.slow_pixels, geometry.fast_pixels)
    if mask is None:
        return None
    if mask.ndim != 2:
        raise InputError(f"a mask has shape (slow, fast), not {mask.shape}")
    if mask.shape != shape and (mode_of(compat).spec or mask.size < shape[0] * shape[1]):
        raise InputError(f"-mask: the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the image {shape[1]}x{shape[0]}")
    return np.ascontiguousarray(mask.ravel()[: shape[0] * shape[1]].reshape(shape) != 0)
