"""Lists of structure factors: text files with a reflection, h k l F, on each line. hkl_as_c.py reads them as the reference does."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.structure_factors import StructureFactors, empty_table
from nanobragg_numba.kernels.word_kinds import OTHER
from nanobragg_numba.maths.c_numbers import C_SPACE, c_format, is_number, shown

from .number_scan import are_lines_of_four, line_ends, scan
from .reading import read_bytes
from .scanf import Scanner

INDEX_LIMIT = 10**6
COLUMNS = ("h", "k", "l", "F")


class HklFile(NamedTuple):
    """A list of structure factors as read."""

    factors: StructureFactors
    report: tuple[str, ...]
    """The lines that the reference prints while it reads."""
    remark: str | None
    """What of the file was not used, or not as it is meant, in one sentence."""


def read(path: str, default_F: float, flag: str) -> HklFile:
    """The table in the file, filled with ``default_F`` where it lists nothing.

    A line that is not blank begins with four numbers, h, k, l and F; columns may touch where a sign parts them, an index may be
    written with decimals as long as it is whole, and what follows the fourth number is not used. Of duplicates the last one
    counts. Raises InputError, naming the line, for anything else, for numbers that are not finite or absurd, and for a table
    that would not fit in memory.
    """
    content = read_bytes(path, flag)
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    values, kinds, starts = scan(content)
    if len(values) == 0:
        raise InputError(f"{flag} {path}: no reflections in the file")
    ends = line_ends(content)
    if are_lines_of_four(starts, ends) and not (kinds == OTHER).any():
        rows, lines, longer = values.reshape(-1, 4), np.arange(len(values) // 4), np.zeros(1, bool)
    else:
        rows, lines, longer = _line_by_line(content, values, kinds, np.searchsorted(ends, starts), ends, f"{flag} {path}")
    _check(rows, lines, f"{flag} {path}")
    # Column by column: numpy is slow along an axis of three.
    columns = [rows[:, axis].astype(np.int64) for axis in range(3)]
    low, high = (np.array([extreme(column) for column in columns]) for extreme in (np.min, np.max))
    table, filling = filled_table(low, high, default_F, f"{flag} {path}")
    h, k, l = (column - least for column, least in zip(columns, low, strict=True))
    # Fancy assignment stores in order, so the last duplicate stays.
    table[h, k, l] = rows[:, 3]
    remark = None
    if longer.any():
        where = f"{np.count_nonzero(longer)} of {len(rows)} lines hold more than h k l F (line {lines[np.argmax(longer)] + 1} is the first)"
        remark = f"{flag} {path}: {where}; what follows the fourth number was not used"
    report = (f"counting entries in {path}", *filling, f"re-reading {path}")
    return HklFile(StructureFactors(table, int(low[0]), int(low[1]), int(low[2]), len(rows)), report, remark)


def _line_by_line(
    content: bytes, values: np.ndarray, kinds: np.ndarray, line_of_word: np.ndarray, ends: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first four numbers of each line that is not blank, (n, 4), which line that is, and whether it holds more."""
    first = np.flatnonzero(np.diff(line_of_word, prepend=-1))
    words = np.diff(first, append=len(line_of_word))
    lines = line_of_word[first]
    rows = np.empty((len(first), 4))
    longer = words > 4
    scanned = words >= 4
    cells = first[scanned, None] + np.arange(4)
    rows[scanned] = values[cells]
    scanned[scanned] = (kinds[cells] != OTHER).all(axis=1)
    edges = np.concatenate(([0], ends + 1, [len(content)]))
    for row in np.flatnonzero(~scanned):
        text = content[edges[lines[row]] : edges[lines[row] + 1]].decode("latin-1")
        rows[row], longer[row] = _line(text, f"{name}, line {lines[row] + 1}")
    return rows, lines, longer


def filled_table(low: np.ndarray, high: np.ndarray, default_F: float, name: str) -> tuple[np.ndarray, list[str]]:
    """A table for the indices from ``low`` to ``high`` (3,), and the reference's lines about filling it with ``default_F``."""
    h, k, l = (int(size) for size in high - low + 1)
    table = empty_table((h, k, l), default_F, name)
    return table, [c_format("initializing to default_F = %g:", default_F), "done initializing:"] if default_F != 0.0 else []


def _line(text: str, where: str) -> tuple[list[float], bool]:
    """The four numbers of a line, and whether it holds more."""
    scanner = Scanner(text)
    numbers: list[float] = []
    for name in COLUMNS:
        scanner.skip_space()
        start = scanner.at
        number = scanner.real()
        if number is None and not scanner.word():
            raise InputError(f"{where}: {name} is missing: each line needs h k l F")
        following = text[scanner.at : scanner.at + 1]
        if number is None or not is_number(text[start : scanner.at]) or following not in C_SPACE + "+-":
            raise InputError(f"{where}: {shown(text[start:].split()[0])} is not a number")
        numbers.append(number)
    return numbers, scanner.word() != ""


def _check(rows: np.ndarray, lines: np.ndarray, name: str) -> None:
    """Refuse numbers that are not finite, and indices that are not whole or absurd."""
    columns = [np.ascontiguousarray(rows[:, axis]) for axis in range(3)]
    right = [(column == np.rint(column)) & (np.abs(column) < INDEX_LIMIT) for column in columns]
    if all(part.all() for part in right) and np.isfinite(rows[:, 3]).all():
        return
    wrong = ~np.column_stack([*right, np.isfinite(rows[:, 3])])
    row = int(np.argmax(wrong.any(axis=1)))
    column = int(np.argmax(wrong[row]))
    value = rows[row, column]
    if not np.isfinite(value):
        why = f"{COLUMNS[column]} is {value:g}, not a finite number"
    elif abs(value) >= INDEX_LIMIT:
        why = f"absurd Miller index {COLUMNS[column]} = {value:.10g}"
    else:
        why = f"Miller index {COLUMNS[column]} = {value:.10g} is not whole"
    raise InputError(f"{name}, line {lines[row] + 1}: {why}")


def lines(factors: StructureFactors) -> Iterator[bytes]:
    """Every reflection of the table as a line of h k l F, zeros too, with all digits."""
    inside = factors.only_table[:-1, :-1, :-1]
    low = factors.h_min, factors.k_min, factors.l_min
    h, k, l = (np.arange(first, first + count).tolist() for first, count in zip(low, inside.shape, strict=True))
    for index, value in zip(product(h, k, l), inside.ravel().tolist(), strict=True):
        yield b"%d %d %d %r\n" % (*index, value)
