"""Orientation matrices in MOSFLM's form: the first nine numbers of a text file, three a line."""

from itertools import groupby

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import shown

from .reading import read_bytes
from .scanf import Scanner


def read(path: str, flag: str, as_c: bool = False) -> np.ndarray:
    """(3, 3) matrix whose columns are a*, b*, c*; what follows the ninth number is ignored.

    Raises InputError naming the line if fewer than nine finite numbers can be read, and, but ``as_c``, where they stand
    otherwise than three a line, one a line or nine on one: a file with more columns would be taken for another matrix.
    """
    scanner = Scanner(read_bytes(path, flag).decode("latin-1"))
    numbers: list[float] = []
    lines: list[int] = []
    while len(numbers) < 9:
        scanner.skip_space()
        line, before = scanner.line, scanner.word()
        number = scanner.real()
        if number is None or not np.isfinite(number):
            found = shown(before) if before else "the end of the file"
            raise InputError(f"{flag} {path}, line {line}: nine numbers make an orientation matrix, and after {len(numbers)} comes {found}")
        numbers.append(number)
        lines.append(line)
    widths = {len(list(same)) for _, same in groupby(lines)}
    if not as_c and (len(widths) > 1 or not widths <= {1, 3, 9}):
        raise InputError(f"{flag} {path}, line {lines[0]}: an orientation matrix has three numbers a line, and these lines hold others")
    return np.array(numbers).reshape(3, 3)
