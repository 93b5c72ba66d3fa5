"""How many threads compute."""

import os


def most_threads() -> int:
    """The processors that this process may use; NUMBA_NUM_THREADS sets another number."""
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
