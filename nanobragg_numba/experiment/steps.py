"""How many steps, of what size: the reference's defaults for phi, divergence, dispersion and sensor layers, and what "spec" makes of them.

"spec" keeps signs, takes a quotient that is whole but for rounding as whole, makes as many steps as are asked for, centres divergence on
the beam, and refuses numbers that contradict one another.
"""

import math
from dataclasses import dataclass
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.constants import RTD

from .modes import mode_of
from .parameters import Compat, Sampling

MOST_STEPS = 10**8
WHOLE = 1e-9
"""Relative difference that rounding may leave between numbers which are meant to be equal."""


@dataclass(frozen=True)
class Steps:
    """A range cut into steps; angles in radians, lengths in metres, dispersion as a fraction."""

    range: float
    """From the first step to behind the last for phi, from the first to the last otherwise."""
    step: float
    """From one step to the next."""
    count: int
    """Number of steps, at least 1."""


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


def whole_steps(extent: Any, step: Any, flag: str) -> int:
    """Steps of size ``step`` that cover ``extent``, at least one; what is whole within 1e-9 is whole."""
    quotient = float(extent) / float(step)
    count = _ceil(quotient, flag)
    nearest = round(quotient)
    count = max(nearest if abs(quotient - nearest) <= WHOLE * max(1.0, abs(nearest)) else count, 1)
    _counted(flag, count)
    return count


def _counted(flag: str, count: int | None) -> None:
    if count is None or 1 <= count <= MOST_STEPS:
        return
    raise InputError(
        f"{flag} must be 1 or more, not {count}" if count < 1 else f"{flag}: {count} steps are too many (at most {MOST_STEPS})"
    )


def _agree(x: float, y: float) -> bool:
    return abs(x - y) <= WHOLE * max(abs(x), abs(y))


def centred_steps(flags: tuple[str, str, str], extent: float | None, step: float | None, count: int | None) -> Steps:
    """The steps of "spec" over a full range centred on zero, the middle of the first at -range/2 of what is returned.

    A range and a count: the first and the last step are the range apart. A range and a step size: the range is cut into pieces
    of that size, and each step is the middle of one. A range alone: its two ends. A step size alone: two steps that far apart.
    ``flags``: of range, step and count. Raises InputError for numbers that are negative or contradict one another.
    """
    range_flag, step_flag, count_flag = flags
    if extent is not None and extent < 0.0:
        raise InputError(f"{range_flag} must be zero or more, not negative")
    if step is not None and step <= 0.0:
        raise InputError(f"{step_flag} must be positive")
    _counted(count_flag, count)
    if step is not None and extent is not None and count is not None:
        if not (_agree(extent, step * (count - 1)) or _agree(extent, step * count)):
            raise InputError(f"{range_flag}, {step_flag} and {count_flag} contradict one another: leave one of them out")
    elif count is None and step is None:
        count = 2 if extent else 1
    elif count is None:
        count = 2 if extent is None else whole_steps(extent, step, step_flag)
    assert count is not None
    if count == 1 or extent == 0.0 or (extent is None and step is None):
        return Steps(0.0, 0.0, 1)
    if step is None:
        assert extent is not None
        return Steps(extent, extent / (count - 1), count)
    return Steps(step * (count - 1), step, count)


def layer_steps(thickness: float, count: int | None) -> Steps:
    """The layers of "spec": ``thickness`` (metres) cut into ``count`` of equal thickness, by default two."""
    _counted("-detector_thicksteps", count)
    if thickness < 0.0:
        raise InputError(f"-detector_thick must be zero or more, not {thickness * 1e6:g} um")
    if thickness == 0.0:
        return Steps(0.0, 0.0, 1)
    layers = 2 if count is None else count
    return Steps(thickness, thickness / layers, layers)


def phi_steps(sampling: Sampling, compat: Compat = "c") -> Steps:
    """The phi sweep in radians; its rules differ from the others': the last angle stops short of the range."""
    return _phi_steps_as_asked(sampling) if mode_of(compat).spec else _phi_steps_as_in_c(sampling)


def _phi_steps_as_asked(sampling: Sampling) -> Steps:
    """phi + i osc/steps with the sign of osc. Number of steps alone: over one degree; range alone: two steps; step size alone: two."""
    osc, step = (None if angle is None else angle / RTD for angle in (sampling.osc_deg, sampling.phistep_deg))
    n = sampling.phisteps
    _counted("-phisteps", n)
    if step is not None and step == 0.0:
        raise InputError("-phistep must not be zero")
    if osc is not None and step is not None:
        if osc * step < 0.0:
            raise InputError("-osc and -phistep have opposite signs: which way is the crystal to turn?")
        if n is not None and not _agree(osc, n * step):
            raise InputError(f"-osc, -phistep and -phisteps contradict one another: {n} steps of that size are another range")
        return Steps(osc, step, n if n is not None else whole_steps(osc, step, "-phistep"))
    if step is not None:
        n = 2 if n is None else n
        return Steps(n * step, step, n)
    if osc is not None or n is not None:
        osc = 1.0 / RTD if osc is None else osc
        n = 2 if n is None else n
        return Steps(osc, osc / n, n)
    return Steps(0.0, 0.0, 1)


def _phi_steps_as_in_c(sampling: Sampling) -> Steps:
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
