"""Detectors of NXmx files: a panel for each NXdetector_module, at the end of its chain of transformations.

The definition is NXmx's. Its z runs along the beam; a transformation moves what depends on it by its offset and then by its value along
its vector, or turns it about that, and stands itself in the frame of what it depends on. ``fast_pixel_direction`` and
``slow_pixel_direction`` are translations by a pixel; the module's corner is where they start.
"""

import math
import posixpath
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Vector
from nanobragg_numba.files.nexus.reader import opened

from .described import DescribedDetector
from .detector import Panel, PanelDetector

MILLIMETRES = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6}
DEGREES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / math.pi, "radian": 180.0 / math.pi, "radians": 180.0 / math.pi}
ANGSTROMS = {"angstrom": 1.0, "angstroms": 1.0, "nm": 10.0, "m": 1e10, "pm": 0.01}
LONGEST_CHAIN = 64
LARGEST = 1e50
"""Of the numbers: its cube is one, too."""
CORNER_BITS = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x100
"""Bits of pixel_mask that say a pixel is no good: gap, dead, dead by threshold, hot, noisy, masked by the user."""


def read_nexus_detector(path: str, flag: str = "-panels") -> DescribedDetector:
    """The detector of an NXmx file. Raises InputError naming the file and the dataset at fault."""
    with opened(path, flag) as file:
        try:
            return _described(file)
        except InputError as error:
            raise InputError(f"{flag} {path}: {error}") from None
        except (KeyError, OSError, ValueError, TypeError) as error:
            raise InputError(f"{flag} {path}: cannot be read as NXmx: {str(error).lower()}") from None


def _class(node: Any) -> str:
    value = node.attrs.get("NX_class", b"")
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _of_class(parent: Any, name: str) -> list[Any]:
    return [child for child in parent.values() if hasattr(child, "attrs") and _class(child) == name]


def _the_only(parent: Any, name: str) -> Any:
    found = _of_class(parent, name)
    if len(found) != 1:
        raise InputError(f"{parent.name} holds {len(found)} groups of class {name}, and must hold one")
    return found[0]


def _described(file: Any) -> DescribedDetector:
    entry = _the_only(file, "NXentry")
    instrument = _the_only(entry, "NXinstrument")
    detector = _the_only(instrument, "NXdetector")
    modules = _of_class(detector, "NXdetector_module")
    if not modules:
        raise InputError(f"{detector.name} holds no NXdetector_module, and so does not say where its pixels are")
    sizes = [_pair(module, "data_size") for module in modules]
    origins = [_pair(module, "data_origin") for module in modules]
    sensor = _sensor(detector)
    mask = detector["pixel_mask"][()] if "pixel_mask" in detector else None
    frame = (max(o[0] + s[0] for o, s in zip(origins, sizes, strict=True)), max(o[1] + s[1] for o, s in zip(origins, sizes, strict=True)))
    if mask is not None and mask.shape[-2:] != frame:
        raise InputError(f"{detector.name}/pixel_mask has shape {mask.shape}, where the modules fill {frame}")
    panels = []
    for module, size, origin in zip(modules, sizes, origins, strict=True):
        good = None
        if mask is not None:
            plane = mask.reshape(-1, *frame)[0] if mask.ndim > 2 else mask
            good = (plane[origin[0] : origin[0] + size[0], origin[1] : origin[1] + size[1]].astype(np.int64) & CORNER_BITS) == 0
        panels.append(_panel(file, module, size, origin, None if good is None or good.all() else good, sensor))
    axes = Axes(beam=(0.0, 0.0, 1.0), polarization_axis=_electric(instrument), spindle_axis=_spindle(file, entry))
    return DescribedDetector(PanelDetector(tuple(panels), axes=axes), _wavelength(instrument))


def _pair(module: Any, name: str) -> tuple[int, int]:
    """Slow and fast, of two numbers or of the last two."""
    if name not in module:
        raise InputError(f"{module.name}/{name} is missing")
    values = _reals(module[name].name, module[name][()])
    if len(values) < 2:
        raise InputError(f"{module.name}/{name} must be 2 numbers, slow and fast")
    return int(values[-2]), int(values[-1])


def _scaled(dataset: Any, attribute: str, units: dict[str, float], value: Any) -> Any:
    unit = _text(dataset.attrs.get(attribute, ""))
    if unit not in units:
        raise InputError(f"{dataset.name} has the {attribute} {unit!r}, and must have one of {', '.join(units)}")
    return _reals(dataset.name, value) * units[unit]


def _reals(name: str, value: Any) -> np.ndarray:
    """(n,): real numbers whose powers are numbers."""
    values = np.ravel(np.asarray(value))
    if values.dtype.kind not in "iuf" or not (np.abs(values.astype(np.float64)) < LARGEST).all():
        raise InputError(f"{name} must hold finite real numbers")
    return values.astype(np.float64)


def _first(dataset: Any) -> float:
    """The value, or the first of several."""
    values = _reals(dataset.name, dataset[()])
    if len(values) == 0:
        raise InputError(f"{dataset.name} has no value")
    return float(values[0])


def _vector(dataset: Any) -> np.ndarray:
    vector = _reals(f"{dataset.name}@vector", dataset.attrs.get("vector", np.zeros(0)))
    length = float(np.linalg.norm(vector))
    if len(vector) != 3 or not 0.0 < length < math.inf:
        raise InputError(f"{dataset.name} has no attribute vector with a direction")
    unit: np.ndarray = vector / length
    return unit


def _offset(dataset: Any) -> np.ndarray:
    """Millimetres."""
    offset = _reals(f"{dataset.name}@offset", dataset.attrs.get("offset", np.zeros(3)))
    if len(offset) != 3:
        raise InputError(f"{dataset.name}@offset must be 3 numbers, not {len(offset)}")
    if not offset.any():
        return np.zeros(3)
    moved: np.ndarray = _scaled(dataset, "offset_units", MILLIMETRES, offset)
    return moved


def _parent(file: Any, dataset: Any) -> Any:
    """What a transformation depends on; None: the laboratory."""
    name = _text(dataset.attrs.get("depends_on", "."))
    if name in (".", ""):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(dataset.name), name))
    if path not in file:
        raise InputError(f"{dataset.name} depends on {name}, which is not there")
    return file[path]


def _laboratory(file: Any, dataset: Any) -> np.ndarray:
    """(4, 4): from the frame that what depends on ``dataset`` stands in to the laboratory (mm)."""
    whole = np.eye(4)
    for _ in range(LONGEST_CHAIN):
        if dataset is None:
            return whole
        step = np.eye(4)
        step[:3, 3] = _offset(dataset)
        value = _first(dataset)
        kind = _text(dataset.attrs.get("transformation_type", "")).lower()
        if kind == "translation":
            step[:3, 3] += _vector(dataset) * _scaled(dataset, "units", MILLIMETRES, value)
        elif kind == "rotation":
            step[:3, :3] = _turn(_vector(dataset), float(_scaled(dataset, "units", DEGREES, value)[0]))
        else:
            raise InputError(f"{dataset.name} has the transformation_type {kind!r}, and must have translation or rotation")
        whole = step @ whole
        dataset = _parent(file, dataset)
    raise InputError("a chain of transformations does not end")


def _turn(axis: np.ndarray, degrees: float) -> np.ndarray:
    from .dials import turn_about

    return turn_about(axis, degrees)


Sensor = tuple[float | None, float | None]


def _panel(file: Any, module: Any, size: tuple[int, int], place: tuple[int, int], mask: Any, sensor: Sensor) -> Panel:
    steps = {}
    for name in ("fast", "slow"):
        key = f"{name}_pixel_direction"
        if key not in module:
            raise InputError(f"{module.name}/{key} is missing")
        dataset = module[key]
        length = float(_scaled(dataset, "units", MILLIMETRES, _first(dataset))[0])
        outer = _laboratory(file, _parent(file, dataset))
        steps[name] = length, outer[:3, :3] @ _vector(dataset), outer @ np.append(_offset(dataset), 1.0)
    (wide, fast, corner), (high, slow, _) = steps["fast"], steps["slow"]
    if not (wide > 0.0 and high > 0.0):
        raise InputError(f"{module.name}: the pixels must have a positive size, not {wide:g} x {high:g} mm")
    slow = slow * (high / wide)
    return Panel(
        posixpath.basename(module.name), size, wide, _three(corner[:3]), _three(fast), _three(slow), mask=mask,
        thickness_um=sensor[0], attenuation_depth_um=sensor[1], place=place,
    )  # fmt: skip


def _three(v: np.ndarray) -> Vector:
    x, y, z = v.tolist()
    return x, y, z


def _sensor(detector: Any) -> Sensor:
    """Thickness and attenuation depth (micrometres) where both are there."""
    if "sensor_thickness" not in detector or "sensor_attenuation_depth" not in detector:
        return None, None
    thickness, depth = (
        1000.0 * float(_scaled(detector[key], "units", MILLIMETRES, _first(detector[key]))[0])
        for key in ("sensor_thickness", "sensor_attenuation_depth")
    )
    return (thickness, depth) if thickness > 0.0 and depth > 0.0 else (None, None)


def _beam(instrument: Any) -> Any:
    beams = _of_class(instrument, "NXbeam")
    return beams[0] if beams else None


def _wavelength(instrument: Any) -> float | None:
    beam = _beam(instrument)
    if beam is None or "incident_wavelength" not in beam:
        return None
    values = _scaled(beam["incident_wavelength"], "units", ANGSTROMS, beam["incident_wavelength"][()])
    return float(values[0]) if len(values) == 1 else None


def _electric(instrument: Any) -> Vector:
    """Along the E vector, from Stokes's I, Q, U, V; along x where there are none."""
    beam = _beam(instrument)
    if beam is not None and "incident_polarization_stokes" in beam:
        stokes = _reals(beam["incident_polarization_stokes"].name, beam["incident_polarization_stokes"][()])
        if len(stokes) == 4 and (stokes[1] or stokes[2]):
            angle = 0.5 * math.atan2(stokes[2], stokes[1])
            return math.cos(angle), math.sin(angle), 0.0
    return 1.0, 0.0, 0.0


def _spindle(file: Any, entry: Any) -> Vector:
    """The axis of the rotation that the sample depends on; along x where there is none."""
    samples = _of_class(entry, "NXsample")
    name = _text(samples[0]["depends_on"][()]) if samples and "depends_on" in samples[0] else "."
    path = posixpath.normpath(posixpath.join(samples[0].name, name)) if samples else "."
    if name in (".", "") or path not in file:
        return 1.0, 0.0, 0.0
    axis = file[path]
    if _text(axis.attrs.get("transformation_type", "")).lower() != "rotation":
        return 1.0, 0.0, 0.0
    return _three(_laboratory(file, _parent(file, axis))[:3, :3] @ _vector(axis))
