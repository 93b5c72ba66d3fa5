"""Photon-counting noise, serial as in the reference: each pixel's deviates follow the last pixel's.

The generator's stream does not depend on the image, and what a pixel's mean asks for does not depend on the stream: other
threads make both while one spends them.
"""

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import NamedTuple

import numpy as np

from nanobragg_numba.jit.cpu_features import has_fused_multiply_add, has_known_libm
from nanobragg_numba.kernels import entries
from nanobragg_numba.kernels.random_state import RandomState, new_state, reseed
from nanobragg_numba.threads import made_ahead, most_threads

Window = tuple[int, int, int, int]
LEAST_PIECE, LARGEST_PIECE = 1 << 12, 1 << 17
"""Deviates made at a time."""
ROOM = 512
"""Places before a piece's deviates."""
SHARE_TO_PREPARE = 0.25
"""From this share of a block's pixels on what few pixels need is worked out for all, in vectors and ahead."""
PIXELS_OF_BLOCK = 1 << 16
LARGEST_TABLE = 1 << 17


class _Deviates(NamedTuple):
    uniforms: np.ndarray
    tangents: np.ndarray
    """As many, or none."""


NO_DEVIATES = _Deviates(np.empty(0, np.float32), np.empty(0, np.float32))


def _pieces(state: RandomState, size: int, tangents: list[bool], vectors: bool, count: int) -> Iterator[_Deviates]:
    """The generator's deviates, piece after piece; ``count`` of them can be in use at a time. ``tangents``: whether they are made along."""
    buffers = [_Deviates(*(np.empty(ROOM + size, np.float32) for _ in range(2))) for _ in range(count)]
    for piece in cycle(buffers):
        uniforms = piece.uniforms[ROOM:]
        entries.uniform_deviates(state, uniforms)
        wanted = tangents[0]
        if wanted:
            entries.tangents(uniforms, vectors, piece.tangents[ROOM:])
        yield piece if wanted else _Deviates(piece.uniforms, NO_DEVIATES.tangents)


class _Stream:
    """The generator's deviates, piece after piece of ``size``; with ``ahead`` made in a thread of its own.

    ``tangents``: whether they are made along.
    """

    def __init__(self, state: RandomState, size: int, tangents: bool, vectors: bool, ahead: bool):
        self._tangents, self._vectors = [tangents], vectors
        count = 4 if ahead else 1
        # Nothing in there refers to this object: the buffers go with it, and need no garbage collection.
        pieces = _pieces(state, size, self._tangents, vectors, count)
        self._pieces = made_ahead(pieces, count) if ahead else pieces

    def want(self, tangents: bool) -> None:
        """From the next piece on, tangents are made along, or not."""
        self._tangents[0] = tangents

    def next(self, rest: _Deviates) -> _Deviates:
        """The deviates of the following piece behind those of ``rest``; those of the piece before are overwritten."""
        made = next(self._pieces)
        left = len(rest.uniforms)
        if len(made.tangents) == 0:
            rest = _Deviates(rest.uniforms, NO_DEVIATES.tangents)
        elif len(rest.tangents) < left:
            rest = _Deviates(rest.uniforms, np.empty_like(rest.uniforms))
            entries.tangents(rest.uniforms, self._vectors, rest.tangents)
        if left > ROOM:
            return _Deviates(*(np.concatenate((before, values[ROOM:])) for before, values in zip(rest, made, strict=True)))
        for before, values in zip(rest, made, strict=True):
            values[ROOM - left : ROOM][: len(before)] = before
        return _Deviates(*(values[ROOM - left :] for values in made))


class _Block(NamedTuple):
    """Rows of the image, and what their pixels need."""

    image: np.ndarray
    """(rows, fast)."""
    window: Window
    """Within these rows."""
    parameters: list[np.ndarray]
    """See ``poisson_parameters``; empty where few pixels need any."""
    drawn_by_rejection: int
    """Pixels."""


def _blocks(image: np.ndarray, window: Window, row_ends: Iterable[int], vectors: bool) -> Iterator[_Block]:
    """The blocks between the rows that ``row_ends`` names; two at a time can be in use."""
    fast_start, fast_end, slow, slow_end = window
    shape = max(min(_rows_of_block(window), slow_end - slow), 0), max(fast_end - fast_start, 0)
    nothing = [np.empty((0, 0), np.float32)] * 3
    buffers = [[np.empty(shape, np.float32) for _ in range(3)] for _ in range(2)]
    for end, parameters in zip(row_ends, cycle(buffers), strict=False):
        rows, inside = image[slow:end], (fast_start, fast_end, 0, end - slow)
        counts = np.zeros(2, np.int64)
        entries.noise_survey(inside, rows, counts)
        prepared = counts.sum() > SHARE_TO_PREPARE * shape[1] * len(rows)
        if prepared:
            entries.poisson_parameters(inside, rows, vectors, *parameters)
        yield _Block(rows, inside, parameters if prepared else nothing, int(counts[1]))
        slow = end


def _rows_of_block(window: Window) -> int:
    return max(PIXELS_OF_BLOCK // max(window[1] - window[0], 1), 1)


def row_ends(window: Window) -> Iterator[int]:
    """The rows behind the blocks in which the photons of ``window`` are drawn; none for a window without pixels."""
    if window[1] > window[0]:
        rows = _rows_of_block(window)
        yield from (min(slow + rows, window[3]) for slow in range(window[2], window[3], rows))


class PhotonDraw:
    """Draws the photons of a float32 image (slow, fast) inside ``window``, row after row; ``state`` is used up.

    ``total``: the sum of all drawn so far. With 2 threads or more, more than one are used.
    """

    def __init__(self, image: np.ndarray, window: Window, state: RandomState, threads: int):
        self._image, self._window, self._state, self._ahead = image, window, state, threads > 1
        self._total = np.zeros(1)

    @property
    def total(self) -> float:
        """Sum of the photons drawn so far."""
        return float(self._total[0])

    def blocks(self, ends: Iterable[int]) -> Iterator[np.ndarray]:
        """Photons (rows, fast), float32, zero outside the window, of the rows up to the next of ``ends`` (see ``row_ends``).

        An end is taken from ``ends`` before its rows are read, perhaps in another thread. Two results can be in use at a time.
        """
        vectors = has_fused_multiply_add() and has_known_libm()
        blocks = _blocks(self._image, self._window, ends, vectors)
        blocks = made_ahead(blocks, 2) if self._ahead else blocks
        fast_start, fast_end, slow_start, slow_end = self._window
        shape = max(min(_rows_of_block(self._window), slow_end - slow_start), 0), self._image.shape[1]
        size = min(max(2 * (fast_end - fast_start) * (slow_end - slow_start), LEAST_PIECE), LARGEST_PIECE)
        buffers = cycle([np.zeros(shape, np.float32) for _ in range(2)])
        factorials, rejections = np.empty(0, np.float32), 0
        stream, deviates, places = None, NO_DEVIATES, np.zeros(2, np.int64)
        for block in blocks:
            pixels = (block.window[1] - block.window[0]) * block.window[3]
            many = block.drawn_by_rejection > SHARE_TO_PREPARE * pixels
            stream = stream or _Stream(self._state, size, many, vectors, self._ahead)
            stream.want(many)
            rejections += block.drawn_by_rejection
            # No more than these pixels could use; a nan, last, counts for nothing.
            usual = min(rejections, LARGEST_TABLE, 2 * float(block.image.max()) + 100) if rejections > len(factorials) else 0
            if usual > len(factorials):
                factorials = np.empty(min(max(int(usual), 2 * len(factorials)), LARGEST_TABLE), np.float32)
                entries.log_factorials(factorials)
            photons = next(buffers)[: len(block.image)]
            places[0] = 0
            while True:
                arrays = *block.parameters, factorials, *deviates, self._state, photons, self._total, places
                entries.draw_photons(block.image, block.window, *arrays)
                if places[0] == pixels:
                    break
                deviates = stream.next(_Deviates(*(values[places[1] :].copy() for values in deviates)))
                places[1] = 0
            yield photons


def draw_photons(image: np.ndarray, window: Window, state: RandomState, threads: int | None = None) -> tuple[np.ndarray, float]:
    """Poisson deviates of a float32 image inside ``window`` (zero outside), float32, and their sum; ``state`` is used up.

    With 2 threads or more, more than one are used.
    """
    photons = np.zeros(image.shape, np.float32)
    draw = PhotonDraw(image, window, state, most_threads() if threads is None else threads)
    slow = window[2]
    for drawn in draw.blocks(row_ends(window)):
        photons[slow : slow + len(drawn)] = drawn
        slow += len(drawn)
    return photons, draw.total


def poisson_image(image: np.ndarray, seed: int) -> np.ndarray:
    """A noisy copy of ``image`` (slow, fast), in photons, with the reference's generator; float64."""
    state = new_state()
    reseed(state, -abs(seed))
    single = np.ascontiguousarray(image, dtype=np.float32)
    return draw_photons(single, (0, single.shape[1], 0, single.shape[0]), state)[0].astype(np.float64)
