"""One image on a GPU, row by row: a batch of one, for the engine of engine/pixel_engine.py."""

from contextlib import suppress
from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.kernels.arguments import Tables

from .compilation import launch, without_contraction
from .device import explained, require_device, require_device_memory
from .device_batch import DeviceBatch, DevicePrecision, bytes_of_images
from .forward import row_sums


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
        precision: DevicePrecision,
        dtype: Any,
    ):
        self.name = f"cuda:{index}"
        self.device = require_device(index)
        self.window, self.tables, self.masked = window, tables, mask is not None
        with explained(self.name), self.device:
            pixels = shape[0] * shape[1]
            needed = pixels * (np.dtype(dtype).itemsize + 8 + self.masked) + tables.crystal.factors.nbytes
            needed += bytes_of_images(tables, 1, 1, precision)
            require_device_memory(needed, self.name, f"an image of {shape[1]}x{shape[0]} pixels with its tables")
            # Pixels outside the mask are never written.
            self.image = cuda.to_device(np.zeros((1, *shape), dtype))
            self.omega_sums = cuda.to_device(np.zeros((1, *shape)))
            self.row_sums = cuda.to_device(np.zeros(shape[0]))
        self.batch = DeviceBatch(index, tables, 1, 1, precision=precision, masks=None if mask is None else mask[None])
        self.first_pixel: int | None = None
        # So that the first rows take no longer than the others.
        self.batch.prepare(self.image, self.omega_sums)
        self.launch(window[2], window[2], -1)

    def launch(self, slow: int, end: int, first_pixel: int) -> None:
        """Start computing rows; does not wait for them. An empty range computes nothing."""
        if first_pixel != self.first_pixel:
            self.batch.load([self.tables], first_pixels=[first_pixel], mask_numbers=[0 if self.masked else -1])
            self.first_pixel = first_pixel
        window = (*self.window[:2], slow, end)
        self.batch.render(self.image, np.array([(0, *window)], np.int64), omega_sums=self.omega_sums)
        with explained(self.name), self.device, without_contraction(), np.errstate(all="ignore"):
            launch(row_sums, max(end - slow, 1), window, self.omega_sums, self.row_sums)

    def rows(self, slow: int, end: int, first_pixel: int, image: np.ndarray, omega_sums: np.ndarray) -> np.ndarray:
        """Compute the rows into ``image`` (slow, fast) and their sums of solid angles into ``omega_sums`` (slow,).

        Returns the indices, in the image, of the pixels that are left to the exact CPU kernel.
        """
        self.launch(slow, end, first_pixel)
        with explained(self.name), self.device:
            self.image[0, slow:end].copy_to_host(image[slow:end])
            self.row_sums[slow:end].copy_to_host(omega_sums[slow:end])
        doubtful = self.batch.doubtful()
        return doubtful if doubtful is not None else slow * image.shape[1] + np.flatnonzero(np.isnan(image[slow:end]))

    def __del__(self) -> None:
        # The driver frees memory in the context that is current then.
        with suppress(Exception), self.device:
            self.batch = self.image = self.omega_sums = self.row_sums = None  # type: ignore[assignment]

    def wait(self) -> None:
        """Wait for what was launched."""
        with explained(self.name), self.device:
            cuda.synchronize()
