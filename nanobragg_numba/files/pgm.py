"""8-bit grey images (PGM) with the reference's header, and any binary PGM read back."""

import re

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import c_format

MAGIC = b"P5"
LARGEST = 65535
HEADER = re.compile(rb"P5((?:\s|#[^\n\r]*[\n\r])+)(\d{1,9})((?:\s|#[^\n\r]*[\n\r])+)(\d{1,9})((?:\s|#[^\n\r]*[\n\r])+)(\d{1,9})\s")
"""Width, height and largest value; between any two of them space and comments, and one space before the pixels."""


def header(fast_pixels: int, slow_pixels: int, scale: float) -> bytes:
    """The header, comment line included."""
    return (f"P5\n{fast_pixels} {slow_pixels}\n" + c_format("# pixels scaled by %g\n", scale) + "255\n").encode()


def decode(content: bytes, where: str) -> np.ndarray:
    """(slow, fast): the pixels of a binary PGM, uint8 or, with values above 255, uint16.

    Raises InputError, beginning with ``where``, for what is none, or not a whole one.
    """
    found = HEADER.match(content)
    if found is None:
        raise InputError(f"{where}: its PGM header does not give width, height and largest value")
    fast, slow, largest = (int(found[group]) for group in (2, 4, 6))
    if fast < 1 or slow < 1 or not 0 < largest <= LARGEST:
        raise InputError(f"{where}: its PGM header says {fast}x{slow} pixels of at most {largest}")
    dtype = np.dtype(">u2" if largest > 255 else "u1")
    due = fast * slow * dtype.itemsize
    pixels = content[found.end() : found.end() + due]
    if len(pixels) < due:
        raise InputError(f"{where}: truncated, {len(pixels)} bytes of pixels where {fast}x{slow} need {due}")
    return np.frombuffer(pixels, dtype).reshape(slow, fast).astype(dtype.newbyteorder("="))
