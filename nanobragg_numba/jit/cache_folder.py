"""Where compiled code is kept between runs."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

DAYS_UNUSED = 30
"""What nothing has used for so long is removed when something new is kept."""


def _usual_folder() -> Path:
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "nanobragg_numba"


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def _own_folder() -> Path:
    """A folder below the system's temporary one in which nobody else can put code; a new one if need be."""
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    own = Path(tempfile.gettempdir()) / f"nanobragg_numba-{user}"
    try:
        own.mkdir(exist_ok=True, mode=0o700)
        status = own.stat()
        if stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or (status.st_uid == user and not status.st_mode & 0o022)):
            return own
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="nanobragg_numba-"))


USUAL_FOLDER = _usual_folder()
"""Where compiled code is looked for first; somebody else may have put it there for all users to read."""
CACHE_FOLDER = USUAL_FOLDER if _writable(USUAL_FOLDER) else _own_folder()
"""Where this process can write."""


def remove_what_nothing_uses(folder: Path) -> None:
    """Remove files, and folders of earlier versions, that were last used or made more than DAYS_UNUSED days ago."""
    oldest = time.time() - 86400.0 * DAYS_UNUSED
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.is_dir():
                    files = [file for file in path.rglob("*") if file.is_file()]
                    if all(file.stat().st_mtime < oldest for file in files) and path.stat().st_mtime < oldest:
                        for file in files:
                            file.unlink()
                        for inner in sorted((inner for inner in path.rglob("*") if inner.is_dir()), reverse=True):
                            inner.rmdir()
                        path.rmdir()
                elif path.stat().st_mtime < oldest:
                    path.unlink()


def mark_used(path: Path) -> None:
    """Note that the file is in use, at most once a day."""
    with suppress(OSError):
        if path.stat().st_mtime < time.time() - 86400.0:
            os.utime(path)
