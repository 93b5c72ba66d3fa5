"""Detectors of many panels: flat pieces with frames of their own, in groups that move as one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.detector import Geometry, derive_geometry
from nanobragg_numba.experiment.parameters import Axes, Compat, Parameters, Vector
from nanobragg_numba.fields.values import ArrayOf, make_plain
from nanobragg_numba.maths.vectors3 import rotate_about_axis, unit

LEAST_AREA = 1e-9
"""Of what steps along fast and slow span, in squared pixel sizes."""
MOST_PIXELS = 2**31 - 1

Box = tuple[int, int, int, int]
"""Slow start, slow end, fast start, fast end; ends excluded."""


def _not_finite(*values: float | None) -> bool:
    return any(value is not None and not math.isfinite(value) for value in values)


@dataclass(frozen=True)
class Panel:
    """A rectangle of pixels in a plane. Lengths in millimetres, vectors along laboratory x, y, z, pairs slow first."""

    name: str
    """What it is called: any text, but no other panel's."""
    shape: tuple[int, int]
    """Number of pixels along slow, fast."""
    pixel_size_mm: float
    """Edge of a pixel (mm)."""
    origin_mm: Vector
    """The outer corner of its plane's pixel (0, 0), which is the panel's first one unless ``first_pixel`` says otherwise."""
    fast: Vector
    """From a pixel to the next along fast, in pixel sizes: a unit vector where pixels are as far apart as they are wide."""
    slow: Vector
    """From a pixel to the next along slow, likewise: another length makes pixels that are not square."""
    first_pixel: tuple[int, int] = (0, 0)
    """Slow and fast index of its first pixel in its plane. Panels of one plane, as a detector is cut into, share origin and axes."""
    mask: np.ndarray | None = None
    """(slow, fast), of any real type: pixels where it is zero are skipped, and stay 0; None: none is."""
    thickness_um: float | None = None
    """Thickness of its sensor (micrometres), 0: no sensor is modelled; None: that of ``Parameters.detector``."""
    attenuation_depth_um: float | None = None
    """1/mu of its sensor (micrometres); None: that of ``Parameters.detector``."""
    group: int | None = None
    """Its place in ``PanelDetector.groups``; None: it is in none."""
    place: tuple[int, int] | None = None
    """Slow and fast index of its first pixel in the stacked image; None: below the panel before it."""
    cut_from: Geometry | None = field(default=None, repr=False)
    """The detector that it is cut from (``cut``), whose derived numbers then count to the last bit."""

    def __post_init__(self) -> None:
        make_plain(self, {"mask": ArrayOf((None, None), dtype=None)})
        name = f"panel {self.name!r}"
        if _not_finite(*self.origin_mm, *self.fast, *self.slow, self.pixel_size_mm, self.thickness_um, self.attenuation_depth_um):
            raise InputError(f"{name}: all numbers must be finite")
        if not self.pixel_size_mm > 0.0:
            raise InputError(f"{name}: the pixel size must be positive, not {self.pixel_size_mm:g} mm")
        if min(self.shape) < 1:
            raise InputError(f"{name}: a panel of {self.shape[0]} x {self.shape[1]} pixels (slow, fast) is empty")
        if self.shape[0] * self.shape[1] > MOST_PIXELS:
            raise InputError(f"{name}: {self.shape[0]} x {self.shape[1]} pixels (slow, fast) are too many (at most {MOST_PIXELS})")
        if min(self.first_pixel) < 0:
            raise InputError(f"{name}: the first pixel {self.first_pixel} is before its plane's first one")
        if self.place is not None and min(self.place) < 0:
            raise InputError(f"{name}: the place {self.place} is before the stacked image's first pixel")
        if not np.linalg.norm(np.cross(self.fast, self.slow)) > LEAST_AREA:
            raise InputError(f"{name}: fast and slow lie along one line: no plane of pixels")
        if self.mask is not None and self.mask.shape != self.shape:
            raise InputError(f"{name}: a mask of shape {self.mask.shape}, where the panel's (slow, fast) is {self.shape}")

    def position_mm(self, slow: Any, fast: Any) -> np.ndarray:
        """(..., 3): where the point lies that is ``slow`` and ``fast`` pixels behind the panel's outer corner; a centre is at halves."""
        along_slow = np.multiply.outer((np.asarray(slow) + self.first_pixel[0]) * self.pixel_size_mm, np.array(self.slow))
        along_fast = np.multiply.outer((np.asarray(fast) + self.first_pixel[1]) * self.pixel_size_mm, np.array(self.fast))
        place: np.ndarray = np.array(self.origin_mm) + along_slow + along_fast
        return place


@dataclass(frozen=True)
class Group:
    """Panels, and groups of them, that move as one."""

    name: str
    """What it is called."""
    parent: int | None = None
    """Place in ``PanelDetector.groups`` of the group that it is in; None: it is in none."""
    origin_mm: Vector = (0.0, 0.0, 0.0)
    """Origin of its frame, in the laboratory (mm): what it turns about."""
    fast: Vector = (1.0, 0.0, 0.0)
    """First axis of its frame, in the laboratory."""
    slow: Vector = (0.0, 1.0, 0.0)
    """Second axis of its frame, in the laboratory."""

    def __post_init__(self) -> None:
        make_plain(self)
        if _not_finite(*self.origin_mm, *self.fast, *self.slow):
            raise InputError(f"group {self.name!r}: all numbers must be finite")


class _Motion(NamedTuple):
    """A turn about a point, then a shift."""

    axis: Vector
    angle: float
    pivot: Vector
    shift: Vector

    def vector(self, v: Vector) -> Vector:
        return rotate_about_axis(v, self.axis, self.angle) if self.angle else v

    def point(self, p: Vector) -> Vector:
        if self.angle:
            x, y, z = self.vector((p[0] - self.pivot[0], p[1] - self.pivot[1], p[2] - self.pivot[2]))
            p = (x + self.pivot[0], y + self.pivot[1], z + self.pivot[2])
        return p[0] + self.shift[0], p[1] + self.shift[1], p[2] + self.shift[2]


@dataclass(frozen=True)
class PanelDetector:
    """Panels, in the order of the stacked image."""

    panels: tuple[Panel, ...]
    """At least one; no two of one name."""
    groups: tuple[Group, ...] = ()
    """The hierarchy: a group comes behind the one that it is in."""
    axes: Axes = field(default_factory=Axes)
    """Beam, spindle and E vector in the frame of the file that the panels are from; they count before a convention's, and those of
    ``Parameters.axes`` before them. Empty for panels that were made in Python."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(self.panels))
        object.__setattr__(self, "groups", tuple(self.groups))
        if not self.panels:
            raise InputError("a detector needs a panel")
        for part, kind in ((self.panels, Panel), (self.groups, Group)):
            if not all(isinstance(one, kind) for one in part):
                raise InputError(f"PanelDetector.{kind.__name__.lower()}s must be {kind.__name__} objects")
        names: set[str] = set()
        for panel in self.panels:
            if panel.name in names:
                raise InputError(f"two panels are called {panel.name!r}")
            names.add(panel.name)
            if panel.group is not None and not 0 <= panel.group < len(self.groups):
                raise InputError(f"panel {panel.name!r} is in group number {panel.group} of {len(self.groups)}")
        for number, group in enumerate(self.groups):
            if group.parent is not None and not 0 <= group.parent < number:
                raise InputError(f"group {group.name!r} must come behind the group that it is in")
        if self.shape[0] * self.shape[1] > MOST_PIXELS:
            raise InputError(f"a stacked image of {self.shape[0]} x {self.shape[1]} pixels is too large (at most {MOST_PIXELS})")
        self._refuse_overlap()

    def __repr__(self) -> str:
        pixels = sum(panel.shape[0] * panel.shape[1] for panel in self.panels)
        return f"<PanelDetector: {len(self.panels)} panels, {len(self.groups)} groups, {pixels} pixels, stacked {self.shape}>"

    def __len__(self) -> int:
        return len(self.panels)

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Where each panel stands in the stacked image: slow start, slow end, fast start, fast end, ends excluded."""
        boxes: list[Box] = []
        below = 0
        for panel in self.panels:
            slow, fast = panel.place or (below, 0)
            boxes.append((slow, slow + panel.shape[0], fast, fast + panel.shape[1]))
            below = max(below, slow + panel.shape[0])
        return tuple(boxes)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the stacked image along slow, fast."""
        boxes = self.boxes
        return max(box[1] for box in boxes), max(box[3] for box in boxes)

    def _refuse_overlap(self) -> None:
        boxes = self.boxes
        if all(panel.place is None for panel in self.panels):
            return
        taken = np.zeros(self.shape, np.bool_)
        for panel, (slow, slow_end, fast, fast_end) in zip(self.panels, boxes, strict=True):
            if taken[slow:slow_end, fast:fast_end].any():
                raise InputError(f"panel {panel.name!r} lies upon another one in the stacked image")
            taken[slow:slow_end, fast:fast_end] = True

    def panel(self, name: str) -> Panel:
        """The panel of that name. Raises InputError where there is none."""
        return self.panels[self.index(name)]

    def index(self, name: str) -> int:
        """The place of the panel of that name. Raises InputError where there is none."""
        for number, panel in enumerate(self.panels):
            if panel.name == name:
                return number
        raise InputError(f"no panel is called {name!r}; the first one is {self.panels[0].name!r}")

    def members(self, group: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Places of the groups, itself ahead, and of the panels in the group of that name. Raises InputError for none, and for two."""
        named = [number for number, one in enumerate(self.groups) if one.name == group]
        if len(named) != 1:
            raise InputError(f"{len(named)} groups are called {group!r}" if named else f"no group is called {group!r}")
        inside = set(named)
        for number, one in enumerate(self.groups):
            if one.parent in inside:
                inside.add(number)
        return tuple(sorted(inside)), tuple(number for number, panel in enumerate(self.panels) if panel.group in inside)

    def moved(
        self,
        group: str | None = None,
        panel: str | None = None,
        translation_mm: Sequence[float] = (0.0, 0.0, 0.0),
        axis: Sequence[float] = (0.0, 0.0, 1.0),
        angle_deg: float = 0.0,
        pivot_mm: Sequence[float] | None = None,
    ) -> "PanelDetector":
        """A copy with a group, with all that is in it, or a panel moved, or, without either, with everything moved.

        It turns right-handedly by ``angle_deg`` about ``axis``, a laboratory vector of any length, through ``pivot_mm``: by default the
        origin of the group's or the panel's frame, or of the laboratory. Then it is shifted by ``translation_mm``. Raises InputError for
        a name of none or of several.
        """
        if group is not None and panel is not None:
            raise InputError("moved: give a group or a panel, not both")
        groups: Sequence[int] = range(len(self.groups))
        panels: Sequence[int] = range(len(self.panels))
        pivot: Vector = (0.0, 0.0, 0.0)
        if group is not None:
            groups, panels = self.members(group)
            pivot = self.groups[groups[0]].origin_mm
        elif panel is not None:
            groups, panels = (), (self.index(panel),)
            pivot = self.panels[panels[0]].origin_mm
        direction = unit(_three("axis", axis))
        if angle_deg and direction == (0.0, 0.0, 0.0):
            raise InputError("moved: the axis has no direction")
        pivot = pivot if pivot_mm is None else _three("pivot_mm", pivot_mm)
        motion = _Motion(direction, math.radians(angle_deg), pivot, _three("translation_mm", translation_mm))
        new_groups, new_panels = list(self.groups), list(self.panels)
        for number in groups:
            new_groups[number] = _moved(new_groups[number], motion)
        for number in panels:
            new_panels[number] = replace(_moved(new_panels[number], motion), cut_from=None)
        return replace(self, panels=tuple(new_panels), groups=tuple(new_groups))

    def map(self) -> list[dict[str, Any]]:
        """What is where in the stacked image, panel by panel, as JSON holds it."""
        rows = []
        for panel, (slow, slow_end, fast, fast_end) in zip(self.panels, self.boxes, strict=True):
            corner = panel.position_mm(0, 0)
            rows.append(
                {
                    "name": panel.name, "groups": self._path(panel), "slow": [slow, slow_end], "fast": [fast, fast_end],
                    "origin_mm": corner.tolist(), "fast_axis": list(panel.fast), "slow_axis": list(panel.slow),
                    "pixel_size_mm": panel.pixel_size_mm,
                }
            )  # fmt: skip
        return rows

    def _path(self, panel: Panel) -> list[str]:
        """The names of the groups that it is in, the outermost ahead."""
        names: list[str] = []
        number = panel.group
        while number is not None:
            names.insert(0, self.groups[number].name)
            number = self.groups[number].parent
        return names

    @staticmethod
    def cut(parameters: Parameters, boxes: Mapping[str, Box], compat: Compat = "spec") -> "PanelDetector":
        """The flat detector of ``parameters`` cut into panels.

        ``boxes``: by the panels' names their places in its image, slow start, slow end, fast start, fast end, ends excluded; the stacked
        image is laid out as the detector's own. What is rendered with the same ``compat`` has its pixels' bits. Raises InputError where
        the parameters place no detector, for a curved one, and for a box that is not inside it.
        """
        if parameters.detector.curved:
            raise InputError("Detector.curved (-curved_det): panels are planes")
        g = derive_geometry(parameters, compat)
        mask = parameters.detector.mask
        if mask is not None and mask.shape != (g.slow_pixels, g.fast_pixels):
            raise InputError(f"a mask of shape {mask.shape}, where the detector's (slow, fast) is {(g.slow_pixels, g.fast_pixels)}")
        panels = []
        for name, (slow, slow_end, fast, fast_end) in boxes.items():
            if not (0 <= slow < slow_end <= g.slow_pixels and 0 <= fast < fast_end <= g.fast_pixels):
                size = f"{g.slow_pixels} x {g.fast_pixels} pixels (slow, fast)"
                raise InputError(f"panel {name!r}: the box {(slow, slow_end, fast, fast_end)} is not inside the {size} of the detector")
            panels.append(
                Panel(
                    name, (slow_end - slow, fast_end - fast), 1000.0 * g.pixel_size,
                    (1000.0 * g.pix0[0], 1000.0 * g.pix0[1], 1000.0 * g.pix0[2]), g.fast, g.slow, (slow, fast),
                    None if mask is None else mask[slow:slow_end, fast:fast_end], place=(slow, fast), cut_from=g,
                )
            )  # fmt: skip
        return PanelDetector(tuple(panels))


def _three(name: str, values: Sequence[float]) -> Vector:
    try:
        x, y, z = (float(value) for value in values)
    except (TypeError, ValueError):
        raise InputError(f"moved: {name} must be 3 numbers, not {values!r}") from None
    if _not_finite(x, y, z):
        raise InputError(f"moved: {name} must be finite, not {values!r}")
    return x, y, z


def _moved(part: Any, motion: _Motion) -> Any:
    return replace(part, origin_mm=motion.point(part.origin_mm), fast=motion.vector(part.fast), slow=motion.vector(part.slow))
