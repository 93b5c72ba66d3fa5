"""Multi-column text files (sources, stol) as the reference splits them."""

import re

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, atof, shown

from .reading import read_bytes

DELIMITERS = " \t,;:!"
NUMBER_CHARACTERS = "0123456789-+.EGeg"
_NUMBER = re.compile(rf"[{C_SPACE}]*(?:{FLOAT_PATTERN})?[{C_SPACE}]*$")


def read(path: str, columns: int, flag: str) -> list[np.ndarray]:
    """``columns`` float64 arrays, one entry a line that is not blank, nan where a column is missing.

    The reference's quirk is kept: on a line that does not end in a bare newline (the last line of some files,
    every line with a carriage return) missing columns are 0. Raises InputError naming the line for text that is
    no number, and if there is no data.
    """
    rows = []
    for number, line in enumerate(read_bytes(path, flag).decode("latin-1").splitlines(keepends=True), 1):
        token = line.lstrip(DELIMITERS)
        if token == "\n":
            continue
        row = [float("nan")] * columns
        for column in range(columns):
            word = re.split(f"[{DELIMITERS}]", token, maxsplit=1)[0]
            if not _NUMBER.match(word):
                raise InputError(f"{flag} {path}, line {number}: {shown(word.strip())} is not a number")
            row[column] = atof(token)
            token = token.lstrip(NUMBER_CHARACTERS)
            if token == "\n":
                break
            token = token[len(re.split(f"[{DELIMITERS}]", token, maxsplit=1)[0]) :].lstrip(DELIMITERS)
            if token == "\n":
                break
        rows.append(row)
    if not rows:
        raise InputError(f"{flag} {path}: no data in the file")
    return list(np.array(rows).T.copy())
