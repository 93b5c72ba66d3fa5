"""Options about input files and the crystal that the reference does not have: taken off, by their whole word, before the line is read as in C."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.maths.c_numbers import atof, is_number

from .option_table import Option
from .word_values import read_number

GROUP = "structure factors"
COLUMNS, RESOLUTION, SOLVENT, SPECTRUM, CHANNELS = "-columns", "-resolution", "-solvent", "-spectrum", "-channels"
MOSAIC_WIDTH, N_CROSS = "-mosaic_width", "-N_cross"
OF_FACTORS = (COLUMNS, RESOLUTION, SOLVENT, CHANNELS)
ROWS = (
    Option((COLUMNS,), GROUP, "LABEL[,LABEL...]", "found by type", "columns of an -hkl file in MTZ or CIF format: F or I, with its sigma or without, or a Friedel pair, F(+),F(-)", exact=True),
    Option((RESOLUTION,), GROUP, "d (A)", "all that is listed", "resolution of structure factors from coordinates (-hkl model.pdb or .cif), which need it; of MTZ and CIF files what lies beyond is left out", exact=True),
    Option((SOLVENT,), GROUP, "none | k_sol,B_sol (e/A^3, A^2)", "0.35,46", "bulk solvent of structure factors from coordinates; small molecules have none by default", exact=True),
    Option((SPECTRUM,), "beam", "FILE", "none", "energy (eV, keV) or wavelength (A, nm) and weight in two columns, or HDF5 (NXbeam): one source a line, in place of divergence and dispersion", exact=True),
    Option((CHANNELS,), GROUP, "N", "1", "structure factors from coordinates at N wavelengths across the -spectrum or -sourcefile, each source with f' and f'' of its channel; by default all have those of -lambda", exact=True),
    Option((MOSAIC_WIDTH,), "crystal", "width[,width,width] (degrees)", "none", "standard deviation of Gaussian mosaicity, in place of -mosaic: one, or three about a, c* x a and c* of a still; -compat spec alone", exact=True),
    Option((N_CROSS,), "crystal", "Nab,Nac,Nbc", "0,0,0", "unit cells off the diagonal of the symmetric tensor of numbers of cells, for -gauss_xtal and -tophat_spots; -compat spec alone", exact=True),
)  # fmt: skip
_ROW_OF = {word: row for row in ROWS for word in row.words}


@dataclass(frozen=True)
class OwnInputOptions:
    """What these options ask for."""

    columns: str | None = None
    resolution: float | None = None
    solvent: bool | tuple[float, float] = True
    spectrum: str | None = None
    channels: int | None = None
    mosaic_width_deg: float | tuple[float, float, float] | None = None
    n_cells_off_diagonal: tuple[float, float, float] | None = None
    of_factors: tuple[str, ...] = ()
    """Those about -hkl on the line."""


def take_own_input_options(words: Sequence[str], compat: Compat) -> tuple[OwnInputOptions, list[str]]:
    """These options, the last of each, and the words that are left. Raises InputError for a missing or impossible value."""
    values: dict[str, str] = {}
    rest, at = [], 0
    while at < len(words):
        row = _ROW_OF.get(words[at])
        if row is None:
            rest.append(words[at])
            at += 1
            continue
        if at + 1 == len(words):
            raise InputError(f"{words[at]} needs a value: {row.arguments}")
        values[words[at]] = words[at + 1]
        at += 2
    of_factors = tuple(word for word in values if word in OF_FACTORS)
    resolution = _resolution(values[RESOLUTION], compat) if RESOLUTION in values else None
    channels = _channels(values[CHANNELS]) if CHANNELS in values else None
    solvent = _solvent(values.get(SOLVENT))
    width = _mosaic_width(values[MOSAIC_WIDTH], compat) if MOSAIC_WIDTH in values else None
    across = _cross(values[N_CROSS], compat) if N_CROSS in values else None
    return OwnInputOptions(values.get(COLUMNS), resolution, solvent, values.get(SPECTRUM), channels, width, across, of_factors), rest


def _require_spec(option: str, compat: Compat) -> None:
    if not mode_of(compat).spec:
        raise InputError(f"{option} has no meaning in -compat {compat}; use -compat spec")


def _cross(text: str, compat: Compat) -> tuple[float, float, float]:
    _require_spec(N_CROSS, compat)
    numbers = _numbers(text)
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise InputError(f"{N_CROSS} must be three numbers with commas, Nab,Nac,Nbc, not {text!r}")
    return numbers  # type: ignore[return-value]


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas, each read as any other value is; nan for what is none."""
    return tuple(atof(part) if is_number(part) else math.nan for part in text.split(","))


def _mosaic_width(text: str, compat: Compat) -> float | tuple[float, float, float]:
    _require_spec(MOSAIC_WIDTH, compat)
    widths = _numbers(text)
    if len(widths) not in (1, 3) or not all(math.isfinite(width) and width >= 0.0 for width in widths):
        raise InputError(f"{MOSAIC_WIDTH} must be one width or three, with commas, of 0 degrees or more, not {text!r}")
    return widths[0] if len(widths) == 1 else widths  # type: ignore[return-value]


def _channels(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0):
        raise InputError(f"{CHANNELS} must be a whole number above zero, of at most five digits, not {text!r}")
    return int(text)


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
    numbers = _numbers(text)
    if len(numbers) != 2 or not all(math.isfinite(number) and number >= 0.0 for number in numbers):
        raise InputError(f"{SOLVENT} must be none, or k_sol,B_sol, two numbers that are not negative, not {text!r}")
    return numbers  # type: ignore[return-value]
