"""The decorator of every compiled function, and where compiled code is kept between runs.

numba's own cache looks only at the file a function stands in, so a change in one module would leave stale callers
in another. The cache folder is therefore named by a hash of all sources of the package; a user's NUMBA_CACHE_DIR
is respected, with the hash below it.
"""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.extending import overload

from . import elementary

config: Any = numba.config


def _sources_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "nanobragg_numba" / _sources_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    folder = Path(tempfile.gettempdir()) / f"nanobragg_numba-{os.getuid()}" / _sources_hash()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


CACHE_FOLDER = _cache_folder()


def _as_in_math(name: str) -> Any:
    """What compiled code sees in place of the function of elementary.py: ``math``'s."""
    function = getattr(math, name)
    return lambda x: lambda x: function(x)


if "NUMBA_THREADING_LAYER" not in os.environ and "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
    # workqueue aborts the process when two Python threads launch at once; it stays as the last resort, for
    # machines without the OpenMP runtime, and simulation.py launches one kernel at a time.
    config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]


for _name in ("sin", "cos", "sqrt"):
    overload(getattr(elementary, _name))(_as_in_math(_name))
overload(elementary.is_zero)(lambda x: lambda x: x == 0.0)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """``numba.njit`` with C's division rules and the cache of this package; never fastmath."""
    if function is None:
        return lambda inner: compiled(inner, **options)
    # numba reads the folder when it decorates: set it for our functions only.
    before = config.CACHE_DIR
    config.CACHE_DIR = str(CACHE_FOLDER)
    try:
        return numba.njit(cache=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before


def inlined(function: Callable[..., Any]) -> Any:
    """``compiled`` for what runs inside a pixel: always inlined, and without counting references to the tables.

    Passing the tables on by value, and counting references to their arrays atomically, would cost more than a step's
    arithmetic. Such a function must not allocate.
    """
    return compiled(_nrt=False, forceinline=True)(function)


def derivative(function: Callable[..., Any]) -> Any:
    """``inlined`` for derivatives, which need not match the reference's last bits: sums may be re-associated and
    contracted, so that sums over pixels become vector instructions. Nothing may be assumed of nan and inf."""
    return compiled(_nrt=False, forceinline=True, fastmath={"contract", "reassoc", "nsz"})(function)


def is_cold() -> bool:
    """Whether nothing has been compiled yet, so that the first run will take longer."""
    return not any(CACHE_FOLDER.rglob("*.nbi"))
