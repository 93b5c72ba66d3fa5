"""Files that a run leaves: whole or not at all, and logs of what is finished, of which a torn end is passed over."""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from nanobragg_numba.files.output import Chunk

BEGUN, DONE = 1, 2
_HEAD = struct.Struct("<4sBxxxQQIII")
"""Mark, kind, row, bytes of the content (behind the record or in a file) and their checksum, bytes of the note, checksum of all this."""
_MARK = b"nbFr"


def put(path: Path, content: Iterable[Chunk]) -> None:
    """Write beside ``path``, then rename. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            for chunk in content:
                file.write(_bytes(chunk))
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _bytes(chunk: Chunk) -> bytes | memoryview:
    return np.ascontiguousarray(chunk).data.cast("B") if isinstance(chunk, np.ndarray) else chunk


class Record(NamedTuple):
    """What a log says of an image."""

    kind: int
    """BEGUN or DONE."""
    row: int
    """Counted from 0."""
    length: int = 0
    """Bytes of its content."""
    checksum: int = 0
    """crc32 of its content, where that follows."""
    note: bytes = b""
    """What else is to be known of it, JSON."""
    at: int = 0
    """Where in the log its content begins, if that follows."""


class Log:
    """The log of one task: records, and behind each of a finished image its content, unless that is a file of its own.

    A record is one write, so that a killed process leaves at most the last one torn.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(path, "xb", buffering=0)  # noqa: SIM115

    def begin(self, row: int) -> None:
        """The image is being computed now."""
        self._write(_packed(Record(BEGUN, row)))

    def finish(self, row: int, content: list[Chunk], note: bytes, inside: bool) -> Record:
        """The image is computed; ``inside``: its content is kept here."""
        parts = [_bytes(chunk) for chunk in content]
        checksum = 0
        for part in parts if inside else ():
            checksum = zlib.crc32(part, checksum)
        record = Record(DONE, row, sum(map(len, parts)), checksum, note)
        head = _packed(record)
        at = self._file.tell() + len(head)
        self._write(head + (b"".join(parts) if inside else b""))
        return record._replace(at=at)

    def _write(self, text: bytes) -> None:
        # Unbuffered: a full disk takes a part, and refuses the rest.
        left = memoryview(text)
        while left:
            left = left[self._file.write(left) :]

    def close(self) -> None:
        """Others, also on other machines, see what is there from now on."""
        self._file.close()


def _packed(record: Record) -> bytes:
    head = _HEAD.pack(_MARK, record.kind, record.row, record.length, record.checksum, len(record.note), 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(record.note, zlib.crc32(head))) + record.note


def _next(file: BinaryIO) -> Record | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or head[:4] != _MARK:
        return None
    _, kind, row, length, checksum, size, own = _HEAD.unpack(head)
    note = file.read(size)
    if zlib.crc32(note, zlib.crc32(head[:-4])) != own:
        return None
    return Record(kind, row, length, checksum, note, file.tell())


def read_log(path: Path, inside: bool) -> Iterator[Record]:
    """The whole records of a log; contents that are ``inside`` are compared with their checksums."""
    with open(path, "rb") as file:
        while (record := _next(file)) is not None:
            if inside and record.kind == DONE:
                content = file.read(record.length)
                if len(content) != record.length or zlib.crc32(content) != record.checksum:
                    return
            yield record


def read_content(path: Path, record: Record) -> bytes:
    """An image's content in a log. Raises OSError where it is not what was written."""
    with open(path, "rb") as file:
        file.seek(record.at)
        content = file.read(record.length)
    if len(content) != record.length or zlib.crc32(content) != record.checksum:
        raise OSError(f"{path}: the content of image {record.row + 1} is damaged")
    return content
