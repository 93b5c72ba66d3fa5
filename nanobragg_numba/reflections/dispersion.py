"""f' and f'' of the elements at a wavelength, by the method of Cromer and Liberman (gemmi.cromer_liberman)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LIGHTEST, HEAVIEST = 3, 92
"""Atomic numbers that the tables have; hydrogen and helium have no dispersion to speak of."""
LOWEST_ENERGY_EV, HIGHEST_ENERGY_EV = 1000.0, 100000.0
"""Beyond, the method is not to be relied on."""


class Dispersion(NamedTuple):
    """The correction of a scattering factor, f0 + f' + i f'' (electrons)."""

    real: float
    imaginary: float


def dispersion(elements: Iterable[Any], wavelength_A: float | None, library: Any, remarks: list[str]) -> Mapping[str, Dispersion]:
    """By the element's name; zeros without a wavelength. ``elements``: gemmi's."""
    by_name = {element.name: element for element in elements}
    if wavelength_A is None:
        return dict.fromkeys(by_name, Dispersion(0.0, 0.0))
    energy = library.hc / wavelength_A
    if not LOWEST_ENERGY_EV <= energy <= HIGHEST_ENERGY_EV:
        remarks.append(f"f' and f'' are uncertain at {energy:.0f} eV, outside {LOWEST_ENERGY_EV:g} to {HIGHEST_ENERGY_EV:g}")
    unknown = sorted(name for name, element in by_name.items() if element.atomic_number > HEAVIEST)
    if unknown:
        remarks.append(f"f' and f'' of {', '.join(unknown)} are not tabulated, and are 0")
    return {
        name: Dispersion(*library.cromer_liberman(element.atomic_number, energy))
        if LIGHTEST <= element.atomic_number <= HEAVIEST
        else Dispersion(0.0, 0.0)
        for name, element in by_name.items()
    }
