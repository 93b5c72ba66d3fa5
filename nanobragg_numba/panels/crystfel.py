"""CrystFEL's geometry files (.geom): text lines ``name = value`` and ``panel/name = value``.

The definition is CrystFEL's manual page crystfel_geometry(5). Its laboratory is ours with the beam along z, y up and the E vector along
x. A panel's corner is given in its own pixels, and so are fs and ss, whose lengths need not be 1; z is clen + coffset, in metres.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Vector
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.maths.c_numbers import shown
from nanobragg_numba.maths.constants import ELECTRONVOLT_ANGSTROM

from .described import DescribedDetector
from .detector import Group, Panel, PanelDetector
from .nested import nested_groups

LABORATORY = Axes(beam=(0.0, 0.0, 1.0), spindle_axis=(1.0, 0.0, 0.0), polarization_axis=(1.0, 0.0, 0.0))
REQUIRED = ("min_fs", "max_fs", "min_ss", "max_ss", "corner_x", "corner_y", "fs", "ss", "res")
NOT_GEOMETRY = re.compile(
    r"adu_per_eV|adu_per_photon|max_adu|flag_\w+|saturation_map\w*|badrow_direction|data|dim\d|peak_list\w*|bandwidth|"
    r"electron_voltage|mask\d?(_\w+)?|integr_radius"
)
MASK_FILE = re.compile(r"mask\d?(_data|_file)?")
TERM = re.compile(r"([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)?([xyz])")
LENGTHS = {"m": 1.0, "mm": 1e-3}
ENERGIES = {"eV": 1.0, "keV": 1e3}
WAVELENGTHS = {"A": 1.0, "m": 1e10}


class _Line(NamedTuple):
    """A line of the file."""

    number: int
    owner: str
    """The panel or bad region; empty at the top level."""
    key: str
    value: str


@dataclass
class _Block:
    """What the file says of a panel or of a bad region."""

    name: str
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    dims: dict[str, str] = field(default_factory=dict)
    data: str = "/data/data"


@dataclass
class _Content:
    """What the file says."""

    panels: dict[str, _Block] = field(default_factory=dict)
    bad: dict[str, _Block] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    rigid_groups: dict[str, list[str]] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    """In order, each once."""


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{shown(text)} is not a number") from None
    if not math.isfinite(value):
        raise InputError(f"{shown(text)} is not a finite number")
    return value


def _whole(text: str) -> int:
    value = _number(text)
    if value != int(value) or value < 0:
        raise InputError(f"{shown(text)} is not a whole number of 0 or more")
    return int(value)


def _positive(text: str) -> float:
    value = _number(text)
    if not value > 0.0:
        raise InputError(f"{shown(text)} is not positive")
    return value


def _truth(text: str) -> bool:
    words = {"true": True, "false": False}
    return words[text.lower()] if text.lower() in words else _number(text) != 0.0


def _metres(text: str) -> float:
    value, _, unit = text.partition(" ")
    if unit.strip() not in ("", "m"):
        raise InputError(f"{shown(text)} is not in metres")
    return _number(value)


def _direction(text: str) -> Vector:
    """``+0.1x -0.99y z`` as a vector."""
    packed = "".join(text.split())
    vector = {"x": 0.0, "y": 0.0, "z": 0.0}
    end = 0
    for term in TERM.finditer(packed):
        if term.start() != end or (end and not term[1]):
            break
        vector[term[3]] += float(term[1] + (term[2] or "1"))
        end = term.end()
    if not packed or end != len(packed):
        raise InputError(f"{shown(text)} is not a direction, as +0.1x -0.9y +0.2z")
    return vector["x"], vector["y"], vector["z"]


def _with_unit(text: str, units: dict[str, float], default: str | None) -> float | None:
    """The value in the first of the units; None for a place in the images."""
    value, _, unit = text.partition(" ")
    unit = unit.strip() or (default or "")
    try:
        number = float(value)
    except ValueError:
        if value.startswith("/") or value.replace("_", "").isalpha():
            return None
        raise InputError(f"{shown(text)} is neither a number nor a place in the images") from None
    if unit not in units:
        raise InputError(f"{shown(text)} needs a unit: {' or '.join(units)}")
    if not math.isfinite(number):
        raise InputError(f"{shown(text)} is not a finite number")
    return number * units[unit]


def _camera_length(text: str) -> float | None:
    """Metres; None where it is kept in the images."""
    return _with_unit(text, LENGTHS, "m")


def _length(text: str) -> float:
    value = _with_unit(text, LENGTHS, "m")
    if value is None:
        raise InputError(f"{shown(text)} is kept in the images: write the length itself here, with its unit, m or mm")
    return value


PANEL_FIELDS: dict[str, Callable[[str], Any]] = {
    "min_fs": _whole, "max_fs": _whole, "min_ss": _whole, "max_ss": _whole, "corner_x": _number, "corner_y": _number, "fs": _direction,
    "ss": _direction, "res": _positive, "coffset": _metres, "clen": _camera_length, "no_index": _truth, "mask_edge_pixels": _whole,
}  # fmt: skip
BAD_FIELDS: dict[str, Callable[[str], Any]] = {
    "min_fs": _whole, "max_fs": _whole, "min_ss": _whole, "max_ss": _whole, "min_x": _number, "max_x": _number, "min_y": _number,
    "max_y": _number, "panel": str,
}  # fmt: skip
TOP_FIELDS: dict[str, Callable[[str], Any]] = {
    "clen": _camera_length, "detector_shift_x": _length, "detector_shift_y": _length,
    "photon_energy": lambda text: _with_unit(text, ENERGIES, "eV"), "wavelength": lambda text: _with_unit(text, WAVELENGTHS, None),
}  # fmt: skip


def read_geom(path: str, flag: str = "-panels", camera_length_mm: float | None = None) -> DescribedDetector:
    """The detector of a CrystFEL geometry file. ``camera_length_mm``: for a file whose ``clen`` is kept in the images.

    The stacked image is laid out as the file's own data block; panels of other data sets, or of other places along its further
    dimensions, stand below. Bad regions, ``no_index`` and ``mask_edge_pixels`` become masks; masks in files of their own are not read,
    and told. Groups are those of ``group_`` lines, or, without any, of ``rigid_group`` lines. Raises InputError naming file and line.
    """
    content = _content(path, flag)
    try:
        return _described(content, None if camera_length_mm is None else camera_length_mm / 1000.0)
    except InputError as error:
        raise InputError(f"{flag} {path}: {error}") from None


def _lines(path: str, flag: str) -> Iterator[_Line]:
    try:
        text = read_bytes(path, flag).decode()
    except UnicodeDecodeError:
        raise InputError(f"{flag} {path}: is no text, and so no CrystFEL geometry") from None
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        line = raw.partition(";")[0].strip()
        if not line:
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise InputError(f"{flag} {path}, line {number}: {shown(line)} has no = sign")
        owner, slash, name = key.strip().partition("/")
        yield _Line(number, owner if slash else "", name if slash else owner, value.strip())


def _content(path: str, flag: str) -> _Content:
    content, defaults = _Content(), _Block("", 0)
    for line in _lines(path, flag):
        try:
            _take(line, content, defaults)
        except InputError as error:
            raise InputError(f"{flag} {path}, line {line.number}: {line.key}: {error}") from None
    return content


def _take(line: _Line, content: _Content, defaults: _Block) -> None:
    if line.owner.startswith("bad"):
        block = content.bad.setdefault(line.owner, _Block(line.owner, line.number))
        if line.key not in BAD_FIELDS:
            raise InputError("bad regions have no such field")
        block.values[line.key] = BAD_FIELDS[line.key](line.value)
        return
    if line.owner:
        if line.owner not in content.panels:
            content.panels[line.owner] = _Block(line.owner, line.number, dict(defaults.values), dict(defaults.dims), defaults.data)
        _set(content.panels[line.owner], line, content)
    elif line.key in TOP_FIELDS:
        content.top[line.key] = TOP_FIELDS[line.key](line.value)
    elif line.key.startswith("rigid_group_collection_"):
        pass
    elif line.key.startswith(("rigid_group_", "group_")):
        rigid = line.key.startswith("rigid")
        members = [member.strip() for member in line.value.split(",")]
        (content.rigid_groups if rigid else content.groups)[line.key.removeprefix("rigid_").removeprefix("group_")] = members
    else:
        _set(defaults, line, content)


def _set(block: _Block, line: _Line, content: _Content) -> None:
    if line.key in PANEL_FIELDS:
        block.values[line.key] = PANEL_FIELDS[line.key](line.value)
    elif line.key == "data":
        block.data = line.value
    elif re.fullmatch(r"dim\d", line.key):
        block.dims[line.key] = line.value
    elif MASK_FILE.fullmatch(line.key):
        content.remarks[f"{line.key} = {line.value}: masks in files of their own are not read"] = None
    elif not NOT_GEOMETRY.fullmatch(line.key):
        content.remarks[f"line {line.number}: {line.key} is no field of a CrystFEL geometry, and not used"] = None


def _described(content: _Content, camera_length: float | None) -> DescribedDetector:
    if not content.panels:
        raise InputError("describes no panel")
    _require_regions(content)
    panels = [_panel(block, content, camera_length) for block in content.panels.values()]
    named = content.groups or content.rigid_groups
    groups, group_of = nested_groups(named, [panel.name for panel in panels])
    places = _places(list(content.panels.values()))
    placed = [
        Panel(
            p.name, p.shape, p.pixel_size_mm, p.origin_mm, p.fast, p.slow, mask=_mask(p, block, content), group=group, place=place
        )
        for p, block, group, place in zip(panels, content.panels.values(), group_of, places, strict=True)
    ]  # fmt: skip
    detector = PanelDetector(tuple(placed), _with_centres(groups, placed), LABORATORY)
    energy = content.top.get("photon_energy")
    wavelength = content.top.get("wavelength") if energy is None else ELECTRONVOLT_ANGSTROM / energy if energy > 0.0 else None
    return DescribedDetector(detector, wavelength, tuple(content.remarks))


def _panel(block: _Block, content: _Content, camera_length: float | None) -> Panel:
    """A panel without its mask; ``camera_length`` (metres): where the file gives none."""
    v = block.values
    missing = [name for name in REQUIRED if name not in v]
    if missing:
        raise InputError(f"panel {block.name} (line {block.line}) has no {missing[0]}")
    given = v.get("clen", content.top.get("clen"))
    if given is not None and camera_length is not None:
        raise InputError(f"has a camera length of its own, clen = {given:g} m: leave -distance out")
    clen = camera_length if given is None else given
    if clen is None:
        raise InputError("gives no camera length that is a number (clen, in m or mm): write it there, or give -distance")
    if v["max_fs"] < v["min_fs"] or v["max_ss"] < v["min_ss"]:
        raise InputError(f"panel {block.name} (line {block.line}) ends before it begins")
    pixel = 1.0 / v["res"]
    shift_x, shift_y = (content.top.get(f"detector_shift_{axis}", 0.0) for axis in "xy")
    origin = (v["corner_x"] * pixel + shift_x, v["corner_y"] * pixel + shift_y, clen + v.get("coffset", 0.0))
    shape = (v["max_ss"] - v["min_ss"] + 1, v["max_fs"] - v["min_fs"] + 1)
    return Panel(block.name, shape, 1000.0 * pixel, (1000.0 * origin[0], 1000.0 * origin[1], 1000.0 * origin[2]), v["fs"], v["ss"])


def _places(blocks: list[_Block]) -> list[tuple[int, int] | None]:
    """Where the panels stand in the stacked image: as in their data block, one block below the other."""
    slabs: dict[tuple[Any, ...], list[_Block]] = {}
    for block in blocks:
        fixed = tuple(sorted((dim, value) for dim, value in block.dims.items() if value.isdigit()))
        slabs.setdefault((block.data, *fixed), []).append(block)
    below, start = {}, 0
    for key, members in slabs.items():
        below[key] = start
        start += max(block.values["max_ss"] for block in members) + 1
    offsets = {id(block): below[key] for key, members in slabs.items() for block in members}
    return [(offsets[id(block)] + block.values["min_ss"], block.values["min_fs"]) for block in blocks]


def _mask(panel: Panel, block: _Block, content: _Content) -> np.ndarray | None:
    """(slow, fast) bool: what is not bad; None: all."""
    good = np.full(panel.shape, not block.values.get("no_index", False))
    edge = block.values.get("mask_edge_pixels", 0)
    if edge:
        good[:edge], good[-edge:], good[:, :edge], good[:, -edge:] = False, False, False, False
    for region in content.bad.values():
        v = region.values
        if "min_fs" in v and v.get("panel", panel.name if len(content.panels) == 1 else None) == panel.name:
            first_slow, first_fast = block.values["min_ss"], block.values["min_fs"]
            good[v["min_ss"] - first_slow : v["max_ss"] - first_slow + 1, v["min_fs"] - first_fast : v["max_fs"] - first_fast + 1] = False
        elif "min_x" in v:
            # CrystFEL asks of each pixel's corner, in pixels of the panel, the shift of the whole detector included.
            corner = np.array(panel.origin_mm) / panel.pixel_size_mm
            slow, fast = np.mgrid[: panel.shape[0], : panel.shape[1]]
            x, y = (corner[i] + fast * panel.fast[i] + slow * panel.slow[i] for i in range(2))
            good &= ~((x > v["min_x"]) & (x < v["max_x"]) & (y > v["min_y"]) & (y < v["max_y"]))
    return None if good.all() else good


def _require_regions(content: _Content) -> None:
    """Raise InputError for bad regions that are incomplete, or not inside their panel."""
    for region in content.bad.values():
        v, name = region.values, f"bad region {region.name} (line {region.line})"
        in_data = [key for key in v if key.endswith("s")]
        in_laboratory = [key for key in v if key.endswith(("_x", "_y"))]
        if (len(in_data), len(in_laboratory)) not in ((4, 0), (0, 4)):
            raise InputError(f"{name} needs min and max of fs and ss, or of x and y")
        if not in_data:
            continue
        panel = v.get("panel", next(iter(content.panels)) if len(content.panels) == 1 else None)
        if panel not in content.panels:
            raise InputError(f"{name} names no panel" if panel is None else f"{name} is of a panel {panel}, which is not there")
        p = content.panels[panel].values
        if all(name in p for name in REQUIRED) and not all(
            p[f"min_{s}"] <= v[f"min_{s}"] <= v[f"max_{s}"] <= p[f"max_{s}"] for s in ("fs", "ss")
        ):
            raise InputError(f"{name} is not inside its panel {panel}")


def _with_centres(groups: list[Group], panels: list[Panel]) -> tuple[Group, ...]:
    """The groups, each with its origin in the middle of its panels: CrystFEL gives groups no frame."""
    whole = PanelDetector(
        tuple(Panel(p.name, p.shape, p.pixel_size_mm, p.origin_mm, p.fast, p.slow, group=p.group) for p in panels), tuple(groups)
    )
    centred = []
    for group in groups:
        _, members = whole.members(group.name)
        centres = [panels[i].position_mm(panels[i].shape[0] / 2, panels[i].shape[1] / 2) for i in members]
        x, y, z = np.mean(centres, axis=0).tolist()
        centred.append(Group(group.name, group.parent, (x, y, z)))
    return tuple(centred)
