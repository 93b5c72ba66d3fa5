"""The reference's -printout: the last step of each pixel, or of one."""

from typing import Any

import numpy as np

from nanobragg_numba.engine.pixel_engine import Block
from nanobragg_numba.kernels.arguments import PixelRecord

from .report import pixel_lines


class Printout:
    """Prints pixels in turn. What a pixel did not get to compute shows the value of the pixel before, as in the reference."""

    def __init__(self, fast: int, slow: int):
        self.fast, self.slow = fast, slow
        self.last: np.ndarray | None = None

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
        x = engine.experiment
        record = _record(engine, fast, slow)
        for previous in self._previous(engine, fast, slow):
            if not np.isnan(record).any():
                break
            record = np.where(np.isnan(record), previous, record)
        lattice = x.lattice
        never = np.zeros(len(record))
        never[PixelRecord.AXES] = 1e-10 * np.array([*lattice.a, *lattice.b, *lattice.c])
        record = np.where(np.isnan(record), never, record)
        self.last = record if self.fast < 0 else None
        return pixel_lines(fast, slow, record, float(engine.image[slow, fast]), x)

    def _previous(self, engine: Any, fast: int, slow: int) -> Any:
        """Records of the pixels before, nearest first."""
        if self.last is not None:
            yield self.last
            return
        before = np.argwhere(engine.computed[: slow + 1])
        for row, column in before[::-1]:
            if (row, column) < (slow, fast):
                yield _record(engine, int(column), int(row))


def _record(engine: Any, fast: int, slow: int) -> np.ndarray:
    event = engine.out_of_table
    index = slow * engine.image.shape[1] + fast
    record = engine.record(fast, slow, event is None or index <= event.pixel)
    record[PixelRecord.LEFT_TABLE] = 0.0
    return record
