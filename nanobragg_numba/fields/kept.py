"""What was made before from the very same values, so that many runs that differ in little do the rest once."""

import marshal
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

_T = TypeVar("_T")
LARGEST_ARRAY = 1 << 16
"""Bytes; what hangs on larger ones is made anew rather than compared."""


class Kept:
    """The results for the ``most`` keys of each kind that were asked for last."""

    def __init__(self, most: int):
        self._most = most
        self._contents: dict[str, dict[Hashable, Any]] = {}
        """By kind; the one used longest ago first."""

    def has(self, kind: str, key: Hashable) -> bool:
        """Whether there is a result for ``key``."""
        return key in self._contents.get(kind, ())

    def get(self, kind: str, key: Hashable, make: Callable[[], _T]) -> _T:
        """What ``make`` makes, or made when last asked for ``key``; not to be changed by the caller. A key of None is no key."""
        if key is None:
            return make()
        contents = self._contents.setdefault(kind, {})
        found: tuple[_T] | None = contents.pop(key, None)
        content = make() if found is None else found[0]
        contents[key] = (content,)
        if len(contents) > self._most:
            contents.pop(next(iter(contents)), None)
        return content


_PLAIN = {float, int, bool, str, type(None)}


class _Unlike(Exception):
    """Of a value that is not compared."""


def fingerprint(*values: Any) -> bytes | None:
    """Bytes that are the same for values of the same types and to the last bit: dataclasses, tuples, numbers, words, arrays.

    None where there is anything else among them, such as a number that carries a derivative, or an array above LARGEST_ARRAY.
    """
    try:
        # Version 2 says of a value nothing but its type and its bits; later ones also whether it is the same object as another.
        return marshal.dumps([_plain(value) for value in values], 2)
    except _Unlike:
        return None


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple):
        return tuple([_plain(part) for part in value])
    if isinstance(value, np.ndarray):
        if value.nbytes > LARGEST_ARRAY or value.dtype.hasobject:
            raise _Unlike
        return (value.dtype.str, value.shape, value.tobytes())
    if hasattr(type(value), "__dataclass_fields__"):
        return (type(value).__name__, *[_plain(part) for part in vars(value).values()])
    raise _Unlike
