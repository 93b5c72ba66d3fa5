"""The options that the reference does not have, taken off the command line before it is read as the reference reads it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nanobragg_numba.command_line.option_table import Option
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import COMMAND_DEFAULT, MODES
from nanobragg_numba.experiment.parameters import PRECISIONS, Compat, Precision
from nanobragg_numba.maths.c_numbers import shown
from nanobragg_numba.panels.lines.expt_words import EXPT

GROUP = "this program"
ROWS = (
    Option(("-compat",), GROUP, " | ".join(MODES), COMMAND_DEFAULT, "c: the reference's output, quirks and all; c-fixed: the same with the reference's three open repairs; spec: the physics that the options promise", exact=True),
    Option(("-threads",), GROUP, "N", "all cores", "threads to compute with; the result does not depend on it", exact=True),
    Option(("-precision",), GROUP, "guarded | exact | double | mixed | single", "guarded", "guarded: vectorised, each pixel's rounding proven; exact: step by step as in C; double: not proven; mixed: for previews, sines in single precision; single: on a GPU h, k, l as well", exact=True),
    Option(("-device",), GROUP, "cpu | cuda | cuda:i", "cpu", "cuda: compute on the first GPU, or on number i, counted from 0; the result, but for -precision mixed and single, does not depend on it, and what is not on the GPU runs on the CPU and says so", exact=True),
    Option(("-batch",), GROUP, "FILE | -", "none", "run the command lines in FILE (- is standard input), one a line, in this one process; other options here go before those of every line", exact=True),
    Option(("-compile",), GROUP, "host | PROCESSOR", "none", "compile all kernels ahead and stop: for this processor (host), or for one that LLVM knows by that name", exact=True),
    Option(("-strict",), GROUP, "", "off", "unknown options, words that belong to none, values that C reads in part and values without a meaning are errors", exact=True),
    Option(("-quiet",), GROUP, "", "off", "no remarks on standard error, but errors", exact=True),
    Option(("-png",), GROUP, "FILE", "none", "write a picture of the image, logarithmic grey scale", exact=True),
    Option(("-panels",), GROUP, "FILE", "none", "the detector's panels from a DIALS list (.expt), a CrystFEL geometry (.geom) or an NXmx file (.nxs, .h5), with the beam and the spindle of its frame; all panels go into one stacked -floatfile, beside it their map, the same name with .json", exact=True),
    EXPT,
    Option(("-nxmx",), GROUP, "FILE", "none", "write the photons as an NXmx file, a module for each panel", exact=True),
    Option(("-version", "--version"), GROUP, "", "", "print the version and stop", exact=True),
    Option(("-h", "--help", "-help"), GROUP, "", "", "print this help and stop", exact=True),
)  # fmt: skip

SISTER_ROWS = tuple(row for row in ROWS if {"-threads", "-strict", "-quiet", "-version", "-help"} & {*row.words})
"""Those that noisify and nonBragg have too."""
OTHER_PICTURES = (".jpg", ".jpeg", ".jp2", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".ps", ".eps", ".pdf", ".svg", ".pgm", ".ppm")
OWN_WORDS = tuple(word for row in ROWS for word in row.words)


@dataclass
class OwnOptions:
    """What the options of this program ask for."""

    compat: Compat = COMMAND_DEFAULT
    threads: int | None = None
    precision: Precision = "guarded"
    device: str = "cpu"
    strict: bool = False
    quiet: bool = False
    png: str | None = None
    panels: str | None = None
    expt: str | None = None
    nxmx: str | None = None
    batch: str | None = None
    compile: str | None = None
    words: tuple[str, ...] = ()
    """All words but -batch and its value, for the lines of a batch."""
    action: Literal["run", "help", "version"] = "run"


def take_own_options(words: Sequence[str], rows: Sequence[Option] = ROWS) -> tuple[OwnOptions, list[str]]:
    """Our options, those of ``rows``, and the words that are left. Raises InputError for a missing or impossible value."""
    own, rest = OwnOptions(), []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        row = next((row for row in rows if row.matches(word)), None)
        if row is None:
            rest.append(word)
            continue
        value = ""
        if row.arguments:
            if not remaining:
                raise InputError(f"{word} needs a value: {row.arguments}")
            value = remaining.pop(0)
        if word == "-compat":
            modes = {str(mode): mode for mode in MODES}
            if value not in modes:
                raise InputError(f"-compat must be one of {', '.join(modes)}, not {value!r}")
            own.compat = modes[value]
        elif word == "-threads":
            # More digits are beyond any machine, and Python refuses thousands of them.
            if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) > 0):
                raise InputError(f"-threads must be a whole number above zero, of at most nine digits, not {shown(value)}")
            own.threads = int(value)
        elif word == "-precision":
            known = {str(precision): precision for precision in PRECISIONS}
            if value not in known:
                raise InputError(f"-precision must be one of {', '.join(known)}, not {value!r}")
            own.precision = known[value]
        elif word == "-device":
            gpu_index(value, "-device")
            own.device = value
        elif word == "-png":
            if os.path.splitext(value)[1].lower() in OTHER_PICTURES:
                raise InputError(f"-png {value}: the picture is written as PNG; give it a name that ends in .png")
            own.png = value
        elif word == "-panels":
            own.panels = value
        elif word == "-expt":
            own.expt = value
        elif word == "-nxmx":
            if os.path.splitext(value)[1].lower() not in (".nxs", ".h5"):
                raise InputError(f"-nxmx {value}: give it a name that ends in .nxs or .h5, by which readers know it")
            own.nxmx = value
        elif word == "-batch":
            own.batch = value
        elif word == "-compile":
            own.compile = value
        elif word == "-strict":
            own.strict = True
        elif word == "-quiet":
            own.quiet = True
        else:
            own.action = "version" if "-version" in row.words else "help"
    if own.panels is not None and own.expt is not None:
        raise InputError("-panels and -expt both say where the panels are: leave one of them out")
    if own.batch is not None:
        at = max(i for i, word in enumerate(words) if word == "-batch")
        own.words = (*words[:at], *words[at + 2 :])
        if "-batch" in own.words:
            raise InputError("-batch is given twice")
    return own, rest


def refuse_panels(own: OwnOptions) -> None:
    """Raise InputError where the detector comes from a file, which only the command that makes an image reads."""
    for word, value in (("-panels", own.panels), ("-expt", own.expt), ("-nxmx", own.nxmx)):
        if value is not None:
            raise InputError(f"{word} is of the command nanoBragg alone")
