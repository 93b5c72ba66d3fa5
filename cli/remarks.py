"""Standard error: remarks, which -quiet silences and a batch tells once each with the lines they are about, and errors, told at once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

MOST_RANGES = 12
"""Of line numbers, in one message."""


@dataclass
class _Listener:
    """How messages are told now."""

    quiet: bool = False
    line: int | None = None
    """Line of the batch's file."""
    remarks: dict[str, list[int]] = field(default_factory=dict)
    """The batch's remarks so far, and the lines they are about."""


_now = _Listener()


def _write(text: str) -> None:
    # Where standard error is closed or full, the run goes on without.
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"nanoBragg: {text.encode(errors='backslashreplace').decode()}", file=sys.stderr, flush=True)


def tell(text: str) -> None:
    """A remark: something to know about the image, or about the words."""
    if _now.line is None or _now.quiet:
        tell_now(text)
        return
    lines = _now.remarks.setdefault(text, [])
    if not lines or lines[-1] != _now.line:
        lines.append(_now.line)


def tell_now(text: str) -> None:
    """What is about the moment and no line of a batch; -quiet silences it too."""
    if not _now.quiet:
        _write(text)


def tell_error(text: str) -> None:
    """What ends a run."""
    _write(text if _now.line is None else f"line {_now.line}: {text}")


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """With remarks silenced, or not."""
    before, _now.quiet = _now.quiet, quiet
    try:
        yield
    finally:
        _now.quiet = before


class BatchRemarks:
    """Keeps the remarks of a batch's lines, and tells each once at the end."""

    def __enter__(self) -> "BatchRemarks":
        _now.remarks = {}
        return self

    def begin_line(self, number: int) -> None:
        """What follows is about this line of the file."""
        _now.line = number

    def __exit__(self, *_: object) -> None:
        remarks, _now.remarks, _now.line = _now.remarks, {}, None
        for text, lines in remarks.items():
            _write(f"line {lines[0]}: {text}" if len(lines) == 1 else f"{text} ({len(lines)} lines: {ranges(lines)})")


def ranges(numbers: list[int]) -> str:
    """Ascending numbers with stretches drawn together: 1-3, 7."""
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in stretches]
    if len(texts) > MOST_RANGES:
        texts = [*texts[: MOST_RANGES - 1], f"... {texts[-1]}"]
    return ", ".join(texts)
