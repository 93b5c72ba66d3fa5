"""Images as nb-compare reads them: SMV, raw floats, and whatever else fabio knows."""

import os
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files import smv
from nanobragg_numba.files.reading import read_bytes

Size = tuple[int, int]


def is_raw(path: str) -> bool:
    """Whether the file holds bare floats, going by its name."""
    return path.endswith(".bin")


def read_image(path: str, flag: str, size: Size | None) -> np.ndarray:
    """The image in a file, (slow, fast); uint16 from SMV, float32 from raw floats.

    ``size`` (fast, slow) is needed for raw floats alone. Raises InputError, naming ``flag`` and the file, for what is no
    image or is of another size.
    """
    if is_raw(path):
        return _raw(path, flag, size)
    content = read_bytes(path, flag)
    if content.startswith(b"{\nHEADER_BYT"):
        return smv.read(path, flag).pixels()
    return _foreign(path, flag)


def _raw(path: str, flag: str, size: Size | None) -> np.ndarray:
    content = read_bytes(path, flag)
    if size is None:
        raise InputError(f"{flag} {path}: raw floats need their size: --size FAST SLOW")
    fast, slow = size
    if len(content) != 4 * fast * slow:
        raise InputError(f"{flag} {path}: {len(content)} bytes where {fast}x{slow} floats need {4 * fast * slow}")
    return np.frombuffer(content, "<f4").reshape(slow, fast)


def _foreign(path: str, flag: str) -> np.ndarray:
    # Heavy, and needed for nothing else.
    import fabio

    try:
        data: Any = fabio.open(os.path.abspath(path)).data
    except Exception as error:
        # fabio's readers raise all sorts of exceptions on files they do not know.
        raise InputError(f"{flag} {path}: not an image that can be read ({type(error).__name__})") from None
    image = np.asarray(data)
    if image.ndim != 2 or image.dtype.kind not in "iuf":
        raise InputError(f"{flag} {path}: not a plain image, but numbers of shape {image.shape}")
    return image
