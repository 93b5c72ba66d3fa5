"""The derivatives of an image on a GPU: the adjoint and the tangent, through the source of the CPU's kernels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.derivatives.bundles import CHANGE_ROWS, ROWS, WORK_ROWS, AdjointWork, Changes, Gradients, Pixels, TangentWork
from nanobragg_numba.derivatives.differentiate import Rendered
from nanobragg_numba.derivatives.flat_variables import Variables
from nanobragg_numba.kernels.arguments import Tables

from .compilation import kernel, launch
from .derivative_code import PIXELS, derivative_names
from .device import explained, require_device
from .device_batch import wait_for
from .device_tables import tables_on_device
from .intrinsics import atomic_add
from .shared_sums import BINS, add_exactly, exact_totals

DIRECTIONS = 6
"""Directions that a thread of the tangent computes together."""

_names, _exact_names = derivative_names(atomic_add), derivative_names(add_exactly)
_adjoint_rows, _exact_adjoint_rows, _tangent_rows = _names["adjoint_rows"], _exact_names["adjoint_rows"], _names["tangent_rows"]


def _adjoint_kernel(adjoint_rows: Any) -> Any:
    """The kernel around one of the two ``adjoint_rows``."""

    @kernel
    def adjoint_pixels(window, mask, grad, tables, first_pixel, leaving_pixel, lattice_bar, first_bar, bars, factors_bar):  # type: ignore[no-untyped-def]
        """Add up the gradients of the pixels of ``window`` (start and end, fast and slow), PIXELS of a row a thread: ``adjoint_rows``."""
        work = AdjointWork(
            cuda.local.array((ROWS, PIXELS), np.float64),
            cuda.local.array((WORK_ROWS, PIXELS), np.float64),
            cuda.local.array(PIXELS, np.float64),
            cuda.local.array(PIXELS, np.int64),
            cuda.local.array((2, PIXELS), np.float64),
            cuda.local.array((1, 1), np.float64),
            cuda.local.array(1, np.int64),
        )
        gradients = Gradients(lattice_bar, first_bar, bars, factors_bar)
        fast_start, fast_end, slow_start, slow_end = window
        chunks = (fast_end - fast_start + PIXELS - 1) // PIXELS
        for task in range(cuda.grid(1), chunks * (slow_end - slow_start), cuda.gridsize(1)):
            slow, start = slow_start + task // chunks, fast_start + task % chunks * PIXELS
            end = start + PIXELS if start + PIXELS < fast_end else fast_end
            pixels = Pixels((start, end), mask, first_pixel, leaving_pixel, None)
            adjoint_rows((slow, slow + 1), 1, pixels, grad, grad, tables, gradients, work)

    return adjoint_pixels


adjoint_pixels, exact_adjoint_pixels = _adjoint_kernel(_adjoint_rows), _adjoint_kernel(_exact_adjoint_rows)


@kernel
def tangent_pixels(window, mask, tables, first_pixel, leaving_pixel, lattice_dot, first_dot, dots, factors_dot, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (K, slow, fast), one pixel a thread, K at most DIRECTIONS; see ``tangent_rows``."""
    rows = cuda.local.array((DIRECTIONS, CHANGE_ROWS, 1), np.float64)
    work = TangentWork(
        cuda.local.array((ROWS, 1), np.float64),
        cuda.local.array((WORK_ROWS, 1), np.float64),
        rows[: out.shape[0]],
        cuda.local.array(1, np.float64),
        cuda.local.array(1, np.int64),
        cuda.local.array((2, 1), np.float64),
        cuda.local.array((1, 1), np.float64),
        cuda.local.array(1, np.int64),
    )
    changes = Changes(lattice_dot, first_dot, dots, factors_dot)
    fast_start, fast_end, slow_start, slow_end = window
    width = fast_end - fast_start
    for pixel in range(cuda.grid(1), width * (slow_end - slow_start), cuda.gridsize(1)):
        slow, fast = slow_start + pixel // width, fast_start + pixel % width
        pixels = Pixels((fast, fast + 1), mask, first_pixel, leaving_pixel, None)
        _tangent_rows((slow, slow + 1), 1, pixels, tables, changes, work, out)


@dataclass(frozen=True)
class DeviceKernels:
    """``differentiate.Kernels`` on one GPU. Images and tables of structure factors are device arrays.

    ``stream``: where all is launched and copied. ``exact``: sums that do not depend on the order in which threads come to add, the same on
    every run. Raises InputError, naming the device, where there is none or the driver fails.
    """

    index: int
    stream: Any = 0
    exact: bool = False

    @property
    def name(self) -> str:
        """The device's name."""
        return f"cuda:{self.index}"

    def adjoint_sums(
        self, run: Rendered, tables: Tables, sizes: tuple[int, ...], grad: Any, with_factors: bool
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """See ``differentiate.Kernels``."""
        shape = tables.crystal.factors.shape
        steps = len(tables.crystal.orientations)
        with explained(self.name), require_device(self.index):
            flat = self._zeros(sum(sizes))
            lattice = self._zeros(2 * steps * 9)
            factors = self._zeros(int(np.prod(shape)) if with_factors else 0)
            ends = np.cumsum(sizes)
            bars = Variables(*(flat[end - size : end] for end, size in zip(ends, sizes, strict=True)))
            by_step = lattice.reshape(2, steps, 9, *lattice.shape[1:])
            window = run.experiment.geometry.window
            chunks = -(-(window[1] - window[0]) // PIXELS) * (window[3] - window[2])
            launch(
                exact_adjoint_pixels if self.exact else adjoint_pixels, max(chunks, 1), window, self._moved(run.computed), grad,
                tables_on_device(tables, self.stream), run.first_pixel, run.leaving_pixel, by_step[0], by_step[1], bars, factors,
                stream=self.stream,
            )  # fmt: skip
            totals = [self._totals(part) for part in ((flat, lattice, factors) if with_factors else (flat, lattice))]
            on_host = [part.copy_to_host(stream=self.stream) for part in totals[:2]]
            wait_for(self.stream)
        return on_host[0], on_host[1].reshape(2, steps, 9), totals[2].reshape(*shape) if with_factors else None

    def tangent_images(self, run: Rendered, tables: Tables, dots: Variables, lattice_dot: np.ndarray, factors_dot: Any) -> Any:
        """See ``differentiate.Kernels``."""
        directions = lattice_dot.shape[1]
        with explained(self.name), require_device(self.index):
            out = self._moved(np.zeros((directions, *run.computed.shape)))
            mask, on_device = self._moved(run.computed), tables_on_device(tables, self.stream)
            factors_dot = self._moved(np.zeros((directions, 0, 0, 0))) if factors_dot is None else factors_dot
            window = run.experiment.geometry.window
            pixels = max((window[1] - window[0]) * (window[3] - window[2]), 1)
            for start in range(0, directions, DIRECTIONS):
                part = slice(start, start + DIRECTIONS)
                changes = Variables(*(self._moved(np.ascontiguousarray(section[part])) for section in dots))
                by_step = [self._moved(np.ascontiguousarray(lattice_dot[n, part])) for n in range(2)]
                launch(
                    tangent_pixels, pixels, window, mask, on_device, run.first_pixel, run.leaving_pixel, *by_step, changes,
                    factors_dot[part], out[part], stream=self.stream,
                )  # fmt: skip
            wait_for(self.stream)
        return out

    def _zeros(self, n: int) -> Any:
        return self._moved(np.zeros((n, BINS), np.int64) if self.exact else np.zeros(n))

    def _moved(self, array: np.ndarray) -> Any:
        return cuda.to_device(array, self.stream)

    def _totals(self, sums: Any) -> Any:
        if not self.exact:
            return sums
        totals = cuda.device_array(sums.shape[0], np.float64, stream=self.stream)
        launch(exact_totals, sums.shape[0], sums, totals, stream=self.stream)
        return totals
