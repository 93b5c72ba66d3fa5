"""Options about -hkl that the reference does not have: taken off, by their whole word, before the line is read as in C."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat

from .option_table import Option
from .word_values import read_number

GROUP = "structure factors"
COLUMNS, RESOLUTION, SOLVENT = "-columns", "-resolution", "-solvent"
ROWS = (
    Option((COLUMNS,), GROUP, "LABEL[,LABEL...]", "found by type", "columns of an -hkl file in MTZ or CIF format: F or I, with its sigma or without, or a Friedel pair, F(+),F(-)", exact=True),
    Option((RESOLUTION,), GROUP, "d (A)", "all that is listed", "resolution of structure factors from coordinates (-hkl model.pdb or .cif), which need it; of MTZ and CIF files what lies beyond is left out", exact=True),
    Option((SOLVENT,), GROUP, "none | k_sol,B_sol (e/A^3, A^2)", "0.35,46", "bulk solvent of structure factors from coordinates; small molecules have none by default", exact=True),
)  # fmt: skip


@dataclass(frozen=True)
class ReflectionOptions:
    """What these options ask for."""

    columns: str | None = None
    resolution: float | None = None
    solvent: bool | tuple[float, float] = True
    given: tuple[str, ...] = ()
    """The options on the line."""


def take_reflection_options(words: Sequence[str], compat: Compat) -> tuple[ReflectionOptions, list[str]]:
    """These options, the last of each, and the words that are left. Raises InputError for a missing or impossible value."""
    values: dict[str, str] = {}
    rest, at = [], 0
    while at < len(words):
        row = next((row for row in ROWS if row.matches(words[at])), None)
        if row is None:
            rest.append(words[at])
            at += 1
            continue
        if at + 1 == len(words):
            raise InputError(f"{words[at]} needs a value: {row.arguments}")
        values[words[at]] = words[at + 1]
        at += 2
    resolution = _resolution(values[RESOLUTION], compat) if RESOLUTION in values else None
    return ReflectionOptions(values.get(COLUMNS), resolution, _solvent(values.get(SOLVENT)), tuple(values)), rest


def _resolution(text: str, compat: Compat) -> float:
    value, warning = read_number(RESOLUTION, text, False, compat)
    if warning or not (math.isfinite(value) and value > 0.0):
        raise InputError(f"{RESOLUTION} must be a positive number (A), not {text!r}")
    return value


def _solvent(text: str | None) -> bool | tuple[float, float]:
    if text is None:
        return True
    if text == "none":
        return False
    try:
        k_sol, b_sol = map(float, text.split(","))
    except ValueError:
        k_sol = b_sol = math.nan
    if not (math.isfinite(k_sol) and math.isfinite(b_sol) and k_sol >= 0.0 and b_sol >= 0.0):
        raise InputError(f"{SOLVENT} must be none, or k_sol,B_sol, two numbers that are not negative, not {text!r}")
    return k_sol, b_sol
