"""From the words of a command line to parameters, by the reference's matching rules."""

import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import Mode, mode_of
from nanobragg_numba.experiment.parameters import Beam, Compat, Crystal, Detector, Parameters, Sampling, SourceList
from nanobragg_numba.files import fdump, mosflm_matrix, smv, text_columns
from nanobragg_numba.maths.c_numbers import atof, atoi, is_number

from .option_table import OPTIONS, Option

Settings = dict[str, Any]
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

    @property
    def usable(self) -> bool:
        """Whether there are structure factors and a lattice; without, the reference prints its usage."""
        crystal = self.parameters.crystal
        has_F = crystal.structure_factors is not None or crystal.default_F != 0.0
        has_cell = self.files.matrix is not None or (crystal.cell is not None and crystal.cell[0] != 0.0)
        return has_F and has_cell


@dataclass
class _Reading:
    """The state of a reading: settings so far, and which words were used as values."""

    words: Sequence[str]
    mode: Mode
    settings: Settings = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    def values(self, option: Option, at: int, count: int) -> list[str]:
        """The ``count`` words after position ``at``; InputError if the line ends before."""
        found = list(self.words[at + 1 : at + 1 + count])
        if len(found) < count:
            raise InputError(f"{self.words[at]} needs {count} value{'s' if count > 1 else ''}: {option.arguments}")
        self.used.update(range(at + 1, at + 1 + count))
        return found

    def number(self, at: int, text: str, whole: bool = False) -> float:
        """``text`` by atof or atoi, with a warning if that drops part of it."""
        if not is_number(text):
            self.warnings.append(f"{self.words[at]}: {text!r} is not a number and is read as {atof(text):g}, as the C program does")
        value = atoi(text) if whole else atof(text)
        if not math.isfinite(value):
            raise InputError(f"{self.words[at]}: {text!r} is not a finite number")
        return value


def _read_cell(reading: _Reading, option: Option, at: int) -> bool:
    # Zeros stand for what was not given; a second -cell keeps what it does not replace, as in C.
    cell = list(reading.settings.get("crystal.cell") or (0.0,) * 6)
    reading.values(option, at, 1)
    following = reading.words[at + 1 : at + 7]
    count = next((n for n, word in enumerate(following) if word.startswith("-")), len(following))
    for n, text in enumerate(following[:count]):
        reading.used.add(at + 1 + n)
        cell[n] = reading.number(at, text)
    if count == 0:
        reading.used.discard(at + 1)
    reading.settings["crystal.cell"] = tuple(cell)
    return count < 6


def _read_misset(reading: _Reading, option: Option, at: int) -> bool:
    word = reading.words[at]
    if reading.mode.spec and "-misset_seed" in word:
        return False
    if "rand" in reading.values(option, at, 1)[0]:
        reading.settings["crystal.misset_deg"] = "random"
        return True
    if "-misset_seed" in word and len(reading.words) <= at + 3:
        return False
    angles = reading.values(option, at, 3)
    # Under -misset_seed the words are read as angles too (Q8), and may be anything.
    read = atof if "-misset_seed" in word else lambda text: reading.number(at, text)
    reading.settings["crystal.misset_deg"] = tuple(read(text) for text in angles)
    if "-misset_seed" in word:
        reading.used.difference_update((at + 2, at + 3))
    return False


def _read_pivot(reading: _Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    for pivot in ("sample", "beam"):
        if pivot in text:
            reading.settings["detector.pivot"] = pivot
    if "sample" not in text and "beam" not in text:
        reading.warnings.append(f"{reading.words[at]}: {text!r} is neither beam nor sample and is ignored")
    return False


def _read_pix0(reading: _Reading, option: Option, at: int) -> bool:
    to_mm = 1.0 if "_mm" in reading.words[at] else 1000.0
    reading.settings["detector.convention"] = "custom"
    reading.settings["detector.pix0_mm"] = tuple(reading.number(at, text) * to_mm for text in reading.values(option, at, 3))
    return False


def _read_attenuation(reading: _Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    depth = 0.0 if "inf" in text else reading.number(at, text)
    reading.settings["detector.attenuation_depth_um"] = depth
    if depth == 0.0:
        reading.settings["detector.thickness_um"] = 0.0
    return False


def _read_energy(reading: _Reading, option: Option, at: int) -> bool:
    energy = reading.number(at, reading.values(option, at, 1)[0])
    if energy <= 0.0:
        raise InputError(f"{reading.words[at]} must be positive, in eV, not {energy:g}")
    reading.settings["beam.wavelength_A"] = 12398.42 / energy
    return False


def _read_flag_not_last(reading: _Reading, option: Option, at: int) -> bool:
    if at + 1 < len(reading.words) or reading.mode.last_flag_counts:
        reading.settings.update(option.also)
    else:
        reading.warnings.append(f"{reading.words[at]} as the last word is ignored, as the C program does; put it earlier")
    return False


def _read_carryover(reading: _Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    if text not in ("c-parity", "spec"):
        raise InputError(f"{reading.words[at]} must be c-parity or spec, not {text!r}")
    reading.settings["sampling.carryover"] = text == "c-parity"
    return True


SPECIAL = {
    "cell": _read_cell, "misset": _read_misset, "pivot": _read_pivot, "pix0": _read_pix0, "attenuation": _read_attenuation,
    "energy": _read_energy, "flag_not_last": _read_flag_not_last, "carryover": _read_carryover,
}  # fmt: skip


def _apply(reading: _Reading, option: Option, at: int) -> bool:
    """Let ``option`` take the word at ``at``; True if no further option may."""
    if option.sensor and at + 1 == len(reading.words) and reading.mode.last_thickness_is_none:
        warning = f"{reading.words[at]} as the last word is ignored, as the repaired C program does; it needs {option.arguments}"
        # Two rows match -detector_thicksteps.
        reading.warnings += [warning] if warning not in reading.warnings else []
        return False
    if option.kind in SPECIAL:
        return SPECIAL[option.kind](reading, option, at)
    if option.kind != "flag":
        targets = option.sets or ("",)
        texts = reading.values(option, at, 1 if option.same or not option.sets else len(targets))
        if option.same:
            texts = texts * len(targets)
        for target, text in zip(targets, texts, strict=True):
            value = text if option.kind == "text" else reading.number(at, text, whole=option.kind == "int")
            if target:
                reading.settings[target] = value
    reading.settings.update(option.also)
    return option.stop


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


def read_command_line(words: Sequence[str], compat: Compat = "spec") -> CommandLine:
    """Read the words of a command line (without the program's name) and the files they name.

    Raises InputError for a missing value or a file that cannot be used.
    """
    mask_file, image_file = _donor(words, "-mask"), _donor(words, "-img")
    headers = []
    reading = _Reading(words, mode_of(compat))
    for path, flag in ((mask_file, "-mask"), (image_file, "-img")):
        if path is not None:
            image = smv.read(path, flag)
            headers.append(image)
            reading.settings.update(_header_settings(image, flip_y=flag == "-mask"))
    unknown = []
    for at, word in enumerate(words):
        if not word.startswith("-"):
            continue
        known = False
        for option in OPTIONS:
            if option.matches(word):
                known = True
                if _apply(reading, option, at):
                    break
        if not known:
            unknown.append(at)
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
    ignored = tuple(words[at] for at in unknown if at not in reading.used and not is_number(words[at]))
    return CommandLine(
        Parameters(crystal, beam, detector, _build(Sampling, "sampling", settings)),
        _build(Outputs, "outputs", settings),
        files,
        tuple(headers),
        hkl_report,
        ignored,
        tuple(word for at, word in enumerate(words) if at not in reading.used and not word.startswith("-")),
        tuple(reading.warnings),
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
