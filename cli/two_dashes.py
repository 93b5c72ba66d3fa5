"""What the commands share whose options begin with two dashes: their parser, and one sentence for each thing that ends them."""

import argparse
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from nanobragg_numba.errors import InputError

DONE, BAD_INPUT, INTERRUPTED = 0, 2, 130


class Parser(argparse.ArgumentParser):
    """Raises InputError where argparse would print the usage and leave."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def joined(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """The words with a command line joined to its flag, one of ``flags``, since argparse takes what begins with - for flags of its own."""
    made: list[str] = []
    for word in words:
        if made and made[-1] in flags and word.startswith("-") and not word.startswith("--"):
            made[-1] += f"={word}"
        else:
            made.append(word)
    return made


def tell(command: str, text: str) -> None:
    """A line on standard error, behind the command's name."""
    print(f"{command}: {text.encode(errors='backslashreplace').decode()}", file=sys.stderr, flush=True)


def status_of(command: str, run: Callable[[], None], interrupted: str = "interrupted") -> int:
    """Run the command, its warnings told as lines; returns its exit status."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_, **__: tell(command, str(message))
            run()
        return DONE
    except InputError as error:
        tell(command, f"error: {str(error).strip()}")
        return BAD_INPUT
    except KeyboardInterrupt:
        tell(command, interrupted)
        return INTERRUPTED
