"""The reference's -printout: the last step of each pixel, or of one."""

import re
from typing import Any

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import Block
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.kernels.arguments import PixelRecord
from nanobragg_numba.maths.c_numbers import C_SPACE, FLOAT_PATTERN, to_float

from .report import pixel_lines

SUB_TABLE = 6
"""Where the loops stop that make the table of tricubic interpolation anew at each row."""
_REAL = rf"[{C_SPACE}]*({FLOAT_PATTERN})"
_WHOLE = rf"[{C_SPACE}]*([+-]?[0-9]+)"


class Printout:
    """Prints pixels in turn. In "c", what a pixel did not get to compute shows what the reference's variables then hold.

    That is the value of the pixel before, and before the first of all what is left there of the reading of the structure factors.
    """

    def __init__(self, line: CommandLine, dump_written: bool | None):
        self.fast, self.slow = line.outputs.printout_fast, line.outputs.printout_slow
        self.line, self.dump_written = line, dump_written
        self.last: np.ndarray | None = None
        self.last_slow = -1

    def lines(self, engine: Any, block: Block, warning: str | None) -> str:
        """The text for the pixels of ``block`` that are to be printed, with the ``warning`` in its place."""
        parts = []
        event = block.out_of_table
        for row, fast in np.argwhere(block.computed):
            slow = block.slow_start + int(row)
            if event is not None and warning is not None and slow * block.computed.shape[1] + fast == event.pixel:
                parts.append(warning)
            if self.fast < 0 or (fast == self.fast and slow == self.slow):
                parts.append(self._pixel(engine, int(fast), slow))
        return "".join(parts)

    def _pixel(self, engine: Any, fast: int, slow: int) -> str:
        record = _record(engine, fast, slow)
        if not mode_of(engine.experiment.compat).spec:
            for previous in self._previous(engine, fast, slow):
                unset = PixelRecord.is_unset(record)
                if not unset.any():
                    break
                record = np.where(unset, previous, record)
            self.last, self.last_slow = (record, slow) if self.fast < 0 else (None, -1)
        return pixel_lines(fast, slow, record, float(engine.image[slow, fast]), engine.experiment)

    def _previous(self, engine: Any, fast: int, slow: int) -> Any:
        """Records of what the reference's variables held before, nearest first."""
        row = slow
        for previous_row, record in self._pixels_before(engine, fast, slow):
            if previous_row != row and _interpolates(engine, row):
                yield _row_start()
            row = previous_row
            yield record
        if _interpolates(engine, row):
            yield _row_start()
        yield _before_the_first(engine.experiment, self.line, self.dump_written)

    def _pixels_before(self, engine: Any, fast: int, slow: int) -> Any:
        """Rows and records of the pixels before, nearest first."""
        if self.last is not None:
            yield self.last_slow, self.last
            return
        before = np.argwhere(engine.computed[: slow + 1])
        for row, column in before[::-1]:
            if (row, column) < (slow, fast):
                yield int(row), _record(engine, int(column), int(row))


def _record(engine: Any, fast: int, slow: int) -> np.ndarray:
    event = engine.out_of_table
    index = slow * engine.image.shape[1] + fast
    record: np.ndarray = engine.record(slow, fast, event is None or index <= event.pixel)
    record[PixelRecord.LEFT_TABLE] = 0.0
    return record


def _interpolates(engine: Any, slow: int) -> bool:
    """Whether interpolation is on where the row begins."""
    event = engine.out_of_table
    on: bool = engine.experiment.tables.rules.interpolate
    return on and (event is None or event.pixel >= slow * engine.image.shape[1])


def _nothing() -> np.ndarray:
    return np.full(PixelRecord.SIZE, PixelRecord.UNSET, np.int64).view(np.float64)


def _row_start() -> np.ndarray:
    record = _nothing()
    record[PixelRecord.NEAREST][:2] = SUB_TABLE
    return record


def _before_the_first(x: Any, line: CommandLine, dump_written: bool | None) -> np.ndarray:
    """What the variables hold before the first step; zero where that is whatever was in memory."""
    record = np.zeros(PixelRecord.SIZE)
    record[PixelRecord.AXES] = 1e-10 * np.array([*x.lattice.a, *x.lattice.b, *x.lattice.c])
    factors = line.parameters.crystal.structure_factors
    if line.files.hkl is not None:
        text = read_bytes(line.files.hkl, "-hkl").decode("latin-1")
        record[PixelRecord.HKL] = _last_scanned(text, (_REAL, _REAL, _REAL, _REAL))[:3]
        *record[PixelRecord.NEAREST], record[PixelRecord.F_CELL] = _last_scanned(text, (_WHOLE, _WHOLE, _WHOLE, _REAL))
    if factors is not None and (dump_written or line.files.hkl is None):
        # Where the loops stop that write the dump, or read it.
        record[PixelRecord.NEAREST][:2] = factors.table.shape[:2]
    return record


def _last_scanned(text: str, patterns: tuple[str, ...]) -> list[float]:
    """The numbers that C's fscanf leaves after it has read such rows until one is incomplete, and of that one those it could read."""
    row = re.compile("".join(patterns))
    at, last = 0, None
    while (match := row.match(text, at)) is not None:
        last, at = match, match.end()
    values = [0.0] * len(patterns) if last is None else [to_float(number) for number in last.groups()]
    for n, pattern in enumerate(patterns):
        rest = re.compile(pattern).match(text, at)
        if rest is None:
            break
        values[n], at = to_float(rest.group(1)), rest.end()
    return values
