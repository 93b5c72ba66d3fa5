"""The pixels of many shots: the guarded engine's chunks, over stretches of the pixels that are asked for. In "spec"."""

from nanobragg_numba.jit.decorators import entry
from nanobragg_numba.jit.entry_types import Bytes1, Doubles1, Doubles2, Singles1, Whole1, Whole2
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.exact import pixel_value
from nanobragg_numba.simd.loop import chunk_values, put_pixels
from nanobragg_numba.simd.rounding_test import unsure_pixels
from nanobragg_numba.simd.work_rows import rows_of

from .bundles import OfShots, ValueWork
from .tables import reach_of_shot, tables_of_shot


@entry
def shot_values(
    rows: tuple[int, int], work: ValueWork, own: OfShots, tables: Tables, reaches: Doubles2, parts: Whole2, runs: Whole2, bound: float,
    singles: Singles1, doubles: Doubles1, unsure: Bytes1, counts: Whole1,
) -> None:  # fmt: skip
    """Compute the pixels of some ``parts`` into ``singles`` or ``doubles``, whichever is not empty, as ``guarded_rows`` does.

    ``reaches``: see ``reach_of_shot``; ``parts`` and ``runs``: see ``ShotPixels``. ``unsure`` gets a 1 where the exact engine must decide,
    ``counts`` (parts,) how often.
    """
    w = rows_of(work.rows)
    for part in range(rows[0], rows[1]):
        mine = tables_of_shot(parts[part, 0], own, tables, work.orientations)
        reach = reach_of_shot(reaches, parts[part, 0])
        count = 0
        for run in range(parts[part, 1], parts[part, 2]):
            slow, fast, n, at = runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3] + parts[part, 3]
            for i in range(n):
                w.live[i] = 1.0
                w.row_omega[i] = 0.0
            chunk_values(fast, n, slow, mine, reach, bound, False, work.rows)
            if singles.shape[0] > 0:
                put_pixels(n, work.rows, singles[at : at + n])
            else:
                put_pixels(n, work.rows, doubles[at : at + n])
            if unsure_pixels(n, work.rows, bound > 0.0) > 0:
                for i in range(n):
                    if w.unsure[i] != 0.0:
                        unsure[at + i] = 1
                        count += 1
        counts[part] = count


@entry
def exact_values(
    rows: tuple[int, int], work: ValueWork, own: OfShots, tables: Tables, parts: Whole2, runs: Whole2,
    singles: Singles1, doubles: Doubles1, unsure: Bytes1, counts: Whole1,
) -> None:  # fmt: skip
    """Compute those that are marked in ``unsure`` with the reference's own operations."""
    for part in range(rows[0], rows[1]):
        if counts[part] == 0:
            continue
        mine = tables_of_shot(parts[part, 0], own, tables, work.orientations)
        for run in range(parts[part, 1], parts[part, 2]):
            slow, fast, n, at = runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3] + parts[part, 3]
            for i in range(n):
                if unsure[at + i]:
                    value, _, _, _, _ = pixel_value(slow, fast + i, mine, False, mine.rules.interpolate, 0, None)
                    # The reference adds to a single-precision zero: -0 becomes +0.
                    if singles.shape[0] > 0:
                        singles[at + i] = value + 0.0
                    else:
                        doubles[at + i] = value + 0.0
