"""The detectors of DIALS's experiment lists: panels whose frames are relative to the group that they are in.

The definition is dxtbx's: lengths in millimetres, pairs fast first, mu in 1/mm. A frame's fast and slow axis are made unit vectors, and
its normal is fast x slow; a point of it goes to the frame that it is in as origin + x fast + y slow + z normal.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .detector import Group, Panel, PanelDetector
from .json_values import Node

RIGHT_ANGLE = 1e-7
"""Cosine between fast and slow that dxtbx, too, lets pass."""
LEAST_PIXEL = 1e-6
"""Millimetres: no pixel is a nanometre wide."""
PARALLAX = "ParallaxCorrectedPxMmStrategy"


class Frame:
    """A frame in the laboratory: (3, 3) its axes as columns, and its origin (mm)."""

    def __init__(self, axes: np.ndarray, origin: np.ndarray):
        self.axes, self.origin = axes, origin

    def inner(self, node: Node) -> "Frame":
        """The frame that a group or a panel has in this one; without axes it is this one."""
        if not any(node.has(key) for key in ("fast_axis", "slow_axis", "origin")):
            return self
        fast, slow, origin = (np.array(node.at(key).vector()) for key in ("fast_axis", "slow_axis", "origin"))
        for axis, key in ((fast, "fast_axis"), (slow, "slow_axis")):
            if not np.linalg.norm(axis) > 0.0:
                raise node.at(key).wrong("has no direction")
        fast, slow = fast / np.linalg.norm(fast), slow / np.linalg.norm(slow)
        if abs(fast @ slow) > RIGHT_ANGLE:
            raise node.at("slow_axis").wrong("is not at a right angle to fast_axis")
        local = np.column_stack([fast, slow, np.cross(fast, slow)])
        return Frame(self.axes @ local, self.axes @ origin + self.origin)

    @property
    def fields(self) -> dict[str, Any]:
        """As the fields of a Panel or a Group."""
        origin, fast, slow = self.origin.tolist(), self.axes[:, 0].tolist(), self.axes[:, 1].tolist()
        return {"origin_mm": tuple(origin), "fast": tuple(fast), "slow": tuple(slow)}


def read_detector(node: Node) -> tuple[PanelDetector, list[str]]:
    """A detector and what of it was not used. Raises InputError naming the key at fault."""
    panels = list(node.at("panels").items())
    frames: dict[int, tuple[Frame, int | None]] = {}
    groups: list[Group] = []
    laboratory = Frame(np.eye(3), np.zeros(3))
    if node.has("hierarchy"):
        _walk(node.at("hierarchy"), laboratory, None, frames, groups, len(panels))
        for number in range(len(panels)):
            if number not in frames:
                raise node.at("hierarchy").wrong(f"does not hold panel {number}")
    else:
        frames = dict.fromkeys(range(len(panels)), (laboratory, None))
    remarks: list[str] = []
    names = _names(panels, remarks)
    offsets = [panel.at("raw_image_offset").wholes(2) if panel.has("raw_image_offset") else (0, 0) for panel in panels]
    laid_out = any(offset != (0, 0) for offset in offsets)
    made = []
    for number, panel in enumerate(panels):
        outer, group = frames[number]
        place = (offsets[number][1], offsets[number][0]) if laid_out else None
        try:
            made.append(_panel(panel, names[number], outer.inner(panel), group, place, remarks))
        except InputError as error:
            raise error if str(error).startswith(panel.place) else panel.wrong(f"is not usable: {error}") from None
    return PanelDetector(tuple(made), tuple(groups)), remarks


def _walk(node: Node, outer: Frame, parent: int | None, frames: dict[int, Any], groups: list[Group], count: int) -> None:
    """Take a group and what is in it."""
    frame = outer.inner(node)
    number = len(groups)
    name = node.at("name").text() if node.has("name") else ""
    groups.append(Group(name or ("all" if parent is None else f"group{number}"), parent, **frame.fields))
    for child in node.at("children").items():
        if not child.has("panel"):
            _walk(child, frame, number, frames, groups, count)
            continue
        panel = child.at("panel").whole()
        if not 0 <= panel < count:
            raise child.at("panel").wrong(f"must be from 0 to {count - 1}, not {panel}")
        if panel in frames:
            raise child.at("panel").wrong(f"is {panel}, which is in the hierarchy twice")
        frames[panel] = frame, number


def _names(panels: Sequence[Node], remarks: list[str]) -> list[str]:
    """The panels' names; those that are missing or of several panels are numbered."""
    given = [panel.at("name").text() if panel.has("name") else "" for panel in panels]
    names = [name if name and given.count(name) == 1 else f"{name or 'panel'}{number}" for number, name in enumerate(given)]
    if names != given and len(panels) > 1:
        remarks.append(f"panels without a name of their own are numbered, from {names[0]} on")
    return names


def _panel(node: Node, name: str, frame: Frame, group: int | None, place: tuple[int, int] | None, remarks: list[str]) -> Panel:
    fast, slow = node.at("image_size").wholes(2)
    wide, high = node.at("pixel_size").numbers(2)
    if not min(wide, high) > LEAST_PIXEL:
        raise node.at("pixel_size").wrong(f"must be positive, not {wide:g} and {high:g} mm")
    fields = frame.fields
    if wide != high:
        fields["slow"] = tuple((frame.axes[:, 1] * (high / wide)).tolist())
    shape = (slow, fast)
    strategy = node.at("px_mm_strategy").at("type").text() if node.has("px_mm_strategy") else ""
    if strategy.startswith("Offset"):
        remarks.append(f"{node.place}: the offsets of single pixels ({strategy}) are not used")
    thickness, mu = (node.at(key).number() if node.has(key) else 0.0 for key in ("thickness", "mu"))
    sensor = thickness > 0.0 and mu > 0.0 and PARALLAX in strategy
    panel = Panel(
        name, shape, wide, thickness_um=1000.0 * thickness if sensor else None, attenuation_depth_um=1000.0 / mu if sensor else None,
        group=group, place=place, **fields,
    )  # fmt: skip
    # Behind the panel's own look at its size.
    return replace(panel, mask=_mask(node, shape))


def _mask(node: Node, shape: tuple[int, int]) -> np.ndarray | None:
    """(slow, fast) bool: what is in none of the rectangles of bad pixels (fast start, slow start, fast end, slow end)."""
    if not node.has("mask") or not node.at("mask").value:
        return None
    good = np.ones(shape, np.bool_)
    for box in node.at("mask").items():
        fast, slow, fast_end, slow_end = box.wholes(4)
        if not (0 <= fast <= fast_end <= shape[1] and 0 <= slow <= slow_end <= shape[0]):
            raise box.wrong("is not inside the panel")
        good[slow:slow_end, fast:fast_end] = False
    return good


def detector_dictionary(detector: PanelDetector, sensors: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The detector as dxtbx's ``Detector.from_dict`` takes it; ``sensors``: thickness (mm) and mu (1/mm) of each panel, 0 for none.

    Raises InputError for axes that are not at right angles, which dxtbx does not know.
    """
    frames = [Frame(np.column_stack([g.fast, g.slow, np.cross(g.fast, g.slow)]), np.array(g.origin_mm)) for g in detector.groups]
    top = Frame(np.eye(3), np.zeros(3))
    boxed = any(panel.place is not None for panel in detector.panels)
    panels: list[dict[str, Any]] = []
    for panel, (slow, _, fast, _), (thickness, mu) in zip(detector.panels, detector.boxes, sensors, strict=True):
        along, down = np.array(panel.fast), np.array(panel.slow)
        wide, high = float(np.linalg.norm(along)), float(np.linalg.norm(down))
        if abs(along @ down) > RIGHT_ANGLE * wide * high:
            raise InputError(f"panel {panel.name!r}: fast and slow are not at right angles, for which an .expt file has no place")
        outer = top if panel.group is None else frames[panel.group]
        corner = panel.position_mm(0, 0)
        inside = _inside(outer, along / wide, down / high, corner)
        sensor = thickness > 0.0 and mu > 0.0
        panels.append(
            {
                "name": panel.name, "type": "SENSOR_PAD", **inside, "raw_image_offset": [fast, slow] if boxed else [0, 0],
                "image_size": [panel.shape[1], panel.shape[0]], "pixel_size": [panel.pixel_size_mm * wide, panel.pixel_size_mm * high],
                "trusted_range": [0.0, 2147483645.0], "thickness": thickness, "material": "", "mu": mu, "identifier": "",
                "mask": _boxes_of(panel.mask), "gain": 1.0, "pedestal": 0.0,
                "px_mm_strategy": {"type": PARALLAX if sensor else "SimplePxMmStrategy"},
            }
        )  # fmt: skip
    children: dict[int | None, list[dict[str, Any]]] = {None: [], **{number: [] for number in range(len(detector.groups))}}
    for number, group in enumerate(detector.groups):
        outer = top if group.parent is None else frames[group.parent]
        inside = _inside(outer, np.array(group.fast), np.array(group.slow), np.array(group.origin_mm))
        children[group.parent].append({"name": group.name, "type": "", **inside, "children": children[number]})
    for number, panel in enumerate(detector.panels):
        children[panel.group].append({"panel": number})
    roots = children[None]
    if len(roots) == 1 and "children" in roots[0]:
        return {"panels": panels, "hierarchy": roots[0]}
    return {
        "panels": panels,
        "hierarchy": {"name": "", "type": "", **_inside(top, top.axes[0], top.axes[1], top.origin), "children": roots},
    }


def _inside(outer: Frame, fast: np.ndarray, slow: np.ndarray, origin: np.ndarray) -> dict[str, Any]:
    """A frame of the laboratory, as it is in an outer one."""
    back = np.linalg.inv(outer.axes)
    return {
        "fast_axis": (back @ fast).tolist(), "slow_axis": (back @ slow).tolist(), "origin": (back @ (origin - outer.origin)).tolist()
    }  # fmt: skip


def _boxes_of(mask: np.ndarray | None) -> list[list[int]]:
    """Rectangles of bad pixels (fast start, slow start, fast end, slow end): runs in a row, joined where rows are alike."""
    if mask is None:
        return []
    boxes: list[list[int]] = []
    open_boxes: dict[tuple[int, int], list[int]] = {}
    for slow, row in enumerate(mask == 0):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]]))).tolist()
        runs = {(start, end): open_boxes.get((start, end)) for start, end in zip(edges[::2], edges[1::2], strict=True)}
        open_boxes = {}
        for (start, end), box in runs.items():
            box = [start, slow, end, slow] if box is None else box
            if box[3] == slow and box[1] == slow:
                boxes.append(box)
            box[3] = slow + 1
            open_boxes[start, end] = box
    return boxes
