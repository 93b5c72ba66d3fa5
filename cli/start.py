"""Entry point of the installed command: signals first, so that an interrupt during the imports ends cleanly too."""

import gc
import os
import signal
from importlib import import_module
from types import FrameType
from typing import NoReturn

INTERRUPTED, TERMINATED = 130, 143
OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""Imports make fewer, and none of theirs is garbage."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def command() -> NoReturn:
    """Run ``nanoBragg`` with the words of the command line, and exit with its status."""
    _run("nanoBragg", ".nanobragg")


def noisify() -> NoReturn:
    """Run ``noisify``."""
    _run("noisify", ".noisify")


def nonbragg() -> NoReturn:
    """Run ``nonBragg``."""
    _run("nonBragg", ".nonbragg")


def _run(program: str, module: str) -> NoReturn:
    def leave(number: int, frame: FrameType | None) -> None:
        # Nothing has been written yet, and an exception inside numpy's import would come out as something else.
        os.write(2, f"{program}: interrupted\n".encode())
        os._exit(INTERRUPTED)

    # A shell's background job ignores Ctrl-C, and is to go on doing so.
    interruptible = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if interruptible:
        signal.signal(signal.SIGINT, leave)
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    # numpy's linear algebra is not used; its threads would be started all the same.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main = import_module(module, __package__).main

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = main()
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    # Every file is closed and in its place, and what was said is flushed already: the interpreter need not tidy up, which takes
    # longer than a small image, and, after an interrupt, must not, around threads that still compute.
    os._exit(status)
