"""The header of the SMV images that a run writes: the reference's, byte for byte, or one that gives the same geometry back.

In "spec" it states its true length, prints every number with as many digits as it takes to read it back, and gives, ahead of the
reference's keys, those of ``GEOMETRY_KEYS``: what the reference's keys leave open.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, Protocol

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.detector import starting_axes
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import CONVENTIONS, Axes, Parameters
from nanobragg_numba.maths.c_numbers import c_format, shown
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.vectors3 import dot

from .smv import BLOCK, finite_number

MARK = "NB_CONVENTION"
"""The key that tells such a header from others."""
GEOMETRY_KEYS = {
    MARK: "detector.convention", "NB_PIVOT": "detector.pivot", "NB_PIXELS": "detector.pixels", "NB_SIZE": "detector.size_mm",
    "NB_DISTANCE": "detector.distance_mm", "NB_CLOSE_DISTANCE": "detector.close_distance_mm", "NB_BEAM_CENTER": "detector.beam_center_mm",
    "NB_CLOSE_POINT": "detector.close_point_mm", "NB_ORIGIN_PIXELS": "detector.org_pixels", "NB_PIX0": "detector.pix0_mm",
    "NB_ROTATIONS": "detector.rotations_deg", "NB_SWING_AXIS": "detector.twotheta_axis", "NB_CURVED": "detector.curved",
    "NB_FAST": "detector.fast_axis", "NB_SLOW": "detector.slow_axis", "NB_NORMAL": "detector.normal_axis", "NB_BEAM": "beam.direction",
    "NB_POLARIZATION": "beam.polarization_axis", "NB_SPINDLE": "sampling.spindle_axis",
    **{f"NB_AXES_{field.name.upper()}": f"axes.{field.name}" for field in fields(Axes)},
}  # fmt: skip
"""Our keys, and the fields of ``Parameters`` whose values they hold, in the fields' units; left out where a field has its default."""
PLAIN_KEYS = {
    "PIXEL_SIZE": "detector.pixel_size_mm",
    "WAVELENGTH": "beam.wavelength_A",
    "PHI": "sampling.phi_deg",
    "TWOTHETA": "detector.twotheta_deg",
}
"""The reference's keys that hold a field as it is."""
WORDS = {"detector.convention": CONVENTIONS, "detector.pivot": ("beam", "sample")}
COUNTS = {"detector.pix0_mm": 3, **{name: 3 for name in GEOMETRY_KEYS.values() if name.startswith("axes.")}}
"""Numbers of the fields whose default is None, where there are more than one."""
NOTHING = "none"
PIXELS = {16: "unsigned_short", 32: "unsigned_long"}
"""TYPE of pixels of so many bits."""


class Keyed(Protocol):
    """An image with keys in its header, such as ``SmvImage``."""

    @property
    def where(self) -> str: ...
    @property
    def keys(self) -> dict[str, str]: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def number(self, key: str) -> float | None:
        """The number of exactly this key, None where there is none. Raises InputError where its text is no finite number."""


def header(x: Experiment, added_zero: float = 0.0, bits: int = 16) -> bytes:
    """The header of an image of ``x``, as ``x.compat`` has it, with pixels of 16 or 32 ``bits``.

    ``added_zero`` is -0.0 or +0.0: the reference's noiseless and its noisy image differ in the sign of a zero that it adds.
    """
    if not mode_of(x.compat).spec:
        lines = "".join(f"{line}\n" for line in _reference_lines(x, added_zero, lambda value: c_format("%g", value), bits))
        return _closed("HEADER_BYTES=512;\n" + lines, BLOCK)
    lines = "".join(f"{line}\n" for line in (*_geometry_lines(x.parameters), *_reference_lines(x, 0.0, _digits, bits)))
    size = BLOCK
    while len(text := _closed(f"HEADER_BYTES={size};\n{lines}", size)) > size:
        size += BLOCK
    return text


def outgrown_bytes(x: Experiment) -> int:
    """By how many bytes the longest header of ``x`` exceeds the length that it states."""
    return 0 if mode_of(x.compat).spec else max(len(header(x, zero)) for zero in (-0.0, 0.0)) - BLOCK


def _closed(lines: str, size: int) -> bytes:
    return ("{\n" + lines + "}\f").encode().ljust(size, b" ")


def _digits(value: float) -> str:
    """The shortest text that reads back as ``value``."""
    return repr(float(value))


def _reference_lines(x: Experiment, added_zero: float, number: Callable[[float], str], bits: int) -> Iterator[str]:
    """The reference's keys but HEADER_BYTES, numbers printed by ``number``: lengths in mm, angles in degrees, wavelength in A."""
    g, parameters = x.geometry, x.parameters
    spec = mode_of(x.compat).spec
    own = parameters.detector
    yield from ("DIM=2;", "BYTE_ORDER=little_endian;", f"TYPE={PIXELS[bits]};", f"SIZE1={g.fast_pixels};", f"SIZE2={g.slow_pixels};")
    half = 0.5 * g.pixel_size
    start, step = x.phi_start * RTD, x.phi.range * RTD
    values: dict[str, float | tuple[float, float, float]] = {
        "PIXEL_SIZE": own.pixel_size_mm if spec else g.pixel_size * 1000.0,
        "DISTANCE": g.distance * 1000.0,
        "WAVELENGTH": parameters.beam.wavelength_A if spec else x.wavelength * 1e10,
        "BEAM_CENTER_X": g.xbeam * 1000.0,
        "BEAM_CENTER_Y": g.ybeam * 1000.0,
        "ADXV_CENTER_X": g.fbeam * 1000.0,
        "ADXV_CENTER_Y": (g.size[1] - g.sbeam) * 1000.0,
        "MOSFLM_CENTER_X": (g.sbeam - half) * 1000.0,
        "MOSFLM_CENTER_Y": (g.fbeam - half) * 1000.0,
        "DENZO_X_BEAM": (g.sbeam + added_zero) * 1000.0,
        "DENZO_Y_BEAM": (g.fbeam + added_zero) * 1000.0,
        "DIALS_ORIGIN": _dials_origin(x) if spec else g.dials_origin,
        "XDS_ORGX": g.org[0],
        "XDS_ORGY": g.org[1],
        "CLOSE_DISTANCE": g.close_distance * 1000.0,
        "PHI": parameters.sampling.phi_deg if spec else start,
        "OSC_START": parameters.sampling.phi_deg if spec else start,
        "OSC_RANGE": parameters.sampling.osc_deg if spec and parameters.sampling.osc_deg is not None else step,
        "TWOTHETA": own.twotheta_deg if spec else own.twotheta_deg / RTD * RTD,
    }
    for key, value in values.items():
        # The reference forgets the semicolon behind the one that holds three numbers.
        end = "" if key == "DIALS_ORIGIN" and not spec else ";"
        yield f"{key}={','.join(map(number, value)) if isinstance(value, tuple) else number(value)}{end}"
    yield from ("DETECTOR_SN=000;", "BEAMLINE=fake;")


def _dials_origin(x: Experiment) -> tuple[float, float, float]:
    """The first pixel's corner (mm) in DIALS's frame: along the fast axis before any rotation, against the slow one, against the beam."""
    start, _ = starting_axes(x.parameters)
    pix0 = x.geometry.pix0
    return 1000.0 * dot(pix0, start.fast), -1000.0 * dot(pix0, start.slow), -1000.0 * dot(pix0, start.beam)


def _field(parameters: Parameters, name: str) -> Any:
    part, field = name.split(".")
    value = getattr(getattr(parameters, part), field)
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _default(parameters: Parameters, name: str) -> Any:
    part, field = name.split(".")
    return next(f.default for f in fields(getattr(parameters, part)) if f.name == field)


def _geometry_lines(parameters: Parameters) -> Iterator[str]:
    """Our keys, of the fields that have other values than their defaults; SIZE1 and SIZE2 hold whole numbers of pixels."""
    by_size = 0 in parameters.detector.pixels
    always = {MARK: True, "NB_PIXELS": by_size, "NB_SIZE": by_size}
    for key, name in GEOMETRY_KEYS.items():
        value = _field(parameters, name)
        if always.get(key, value != _default(parameters, name)):
            yield f"{key}={_text(value)};"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, tuple) else (value,)
    return ",".join(NOTHING if part is None else _digits(part) for part in parts)


def geometry_settings(image: Keyed) -> dict[str, Any]:
    """The fields of ``Parameters`` that a header's keys give, as "detector.distance_mm" or "detector.pixels.0"; for headers of other
    programs too.

    Those may give two distances and two points: which of them count depends on what the detector turns about
    (command_line/detector_words.py).
    Raises InputError naming the key whose text makes no sense.
    """
    got = _whole_fields(image)
    defaults = {name: _default(Parameters(), name) for name in got}
    single = {name: value for name, value in got.items() if not isinstance(defaults[name], tuple)}
    parts = {f"{name}.{i}": part for name in got if name not in single for i, part in enumerate(got[name]) if part is not None}
    return single | parts


def _whole_fields(image: Keyed) -> dict[str, Any]:
    got: dict[str, Any] = {"detector.pixels": (image.width, image.height)}
    for key, name in PLAIN_KEYS.items():
        if (value := image.number(key)) is not None:
            got[name] = value
    if "PHI" not in image.keys and (phi := image.number("OSC_START")) is not None:
        got["sampling.phi_deg"] = phi
    if osc := image.number("OSC_RANGE"):
        got["sampling.osc_deg"] = osc
    if MARK in image.keys:
        return got | {name: _parsed(image, key, name) for key, name in GEOMETRY_KEYS.items() if key in image.keys}
    for key, name in (("DISTANCE", "detector.distance_mm"), ("CLOSE_DISTANCE", "detector.close_distance_mm")):
        if (value := image.number(key)) is not None:
            got[name] = value
    centre = image.number("BEAM_CENTER_X"), image.number("BEAM_CENTER_Y")
    org = tuple(next((v for key in (name, f"XDS_{name}") if (v := image.number(key)) is not None), None) for name in ("ORGX", "ORGY"))
    if centre != (None, None):
        got["detector.beam_center_mm"] = centre
    if org != (None, None):
        got["detector.org_pixels"] = org
    return got


def _parsed(image: Keyed, key: str, name: str) -> Any:
    """The value of one of our keys."""
    text = image.keys[key]
    if name in WORDS:
        if text not in WORDS[name]:
            raise InputError(f"{image.where}: {key} in the image header must be one of {', '.join(WORDS[name])}, not {shown(text)}")
        return text
    parts = [None if part == NOTHING else finite_number(part, key, image.where) for part in text.split(",")]
    default = _default(Parameters(), name)
    count = len(default) if isinstance(default, tuple) else COUNTS.get(name, 1)
    if len(parts) != count:
        raise InputError(f"{image.where}: {key} in the image header is {shown(text)}, and needs {count} number{'s' * (count > 1)}")
    if name == "detector.curved":
        return parts[0] != 0.0
    if name == "detector.pixels":
        return tuple(int(part or 0) for part in parts)
    return parts[0] if count == 1 else tuple(parts)
