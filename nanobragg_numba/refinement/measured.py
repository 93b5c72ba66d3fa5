"""Measured images in photons, and which of their pixels are looked at: shoeboxes about predicted spots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.panels.detector import Box, PanelDetector
from nanobragg_numba.prediction.spots import Spots

STRONG = 5.0
"""Standard deviations above the background that make a pixel strong."""
TILE = 16
"""Pixels along an edge of the squares whose median is their background."""


@dataclass(frozen=True)
class Measured:
    """One image."""

    photons: np.ndarray
    """(slow, fast) float64: (counts - offset) / gain."""
    good: np.ndarray
    """(slow, fast) bool: pixels that count."""
    readout: float = 0.0
    """Standard deviation of the read-out noise in photons."""
    name: str = ""


def measured(
    counts: np.ndarray, *, gain: float = 1.0, offset: float = 0.0, readout: float = 0.0, good: np.ndarray | None = None, name: str = ""
) -> Measured:
    """An image from counts = offset + gain * photons, with read-out noise of standard deviation ``readout`` counts.

    ``good`` (slow, fast) bool: False for bad pixels; those whose counts are not finite are bad as well. Raises InputError for what is no
    image, and for a gain that is not positive or a readout below 0.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iuf" or counts.size == 0:
        raise InputError(f"{name or 'counts'}: must be an image (slow, fast), not {counts.dtype} of shape {counts.shape}")
    if not (0.0 < gain < math.inf and 0.0 <= readout < math.inf and math.isfinite(offset)):
        raise InputError(f"gain must be positive and readout 0 or more, not gain {gain!r}, readout {readout!r}, offset {offset!r}")
    use: np.ndarray = np.isfinite(counts)
    if good is not None:
        if np.shape(good) != counts.shape:
            raise InputError(f"{name or 'good'}: the mask has shape {np.shape(good)}, and the image {counts.shape}")
        use = np.asarray(use & (np.asarray(good) != 0))
    photons: np.ndarray = (np.where(use, counts, 0).astype(np.float64) - offset) / gain
    return Measured(np.where(use, photons, 0.0), use, readout / gain, name)


def panel_of(shot: Measured, box: Box, mask: np.ndarray | None) -> Measured:
    """The part of a stacked image that a panel has: slow start, slow end, fast start, fast end; ``mask`` is 0 at its bad pixels."""
    slow, slow_end, fast, fast_end = box
    photons, good = (array[slow:slow_end, fast:fast_end] for array in (shot.photons, shot.good))
    return replace(shot, photons=photons, good=good if mask is None else good & (mask != 0))


def stacked(images: Sequence[np.ndarray], detector: PanelDetector) -> np.ndarray:
    """(slow, fast): the images of all panels in one, as ``simulate_panels`` stacks them; what is between them is nan.

    Raises InputError for another number of images than of panels, and for images of another size.
    """
    if len(images) != len(detector):
        raise InputError(f"{len(images)} images for a detector of {len(detector)} panels")
    whole = np.full(detector.shape, np.nan)
    for image, panel, (slow, slow_end, fast, fast_end) in zip(images, detector.panels, detector.boxes, strict=True):
        if np.shape(image) != panel.shape:
            raise InputError(f"the image of panel {panel.name!r} has shape {np.shape(image)}, and the panel {panel.shape}")
        whole[slow:slow_end, fast:fast_end] = image
    return whole


def strong_pixels(shot: Measured) -> np.ndarray:
    """(slow, fast) bool: good pixels that stand ``STRONG`` standard deviations above the median of their square of ``TILE`` pixels."""
    slow, fast = shot.photons.shape
    rows, columns = -(-slow // TILE), -(-fast // TILE)
    padded = np.full((rows * TILE, columns * TILE), np.nan)
    padded[:slow, :fast] = np.where(shot.good, shot.photons, np.nan)
    tiles = padded.reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(rows, columns, -1)
    empty = np.asarray(np.isnan(tiles).all(axis=2))
    median: np.ndarray = np.where(empty, 0.0, np.nanmedian(np.where(empty[..., None], 0.0, tiles), axis=2))
    background = np.repeat(np.repeat(median, TILE, 0), TILE, 1)[:slow, :fast]
    # A background of no photons still has pixels of one or two.
    noise = np.sqrt(np.maximum(background, 0.1) + shot.readout**2)
    found: np.ndarray = shot.good & (shot.photons - background > STRONG * noise)
    return found


@dataclass(frozen=True)
class Pixels:
    """The pixels of one image, or of a panel of it, that are fitted, in order of slow, fast."""

    mask: np.ndarray
    """(slow, fast) bool."""
    index: torch.Tensor
    """(pixels, 3): shot, slow, fast."""
    boxes: torch.Tensor
    """(pixels,): which box each belongs to, the one with the nearest centre where several overlap."""
    photons: torch.Tensor
    """(pixels,)"""
    readout: float
    spots: Spots = field(repr=False)
    """The spots, a box each."""

    def __len__(self) -> int:
        return len(self.photons)


def pixels_of(shot: Measured, spots: Spots, number: int, least: int) -> Pixels:
    """The good pixels in the boxes of ``spots``; boxes of fewer than ``least`` pixels of their own are left out."""
    mask, kept = _labelled(shot, spots), np.arange(len(spots))
    while True:
        labels = _nearest(mask, spots, kept)
        counts = np.bincount(labels, minlength=len(kept)) if len(kept) else np.zeros(0, np.int64)
        enough = counts >= least
        if enough.all():
            break
        kept = kept[enough]
        mask = _labelled(shot, spots[kept])
    slow, fast = np.nonzero(mask)
    index = torch.from_numpy(np.stack([np.full(len(slow), number), slow, fast], 1))
    return Pixels(mask, index, torch.from_numpy(labels), torch.from_numpy(shot.photons[mask]), shot.readout, spots[kept])


def _labelled(shot: Measured, spots: Spots) -> np.ndarray:
    mask = np.zeros(shot.photons.shape, np.bool_)
    for fast, fast_end, slow, slow_end in spots.box:
        mask[slow:slow_end, fast:fast_end] = True
    return mask & shot.good


def _nearest(mask: np.ndarray, spots: Spots, kept: np.ndarray) -> np.ndarray:
    """(pixels,): of the boxes that hold a pixel, the one whose centre is nearest."""
    label, distance = np.full(mask.shape, -1), np.full(mask.shape, np.inf)
    for number, row in enumerate(kept):
        fast, fast_end, slow, slow_end = spots.box[row]
        y, x = np.mgrid[slow:slow_end, fast:fast_end] + 0.5
        there = (y - spots.centre[row, 0]) ** 2 + (x - spots.centre[row, 1]) ** 2
        window = slice(slow, slow_end), slice(fast, fast_end)
        nearer = there < distance[window]
        distance[window] = np.where(nearer, there, distance[window])
        label[window] = np.where(nearer, number, label[window])
    return label[mask]
