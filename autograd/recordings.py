"""The recordings of host formulas that are kept, and which of them holds at which shot's values."""

import math
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.parameters import Parameters

from .chain import number_sections
from .recorded import Recording, recorder, recording

KEPT = 256
"""Sets of parameters whose recordings are kept, those used last."""
MOST = 8
"""Recordings of one set: the formulas can be decided in so many ways."""


@dataclass
class Kept:
    """The recordings of one set of parameters, which it does not keep alive."""

    parameters: "weakref.ref[Parameters]"
    recordings: tuple[Recording, ...] = ()


_kept: OrderedDict[Any, Kept] = OrderedDict()


def recordings_of(parameters: Parameters, experiment: Experiment, shapes: Mapping[str, tuple[int, ...]]) -> Kept:
    """Those kept of these parameters with overrides of these ``shapes``."""
    crystal = experiment.tables.crystal
    # What else the formulas' constants follow from, beside the parameters.
    key = (id(parameters), tuple(shapes.items()), experiment.compat, len(crystal.orientations), len(experiment.sources.wavelengths))
    kept = _kept.pop(key, None)
    if kept is None or kept.parameters() is not parameters:
        kept = Kept(weakref.ref(parameters))
    _kept[key] = kept
    while len(_kept) > KEPT:
        _kept.popitem(last=False)
    return kept


def recorded_at(parameters: Parameters, experiment: Experiment, shapes: Mapping[str, tuple[int, ...]], leaves: np.ndarray) -> Recording:
    """The host formulas of scalar overrides of these ``shapes`` at the values ``leaves`` (m,). Their outputs are the variables and, behind
    them, what the number of sub-pixels follows from (``chain.number_sections``)."""
    numbers, tape = recorder(leaves.tolist())
    values: dict[str, Any] = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        values[name], numbers = _shaped(numbers[:count], shape), numbers[count:]
    found, behind = number_sections(parameters, experiment, values)
    return recording(tape, [x for section in found.values() for x in section] + list(behind))


def _shaped(numbers: Sequence[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return numbers[0]
    size = len(numbers) // shape[0]
    return tuple(_shaped(numbers[at * size : (at + 1) * size], shape[1:]) for at in range(shape[0]))


def holding(
    kept: Kept, parameters: Parameters, experiment: Experiment, shapes: Mapping[str, tuple[int, ...]], leaves: np.ndarray
) -> list[tuple[np.ndarray, Recording]] | None:
    """Which recording holds for which rows of ``leaves`` (shots, m): indices of shots, and the recording. Where none of those ``kept``
    holds, the formulas are run. None where they are decided in too many ways, or lead beyond double precision."""
    left, groups = np.arange(len(leaves)), []
    known, fresh = list(kept.recordings), 0
    at = 0
    while len(left):
        new = at == len(known)
        if new:
            if fresh == MOST:
                return None
            known.append(recorded_at(parameters, experiment, shapes, leaves[left[0]]))
            fresh += 1
        holds = known[at].values(np.ascontiguousarray(leaves[left]), np.zeros((len(left), len(known[at].outputs))))
        if new and not holds[0]:
            return None
        if holds.any():
            groups.append((left[holds], known[at]))
        left = left[~holds]
        at += 1
    if fresh:
        # Another thread may have added its own meanwhile, which are then recorded once more.
        kept.recordings = tuple(known[-MOST:])
    return groups
