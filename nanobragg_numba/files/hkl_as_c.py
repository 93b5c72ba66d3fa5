"""Lists of structure factors read as the reference reads them: twice, as numbers one after another whatever the lines.

The first reading takes h, k, l and F as real numbers, and ends at the first that is none; it counts, and finds the limits of the
table. The second takes h, k, l as integers, ends at the first that is none, such as "1.0" behind its 1, and fills the table.
"""

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors
from nanobragg_numba.kernels.word_kinds import FRACTION, OTHER, WHOLE
from nanobragg_numba.maths.c_numbers import c_format, is_number, shown, to_float

from .hkl import HklFile, filled_table
from .number_scan import are_lines_of_four, line_ends, scan
from .reading import read_bytes
from .scanf import Scanner

FIRST_GUESS = 10**9
"""The reference's, of the least and largest index."""
INT_MIN = -(2**31)
"""What becomes of a number that is beyond 32-bit integers."""


def read(path: str, default_F: float, flag: str) -> HklFile:
    """The reference's table of the file. Raises InputError where it has none, since no reflection can be read or its indices
    are absurd, and for a table that would not fit in memory. A value that the reference stores outside its table is left out."""
    content = read_bytes(path, flag)
    values, kinds, starts = _leading_numbers(content)
    text = content.decode("latin-1")
    plain = len(values) // 4
    scanner = Scanner(text, int(starts[4 * plain]) if 4 * plain < len(starts) else len(text))
    rest, scattered, cut_short = _reals(scanner)
    rows = values[: 4 * plain].reshape(-1, 4)
    rows = np.concatenate([rows, rest]) if len(rest) else rows
    end = Scanner(text, scanner.at)
    if len(rows) == 0:
        if end.word():
            raise InputError(f"{flag} {path}, line {end.line}: {shown(end.word())} is not a number, and no reflection comes before it")
        raise InputError(f"{flag} {path}: no reflections in the file")
    low, high = _limits(rows[:, :3], f"{flag} {path}")
    table, filling = filled_table(low, high, default_F, f"{flag} {path}")
    report = [f"counting entries in {path}", *_warnings(rows[:, :3]), *filling, f"re-reading {path}"]

    whole = np.logical_and.reduce([kinds[axis : 4 * plain : 4] == WHOLE for axis in range(3)])
    plain_whole = plain if whole.all() else int(np.argmin(whole))
    # Column by column: numpy is slow along an axis of three.
    places = [rows[:plain_whole, axis].astype(np.int64) - low[axis] for axis in range(3)]
    inside = np.logical_and.reduce([(place >= 0) & (place < size) for place, size in zip(places, table.shape, strict=True)])
    h, k, l = (place[inside] for place in places)
    # Fancy assignment stores in order, so the last duplicate stays.
    table[h, k, l] = rows[:plain_whole, 3][inside]
    second = Scanner(text, int(starts[4 * plain_whole]) if 4 * plain_whole < len(starts) else scanner.at)
    read_again, outside = _store_integers(second, table, low)
    outside += int(np.count_nonzero(~inside))
    stored = plain_whole + _alike(read_again, rows[plain_whole:])

    said = []
    if end.word():
        said.append(f"reading ended at {shown(end.word())} on line {end.line}")
    elif cut_short:
        said.append("the last reflection is incomplete and was left out")
    if stored < len(rows):
        said.append(f"of {len(rows)} reflections {stored} were stored as they stand, since indices are read as integers")
    if outside:
        said.append(f"{outside} of its values lie outside the table, where the reference may crash")
    if scattered or _across_lines(content, starts[: 4 * plain]):
        said.append("numbers were taken one after another across the ends of lines that do not hold four")
    if not np.isfinite(rows).all():
        said.append("it holds numbers that are not finite")
    remark = f"{flag} {path}: {'; '.join(said)}; -compat spec reads four numbers a line" if said else None
    return HklFile(StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(rows)), tuple(report), remark)


def _leading_numbers(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers before the first word that is not one as a whole, their kinds, and the offsets of all words."""
    values, kinds, starts = scan(content)
    for n in np.flatnonzero(kinds == OTHER):
        end = starts[n + 1] if n + 1 < len(starts) else len(content)
        word = content[starts[n] : end].split()[0].decode("latin-1")
        if not is_number(word):
            return values[:n], kinds[:n], starts
        values[n] = to_float(word)
        kinds[n] = WHOLE if word.lstrip("+-").isdigit() else FRACTION
    return values, kinds, starts


def _reals(scanner: Scanner) -> tuple[np.ndarray, bool, bool]:
    """The reflections that follow, (n, 4), whether one reaches over the end of a line, and whether the last lacks numbers.

    The scanner stays where no number can be read."""
    rows: list[float] = []
    scattered = False
    while True:
        scanner.skip_space()
        start = scanner.at
        found: list[float] = []
        while len(found) < 4 and (number := scanner.real()) is not None:
            found.append(number)
        if len(found) < 4:
            return np.array(rows).reshape(-1, 4), scattered, len(found) > 0
        scattered |= "\n" in scanner.text[start : scanner.at]
        rows += found


def _limits(indices: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest h, k, l (3,), cut to integers; what is nan is passed over."""
    low, high = (np.array([extreme.reduce(column) for column in indices.T]) for extreme in (np.fmin, np.fmax))
    if (np.abs([low, high]) < FIRST_GUESS).all():
        return np.trunc(low).astype(np.int64), np.trunc(high).astype(np.int64)
    limits = np.array([_running_limits(column) for column in indices.T.tolist()])
    if (limits[:, 1] < limits[:, 0] - 1).any():
        beyond = ~(np.abs(indices) < FIRST_GUESS)
        named = " ".join(f"{index:g}" for index in indices[int(np.argmax(beyond.any(axis=1)))])
        raise InputError(f"{name}: absurd Miller index {named}")
    return limits[:, 0], limits[:, 1]


def _running_limits(column: list[float]) -> tuple[int, int]:
    """The least and largest index where some are beyond 32-bit integers: each is cut to one before it is compared with the next."""
    low, high = FIRST_GUESS, -FIRST_GUESS
    for value in column:
        cut = int(value) if abs(value) < -INT_MIN else INT_MIN
        low = cut if low > value else low
        high = cut if high < value else high
    return low, high


def _warnings(indices: np.ndarray) -> list[str]:
    """The reference's lines about indices that are not whole."""
    fractional = [column != np.ceil(column - 0.4) for column in indices.T]
    return [
        c_format(f"WARNING: non-integer value for {'hkl'[axis]} (%g) at line %d", float(indices[row, axis]), int(row))
        for row in np.flatnonzero(np.logical_or.reduce(fractional))
        for axis in range(3)
        if fractional[axis][row]
    ]


def _store_integers(scanner: Scanner, table: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, int]:
    """Store what the second reading finds from the scanner on; that, (n, 4), and how many of it lie outside the table."""
    rows: list[tuple[int, int, int, float]] = []
    outside = 0
    while True:
        h, k, l = scanner.whole(), None, None
        if h is not None and (k := scanner.whole()) is not None:
            l = scanner.whole()
        F = None if l is None else scanner.real()
        if h is None or k is None or l is None or F is None:
            return np.array(rows).reshape(-1, 4), outside
        rows.append((h, k, l, F))
        place = np.array([h, k, l]) - low
        if (place >= 0).all() and (place < np.array(table.shape)).all():
            table[tuple(place)] = F
        else:
            outside += 1


def _alike(a: np.ndarray, b: np.ndarray) -> int:
    """The number of rows, from the first on, that are equal."""
    rows = min(len(a), len(b))
    same = np.array([np.array_equal(x, y, equal_nan=True) for x, y in zip(a[:rows], b[:rows], strict=True)], bool)
    return rows if same.all() else int(np.argmin(same))


def _across_lines(content: bytes, starts: np.ndarray) -> bool:
    """Whether four words that are read as one reflection stand on several lines, or two reflections on one."""
    ends = line_ends(content)
    if are_lines_of_four(starts, ends):
        return False
    lines = np.searchsorted(ends, starts).reshape(-1, 4)
    return bool((lines[:, 0] != lines[:, 3]).any() or (lines[1:, 0] == lines[:-1, 3]).any())
