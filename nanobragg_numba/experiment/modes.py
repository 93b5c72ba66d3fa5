"""What each compat mode keeps of the reference program: one row a mode, which the code asks instead of the mode's name."""

from collections.abc import Mapping
from dataclasses import dataclass

from nanobragg_numba.errors import InputError

from .parameters import Compat

COMMAND_DEFAULT: Compat = "c"
"""What the command takes without -compat; Python and torch take "spec"."""


@dataclass(frozen=True)
class Mode:
    """What a mode does; every field but ``spec`` is a fault of the reference that one of its open repairs ends."""

    spec: bool
    """The physics that the options promise; otherwise the reference's, with all quirks that no other field names."""
    carryover: bool
    """A step at phi = 0 keeps the lattice of the step before it (Q1)."""
    running_products: bool
    """The three -oversample_* factors multiply the running sum at every step (Q3); otherwise each step's contribution."""
    last_flag_counts: bool
    """-curved_det counts as the last word of a line, too."""
    last_thickness_is_none: bool
    """An option of the sensor's thickness without a value, at the end of the line, is no option; otherwise an error."""


MODES: Mapping[Compat, Mode] = {
    "c": Mode(spec=False, carryover=True, running_products=True, last_flag_counts=False, last_thickness_is_none=False),
    "c-fixed": Mode(spec=False, carryover=False, running_products=False, last_flag_counts=True, last_thickness_is_none=True),
    "spec": Mode(spec=True, carryover=False, running_products=False, last_flag_counts=True, last_thickness_is_none=False),
}


def mode_of(compat: Compat) -> Mode:
    """The row of that mode. Raises InputError for a name that is none."""
    mode = MODES.get(compat) if isinstance(compat, str) else None
    if mode is None:
        *names, last = MODES
        raise InputError(f"compat must be {', '.join(names)} or {last}, not {compat!r}")
    return mode
