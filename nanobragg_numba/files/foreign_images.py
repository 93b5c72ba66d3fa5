"""Images of other formats than SMV, through fabio."""

import os
import re
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .reading import read_bytes
from .smv import unpacked

PACKED = (b"\x1f\x8b", b"BZh")
CBF, CBF_PIXELS = b"###CBF", b"\x0c\x1a\x04\xd5"


def read(path: str, flag: str) -> np.ndarray:
    """The image in the file, (slow, fast). Raises InputError, naming ``flag`` and the file, for what is no single plain image."""
    _require_whole_cbf(path, flag)
    # Heavy, and needed for nothing else.
    import fabio

    try:
        data: Any = fabio.open(os.path.abspath(path)).data
    except Exception as error:
        # fabio's readers raise all sorts of exceptions on files they do not know.
        raise InputError(f"{flag} {path}: not an image that can be read ({type(error).__name__})") from None
    image = np.asarray(data)
    if image.ndim != 2 or image.dtype.kind not in "iuf" or image.size == 0:
        raise InputError(f"{flag} {path}: not a plain image, but numbers of shape {image.shape}")
    return image


def _require_whole_cbf(path: str, flag: str) -> None:
    """Raise InputError for a CBF file that was cut off: fabio reads on for ever where the mark before the pixels is missing."""
    content = read_bytes(path, flag)
    if content.startswith(PACKED):
        content = unpacked(content, f"{flag} {path}")
    if not content.startswith(CBF):
        return
    mark = content.find(CBF_PIXELS)
    size = re.search(rb"X-Binary-Size:\s*(\d+)", content[: max(mark, 0)])
    if mark < 0 or size is None or len(content) < mark + len(CBF_PIXELS) + int(size[1]):
        raise InputError(f"{flag} {path}: not a whole CBF image, but cut off before or in its pixels")
