"""From the words of a command line to parameters, by the reference's matching rules."""

import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Beam, Compat, Crystal, Detector, Parameters, Sampling, SourceList
from nanobragg_numba.files import fdump, mosflm_matrix, smv, text_columns
from nanobragg_numba.maths.c_numbers import is_number

from .detector_words import Settings, check_distances
from .option_table import OPTIONS
from .word_readers import Reading, read_words

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outputs:
    """What the command writes, and how the integer images are scaled."""

    float_file: str = "floatimage.bin"
    int_file: str = "intimage.img"
    pgm_file: str = "image.pgm"
    noise_file: str = "noiseimage.img"
    write_pgm: bool = True
    noise: bool = True
    noise_seed: int | None = None
    int_scale: float = 0.0
    pgm_scale: float = 0.0
    adc_offset: float = 40.0
    progress: bool = True
    printout: bool = False
    printout_fast: int = -1
    printout_slow: int = -1


@dataclass(frozen=True)
class Files:
    """The input files named on the command line."""

    matrix: str | None = None
    hkl: str | None = None
    dump: str = "Fdump.bin"
    image: str | None = None
    mask: str | None = None
    stol: str | None = None
    stol_out: str = "output.stol"
    sources: str | None = None


@dataclass(frozen=True)
class CommandLine:
    """A command line, read: parameters, outputs, and what the program says about the words."""

    parameters: Parameters
    outputs: Outputs
    files: Files
    headers: tuple[smv.SmvImage, ...] = ()
    """Images read for their header, mask first."""
    hkl_report: tuple[str, ...] = ()
    """The reference's lines about reading structure factors."""
    ignored: tuple[str, ...] = ()
    """Words that look like options and match none."""
    stray: tuple[str, ...] = ()
    """Words that are neither options nor values of any."""
    warnings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    header_settings: Mapping[str, Any] = field(default_factory=dict)
    """What the headers of images set, before the words."""

    @property
    def usable(self) -> bool:
        """Whether there are structure factors and a lattice; without, the reference prints its usage."""
        crystal = self.parameters.crystal
        has_F = crystal.structure_factors is not None or crystal.default_F != 0.0
        has_cell = self.files.matrix is not None or (crystal.cell is not None and crystal.cell[0] != 0.0)
        return has_F and has_cell


def _donor(words: Sequence[str], option: str) -> str | None:
    """The last file that ``option`` names; a word at the very end names none."""
    return next((words[i + 1] for i in range(len(words) - 2, -1, -1) if words[i].startswith("-") and option in words[i]), None)


def _header_settings(image: smv.SmvImage, flip_y: bool) -> Settings:
    """The settings that an image header gives; ``flip_y`` counts BEAM_CENTER_Y from the far edge."""
    got: Settings = {"detector.pixels.0": image.width, "detector.pixels.1": image.height}
    for keyword, target in (
        ("PIXEL_SIZE", "detector.pixel_size_mm"), ("DISTANCE", "detector.distance_mm"), ("CLOSE_DISTANCE", "detector.close_distance_mm"),
        ("WAVELENGTH", "beam.wavelength_A"), ("BEAM_CENTER_X", "detector.beam_center_mm.0"), ("ORGX", "detector.org_pixels.0"),
        ("ORGY", "detector.org_pixels.1"), ("PHI", "sampling.phi_deg"), ("OSC_RANGE", "sampling.osc_deg"),
    ):  # fmt: skip
        value = image.value_of(keyword)
        if not math.isnan(value):
            got[target] = value
    beam_y = image.value_of("BEAM_CENTER_Y")
    if not math.isnan(beam_y):
        pixel_size = got.get("detector.pixel_size_mm", Detector.pixel_size_mm) / 1000.0
        got["detector.beam_center_mm.1"] = beam_y
        got["detector.beam_center_y_m"] = pixel_size * image.height - beam_y / 1000.0 if flip_y else None
    return got


def _build(cls: type, name: str, settings: Settings) -> Any:
    """An object of the dataclass ``cls`` from the settings under ``name``."""
    given: dict[str, Any] = {}
    defaults: dict[str, Any] = {f.name: f.default for f in fields(cls)}
    for key, value in settings.items():
        owner, attribute, *index = key.split(".")
        if owner != name:
            continue
        if index:
            sequence = list(given.get(attribute) or defaults[attribute] or (-1, -1, -1, -1))
            sequence[int(index[0])] = value
            value = tuple(sequence)
        given[attribute] = value
    return cls(**given)


def _read_structure_factors(files: Files, default_F: float) -> tuple[Any, tuple[str, ...]]:
    if files.hkl is not None:
        # Loads numba, which the help does not need.
        from nanobragg_numba.files import hkl

        return hkl.read(files.hkl, default_F, flag="-hkl")
    if os.path.exists(files.dump):
        return fdump.read(files.dump, flag="-dump"), (f"reading Fs from {files.dump}",)
    return None, ()


def _naming(where: str, make: Callable[[], _T]) -> _T:
    """What ``make`` makes; if that is refused, the sentence names the file too."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _read_sources(path: str) -> SourceList:
    columns = text_columns.read(path, 5, flag="-sourcefile")
    return _naming(f"-sourcefile {path}", lambda: SourceList(np.stack(columns[:3], axis=1), columns[3], columns[4]))


def meant(line: CommandLine) -> Parameters:
    """What "spec" takes a line for that was read in "c": beam, detector and sampling; the crystal is as read.

    Raises InputError where "spec" refuses it.
    """
    reading = Reading(line.words, "spec", dict(line.header_settings))
    read_words(reading)
    settings, read = reading.settings, line.parameters
    beam = replace(_build(Beam, "beam", settings), sources=read.beam.sources)
    detector = replace(_build(Detector, "detector", settings), mask=read.detector.mask)
    parameters = Parameters(read.crystal, beam, detector, _build(Sampling, "sampling", settings), _build(Axes, "axes", settings))
    check_distances(parameters, reading.given)
    return parameters


def read_command_line(words: Sequence[str], compat: Compat = "spec") -> CommandLine:
    """Read the words of a command line (without the program's name) and the files they name.

    Raises InputError for a missing value or a file that cannot be used.
    """
    mask_file, image_file = _donor(words, "-mask"), _donor(words, "-img")
    headers = []
    reading = Reading(words, compat)
    for path, flag in ((mask_file, "-mask"), (image_file, "-img")):
        if path is not None:
            image = smv.read(path, flag)
            headers.append(image)
            reading.settings.update(_header_settings(image, flip_y=flag == "-mask"))
    header_settings = dict(reading.settings)
    unknown = read_words(reading)
    settings = reading.settings
    files = _build(Files, "files", settings)
    crystal = _build(Crystal, "crystal", settings)
    beam = _build(Beam, "beam", settings)
    detector = _build(Detector, "detector", settings)
    if mask_file is not None:
        detector = replace(detector, mask=headers[0].pixels())
    if files.matrix is not None:
        matrix = mosflm_matrix.read(files.matrix, flag="-mat")
        crystal = _naming(f"-mat {files.matrix}", lambda: replace(crystal, mosflm_matrix=matrix))
    table, hkl_report = _read_structure_factors(files, crystal.default_F)
    crystal = replace(crystal, structure_factors=table)
    if files.stol is not None:
        text_columns.read(files.stol, 2, flag="-stol, -4stol or -Q")
    if files.sources is not None:
        beam = replace(beam, sources=_read_sources(files.sources))
    parameters = Parameters(crystal, beam, detector, _build(Sampling, "sampling", settings), _build(Axes, "axes", settings))
    if compat == "spec":
        check_distances(parameters, reading.given)
    ignored = tuple(words[at] for at in unknown if at not in reading.used and not is_number(words[at]))
    return CommandLine(
        parameters,
        _build(Outputs, "outputs", settings),
        files,
        tuple(headers),
        hkl_report,
        ignored,
        tuple(word for at, word in enumerate(words) if at not in reading.used and not word.startswith("-")),
        tuple(reading.warnings),
        tuple(words),
        header_settings,
    )


def words_of(command_line: str | Sequence[str], comments: bool = False) -> list[str]:
    """The words of a command line without the program's name, which may lead; a string is split as a shell does,
    with ``comments`` without what follows a #. Raises InputError for quotes that do not close."""
    try:
        words = shlex.split(command_line, comments=comments) if isinstance(command_line, str) else list(command_line)
    except ValueError as error:
        raise InputError(f"cannot be split into words: {str(error).lower()}") from None
    return words[1:] if words and not words[0].startswith("-") else words


def parameters_from_command_line(command_line: str | Sequence[str], compat: Compat = "spec") -> Parameters:
    """The parameters that a ``nanoBragg`` command line means, for use in Python.

    ``command_line`` is the line as a string (split as a shell does) or a list of words; the program's name may lead.
    Raises InputError for bad values or files, and if there is no lattice or no structure factor.
    """
    read = read_command_line(words_of(command_line), compat)
    if not read.usable:
        raise InputError("the command line gives no crystal: it needs -mat or -cell, and -hkl or -default_F")
    return read.parameters


def nearest_option(word: str) -> str:
    """The known option most like ``word``."""
    import difflib

    known = [own for option in OPTIONS for own in option.words]
    return max(known, key=lambda own: difflib.SequenceMatcher(None, own, word).ratio())
