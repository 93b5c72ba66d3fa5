"""The guarded engine on a GPU: one pixel a thread, all in double precision, each pixel's rounding proven or the pixel left to the CPU."""

from contextlib import suppress
from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.plain_run import in_precision
from nanobragg_numba.tables import Tables

from .compilation import kernel, launch, without_contraction
from .coverage import gpu_error_bound
from .device import explained, require_device, require_device_memory
from .device_code import pixel_value
from .intrinsics import SIMULATED


@kernel
def pixel_rows(tables, window, masked, mask, first_pixel, bound, image, omega_sums):  # type: ignore[no-untyped-def]
    """Compute the pixels of ``window`` (start and end, fast and slow) into ``image`` (slow, fast); if ``masked``, only those of ``mask``.

    nan marks the pixels that the exact CPU kernel must compute: those whose rounding to single precision is in doubt by ``bound`` (0: no
    guard), ``first_pixel``, and those beyond the proof. ``omega_sums`` (slow, fast) gets each pixel's sum of solid angles.
    """
    fast_start, fast_end, slow_start, slow_end = window
    width = fast_end - fast_start
    for i in range(cuda.grid(1), width * (slow_end - slow_start), cuda.gridsize(1)):
        slow, fast = slow_start + i // width, fast_start + i % width
        if masked and not mask[slow, fast]:
            continue
        value, omega_sum, _, _, _ = pixel_value(fast, slow, tables, False, False, 0, None)
        if bound > 0.0 and np.float32(value * (1.0 - bound)) != np.float32(value * (1.0 + bound)):
            value = np.nan
        if slow * tables.detector.fast_pixels + fast == first_pixel:
            value = np.nan
        # The reference adds to a single-precision zero: -0 becomes +0.
        image[slow, fast] = value + 0.0
        omega_sums[slow, fast] = omega_sum


@kernel
def row_sums(window, values, sums):  # type: ignore[no-untyped-def]
    """Add up the rows of ``window``, always in the same order."""
    fast_start, fast_end, slow_start, slow_end = window
    for slow in range(slow_start + cuda.grid(1), slow_end, cuda.gridsize(1)):
        total = 0.0
        for fast in range(fast_start, fast_end):
            total += values[slow, fast]
        sums[slow] = total


class DeviceEngine:
    """An experiment's tables and image in a GPU's memory; computes rows of it.

    Raises InputError, naming the device, where there is none, where the image does not fit, or where the driver fails.
    """

    def __init__(
        self,
        index: int,
        tables: Tables,
        window: tuple[int, int, int, int],
        shape: tuple[int, int],
        mask: np.ndarray | None,
        guarded: bool,
        dtype: Any,
    ):
        self.name = f"cuda:{index}"
        self.device = require_device(index)
        self.window = window
        self.bound = gpu_error_bound(tables) if guarded else 0.0
        with explained(self.name), self.device:
            pixels = shape[0] * shape[1]
            lists = [array for table in tables for array in table if isinstance(array, np.ndarray)]
            needed = pixels * (np.dtype(dtype).itemsize + 8 + (mask is not None)) + sum(array.nbytes for array in lists)
            require_device_memory(needed, self.name, f"an image of {shape[1]}x{shape[0]} pixels with its tables")
            self.tables: Any = _on_device(tables)
            self.masked = mask is not None
            self.mask: Any = cuda.to_device(mask if mask is not None else np.zeros((1, 1), np.bool_))
            # Pixels outside the mask are never written.
            self.image = cuda.to_device(np.zeros(shape, dtype))
            self.omega_sums = cuda.to_device(np.zeros(shape))
            self.row_sums = cuda.to_device(np.zeros(shape[0]))
        # Compiles, so that the first rows take no longer than the others.
        self.launch(window[2], window[2], -1)

    def launch(self, slow: int, end: int, first_pixel: int) -> None:
        """Start computing rows; does not wait for them. An empty range computes nothing."""
        window = (*self.window[:2], slow, end)
        pixels = max((window[1] - window[0]) * (end - slow), 1)
        with explained(self.name), self.device, without_contraction(), np.errstate(all="ignore"):
            launch(pixel_rows, pixels, self.tables, window, self.masked, self.mask, first_pixel, self.bound, self.image, self.omega_sums)
            launch(row_sums, max(end - slow, 1), window, self.omega_sums, self.row_sums)

    def rows(self, slow: int, end: int, first_pixel: int, image: np.ndarray, omega_sums: np.ndarray) -> None:
        """Compute the rows into ``image`` (slow, fast) and their sums of solid angles into ``omega_sums`` (slow,)."""
        self.launch(slow, end, first_pixel)
        with explained(self.name), self.device:
            self.image[slow:end].copy_to_host(image[slow:end])
            self.row_sums[slow:end].copy_to_host(omega_sums[slow:end])

    def __del__(self) -> None:
        # The driver frees memory in the context that is current then.
        with suppress(Exception), self.device:
            self.tables = self.mask = self.image = self.omega_sums = self.row_sums = None

    def wait(self) -> None:
        """Wait for what was launched."""
        with explained(self.name), self.device:
            cuda.synchronize()


def _on_device(tables: Tables) -> Tables:
    """The tables as kernels take them: short vectors as tuples, which are passed by value, and the lists in device memory."""
    if SIMULATED:
        # As scalars of numpy, which divide by zero as C does.
        tables = in_precision(tables, np.float64)
    detector, crystal = tables.detector, tables.crystal
    vectors: dict[str, Any] = {name: tuple(getattr(detector, name)) for name in ("fast", "slow", "normal", "beam", "pix0")}
    detector = detector._replace(**vectors)
    crystal = crystal._replace(star=tuple(crystal.star))  # type: ignore[arg-type]

    def moved(table: Any) -> Any:
        return type(table)(*(cuda.to_device(value) if isinstance(value, np.ndarray) else value for value in table))

    # The run's first sweep is the CPU's.
    crystal = moved(crystal._replace(first_orientations=crystal.orientations[:1]))
    return Tables(moved(detector), moved(tables.beam), crystal, moved(tables.rules))
