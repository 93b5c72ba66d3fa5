"""miniCBF: whole counts, compressed by byte offsets, behind a block of comments."""

import base64
import hashlib
from collections.abc import Iterable

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files.output import Chunk

from .header import CONVENTION, comments

LARGEST = 2**31 - 1
FRACTIONS = "a CBF file holds whole numbers, and would cut fractions of photons off: save as .edf, .npy or .bin instead"
MARK = b"\x0c\x1a\x04\xd5"
END_OF_LINE = "\r\n"


def contents(image: np.ndarray, x: Experiment, saturation: int | None = None) -> Iterable[Chunk]:
    """The bytes of a file with counts (slow, fast) of any type that holds whole numbers; negative ones mark pixels without a value.

    ``saturation``: the largest count that can be trusted, by default the largest that the type, or the file, holds. Raises InputError for
    fractions, for numbers beyond 32 bits, and for a geometry that the comments have no words for.
    """
    counts = whole_counts(image)
    if saturation is None:
        saturation = min(int(np.iinfo(image.dtype).max), LARGEST) if image.dtype.kind in "iu" else LARGEST
    # Heavy, and needed for nothing else.
    from fabio.compression import compByteOffset

    packed = bytes(compByteOffset(np.ascontiguousarray(counts)))
    lines = [f"# {line}" for line in comments(x, saturation)]
    start = ["###CBF: VERSION 1.5, nanobragg_numba", "", "data_image", "", f'_array_data.header_convention "{CONVENTION}"']
    start += ["_array_data.header_contents", ";", *lines, ";", "", "_array_data.data", ";", *_binary_header(counts, packed), ""]
    yield END_OF_LINE.join([*start, ""]).encode("ascii")
    yield MARK + packed
    yield END_OF_LINE.join(["", "--CIF-BINARY-FORMAT-SECTION----", ";", ""]).encode("ascii")


def whole_counts(image: np.ndarray) -> np.ndarray:
    """The image as int32. Raises InputError for fractions, and for numbers beyond 32 bits."""
    if image.dtype.kind == "f" and not (np.isfinite(image).all() and (image == np.rint(image)).all()):
        raise InputError(FRACTIONS)
    if image.max(initial=0) > LARGEST or image.min(initial=0) < -LARGEST - 1:
        raise InputError(f"a CBF file holds counts up to {LARGEST}, not {image.max():g}: save as .h5 or .npy instead")
    return image.astype(np.int32)


def _binary_header(counts: np.ndarray, packed: bytes) -> list[str]:
    slow, fast = counts.shape
    return [
        "--CIF-BINARY-FORMAT-SECTION--", "Content-Type: application/octet-stream;", '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY", f"X-Binary-Size: {len(packed)}", "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"', "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        f"Content-MD5: {base64.b64encode(hashlib.md5(packed).digest()).decode()}", f"X-Binary-Number-of-Elements: {counts.size}",
        f"X-Binary-Size-Fastest-Dimension: {fast}", f"X-Binary-Size-Second-Dimension: {slow}", "X-Binary-Size-Padding: 0",
    ]  # fmt: skip
