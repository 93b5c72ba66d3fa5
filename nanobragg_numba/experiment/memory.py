"""Refuse what would not fit in memory, before allocating it."""

import os

from nanobragg_numba.errors import InputError


def available_bytes() -> int:
    """Memory that this process may still take, in bytes (0 where the system does not tell)."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


ALWAYS_THERE = 1 << 22
"""Bytes; a small part of what the interpreter itself has taken, for which the system is not asked."""


def require_memory(needed: int, what: str) -> None:
    """Raise InputError, naming ``what``, if ``needed`` bytes are more than is available."""
    free = available_bytes() if needed > ALWAYS_THERE else 0
    if free and needed > free:
        raise InputError(f"{what} needs {needed / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free")
