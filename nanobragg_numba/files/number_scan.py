"""All numbers of a text at once, compiled: what is common is converted here, exactly, and the rest is left to Python."""

import numpy as np

from nanobragg_numba.kernels.entries import count_words, scan_words

_POWERS = np.array([10.0**n for n in range(23)])


def scan(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, kind and offset of every word of ``content``; the value of an OTHER word is 0."""
    raw = np.frombuffer(content, np.uint8)
    count = np.zeros(1, np.int64)
    count_words(raw, count)
    words = int(count[0])
    values, kinds, starts = np.empty(words), np.empty(words, np.uint8), np.empty(words, np.int64)
    scan_words(raw, _POWERS, values, kinds, starts)
    return values, kinds, starts


def line_ends(content: bytes) -> np.ndarray:
    """The offsets of the newlines."""
    return np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))


def are_lines_of_four(starts: np.ndarray, ends: np.ndarray) -> bool:
    """Whether words that begin at ``starts`` stand four to a line, no line between left blank, where lines end at ``ends``."""
    rows = len(starts) // 4
    if len(starts) % 4 or rows > len(ends) + 1:
        return False
    inner = min(rows, len(ends))
    return bool((starts[3::4][:inner] < ends[:inner]).all() and (starts[4::4] > ends[: max(rows - 1, 0)]).all())
