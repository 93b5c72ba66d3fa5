"""f' and f'' of the elements at a wavelength, by the method of Cromer and Liberman (gemmi.cromer_liberman)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

LIGHTEST, HEAVIEST = 3, 92
"""Atomic numbers that the tables have; hydrogen and helium have no dispersion to speak of."""
LOWEST_ENERGY_EV, HIGHEST_ENERGY_EV = 1000.0, 100000.0
"""Beyond, the method is not to be relied on."""


def dispersion(elements: Iterable[Any], wavelengths_A: Sequence[float], library: Any, remarks: list[str]) -> Mapping[str, np.ndarray]:
    """f' + i f'' (electrons) at each wavelength, (wavelengths,), by the element's name, of those that have any. ``elements``: gemmi's."""
    by_name = {element.name: element for element in elements}
    energies = [library.hc / wavelength for wavelength in wavelengths_A]
    odd = next((energy for energy in energies if not LOWEST_ENERGY_EV <= energy <= HIGHEST_ENERGY_EV), None)
    if odd is not None:
        remarks.append(f"f' and f'' are uncertain at {odd:.0f} eV, outside {LOWEST_ENERGY_EV:g} to {HIGHEST_ENERGY_EV:g}")
    unknown = sorted(name for name, element in by_name.items() if element.atomic_number > HEAVIEST)
    if unknown and energies:
        remarks.append(f"f' and f'' of {', '.join(unknown)} are not tabulated, and are 0")
    tabulated = {name: one.atomic_number for name, one in by_name.items() if energies and LIGHTEST <= one.atomic_number <= HEAVIEST}
    return {
        name: np.array([complex(*library.cromer_liberman(number, energy)) for energy in energies]) for name, number in tabulated.items()
    }
