"""Multi-column text files (sources, stol): as they are meant, and as the reference splits them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, atof, is_number, shown

from .reading import read_bytes

DELIMITERS = " \t,;:!"
NUMBER_CHARACTERS = "0123456789-+.EGeg"
_NUMBER = re.compile(rf"[{C_SPACE}]*(?:{FLOAT_PATTERN})?[{C_SPACE}]*$")
_BETWEEN = re.compile(rf"[{DELIMITERS}{C_SPACE}]+")
LONGEST_LINE = 10239
"""What the reference reads of a line at a time."""


class Columns(NamedTuple):
    """The columns of a file."""

    columns: list[np.ndarray]
    """float64, one entry a line that is not blank; nan where a column is missing."""
    remark: str | None
    """What of the file was not used, or not as it is meant, in one sentence."""


def read(path: str, columns: int, flag: str) -> Columns:
    """The first ``columns`` numbers of each line that is not blank.

    Raises InputError naming the line for text that is no finite number, and if there is no data.
    """
    rows, longer = [], []
    for number, line in enumerate(re.split("\r\n|\r|\n", read_bytes(path, flag).decode("latin-1")), 1):
        words = [word for word in _BETWEEN.split(line) if word]
        for word in words[:columns]:
            if not is_number(word) or not np.isfinite(atof(word)):
                raise InputError(f"{flag} {path}, line {number}: {shown(word)} is not a {'finite ' if is_number(word) else ''}number")
        if words:
            rows.append([atof(word) for word in words[:columns]] + [np.nan] * (columns - len(words)))
        if len(words) > columns:
            longer.append(number)
    remark = None
    if longer:
        many = f"{len(longer)} of {len(rows)} lines hold more than {columns} columns (line {longer[0]} is the first)"
        remark = f"{flag} {path}: {many}; what follows was not used"
    return Columns(_by_column(rows, f"{flag} {path}"), remark)


def read_as_c(path: str, columns: int, flag: str) -> Columns:
    """The columns that the reference reads: text that is no number is 0, or the number that it begins with.

    On a line that does not end in a bare newline (the last line of some files, every line with a carriage return) missing
    columns are 0. Raises InputError if there is no data.
    """
    rows = []
    said: str | None = None
    for number, line in _lines_as_c(read_bytes(path, flag).decode("latin-1")):
        token = line.lstrip(DELIMITERS)
        if token == "\n":
            continue
        row = [np.nan] * columns
        for column in range(columns):
            word = re.split(f"[{DELIMITERS}]", token, maxsplit=1)[0]
            row[column] = atof(token)
            if not _NUMBER.match(word):
                said = said or f"{flag} {path}, line {number}: {shown(word.strip())} was read as {row[column]:g}; -compat spec refuses it"
            token = token.lstrip(NUMBER_CHARACTERS)
            if token == "\n":
                break
            token = token[len(re.split(f"[{DELIMITERS}]", token, maxsplit=1)[0]) :].lstrip(DELIMITERS)
            if token == "\n":
                break
        lacking = row[len([word for word in _BETWEEN.split(line) if word]) :]
        if not np.isnan(lacking).all():
            said = said or f"{flag} {path}, line {number}: it does not end in a plain newline, and the columns it lacks were read as 0"
        rows.append(row)
    return Columns(_by_column(rows, f"{flag} {path}"), said)


def _lines_as_c(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their ends and numbers, long ones in pieces."""
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        for at in range(0, len(line), LONGEST_LINE):
            yield number, line[at : at + LONGEST_LINE]


def _by_column(rows: list[list[float]], name: str) -> list[np.ndarray]:
    if not rows:
        raise InputError(f"{name}: no data in the file")
    return list(np.array(rows).T.copy())
