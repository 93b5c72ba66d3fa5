"""Derivatives of an image on the CPU: J^T g, J v, and the change of J^T g along v, all without storing a step."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError
from .experiment import Experiment
from .simulation import PixelEngine
from .variables import Variables, split, tables_at, variables_of

BLOCKS = 16
"""Rows are dealt out to so many sums, whatever the number of threads, so that the result does not depend on it."""
BLOCK_BYTES = 2**26
DIRECTIONS_AT_ONCE = 16


@dataclass(frozen=True)
class Rendered:
    """An experiment whose image has been computed, and what its derivatives need to know of that."""

    experiment: Experiment
    computed: np.ndarray
    """(slow, fast) bool: pixels computed."""
    first_pixel: int
    leaving_pixel: int
    """Index of the pixel at which interpolation ended (Q2), or -1."""
    threads: int

    @property
    def variables(self) -> Variables:
        """The continuous quantities of the experiment's tables."""
        return variables_of(self.experiment)

    @property
    def factors(self) -> np.ndarray:
        """(h, k, l): the table of structure factors."""
        return self.experiment.tables.crystal.factors


def rendered(engine: PixelEngine, first_pixel: int | None = None, leaving_pixel: int | None = None) -> Rendered:
    """What the derivatives need of ``engine``, which has computed its image, unless the two pixels are given."""
    if first_pixel is None:
        first_pixel = engine.first_pixel if engine.seeks_first else -1
    if leaving_pixel is None:
        leaving_pixel = -1 if engine.out_of_table is None else engine.out_of_table.pixel
    return Rendered(engine.experiment, engine.computed, first_pixel, leaving_pixel, len(os.sched_getaffinity(0)))


def _check(run: Rendered) -> None:
    rules = run.experiment.tables.rules
    if rules.each_thick or rules.each_polar or rules.each_omega:
        raise InputError(
            "-oversample_thick, -oversample_polar and -oversample_omega multiply the running sum in compat='c' (Q3): "
            "no derivatives for these; use compat='spec', which applies the factors at every sub-pixel"
        )


def _in_threads(run: Rendered, blocks: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(max(1, min(run.threads, blocks))) as pool:
        for _ in pool.map(work, range(blocks)):
            pass


def _by_kind(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image as the kernels take it: in single or in double precision, beside an empty one of the other kind."""
    if image.dtype == np.float32:
        return np.ascontiguousarray(image), np.zeros((0, 0))
    return np.zeros((0, 0), np.float32), np.ascontiguousarray(image, np.float64)


def adjoint(run: Rendered, flat: np.ndarray, factors: np.ndarray, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """J^T g: gradients with respect to the flat variables and the structure factors from ``grad`` (slow, fast).

    ``flat`` and ``factors`` may be complex (complex_step.py); the results then are.
    """
    from . import complex_step  # noqa: F401 - the formulas must know complex numbers before they are compiled
    from .adjoint_kernel import adjoint_rows, lattice_adjoint
    from .chunk_geometry import CHUNK, WORK_ROWS
    from .step_partials import ROWS

    _check(run)
    kind = np.result_type(flat, factors)
    flat, factors = flat.astype(kind), np.ascontiguousarray(factors, kind)
    sizes = run.variables.sizes
    v = split(flat, sizes)
    tables = tables_at(v, factors, run.experiment.tables)
    steps = len(tables.crystal.orientations)
    listed = factors.size > 1
    blocks = int(max(1, min(BLOCKS, BLOCK_BYTES // (factors.nbytes if listed else 1))))
    parts = np.zeros((blocks, len(flat)), kind)
    lattice = np.zeros((blocks, 2, steps, 9), kind)
    factors_parts = np.zeros((blocks, *factors.shape), kind)
    f0, f1, s0, s1 = run.experiment.geometry.window
    singles, doubles = _by_kind(grad)

    def work(block: int) -> None:
        adjoint_rows(
            (s0 + block, s1), blocks, (f0, f1), run.computed, singles, doubles, tables, run.first_pixel, run.leaving_pixel,
            lattice[block, 0], lattice[block, 1], split(parts[block], sizes), factors_parts[block], np.zeros((ROWS, CHUNK), kind),
            np.zeros((WORK_ROWS, CHUNK), kind), np.zeros(CHUNK), np.zeros(CHUNK, np.int64), np.zeros((2, CHUNK), kind),
        )  # fmt: skip

    _in_threads(run, blocks, work)
    total, lattice_bar = parts.sum(axis=0), lattice.sum(axis=0)
    bars = split(total, sizes)
    for angles, angles_bar, bar in ((v.angles, bars.angles, lattice_bar[0]), (v.first_angles, bars.first_angles, lattice_bar[1])):
        lattice_adjoint(
            v.axes, v.spindle, angles, v.mosaic.reshape(-1, 9), bar, bars.axes, bars.spindle, angles_bar, bars.mosaic.reshape(-1, 9)
        )
    return total, factors_parts.sum(axis=0)


def tangent(run: Rendered, flat: np.ndarray, factors: np.ndarray, flat_dot: np.ndarray, factors_dot: np.ndarray | None) -> np.ndarray:
    """J v: derivative images (K, slow, fast) along K directions ``flat_dot`` (K, variables) and ``factors_dot`` (K, h, k, l)."""
    if len(flat_dot) > DIRECTIONS_AT_ONCE:
        cuts = range(0, len(flat_dot), DIRECTIONS_AT_ONCE)
        parts = [slice(cut, cut + DIRECTIONS_AT_ONCE) for cut in cuts]
        return np.concatenate(
            [tangent(run, flat, factors, flat_dot[part], None if factors_dot is None else factors_dot[part]) for part in parts]
        )
    from . import complex_step  # noqa: F401 - so that kernels which both directions use are compiled once
    from .chunk_geometry import CHUNK, WORK_ROWS
    from .step_partials import ROWS
    from .tangent_kernel import CHANGE_ROWS, lattice_tangent, tangent_rows

    _check(run)
    sizes = run.variables.sizes
    v = split(flat, sizes)
    tables = tables_at(v, np.ascontiguousarray(factors), run.experiment.tables)
    directions, steps = len(flat_dot), len(tables.crystal.orientations)
    dots = Variables(*(np.ascontiguousarray(part) for part in _split_rows(np.asarray(flat_dot, np.float64), sizes)))
    if factors_dot is None:
        factors_dot = np.zeros((directions, 0, 0, 0))
    factors_dot = np.ascontiguousarray(factors_dot, np.float64)
    lattice_dot = np.zeros((2, directions, steps, 9))
    for k in range(directions):
        row = split(np.ascontiguousarray(flat_dot[k]), sizes)
        for n, (angles, angles_dot) in enumerate(((v.angles, row.angles), (v.first_angles, row.first_angles))):
            lattice_tangent(
                v.axes, v.spindle, angles, v.mosaic.reshape(-1, 9), row.axes, row.spindle, angles_dot, row.mosaic.reshape(-1, 9),
                lattice_dot[n, k],
            )  # fmt: skip
    out = np.zeros((directions, *run.computed.shape))
    f0, f1, s0, s1 = run.experiment.geometry.window

    def work(block: int) -> None:
        tangent_rows(
            (s0 + block, s1), BLOCKS, (f0, f1), run.computed, tables, run.first_pixel, run.leaving_pixel, lattice_dot[0], lattice_dot[1],
            dots, factors_dot, np.zeros((ROWS, CHUNK)), np.zeros((WORK_ROWS, CHUNK)), np.zeros((directions, CHANGE_ROWS, CHUNK)),
            np.zeros(CHUNK), np.zeros(CHUNK, np.int64), np.zeros((2, CHUNK)), out,
        )  # fmt: skip

    _in_threads(run, BLOCKS, work)
    return out


def _split_rows(rows: np.ndarray, sizes: tuple[int, ...]) -> list[Any]:
    return np.split(rows, np.cumsum(sizes)[:-1], axis=1)


def adjoint_tangent(
    run: Rendered, flat: np.ndarray, factors: np.ndarray, grad: np.ndarray, flat_dot: np.ndarray, factors_dot: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The derivative of ``adjoint`` along ``flat_dot`` and ``factors_dot``, by the complex step."""
    from .complex_step import STEP

    moved = factors if factors_dot is None else factors + 1j * STEP * factors_dot
    flat_bar, factors_bar = adjoint(run, flat + 1j * STEP * flat_dot, moved.astype(complex), grad)
    return flat_bar.imag / STEP, factors_bar.imag / STEP
