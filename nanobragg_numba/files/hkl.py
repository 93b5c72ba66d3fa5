"""Lists of structure factors: text files of h k l F."""

import re
import warnings

import numpy as np

from ..c_text import C_SPACE, FLOAT_PATTERN, c_format, is_number, shown, to_float
from ..errors import InputError
from ..structure_factors import StructureFactors, empty_table
from .reading import read_bytes

_INT = re.compile(rf"[{C_SPACE}]*([+-]?\d+)")
_FLOAT = re.compile(rf"[{C_SPACE}]*({FLOAT_PATTERN})")
_INDEX_LIMIT = 10**6


def read(path: str, default_F: float, flag: str) -> tuple[StructureFactors, tuple[str, ...]]:
    """The table in the file, and the lines that the reference prints while it reads.

    As in the reference, line ends are mere white space, of duplicates the last one counts, and an index that is
    not written as a whole number ends the useful part of the file. Raises InputError, naming the line, for text
    that is no number, an incomplete last reflection, absurd indices, or a table that would not fit in memory.
    """
    content = read_bytes(path, flag)
    values = _numbers(content, path, flag).reshape(-1, 4)
    indices, amplitudes = values[:, :3], values[:, 3]
    lowest, highest = indices.min(axis=0), indices.max(axis=0)
    if not (np.isfinite(indices).all() and lowest.min() > -_INDEX_LIMIT and highest.max() < _INDEX_LIMIT):
        bad = int(np.argmax(~(np.abs(indices) < _INDEX_LIMIT).all(axis=1)))
        named = " ".join(f"{index:g}" for index in indices[bad])
        raise InputError(f"{flag} {path}, line {_line_of_token(content, 4 * bad)}: absurd Miller index {named}")
    fractional = indices != np.ceil(indices - 0.4)
    report = [f"counting entries in {path}"]
    for row in np.flatnonzero(fractional.any(axis=1)):
        report += [
            c_format(f"WARNING: non-integer value for {'hkl'[axis]} (%g) at line %d", indices[row, axis], row)
            for axis in range(3)
            if fractional[row, axis]
        ]
    low, high = np.trunc(lowest).astype(int), np.trunc(highest).astype(int)
    ranges = high - low + 1
    table = empty_table((int(ranges[0]), int(ranges[1]), int(ranges[2])), default_F, f"{flag} {path}")
    if default_F != 0.0:
        report += [c_format("initializing to default_F = %g:", default_F), "done initializing:"]
    report.append(f"re-reading {path}")
    plain, rest = _rows_of_whole_indices(content)
    h, k, l = (indices[:plain].astype(np.int64) - low).T
    # Fancy assignment stores in order, so the last duplicate stays.
    table[h, k, l] = amplitudes[:plain]
    if plain < len(values):
        _reread_as_integers(content[rest:].decode("latin-1"), table, low)
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(values)), tuple(report)


def _numbers(content: bytes, path: str, flag: str) -> np.ndarray:
    """All numbers of the file; InputError unless it holds numbers only, four a reflection."""
    if not content.strip():
        raise InputError(f"{flag} {path}: no reflections in the file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            values = np.fromstring(content.decode("latin-1"), sep=" ")
    except (DeprecationWarning, ValueError):
        tokens = content.decode("latin-1").split()
        bad = next((n for n, token in enumerate(tokens) if not is_number(token)), None)
        if bad is not None:
            raise InputError(f"{flag} {path}, line {_line_of_token(content, bad)}: {shown(tokens[bad])} is not a number") from None
        values = np.array([to_float(token) for token in tokens])
    if len(values) % 4:
        line = _line_of_token(content, len(values) - 1)
        raise InputError(f"{flag} {path}, line {line}: the last reflection is incomplete (h k l F are needed)")
    return values


def _line_of_token(content: bytes, number: int) -> int:
    """The line, counted from 1, of the token of that number, counted from 0."""
    for at, match in enumerate(re.finditer(rb"\S+", content)):
        if at == number:
            return content.count(b"\n", 0, match.start()) + 1
    return content.count(b"\n") + 1


def _rows_of_whole_indices(content: bytes) -> tuple[int, int]:
    """How many leading reflections have h, k, l written as whole numbers, and the offset behind them."""
    raw = np.frombuffer(content, np.uint8)
    space = (raw == 32) | ((raw >= 9) & (raw <= 13))
    starts = np.flatnonzero(~space & np.concatenate(([True], space[:-1])))
    # A character other than a digit or sign in one of the first three columns breaks the row.
    other = np.flatnonzero(~space & ~((raw >= 48) & (raw <= 57)) & (raw != 43) & (raw != 45))
    column = np.searchsorted(starts, other, side="right") - 1
    broken = column[column % 4 < 3]
    row = int(broken[0]) // 4 if len(broken) else len(starts) // 4
    return row, int(starts[4 * row]) if 4 * row < len(starts) else len(content)


def _reread_as_integers(text: str, table: np.ndarray, low: np.ndarray) -> None:
    """Go on as the reference's second reading does, which reads h, k, l as integers and stops where it cannot."""
    at = 0
    while True:
        found = []
        for pattern in (_INT, _INT, _INT, _FLOAT):
            match = pattern.match(text, at)
            if match is None:
                return
            found.append(match.group(1))
            at = match.end()
        place = np.array([int(word) for word in found[:3]]) - low
        if (place >= 0).all() and (place < np.array(table.shape)).all():
            table[tuple(place)] = to_float(found[3])
