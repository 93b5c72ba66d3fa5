"""The rigid parts of a detector that a fit may move: panels, groups of them, and the whole, one inside the other.

A body is turned about its pivot and then shifted, along its own axes; what is inside it goes with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.panels.detector import PanelDetector

Tensor = torch.Tensor


@dataclass(frozen=True)
class Body:
    """Panels that move as one."""

    name: str
    panels: tuple[int, ...]
    axes: np.ndarray
    """(3, 3): unit vectors fast, slow, normal of its first panel, row by row."""
    pivot: np.ndarray
    """(3,): the middle of its panels (mm)."""


def rotation(vector: Tensor) -> Tensor:
    """(3, 3): the rotation about ``vector`` (3,) by its length in degrees."""
    x, y, z = torch.deg2rad(vector)
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3))


@dataclass(frozen=True)
class Motion:
    """A turn about a pivot, then a shift."""

    turn: Tensor
    """(3, 3)"""
    pivot: Tensor
    """(3,): mm."""
    shift: Tensor
    """(3,): mm, in the laboratory."""

    def point(self, place: Tensor) -> Tensor:
        """(3,): where a place (mm) comes to."""
        return self.turn @ (place - self.pivot) + self.pivot + self.shift

    def vectors(self, rows: Tensor) -> Tensor:
        """(n, 3): where directions, row by row, come to."""
        return rows @ self.turn.T


def motion_of(body: Body, shifts_mm: Tensor | None, tilts_deg: Tensor | None) -> Motion:
    """The motion of a body by shifts along its axes and turns about them."""
    axes = torch.from_numpy(body.axes)
    zero = torch.zeros(3, dtype=torch.float64)
    turn = torch.eye(3, dtype=torch.float64) if tilts_deg is None else rotation(tilts_deg @ axes)
    return Motion(turn, torch.from_numpy(body.pivot), zero if shifts_mm is None else shifts_mm @ axes)


def _body(name: str, panels: Sequence[int], detector: PanelDetector) -> Body:
    first = detector.panels[panels[0]]
    fast, slow = (np.array(axis) / np.linalg.norm(axis) for axis in (first.fast, first.slow))
    middles = [detector.panels[n].position_mm(*(0.5 * np.array(detector.panels[n].shape))) for n in panels]
    return Body(name, tuple(panels), np.array([fast, slow, np.cross(fast, slow)]), np.mean(middles, axis=0))


def panel_bodies(detector: PanelDetector) -> list[Body]:
    """Each panel by itself."""
    return [_body(panel.name, (number,), detector) for number, panel in enumerate(detector.panels)]


def group_bodies(detector: PanelDetector, names: Sequence[str] = ()) -> list[Body]:
    """The groups of these names, or, without names, of the outermost level at which there are several side by side.

    Raises InputError where there are none, or one is inside another.
    """
    chosen = list(names)
    if not chosen:
        level = [n for n, group in enumerate(detector.groups) if group.parent is None]
        while len(level) == 1:
            level = [n for n, group in enumerate(detector.groups) if group.parent == level[0]]
        chosen = [detector.groups[n].name for n in level]
        if not chosen:
            raise InputError("the detector has no groups side by side: refine its panels, or the whole (distance_mm, beam_mm, tilts_deg)")
    owner: dict[int, str] = {}
    bodies = []
    for name in chosen:
        panels = detector.members(name)[1]
        for panel in panels:
            if panel in owner:
                raise InputError(f"groups {owner[panel]} and {name} share the panel {detector.panels[panel].name}: refine one of them")
            owner[panel] = name
        if panels:
            bodies.append(_body(name, panels, detector))
    if not bodies:
        raise InputError(f"no panel is in the groups {', '.join(chosen)}")
    return bodies


def shift_mode(direction: np.ndarray, bodies: Sequence[Body]) -> np.ndarray:
    """(bodies, 6): shifts (mm) and tilts (degrees) of bodies that shift all of them by 1 mm along ``direction``."""
    return np.array([[*(body.axes @ direction), 0.0, 0.0, 0.0] for body in bodies])


def tilt_mode(axis: np.ndarray, pivot: np.ndarray, bodies: Sequence[Body]) -> np.ndarray:
    """(bodies, 6): shifts (mm) and tilts (degrees) of bodies that turn all of them by 1 degree about ``axis`` through ``pivot``."""
    return np.array([[*(body.axes @ np.cross(np.radians(axis), body.pivot - pivot)), *(body.axes @ axis)] for body in bodies])
