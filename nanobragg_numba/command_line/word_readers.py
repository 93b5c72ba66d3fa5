"""From words to settings, option by option: how each kind of value is read, and where it goes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.maths.c_numbers import atof
from nanobragg_numba.maths.constants import ELECTRONVOLT_ANGSTROM

from .detector_words import Settings, settle
from .input_files import beneath
from .option_table import OPTIONS, Option
from .word_values import read_number

_T = TypeVar("_T")


class _Unusable(InputError):
    """A value that cannot be used, and that a later word may replace."""


@dataclass
class Reading:
    """The state of a reading: settings so far, and which words were used as values."""

    words: Sequence[str]
    compat: Compat
    headers: Settings = field(default_factory=dict)
    """What image headers set, beneath the words."""
    settings: Settings = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    """Place of the last word of each option, by the option's first word."""
    refused: dict[str, str] = field(default_factory=dict)
    """By the field it is for, what is wrong with a value that a later word may still replace."""

    def values(self, option: Option, at: int, count: int) -> list[str]:
        """The ``count`` words after position ``at``; InputError if the line ends before."""
        found = list(self.words[at + 1 : at + 1 + count])
        if len(found) < count:
            raise InputError(f"{self.words[at]} needs {count} value{'s' if count > 1 else ''}: {option.arguments}")
        self.used.update(range(at + 1, at + 1 + count))
        return found

    def number(self, at: int, text: str, whole: bool = False) -> float:
        """The number that ``text`` is, with a warning if C's reading drops part of it."""
        value, warning = read_number(self.words[at], text, whole, self.compat)
        if warning and warning not in self.warnings:
            self.warnings.append(warning)
        if not math.isfinite(value):
            raise _Unusable(f"{self.words[at]}: {text!r} is not a finite number")
        return value

    def attempt(self, target: str, read: Callable[[], _T]) -> _T | None:
        """What ``read`` reads for a field; what it cannot use is refused at the end, if no later word replaced it."""
        self.refused.pop(target, None)
        try:
            return read()
        except _Unusable as error:
            self.refused[target] = str(error)
            return None


def _read_cell(reading: Reading, option: Option, at: int) -> bool:
    # Zeros stand for what was not given; a second -cell keeps what it does not replace, as in C.
    cell = list(reading.settings.get("crystal.cell") or (0.0,) * 6)
    reading.values(option, at, 1)
    following = reading.words[at + 1 : at + 7]
    count = next((n for n, word in enumerate(following) if word.startswith("-")), len(following))
    for n, text in enumerate(following[:count]):
        reading.used.add(at + 1 + n)
        cell[n] = reading.number(at, text)
    if count == 0:
        reading.used.discard(at + 1)
    reading.settings["crystal.cell"] = tuple(cell)
    return count < 6


def _read_misset(reading: Reading, option: Option, at: int) -> bool:
    word = reading.words[at]
    if "rand" in reading.values(option, at, 1)[0]:
        reading.settings["crystal.misset_deg"] = "random"
        return True
    if "-misset_seed" in word and len(reading.words) <= at + 3:
        return False
    angles = reading.values(option, at, 3)
    # Under -misset_seed the words are read as angles too (Q8), and may be anything.
    read = atof if "-misset_seed" in word else lambda text: reading.number(at, text)
    reading.settings["crystal.misset_deg"] = tuple(read(text) for text in angles)
    if "-misset_seed" in word:
        reading.used.difference_update((at + 2, at + 3))
    return False


def _read_pivot(reading: Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    for pivot in ("sample", "beam"):
        if pivot in text:
            reading.settings["detector.pivot"] = reading.settings["asked.pivot"] = pivot
    if "sample" not in text and "beam" not in text:
        if mode_of(reading.compat).spec:
            raise InputError(f"{reading.words[at]} must be beam or sample, not {text!r}")
        reading.warnings.append(f"{reading.words[at]}: {text!r} is neither beam nor sample and is ignored")
    return False


def _read_pix0(reading: Reading, option: Option, at: int) -> bool:
    to_mm = 1.0 if "_mm" in reading.words[at] else 1000.0
    reading.settings["detector.convention"] = "custom"
    reading.settings["detector.pix0_mm"] = tuple(reading.number(at, text) * to_mm for text in reading.values(option, at, 3))
    return False


def _read_attenuation(reading: Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    depth = 0.0 if "inf" in text else reading.number(at, text)
    reading.settings["detector.attenuation_depth_um"] = depth
    if depth == 0.0:
        reading.settings["detector.thickness_um"] = 0.0
    return False


def _read_energy(reading: Reading, option: Option, at: int) -> bool:
    energy = reading.number(at, reading.values(option, at, 1)[0])
    if energy <= 0.0:
        raise _Unusable(f"{reading.words[at]} must be positive, in eV, not {energy:g}")
    reading.settings["beam.wavelength_A"] = ELECTRONVOLT_ANGSTROM / energy
    return False


def _read_flag_not_last(reading: Reading, option: Option, at: int) -> bool:
    if at + 1 < len(reading.words) or mode_of(reading.compat).last_flag_counts:
        reading.settings.update(option.also)
    else:
        reading.warnings.append(f"{reading.words[at]} as the last word is ignored, as the C program does; put it earlier")
    return False


def _read_carryover(reading: Reading, option: Option, at: int) -> bool:
    (text,) = reading.values(option, at, 1)
    if text not in ("c-parity", "spec"):
        raise InputError(f"{reading.words[at]} must be c-parity or spec, not {text!r}")
    reading.settings["sampling.carryover"] = text == "c-parity"
    return True


SPECIAL = {
    "cell": _read_cell, "misset": _read_misset, "pivot": _read_pivot, "pix0": _read_pix0, "attenuation": _read_attenuation,
    "energy": _read_energy, "flag_not_last": _read_flag_not_last, "carryover": _read_carryover,
}  # fmt: skip


READ_FOR = {"energy": "beam.wavelength_A"}
"""The field of a special reader that another option sets too."""


def _apply(reading: Reading, option: Option, at: int) -> bool:
    """Let ``option`` take the word at ``at``; True if no further option may."""
    if option.sensor and at + 1 == len(reading.words) and mode_of(reading.compat).last_thickness_is_none:
        warning = f"{reading.words[at]} as the last word is ignored, as the repaired C program does; it needs {option.arguments}"
        # Two rows match -detector_thicksteps.
        reading.warnings += [warning] if warning not in reading.warnings else []
        return False
    if option.kind in SPECIAL:
        return bool(reading.attempt(READ_FOR.get(option.kind, option.kind), lambda: SPECIAL[option.kind](reading, option, at)))
    if option.kind != "flag":
        targets = option.sets or ("",)
        texts = reading.values(option, at, 1 if option.same or not option.sets else len(targets))
        if option.same:
            texts = texts * len(targets)
        for target, text in zip(targets, texts, strict=True):
            value: Any = text
            if option.kind != "text":
                value = reading.attempt(target, partial(reading.number, at, text, whole=option.kind == "int"))
            if target and value is not None:
                reading.settings[target] = value
    reading.settings.update(option.also)
    return option.stop


@lru_cache(maxsize=4096)
def _options_of(word: str, spec: bool) -> tuple[Option, ...]:
    """The rows that ``word`` matches: the lines of a batch have the same words."""
    return tuple(option for option in OPTIONS if option.matches(word) and not (spec and option.unless and option.unless in word))


def read_words(reading: Reading) -> list[int]:
    """Let the options take their words, in the reference's order; the places of words that no option knows."""
    unknown, spec = [], mode_of(reading.compat).spec
    if not spec:
        reading.settings.update(reading.headers)
    for at, word in enumerate(reading.words):
        if not word.startswith("-"):
            continue
        options = _options_of(word, spec)
        for option in options:
            reading.given[option.words[0]] = at
            if _apply(reading, option, at):
                break
        if not options:
            unknown.append(at)
    # What no target has is used nowhere.
    for target, sentence in reading.refused.items():
        if target:
            raise InputError(sentence)
    if spec:
        reading.settings = beneath(reading.headers, reading.settings)
        settle(reading.settings, reading.given, reading.headers)
    return unknown
