"""Boxes of pixels, such as shoeboxes around spots: the only ones that are computed."""

from collections.abc import Sequence

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment

Box = tuple[int, int, int, int]
"""Fast start, fast end, slow start, slow end; ends not included."""
LARGEST_END = 2**31
"""Of a box; no image is larger."""


def boxes_inside(boxes: Sequence[Box], window: Box) -> np.ndarray:
    """The boxes (n, 4) as far as they are inside the window, the empty ones left out. Raises InputError."""
    try:
        given = np.array([[float(end) for end in box] for box in boxes]).reshape(len(boxes), 4)
    except (TypeError, ValueError, OverflowError):
        given = np.full((1, 4), np.nan)
    if not (np.abs(given) <= LARGEST_END).all() or not (given == np.rint(given)).all():
        raise InputError("a box of regions must hold four whole numbers: fast start, fast end, slow start, slow end")
    if (given[:, 0] > given[:, 1]).any() or (given[:, 2] > given[:, 3]).any():
        raise InputError("a box of regions must not end before it starts: fast start, fast end, slow start, slow end")
    low, high = np.array(window)[[0, 0, 2, 2]], np.array(window)[[1, 1, 3, 3]]
    clipped = np.clip(given.astype(np.int64), low, np.maximum(low, high))
    return clipped[(clipped[:, 0] < clipped[:, 1]) & (clipped[:, 2] < clipped[:, 3])]


def computed_pixels(experiment: Experiment) -> np.ndarray:
    """(slow, fast) bool: the pixels of the window that are not masked out."""
    geometry = experiment.geometry
    computed = np.zeros((geometry.slow_pixels, geometry.fast_pixels), np.bool_)
    fast, fast_end, slow, slow_end = geometry.window
    if fast_end > fast and slow_end > slow:
        inside = slice(slow, slow_end), slice(fast, fast_end)
        computed[inside] = True if experiment.mask is None else experiment.mask[inside]
    return computed


def mask_of_boxes(boxes: Sequence[Box] | np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(slow, fast) bool: the pixels of an image of ``shape`` that are in any of the boxes."""
    mask = np.zeros(shape, np.bool_)
    for fast, fast_end, slow, slow_end in boxes:
        mask[slow:slow_end, fast:fast_end] = True
    return mask
