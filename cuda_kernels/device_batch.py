"""Images of a batch on a GPU: their tables in its memory, and the launch that computes them into an array there."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numba import cuda
from numba.cuda.cudadrv.devicearray import is_cuda_ndarray

from nanobragg_numba.errors import InputError
from nanobragg_numba.kernels.arguments import Tables

from .compilation import launch_blocks, resident_shape, without_contraction
from .coverage import gpu_error_bound
from .device import explained, require_device
from .forward import StepPrecision, kernel_for
from .image_numbers import COUNT, Common, Images, can_share_launch, common_of, numbers_of, pixels_in, tile_starts, traits_of, whole_images
from .intrinsics import SIMULATED

DOUBTFUL = 65536
"""So many pixels of a launch can be listed as doubtful; if there are more, the image must be searched for nan."""
TILES_A_BLOCK, MOST_PIXELS_A_THREAD = 8, 8
"""A block should get several tiles, so that all end at the same time, but each thread some pixels of a tile."""
DevicePrecision = Literal["guarded", "double", "mixed", "single"]
KERNEL_OF: dict[str, StepPrecision] = {"guarded": "double", "double": "double", "mixed": "mixed", "single": "single"}


class DeviceBatch:
    """Room for the tables of ``images`` images, and for ``boxes`` boxes, in the memory of GPU ``index``.

    All images share what ``like`` has in its ``Common``, and the number of steps and of sources. ``precision``: "guarded"
    computes the pixels whose rounding to single precision is proven, and lists the others; "double" proves nothing; "mixed"
    and "single" are faster and less exact (docs/performance.md). ``factors``: np.float64, or np.float32 for a table of structure
    factors of half the size, which changes the result unless each of them is a float32; "guarded" refuses that.
    ``masks`` (masks, slow, fast) bool: which pixels are computed; see ``load``.

    Nothing here waits for the whole device. ``load``, ``render`` and ``doubtful`` take the stream (numba's) in which their
    copies and launches go, in order; ``load`` waits for its own last copies from the host, ``doubtful`` for the stream. Until the stream
    has been waited for, neither the batch nor the array rendered into may be freed.

    Raises InputError, naming the device, where there is none or its driver fails.
    """

    def __init__(
        self,
        index: int,
        like: Tables,
        images: int,
        boxes: int,
        *,
        precision: DevicePrecision = "guarded",
        factors: Any = np.float64,
        masks: np.ndarray | None = None,
        doubtful: int = DOUBTFUL,
        shared: "DeviceBatch | None" = None,
    ):
        self.index, self.name = index, f"cuda:{index}"
        self.device = require_device(index)
        self.precision, self.like, self.capacity, self.count = precision, like, images, 0
        self.kernel = kernel_for(KERNEL_OF[precision], traits_of(like))
        shapes = _shapes(like, images)
        kinds = _kinds(precision)
        with explained(self.name), self.device:
            if shared is None:
                self.common: Any = _common_on_device(like, precision, factors)
                self.masks: Any = cuda.to_device(masks if masks is not None else np.zeros((0, 1, 1), np.bool_))
            else:
                self.common, self.masks = shared.common, shared.masks
            self.images: Any = Images(*(cuda.device_array(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)))
            self._staged = Images(*(cuda.pinned_array(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)))
            self._boxes, self._starts = cuda.device_array((boxes, 5), np.int64), cuda.device_array(boxes + 1, np.int64)
            self._staged_boxes, self._staged_starts = cuda.pinned_array((boxes, 5), np.int64), cuda.pinned_array(boxes + 1, np.int64)
            self._doubtful, self._found = cuda.device_array(doubtful, np.int64), cuda.device_array(1, np.int64)
            self._listed, self._counted = cuda.pinned_array(doubtful, np.int64), cuda.pinned_array(1, np.int64)
            self._none = cuda.to_device(np.zeros(1, np.int64))
            self._no_sums = cuda.device_array((0, 0, 0), np.float64)
            self._copied = cuda.event()

    def load(
        self,
        tables: Sequence[Tables],
        *,
        first_pixels: Sequence[int] | None = None,
        mask_numbers: Sequence[int] | None = None,
        stream: Any = 0,
    ) -> None:
        """Put these images' tables in place of the last ones.

        ``first_pixels``: of each image the index of the pixel with the run's first sweep, left to the CPU, or -1 (the default).
        ``mask_numbers``: of each image which of the masks holds, or -1 (the default).
        """
        if len(tables) > self.capacity:
            raise ValueError(f"{len(tables)} images in a batch with room for {self.capacity}")
        for at, one in enumerate(tables):
            if not (one is self.like or can_share_launch(self.like, one)):
                raise ValueError(
                    f"image {at} cannot share a launch with the first: shape, switches, steps, sources or structure factors differ"
                )
        self.count = count = len(tables)
        with explained(self.name), self.device:
            self._copied.synchronize()
            staged = self._staged
            for at, one in enumerate(tables):
                numbers_of(one, gpu_error_bound(one) if self.precision == "guarded" else 0.0, staged.numbers[at])
                staged.orientations[at] = one.crystal.orientations
                staged.incident[at], staged.wavelengths[at], staged.weights[at] = one.beam.incident, one.beam.wavelengths, one.beam.weights
            staged.wholes[:count, 0] = -1 if first_pixels is None else first_pixels
            staged.wholes[:count, 1] = -1 if mask_numbers is None else mask_numbers
            if count:
                for host, device in zip(staged, self.images, strict=True):
                    device[:count].copy_to_device(host[:count], stream=stream)
            self._copied.record(stream)

    def prepare(self, out: Any, omega_sums: Any = None) -> tuple[int, int]:
        """Compile for arrays like these; returns the blocks that the device holds at once, and the threads of each."""
        with explained(self.name), self.device, self._contraction():
            return resident_shape(self.kernel, *self._arguments(1, out, omega_sums))

    def render(self, out: Any, boxes: np.ndarray | None = None, *, omega_sums: Any = None, stream: Any = 0) -> None:
        """Start computing the boxes of the images into ``out`` (images, slow, fast), float32 or float64, on the device; does not wait.

        ``boxes`` (n, 5) int64 on the host: image, fast start and end, slow start and end; None: all pixels of all images. Other pixels
        of ``out`` are left as they are. Pixels listed by ``doubtful`` become nan. ``omega_sums``: like ``out``, float64, gets sums of
        solid angles. ``out`` may be any array with the CUDA array interface, a tensor for one; what is queued on it in other streams
        is the caller's to order.
        """
        boxes = whole_images(self.count, (0, out.shape[2], 0, out.shape[1])) if boxes is None else boxes
        pixels = pixels_in(boxes)
        if len(boxes) > len(self._staged_boxes):
            raise ValueError(f"{len(boxes)} boxes in a batch with room for {len(self._staged_boxes)}")
        with explained(self.name), self.device, np.errstate(all="ignore"):
            out = out if SIMULATED or is_cuda_ndarray(out) else cuda.as_cuda_array(out, sync=False)
            blocks, size = self.prepare(out, omega_sums)
            self._found.copy_to_device(self._none, stream=stream)
            if pixels == 0:
                return
            tile = size * min(max(-(-pixels // (blocks * TILES_A_BLOCK * size)), 1), MOST_PIXELS_A_THREAD)
            starts = tile_starts(boxes, tile)
            self._copied.synchronize()
            # Boxes behind the last have no tiles.
            self._staged_boxes[: len(boxes)] = boxes
            self._staged_starts[: len(starts)], self._staged_starts[len(starts) :] = starts, starts[-1]
            self._boxes[: len(boxes)].copy_to_device(self._staged_boxes[: len(boxes)], stream=stream)
            self._starts.copy_to_device(self._staged_starts, stream=stream)
            self._copied.record(stream)
            launch_blocks(self.kernel, min(blocks, int(starts[-1])), size, *self._arguments(tile, out, omega_sums), stream=stream)

    def copy_doubtful(self, stream: Any = 0) -> None:
        """Start copying the list of doubtful pixels to the host; does not wait."""
        with explained(self.name), self.device:
            self._found.copy_to_host(self._counted, stream=stream)
            self._doubtful.copy_to_host(self._listed, stream=stream)

    def listed(self) -> np.ndarray | None:
        """What ``copy_doubtful`` copied, once its stream has been waited for; see ``doubtful``."""
        found = int(self._counted[0])
        return None if found > len(self._listed) else np.unique(self._listed[:found])

    def doubtful(self, stream: Any = 0) -> np.ndarray | None:
        """Wait for the stream; the indices, counted through ``out``, of the pixels that the last ``render`` left to the exact CPU kernel.

        None if they were too many for the list: then they are the pixels of the boxes that are nan.
        """
        self.copy_doubtful(stream)
        with explained(self.name), self.device:
            wait_for(stream)
        return self.listed()

    def _contraction(self) -> Any:
        return without_contraction(KERNEL_OF[self.precision] == "double")

    def _arguments(self, tile: int, out: Any, omega_sums: Any) -> tuple[Any, ...]:
        sums = self._no_sums if omega_sums is None else omega_sums
        return (self.common, self.images, self.masks, self._boxes, self._starts, tile, out, sums, self._doubtful, self._found)

    def __del__(self) -> None:
        # The driver frees memory in the context that is current then.
        with suppress(Exception), self.device:
            for name in list(vars(self)):
                if name != "device":
                    setattr(self, name, None)


def wait_for(stream: Any) -> None:
    """Wait for a stream of the current device; 0 is the default one."""
    (cuda.default_stream() if stream == 0 and not SIMULATED else stream or cuda).synchronize()


def render(
    index: int,
    tables: Sequence[Tables],
    out: Any,
    *,
    boxes: np.ndarray | None = None,
    precision: DevicePrecision = "guarded",
    factors: Any = np.float64,
    stream: Any = 0,
) -> DeviceBatch:
    """Start computing images into ``out`` (images, slow, fast) on GPU ``index``, in ``stream``; does not wait for it.

    See ``DeviceBatch``, which is returned: keep it until the stream has been waited for, and ask it for ``doubtful`` pixels.
    A caller's own stream is ``cuda.external_stream(pointer)``.
    """
    batch = DeviceBatch(index, tables[0], len(tables), len(tables) if boxes is None else len(boxes), precision=precision, factors=factors)
    batch.load(tables, stream=stream)
    batch.render(out, boxes, stream=stream)
    return batch


def bytes_of_images(like: Tables, images: int, boxes: int, precision: DevicePrecision) -> int:
    """What a ``DeviceBatch`` takes of the device's memory, what all images share apart."""
    kinds = zip(_shapes(like, images), _kinds(precision), strict=True)
    return sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in kinds) + 48 * boxes + 8 * DOUBTFUL + 4096


def _shapes(like: Tables, images: int) -> tuple[tuple[int, ...], ...]:
    steps, sources = len(like.crystal.orientations), len(like.beam.wavelengths)
    return ((images, COUNT), (images, 2), (images, steps, 9), (images, sources, 3), (images, sources), (images, sources))


def _kinds(precision: DevicePrecision) -> tuple[Any, ...]:
    lattice = np.float32 if precision == "single" else np.float64
    return (np.float64, np.int64, lattice, np.float64, np.float64, np.float64)


def _common_on_device(like: Tables, precision: DevicePrecision, kind: Any) -> Common:
    common = common_of(like)
    table = common.factors.astype(kind)
    if precision == "guarded" and not np.array_equal(table, common.factors):
        raise InputError("structure factors that are not single precision need a table of doubles where each pixel's rounding is proven")
    return common._replace(factors=cuda.to_device(table))
