"""Images as nb-compare reads them: SMV, raw floats, and whatever else fabio knows."""

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files import foreign_images, smv
from nanobragg_numba.files.reading import read_bytes

Size = tuple[int, int]


def is_raw(path: str) -> bool:
    """Whether the file holds bare floats, going by its name."""
    return path.endswith(".bin")


def read_image(path: str, flag: str, size: Size | None) -> np.ndarray:
    """The image in a file, (slow, fast); from SMV in the file's type, float32 from raw floats.

    ``size`` (fast, slow) is needed for raw floats alone. Raises InputError, naming ``flag`` and the file, for what is no
    image or is of another size.
    """
    if is_raw(path):
        return _raw(path, flag, size)
    if smv.is_smv(path, flag):
        return smv.read(path, flag).pixels()
    return foreign_images.read(path, flag)


def _raw(path: str, flag: str, size: Size | None) -> np.ndarray:
    content = read_bytes(path, flag)
    if size is None:
        raise InputError(f"{flag} {path}: raw floats need their size: --size FAST SLOW")
    fast, slow = size
    if len(content) != 4 * fast * slow:
        raise InputError(f"{flag} {path}: {len(content)} bytes where {fast}x{slow} floats need {4 * fast * slow}")
    return np.frombuffer(content, "<f4").reshape(slow, fast)
