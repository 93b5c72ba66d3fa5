"""Lists of structure factors: text files of h k l F."""

import re

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors, empty_table
from nanobragg_numba.kernels.word_kinds import FRACTION, OTHER, WHOLE
from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, c_format, is_number, shown, to_float

from .number_scan import scan
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
    numbers, kinds, starts = _numbers(content, path, flag)
    values = numbers.reshape(-1, 4)
    indices, amplitudes = values[:, :3], values[:, 3]
    # Column by column: numpy is slow along an axis of three.
    columns = [indices[:, axis] for axis in range(3)]
    lowest, highest = (np.array([function(column) for column in columns]) for function in (np.min, np.max))
    if not (np.isfinite(lowest + highest).all() and lowest.min() > -_INDEX_LIMIT and highest.max() < _INDEX_LIMIT):
        bad = int(np.argmax(~(np.abs(indices) < _INDEX_LIMIT).all(axis=1)))
        named = " ".join(f"{index:g}" for index in indices[bad])
        raise InputError(f"{flag} {path}, line {_line_at(content, starts[4 * bad])}: absurd Miller index {named}")
    fractional = [column != np.ceil(column - 0.4) for column in columns]
    report = [f"counting entries in {path}"]
    for row in np.flatnonzero(fractional[0] | fractional[1] | fractional[2]):
        report += [
            c_format(f"WARNING: non-integer value for {'hkl'[axis]} (%g) at line %d", indices[row, axis], row)
            for axis in range(3)
            if fractional[axis][row]
        ]
    low, high = np.trunc(lowest).astype(int), np.trunc(highest).astype(int)
    ranges = high - low + 1
    table = empty_table((int(ranges[0]), int(ranges[1]), int(ranges[2])), default_F, f"{flag} {path}")
    if default_F != 0.0:
        report += [c_format("initializing to default_F = %g:", default_F), "done initializing:"]
    report.append(f"re-reading {path}")
    whole = np.logical_and.reduce([kinds[axis::4] == WHOLE for axis in range(3)])
    plain = len(whole) if whole.all() else int(np.argmin(whole))
    h, k, l = (column[:plain].astype(np.int64) - low[axis] for axis, column in enumerate(columns))
    # Fancy assignment stores in order, so the last duplicate stays.
    table[h, k, l] = amplitudes[:plain]
    if plain < len(values):
        _reread_as_integers(content[starts[4 * plain] :].decode("latin-1"), table, low)
    return StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(values)), tuple(report)


def _numbers(content: bytes, path: str, flag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All numbers of the file, their kinds and offsets; InputError unless it holds numbers only, four a reflection."""
    values, kinds, starts = scan(content)
    for n in np.flatnonzero(kinds == OTHER):
        end = starts[n + 1] if n + 1 < len(starts) else len(content)
        word = content[starts[n] : end].split()[0].decode("latin-1")
        if not is_number(word):
            raise InputError(f"{flag} {path}, line {_line_at(content, starts[n])}: {shown(word)} is not a number")
        values[n] = to_float(word)
        kinds[n] = WHOLE if _INT.fullmatch(word) else FRACTION
    if len(values) == 0:
        raise InputError(f"{flag} {path}: no reflections in the file")
    if len(values) % 4:
        line = _line_at(content, starts[-1])
        raise InputError(
            f"{flag} {path}, line {line}: the last reflection is incomplete: {len(values)} numbers do not make lines of h k l F"
        )
    return values, kinds, starts


def _line_at(content: bytes, offset: int) -> int:
    """The line, counted from 1, that holds the byte at ``offset``."""
    return content.count(b"\n", 0, int(offset)) + 1


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
