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
