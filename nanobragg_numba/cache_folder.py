"""Where compiled code is kept between runs: a folder named by a hash of the package's sources and of the compiler's version."""

import hashlib
import importlib.util
import os
from pathlib import Path

import llvmlite


def _compiler() -> str:
    """What tells one installation of the compiler from another, without importing it."""
    found = importlib.util.find_spec("numba")
    stamp = os.stat(found.origin) if found is not None and found.origin is not None else None
    return f"{llvmlite.__version__} {stamp and (stamp.st_mtime_ns, stamp.st_size)}"


def _sources_hash() -> str:
    digest = hashlib.sha256(_compiler().encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = _sources_hash()
    folder = Path(base) / "nanobragg_numba" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    import tempfile

    own = Path(tempfile.gettempdir()) / f"nanobragg_numba-{os.getuid()}"
    own.mkdir(exist_ok=True, mode=0o700)
    if own.stat().st_uid != os.getuid() or own.stat().st_mode & 0o022:
        # Somebody else could put code there.
        import tempfile

    own = Path(tempfile.mkdtemp(prefix="nanobragg_numba-"))
    folder = own / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


CACHE_FOLDER = _cache_folder()
