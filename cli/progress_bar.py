"""A bar on standard error for what takes long."""

import sys
from time import perf_counter
from types import TracebackType
from typing import Any

DELAY = 2.0


class ProgressBar:
    """Counts rows; after DELAY seconds, and on a terminal only, shows a bar. Until then tqdm is not even loaded."""

    def __init__(self, rows: int):
        self.rows, self.done = rows, 0
        self.started = perf_counter()
        self.bar: Any = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.close()

    def add(self, rows: int) -> None:
        """So many more rows are done."""
        self.done += rows
        if self.bar is not None:
            self.bar.update(rows)
        elif perf_counter() - self.started > DELAY and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=self.rows, initial=self.done, unit="row", leave=False, file=sys.stderr)
