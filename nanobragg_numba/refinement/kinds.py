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
    "mosaic_spread_deg": Kind(("",), "degrees", True, _of(0.5), "logarithm"),
    "spectrum": Kind((), "share of the photons, a source each", True, _of(1.0), "share"),
    "distance_mm": Kind(("",), "mm; along the beam", True, lambda value: 0.003 * value),
    "beam_mm": Kind(("fast", "slow"), "mm; where the beam meets the detector, from the first pixel's corner", True, _of(0.2)),
    "tilts_deg": Kind(("fast", "slow", "normal"), "degrees; turns of the detector about its own axes at the beam", True, _of(0.3)),
}
"""In the order of the table that is printed."""
DETECTOR = ("distance_mm", "beam_mm", "tilts_deg")
DEFAULT = ("orientation", "scale", "cell", "n_cells")
