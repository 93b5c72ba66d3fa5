"""The forward kernel: tiles of boxes of the images of a batch, several pixels a thread; a single image is a batch of one."""

from functools import cache
from types import FunctionType
from typing import Any, Literal

import numpy as np
from numba import cuda

from .compilation import device_function, kernel
from .device_code import device_names
from .image_numbers import AXIS, BOUND, COUNT, Traits, tables_for

StepPrecision = Literal["double", "mixed", "single"]
"""Of a step's arithmetic; geometry is worked out and steps are added up in double precision in all of them."""
REGISTERS = 128
"""Sixteen warps a multiprocessor. Without a limit the compiler keeps the image's numbers in registers through all steps, 170 to 240 of
them; with it, some are spilled (docs/performance.md)."""
pixel_value: Any = None
image_tables: Any = None
"""What each kernel has of its own (``kernel_for``)."""


def box_of(starts, tile):  # type: ignore[no-untyped-def]
    """The box with that tile: the last one that starts no later."""
    low, high = 0, starts.shape[0] - 2
    while low < high:
        middle = (low + high + 1) // 2
        if starts[middle] <= tile:
            low = middle
        else:
            high = middle - 1
    return low


find_box = device_function(box_of)


def pixel_tiles(common, images, masks, boxes, starts, tile, image, omega_sums, doubtful, found):  # type: ignore[no-untyped-def]
    """Compute the pixels of ``boxes`` (image, fast start and end, slow start and end) into ``image`` (images, slow, fast).

    A block takes one tile, ``tile`` pixels of a box, after another; ``starts`` tells which box has it (``tile_starts``). It keeps
    its image's numbers in shared memory. Of an image with a mask, of ``masks`` (masks, slow, fast), only the pixels that it tells to.

    nan marks the pixels that the exact CPU kernel must compute: those whose rounding to single precision is in doubt by the
    image's bound (0: no guard), the run's first, and those beyond the proof. Their indices, counted through all images, go into
    ``doubtful`` as far as it goes, and ``found[0]`` counts them. ``omega_sums``, of the shape of ``image`` or (0, 0, 0), gets
    each pixel's sum of solid angles.
    """
    n = cuda.shared.array(COUNT, np.float64)
    axes = cuda.shared.array((1, 3), np.float64)
    for t in range(cuda.blockIdx.x, starts[starts.shape[0] - 1], cuda.gridDim.x):
        box = find_box(starts, t)
        at = int(boxes[box, 0])
        # The last tile's numbers are no longer needed.
        cuda.syncthreads()
        for i in range(cuda.threadIdx.x, COUNT, cuda.blockDim.x):
            n[i] = images.numbers[at, i]
        for i in range(cuda.threadIdx.x, 3, cuda.blockDim.x):
            axes[0, i] = images.numbers[at, AXIS + i]
        cuda.syncthreads()
        tables = image_tables(n, axes, common, images.orientations[at], images.incident[at], images.wavelengths[at], images.weights[at])
        bound, first_pixel, mask = n[BOUND], images.wholes[at, 0], images.wholes[at, 1]
        fast_start, slow_start = int(boxes[box, 1]), int(boxes[box, 3])
        width = int(boxes[box, 2]) - fast_start
        start = (t - int(starts[box])) * tile
        pixels = width * (int(boxes[box, 4]) - slow_start)
        # numba's own CUDA does not know min of whole numbers.
        end = start + tile if start + tile < pixels else pixels
        for i in range(start + cuda.threadIdx.x, end, cuda.blockDim.x):
            slow, fast = slow_start + i // width, fast_start + i % width
            if mask >= 0 and not masks[mask, slow, fast]:
                continue
            value, omega_sum, _, _, _ = pixel_value(slow, fast, tables, False, False, 0, None)
            if bound > 0.0 and np.float32(value * (1.0 - bound)) != np.float32(value * (1.0 + bound)):
                value = np.nan
            if slow * common.fast_pixels + fast == first_pixel:
                value = np.nan
            # The reference adds to a single-precision zero: -0 becomes +0.
            image[at, slow, fast] = value + 0.0
            if omega_sums.shape[0] > 0:
                omega_sums[at, slow, fast] = omega_sum
            if value != value:
                place = cuda.atomic.add(found, 0, 1)
                if place < doubtful.shape[0]:
                    doubtful[place] = (at * image.shape[1] + slow) * image.shape[2] + fast


@cache
def kernel_for(precision: StepPrecision, traits: Traits) -> Any:
    """``pixel_tiles`` for images of those traits; compiled when it is first launched."""
    return kernel(with_functions(device_names(precision=precision, listed=traits.listed)["pixel_value"], traits), REGISTERS)


def with_functions(value: Any, traits: Traits) -> FunctionType:
    """``pixel_tiles`` that calls ``value`` for ``pixel_value``, for images of those traits."""
    names = {**pixel_tiles.__globals__, "pixel_value": value, "image_tables": device_function(tables_for(traits))}
    return FunctionType(pixel_tiles.__code__, names, "pixel_tiles")


@kernel
def row_sums(window, values, sums):  # type: ignore[no-untyped-def]
    """Add up the rows of ``window`` of the first image, always in the same order."""
    fast_start, fast_end, slow_start, slow_end = window
    for slow in range(slow_start + cuda.grid(1), slow_end, cuda.gridsize(1)):
        total = 0.0
        for fast in range(fast_start, fast_end):
            total += values[0, slow, fast]
        sums[slow] = total


@kernel
def clear(image):  # type: ignore[no-untyped-def]
    """Set all pixels of the images (images, slow, fast) to zero, row by row."""
    rows = image.shape[1]
    for i in range(cuda.grid(1), image.shape[0] * rows, cuda.gridsize(1)):
        for fast in range(image.shape[2]):
            image[i // rows, i % rows, fast] = 0.0
