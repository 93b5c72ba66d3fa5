"""The seeds of a run: what was given, and a fresh one for each image where nothing was."""

import os
import time
from dataclasses import dataclass

from nanobragg_numba.maths.c_numbers import c_negative

LARGEST = 2**31 - 2
"""The generator's period is one more: all seeds up to here start it at places of their own."""


@dataclass(frozen=True)
class Seeds:
    """Given as ``misset_seed``, ``mosaic_seed`` and the noise's seed (``poisson_image``, ``-seed``) they make the image again."""

    misset: int
    """Of the orientation, where that is random."""
    mosaic: int
    """Of the mosaic domains."""
    noise: int
    """Of the photon noise, for whoever draws it."""


def fresh_seed() -> int:
    """A seed that no other image has: from 1 to LARGEST, from the system's source of randomness."""
    return int.from_bytes(os.urandom(8), "little") % LARGEST + 1


def clock_seed() -> int:
    """The reference's: the time in seconds, so that all runs of one second are alike."""
    return int(time.time())


def generator_seed(seed: int) -> int:
    """The seed as the generator takes it: negative, so that it starts anew."""
    return c_negative(seed)
