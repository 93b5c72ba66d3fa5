"""Many command lines in one process, so that starting up is paid once."""

import sys
from collections.abc import Callable, Sequence

from nanobragg_numba.command_line.reading import words_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.files.reading import read_bytes

from .remarks import BatchRemarks, tell_error

NO_CRYSTAL = 9
INTERRUPTED = (130, 141)


def read_lines(path: str) -> list[tuple[int, list[str]]]:
    """The command lines of a file (``-``: standard input) with their line numbers, split as a shell splits them.

    Blank lines and what follows a # are left out; the program's name may lead a line. Raises InputError naming the line
    for quotes that do not close and for a batch inside the batch.
    """
    if path == "-" and sys.stdin is None:
        raise InputError("-batch -: standard input is closed")
    text = sys.stdin.read() if path == "-" else read_bytes(path, "-batch").decode(errors="surrogateescape")
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = words_of(line, comments=True)
        except InputError as error:
            raise InputError(f"-batch {path}, line {number}: {error}") from None
        if "\0" in line:
            raise InputError(f"-batch {path}, line {number}: holds a NUL byte")
        if "-batch" in words:
            raise InputError(f"-batch {path}, line {number}: a batch cannot hold another")
        if words:
            lines.append((number, words))
    if not lines:
        raise InputError(f"-batch {path}: no command lines in the file")
    return lines


def run_batch(path: str, common: Sequence[str], run: Callable[[Sequence[str]], int]) -> int:
    """Run every line of the file, the ``common`` words before its own; returns the first status that is not 0.

    A line that fails is told with its number, and the next one runs all the same; an interrupt ends the batch.
    """
    first = 0
    with BatchRemarks() as remarks:
        for number, words in read_lines(path):
            remarks.begin_line(number)
            status = run([*common, *words])
            if status == NO_CRYSTAL:
                tell_error(f"error: no crystal or no structure factors, usage on standard output (exit status {status})")
            first = first or status
            if status in INTERRUPTED:
                break
    return first
