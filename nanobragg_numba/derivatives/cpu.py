"""The CPU's kernels for derivatives: rows of the image dealt out to blocks, and blocks to threads."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.reach.spots import ROW, SEARCH_SHAPE, reach_of
from nanobragg_numba.threads import most_threads

from . import entries
from .bundles import CHANGE_ROWS, PIXELS, ROWS, WORK_ROWS, AdjointWork, Changes, Pixels, TangentWork
from .differentiate import Rendered
from .flat_variables import Variables

BLOCKS = 16
"""Rows are dealt out to so many sums, whatever the number of threads, so that the result does not depend on it."""
BLOCK_BYTES = 2**26
STEPS_WITHOUT_THREADS = 20_000
"""A thread would hardly have started before so many are done."""


def by_kind(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image as the kernels take it: in single or in double precision, beside an empty one of the other kind."""
    if image.dtype == np.float32:
        return np.ascontiguousarray(image), np.zeros((0, 0))
    return np.zeros((0, 0), np.float32), np.ascontiguousarray(image, np.float64)


def _pixels(run: Rendered) -> Pixels:
    window = run.experiment.geometry.window
    return Pixels((window[0], window[1]), run.computed, run.first_pixel, run.leaving_pixel, reach_of(run.experiment.tables))


@dataclass(frozen=True)
class CpuKernels:
    """See ``differentiate.Kernels``."""

    threads: int = field(default_factory=most_threads)
    """How many compute at most; the sums do not depend on it."""

    def _threads_for(self, run: Rendered) -> int:
        steps = int(np.count_nonzero(run.computed)) * run.experiment.steps
        return self.threads if steps > STEPS_WITHOUT_THREADS else 0

    def adjoint_sums(
        self, run: Rendered, tables: Tables, sizes: tuple[int, ...], grad: np.ndarray, with_factors: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """See ``differentiate.Kernels``; complex where the tables are."""
        factors = tables.crystal.factors
        kind = factors.dtype
        entry = entries.complex_adjoint_blocks if kind.kind == "c" else entries.adjoint_blocks
        blocks = int(max(1, min(BLOCKS, BLOCK_BYTES // (factors.nbytes if factors.size > 1 and with_factors else 1))))
        bars = Variables(*(np.zeros((blocks, size), kind) for size in sizes))
        lattice, first_lattice = (np.zeros((blocks, len(tables.crystal.orientations), 9), kind) for _ in range(2))
        factors_bars = np.zeros((blocks, factors.size if with_factors else 0), kind)

        def work() -> AdjointWork:
            return AdjointWork(
                np.zeros((ROWS, PIXELS), kind), np.zeros((WORK_ROWS, PIXELS), kind), np.zeros(PIXELS), np.zeros(PIXELS, np.int64),
                np.zeros((2, PIXELS), kind), np.zeros(SEARCH_SHAPE), np.zeros(ROW, np.int64),
            )  # fmt: skip

        rows = run.experiment.geometry.window[2:]
        entry.over_rows(
            (0, blocks),
            self._threads_for(run),
            work,
            blocks,
            rows,
            _pixels(run),
            *by_kind(grad),
            tables,
            lattice,
            first_lattice,
            bars,
            factors_bars,
        )
        total = np.concatenate([bar.sum(axis=0) for bar in bars])
        factors_bar = factors_bars.sum(axis=0).reshape(factors.shape) if with_factors else None
        return total, np.stack([lattice.sum(axis=0), first_lattice.sum(axis=0)]), factors_bar

    def tangent_images(self, run: Rendered, tables: Tables, dots: Variables, lattice_dot: np.ndarray, factors_dot: Any) -> np.ndarray:
        """See ``differentiate.Kernels``."""
        directions = lattice_dot.shape[1]
        factors_dot = np.zeros((directions, 0, 0, 0)) if factors_dot is None else np.ascontiguousarray(factors_dot, np.float64)
        out = np.zeros((directions, *run.computed.shape))

        def work() -> TangentWork:
            return TangentWork(
                np.zeros((ROWS, PIXELS)), np.zeros((WORK_ROWS, PIXELS)), np.zeros((directions, CHANGE_ROWS, PIXELS)), np.zeros(PIXELS),
                np.zeros(PIXELS, np.int64), np.zeros((2, PIXELS)), np.zeros(SEARCH_SHAPE), np.zeros(ROW, np.int64),
            )  # fmt: skip

        rows = run.experiment.geometry.window[2:]
        changes = Changes(lattice_dot[0], lattice_dot[1], dots, factors_dot)
        entries.tangent_blocks.over_rows((0, BLOCKS), self._threads_for(run), work, BLOCKS, rows, _pixels(run), tables, changes, out)
        return out
