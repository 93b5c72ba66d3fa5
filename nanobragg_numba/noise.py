"""Photon-counting noise, serial as in the reference: each pixel's deviates follow the last pixel's.

The generator's stream does not depend on the image, so one thread makes it while another one spends it.
"""

import queue
import threading
from typing import NamedTuple

import numpy as np

from .background import Background
from .random_numbers import RandomState, new_state, reseed
from .stored_code import run
from .target import has_fused_multiply_add, has_known_libm
from .threads import most_threads

Window = tuple[int, int, int, int]
LEAST_PIECE, LARGEST_PIECE = 1 << 12, 1 << 17
"""Deviates made at a time."""
ROOM = 512
"""Places before a piece's deviates."""
SHARE_TO_PREPARE = 0.25
"""From this share of pixels on what few pixels need is worked out for all, in vectors and threads."""
PIXELS_OF_BLOCK = 1 << 16
SAMPLED_ROWS = 64
"""The share is found on about so many rows."""
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
            self._free.put(_Piece(np.empty(ROOM + size, np.float32), np.empty(ROOM + size if tangents else 0, np.float32)))
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


class _Parameters:
    """What the pixels of a block of rows need (see ``poisson_parameters``), with ``ahead`` made while the block before is drawn."""

    def __init__(self, image: np.ndarray, blocks: list[Window], vectors: bool, ahead: bool):
        self._image, self._blocks, self._vectors, self._ahead = image, iter(blocks), vectors, ahead
        fast_start, fast_end, slow_start, slow_end = blocks[0]
        shape = slow_end - slow_start, fast_end - fast_start
        self._arrays = [[np.empty(shape, np.float32) for _ in range(3)] for _ in range(2)]
        self._next = Background(self._make) if ahead else None

    def _make(self) -> list[np.ndarray]:
        arrays = self._arrays[0]
        self._arrays.reverse()
        block = next(self._blocks, None)
        if block is not None:
            run("poisson_parameters", block, self._image, self._vectors, *arrays)
        return arrays

    def next(self) -> list[np.ndarray]:
        """Those of the next block; those of the block before are overwritten."""
        if self._next is None:
            return self._make()
        arrays = self._next.result()
        self._next = Background(self._make)
        return arrays


def draw_photons(image: np.ndarray, window: Window, state: RandomState, threads: int | None = None) -> tuple[np.ndarray, float]:
    """Poisson deviates of a float32 image inside ``window`` (zero outside), float32, and their sum; ``state`` is used up.

    With 2 threads or more, more than one are used.
    """
    ahead = (most_threads() if threads is None else threads) > 1
    photons = np.zeros(image.shape, np.float32)
    fast_start, fast_end, slow_start, slow_end = window
    seen = image[slow_start:slow_end, fast_start:fast_end]
    if seen.size == 0:
        return photons, 0.0
    brightest = float(seen.max())
    sample = seen[:: max(seen.shape[0] // SAMPLED_ROWS, 1)]
    vectors = has_fused_multiply_add() and has_known_libm()
    rows = max(PIXELS_OF_BLOCK // seen.shape[1], 1)
    blocks = [(fast_start, fast_end, slow, min(slow + rows, slow_end)) for slow in range(slow_start, slow_end, rows)]
    prepared = _Parameters(image, blocks, vectors, ahead) if (sample > 0.05).mean() > SHARE_TO_PREPARE else None
    parameters = [np.empty((0, 0), np.float32)] * 3
    # For a nan, which is drawn like a bright pixel, none are tabulated.
    usual = int(min(2 * brightest + 100, LARGEST_TABLE)) if brightest >= 12.0 else 0
    factorials = np.empty(min(usual, seen.size), np.float32)
    run("log_factorials", factorials)
    total, places = np.zeros(1), np.zeros(2, np.int64)
    many_tangents = bool((sample >= 12.0).mean() > SHARE_TO_PREPARE)
    stream = _Stream(state, many_tangents, vectors, min(max(2 * seen.size, LEAST_PIECE), LARGEST_PIECE), ahead)
    try:
        piece, deviates = stream.next(_Piece(*(np.empty(0, np.float32) for _ in range(2))))
        for block in blocks:
            parameters = parameters if prepared is None else prepared.next()
            pixels = (block[1] - block[0]) * (block[3] - block[2])
            places[0] = 0
            while True:
                run("draw_photons", image, block, *parameters, factorials, *deviates, state, photons, total, places)
                if places[0] == pixels:
                    break
                rest = _Piece(*(values[places[1] :].copy() for values in deviates))
                stream.give_back(piece)
                piece, deviates = stream.next(rest)
                places[1] = 0
    finally:
        stream.end()
    return photons, float(total[0])


def poisson_image(image: np.ndarray, seed: int) -> np.ndarray:
    """A noisy copy of ``image`` (slow, fast), in photons, with the reference's generator; float64."""
    state = new_state()
    reseed(state, -abs(seed))
    single = np.ascontiguousarray(image, dtype=np.float32)
    return draw_photons(single, (0, single.shape[1], 0, single.shape[0]), state)[0].astype(np.float64)
