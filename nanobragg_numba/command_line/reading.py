"""From the words of a command line to parameters, by the reference's matching rules."""

import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Axes, Beam, Compat, Crystal, Detector, Parameters, Sampling
from nanobragg_numba.fields.kept import Kept, fingerprint
from nanobragg_numba.files import mosflm_matrix
from nanobragg_numba.maths.c_numbers import is_number

from .detector_words import check_distances
from .doubtful_words import stray_words, unknown_in_python, unknown_option
from .input_files import (
    HeaderImage,
    Remark,
    Settings,
    donor_files,
    in_channels,
    naming,
    read_columns,
    read_donors,
    read_sources,
    read_spectrum,
)
from .own_input_options import take_own_input_options
from .structure_factor_files import dispersion_remarks, is_of_the_formats, read_list_or_dump, read_of_the_formats, require_use
from .whole_image.building import promised_background, with_whole_image
from .whole_image.options import WholeImageOptions, take_whole_image_options
from .word_readers import Reading, read_words


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
    stol_unit: Literal["stol", "4stol", "Q"] = "stol"
    stol_out: str = "output.stol"
    sources: str | None = None
    spectrum: str | None = None


@dataclass(frozen=True)
class CommandLine:
    """A command line, read: parameters, outputs, and what the program says about the words."""

    parameters: Parameters
    outputs: Outputs
    files: Files
    headers: tuple[HeaderImage, ...] = ()
    """Images read for their header, mask first."""
    hkl_report: tuple[str, ...] = ()
    """The reference's lines about reading structure factors."""
    found: tuple[str, ...] = ()
    """What was found in files that do not say it by themselves, in sentences."""
    ignored: tuple[str, ...] = ()
    """Words that look like options and match none."""
    stray: tuple[str, ...] = ()
    """A sentence for each run of words that are neither options nor values of any."""
    warnings: tuple[str, ...] = ()
    remarks: tuple[Remark, ...] = ()
    """What of the input files was not used, or not as it is meant."""
    words: tuple[str, ...] = ()
    """What was read."""
    header_settings: Mapping[str, Any] = field(default_factory=dict)
    """What the headers of images set, beneath the words."""
    whole_image: WholeImageOptions = field(default_factory=WholeImageOptions)
    """What is asked for beside the crystal's scattering."""
    taken_off: tuple[str, ...] = ()
    """The words that the reference does not have, with their values, which ``words`` lacks."""

    @property
    def usable(self) -> bool:
        """Whether there are structure factors and a lattice; without, the reference prints its usage."""
        crystal = self.parameters.crystal
        has_F = crystal.structure_factors is not None or crystal.default_F != 0.0
        has_cell = crystal.real_space_matrix is not None or self.files.matrix is not None
        has_cell = has_cell or (crystal.cell is not None and crystal.cell[0] != 0.0)
        return has_F and has_cell

    def doubts(self, own_options: Sequence[str] = ()) -> list[str]:
        """A sentence for each word that means nothing or is not read as it is written.

        An unknown option may be one of ``own_options`` misspelt.
        """
        return [*(unknown_option(word, own_options) for word in self.ignored), *self.stray, *self.warnings]


def build(cls: type, name: str, settings: Settings) -> Any:
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


def _matrix(path: str, as_c: bool) -> Any:
    """The matrix of a file. Raises InputError, naming the file, for one that no crystal has."""
    matrix = mosflm_matrix.read(path, flag="-mat", as_c=as_c)
    return naming(f"-mat {path}", lambda: Crystal(mosflm_matrix=matrix)).mosflm_matrix


def meant(line: CommandLine) -> Parameters:
    """What "spec" takes a line for that was read in "c": beam, detector and sampling; the crystal is as read.

    Raises InputError where "spec" refuses it.
    """
    reading = Reading(line.words, "spec", headers=dict(line.header_settings))
    read_words(reading)
    settings, read = reading.settings, line.parameters
    beam = replace(build(Beam, "beam", settings), sources=read.beam.sources)
    detector = replace(build(Detector, "detector", settings), mask=read.detector.mask)
    parameters = replace(
        read, beam=beam, detector=detector, sampling=build(Sampling, "sampling", settings), axes=build(Axes, "axes", settings)
    )
    check_distances(parameters, reading.given)
    return parameters


def _without(words: Sequence[str], rest: Sequence[str]) -> tuple[str, ...]:
    """Those of the words that are not left in ``rest``, whose order is theirs."""
    left = iter((*rest, None))
    following = next(left)
    taken = []
    for word in words:
        if word == following:
            following = next(left)
        else:
            taken.append(word)
    return tuple(taken)


def read_command_line(words: Sequence[str], compat: Compat = "spec", only_named: bool = False, kept: Kept | None = None) -> CommandLine:
    """Read the words of a command line (without the program's name) and the files they name.

    ``only_named``: leave alone a structure-factor dump that no option names. ``kept``: files that an earlier line named are not read
    again, nor its objects made again. Raises InputError for a missing value or a file that cannot be used.
    """
    beyond, rest = take_whole_image_options(words, compat)
    options, rest = take_own_input_options(rest, compat)
    taken_off, words = _without(words, rest), rest
    kept = kept or Kept(0)
    donors = kept.get("images", (compat, *donor_files(words)), lambda: read_donors(words, compat))
    reading = Reading(words, compat, headers=donors.settings)
    unknown = read_words(reading)
    settings = reading.settings

    def built(cls: type, name: str) -> Any:
        own = {key: value for key, value in settings.items() if key.startswith(f"{name}.")}
        return kept.get(name, fingerprint(tuple(own.items())), lambda: build(cls, name, own))

    files = built(Files, "files")
    beam, detector = built(Beam, "beam"), built(Detector, "detector")
    if donors.mask is not None:
        detector = replace(detector, mask=donors.mask)
    remarks = list(donors.remarks)
    default_F = settings.get("crystal.default_F", Crystal.default_F)
    matrix = None
    if files.matrix is not None:
        path, as_c = files.matrix, not mode_of(compat).spec
        matrix = kept.get("-mat", (path, as_c), lambda: _matrix(path, as_c))
    told = []
    if options.spectrum is not None:
        spectrum = options.spectrum
        sources, said = kept.get("-spectrum", (spectrum, frozenset(settings)), lambda: read_spectrum(spectrum, settings))
        beam = replace(beam, sources=sources)
        files = replace(files, spectrum=spectrum)
        told.append(said)
    if files.sources is not None:
        listed = files.sources
        sources, of_sources = kept.get("-sourcefile", (listed, compat), lambda: read_sources(listed, compat))
        remarks += of_sources
        beam = replace(beam, sources=sources)
    of_crystal = {**settings, "crystal.mosflm_matrix": matrix, "crystal.mosaic_width_deg": options.mosaic_width_deg}
    if options.n_cells_off_diagonal is not None:
        of_crystal["crystal.n_cells_off_diagonal"] = options.n_cells_off_diagonal
    hkl = files.hkl
    if hkl is not None and kept.get("the kind of -hkl", hkl, lambda: is_of_the_formats(hkl)):
        beam, channels = in_channels(beam, options.channels)
        bare, wavelength = build(Crystal, "crystal", of_crystal), beam.wavelength_A
        found = kept.get(
            "-hkl",
            (hkl, options, bare.cell, files.matrix, bare.default_F, wavelength, channels),
            lambda: read_of_the_formats(hkl, options, bare, wavelength, channels),
        )
        if matrix is None and (bare.cell is None or bare.cell[0] == 0.0):
            of_crystal["crystal.cell"] = found.cell
    else:
        reading.warnings += require_use(options, hkl, compat)
        dump, named = files.dump, "files.dump" in settings
        found = kept.get(
            "-hkl",
            (hkl, dump, named, only_named, default_F, compat),
            lambda: read_list_or_dump(hkl, dump, named, only_named, default_F, compat),
        )
    remarks += found.remarks
    crystal = build(Crystal, "crystal", {**of_crystal, "crystal.structure_factors": found.factors})
    if files.stol is not None and not mode_of(compat).spec:
        # Never used: any text is taken, as the reference does.
        read_columns(files.stol, 2, "-stol, -4stol or -Q", compat, [])
    told += [found.source] if found.source else []
    remarks += dispersion_remarks(found.wavelength_A, beam.sources)
    parameters = Parameters(crystal, beam, detector, built(Sampling, "sampling"), built(Axes, "axes"))
    outputs = built(Outputs, "outputs")
    parameters = with_whole_image(parameters, beyond, outputs.adc_offset, outputs.noise, remarks)
    if files.stol is not None and mode_of(compat).spec:
        parameters = promised_background(files.stol, files.stol_unit, parameters, remarks)
    if mode_of(compat).spec:
        check_distances(parameters, reading.given)
    ignored = tuple(words[at] for at in unknown if at not in reading.used and not is_number(words[at]))
    return CommandLine(
        parameters,
        outputs,
        files,
        tuple(donors.images),
        found.report,
        tuple(told),
        ignored,
        stray_words(words, reading.used, unknown),
        tuple(reading.warnings),
        tuple(remarks),
        tuple(words),
        donors.settings,
        beyond,
        taken_off,
    )


def words_of(command_line: str | Sequence[str], comments: bool = False) -> list[str]:
    """The words of a command line without the program's name, which may lead; a string is split as a shell does,
    with ``comments`` without what follows a #. Raises InputError for quotes that do not close."""
    try:
        words = shlex.split(command_line, comments=comments) if isinstance(command_line, str) else list(command_line)
    except ValueError as error:
        raise InputError(f"cannot be split into words: {str(error).lower()}") from None
    return words[1:] if words and not words[0].startswith("-") else words


def parameters_from_command_line(
    command_line: str | Sequence[str], compat: Compat = "spec", unknown: Literal["refuse", "ignore"] = "refuse"
) -> Parameters:
    """The parameters that a ``nanoBragg`` command line means, for use in Python.

    ``command_line`` is the line as a string (split as a shell does) or a list of words; the program's name may lead.
    No file is read that it does not name.
    ``unknown="ignore"`` passes over options that do not exist, words that belong to none, and, in "c", the part of a value that the C
    program does not read. Raises InputError, a ValueError, for such words otherwise, for bad values or files, and if there is no lattice or
    no structure factor; a UserWarning says what of a file was not used.
    """
    if unknown not in ("refuse", "ignore"):
        raise InputError(f"unknown must be refuse or ignore, not {unknown!r}")
    read = read_command_line(words_of(command_line), compat, only_named=True)
    if unknown == "refuse":
        for text in (*map(unknown_in_python, read.ignored), *read.stray, *read.warnings):
            raise InputError(f'{text} (unknown="ignore" passes over it)')
    if not read.usable:
        left = f" (-dump {read.files.dump} reads the list of an earlier run)" if os.path.exists(read.files.dump) else ""
        raise InputError(f"the command line gives no crystal: it needs -mat or -cell, and -hkl or -default_F{left}")
    for remark in read.remarks:
        warnings.warn(remark.text, UserWarning, stacklevel=2)
    return read.parameters
