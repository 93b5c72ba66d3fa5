"""A contact sheet: small pictures of many images, logarithmic grey scale, as PNG."""

import io
import math
from collections.abc import Iterable

import numpy as np

from nanobragg_numba.files import preview

SIDE, GAP, LABEL = 160, 4, 12
"""Pixels of a picture's longer side, between pictures, and of the line of text below."""


def contact_sheet(images: Iterable[tuple[str, np.ndarray | None]], count: int) -> bytes:
    """PNG of ``count`` images (slow, fast), each with a label, row by row; None leaves a grey field. One is in memory at a time."""
    from PIL import Image, ImageDraw

    columns = max(1, math.ceil(math.sqrt(count)))
    lines = -(-count // columns)
    width, height = columns * (SIDE + GAP) + GAP, lines * (SIDE + LABEL + GAP) + GAP
    sheet = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(sheet)
    for at, (label, image) in enumerate(images):
        line, column = divmod(at, columns)
        x, y = GAP + column * (SIDE + GAP), GAP + line * (SIDE + LABEL + GAP)
        if image is None:
            draw.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill=208)
        else:
            sheet.paste(Image.open(io.BytesIO(preview.png(decimated(image, SIDE)))), (x, y))
        draw.text((x, y + SIDE), label, fill=0)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def decimated(image: np.ndarray, side: int) -> np.ndarray:
    """The image with its longer side cut down to at most ``side`` pixels: the largest of each block, so that no spot is lost."""
    step = max(1, -(-max(image.shape) // side))
    slow, fast = (-(-size // step) for size in image.shape)
    padded = np.zeros((slow * step, fast * step), image.dtype)
    padded[: image.shape[0], : image.shape[1]] = image
    blocks: np.ndarray = padded.reshape(slow, step, fast, step).max(axis=(1, 3))
    return blocks
