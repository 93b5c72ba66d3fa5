"""The CPU's kernels for derivatives: rows of the image dealt out to threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nanobragg_numba.kernels.arguments import Tables

from .differentiate import Rendered
from .flat_variables import Variables, split

BLOCKS = 16
"""Rows are dealt out to so many sums, whatever the number of threads, so that the result does not depend on it."""
BLOCK_BYTES = 2**26


def _in_threads(blocks: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(max(1, min(len(os.sched_getaffinity(0)), blocks))) as pool:
        for _ in pool.map(work, range(blocks)):
            pass


def _by_kind(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image as the kernels take it: in single or in double precision, beside an empty one of the other kind."""
    if image.dtype == np.float32:
        return np.ascontiguousarray(image), np.zeros((0, 0))
    return np.zeros((0, 0), np.float32), np.ascontiguousarray(image, np.float64)


def adjoint_sums(run: Rendered, tables: Tables, sizes: tuple[int, ...], grad: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See ``differentiate.Kernels``; complex where the tables are."""
    from .adjoint import adjoint_rows
    from .chunk_geometry import CHUNK, WORK_ROWS
    from .step_derivatives import ROWS

    factors = tables.crystal.factors
    kind = factors.dtype
    blocks = int(max(1, min(BLOCKS, BLOCK_BYTES // (factors.nbytes if factors.size > 1 else 1))))
    parts = np.zeros((blocks, sum(sizes)), kind)
    lattice = np.zeros((blocks, 2, len(tables.crystal.orientations), 9), kind)
    factors_parts = np.zeros((blocks, factors.size), kind)
    f0, f1, s0, s1 = run.experiment.geometry.window
    singles, doubles = _by_kind(grad)

    def work(block: int) -> None:
        adjoint_rows(
            (s0 + block, s1), blocks, (f0, f1), run.computed, singles, doubles, tables, run.first_pixel, run.leaving_pixel,
            lattice[block, 0], lattice[block, 1], split(parts[block], sizes), factors_parts[block], np.zeros((ROWS, CHUNK), kind),
            np.zeros((WORK_ROWS, CHUNK), kind), np.zeros(CHUNK), np.zeros(CHUNK, np.int64), np.zeros((2, CHUNK), kind),
        )  # fmt: skip

    _in_threads(blocks, work)
    return parts.sum(axis=0), lattice.sum(axis=0), factors_parts.sum(axis=0).reshape(factors.shape)


def tangent_images(run: Rendered, tables: Tables, dots: Variables, lattice_dot: np.ndarray, factors_dot: np.ndarray | None) -> np.ndarray:
    """See ``differentiate.Kernels``."""
    from .chunk_geometry import CHUNK, WORK_ROWS
    from .step_derivatives import ROWS
    from .tangent import CHANGE_ROWS, tangent_rows

    directions = lattice_dot.shape[1]
    factors_dot = np.zeros((directions, 0, 0, 0)) if factors_dot is None else np.ascontiguousarray(factors_dot, np.float64)
    out = np.zeros((directions, *run.computed.shape))
    f0, f1, s0, s1 = run.experiment.geometry.window

    def work(block: int) -> None:
        tangent_rows(
            (s0 + block, s1), BLOCKS, (f0, f1), run.computed, tables, run.first_pixel, run.leaving_pixel, lattice_dot[0], lattice_dot[1],
            dots, factors_dot, np.zeros((ROWS, CHUNK)), np.zeros((WORK_ROWS, CHUNK)), np.zeros((directions, CHANGE_ROWS, CHUNK)),
            np.zeros(CHUNK), np.zeros(CHUNK, np.int64), np.zeros((2, CHUNK)), out,
        )  # fmt: skip

    _in_threads(BLOCKS, work)
    return out
