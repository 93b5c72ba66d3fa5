"""The formats of the command's images: in "spec" those that the suffixes name, in "c" the C program's."""

import os
from collections.abc import Callable, Iterable

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.files.output import Chunk

from .remarks import tell

FORMATS = {".cbf": "miniCBF", ".edf": "EDF", ".h5": "NXmx", ".nxs": "NXmx", ".npy": "NumPy's array"}
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")
NOT_WRITTEN = (*PICTURES, ".mccd", ".mar3450", ".gz", ".bz2", ".hdf5", ".mtz")
"""Suffixes that other programs take for a format, in which nothing is written."""
PLAIN = {"-floatfile": "4-byte floats", "-intfile": "SMV", "-noisefile": "SMV", "-pgmfile": "PGM"}


def suffix_of(path: str) -> str:
    """The suffix in small letters, with its point."""
    return os.path.splitext(path)[1].lower()


def format_of(path: str, compat: Compat) -> str | None:
    """The suffix, if it names the format in which the image is to be written; None for the C program's format."""
    suffix = suffix_of(path)
    return suffix if mode_of(compat).spec and suffix in FORMATS else None


def check_formats(line: CommandLine, x: Experiment) -> None:
    """See that each image can be written in the format that its suffix names; in "c" remark on suffixes that name another than C's.

    Raises InputError in "spec": asked before a long computation.
    """
    outputs = line.outputs
    named = {"-floatfile": outputs.float_file, "-intfile": outputs.int_file}
    named |= {"-noisefile": outputs.noise_file} if outputs.noise else {}
    named |= {"-pgmfile": outputs.pgm_file} if outputs.write_pgm else {}
    for flag, path in named.items():
        check_format(flag, path, x.compat)
        suffix = format_of(path, x.compat)
        if suffix == ".cbf":
            from nanobragg_numba.files.cbf.header import comments

            _naming(flag, path, lambda: comments(x, 0))
        elif suffix in (".h5", ".nxs"):
            from nanobragg_numba.files.nexus.contents import setup_of
            from nanobragg_numba.files.nexus.hdf5 import library

            _naming(flag, path, lambda: (library("writing it"), setup_of(x)))


def check_format(flag: str, path: str, compat: Compat) -> None:
    """The part of ``check_formats`` that the suffix alone answers."""
    suffix = suffix_of(path)
    if suffix not in FORMATS and suffix not in NOT_WRITTEN:
        return
    if not mode_of(compat).spec:
        tell(f"{flag} {path}: holds {PLAIN[flag]}, as the C program writes it; -compat spec goes by the suffix")
    elif flag == "-pgmfile" or suffix in NOT_WRITTEN:
        other = "-png FILE writes a PNG" if suffix in PICTURES else f"these suffixes name formats: {', '.join(FORMATS)}"
        raise InputError(f"{flag} {path}: is not written as {suffix}; give it another name ({other})")
    elif flag == "-floatfile" and suffix == ".cbf":
        raise InputError(f"{flag} {path}: a CBF file holds whole numbers, and would cut fractions of photons off; -noisefile holds counts")


def _naming(flag: str, path: str, ask: Callable[[], object]) -> None:
    try:
        ask()
    except InputError as error:
        raise InputError(f"{flag} {path}: {error}") from None


def content(suffix: str, image: np.ndarray, x: Experiment, command: str) -> Iterable[Chunk]:
    """The bytes of a file with the image (slow, fast) in the format of the suffix; ``command`` makes it again."""
    if suffix in (".h5", ".nxs"):
        from nanobragg_numba.files.nexus import image_bytes

        return [image_bytes(image, x, command)]
    from nanobragg_numba.output.saved_images import WRITERS

    return WRITERS[suffix](image, x)


def described(path: str, compat: Compat, plain: str) -> str:
    """What is said to be written to ``path``; ``plain`` where that is in the C program's format."""
    suffix = format_of(path, compat)
    return plain if suffix is None else FORMATS[suffix]
