"""Entry points of compiled code, and the libraries they are kept in: declared without importing what they are compiled from.

Each room with kernels declares its entry points in a file ``entries.py``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from . import calls, stored_code


class Library(NamedTuple):
    """Entry points that are compiled and kept together."""

    name: str
    what: str
    """What they compute, for the sentence said before they are compiled."""
    rooms: tuple[str, ...]
    """The folders whose sources they are compiled from, beside maths/ and jit/."""
    seconds: float
    """About how long that takes: the longest is begun first."""
    number: str = "float64"
    """What ``Number`` is in it."""


class Entry:
    """One entry point: ``Entry(library, "room.module", "function")`` calls that function's compiled code.

    ``room``: whose entries.py declares it, where that is not the module's.
    """

    def __init__(self, library: Library, module: str, function: str, room: str | None = None):
        self.library, self.module, self.function = library, f"nanobragg_numba.{module}", function
        self.declared_in = f"nanobragg_numba.{room or module.split('.')[0]}.entries"
        ENTRIES.setdefault(library.name, []).append(self)

    def __repr__(self) -> str:
        return f"<{self.module}.{self.function}>"

    def __call__(self, *arguments: Any) -> None:
        """Call it with values of the types that it is declared with. Raises TypeError for others."""
        calls.call(stored_code.loaded(self), arguments)

    def over_rows(self, rows: tuple[int, int], threads: int, work: Callable[[], Any], *arguments: Any) -> None:
        """Call it as ``entry(rows, work, *arguments)`` for a few rows at a time, from several threads, until all are done.

        ``work``: makes what each thread has of its own. With 0 threads, for what is done before a thread would have started,
        the calling one does it. An interrupt ends the wait at once; the threads stop behind the rows that they are at.
        """
        calls.over_rows(stored_code.loaded(self), rows, threads, work, arguments)


ENTRIES: dict[str, list[Entry]] = {}
"""The entry points of each library that were declared so far."""
