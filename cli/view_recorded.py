"""The command line that an NXmx file of ours has recorded for a frame."""

from nanobragg_numba.errors import InputError


def recorded_command(path: str, frame: int) -> str:
    """The command line of a frame, counted from 1; empty where the file has none. Raises InputError where the file cannot be read."""
    raise InputError(f"{path}: NXmx is not read yet, frame {frame}")
