"""The parameters that can be refined: parts, units, how far a start may be off, and the form in which each is searched for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Form = Literal["itself", "logarithm", "share"]
"""A logarithm keeps a number positive at every step. A share is the exponential of its number over the sum of its shot's: only
differences of the numbers count, and their mean stays that of the start."""


@dataclass(frozen=True)
class Kind:
    """A parameter that can be refined."""

    parts: tuple[str, ...]
    """Empty where they follow from the starting model."""
    unit: str
    shared: bool
    """Whether all shots have it together, unless asked otherwise."""
    prior: Callable[[np.ndarray], np.ndarray]
    """How far a start may be off, from the value itself; holds what early stages cannot tell."""
    form: Form = "itself"


def _of(sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda value: np.full(len(value), sigma)


def _cell_prior(value: np.ndarray) -> np.ndarray:
    return 0.005 * value


KINDS: dict[str, Kind] = {
    "orientation": Kind(("x", "y", "z"), "degrees; a rotation of the start about laboratory x, y, z", False, _of(0.3)),
    "scale": Kind(("",), "relative to the fluence given", False, _of(1.0), "logarithm"),
    "cell": Kind((), "A, degrees; the free ones of the crystal system", True, _cell_prior),
    "n_cells": Kind(("a", "b", "c"), "cells", True, _of(0.3), "logarithm"),
    "n_cells_off_diagonal": Kind(("ab", "ac", "bc"), "cells", True, _of(2.0)),
    "mosaic_spread_deg": Kind(("",), "degrees", True, _of(0.5), "logarithm"),
    "mosaic_width_deg": Kind((), "degrees; one, or about a, c* x a and c*", True, _of(0.5), "logarithm"),
    "spectrum": Kind((), "share of the photons, a source each", True, _of(1.0), "share"),
    "structure_factors": Kind((), "electrons", True, lambda value: 0.5 * np.abs(value) + 1e-3),
    "distance_mm": Kind(("",), "mm; along the beam", True, lambda value: 0.003 * value),
    "beam_mm": Kind(("fast", "slow"), "mm; where the beam meets the detector, from the first pixel's corner", True, _of(0.2)),
    "tilts_deg": Kind(("fast", "slow", "normal"), "degrees; turns of the detector about its own axes at the beam", True, _of(0.3)),
    "group_shifts_mm": Kind((), "mm along fast, slow and normal of a group's first panel", True, _of(0.2)),
    "group_tilts_deg": Kind((), "degrees about these axes through the middle of the group", True, _of(0.2)),
    "panel_shifts_mm": Kind((), "mm along a panel's fast, slow and normal", True, _of(0.1)),
    "panel_tilts_deg": Kind((), "degrees about these axes through the middle of the panel", True, _of(0.1)),
}
"""In the order of the table that is printed."""
BODIES = {"panel": ("panel_shifts_mm", "panel_tilts_deg"), "group": ("group_shifts_mm", "group_tilts_deg")}
"""The kinds that move rigid parts of a detector of several panels, the inner parts first: shifts and tilts."""
ALIASES = {"groups": BODIES["group"], "panels": BODIES["panel"]}
"""What stands for several kinds."""
DETECTOR = ("distance_mm", "beam_mm", "tilts_deg")
DEFAULT = ("orientation", "scale", "cell", "n_cells")
