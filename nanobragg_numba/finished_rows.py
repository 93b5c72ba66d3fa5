"""Tells the thread that draws the noise how far the threads that compute the image are."""

import threading


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
