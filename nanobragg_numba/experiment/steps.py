"""How many steps, of what size: the reference's defaults for phi, divergence, dispersion and sensor layers."""

import math
from dataclasses import dataclass

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.constants import RTD

from .modes import mode_of
from .parameters import Compat, Sampling

MOST_STEPS = 10**8


@dataclass(frozen=True)
class Steps:
    """A range cut into steps; angles in radians, lengths in metres, dispersion as a fraction."""

    range: float
    step: float
    count: int


def _given(value: float | None, unset: float = -1.0) -> float:
    return unset if value is None else value


def _ceil(value: float, flag: str) -> int:
    if not abs(value) < 2**31:
        raise InputError(f"{flag}: {value:g} steps are too many (at most {MOST_STEPS})")
    return math.ceil(value)


def even_steps(flag: str, extent: float, step: float, count: int | None, default_range: float = 1.0, ends_included: bool = True) -> Steps:
    """Steps over ``extent`` (set by ``flag``), of size ``step``, ``count`` of them: negative or None where not given.

    ``default_range`` is taken when only the count is known. ``ends_included``: a range alone becomes two steps of
    the whole range; otherwise (sensor layers) two of half of it. Without a positive range there is one step.
    """
    n = count if count is not None else -1
    if n <= 0:
        if extent < 0.0:
            extent, step, n = (0.0, 0.0, 1) if step <= 0.0 else (step, step, 2)
        elif step <= 0.0:
            n = 2
            step = extent if ends_included else extent / n
        else:
            n = _ceil(extent / step, flag)
    elif extent < 0.0:
        extent, step, n = (default_range, default_range / n, n) if step <= 0.0 else (step, step, 2)
    elif step <= 0.0:
        n = max(n, 2)
        step = extent / (n - 1)
    if extent <= 0.0 or step <= 0.0 or n <= 0:
        return Steps(0.0, 0.0, 1)
    if n > MOST_STEPS:
        raise InputError(f"{flag}: {n} steps are too many (at most {MOST_STEPS})")
    return Steps(extent, step, n)


def phi_steps(sampling: Sampling) -> Steps:
    """The phi sweep in radians; its rules differ from ``even_steps``: the last angle stops short of the range."""
    osc = _given(None if sampling.osc_deg is None else sampling.osc_deg / RTD)
    step = _given(None if sampling.phistep_deg is None else sampling.phistep_deg / RTD)
    n = _given(sampling.phisteps)
    if n < 0:
        if osc < 0.0:
            osc, step, n = (0.0, 0.0, 1) if step <= 0.0 else (step, step, 2)
        elif step <= 0.0:
            step, n = osc / 2.0, 2
        else:
            n = _ceil(osc / step, "-phistep")
    else:
        n = max(n, 1)
        if osc < 0.0:
            if step <= 0.0:
                osc = 1.0 / RTD
                step = osc / n
            else:
                osc, n = step, 2
        elif step < 0.0:
            step = osc / n
    if n > MOST_STEPS:
        raise InputError(f"-phisteps: {n} steps are too many (at most {MOST_STEPS})")
    return Steps(osc, step, int(n))


def mosaic_steps(spread_deg: float | None, domains: int | None) -> tuple[float, int, tuple[str, ...]]:
    """Mosaic spread (radians), number of domains, and the reference's warnings."""
    spread = _given(None if spread_deg is None else spread_deg / RTD)
    n = domains if domains is not None else -1
    if n <= 0:
        if spread < 0.0:
            return 0.0, 1, ()
        if spread == 0.0:
            return spread, 1, ()
        return spread, 10, ("WARNING: finite mosaicity with only one domain! upping to 10 mosaic domains",)
    if spread < 0.0:
        return 0.0, 1, ("WARNING: no mosaic spread specified.  setting mosaic_domains = 1",)
    if spread == 0.0:
        return spread, 1, ("WARNING: zero mosaic spread specified.  setting mosaic_domains = 1",)
    return spread, n, ()


def phi_angles(steps: Steps, start: float) -> list[float]:
    """The angle of each phi step (radians)."""
    return [start + steps.step * tic for tic in range(steps.count)]


def carries_over(sampling: Sampling, compat: Compat) -> bool:
    """Whether a step at phi = 0 takes the rotation of the step before it (Q1)."""
    return sampling.carryover if sampling.carryover is not None else mode_of(compat).carryover


def effective_angles(angles: list[float]) -> tuple[list[float], list[float]]:
    """The angles whose rotation each step really uses in the reference (Q1), and those of the run's first sweep.

    The reference rotates the cell only at angles other than 0 and never turns it back, so a step at 0 uses the
    last other angle before it, cyclically; in the first sweep of a run, before any other angle, it uses none.
    """
    last = next((angle for angle in reversed(angles) if angle != 0.0), 0.0)
    sweeps = []
    for carried in (last, 0.0):
        sweep = []
        for angle in angles:
            if angle != 0.0:
                carried = angle
            sweep.append(carried)
        sweeps.append(sweep)
    return sweeps[0], sweeps[1]
