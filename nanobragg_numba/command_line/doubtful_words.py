"""Words of a command line that mean nothing there, told in sentences."""

from collections.abc import Collection, Iterable, Sequence

from nanobragg_numba.maths.c_numbers import is_number

from .option_table import OPTIONS
from .own_input_options import ROWS

NEAR = 0.6
"""Likeness from which on a word may stand for a misspelt one."""
PYTHON_SAYS = {
    "-compat": "the argument compat", "-threads": "simulate's argument threads", "-precision": "simulate's argument precision",
    "-device": "simulate's argument device", "-batch": "simulate_batch", "-compile": "the command nanoBragg -compile",
    "-strict": "nothing, being strict", "-quiet": "the filters of warnings", "-png": "files.preview.png",
    "-panels": "read_panels and simulate_panels", "-expt": "read_expt and simulate_panels", "-nxmx": "Simulation.save",
}  # fmt: skip
"""The command's own options, and what Python has for them."""


def nearest_option(word: str, also: Iterable[str] = ()) -> str:
    """The known option, or one of ``also``, most like ``word``; empty where none is near."""
    # Seldom needed, and slow to load.
    import difflib

    known = {own.lower().lstrip("-"): own for own in (*(own for option in (*OPTIONS, *ROWS) for own in option.words), *also)}
    near = difflib.get_close_matches(word.lower().lstrip("-"), known, 1, NEAR)
    return known[near[0]] if near else ""


def unknown_option(word: str, also: Iterable[str] = ()) -> str:
    """A sentence about an option that does not exist."""
    near = nearest_option(word, also)
    return f"unknown option {word}" + (f" (the nearest is {near})" if near else "")


def unknown_in_python(word: str) -> str:
    """The same where the command's own options do not exist either."""
    if word in PYTHON_SAYS:
        return f"{word} is an option of the command nanoBragg alone; Python has {PYTHON_SAYS[word]} for it"
    return unknown_option(word)


def stray_words(words: Sequence[str], used: Collection[int], unknown: Collection[int]) -> tuple[str, ...]:
    """A sentence for each run of words that are neither options nor values; what follows an ``unknown`` option may be its values.

    ``used`` and ``unknown`` are places in ``words``.
    """
    runs: dict[int, list[str]] = {}
    option_at = -1
    for at, word in enumerate(words):
        if at in used:
            continue
        if word.startswith("-") and not (at in unknown and is_number(word)):
            option_at = at
        elif option_at not in unknown:
            runs.setdefault(option_at, []).append(word)
    return tuple(_sentence(words[at] if at >= 0 else "", run) for at, run in runs.items())


def _sentence(option: str, run: Sequence[str]) -> str:
    noun, verb = ("the word", "belongs") if len(run) == 1 else ("the words", "belong")
    after = f" after {option}" if option else ""
    return f"{noun} {' '.join(run)}{after} {verb} to no option"
