"""The device that computes, by name: the CPU, or one of the GPUs."""

import re

from nanobragg_numba.errors import InputError


def gpu_index(name: str, flag: str = "device") -> int | None:
    """The number of the GPU that ``name`` (cpu, cuda or cuda:i) means; None for the CPU. Raises InputError for another name."""
    found = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", name)
    if found is None:
        raise InputError(f"{flag} must be cpu, cuda or cuda:i with i counted from 0, not {name!r}")
    return None if name == "cpu" else int(found.group(1) or 0)
