"""Where the pieces of a joint fit are worked out: in this process, or by workers, with the same numbers.

A worker keeps the pieces that it was sent, and is sent them again when their weights are new. What a killed worker was at is done again.
"""

import pickle
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Future, wait
from typing import Any, Protocol

import numpy as np

from nanobragg_numba.batch.engines import Engine, died
from nanobragg_numba.engine.needed_code import FOR_SHOTS, wait_for
from nanobragg_numba.errors import InputError
from nanobragg_numba.shots.entries import SHOT_TANGENTS

from .piece_target import PieceTarget, in_fixed_order

CHUNKS_A_WORKER = 4
"""Neighbouring pieces go together, so few that all workers end at about the same time."""
DEATHS = 3
"""Of workers at the same pieces, before these are given up."""


class LostWorkersError(InputError):
    """Workers were killed again and again."""


Asked = tuple[str, Sequence[np.ndarray], tuple[Any, ...]]
"""A method of ``PieceTarget``, the parts of all pieces, and further arguments."""


class Computing(Protocol):
    """Who works out the pieces."""

    def ask(self, targets: "Targets", question: str, parts: Sequence[np.ndarray], *more: Any) -> list[Any]:
        """``question``, a method of ``PieceTarget``, of each piece at its part of the vector."""


class Targets:
    """The pieces of a joint target; whoever changes one says so."""

    def __init__(self, pieces: Sequence[PieceTarget]):
        self.pieces = list(pieces)
        self.changed()

    def changed(self) -> None:
        """They are others than those of before."""
        self.name = uuid.uuid4().hex
        self.sent: dict[int, bytes] = {}
        """By the first piece of a chunk."""


class Here:
    """In this process."""

    def ask(self, targets: Targets, question: str, parts: Sequence[np.ndarray], *more: Any) -> list[Any]:
        """See ``Computing``."""
        with in_fixed_order():
            return [getattr(target, question)(part, *more) for target, part in zip(targets.pieces, parts, strict=True)]


class Workers:
    """By the workers of an engine, each with so many threads."""

    def __init__(self, engine: Engine, threads: int = 1):
        self._engine, self._threads = engine, threads
        self._ready = False

    def ask(self, targets: Targets, question: str, parts: Sequence[np.ndarray], *more: Any) -> list[Any]:
        """See ``Computing``. Raises LostWorkersError where workers are killed again and again."""
        if not self._ready:
            wait_for((*FOR_SHOTS, SHOT_TANGENTS))
            self._ready = True
        count = len(parts)
        size = max(1, -(-count // (CHUNKS_A_WORKER * self._engine.workers)))
        left = [slice(first, min(first + size, count)) for first in range(0, count, size)]
        found: dict[int, list[Any]] = {}
        deaths = 0
        while left:
            lost = self._attempt(targets, left, (question, parts, more), found)
            deaths = deaths + 1 if len(lost) == len(left) else int(bool(lost))
            if deaths >= DEATHS:
                raise LostWorkersError(
                    f"the workers were killed {DEATHS} times while they worked out {_pieces(targets, left)}: is there memory enough, and "
                    "can each of them import nanobragg_numba?"
                )
            if lost:
                self._engine.renew()
            left = lost
        return [answer for first in sorted(found) for answer in found[first]]

    def _attempt(self, targets: Targets, chunks: list[slice], asked: Asked, found: dict[int, list[Any]]) -> list[slice]:
        """Have the chunks worked out; those whose worker has died. Raises what a piece raises, that of the first one."""
        lost, waiting = [], [(chunk, self._submit(targets, chunk, asked, None)) for chunk in chunks]
        errors: dict[int, BaseException] = {}
        while waiting:
            ready, _ = wait([future for _, future in waiting], return_when="FIRST_COMPLETED")
            still = []
            for chunk, future in waiting:
                if future not in ready:
                    still.append((chunk, future))
                    continue
                error = future.exception() if not future.cancelled() else BrokenExecutor()
                if error is None and future.result() is None:
                    still.append((chunk, self._submit(targets, chunk, asked, _packed(targets, chunk))))
                elif error is None:
                    found[chunk.start] = future.result()
                elif future.cancelled() or died(error):
                    lost.append(chunk)
                else:
                    errors[chunk.start] = error
            waiting = still
        if errors:
            raise errors[min(errors)]
        return sorted(lost, key=lambda chunk: chunk.start)

    def _submit(self, targets: Targets, chunk: slice, asked: Asked, packed: bytes | None) -> "Future[Any]":
        question, parts, more = asked
        try:
            return self._engine.submit(answer, targets.name, chunk.start, packed, question, list(parts[chunk]), more, self._threads)
        except BrokenExecutor as error:
            # Died since the last was submitted: told as the others will be.
            future: Future[Any] = Future()
            future.set_exception(error)
            return future


def _packed(targets: Targets, chunk: slice) -> bytes:
    if chunk.start not in targets.sent:
        targets.sent[chunk.start] = pickle.dumps(targets.pieces[chunk], protocol=5)
    return targets.sent[chunk.start]


def _pieces(targets: Targets, chunks: Sequence[slice]) -> str:
    shots = [target.view.image + 1 for chunk in chunks for target in targets.pieces[chunk]]
    return f"shot {shots[0]}" if shots[0] == shots[-1] else f"shots {shots[0]} to {shots[-1]}"


_kept: dict[str, dict[int, list[PieceTarget]]] = {}
_lock = threading.Lock()


def answer(
    name: str, first: int, packed: bytes | None, question: str, parts: list[np.ndarray], more: Any, threads: int
) -> list[Any] | None:
    """A worker's part: the answers of a chunk's pieces; None where it has to be sent them."""
    import torch

    with _lock:
        if name not in _kept:
            _kept.clear()
        chunks = _kept.setdefault(name, {})
        if packed is not None:
            chunks[first] = pickle.loads(packed)
        targets = chunks.get(first)
    if targets is None:
        return None
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return Here().ask(Targets(targets), question, parts, *more)


def load() -> None:
    """What a worker of this machine calls first: to be loaded is enough."""
