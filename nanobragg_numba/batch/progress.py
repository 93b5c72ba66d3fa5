"""How far a run is, on standard error: a bar on a terminal, a line a minute elsewhere."""

import sys
from time import monotonic
from typing import Any

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts images; says nothing where ``quiet``."""

    def __init__(self, total: int, before: int, quiet: bool):
        self.total, self.before, self.done, self.failed = total, before, 0, 0
        self._quiet = quiet or sys.stderr is None
        self.started = self._said = monotonic()
        self._bar: Any = None
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(total, before)

    def add(self, done: int, failed: int) -> None:
        """So many more rows are done, so many failed."""
        self.done += done
        self.failed += failed
        if self._bar is not None:
            self._bar.update(done + failed)
            if failed:
                self._bar.set_postfix(failed=self.failed)
        elif not self._quiet and monotonic() - self._said > SECONDS_BETWEEN_LINES:
            self._said = monotonic()
            self.say(self.line())

    @property
    def left(self) -> int:
        """Images that are not finished."""
        return self.total - self.before - self.done - self.failed

    def found(self, images: int) -> None:
        """So many were there already."""
        self.before += images
        if self._bar is not None and images:
            self._bar.update(images)

    def line(self) -> str:
        """Images, rate, time left and failures."""
        seconds = max(monotonic() - self.started, 1e-9)
        rate = (self.done + self.failed) / seconds
        ready = self.before + self.done + self.failed
        left = (self.total - ready) / rate if rate else float("inf")
        return f"{ready} of {self.total} images, {rate:.3g} images/s, {_duration(left)} left, {self.failed} failed"

    def kept(self) -> str:
        """What is left of a run that ends early."""
        return f"{self.before + self.done} of {self.total} images are finished, and kept: --resume goes on with the rest"

    def say(self, text: str) -> None:
        """A line for the user."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        print(f"nb-batch: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """No more will follow."""
        if self._bar is not None:
            self._bar.close()


def _bar(total: int, before: int) -> Any:
    """None, and lines in its place, without tqdm."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=before, unit="image", smoothing=0.1, file=sys.stderr)


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
