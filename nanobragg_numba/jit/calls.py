"""Calls of compiled entry points with Python's values: flattened into three arrays, and dealt out to threads.

Compiled ahead, an entry point is a C function of three pointers: to its whole numbers and the arrays' shapes, to its
floating-point numbers, and to the arrays' addresses. ctypes, which lets other Python threads run meanwhile, calls it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

_WHOLE: dict[str, Any] = {"bool": (bool, np.bool_), "int64": (int, np.integer)}
Kind = str | tuple[np.dtype[Any], int]
"""``int64``, ``float64``, ``complex128``, ``bool`` or, for an array, its type and number of axes."""


class Compiled(NamedTuple):
    """An entry point ready to be called."""

    name: str
    function: Callable[..., None]
    kinds: Sequence[Kind] | None
    """What it takes, flat; None for a function of numba's, which takes the values as they are."""


class _Flat(NamedTuple):
    whole: np.ndarray
    floats: np.ndarray
    pointers: np.ndarray
    kept: list[Any]
    """The arrays that the pointers lead to: they must outlive a thread that still computes behind an interrupt."""

    def behind(self, head: "_Flat") -> "_Flat":
        """These values behind others."""
        whole, floats, pointers = (np.concatenate(pair) for pair in zip(head[:3], self[:3], strict=True))
        return _Flat(whole, floats, pointers, [head.kept, self.kept])

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Of the three arrays."""
        return self.whole.ctypes.data, self.floats.ctypes.data, self.pointers.ctypes.data


def call(entry: Compiled, arguments: Sequence[Any]) -> None:
    """Call it."""
    if entry.kinds is None:
        entry.function(*arguments)
        return
    leaves = list(_leaves(arguments))
    _require_count(entry, len(leaves), len(entry.kinds))
    given = _flat(entry.name, entry.kinds, leaves)
    entry.function(*given.addresses)


def over_rows(entry: Compiled, rows: tuple[int, int], threads: int, work: Callable[[], Any], arguments: Sequence[Any]) -> None:
    """See ``Entry.over_rows``."""
    first, last = rows
    threads = min(threads, last - first)
    size = max(1, (last - first) // (32 * threads) if threads else last - first)
    starts = iter(range(first, last, size))
    taking = threading.Lock()

    def next_rows() -> tuple[int, int] | None:
        with taking:
            start = next(starts, None)
        return None if start is None else (start, min(start + size, last))

    in_threads(threads, lambda: _rows_one_after_another(entry, next_rows, work(), arguments))


def _rows_one_after_another(entry: Compiled, next_rows: Callable[[], tuple[int, int] | None], work: Any, arguments: Sequence[Any]) -> None:
    if entry.kinds is None:
        while (rows := next_rows()) is not None:
            entry.function(rows, work, *arguments)
        return
    head, tail = list(_leaves(((0, 0), work))), list(_leaves(arguments))
    _require_count(entry, len(head) + len(tail), len(entry.kinds))
    given = _flat(entry.name, entry.kinds[len(head) :], tail, len(head)).behind(_flat(entry.name, entry.kinds[: len(head)], head))
    while (rows := next_rows()) is not None:
        given.whole[:2] = rows
        entry.function(*given.addresses)


def in_threads(threads: int, work: Callable[[], None]) -> None:
    """Do ``work`` in that many threads at once, or, with 0, in the calling one; raises what the first of them raised."""
    if threads <= 0:
        work()
        return
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    # Not in the main thread, which an interrupt could not reach while it computes.
    workers = [threading.Thread(target=guarded, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _require_count(entry: Compiled, given: int, wanted: int) -> None:
    if given != wanted:
        raise TypeError(f"{entry.name} takes {wanted} values, not {given}")


def _flat(name: str, kinds: Sequence[Kind], leaves: Sequence[Any], before: int = 0) -> _Flat:
    whole: list[int] = []
    floats: list[float] = []
    pointers: list[int] = []
    for at, (kind, leaf) in enumerate(zip(kinds, leaves, strict=True), before):
        if kind == "float64" and isinstance(leaf, float | int | np.floating):
            floats.append(float(leaf))
        elif kind == "complex128" and isinstance(leaf, complex | float | int | np.number):
            floats += (complex(leaf).real, complex(leaf).imag)
        elif isinstance(kind, str) and isinstance(leaf, _WHOLE.get(kind, ())):
            whole.append(int(leaf))
        elif isinstance(leaf, np.ndarray) and kind == (leaf.dtype, leaf.ndim) and leaf.flags.c_contiguous:
            pointers.append(leaf.ctypes.data)
            whole.extend(leaf.shape)
        else:
            what = f"array of {leaf.dtype}, {leaf.ndim} axes" if isinstance(leaf, np.ndarray) else repr(leaf)
            raise TypeError(f"{name}: value {at} must be {kind}, contiguous, not {what}")
    return _Flat(np.array(whole, np.int64), np.array(floats), np.array(pointers, np.uintp), list(leaves))
