"""The base command of a run and the words of its rows: taken apart, checked, and made to mean the same in any folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nanobragg_numba.command_line.doubtful_words import nearest_option
from nanobragg_numba.command_line.option_table import OPTIONS, Option
from nanobragg_numba.command_line.own_input_options import ROWS as OWN_INPUT_ROWS
from nanobragg_numba.command_line.own_input_options import SPECTRUM
from nanobragg_numba.command_line.reading import words_of
from nanobragg_numba.command_line.whole_image import options as whole_image
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import PRECISIONS, Compat, Precision
from nanobragg_numba.maths.c_numbers import is_number
from nanobragg_numba.panels.lines.expt_words import EXPT, expt_file

OWN_INPUTS = (*OWN_INPUT_ROWS, *whole_image.ROWS, EXPT)
"""Options about input files that the reference does not have, each with a value."""
OWN = ("-compat", "-precision", "-device", "-threads")
"""The command's own options that a base may hold, each with a value."""
REFUSED = {
    "outputs.float_file": "the run names its files itself", "outputs.int_file": "the run names its files itself",
    "outputs.pgm_file": "a run writes no grey images", "outputs.noise_file": "the run names its files itself",
    "outputs.printout": "a run prints no pixels", "outputs.printout_fast": "a run prints no pixels",
}  # fmt: skip
"""Fields that no row and no base may set, and why."""
NO_RUN = "is nothing that a run of many images can do"
PANELS = "is nothing that a run can do: the panels of a run are those of --expt FILE, or of a column expt"
OF_THE_COMMAND = {
    **dict.fromkeys(("-png", "-batch", "-compile", "-version", "--version", "-h", "-help", "--help"), NO_RUN),
    "-panels": PANELS, "-nxmx": "cannot be given: the run names its files itself; --format nexus makes NXmx files",
}  # fmt: skip
"""Options of the command that no run has, and why."""
OF_THE_BASE = {"outputs.noise": "whether there is noise decides the type of all pixels"}
"""Fields that no row may set, and why."""
OF_ROWS = {"-expt": "is for one image: give --expt FILE, or a column expt"}
"""Options that no base may hold, and why."""
WRITTEN = {"files.dump", "files.stol_out"}
"""Fields with names of files that need not be there."""
LONGER = {
    "-mosaic_domains": "-mosaic_dom", "-mosaic_spread": "-mosaic_spr", "-matrix": "-mat", "-sample_height": "-sample_heigh",
    "-xtal_height": "-xtal_heigh", "-height": "-heigh", "-sample_density": "-sample_den",
}  # fmt: skip
"""Columns by the whole word, of which the option table has the beginning."""
VALUES = {"cell": (1, 6), "misset": (3, 3), "pix0": (3, 3)}
"""Fewest and most values of special kinds; a kind that is not here takes one for each field that it sets, or one."""
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Base:
    """The words that all rows share, and what of them is this program's own."""

    words: tuple[str, ...] = ()
    """The reference program's, input files by absolute path."""
    compat: Compat = "spec"
    precision: Precision = "guarded"
    device: str = "cpu"
    threads: int | None = None
    """Threads of a worker; None: what is there is divided among the workers."""

    @property
    def own_words(self) -> tuple[str, ...]:
        """Our own words of an image's command line: what its bytes depend on."""
        return ("-compat", self.compat, *(() if self.precision == "guarded" else ("-precision", self.precision)))

    @property
    def noise(self) -> bool:
        """Whether images have photon noise."""
        return "-nonoise" not in self.words


def options_of(word: str, compat: Compat) -> list[Option]:
    """The rows of the option table that a word matches; none for a number."""
    # Taken off before the line is read as in C.
    if own := next((option for option in OWN_INPUTS if option.matches(word)), None):
        return [own]
    spec = mode_of(compat).spec
    return [option for option in OPTIONS if option.matches(word) and not (spec and option.unless and option.unless in word)]


def names_files(option: Option) -> bool:
    """Whether the option's value is the name of an input file."""
    if option is EXPT or option.words[0] in (SPECTRUM, *whole_image.INPUT_FILES):
        return True
    return option.kind == "text" and any(target.startswith("files.") for target in option.sets)


def read_base(base: str | Sequence[str], default: Compat, folder: str) -> Base:
    """The base command. Raises InputError for words that make no sense in one.

    ``default``: the mode where the words name none; ``folder``: what names of files start from.
    """
    own: dict[str, Any] = {"compat": default}
    rest: list[str] = []
    remaining = words_of(base)
    while remaining:
        word = remaining.pop(0)
        if word in ("-strict", "-quiet"):
            continue
        for table in (OF_THE_COMMAND, OF_ROWS):
            if word in table:
                raise InputError(f"--base: {word} {table[word]}")
        if word not in OWN:
            rest.append(word)
            continue
        if not remaining:
            raise InputError(f"--base: {word} needs a value")
        own[word[1:]] = _own_value(word, remaining.pop(0))
    known = Base(**own)
    mode_of(known.compat)
    return Base(**{**own, "words": tuple(absolute_files(rest, known.compat, folder, "--base"))})


def _own_value(word: str, value: str) -> Any:
    if word == "-threads":
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):
            raise InputError(f"--base: -threads must be a whole number above zero, not {value!r}")
        return int(value)
    if word == "-precision" and value not in PRECISIONS:
        raise InputError(f"--base: -precision must be one of {', '.join(PRECISIONS)}, not {value!r}")
    if word == "-device":
        gpu_index(value, "-device")
    return value


def absolute_files(words: Sequence[str], compat: Compat, folder: str, where: str) -> list[str]:
    """The words with input files named by absolute path. Raises InputError, naming ``where``, for an option that no run can have."""
    made = list(words)
    for at, word in enumerate(words):
        if not word.startswith("-"):
            continue
        if word in whole_image.OF_RESPONSE:
            raise InputError(f"{where}: {word} cannot be given: a run keeps photons, and nanoBragg -batch reads them out")
        for option in options_of(word, compat):
            for target in option.sets:
                if target in REFUSED:
                    raise InputError(f"{where}: {word} cannot be given: {REFUSED[target]}")
            if names_files(option) and at + 1 < len(words):
                made[at + 1] = os.path.normpath(os.path.join(folder, words[at + 1]))
            if any(target in REFUSED for target in option.also) and option.kind == "flag":
                raise InputError(f"{where}: {word} cannot be given: a run prints no pixels")
            if option.stop:
                break
    return made


def input_files(words: Sequence[str], compat: Compat, written: bool = True) -> list[str]:
    """The files that the words name; but for ``written``, without those that the command may write."""
    found = []
    for word, value in pairwise(words):
        if not word.startswith("-"):
            continue
        options = [option for option in options_of(word, compat) if names_files(option)]
        if any(written or not WRITTEN.issuperset(option.sets or (SPECTRUM,)) for option in options):
            found.append(expt_file(value) if EXPT in options else value)
    return found


def column_option(column: str, compat: Compat, where: str) -> tuple[str, Option]:
    """The word and the row of the option table that a column's name stands for. Raises InputError, naming ``where``, if none does."""
    word = column if column.startswith("-") else f"-{column}"
    whole = "-pix0_vector" if word == "-pix0_vector_mm" else LONGER.get(word, word)
    found = next((option for option in (*OWN_INPUTS, *OPTIONS) if whole in option.words), None)
    if found is None:
        if word in (*OWN, "-strict", "-quiet"):
            raise InputError(f"{where}, column {column!r}: {word} is for all images, and belongs to --base")
        if word in OF_THE_COMMAND:
            raise InputError(f"{where}, column {column!r}: {word} {OF_THE_COMMAND[word]}")
        near = nearest_option(word)
        raise InputError(f"{where}, column {column!r}: no option of that name" + (f" (the nearest is {near})" if near else ""))
    targets: tuple[str, ...] = (*found.sets, *found.also)
    for table in (REFUSED, OF_THE_BASE):
        reason = next((table[target] for target in targets if target in table), None)
        if reason is not None:
            raise InputError(f"{where}, column {column!r}: {word} cannot be given in a row: {reason}")
    return word, found


def cell_words(word: str, option: Option, cell: str, where: str) -> list[str]:
    """The words of one cell; none where it is empty. Raises InputError, naming ``where``, for another number of values than it takes."""
    text = cell.strip()
    if not text:
        return []
    if option.kind in ("flag", "flag_not_last"):
        if text.lower() not in TRUE + FALSE:
            raise InputError(f"{where}: {word} takes no value: the cell must be 1 (given) or 0 (not given), not {cell!r}")
        return [word] if text.lower() in TRUE else []
    if option in OWN_INPUTS and "," in option.arguments:
        # One word, where others take several.
        return [word, ",".join(text.replace(",", " ").split())]
    if option.kind == "text" or option in OWN_INPUTS:
        return [word, text]
    values = text.split()
    least, most = VALUES.get(option.kind) or (1 if option.same else max(len(option.sets), 1),) * 2
    if not least <= len(values) <= most and not (option.kind == "misset" and values == ["random"]):
        raise InputError(f"{where}: {word} needs {option.arguments}, not {cell!r}")
    option_word = next((value for value in values if value.startswith("-") and not is_number(value)), None)
    if option_word is not None:
        raise InputError(f"{where}: {option_word!r} is no value for {word}")
    return [word, *values]
