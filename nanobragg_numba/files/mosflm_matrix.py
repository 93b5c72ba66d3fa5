"""Orientation matrices in MOSFLM's form: the first nine numbers of a text file."""

import re

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, shown, to_float

from .reading import read_bytes

_NUMBER = re.compile(rf"[{C_SPACE}]*({FLOAT_PATTERN})")


def read(path: str, flag: str) -> np.ndarray:
    """(3, 3) matrix whose columns are a*, b*, c*; what follows the ninth number is ignored.

    Raises InputError naming the line if fewer than nine finite numbers can be read.
    """
    text = read_bytes(path, flag).decode("latin-1")
    at = 0
    numbers: list[float] = []
    for _ in range(9):
        match = _NUMBER.match(text, at)
        if match is None or not np.isfinite(value := to_float(match.group(1))):
            rest = text[at:].split()
            line = text.count("\n", 0, text.index(rest[0], at) if rest else len(text)) + 1
            found = shown(rest[0]) if rest else "the end of the file"
            raise InputError(f"{flag} {path}, line {line}: nine numbers make an orientation matrix, and after {len(numbers)} comes {found}")
        numbers.append(value)
        at = match.end()
    return np.array(numbers).reshape(3, 3)
