"""Fdump.bin: the reference's binary copy of a structure-factor table."""

import re

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors

from .reading import read_bytes

_HEADER = re.compile(rb"\s*" + rb"\s+".join([rb"(-?[0-9]{1,10})"] * 6) + rb" *\n\f")


def write(factors: StructureFactors) -> bytes:
    """The file's content: the limits as text, then the padded table as little-endian doubles."""
    return b"%d %d %d %d %d %d\n\f" % factors.limits + factors.only_table.astype("<f8").tobytes()


def read(path: str, flag: str) -> StructureFactors:
    """The table in the file. Raises InputError if the header is not the reference's or data are missing.

    The table begins right behind the header; the reference's loss of bytes that look like white space is not copied.
    """
    content = read_bytes(path, flag)
    match = _HEADER.match(content)
    if match is None:
        raise InputError(f"{flag} {path}: not a structure-factor dump (its first line must give six limits); remove it or name another")
    h_min, h_max, k_min, k_max, l_min, l_max = (int(text) for text in match.groups())
    shape = (h_max - h_min + 2, k_max - k_min + 2, l_max - l_min + 2)
    if min(shape) < 2:
        raise InputError(f"{flag} {path}: impossible limits in a structure-factor dump: {match.group().decode().strip()}")
    size = shape[0] * shape[1] * shape[2]
    if len(content) - match.end() < 8 * size:
        raise InputError(f"{flag} {path}: truncated, {len(content) - match.end()} bytes of data where {8 * size} are needed")
    table = np.frombuffer(content, "<f8", size, match.end()).astype(np.float64).reshape(shape)
    return StructureFactors(table, h_min, k_min, l_min, (shape[0] - 1) * (shape[1] - 1) * (shape[2] - 1))
