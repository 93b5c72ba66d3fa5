"""Frames of a run in one HDF5 file: each image a chunk of its own, compressed by whoever made it.

A frame is compressed where it is computed (``encode``), and the process that writes only appends bytes (``write_frames``).
"""

import os
import threading
from collections.abc import Iterable
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .hdf5 import Path, fill_value, library, new_file, refusals

FRAMES = "/entry/data/data"
"""Where a file of frames has them."""
_ONE_AT_A_TIME = threading.Lock()
_NAMES = count()


@lru_cache(maxsize=2)
def _scratch(shape: tuple[int, ...], dtype: str) -> Any:
    """A dataset of one chunk in memory, through which HDF5's own filter compresses."""
    h5py = library("encode")
    import hdf5plugin

    # Without a chunk cache what is written is compressed at once.
    file = h5py.File(f"scratch{next(_NAMES)}", "w", driver="core", backing_store=False, rdcc_nbytes=0)
    return file.create_dataset("frame", shape=shape, dtype=dtype, chunks=shape, **hdf5plugin.Bitshuffle())


def encode(image: np.ndarray) -> bytes:
    """The HDF5 chunk of one image (slow, fast): bitshuffle and LZ4, as ``write_frames`` stores it; 3 ms for 1024x1024 counts.

    Any thread may call it. Raises InputError where h5py or hdf5plugin is missing.
    """
    frame = np.ascontiguousarray(image)
    with _ONE_AT_A_TIME:
        scratch = _scratch(frame.shape, frame.dtype.str)
        scratch[...] = frame
        scratch.flush()
        chunk: bytes = scratch.id.read_direct_chunk((0,) * frame.ndim)[1]
    return chunk


def decode(chunk: bytes, shape: tuple[int, int], dtype: Any) -> np.ndarray:
    """The image (slow, fast) in a chunk that ``encode`` made. Raises InputError for a chunk of an image of another size."""
    kind = np.dtype(dtype)
    _require_size(chunk, shape, kind, "decode")
    with _ONE_AT_A_TIME:
        scratch = _scratch(tuple(shape), kind.str)
        scratch.id.write_direct_chunk((0,) * len(shape), chunk)
        image: np.ndarray = scratch[...]
    return image


def _require_size(chunk: bytes, shape: tuple[int, ...], dtype: np.dtype, what: str) -> None:
    # bitshuffle puts the number of bytes before it compressed them first, the most significant one ahead.
    size, wanted = int.from_bytes(chunk[:8], "big"), int(np.prod(shape)) * dtype.itemsize
    if len(chunk) < 12 or size != wanted:
        raise InputError(f"{what}: a compressed image of {size} bytes, where {shape[0]}x{shape[1]} pixels of {dtype} have {wanted}")


def write_frames(path: Path, shape: tuple[int, int, int], dtype: Any, frames: Iterable[bytes | None], first: int = 1) -> None:
    """Write the consecutive frames of a run, of which ``first`` is the number of the first one, counted from 1.

    ``shape`` is (frames, slow, fast); panels of a detector stand one below the other along slow. Each of ``frames`` is what ``encode``
    made, or None for an image that failed: it has no chunk, and reads as NaN or as a number of all bits one. The dataset is
    ``FRAMES``. The file appears whole or not at all; its bytes depend on the arguments alone. Raises InputError where it cannot be
    written, for a chunk of another size, and for another number of frames.
    """
    name, kind = os.fspath(path), np.dtype(dtype)
    number, slow, fast = (int(size) for size in shape)
    if kind.kind not in "uif" or min(number, slow, fast) < 1:
        raise InputError(f"write_frames {name}: {number} frames of {slow}x{fast} pixels of {kind} are no images")
    with new_file(path, "write_frames") as file:
        with refusals(name):
            entry = group(file, "entry", "NXentry", default="data")
            data = group(entry, "data", "NXdata", signal="data")
            file.attrs["default"] = "entry"
            dataset = add_frames(data, (number, slow, fast), kind)
            dataset.attrs.update({"image_nr_low": first, "image_nr_high": first + number - 1})
        done = 0
        for done, chunk in enumerate(frames, 1):
            if done > number:
                break
            if chunk is not None:
                _require_size(chunk, (slow, fast), kind, f"write_frames {name}: frame {done}")
                with refusals(name):
                    dataset.id.write_direct_chunk((done - 1, 0, 0), chunk)
        if done != number:
            raise InputError(f"write_frames {name}: {'more' if done > number else done} frames where {number} are to be written")


def add_frames(data: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A new dataset "data" of frames, each a chunk."""
    import hdf5plugin

    dataset = data.create_dataset(
        "data", shape=shape, dtype=dtype, chunks=(1, *shape[1:]), fillvalue=fill_value(dtype), **hdf5plugin.Bitshuffle()
    )
    dataset.attrs["interpretation"] = "image"
    return dataset


def group(parent: Any, name: str, nexus_class: str, **attributes: str) -> Any:
    """A new group of a NeXus class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    made.attrs.update(attributes)
    return made
