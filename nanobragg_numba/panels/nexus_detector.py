"""Detectors of NXmx files: a panel for each NXdetector_module, where ``files.nexus.geometry`` finds it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Vector
from nanobragg_numba.files.nexus.contents import Module
from nanobragg_numba.files.nexus.geometry import LENGTHS, Walk, class_of, text_of
from nanobragg_numba.files.nexus.reader import opened

from .described import DescribedDetector
from .detector import Panel, PanelDetector

CORNER_BITS = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x100
"""Bits of pixel_mask that say a pixel is no good: gap, dead, dead by threshold, hot, noisy, masked by the user."""
NEAR = 0.01
"""Pixels by which a module may be off the plane of another and count as of one plane; directions, by so much in a thousand pixels."""


def read_nexus_detector(path: str, flag: str = "-panels", frame: int = 1) -> DescribedDetector:
    """The detector of an NXmx file as it is in a frame, counted from 1. Raises InputError naming the file and the dataset at fault."""
    with opened(path, flag) as file:
        walk = Walk(file, f"{flag} {path}".strip(), frame - 1)
        try:
            return _described(walk)
        except InputError:
            raise
        except (KeyError, OSError, ValueError, TypeError) as error:
            raise InputError(f"{walk.where}: cannot be read as NXmx: {str(error).lower()}") from None


def _of_class(parent: Any, name: str) -> list[Any]:
    return [child for child in parent.values() if class_of(child) == name]


def _the_only(walk: Walk, parent: Any, name: str) -> Any:
    found = _of_class(parent, name)
    if len(found) != 1:
        raise InputError(f"{walk.where}: {parent.name} holds {len(found)} groups of class {name}, and must hold one")
    return found[0]


def _described(walk: Walk) -> DescribedDetector:
    entry = _the_only(walk, walk.file, "NXentry")
    instrument = _the_only(walk, entry, "NXinstrument")
    detector = _the_only(walk, instrument, "NXdetector")
    modules = [walk.module(module) for module in _of_class(detector, "NXdetector_module")]
    if not modules:
        raise InputError(f"{walk.where}: {detector.name} holds no NXdetector_module, and so does not say where its pixels are")
    sensor = _sensor(walk, detector)
    mask = detector["pixel_mask"][()] if "pixel_mask" in detector else None
    shape = tuple(max(module.origin[at] + module.size[at] for module in modules) for at in range(2))
    if mask is not None and mask.shape[-2:] != shape:
        raise InputError(f"{walk.where}: {detector.name}/pixel_mask has shape {mask.shape}, where the modules fill {shape}")
    panels = []
    for module in modules:
        good = None
        if mask is not None:
            plane = mask.reshape(-1, *shape)[0] if mask.ndim > 2 else mask
            (slow, fast), (slow_size, fast_size) = module.origin, module.size
            good = (plane[slow : slow + slow_size, fast : fast + fast_size].astype(np.int64) & CORNER_BITS) == 0
        panels.append(_panel(module, None if good is None or good.all() else good, sensor))
    axes = Axes(beam=(0.0, 0.0, 1.0), polarization_axis=_electric(instrument), spindle_axis=_spindle(walk, entry))
    return DescribedDetector(PanelDetector(tuple(panels), axes=axes), _wavelength(walk, instrument))


def of_one_plane(detector: PanelDetector) -> Panel | None:
    """The panel that spans all of the detector's stacked image; None where the modules do not stand in one plane as they do there."""
    first = detector.panels[0]
    place = first.place or (0, 0)
    for panel in detector.panels:
        if panel.place is None or panel.pixel_size_mm != first.pixel_size_mm:
            return None
        expected = first.position_mm(panel.place[0] - place[0], panel.place[1] - place[1])
        off = np.linalg.norm(np.array(panel.origin_mm) - expected) / first.pixel_size_mm
        turned = max(np.linalg.norm(np.subtract(*pair)) for pair in ((panel.fast, first.fast), (panel.slow, first.slow)))
        if max(off, 1000.0 * turned) > NEAR:
            return None
    x, y, z = first.position_mm(-place[0], -place[1]).tolist()
    return replace(first, name="all", shape=detector.shape, origin_mm=(x, y, z), mask=None, place=None)


Sensor = tuple[float | None, float | None]


def _panel(module: Module, mask: Any, sensor: Sensor) -> Panel:
    high, wide = (1000.0 * edge for edge in module.pixel_size)
    slow = np.array(module.slow) * (high / wide)
    return Panel(
        module.name, module.size, wide, _three(1000.0 * np.array(module.corner)), module.fast, _three(slow), mask=mask,
        thickness_um=sensor[0], attenuation_depth_um=sensor[1], place=module.origin,
    )  # fmt: skip


def _three(v: np.ndarray) -> Vector:
    x, y, z = v.tolist()
    return x, y, z


def _sensor(walk: Walk, detector: Any) -> Sensor:
    """Thickness and attenuation depth (micrometres) where both are there."""
    if "sensor_thickness" not in detector or "sensor_attenuation_depth" not in detector:
        return None, None
    fields = (detector["sensor_thickness"], detector["sensor_attenuation_depth"])
    thickness, depth = (walk.value(field) * walk.unit(field.attrs, "units", LENGTHS, field.name) / LENGTHS["um"] for field in fields)
    return (thickness, depth) if thickness > 0.0 and depth > 0.0 else (None, None)


def _beam(instrument: Any) -> Any:
    beams = _of_class(instrument, "NXbeam")
    return beams[0] if beams else None


def _wavelength(walk: Walk, instrument: Any) -> float | None:
    """The mean of the frame's."""
    beam = _beam(instrument)
    if beam is None or "incident_wavelength" not in beam:
        return None
    wavelengths, weights = walk.spectrum(beam)
    mean = float(np.dot(wavelengths, weights))
    if not 0.0 < mean < math.inf:
        raise InputError(f"{walk.where}: {beam.name}/incident_wavelength must be positive, not {mean:g} A")
    return mean


def _electric(instrument: Any) -> Vector:
    """Along the E vector, from Stokes's I, Q, U, V; along x where there are none."""
    beam = _beam(instrument)
    if beam is not None and "incident_polarization_stokes" in beam:
        stokes = np.ravel(beam["incident_polarization_stokes"][()]).astype(np.float64)
        if len(stokes) == 4 and np.isfinite(stokes).all() and (stokes[1] or stokes[2]):
            angle = 0.5 * math.atan2(stokes[2], stokes[1])
            return math.cos(angle), math.sin(angle), 0.0
    return 1.0, 0.0, 0.0


def _spindle(walk: Walk, entry: Any) -> Vector:
    """The axis of the rotation that the sample depends on; along x where there is none."""
    samples = _of_class(entry, "NXsample")
    axes = walk.axes(samples[0]) if samples else []
    if not axes or text_of(axes[0].attrs.get("transformation_type", "")).lower() != "rotation":
        return 1.0, 0.0, 0.0
    vector = walk.vector(axes[0])
    return _three(walk.frame(axes[1:])[:3, :3] @ (vector / np.linalg.norm(vector)))
