"""The command line that an NXmx file of ours has recorded for a frame."""

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.nexus.reader import opened

PLACE = "/entry/simulation/command"


def recorded_command(path: str, frame: int, flag: str = "") -> str:
    """The command line of a frame, counted from 1; empty where the file, as other programs' do, has none.

    Raises InputError where the file cannot be read or has no such frame.
    """
    with opened(path, flag) as file:
        commands = file.get(PLACE)
        if commands is None:
            return ""
        if not 1 <= frame <= len(commands):
            raise InputError(f"{flag} {path}: there is no frame {frame}: they go from 1 to {len(commands)}".strip())
        return str(commands.asstr()[frame - 1])
