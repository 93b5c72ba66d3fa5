"""From panels to planes: panels that share a plane's frame are computed as one image of it, with their pixels alone."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.conventions import CONVENTIONS
from nanobragg_numba.experiment.derive import Experiment, detector_table, oversampling
from nanobragg_numba.experiment.detector import Geometry, sensor_of
from nanobragg_numba.experiment.parameters import Axes, Detector, Parameters, Vector
from nanobragg_numba.maths.vectors3 import cross, dot, unit

from .detector import Panel, PanelDetector

RIGHT = 1e-12
"""How far from 1 the area of a pixel, in squared pixel sizes, may be for rounding alone."""


@dataclass(frozen=True)
class Plane:
    """Panels of one frame."""

    panels: tuple[int, ...]
    """Their places in ``PanelDetector.panels``."""
    geometry: Geometry
    """Of an image that holds them all; ``roi`` is what they span."""
    mask: np.ndarray | None
    """(slow, fast) bool: their pixels; None: all of the image."""
    whole: bool
    """Whether it is a detector that was cut (``PanelDetector.cut``)."""


def _frame(panel: Panel) -> Hashable:
    """Equal for panels of one plane."""
    if panel.cut_from is not None:
        return id(panel.cut_from)
    return panel.origin_mm, panel.fast, panel.slow, panel.pixel_size_mm, panel.thickness_um, panel.attenuation_depth_um


def axes_of(parameters: Parameters, detector: PanelDetector) -> Axes:
    """The laboratory's vectors: those of the parameters, else those of the panels' file; None: the convention's."""
    own, filed = parameters.axes, detector.axes
    return replace(
        own,
        beam=filed.beam if own.beam is None else own.beam,
        spindle_axis=filed.spindle_axis if own.spindle_axis is None else own.spindle_axis,
        polarization_axis=filed.polarization_axis if own.polarization_axis is None else own.polarization_axis,
    )


def without_detector(parameters: Parameters, detector: PanelDetector) -> Parameters:
    """The parameters with a single pixel across the beam in the detector's place: what crystal and beam are derived from.

    Raises InputError for a curved detector.
    """
    given = parameters.detector
    if given.curved:
        raise InputError("Detector.curved (-curved_det): panels are planes")
    axes = axes_of(parameters, detector)
    along = axes.beam
    if along is None:
        along = parameters.beam.direction if given.convention == "custom" else CONVENTIONS[given.convention].beam
    beam = unit(along)
    if beam == (0.0, 0.0, 0.0):
        raise InputError("-beam_vector has no direction")
    least = min(range(3), key=lambda i: abs(beam[i]))
    other: Vector = (float(least == 0), float(least == 1), float(least == 2))
    fast = unit(cross(other, beam))
    pixel = Detector(
        pixels=(1, 1), pixel_size_mm=0.1, distance_mm=100.0, convention=given.convention, layers=given.layers, point_pixel=given.point_pixel
    )
    return replace(parameters, detector=pixel, axes=replace(axes, fast=fast, slow=cross(beam, fast), normal=beam))


def as_single(parameters: Parameters, detector: PanelDetector) -> Parameters | None:
    """The parameters with the only panel for their detector, vectors and all; None where that is no detector of square pixels."""
    panel = detector.panels[0]
    right = abs(dot(panel.fast, panel.slow)) < RIGHT and all(abs(dot(axis, axis) - 1.0) < RIGHT for axis in (panel.fast, panel.slow))
    if len(detector.panels) > 1 or not right or panel.first_pixel != (0, 0) or panel.place not in (None, (0, 0)):
        return None
    given, axes = parameters.detector, axes_of(parameters, detector)
    start = CONVENTIONS["mosflm" if given.convention == "custom" else given.convention]
    custom = parameters.beam.direction, parameters.sampling.spindle_axis, parameters.beam.polarization_axis
    own = custom if given.convention == "custom" else (start.beam, start.spindle_axis, start.polarization_axis)
    filed = (axes.beam, axes.spindle_axis, axes.polarization_axis)
    beam, spindle, electric = (old if new is None else new for old, new in zip(own, filed, strict=True))
    upright = cross(panel.fast, panel.slow)
    away = upright if dot(panel.origin_mm, upright) > 0.0 else (-upright[0], -upright[1], -upright[2])
    single = replace(
        given, pixels=(panel.shape[1], panel.shape[0]), pixel_size_mm=panel.pixel_size_mm, convention="custom", pivot="sample",
        fast_axis=panel.fast, slow_axis=panel.slow, normal_axis=away, pix0_mm=panel.origin_mm, mask=panel.mask,
        thickness_um=given.thickness_um if panel.thickness_um is None else panel.thickness_um,
        attenuation_depth_um=given.attenuation_depth_um if panel.attenuation_depth_um is None else panel.attenuation_depth_um,
    )  # fmt: skip
    return replace(
        parameters, beam=replace(parameters.beam, direction=beam, polarization_axis=electric), detector=single,
        sampling=replace(parameters.sampling, spindle_axis=spindle), axes=Axes(),
    )  # fmt: skip


def planes_of(detector: PanelDetector, x: Experiment, parameters: Parameters) -> tuple[Plane, ...]:
    """The planes, in the order in which their first panels come; ``x``: of ``without_detector(parameters)``."""
    together: dict[Hashable, list[int]] = {}
    for number, panel in enumerate(detector.panels):
        together.setdefault(_frame(panel), []).append(number)
    sensors: dict[Hashable, Sensor] = {}
    for numbers in together.values():
        panel = detector.panels[numbers[0]]
        if _depths(panel) not in sensors:
            sensors[_depths(panel)] = _sensor(panel, x, parameters)
    return tuple(_plane(detector, tuple(numbers), x, sensors) for numbers in together.values())


Sensor = tuple[float, float, int, float, tuple[str, ...]]
"""As ``sensor_of`` gives it."""


def _depths(panel: Panel) -> Hashable:
    return panel.thickness_um, panel.attenuation_depth_um


def _sensor(panel: Panel, x: Experiment, parameters: Parameters) -> Sensor:
    given = parameters.detector
    own = replace(
        given,
        thickness_um=given.thickness_um if panel.thickness_um is None else panel.thickness_um,
        attenuation_depth_um=given.attenuation_depth_um if panel.attenuation_depth_um is None else panel.attenuation_depth_um,
    )
    return sensor_of(replace(parameters, detector=own), x.compat)


def _plane(detector: PanelDetector, numbers: tuple[int, ...], x: Experiment, sensors: Mapping[Hashable, Sensor]) -> Plane:
    panels = [detector.panels[number] for number in numbers]
    corners = np.array([panel.first_pixel for panel in panels])
    ends = corners + np.array([panel.shape for panel in panels])
    (slow, fast), (slow_end, fast_end) = corners.min(axis=0).tolist(), ends.max(axis=0).tolist()
    mask = np.zeros((slow_end, fast_end), np.bool_)
    for panel, (first_slow, first_fast) in zip(panels, corners, strict=True):
        box = mask[first_slow : first_slow + panel.shape[0], first_fast : first_fast + panel.shape[1]]
        box |= True if panel.mask is None else panel.mask != 0
    full = mask[slow:, fast:].all()
    first = panels[0]
    geometry = first.cut_from if first.cut_from is not None else _placed(first, x, sensors[_depths(first)])
    geometry = replace(
        geometry, slow_pixels=slow_end, fast_pixels=fast_end, roi=(fast, fast_end - 1, slow, slow_end - 1),
        size=(geometry.pixel_size * fast_end, geometry.pixel_size * slow_end),
    )  # fmt: skip
    return Plane(numbers, geometry, None if full else mask, first.cut_from is not None)


def _placed(panel: Panel, x: Experiment, sensor: Sensor) -> Geometry:
    """The geometry of a panel's plane, the same in every mode. Raises InputError for a plane through the sample."""
    pixel = panel.pixel_size_mm / 1000.0
    pix0 = (panel.origin_mm[0] / 1000.0, panel.origin_mm[1] / 1000.0, panel.origin_mm[2] / 1000.0)
    across = cross(panel.fast, panel.slow)
    normal, area = unit(across), math.sqrt(dot(across, across))
    if dot(pix0, normal) < 0.0:
        # Away from the sample, whichever way round fast and slow are: a sensor's layers lie behind its front.
        normal = (0.0 - normal[0], 0.0 - normal[1], 0.0 - normal[2])
    plane = dot(pix0, normal)
    if plane == 0.0:
        raise InputError(f"panel {panel.name!r}: its plane goes through the sample")
    beam = x.geometry.beam
    cosine = dot(beam, normal)
    distance = plane / cosine if cosine else math.inf
    in_plane = np.linalg.inv(np.array([panel.fast, panel.slow, normal]).T)
    near = (in_plane @ (-np.array(pix0)))[:2].tolist()
    meets = (in_plane @ (distance * np.array(beam) - np.array(pix0)))[:2].tolist() if cosine else [math.inf, math.inf]
    thickness, layer, layers, mu, warnings = sensor
    return replace(
        x.geometry, pixel_size=pixel, fast=panel.fast, slow=panel.slow, normal=normal, pix0=pix0, distance=distance, close_distance=plane,
        obliquity_distance=plane * (1.0 if abs(area - 1.0) < RIGHT else area), xbeam=meets[0], ybeam=meets[1], fbeam=meets[0],
        sbeam=meets[1], xclose=near[0], yclose=near[1], fclose=near[0], sclose=near[1],
        org=(near[0] / pixel + 0.5, near[1] / pixel + 0.5), dials_origin=(1000.0 * pix0[0], 1000.0 * pix0[1], 1000.0 * pix0[2]),
        beam_in_detector_frame=(dot(beam, panel.fast), dot(beam, panel.slow), cosine), thickness=thickness, layer_thickness=layer,
        layers=layers, mu=mu, convention="custom", early_warnings=(), sensor_warnings=warnings,
    )  # fmt: skip


def sub_pixels(x: Experiment, planes: tuple[Plane, ...], parameters: Parameters) -> tuple[int, int]:
    """Sub-pixels along an axis, of all panels alike: the number that the one which needs most asks for, and the number taken.

    Pixels are widest in reciprocal space where they are nearest. A detector that was cut is asked for the number of the whole.
    """
    asked = []
    for plane in planes:
        g = plane.geometry
        if not plane.whole:
            nearest = _nearest_pixel(g)
            g = replace(g, distance=nearest, close_distance=nearest)
        asked.append(oversampling(parameters, x.compat, g, x.size, x.wavelength))
    return max(asked)


def _nearest_pixel(g: Geometry) -> float:
    """From the sample to the nearest point of the window (metres), exact for axes at right angles."""
    fast, fast_end, slow, slow_end = g.window
    f = min(max(g.fclose, fast * g.pixel_size), fast_end * g.pixel_size)
    s = min(max(g.sclose, slow * g.pixel_size), slow_end * g.pixel_size)
    return float(np.linalg.norm(np.array(g.pix0) + f * np.array(g.fast) + s * np.array(g.slow)))


def seen_by(x: Experiment, plane: Plane, oversample: tuple[int, int], parameters: Parameters) -> Experiment:
    """The experiment ``x``, derived with one sub-pixel, with that plane for its detector."""
    recommended, taken = oversample
    table = detector_table(parameters, plane.geometry, taken)
    rules = x.tables.rules._replace(steps=x.tables.rules.steps * taken * taken)
    return replace(
        x, parameters=parameters, geometry=plane.geometry, oversample=taken, recommended_oversample=recommended,
        steps=x.steps * taken * taken, mask=plane.mask, tables=x.tables._replace(detector=table, rules=rules),
    )  # fmt: skip
