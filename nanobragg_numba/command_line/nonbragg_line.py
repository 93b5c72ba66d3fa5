"""From the words of a nonBragg command line, and the files they name, to parameters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Beam, Detector, Parameters, Sampling
from nanobragg_numba.files import text_columns
from nanobragg_numba.maths.c_numbers import is_number

from .doubtful_words import stray_words, unknown_option
from .input_files import HeaderImage, Remark, Settings, naming, read_donor_as_c, read_sources
from .nonbragg_options import NONBRAGG_OPTIONS
from .reading import Files, Outputs, build
from .word_readers import Reading, read_words

StolUnit = Literal["stol", "4stol", "Q"]
PER_METRE = {"stol": 1.0e10, "4stol": 1e10 / 4, "Q": 1e10 / math.pi / 4}
"""What the first column is multiplied with to give sin(theta) / lambda in 1/m."""
NO_NORMAL = (0.0, 0.0, 0.0)
"""Makes the detector's normal fast x slow."""


@dataclass(frozen=True)
class Sample:
    """What scatters, and how the image of -img is read."""

    size_mm: tuple[float, float, float] = (0.1, 0.1, 0.1)
    """Along the beam and across it (mm)."""
    density_g_cm3: float = 1.0
    molecules: float = 0.0
    """Not zero, it gives the density."""
    molecular_weight: float = 18.0
    """g/mol."""
    stol_unit: StolUnit = "stol"
    source_distance_mm: float = 10000.0
    plots_F: bool = False
    gain: float = 1.0
    ignore: tuple[int, ...] = ()


@dataclass(frozen=True)
class NonBraggLine:
    """A command line, read."""

    parameters: Parameters
    sample: Sample
    outputs: Outputs
    files: Files
    table: tuple[np.ndarray, np.ndarray] | None
    """sin(theta) / lambda (1/m) and F, line by line; nan where F is missing. None where no file is named."""
    image: HeaderImage | None
    """Of -img."""
    doubts: tuple[str, ...]
    """A sentence for each word that means nothing."""
    warnings: tuple[str, ...]
    """A sentence for each value, and each line of a file, that C reads in part."""


def read_nonbragg_line(words: Sequence[str], own_options: Sequence[str] = ()) -> NonBraggLine:
    """Read the words, without the program's name, and the files. Raises InputError for a missing value and a file that cannot be used."""
    remarks: list[Remark] = []
    image: HeaderImage | None = None
    headers: Settings = {}
    path = next((words[i + 1] for i in range(len(words) - 2, -1, -1) if words[i].startswith("-") and "-img" in words[i]), None)
    if path is not None:
        headers, pixels = read_donor_as_c(path, "-img", [], flips=True)
        image = HeaderImage(path, pixels)
    reading = Reading(words, "c", headers=headers, options=NONBRAGG_OPTIONS)
    unknown = read_words(reading)
    settings = reading.settings
    files, sample = build(Files, "files", settings), build(Sample, "sample", settings)
    beam = build(Beam, "beam", settings)
    if files.sources is not None:
        sources, of_sources = read_sources(files.sources, "c")
        remarks += of_sources
        beam = replace(beam, sources=sources)
    detector = replace(build(Detector, "detector", settings), convention="custom", normal_axis=NO_NORMAL)
    ignored = [words[at] for at in unknown if at not in reading.used and not is_number(words[at])]
    doubts = [unknown_option(word, own_options, NONBRAGG_OPTIONS) for word in ignored]
    doubts += stray_words(words, reading.used, unknown)
    table, said = _table(files.stol, sample)
    warnings = (*reading.warnings, *(text.text.split("; -compat")[0] for text in remarks), *said)
    parameters = Parameters(beam=beam, detector=detector, sampling=build(Sampling, "sampling", settings))
    return NonBraggLine(parameters, sample, build(Outputs, "outputs", settings), files, table, image, tuple(doubts), warnings)


def _table(path: str | None, sample: Sample) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[str]]:
    if path is None:
        return None, []
    flag = f"-{sample.stol_unit}"
    (s, F), remark = text_columns.read_as_c(path, 2, flag)
    bad = np.flatnonzero(~np.isfinite(s) | np.isinf(F))
    if bad.size:
        raise InputError(f"{flag} {path}: row {bad[0] + 1} of its numbers is not finite")
    naming(f"{flag} {path}", lambda: _require_F(F))
    return (s * PER_METRE[sample.stol_unit], F), [] if remark is None else [remark.split("; -compat")[0]]


def _require_F(F: np.ndarray) -> None:
    if np.isnan(F).all():
        raise InputError("no structure factors, the second number of a line, in the file")
