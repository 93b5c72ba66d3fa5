"""Rows that no table gives: random orientations, rotation scans; and the seeds of each row, which depend on its number alone."""

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.mosaic import missetting_angles, uniform_rotation
from nanobragg_numba.experiment.seeds import LARGEST

ORIENTATION, NOISE, MISSET = 1, 2, 3
"""What a row's random numbers are for: streams of their own."""


def _stream(seed: int, row: int, purpose: int) -> np.random.Generator:
    """Random numbers that depend on these three alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, row, purpose))))


def row_seed(seed: int, row: int, purpose: int) -> int:
    """A seed for the engine's generator, 1 to LARGEST."""
    return int(_stream(seed, row, purpose).integers(1, LARGEST, endpoint=True))


def orientation_words(seed: int, row: int) -> list[str]:
    """-misset with the angles (degrees) of a rotation drawn uniformly from all rotations.

    The rotation is made by ``uniform_rotation``; numbers are printed so that they read back as they are.
    """
    angles = missetting_angles(uniform_rotation(*_stream(seed, row, ORIENTATION).random(3).tolist()))
    return ["-misset", *(repr(math.degrees(angle)) for angle in angles)]


class Scan:
    """A rotation data set: ``phi=START:END:WIDTH`` in degrees, the end not included.

    Image i starts at START + i WIDTH and is WIDTH wide, in decimal arithmetic: 180/0.1 is 1800 images.
    Raises InputError for what is no scan.
    """

    def __init__(self, text: str):
        name, _, numbers = text.partition("=")
        parts = numbers.split(":")
        try:
            start, end, width = (Decimal(part) for part in parts)
        except (InvalidOperation, ValueError):
            start = end = width = Decimal("nan")
        if name.strip().lstrip("-") != "phi" or not all(number.is_finite() for number in (start, end, width)) or width == 0:
            raise InputError(f"--scan must be phi=START:END:WIDTH in degrees, as phi=0:180:0.1, not {text!r}")
        count = (end - start) / width
        if count < 1 or count != count.to_integral_value():
            raise InputError(f"--scan {text}: from {start} to {end} are no whole number of images of {width} degrees")
        self.start, self.width, self.count = start, width, int(count)

    def words(self, row: int) -> list[str]:
        """-phi and -osc of an image."""
        return ["-phi", _plain(self.start + row * self.width), "-osc", _plain(self.width)]


def _plain(number: Decimal) -> str:
    return format(number, "f")


def seed_words(words: Sequence[str], seed: int, row: int, noise: bool) -> list[str]:
    """-seed for an image with ``noise``, and -misset_seed for a random orientation, where the line has none."""
    added = []
    if noise and not any(word.startswith("-") and "-seed" in word for word in words):
        added += ["-seed", str(row_seed(seed, row, NOISE))]
    random = any("-misset" in word and "rand" in value for word, value in pairwise(words))
    if random and not any("-misset_seed" in word for word in words):
        added += ["-misset_seed", str(row_seed(seed, row, MISSET))]
    return added
