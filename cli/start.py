"""Entry point of the installed command: signals first, so that an interrupt during the imports ends cleanly too."""

import os
import signal
import sys
from typing import Any

INTERRUPTED, TERMINATED = 130, 143


def _leave(number: int, frame: Any) -> None:
    # Nothing has been written yet, and an exception inside numpy's import would come out as something else.
    os.write(2, b"nanoBragg: interrupted\n")
    os._exit(INTERRUPTED)


def _terminate(number: int, frame: Any) -> None:
    raise SystemExit(TERMINATED)


def command() -> None:
    """Run ``nanoBragg`` with the words of the command line, and exit with its status."""
    signal.signal(signal.SIGINT, _leave)
    # numpy's linear algebra is not used; its threads would be started all the same.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .nanobragg import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = main()
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    if status in (INTERRUPTED, TERMINATED):
        # Threads may still compute: the interpreter must not tidy up around them. What was said is flushed already.
        os._exit(status)
    sys.exit(status)
