"""The state of the reference's random-number generator; what draws from it is compiled (kernels/random.py).

All that C keeps in static variables stands in one ``RandomState``, shared by missetting, mosaic and noise as in one
run of the program.
"""

from typing import NamedTuple

import numpy as np

from nanobragg_numba.jit.entry_types import Singles1, Whole1

_TABLE = 32


class RandomState(NamedTuple):
    """``integers``: seed, last output, shuffle table. ``floats``: the spare Gaussian. ``flags``: whether there is one."""

    integers: Whole1
    floats: Singles1
    flags: Whole1


def new_state() -> RandomState:
    """The state at the start of a run."""
    return RandomState(np.zeros(2 + _TABLE, np.int64), np.zeros(1, np.float32), np.zeros(1, np.int64))


def reseed(state: RandomState, seed: int) -> None:
    """Set the seed; a negative one restarts the generator at the next deviate, a positive one does not."""
    state.integers[0] = seed
