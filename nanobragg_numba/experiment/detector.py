"""Where the detector stands: beam-centre conventions, pivots, rotations, the first pixel's position."""

import math
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.fields import summaries
from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.vectors3 import Vector, cross, dot, magnitude, unit

from .conventions import Convention, starting_axes
from .memory import require_memory
from .modes import mode_of
from .parameters import Compat, Parameters
from .placement import LEAST_AREA, Frame, placed, placed_as_in_c
from .steps import even_steps, layer_steps

MOST_PIXELS = 2**31 - 1


@dataclass(frozen=True)
class Geometry:
    """Everything known about the detector, in metres and laboratory axes."""

    fast_pixels: int
    """Number of pixels along the fast axis."""
    slow_pixels: int
    """Number of pixels along the slow axis."""
    pixel_size: float
    """Edge of a pixel (metres)."""
    size: tuple[float, float]
    """Width of the detector along fast, slow (metres)."""
    beam: Vector
    """Unit vector along the beam."""
    fast: Vector
    """Unit vector along the fast axis, all rotations done."""
    slow: Vector
    """Unit vector along the slow axis, all rotations done."""
    normal: Vector
    """Unit vector along the detector's normal, away from the sample, all rotations done."""
    pix0: Vector
    """The outer corner of the first pixel (metres)."""
    polarization_axis: Vector
    """Unit vector along the beam's E vector."""
    vertical_axis: Vector
    """Unit vector along beam x E vector, the axis of the horizontal divergence."""
    spindle_axis: Vector
    """Unit vector along the axis of the phi rotation."""
    distance: float
    """From the sample to the detector plane along the beam (metres)."""
    close_distance: float
    """From the sample to the plane along its normal; negative where the normal points at the sample."""
    obliquity_distance: float
    """What the solid angle of a pixel has in its place: pixel_size^2 times this over the third power of the pixel's distance. In "spec"
    its magnitude, times the area that unit steps along fast and slow span, which is less than 1 where these are not at right angles."""
    xbeam: float
    """X of the direct beam as the convention counts it (metres), as given or by default."""
    ybeam: float
    """Y of the direct beam as the convention counts it (metres), as given or by default."""
    fbeam: float
    """Fast coordinate of the direct beam on the detector, from the first pixel's corner (metres)."""
    sbeam: float
    """Slow coordinate of the direct beam on the detector (metres)."""
    xclose: float
    """Fast coordinate of the point nearest to the sample (metres), as given or by default."""
    yclose: float
    """Slow coordinate of the point nearest to the sample (metres), as given or by default."""
    fclose: float
    """Fast coordinate of the point nearest to the sample, from the first pixel's corner (metres)."""
    sclose: float
    """Slow coordinate of the point nearest to the sample (metres)."""
    org: tuple[float, float]
    """XDS's ORGX, ORGY: that point in pixels along fast, slow, the first pixel's centre being 1."""
    dials_origin: Vector
    """The first pixel's corner in DIALS's frame, as the reference's header has it (millimetres)."""
    beam_in_detector_frame: Vector
    """The beam's unit vector along fast, slow, normal."""
    roi: tuple[int, int, int, int]
    """fast min, fast max, slow min, slow max, ends included; may reach beyond the image."""
    thickness: float
    """Thickness of the sensor (metres)."""
    layer_thickness: float
    """Thickness of one layer of it (metres)."""
    layers: int
    """Number of layers, 1 where no sensor is modelled."""
    mu: float
    """Attenuation of the sensor, 1/m; -1 where no sensor is modelled."""
    convention: str
    """The beam-centre convention."""
    pivot: str
    """What stayed in place when the detector turned: beam or sample."""
    early_warnings: tuple[str, ...]
    """What the reference prints before its banner."""
    sensor_warnings: tuple[str, ...]
    """What the reference prints about the sensor's attenuation."""

    def __repr__(self) -> str:
        return f"<Geometry: {summaries.geometry(self)}>"

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The part of ``roi`` that lies on the image: fast start, fast end, slow start, slow end, ends excluded."""
        f0, f1, s0, s1 = self.roi
        return max(f0, 0), min(f1 + 1, self.fast_pixels), max(s0, 0), min(s1 + 1, self.slow_pixels)


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


def derive_geometry(parameters: Parameters, compat: Compat) -> Geometry:
    """Place the detector as the reference does, or, in "spec", where the parameters say (see ``placement``).

    Raises InputError for sizes and distances that are not positive, for vectors of no direction, and in "spec" for a detector that no
    position makes true.
    """
    detector = parameters.detector
    _check(parameters)
    fast_pixels, slow_pixels, pixel, size_f, size_s = _image_size(parameters)
    start, warnings = starting_axes(parameters, compat)
    _check_axes(parameters, start, compat)
    frame = Frame(detector, start, pixel, (size_f, size_s))
    p = placed(frame) if mode_of(compat).spec else placed_as_in_c(frame)
    roi = detector.roi or (-1, -1, -1, -1)
    edges = (0, fast_pixels, 0, slow_pixels)
    f0, f1, s0, s1 = (edge if given < 0 else given for given, edge in zip(roi, edges, strict=True))
    thickness, layer, layers, mu, sensor_warnings = sensor_of(parameters, compat)
    if mode_of(compat).spec and thickness > 0.0 and p.close_distance < 0.0:
        raise InputError("-detector_thick: the back of the sensor faces the sample; turn the detector, or give -odet_vector the other sign")
    if mode_of(compat).spec and detector.curved and not 0.0 < p.distance < math.inf:
        raise InputError("-curved_det: the beam does not meet the detector, whose pixels would be as far from the sample as that point")
    return Geometry(
        fast_pixels, slow_pixels, pixel, (size_f, size_s), start.beam, p.fast, p.slow, p.normal, p.pix0,
        start.polarization_axis, unit(cross(start.beam, start.polarization_axis)), start.spindle_axis,
        p.distance, p.close_distance, p.obliquity_distance, *p.beam_centre, *p.beam_point, *p.near_centre, *p.near_point,
        (p.near_point[0] / pixel + 0.5, p.near_point[1] / pixel + 0.5), p.dials_origin,
        (dot(start.beam, p.fast), dot(start.beam, p.slow), dot(start.beam, p.normal)),
        (f0, f1, s0, s1),
        thickness, layer, layers, mu, detector.convention, frame.pivot, warnings, sensor_warnings,
    )  # fmt: skip


def _check_axes(parameters: Parameters, start: Convention, compat: Compat) -> None:
    """Raise InputError for vectors of no direction."""
    vectors = [("-beam_vector", start.beam), ("-fdet_vector", start.fast), ("-sdet_vector", start.slow), ("-odet_vector", start.normal)]
    if mode_of(compat).spec:
        sampling, detector = parameters.sampling, parameters.detector
        if not magnitude(cross(start.fast, start.slow)) > LEAST_AREA:
            raise InputError("-fdet_vector and -sdet_vector lie along one line: no plane of a detector")
        turning = (sampling.phi_deg, sampling.osc_deg, sampling.phistep_deg)
        if any(value_of(angle) not in (0.0, None) for angle in turning) or sampling.phisteps not in (None, 1):
            vectors.append(("-spindle_axis", start.spindle_axis))
        if value_of(detector.twotheta_deg) != 0.0:
            vectors.append(("-twotheta_axis", start.twotheta_axis))
        if parameters.beam.polarized and value_of(parameters.beam.polarization) != 0.0:
            vectors.append(("-polar_vector", start.polarization_axis))
    for flag, vector in vectors:
        if not magnitude(vector) > 0.0:
            raise InputError(f"{flag} has no direction")


def sensor_of(parameters: Parameters, compat: Compat) -> tuple[float, float, int, float, tuple[str, ...]]:
    """Thickness, thickness of a layer (metres), layers, mu (1/m), and the reference's warning."""
    detector = parameters.detector
    thickness = detector.thickness_um * 1e-6
    depth = detector.attenuation_depth_um
    if mode_of(compat).spec:
        if depth is not None and depth < 0.0:
            raise InputError(f"-detector_abs must be zero or more, not {depth:g} um")
        # A sensor that absorbs nothing is no sensor: its thickness has no say, on whichever side of it the depth is given.
        thickness = 0.0 if depth == 0.0 else thickness
        steps = layer_steps(thickness, detector.layers)
    else:
        # The reference makes N layers of thickness / (N - 1), and of a negative thickness one of its own.
        steps = even_steps("-detector_thicksteps", thickness, -1.0, detector.layers, 0.5e-6, ends_included=False)
    mu = -1.0 if depth is None else 0.0 if depth == 0.0 else 1.0 / (depth * 1e-6)
    warnings: tuple[str, ...] = ()
    if steps.range > 0.0 and mu < 0.0:
        mu = 1.0 / steps.range
        warnings = (f"WARNING: setting detector attenuation depth to {mu:g} m",)
    return steps.range, steps.step, steps.count, mu, warnings


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
