"""Photon-counting noise, serial as in the reference: each pixel's deviates follow the last pixel's.

The generator's stream does not depend on the image, so one thread makes it while another one spends it.
"""

import queue
import threading
from typing import NamedTuple

import numpy as np

from .random_numbers import RandomState, new_state, reseed
from .stored_code import run, run_rows
from .target import has_fused_multiply_add, has_known_libm
from .threads import most_threads

Window = tuple[int, int, int, int]
LEAST_PIECE, LARGEST_PIECE = 1 << 12, 1 << 17
"""Deviates made at a time."""
ROOM = 512
LARGEST_TABLE = 1 << 17


class _Piece(NamedTuple):
    """Deviates, with room before them for those left over from the piece before."""

    uniforms: np.ndarray
    tangents: np.ndarray


class _Stream:
    """The generator's deviates, piece after piece of ``size``; with ``ahead`` made in a thread of its own."""

    def __init__(self, state: RandomState, tangents: bool, vectors: bool, size: int, ahead: bool):
        self._state, self._tangents, self._vectors = state, tangents, vectors
        self._free: queue.SimpleQueue[_Piece | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[_Piece | BaseException] = queue.SimpleQueue()
        for _ in range(4 if ahead else 1):
            self._free.put(_Piece(np.empty(ROOM + size, np.float32), np.empty(ROOM + size, np.float32)))
        self._ahead = ahead
        if ahead:
            threading.Thread(target=self._make_ahead, daemon=True).start()

    def _make(self, piece: _Piece) -> None:
        uniforms, tangents = piece.uniforms[ROOM:], piece.tangents[ROOM:]
        run("uniform_deviates", self._state, uniforms)
        if self._tangents:
            run("tangents", uniforms, self._vectors, tangents)
        self._made.put(piece)

    def _make_ahead(self) -> None:
        try:
            while (piece := self._free.get()) is not None:
                self._make(piece)
        except BaseException as error:
            self._made.put(error)

    def next(self, rest: _Piece) -> tuple[_Piece, _Piece]:
        """The following piece, to be given back, and its deviates behind those of ``rest``."""
        if not self._ahead:
            piece = self._free.get()
            assert piece is not None
            self._make(piece)
        made = self._made.get()
        if isinstance(made, BaseException):
            raise made
        left = len(rest.uniforms)
        if left > ROOM:
            return made, _Piece(*(np.concatenate((before, values[ROOM:])) for before, values in zip(rest, made, strict=True)))
        for before, values in zip(rest, made, strict=True):
            values[ROOM - left : ROOM] = before
        return made, _Piece(*(values[ROOM - left :] for values in made))

    def give_back(self, piece: _Piece) -> None:
        """The piece may be overwritten."""
        self._free.put(piece)

    def end(self) -> None:
        """Make no more."""
        self._free.put(None)


def draw_photons(image: np.ndarray, window: Window, state: RandomState, threads: int | None = None) -> tuple[np.ndarray, float]:
    """Poisson deviates of a float32 image inside ``window`` (zero outside), float32, and their sum; ``state`` is used up."""
    threads = threads or most_threads()
    photons = np.zeros(image.shape, np.float32)
    fast_start, fast_end, slow_start, slow_end = window
    seen = image[slow_start:slow_end, fast_start:fast_end]
    if seen.size == 0:
        return photons, 0.0
    brightest = float(seen.max())
    # A nan is drawn like a bright pixel.
    rejects = not brightest < 12.0
    vectors = has_fused_multiply_add() and has_known_libm()
    thresholds = np.empty(image.shape, np.float32)
    roots, logarithms = (np.empty(image.shape if rejects else (0, 0), np.float32) for _ in range(2))
    run_rows(
        "poisson_parameters", (slow_start, slow_end), threads, (0, 0), (fast_start, fast_end), image, vectors,
        thresholds, roots, logarithms,
    )  # fmt: skip
    usual = 0 if not rejects else LARGEST_TABLE if brightest != brightest else int(min(2 * brightest + 100, LARGEST_TABLE))
    factorials = np.empty(min(usual, seen.size), np.float32)
    run("log_factorials", factorials)
    total, places = np.zeros(1), np.zeros(2, np.int64)
    stream = _Stream(state, rejects, vectors, min(max(2 * seen.size, LEAST_PIECE), LARGEST_PIECE), threads > 1)
    rest = _Piece(*(np.empty(0, np.float32) for _ in range(2)))
    try:
        while places[0] < seen.size:
            piece, deviates = stream.next(rest)
            places[1] = 0
            run("draw_photons", image, window, thresholds, roots, logarithms, factorials, *deviates, state, photons, total, places)
            rest = _Piece(*(values[places[1] :].copy() for values in deviates))
            stream.give_back(piece)
    finally:
        stream.end()
    return photons, float(total[0])


def poisson_image(image: np.ndarray, seed: int) -> np.ndarray:
    """A noisy copy of ``image`` (slow, fast), in photons, with the reference's generator; float64."""
    state = new_state()
    reseed(state, -abs(seed))
    single = np.ascontiguousarray(image, dtype=np.float32)
    return draw_photons(single, (0, single.shape[1], 0, single.shape[0]), state)[0].astype(np.float64)
