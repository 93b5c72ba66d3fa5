"""gemmi, loaded when a file needs it."""

import importlib
from typing import Any

from nanobragg_numba.errors import InputError


def gemmi(where: str) -> Any:
    """The module. Raises InputError, naming ``where``, if it is not installed."""
    try:
        return importlib.import_module("gemmi")
    except ImportError:
        raise InputError(f"{where}: reading it needs gemmi: pip install 'nanobragg_numba[formats]'") from None
