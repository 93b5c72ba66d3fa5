"""Work in a thread beside the main one."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


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
