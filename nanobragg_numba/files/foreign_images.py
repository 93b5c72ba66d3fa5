"""Images of other formats than SMV, through fabio."""

import os
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError


def read(path: str, flag: str) -> np.ndarray:
    """The image in the file, (slow, fast). Raises InputError, naming ``flag`` and the file, for what is no single plain image."""
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
