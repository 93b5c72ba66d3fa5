"""How a joint fit goes, and what it tells on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..kinds import DEFAULT
from ..restraints import Restraint

LEAST_EXPLAINED = 0.3
"""Of the strong pixels; see ``explained.explained_share``."""
START_ERROR = 0.003
"""Relative error of a start that the first stage is made for: 0.17 degrees, 0.3 %."""
LEAST_PARTIALITY = 0.02
"""Of spots that are looked at."""
BORDER = (4, 3, 2)
"""Pixels about a predicted spot: in the first stage, in those between, in the last."""


@dataclass(frozen=True)
class Settings:
    """How a fit goes."""

    refine: tuple[str, ...] = DEFAULT
    per_shot: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Names of the detector's groups that ``group_shifts_mm`` and ``group_tilts_deg`` move; none: the outermost that are side by side."""
    space_group: Any = "P 1"
    """Constrains the cell, and makes structure factors equal."""
    resolution: float | None = None
    """Finest spacing (A); None: the detector's corner."""
    background: str = "plane"
    """"none", "constant" or "plane", a box."""
    restraints: Mapping[str, Restraint] = field(default_factory=dict)
    method: str = "trust"
    steps: int = 50
    """At most, in each stage and round of weights."""
    most_spots: int = 300
    """A shot; the strongest by structure factor and partiality are taken."""
    start_error: float = START_ERROR
    """Relative; 0: one stage, all spots at once."""
    least_explained: float = LEAST_EXPLAINED
    """0: starts and stages are not judged."""


@dataclass(frozen=True)
class Step:
    """What ``progress`` is told."""

    stage: int
    stages: int
    resolution: float
    number: int
    target: float
    explained: float
    """As ``Fit.explained``."""
