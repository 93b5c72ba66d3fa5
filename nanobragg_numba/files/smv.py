"""Reading SMV (ADSC, d*TREK) images: by the exact keys of their header, and as the reference does."""

import bz2
import gzip
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import atof, is_number, shown

from .reading import read_bytes

BLOCK = 512
"""Headers are a multiple of so many bytes."""
BEGINS_WITH = b"{\nHEADER_BYT"
LARGEST_HEADER, LARGEST_SIDE = 2**24, 2**31
PIXEL_TYPES = {
    "unsigned char": "u1", "signed char": "i1", "unsigned short": "u2", "unsigned short int": "u2", "short": "i2", "short int": "i2",
    "signed short": "i2", "unsigned long": "u4", "unsigned long int": "u4", "unsigned int": "u4", "long": "i4", "long int": "i4",
    "int": "i4", "signed long": "i4", "signed int": "i4", "float": "f4", "float ieee": "f4", "double": "f8",
}  # fmt: skip
"""What TYPE (ADSC) and Data_type (d*TREK) call the pixels, lower case and with spaces."""


@dataclass(frozen=True)
class SmvImage:
    """An SMV image as read: its header text and raw content."""

    path: str
    where: str
    """The option and the file, for messages."""
    header: str
    content: bytes
    width: int
    height: int
    start: int
    """Offset of the first pixel."""
    dtype: np.dtype

    @cached_property
    def keys(self) -> dict[str, str]:
        """The header's keys and their texts; of a key that stands twice the last."""
        return header_keys(self.header)

    def number(self, key: str) -> float | None:
        """The number of exactly this key, None where there is no such key. Raises InputError where its text is no finite number."""
        text = self.keys.get(key)
        return None if text is None else finite_number(text, key, self.where)

    def value_of(self, keyword: str) -> float:
        """What the reference takes: the number behind the last place where ``keyword`` stands, be it part of a longer
        word (DISTANCE is found in CLOSE_DISTANCE); nan if nowhere."""
        return _value_as_c(self.header, keyword)

    def pixels(self) -> np.ndarray:
        """(slow, fast), in the file's type and byte order; what is missing at the end of the file is 0."""
        size = self.width * self.height * self.dtype.itemsize
        raw = self.content[self.start : self.start + size].ljust(size, b"\0")
        return np.frombuffer(raw, self.dtype).reshape(self.height, self.width)

    @property
    def missing_bytes(self) -> int:
        """How many bytes of pixels the file lacks."""
        return max(self.start + self.width * self.height * self.dtype.itemsize - len(self.content), 0)


def finite_number(text: str, key: str, where: str) -> float:
    """The number that is the text of a header's key. Raises InputError."""
    if not is_number(text) or not np.isfinite(value := atof(text)):
        raise InputError(f"{where}: {key} in the image header is {shown(text)}, not a finite number")
    return value


def header_keys(header: str) -> dict[str, str]:
    """The keys of a header and their texts, which end at a semicolon or at the end of the line."""
    inside = header[header.find("{") + 1 :].split("}")[0]
    pairs = (entry.partition("=") for line in inside.split("\n") for entry in line.split(";"))
    return {key.strip(): text.strip() for key, equals, text in pairs if equals}


def is_smv(path: str, flag: str) -> bool:
    """Whether the file, unpacked, begins as an SMV image. Raises InputError if it cannot be read."""
    return unpacked(read_bytes(path, flag), f"{flag} {path}").startswith(BEGINS_WITH)


def read(path: str, flag: str) -> SmvImage:
    """Read an image, which may be packed by gzip or bzip2, by the exact keys of its header.

    Where the header has outgrown the bytes it states, as the reference writes it, the pixels are found behind it. Raises
    InputError if it is not a whole SMV image, or of pixels of an unknown type.
    """
    where = f"{flag} {path}"
    content = unpacked(read_bytes(path, flag), where)
    if not content.startswith(BEGINS_WITH):
        raise InputError(f"{where}: not an SMV image (it does not begin with HEADER_BYTES)")
    stated = header_keys(_text(content[:BLOCK])).get("HEADER_BYTES", "")
    start = _whole(stated, "HEADER_BYTES", LARGEST_HEADER, where)
    keys = header_keys(_text(content[:start]))
    width, height = (_whole(keys.get(key, ""), key, LARGEST_SIDE, where) for key in ("SIZE1", "SIZE2"))
    dtype = _pixel_type(keys, where)
    due = width * height * dtype.itemsize
    end = content.find(b"}\f")
    if end + 2 > start and len(content) == end + 2 + due:
        start = end + 2
    image = SmvImage(path, where, _text(content[:start]), content, width, height, start, dtype)
    if image.missing_bytes:
        raise InputError(f"{where}: truncated, {len(content)} bytes where {width}x{height} pixels need {start + due}")
    return image


def read_as_c(path: str, flag: str) -> SmvImage:
    """Read an image as the reference does: keys found anywhere, 16-bit pixels, those that are missing 0.

    Raises InputError where the reference stops or goes on with what its memory held.
    """
    where = f"{flag} {path}"
    content = read_bytes(path, flag)
    if not content.startswith(BEGINS_WITH):
        raise InputError(f"{where}: not an SMV image (it does not begin with HEADER_BYTES)")
    size = _value_as_c(_text(content[:BLOCK]), "HEADER_BYTES")
    if not 0 < size < LARGEST_HEADER:
        raise InputError(f"{where}: HEADER_BYTES in the image header is {size:g}")
    if len(content) < max(int(size), BLOCK):
        raise InputError(f"{where}: truncated, {len(content)} bytes where the header alone has {max(int(size), BLOCK)}")
    header = _text(content[: int(size)])
    width, height = _value_as_c(header, "SIZE1"), _value_as_c(header, "SIZE2")
    if width == 0:
        width = height = _value_as_c(header, "DETECTOR_DIMENSIONS")
    if not (0 < width < LARGEST_SIDE and 0 < height < LARGEST_SIDE):
        raise InputError(f"{where}: the image header gives no size (SIZE1={width:g}, SIZE2={height:g})")
    return SmvImage(path, where, header, content, int(width), int(height), int(size) // 2 * 2, np.dtype("<u2"))


def unpacked(content: bytes, where: str) -> bytes:
    """The content, unpacked if it is packed."""
    try:
        if content.startswith(b"\x1f\x8b"):
            return gzip.decompress(content)
        if content.startswith(b"BZh"):
            return bz2.decompress(content)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{where}: cannot be unpacked: {str(error).lower()}") from None
    return content


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1")


def _whole(text: str, key: str, limit: int, where: str) -> int:
    """A whole number above zero and below ``limit``."""
    if not (is_number(text) and 0 < atof(text) < limit and atof(text) == int(atof(text))):
        raise InputError(f"{where}: {key} in the image header is {shown(text)}, not a whole number above zero")
    return int(atof(text))


def _pixel_type(keys: dict[str, str], where: str) -> np.dtype:
    """The pixels' type: that of d*TREK's key where both are there, since programs that rewrite an image leave the other."""
    named = keys.get("Data_type", keys.get("TYPE", "unsigned_short"))
    code = PIXEL_TYPES.get(named.lower().replace("_", " "))
    if code is None:
        raise InputError(f"{where}: its pixels are of type {shown(named)}, which cannot be read")
    return np.dtype(code).newbyteorder(">" if "big" in keys.get("BYTE_ORDER", "") else "<")


def _value_as_c(header: str, keyword: str) -> float:
    """See ``SmvImage.value_of``."""
    at = header.rfind(keyword)
    if at < 0:
        return float("nan")
    equals = header.find("=", at + len(keyword))
    return atof(header[equals + 1 :]) if equals >= 0 else 0.0
