"""Files that a run would read and replace, or write twice: found before anything is computed."""

import os
from collections.abc import Iterable, Sequence

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.files.output import is_written_directly

Named = tuple[str, str]
"""An option and the file that it names."""


def input_files(line: CommandLine) -> list[Named]:
    """The files that the line names to be read."""
    files = line.files
    named = [("-mask", files.mask), ("-img", files.image), ("-mat", files.matrix), ("-hkl", files.hkl)]
    named += [("-stol", files.stol), ("-sourcefile", files.sources), ("-spectrum", files.spectrum)]
    named += [("-dump", None if files.hkl is not None else files.dump)]
    return [(flag, path) for flag, path in named if path is not None] + line.whole_image.files


def clashes(inputs: Iterable[Named], outputs: Sequence[Named]) -> list[str]:
    """One sentence for each output that is one file with an input or with an earlier output, by name or through links.

    Devices and pipes are nobody's alone.
    """
    read: dict[object, Named] = {}
    for flag, path in inputs:
        if os.path.isfile(path):
            read.setdefault(_identity(path), (flag, path))
    written: dict[object, Named] = {}
    said = []
    for flag, path in outputs:
        if is_written_directly(path):
            continue
        place = _identity(path)
        for others, what in ((read, "this run would replace what it reads"), (written, "only the one written last would be left")):
            if place in others:
                said.append(f"{' '.join(others[place])} and {flag} {path} are one file: {what}")
        written.setdefault(place, (flag, path))
    return said


def _identity(path: str) -> object:
    """Equal for two names of one file."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
