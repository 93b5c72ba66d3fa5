"""HDF5 files that appear whole or not at all, and the sentence for a machine without h5py or hdf5plugin."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import require_writable

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


@contextmanager
def new_file(path: Path, caller: str) -> Iterator[Any]:
    """An open h5py file beside ``path``, renamed to it at the end of the ``with`` block, once the disk has it; after an exception nothing
    is left.

    Raises InputError, naming ``caller`` and the file, where it cannot be written; ``refusals`` does so around what is done in the block.
    """
    name = os.fspath(path)
    require_writable(name, caller)
    h5py = library(caller)
    target = os.path.realpath(name)
    folder, base = os.path.split(target)
    beside = os.path.join(folder, f".{base}.{os.getpid()}.part")
    with refusals(name):
        file = h5py.File(beside, "w", libver=VERSIONS)
    try:
        yield file
        with refusals(name):
            file.close()
            with open(beside, "rb") as written:
                os.fsync(written.fileno())
            os.replace(beside, target)
    finally:
        # Where something went wrong before, closing may fail too, and is told no second time.
        with suppress(Exception):
            file.close()
        with suppress(OSError):
            os.unlink(beside)


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Around calls of h5py: what the disk refuses is an InputError with the file's name."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise InputError(f"cannot write {name}: {what_went_wrong(error)}") from None


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
