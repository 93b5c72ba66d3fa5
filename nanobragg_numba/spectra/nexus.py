"""The spectrum of an NXbeam: incident_wavelength or incident_energy, and their weights beside them."""

from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .units import named_unit, unit_by_range

NAMES = {
    "incident_wavelength": ("incident_wavelength_weights", "incident_wavelength_weight"),
    "incident_energy": ("incident_energy_weights", "incident_energy_weight"),
}  # fmt: skip


def read(path: str, where: str) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Values, weights, unit, and the place in the file. Raises InputError, naming ``where``, if there is not one spectrum."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{where}: reading it needs h5py: pip install 'nanobragg_numba[formats]'") from None
    try:
        with h5py.File(path, "r") as file:
            found = _spectra(file)
            if len(found) != 1:
                names = ", ".join(place for place, _, _, _ in found) or "none"
                raise InputError(f"{where}: it must hold one spectrum, {' or '.join(NAMES)} with its weights, and holds {names}")
            place, values, weights, units = found[0]
    except OSError as error:
        raise InputError(f"{where}: the HDF5 file is damaged or cut short ({error})") from None
    if values.ndim != 1 or values.shape != weights.shape:
        raise InputError(f"{where}, {place}: one spectrum is needed, and values have the shape {values.shape}, weights {weights.shape}")
    unit = named_unit(units, f"{where}, {place}: its units") if units else unit_by_range(values, f"{where}, {place}")
    if unit is None or (unit in ("eV", "keV")) != ("energy" in place):
        raise InputError(f"{where}, {place}: {units!r} is no unit of it")
    return values, weights, unit, place


def _spectra(file: Any) -> list[tuple[str, np.ndarray, np.ndarray, str]]:
    """Place, values, weights and units of each spectrum in the file."""
    found = []

    def visit(place: str, one: Any) -> None:
        group, _, name = place.rpartition("/")
        for beside in NAMES.get(name, ()):
            if hasattr(one, "shape") and f"{group}/{beside}" in file:
                units = one.attrs.get("units", "")
                text = units.decode() if isinstance(units, bytes) else str(units)
                found.append(
                    (f"/{place}", np.squeeze(one[()]).astype(float), np.squeeze(file[f"{group}/{beside}"][()]).astype(float), text)
                )
                return

    file.visititems(visit)
    return found
