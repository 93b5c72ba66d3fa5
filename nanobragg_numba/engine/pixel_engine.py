"""An experiment's image, block by block of rows, on the CPU or a GPU."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import numpy as np

from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.parameters import PRECISIONS, Precision
from nanobragg_numba.kernels.arguments import PixelRecord, Tables
from nanobragg_numba.kernels.entries import count_rows, exact_rows, record_pixel, serial_solid_angle
from nanobragg_numba.kernels.reach.spots import reach_of
from nanobragg_numba.simd.entries import guarded_rows
from nanobragg_numba.simd.error_bound import WORK_SHAPE, is_supported, relative_error_bound
from nanobragg_numba.threads import number_of_threads

from .completed import completion_of
from .devices import gpu_index
from .exact_pixels import ExactPixels
from .regions import computed_pixels, mask_of_boxes

SECONDS_PER_BLOCK = 0.2
SECONDS_OF_EARLY_BLOCK, SHARE_OF_BLOCK = 0.008, 0.15
"""Early blocks, for whoever goes on from finished rows, take less, at most so much of the time spent so far."""
STEPS_OF_FIRST_BLOCK = 1_000_000
STEPS_WITHOUT_THREADS = 100_000
"""A thread would not have started before these are done."""
STEPS_OF_FIRST_GPU_BLOCK = 2_000_000_000


@dataclass(frozen=True)
class OutOfTable:
    """The step that turned interpolation off (Q2)."""

    pixel: int
    """Index of the pixel, slow times the image's width plus fast."""
    hkl: tuple[float, float, float]
    """Where the step is in reciprocal space, in fractions of the reciprocal axes."""
    nearest: tuple[int, int, int]
    """The reflection nearest to it."""


@dataclass(frozen=True)
class Block:
    """Some finished rows of the image."""

    slow_start: int
    """The first of the rows."""
    slow_end: int
    """The row behind the last."""
    computed: np.ndarray
    """(rows, fast) bool: pixels computed."""
    out_of_table: OutOfTable | None
    """The step that turned interpolation off, where that is in this block; None elsewhere."""


def require_dtype(dtype: Any) -> None:
    """Raise ValueError for what is no type of an image."""
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, not {np.dtype(dtype)}")


class PixelEngine:
    """Computes an experiment's image in blocks of rows, so that a caller can report, or stop, in between.

    Between blocks it carries what the reference leaks from pixel to pixel: whether interpolation is still on (Q2),
    where the first sweep is (Q1), and how often the polarization axis was made a unit vector (Q4).

    ``regions`` (n, 4): boxes (fast start, fast end, slow start, slow end) inside the window; other pixels are as if masked.
    """

    def __init__(
        self,
        experiment: Experiment,
        dtype: Any = np.float32,
        precision: Precision = "guarded",
        threads: int | None = None,
        device: str = "cpu",
        regions: np.ndarray | None = None,
    ):
        self.experiment = experiment
        self.threads = number_of_threads(threads)
        self.precision = _precision_in_force(experiment, dtype, precision)
        self.reach = reach_of(experiment.tables)
        self.recomputed = 0
        """Pixels whose rounding the guarded engine left to the exact one."""
        geometry = experiment.geometry
        shape = (geometry.slow_pixels, geometry.fast_pixels)
        self.image = np.zeros(shape, dtype)
        self.window = geometry.window
        self.computed = computed_pixels(experiment)
        self._masked = experiment.mask is not None or regions is not None
        if regions is not None:
            self.computed &= mask_of_boxes(regions, shape)
        tables = experiment.tables
        nothing = np.zeros((0, 0), np.float32), np.zeros((0, 0))
        self._images = (self.image, nothing[1]) if self.image.dtype == np.float32 else (nothing[0], self.image)
        self._omega_sums = np.zeros(shape[0])
        self._left = np.full(shape[0], -1)
        self._doubtful = np.zeros(shape if self.precision != "exact" else (0, 0), np.bool_)
        self.counts_evaluations = len(tables.beam.axes) > 1 and tables.beam.kahn != 0.0 and not tables.rules.spec
        self.seeks_first = tables.crystal.first_orientations is not tables.crystal.orientations
        self.first_pixel = -1
        self.evaluations_so_far = 0
        self.out_of_table: OutOfTable | None = None
        self.solid_angle_sum = 0.0
        self.cpu_reason: str | None = None
        """Why the CPU computes although a GPU is asked for."""
        index = gpu_index(device)
        self._gpu: Any = None if index is None else self._opened(index, precision)

    def _opened(self, index: int, precision: Precision) -> Any:
        """The engine on the GPU, or None where it does not cover the experiment. Raises InputError without a GPU."""
        from nanobragg_numba.gpu.coverage import reason_for_cpu
        from nanobragg_numba.gpu.device import require_device
        from nanobragg_numba.gpu.image_engine import DeviceEngine

        require_device(index)
        tables = self.experiment.tables
        self.cpu_reason = reason_for_cpu(tables, self.image.dtype, precision)
        if self.cpu_reason is not None:
            return None
        mask = self.computed if self._masked else None
        self._again = ExactPixels(self.image.shape)
        return DeviceEngine(index, tables, self.window, self.image.shape, mask, cast(Any, precision), self.image.dtype)

    def blocks(self) -> Iterator[Block]:
        """Compute the image, with background and shadow; yields after each block of rows."""
        completion = completion_of(self.experiment, self.threads)
        compute = self._compute_exact if self.precision == "exact" else self._compute_vectorised
        first_steps = STEPS_OF_FIRST_BLOCK
        if self._gpu is not None:
            compute, first_steps = self._compute_on_gpu, STEPS_OF_FIRST_GPU_BLOCK
        _, _, slow, slow_end = self.window
        rows = max(2 * self.threads, first_steps // (self.experiment.steps * self.image.shape[1]))
        spent = 0.0
        while slow < slow_end:
            end = min(slow + rows, slow_end)
            started = perf_counter()
            before = self.out_of_table
            steps = (end - slow) * self.image.shape[1] * self.experiment.steps
            compute(slow, end, self.threads if steps > STEPS_WITHOUT_THREADS else 0)
            if completion is not None:
                completion.complete(self.image, self.computed, slow, end)
            elapsed = perf_counter() - started
            spent += elapsed
            wanted = SECONDS_PER_BLOCK
            if self._gpu is None:
                wanted = min(wanted, max(SHARE_OF_BLOCK * spent, SECONDS_OF_EARLY_BLOCK))
            yield Block(slow, end, self.computed[slow:end], self.out_of_table if before is None else None)
            rows = max(self.threads, min(4 * rows, int(rows * wanted / max(elapsed, 1e-4))))
            slow = end
        self.solid_angle_sum = float(self._omega_sums.sum())

    def _compute_exact(self, slow: int, end: int, threads: int) -> None:
        evaluations = self.census(slow, end, threads)
        self._exact_rows(slow, end, threads, 2**62 if self.out_of_table is None else self.out_of_table.pixel, evaluations)
        left = self._left[slow:end]
        if self.out_of_table is None and (left >= 0).any():
            row = slow + int(np.argmax(left >= 0))
            fast = int(self._left[row])
            self.out_of_table = self._leaving_step(row, fast, int(evaluations[row, fast]) if evaluations.size > 1 else 0)
            # Pixels behind this one must not interpolate; those before it never left the table.
            self._exact_rows(row, end, threads, self.out_of_table.pixel, evaluations)

    def _exact_rows(self, slow: int, end: int, threads: int, last_interpolated: int, evaluations: np.ndarray) -> None:
        exact_rows.over_rows(
            (slow, end), threads, tuple, self.window[:2], self.computed, self.experiment.tables, self.first_pixel, last_interpolated,
            evaluations, *self._images, self._omega_sums, self._left,
        )  # fmt: skip

    def _compute_vectorised(self, slow: int, end: int, threads: int) -> None:
        self.census(slow, end, threads)
        while slow < end:
            leaving = self._vectorised_rows(slow, end, threads)
            if leaving < end:
                self._compute_exact(leaving, leaving + 1, 0)
            # No row behind it is interpolated any more (Q2).
            slow = leaving + 1

    def _vectorised_rows(self, slow: int, end: int, threads: int) -> int:
        """Compute the rows before the first in which a step leaves the table of structure factors ("c"); returns that row, or ``end``."""
        tables = self.experiment.tables
        tables = tables._replace(rules=tables.rules._replace(interpolate=tables.rules.interpolate and self.out_of_table is None))
        bound = relative_error_bound(tables) if self.precision == "guarded" else 0.0
        counts, left = np.zeros(len(self.image), np.int64), np.zeros(len(self.image), np.int64)
        guarded_rows.over_rows(
            (slow, end), threads, lambda: np.empty(WORK_SHAPE), self.window[:2], self.computed, tables, self.reach, self.first_pixel,
            bound, self.precision in ("mixed", "single"), *self._images, self._omega_sums, self._doubtful, counts, left,
        )  # fmt: skip
        leaving = _first_row(left, slow, end)
        doubtful = int(counts[slow:leaving].sum())
        if doubtful:
            again = threads if doubtful * self.experiment.steps > STEPS_WITHOUT_THREADS else 0
            leaving = _first_row(self._decide_doubtful(slow, leaving, again, tables), slow, leaving)
        self._doubtful[slow:end] = False
        self.recomputed += int(counts[slow:leaving].sum())
        return leaving

    def _decide_doubtful(self, slow: int, end: int, threads: int, tables: Tables) -> np.ndarray:
        """Recompute the doubtful pixels; (slow,) bool: the rows in which one of them left the table of structure factors (Q2)."""
        sums, left = np.zeros(len(self.image)), np.full(len(self.image), -1)
        exact_rows.over_rows(
            (slow, end), threads, tuple, self.window[:2], self._doubtful, tables, self.first_pixel, 2**62, np.zeros((1, 1), np.int64),
            *self._images, sums, left,
        )  # fmt: skip
        return left >= 0

    def _compute_on_gpu(self, slow: int, end: int, threads: int) -> None:
        self.census(slow, end, threads)
        doubtful = self._gpu.rows(slow, end, self.first_pixel, self.image, self._omega_sums)
        self._again.compute(doubtful, self.experiment.tables, self.first_pixel, threads, self._images)
        self.recomputed += len(doubtful)

    def census(self, slow: int, end: int, threads: int | None = None) -> np.ndarray:
        """Polarization factors computed before each pixel of the rows, and, as a side effect, the first pixel."""
        looks_for_first = self.seeks_first and self.first_pixel < 0
        computed, width = self.computed[slow:end], self.image.shape[1]
        if looks_for_first and self.experiment.tables.beam.dmin <= 0.0:
            if computed.any():
                self.first_pixel = slow * width + int(np.argmax(computed.ravel()))
            looks_for_first = False
        if not (looks_for_first or self.counts_evaluations):
            return np.zeros((1, 1), np.int64)
        counts, sweeps = np.zeros(self.image.shape, np.int64), np.zeros(self.image.shape, np.int64)
        tables = _without_orientations(self.experiment.tables)
        threads = self.threads if threads is None else threads
        count_rows.over_rows((slow, end), threads, tuple, self.window[:2], self.computed, tables, counts, sweeps)
        if looks_for_first and sweeps.any():
            self.first_pixel = int(np.argmax(sweeps.ravel() > 0))
        if not self.counts_evaluations:
            return np.zeros((1, 1), np.int64)
        running = np.cumsum(counts[slow:end].ravel()) + self.evaluations_so_far
        counts[slow:end] = (running - counts[slow:end].ravel()).reshape(computed.shape)
        self.evaluations_so_far = int(running[-1])
        return counts

    def _leaving_step(self, slow: int, fast: int, evaluation: int) -> OutOfTable:
        record = self.record(slow, fast, True, evaluation)
        h, k, l, h0, k0, l0 = record[PixelRecord.LEFT_TABLE]
        index = slow * self.experiment.tables.detector.fast_pixels + fast
        return OutOfTable(index, (float(h), float(k), float(l)), (int(h0), int(k0), int(l0)))

    def printed_solid_angle(self) -> float:
        """The sum of all solid angles, exact enough that six printed digits are the reference's.

        The blocks' sum differs from the serial one by rounding only; where that could show in print, the serial sum
        is worked out.
        """
        detector = self.experiment.tables.detector
        terms = np.count_nonzero(self.computed) * detector.layers * detector.oversample**2
        spread = 2.0 * (terms + 1) * 2.0**-53
        total, steps = self.solid_angle_sum, self.experiment.steps
        possible = (total * (1 - spread), total, total * (1 + spread))
        printed = {(f"{value / steps:g}", f"{100 * value / steps / 4 / math.pi:g}") for value in possible}
        if len(printed) == 1:
            return total
        result = np.zeros(1)
        serial_solid_angle(self.window, self.computed, self.experiment.tables, result)
        return float(result[0])

    def record(self, slow: int, fast: int, interpolate: bool, evaluation: int = 0) -> np.ndarray:
        """The intermediates of one pixel (see PixelRecord); nan, by ``PixelRecord.is_unset``, where it did not get so far."""
        record = np.full(PixelRecord.SIZE, PixelRecord.UNSET, np.int64).view(np.float64)
        tables = self.experiment.tables
        first = slow * tables.detector.fast_pixels + fast == self.first_pixel
        record_pixel(slow, fast, tables, first, interpolate and tables.rules.interpolate, evaluation, record)
        return record


def _precision_in_force(experiment: Experiment, dtype: Any, precision: Precision) -> Precision:
    """The engine that computes: what the vector loop does not cover, and doubles to the last bit, take the exact one."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if precision == "exact" or (precision == "guarded" and np.dtype(dtype) != np.float32):
        return "exact"
    return precision if is_supported(experiment.tables) else "exact"


def _first_row(marks: np.ndarray, slow: int, end: int) -> int:
    """The first of the rows that is marked, or ``end``."""
    marked = np.flatnonzero(marks[slow:end])
    return slow + int(marked[0]) if len(marked) else end


def _without_orientations(tables: Tables) -> Tables:
    none = np.zeros((0, 9))
    return tables._replace(crystal=tables.crystal._replace(orientations=none, first_orientations=none))
