"""Where compiled code is kept between runs: a folder named by a hash of the package's sources and of the compiler's version."""

import hashlib
import importlib.util
import os
import stat
import tempfile
from pathlib import Path

import llvmlite


def _compiler() -> str:
    """What tells one installation of the compiler from another, without importing it."""
    found = importlib.util.find_spec("numba")
    stamp = os.stat(found.origin) if found is not None and found.origin is not None else None
    return f"{llvmlite.__version__} {stamp and (stamp.st_mtime_ns, stamp.st_size)}"


def _sources_hash() -> str:
    digest = hashlib.sha256(_compiler().encode())
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _usual_folder() -> Path:
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "nanobragg_numba" / _sources_hash()


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def _own_folder() -> Path:
    """A folder below the system's temporary one in which nobody else can put code; a new one if need be."""
    own = Path(tempfile.gettempdir()) / f"nanobragg_numba-{os.getuid()}"
    try:
        own.mkdir(exist_ok=True, mode=0o700)
        status = own.stat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return own
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="nanobragg_numba-"))


def _cache_folder() -> Path:
    if _writable(USUAL_FOLDER):
        return USUAL_FOLDER
    folder = _own_folder() / USUAL_FOLDER.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


USUAL_FOLDER = _usual_folder()
"""Where compiled code is looked for first; somebody else may have put it there for all users to read."""
CACHE_FOLDER = _cache_folder()
"""Where this process can write."""
