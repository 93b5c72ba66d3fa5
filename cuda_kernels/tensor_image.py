"""The guarded image in a caller's device array, for the torch bridge: nothing but the pixels in doubt passes through the host."""

from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.engine.exact_pixels import ExactPixels
from nanobragg_numba.engine.pixel_engine import PixelEngine

from .compilation import kernel, launch
from .coverage import reason_for_cpu
from .device import explained, require_device
from .device_batch import DeviceBatch, wait_for


@kernel
def put_pixels(pixels, values, image):  # type: ignore[no-untyped-def]
    """Put ``values`` into the pixels of those indices."""
    for i in range(cuda.grid(1), pixels.shape[0], cuda.gridsize(1)):
        image[pixels[i] // image.shape[1], pixels[i] % image.shape[1]] = values[i]


def compute_image(index: int, engine: PixelEngine, out: Any, stream: Any) -> str | None:
    """Compute ``engine``'s image into ``out`` (slow, fast), float32 or float64, zero before, on GPU ``index``, in ``stream``.

    Each pixel, rounded to single precision, is the reference's. Returns None, or why the GPU does not cover the experiment, as a clause;
    then nothing is computed. Leaves the place of the run's first sweep in ``engine``. Waits for the stream, not for the device.
    """
    tables = engine.experiment.tables
    require_device(index)
    reason = reason_for_cpu(tables, np.float32, "guarded")
    if reason is not None:
        return reason
    _, _, slow_start, slow_end = engine.window
    engine.census(slow_start, slow_end)
    masked = engine.experiment.mask is not None
    batch = DeviceBatch(index, tables, 1, 1, masks=engine.computed[None] if masked else None)
    batch.load([tables], first_pixels=[engine.first_pixel], mask_numbers=[0 if masked else -1], stream=stream)
    batch.render(out.reshape(1, *out.shape), np.array([(0, *engine.window)], np.int64), stream=stream)
    pixels = batch.doubtful(stream)
    image = engine.image
    with explained(batch.name), batch.device:
        if pixels is None:
            out.copy_to_host(image, stream=stream)
            wait_for(stream)
            pixels = np.flatnonzero(np.isnan(image))
        if len(pixels):
            nothing = np.zeros((0, 0), np.float32), np.zeros((0, 0))
            images = (image, nothing[1]) if image.dtype == np.float32 else (nothing[0], image)
            ExactPixels(image.shape).compute(pixels, tables, engine.first_pixel, engine.threads, images)
            values = image.ravel()[pixels]
            launch(put_pixels, len(pixels), cuda.to_device(pixels, stream), cuda.to_device(values, stream), out, stream=stream)
            wait_for(stream)
    return None
