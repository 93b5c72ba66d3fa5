"""Energies and wavelengths: in which unit numbers are, and what they are in metres."""

import re
from collections.abc import Iterable

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.constants import ELECTRONVOLT_ANGSTROM

UNITS = {
    "ev": "eV",
    "kev": "keV",
    "a": "A",
    "å": "A",
    "ang": "A",
    "angstrom": "A",
    "angstroms": "A",
    "nm": "nm",
    "m": "m",
    "metre": "m",
    "meter": "m",
}
WAVELENGTHS = {"A": 1e10, "nm": 1e9, "m": 1.0}
"""How many of the unit make a metre."""
ENERGIES = {"eV": 1.0, "keV": 1e3}
"""Electronvolts in the unit."""
LONGEST_A, LEAST_EV = 5.0, 500.0
"""Without a unit, numbers up to the one are wavelengths in A, from the other on energies in eV; between, they may be keV."""


def named_unit(words: str, where: str) -> str | None:
    """The unit that is named in a header or an attribute. Raises InputError, naming ``where``, if several are."""
    found = {UNITS[word] for word in re.findall(r"[a-zå]+", words.lower()) if word in UNITS}
    if len(found) > 1:
        raise InputError(f"{where}: it names several units, {' and '.join(sorted(found))}; of energy or wavelength there must be one")
    return found.pop() if found else None


def unit_by_range(values: np.ndarray, where: str) -> str:
    """The unit that the size of the numbers leaves. Raises InputError, naming ``where``, if there is none or more than one."""
    low, high = float(values.min()), float(values.max())
    if low > 0.0 and high <= LONGEST_A:
        return "A"
    if low >= LEAST_EV:
        return "eV"
    raise InputError(
        f"{where}: {low:g} to {high:g} may be energies or wavelengths; name the unit (eV, keV, A, nm) in a line before the numbers"
    )


def in_metres(values: np.ndarray, unit: str) -> np.ndarray:
    """Wavelengths in metres."""
    if unit in WAVELENGTHS:
        # Divided, as 1e-10 is no exact number.
        return values / WAVELENGTHS[unit]
    wavelengths: np.ndarray = ELECTRONVOLT_ANGSTROM / (values * ENERGIES[unit]) / WAVELENGTHS["A"]
    return wavelengths


def require_positive(values: np.ndarray, weights: np.ndarray, places: Iterable[str], where: str) -> None:
    """Raise InputError, naming the place, for energies or wavelengths that are not positive, and weights that are negative."""
    for value, weight, place in zip(values.tolist(), weights.tolist(), places, strict=True):
        if not (np.isfinite(value) and value > 0.0):
            raise InputError(f"{where}{place}: {value:g} is no energy or wavelength")
        if not (np.isfinite(weight) and weight >= 0.0):
            raise InputError(f"{where}{place}: the weight {weight:g} must be 0 or more")
    if not (weights > 0.0).any():
        raise InputError(f"{where}: all weights are 0")
