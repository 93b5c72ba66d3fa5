"""A picture to look at: the float image on a logarithmic grey scale, as PNG."""

import io
import math
from typing import Any

import numpy as np

MOST_CONTRAST = 1000.0


def levels(image: np.ndarray) -> tuple[float, float]:
    """The pixel values between which the scale runs: from the median of the pixels above zero to the 99.9th percentile.

    No more than three decades: what is weaker beside the spots, no detector would show; and no less than one.
    """
    lit = image[np.isfinite(image) & (image > 0)]
    low, high = np.percentile(lit, (50, 99.9)).astype(np.float64) if lit.size else (1.0, 10.0)
    low = max(low, high / MOST_CONTRAST)
    return float(low), float(max(high, 10.0 * low))


def pedestal(image: np.ndarray) -> float:
    """What stands in the pixels without photons: the value that more than half of them hold, such as the 40 of the integer images, else 0.

    A logarithmic scale from there up would hide what lies a little above it.
    """
    finite = image[np.isfinite(image)]
    if not finite.size:
        return 0.0
    middle = float(np.median(finite))
    most = 2 * np.count_nonzero(finite == middle) > finite.size
    return middle if most and 0.0 < middle < float(finite.max()) else 0.0


def levels_above(pixels: np.ndarray) -> tuple[float, float]:
    """The same for pixels whose pedestal has been taken off: few are lit, and those are spots.

    From the least of them, no more than three decades and no less than one below their 98th percentile.
    """
    lit = pixels[np.isfinite(pixels) & (pixels > 0.0)]
    high = float(np.percentile(lit, 98.0)) if lit.size else 10.0
    least = float(lit.min()) if lit.size else 1.0
    return min(max(least, high / MOST_CONTRAST), high / 10.0), high


def grey(image: np.ndarray, between: tuple[float, float] | None = None) -> np.ndarray:
    """uint8 grey of an image in its shape, dark where there are many photons; logarithmic ``between`` two values, by default ``levels``."""
    low, high = levels(image) if between is None else between
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(np.asarray(image, np.float64) / low) / np.log(high / low)
    shade: np.ndarray = (255 - 255 * np.clip(np.nan_to_num(level, nan=0.0), 0.0, 1.0)).astype(np.uint8)
    return shade


def brightest(image: np.ndarray, factor: int) -> np.ndarray:
    """The image with ``factor`` x ``factor`` pixels made one, of the value of the brightest; nan where none is a number."""
    if factor <= 1:
        return image
    slow, fast = (math.ceil(edge / factor) for edge in image.shape)
    kind = image.dtype if image.dtype.kind == "f" else np.float64
    padded = np.full((slow * factor, fast * factor), np.nan, kind)
    padded[: image.shape[0], : image.shape[1]] = image
    blocks = padded.reshape(slow, factor, fast, factor)
    return np.asarray(np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1))


def png(image: np.ndarray) -> bytes:
    """PNG of ``image`` (slow, fast), dark where there are many photons."""
    from PIL import Image

    return encoded(Image.fromarray(grey(image)))


def encoded(picture: Any) -> bytes:
    """PNG of one of pillow's images."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
