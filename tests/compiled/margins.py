"""The guarded loop's doubles before any pixel is decided anew, and the guard's bounds on their errors."""

from nanobragg_numba.jit.decorators import entry
from nanobragg_numba.jit.entry_types import Doubles2, Flags2, Whole1
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.reach.spots import Reach
from nanobragg_numba.simd.error_bound import CHUNK
from nanobragg_numba.simd.loop import chunk_values, live_pixels
from nanobragg_numba.simd.work_rows import rows_of


@entry
def margin_rows(
    rows: tuple[int, int], work: Doubles2, columns: tuple[int, int], mask: Flags2, tables: Tables, reach: Reach, bound: float,
    values: Doubles2, margins: Doubles2, left: Whole1,
) -> None:  # fmt: skip
    """Fill ``values`` and ``margins`` (slow, fast); ``left`` (slow,) is 1 where a step left the table."""
    w = rows_of(work)
    for slow in range(rows[0], rows[1]):
        for start in range(columns[0], columns[1], CHUNK):
            n = min(CHUNK, columns[1] - start)
            if live_pixels(n, work, mask[slow, start : start + n]) == 0:
                continue
            if chunk_values(start, n, slow, tables, reach, bound, False, work):
                left[slow] = 1
                break
            for i in range(n):
                values[slow, start + i] = w.total[i]
                margins[slow, start + i] = w.margin[i]
