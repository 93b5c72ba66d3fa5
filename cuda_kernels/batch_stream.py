"""A batch on GPUs, part after part: each device computes one while the last is copied back and used; several devices take turns."""

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.engine.exact_pixels import ExactPixels

from .batch_plan import Group, Part, slots_for
from .compilation import launch, without_contraction
from .device import explained, require_device
from .device_batch import DeviceBatch, DevicePrecision
from .forward import clear

AHEAD = 1
"""Finished parts that a device's thread may keep for a caller that is slower."""
PATIENCE = 0.2
"""Seconds after which a thread that waits for the caller looks whether he is gone."""


class Slot:
    """One part in the works: its tables and images on the device, its images on the host, and a stream."""

    def __init__(
        self, index: int, group: Group, shape: tuple[int, int], dtype: Any, precision: DevicePrecision, factors: Any, other: "Slot | None"
    ):
        self.device, self.name = require_device(index), f"cuda:{index}"
        self.group = group
        like = group.jobs[0].tables
        with explained(self.name), self.device:
            self.stream: Any = cuda.stream()
            self.out: Any = cuda.device_array((group.size, *shape), dtype)
            self.images: Any = cuda.pinned_array((group.size, *shape), dtype)
        self.batch: DeviceBatch = DeviceBatch(
            index, like, group.size, group.boxes, precision=precision, factors=factors, masks=group.masks,
            shared=None if other is None else other.batch,
        )  # fmt: skip
        self.part: Part | None = None

    def start(self, part: Part) -> None:
        """Start computing the part, and copying it back; does not wait."""
        self.part = part
        chosen = slice(part.start, part.end)
        jobs, count = part.group.jobs[chosen], part.end - part.start
        self.batch.load(
            [job.tables for job in jobs],
            first_pixels=[job.first_pixel for job in jobs],
            mask_numbers=part.group.mask_numbers[chosen],
            stream=self.stream,
        )
        boxes = [(image, *box) for image, job in enumerate(jobs) for box in job.boxes]
        # Else what the last part left would show beside the boxes.
        whole = all(
            job.mask is None and len(job.boxes) == 1 and (job.boxes[0] == (0, self.out.shape[2], 0, self.out.shape[1])).all()
            for job in jobs
        )
        if not whole:
            with explained(self.name), self.device, without_contraction():
                launch(clear, self.out.shape[0] * self.out.shape[1], self.out, stream=self.stream)
        self.batch.render(self.out, np.array(boxes, np.int64).reshape(len(boxes), 5), stream=self.stream)
        with explained(self.name), self.device:
            self.out[:count].copy_to_host(self.images[:count], stream=self.stream)
        self.batch.copy_doubtful(self.stream)

    def finish(self, exact: ExactPixels, threads: int) -> np.ndarray:
        """Wait for the part, and recompute what is in doubt; its images (n, slow, fast), which the next ``start`` overwrites."""
        part = self.part
        if part is None:
            raise RuntimeError("no part was started")
        with explained(self.name), self.device:
            self.stream.synchronize()
        images: np.ndarray = self.images[: part.end - part.start]
        listed = self.batch.listed()
        doubtful = np.flatnonzero(np.isnan(images)) if listed is None else listed
        pixels = images[0].size
        nothing = np.zeros((0, 0), np.float32), np.zeros((0, 0))
        for image in np.unique(doubtful // pixels):
            job = part.group.jobs[part.start + image]
            own = doubtful[doubtful // pixels == image] - image * pixels
            pair = (images[image], nothing[1]) if images.dtype == np.float32 else (nothing[0], images[image])
            exact.compute(own, job.tables, job.first_pixel, threads, pair)
        return images

    def __del__(self) -> None:
        # The driver frees memory in the context that is current then.
        with suppress(Exception), self.device:
            self.stream.synchronize()
            self.batch = self.out = self.images = None  # type: ignore[assignment]


def parts_on(
    index: int, parts: Sequence[Part], shape: tuple[int, int], dtype: Any, precision: DevicePrecision, factors: Any, threads: int
) -> Iterator[np.ndarray]:
    """The images of each part (n, slow, fast); they hold until the next part is asked for."""
    exact = ExactPixels(shape)
    slots: list[Slot] = []
    waiting: Slot | None = None
    turn = 0
    for part in parts:
        if not slots or slots[0].group is not part.group:
            if waiting is not None:
                yield waiting.finish(exact, threads)
                waiting = None
            slots.clear()
            turn = 0
            few = sum(other.group is part.group for other in parts) == 1
            for _ in range(1 if few else slots_for(part.group, index, shape, dtype, precision, factors)):
                slots.append(Slot(index, part.group, shape, dtype, precision, factors, slots[0] if slots else None))
        slot = slots[turn % len(slots)]
        turn += 1
        if slot is waiting:
            yield waiting.finish(exact, threads)
            waiting = None
        slot.start(part)
        if waiting is not None:
            yield waiting.finish(exact, threads)
        waiting = slot
    if waiting is not None:
        yield waiting.finish(exact, threads)


def parts_on_all(
    indices: Sequence[int],
    parts: Sequence[Part],
    shape: tuple[int, int],
    dtype: Any,
    precision: DevicePrecision,
    factors: Any,
    threads: int,
) -> Iterator[np.ndarray]:
    """The same from several devices, each of which has a thread and takes every so many-th part."""
    if len(indices) == 1:
        yield from parts_on(indices[0], parts, shape, dtype, precision, factors, threads)
        return
    gone = threading.Event()
    finished: list[queue.Queue[np.ndarray | BaseException]] = [queue.Queue(AHEAD) for _ in indices]

    def hand_over(to: queue.Queue[np.ndarray | BaseException], what: np.ndarray | BaseException) -> None:
        while not gone.is_set():
            with suppress(queue.Full):
                to.put(what, timeout=PATIENCE)
                return

    def work(number: int) -> None:
        to = finished[number]
        try:
            for images in parts_on(indices[number], parts[number :: len(indices)], shape, dtype, precision, factors, threads):
                hand_over(to, images.copy())
                if gone.is_set():
                    return
        except BaseException as failure:
            hand_over(to, failure)

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(indices))]
    for worker in workers:
        worker.start()
    try:
        for number in range(len(parts)):
            images = finished[number % len(indices)].get()
            if isinstance(images, BaseException):
                raise images
            yield images
    finally:
        gone.set()
        for worker in workers:
            worker.join()
