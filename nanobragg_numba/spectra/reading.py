"""A spectrum from a file: wavelengths and their weights."""

import re
from typing import NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import SourceList
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.maths.c_numbers import is_number, shown

from .units import in_metres, named_unit, require_positive, unit_by_range

HDF5 = b"\x89HDF\r\n\x1a\n"
BETWEEN = re.compile(r"[\s,;]+")


class Spectrum(NamedTuple):
    """The beam's colours."""

    wavelengths_m: np.ndarray
    """(n,)"""
    weights: np.ndarray
    """(n,): relative, none negative."""
    source: str
    """What was read, in words."""


def read(path: str, flag: str) -> Spectrum:
    """The spectrum in a text file of two columns, or in an HDF5 file.

    The first column is energy or wavelength, the second its weight; lines before the numbers, or after #, may name the unit. Colours of
    weight 0 are left out. Raises InputError, naming flag and file, for anything else.
    """
    content = read_bytes(path, flag)
    where = f"{flag} {path}"
    if content.startswith(HDF5):
        from .nexus import read as read_nexus

        values, weights, unit, place = read_nexus(path, where)
        require_positive(values, weights, (f", {place}[{at}]" for at in range(len(values))), where)
        kind = f"{place} in {unit}"
    else:
        values, weights, lines, words = _columns(content.decode("latin-1"), where)
        require_positive(values, weights, (f", line {line}" for line in lines), where)
        named = named_unit(words, f"{where}: before the numbers")
        unit = named or unit_by_range(values, where)
        kind = f"in {unit}" + ("" if named else ", by the size of the numbers")
    kept = weights > 0.0
    wavelengths = in_metres(values[kept], unit)
    mean = 1e10 * float((wavelengths * weights[kept]).sum() / weights[kept].sum())
    source = f"{len(wavelengths)} colours ({kind}), {1e10 * wavelengths.min():g} to {1e10 * wavelengths.max():g} A, {mean:g} A in the mean"
    return Spectrum(wavelengths, weights[kept], source)


def sources_of(path: str, flag: str) -> tuple[SourceList, str]:
    """One source along the beam for each colour, and what was read, in words. Raises InputError as ``read``."""
    spectrum = read(path, flag)
    along_the_beam = np.full((len(spectrum.weights), 3), np.nan)
    return SourceList(along_the_beam, spectrum.weights, spectrum.wavelengths_m), spectrum.source


def _columns(text: str, where: str) -> tuple[np.ndarray, np.ndarray, list[int], str]:
    """Both columns, the line of each row, and all words that are no numbers."""
    rows: list[list[float]] = []
    lines, words = [], []
    for number, line in enumerate(re.split("\r\n|\r|\n", text), 1):
        line, _, comment = line.partition("#")
        words.append(comment)
        parts = [part for part in BETWEEN.split(line) if part]
        if not parts:
            continue
        if not rows and not is_number(parts[0]):
            words.append(line)
            continue
        if len(parts) != 2:
            raise InputError(f"{where}, line {number}: {len(parts)} columns, and a spectrum has two: energy or wavelength, weight")
        wrong = next((part for part in parts if not is_number(part)), None)
        if wrong is not None:
            raise InputError(f"{where}, line {number}: {shown(wrong)} is not a number")
        rows.append([float(part) for part in parts])
        lines.append(number)
    if not rows:
        raise InputError(f"{where}: no numbers in the file")
    values, weights = np.array(rows).T
    return values, weights, lines, " ".join(words)
