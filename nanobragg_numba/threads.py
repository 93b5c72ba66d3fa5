"""How many threads compute, and the ways in which one thread works beside another."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral
from typing import Generic, TypeVar

from nanobragg_numba.errors import InputError

T = TypeVar("T")


def most_threads() -> int:
    """The processors that this process may use; NUMBA_NUM_THREADS sets another number."""
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def number_of_threads(asked: int | None) -> int:
    """The threads asked for, or as many as this process may use processors. Raises InputError for what is no number above zero."""
    if asked is None:
        return most_threads()
    if isinstance(asked, bool) or not isinstance(asked, Integral) or asked < 1:
        raise InputError(f"threads must be a whole number, 1 or more, not {asked!r}")
    return int(asked)


class Background(Generic[T]):
    """A call that runs in a thread of its own from now on; ``result`` waits for what it returns or raises."""

    def __init__(self, function: Callable[[], T]):
        self._function = function
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def _call(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        """What the call returned; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]


def several_at_once(calls: Iterable[Callable[[], T]], count: int) -> Iterator[T]:
    """What the calls return, in their order; ``count`` of them run at once, each in a thread of its own."""
    running: deque[Background[T]] = deque()
    for call in calls:
        running.append(Background(call))
        if len(running) == count:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def made_ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The items, made in a thread of its own.

    The next but ``count`` is not begun before the caller asks for the one behind this: so many buffers, used in turn, are enough.
    """
    free = threading.Semaphore(count)
    made: queue.SimpleQueue[tuple[T] | BaseException] = queue.SimpleQueue()
    wanted = True

    def make() -> None:
        try:
            while True:
                free.acquire()
                if not wanted:
                    return
                made.put((next(items),))
        except BaseException as error:
            made.put(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while not isinstance(item := made.get(), BaseException):
            yield item[0]
            free.release()
        if not isinstance(item, StopIteration):
            raise item
    finally:
        wanted = False
        free.release()


class AbandonedError(Exception):
    """The rows that were waited for will never be finished."""


class FinishedRows:
    """How many rows of an image are final."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._end = 0
        self._abandoned = False

    def reach(self, slow_end: int) -> None:
        """All rows before ``slow_end`` are final."""
        with self._changed:
            self._end = slow_end
            self._changed.notify_all()

    def abandon(self) -> None:
        """No more rows will follow: who waits for one gets an AbandonedError."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def wait_for(self, slow_end: int) -> None:
        """Return when all rows before ``slow_end`` are final."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._end >= slow_end)
            if self._abandoned:
                raise AbandonedError
