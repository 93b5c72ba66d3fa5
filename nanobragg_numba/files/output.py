"""Output files that appear whole or not at all: written beside their place, then renamed."""

import errno
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import shown
from nanobragg_numba.threads import Background

BYTES_WITHOUT_THREAD = 1 << 18
"""A thread would not have started before these are written."""
LONG_NAME = 200
"""Bytes."""
Chunk = bytes | np.ndarray[Any, Any]


class OutputFiles:
    """The files of one run. Nothing is replaced before ``commit``; leaving the ``with`` block without it removes all traces.

    Large files are written in the background. What is not a regular file (/dev/null, a pipe) is written directly. Raises
    InputError naming the file where the disk refuses, at once, when its end is waited for, or in ``commit``.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, str, bool]] = []
        """Temporary name, place, and whether it is to be put there last."""
        self._writing: list[Background[None]] = []

    def __enter__(self) -> "OutputFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            for writing in self._writing:
                # What went wrong first is being told already.
                with suppress(Exception):
                    writing.result()
        finally:
            # Also where a second signal ends the waiting: a thread that still writes then writes to a file without a name.
            for temporary, _, _ in self._pending:
                with suppress(OSError):
                    os.unlink(temporary)
            self._pending = []

    def write(self, path: str, chunks: Iterable[Chunk], last: bool = False) -> Callable[[], None]:
        """Write the chunks, arrays in their memory order, to be renamed to ``path`` by ``commit``; an iterator's as they come.

        ``last``: after all others, should two of them be of one name. Returns what waits until all is written.
        """
        if is_written_directly(path):
            _write(path, path, None, chunks)
            return _done
        target = os.path.realpath(path)
        folder, base = os.path.split(target)
        # A name that is long already would grow too long.
        short = base if len(os.fsencode(base)) <= LONG_NAME else f"{zlib.crc32(os.fsencode(base)):08x}"
        name = os.path.join(folder, f".{short}.{os.getpid()}.{len(self._pending)}.part")
        self._pending.append((name, target, last))
        if not isinstance(chunks, Iterator):
            chunks = list(chunks)
            if sum(len(chunk) if isinstance(chunk, bytes) else chunk.nbytes for chunk in chunks) < BYTES_WITHOUT_THREAD:
                _write(path, name, target, chunks)
                return _done
        writing = Background(lambda: _write(path, name, target, chunks))
        self._writing.append(writing)
        return writing.result

    def commit(self) -> None:
        """Put every file in its place."""
        for writing in self._writing:
            writing.result()
        self._pending.sort(key=lambda pending: pending[2])
        while self._pending:
            temporary, target, _ = self._pending[0]
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise _refusal(target, error) from None
            self._pending.pop(0)


def _done() -> None:
    pass


def is_written_directly(path: str) -> bool:
    """Whether ``path`` is no regular file, so that what is written there cannot be taken back."""
    # What lies under /dev is a device even where it leads to a file, and /dev/stdout may lead to no path at all.
    return path.startswith("/dev/") or (os.path.exists(path) and not os.path.isfile(path))


def _write(path: str, name: str, target: str | None, chunks: Iterable[Chunk]) -> None:
    """Write the chunks to ``name``, with the permissions of ``target`` if that exists. ``path``: what the user calls it."""
    try:
        with open(name, "wb") as file:
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data.cast("B") if isinstance(chunk, np.ndarray) else chunk)
        if target is not None and os.path.exists(target):
            os.chmod(name, stat.S_IMODE(os.stat(target).st_mode))
    except OSError as error:
        raise _refusal(path, error) from None


def _refusal(path: str, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}")


def require_writable(path: str, flag: str) -> None:
    """Raise InputError, naming ``flag``, if ``path`` can plainly not be written; asked before a long computation."""
    if not path:
        raise InputError(f"{flag}: the file name is empty")
    if "\0" in path:
        raise InputError(f"{flag} {shown(path)}: holds a NUL byte")
    if path.startswith("/dev/"):
        return
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        os.lstat(target)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{flag} {shown(path)}: {(error.strerror or str(error)).lower()}") from None
    if os.path.isdir(target):
        raise InputError(f"{flag} {path}: is a folder")
    if not os.path.isdir(folder):
        raise InputError(f"{flag} {path}: {folder} is no folder" if os.path.exists(folder) else f"{flag} {path}: {folder} does not exist")
    place = target if os.path.exists(target) and not os.path.isfile(target) else folder
    if not os.access(place, os.W_OK) or (os.path.exists(target) and not os.access(target, os.W_OK)):
        raise InputError(f"{flag} {path}: no permission to write there")


def write_whole(path: str | os.PathLike[str], caller: str, content: Iterable[Chunk]) -> None:
    """Write one file beside ``path``, then rename it. Raises InputError, naming ``caller`` and the file, where that cannot be done."""
    name = os.fspath(path)
    require_writable(name, caller)
    with OutputFiles() as files:
        files.write(name, list(content))
        files.commit()
