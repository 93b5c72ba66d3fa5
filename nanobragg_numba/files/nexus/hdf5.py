"""HDF5 files that appear whole or not at all, and the sentence for a machine without h5py or hdf5plugin."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import is_written_directly, require_writable

Path = str | os.PathLike[str]
VERSIONS = ("earliest", "v110")
"""Of the format: what old readers know, but for virtual datasets."""


def library(caller: str) -> Any:
    """h5py, with the filters of hdf5plugin known to it. Raises InputError, naming ``caller`` and the extra, where one is missing."""
    try:
        # Heavy, and needed for nothing else; the second is imported for what that does to the first.
        import h5py
        import hdf5plugin  # noqa: F401
    except ImportError:
        raise InputError(f"{caller}: HDF5 files need h5py and hdf5plugin: pip install 'nanobragg_numba[nexus]'") from None
    return h5py


@contextmanager
def in_memory(caller: str) -> Iterator[Any]:
    """An open h5py file that no disk sees. Raises InputError as ``library`` does."""
    with library(caller).File("in memory", "w", driver="core", backing_store=False, libver=VERSIONS) as file:
        yield file


def bytes_of(file: Any) -> bytes:
    """What a file in memory would be on the disk."""
    file.flush()
    content: bytes = file.id.get_file_image()
    return content


class NewFile(io.FileIO):
    """A file that HDF5 writes through. What the disk refuses is kept in ``failure``, and HDF5 is told that all went well: of an error it
    makes hundreds of lines on standard error, each time that an object is left."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """All of it, or as much as the disk takes."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        with self._kept():
            while len(rest):
                rest = rest[super().write(rest) :]
        return size

    def truncate(self, size: int | None = None) -> int:
        """Make the file that long."""
        with self._kept():
            super().truncate(size)
        return size or 0

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error


@contextmanager
def new_file(path: Path, caller: str) -> Iterator[tuple[Any, Callable[[], None]]]:
    """An open h5py file beside ``path``, renamed to it at the end of the ``with`` block, once the disk has it; after an exception nothing
    is left. And a function to call now and then, which raises InputError, naming the file, once the disk has refused something; so does
    the end of the block.
    """
    name = os.fspath(path)
    require_writable(name, caller)
    if is_written_directly(name):
        raise InputError(f"{caller} {name}: is no regular file, and HDF5 needs one")
    h5py = library(caller)
    target = os.path.realpath(name)
    folder, base = os.path.split(target)
    beside = os.path.join(folder, f".{base}.{os.getpid()}.part")
    try:
        disk = NewFile(beside, "w+")
    except OSError as error:
        raise _refusal(name, error) from None

    def look() -> None:
        if disk.failure is not None:
            raise _refusal(name, disk.failure) from None

    try:
        with disk:
            with h5py.File(disk, "w", libver=VERSIONS) as file:
                yield file, look
            look()
            try:
                os.fsync(disk.fileno())
            except OSError as error:
                raise _refusal(name, error) from None
        try:
            os.replace(beside, target)
        except OSError as error:
            raise _refusal(name, error) from None
    finally:
        with suppress(OSError):
            os.unlink(beside)


def _refusal(name: str, error: OSError) -> InputError:
    return InputError(f"cannot write {name}: {(error.strerror or str(error)).lower()}")


def what_went_wrong(error: BaseException) -> str:
    """The system's words for an error of h5py, which hides them in a longer text."""
    number = re.search(r"errno = (\d+)", str(error))
    if number:
        return os.strerror(int(number[1])).lower()
    text = getattr(error, "strerror", None) or str(error)
    return text.lower()


def fill_value(dtype: Any) -> Any:
    """What pixels that were not written read as: NaN for floats, for whole numbers all bits one (-1 with a sign)."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return kind.type(np.nan)
    return kind.type(-1) if kind.kind == "i" else np.iinfo(kind).max
