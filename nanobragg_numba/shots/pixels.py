"""Which pixels of which shots are asked for: stretches of rows, one behind the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LONGEST = 256
"""Pixels of a stretch: as many as the guarded engine computes together."""


@dataclass(frozen=True)
class ShotPixels:
    """The pixels of all shots in one row: shot after shot, each shot's row after row."""

    runs: np.ndarray
    """(n, 4) int64: slow, first fast, how many, and the place of the first among the pixels of its shot."""
    places: np.ndarray
    """(shots, 3) int64: first run, end of runs, and the place of the shot's first pixel among all."""
    total: int
    """How many pixels there are."""

    def parts(self, pixels: int, most: int) -> np.ndarray:
        """(n, 4) int64: shot, first run, end of runs, place of the shot's first pixel: a shot in parts of about that many ``pixels``, of
        each shot at most ``most``."""
        parts = []
        counts = self.counts().tolist()
        for shot, ((first, end, at), own) in enumerate(zip(self.places.tolist(), counts, strict=True)):
            number = max(1, min(most, own // pixels, end - first))
            edges = [first + (end - first) * n // number for n in range(number + 1)]
            parts += [(shot, start, stop, at) for start, stop in pairwise(edges)]
        return np.array(parts, np.int64)

    def counts(self) -> np.ndarray:
        """(shots,): pixels of each."""
        return np.diff(self.places[:, 2], append=self.total)


def runs_of(flat: np.ndarray, width: int) -> np.ndarray:
    """(n, 4): the stretches of an image of that ``width`` that hold the pixels ``flat``, ascending indices."""
    if len(flat) == 0:
        return np.zeros((0, 4), np.int64)
    slow, fast = np.divmod(flat, width)
    # A stretch ends where the next pixel is no neighbour in the same row.
    begins = np.flatnonzero(np.concatenate([[True], (np.diff(flat) != 1) | (fast[1:] == 0)]))
    lengths = np.diff(begins, append=len(flat))
    if lengths.max() > LONGEST:
        pieces = -(-lengths // LONGEST)
        within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begins = np.repeat(begins, pieces) + LONGEST * within
        lengths = np.diff(begins, append=len(flat))
    return np.stack([slow[begins], fast[begins], lengths, begins], axis=1)


def pixels_of_shots(pixels: Sequence[np.ndarray], width: int) -> ShotPixels:
    """From the ascending indices of each shot's pixels; shots that share one array share its stretches."""
    known: dict[int, tuple[int, int]] = {}
    runs, places, total, so_far = [], [], 0, 0
    for flat in pixels:
        if id(flat) not in known:
            own = runs_of(flat, width)
            known[id(flat)] = (so_far, so_far + len(own))
            runs.append(own)
            so_far += len(own)
        places.append((*known[id(flat)], total))
        total += len(flat)
    return ShotPixels(np.concatenate(runs), np.array(places, np.int64), total)
