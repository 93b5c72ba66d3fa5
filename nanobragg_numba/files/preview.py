"""A picture to look at: the float image on a logarithmic grey scale, as PNG."""

import io

import numpy as np

MOST_CONTRAST = 1000.0


def png(image: np.ndarray) -> bytes:
    """PNG of ``image`` (slow, fast), dark where there are many photons.

    The scale runs, in logarithms, from the median of the pixels above zero to the 99.9th percentile, over no more than three decades:
    what is weaker beside the spots, no detector would show.
    """
    from PIL import Image

    lit = image[np.isfinite(image) & (image > 0)]
    low, high = np.percentile(lit, (50, 99.9)).astype(np.float64) if lit.size else (1.0, 10.0)
    low = max(low, high / MOST_CONTRAST)
    span = np.log(max(high / low, 10.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log(np.asarray(image, np.float64) / low) / span
    grey = 255 - 255 * np.clip(np.nan_to_num(level, nan=0.0), 0.0, 1.0)
    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()
