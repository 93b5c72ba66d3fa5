"""How a batch is cut into parts that fit a GPU's memory: settled before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.errors import InputError
from nanobragg_numba.kernels.arguments import Tables

from .device import explained, require_device
from .device_batch import DevicePrecision, bytes_of_images
from .image_numbers import can_share_launch

SLOTS = 2
"""While one part is copied back, recomputed where in doubt, and used by the caller, the next one is computed."""
PARTS_A_DEVICE = 4
"""A batch is cut into so many parts for that, memory or not, ..."""
PART_BYTES = 256 * 2**20
"""... or into more, of no more bytes of images: each slot has as much of the host's memory, locked."""
USABLE = 0.9
"""Of the free memory: the rest is for the code and for what the allocator cannot use."""


@dataclass(frozen=True)
class Job:
    """One image of a batch."""

    tables: Tables
    boxes: np.ndarray
    """(n, 4) int64: fast start and end, slow start and end."""
    mask: np.ndarray | None
    """(slow, fast) bool: the pixels that are computed; None: all."""
    first_pixel: int
    """The index of the pixel with the run's first sweep, or -1."""


@dataclass(frozen=True)
class Group:
    """Images that can share a launch."""

    jobs: Sequence[Job]
    masks: np.ndarray | None
    """(masks, slow, fast): those of the images, each once."""
    mask_numbers: Sequence[int]
    """Of each image, the number of its mask, or -1."""
    size: int
    """Images in a part."""

    @property
    def boxes(self) -> int:
        """Room for so many boxes is enough for any part."""
        return max(self.size * max(len(job.boxes) for job in self.jobs), 1)


@dataclass(frozen=True)
class Part:
    """Images of one launch: the group's, from ``start`` to ``end``."""

    group: Group
    start: int
    end: int


def grouped(jobs: Sequence[Job]) -> list[list[Job]]:
    """Neighbours that can share a launch, together."""
    groups: list[list[Job]] = []
    for job in jobs:
        if groups and can_share_launch(groups[-1][0].tables, job.tables):
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups


def plan(
    jobs: Sequence[Job], indices: Sequence[int], shape: tuple[int, int], dtype: Any, precision: DevicePrecision, factors: Any
) -> tuple[list[Part], str | None]:
    """The parts, in order, and a sentence where memory makes them smaller than they would be.

    Raises InputError, naming the device, where not even one image fits.
    """
    free = [free_bytes(index) for index in indices]
    name, least = f"cuda:{indices[int(np.argmin(free))]}", min(free)
    parts: list[Part] = []
    said = None
    for members in grouped(jobs):
        masks, numbers = _distinct_masks(members)
        like, pixels = members[0].tables, shape[0] * shape[1]
        shared = like.crystal.factors.size * np.dtype(factors).itemsize + (0 if masks is None else masks.nbytes)
        most_boxes = max(len(job.boxes) for job in members)
        fixed, image = bytes_of_images(like, 0, 0, precision), pixels * np.dtype(dtype).itemsize
        each = image + bytes_of_images(like, 1, most_boxes, precision) - fixed
        room = USABLE * least - shared
        if fixed + each > room:
            needed, there = (shared + fixed + each) / 2**30, least / 2**30
            raise InputError(
                f"-device {name}: an image of {shape[1]}x{shape[0]} pixels with its tables needs {needed:.2g} GiB of the GPU's memory, "
                f"and {there:.2g} GiB are free"
            )
        wanted = min(max(PART_BYTES // image, 1), -(-len(members) // (PARTS_A_DEVICE * len(indices))))
        size = max(int(min(wanted, (room - SLOTS * fixed) / (SLOTS * each))), 1)
        group = Group(members, masks, numbers, size)
        made = [Part(group, start, min(start + size, len(members))) for start in range(0, len(members), size)]
        if size < wanted:
            said = f"device {name}: {least / 2**30:.2g} GiB of memory are free: {len(members)} images are computed in {len(made)} parts"
        parts += made
    return parts, said


def slots_for(group: Group, index: int, shape: tuple[int, int], dtype: Any, precision: DevicePrecision, factors: Any) -> int:
    """How many parts of the group can be in the device's memory at once: one where two single images do not fit."""
    fixed = bytes_of_images(group.jobs[0].tables, group.size, group.boxes, precision)
    shared = group.jobs[0].tables.crystal.factors.size * np.dtype(factors).itemsize + (0 if group.masks is None else group.masks.nbytes)
    each = fixed + group.size * shape[0] * shape[1] * np.dtype(dtype).itemsize
    return SLOTS if shared + SLOTS * each <= USABLE * free_bytes(index) else 1


def free_bytes(index: int) -> float:
    """Free memory of the GPU, in bytes."""
    device = require_device(index)
    with explained(f"cuda:{index}"), device:
        return float(cuda.current_context().get_memory_info().free)


def _distinct_masks(jobs: Sequence[Job]) -> tuple[np.ndarray | None, list[int]]:
    masks: list[np.ndarray] = []
    numbers = []
    for job in jobs:
        if job.mask is None:
            numbers.append(-1)
            continue
        # Mostly it is the last one again.
        same = (number for number in reversed(range(len(masks))) if np.array_equal(masks[number], job.mask))
        number = next(same, None)
        if number is None:
            number = len(masks)
            masks.append(job.mask)
        numbers.append(number)
    return (np.stack(masks) if masks else None), numbers
