"""Many images on one sheet: thumbnails on a logarithmic grey scale, as PNG."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.preview import brightest, encoded, grey, levels_above, pedestal

GAP, CAPTION = 4, 12
PAPER, INK, MISSING = 255, 0, 208


def contact_sheet(
    images: Iterable[np.ndarray | None],
    *,
    count: int | None = None,
    captions: Iterable[str] | None = None,
    thumbnail: int = 128,
    columns: int | None = None,
    most: int = 100,
) -> bytes:
    """PNG of a sheet with a thumbnail of each image (slow, fast), row by row, dark where there are many photons.

    ``images`` may be an iterator: one image is held at a time, and of each the thumbnail alone is kept, no more than ``most``. With their
    number ``count`` given, those ``most`` are spread evenly over all; otherwise they are the first, and no more are asked for. None stands
    for an image that is missing: a grey field. ``captions``: a text for each image, below it; by default its number, counted from 1.
    ``thumbnail``: pixels of the longer edge. A thumbnail's pixel is the brightest of those that it stands for, so that no spot is lost.
    Raises InputError for an image of other than two dimensions and for numbers that make no sheet, and where there are no images.
    """
    if thumbnail < 8 or most < 1 or (columns is not None and columns < 1) or (count is not None and count < 0):
        raise InputError("contact_sheet: thumbnail must be 8 or more, most and columns 1 or more, count 0 or more")
    chosen = None if count is None else set(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist())
    texts = None if captions is None else iter(captions)
    kept: list[tuple[np.ndarray | None, str]] = []
    for at, image in enumerate(images):
        text = str(at + 1) if texts is None else next(texts, "")
        if chosen is None or at in chosen:
            kept.append((None if image is None else _thumbnail(image, thumbnail, at), text))
        if len(kept) == (most if chosen is None else len(chosen)):
            break
    if not kept:
        raise InputError("contact_sheet: there are no images")
    return _sheet(kept, thumbnail, columns or math.ceil(math.sqrt(len(kept))))


def _thumbnail(image: np.ndarray, edge: int, at: int) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        raise InputError(f"contact_sheet: image {at + 1} is no image of shape (slow, fast), but of {pixels.dtype} {pixels.shape}")
    base = pedestal(pixels)
    shown = brightest(pixels, math.ceil(max(pixels.shape) / edge))
    return grey(shown - base, levels_above(shown - base)) if base else grey(shown)


def _sheet(kept: list[tuple[np.ndarray | None, str]], edge: int, columns: int) -> bytes:
    from PIL import Image, ImageDraw

    width, height = edge + GAP, edge + GAP + CAPTION
    rows, columns = math.ceil(len(kept) / columns), min(columns, len(kept))
    sheet: Any = Image.new("L", (GAP + columns * width, GAP + rows * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for at, (shade, text) in enumerate(kept):
        left, top = GAP + at % columns * width, GAP + at // columns * height
        if shade is None:
            draw.rectangle((left, top, left + edge - 1, top + edge - 1), fill=MISSING)
        else:
            slow, fast = shade.shape
            inset = left + (edge - fast) // 2, top + (edge - slow) // 2
            sheet.paste(Image.fromarray(shade), inset)
            draw.rectangle((inset[0] - 1, inset[1] - 1, inset[0] + fast, inset[1] + slow), outline=MISSING)
        draw.text((left, top + edge), _fitting(draw, text, edge), fill=INK)
    return encoded(sheet)


def _fitting(draw: Any, text: str, width: int) -> str:
    """As much of the text, from its end, as fits; the built-in font has Latin letters alone."""
    plain = text.encode("latin-1", "replace").decode("latin-1").replace("\n", " ")
    while plain and draw.textlength(plain) > width:
        plain = plain[1:]
    return plain
