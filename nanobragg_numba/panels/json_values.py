"""Values of a JSON file by their keys, each asked for by what it must be, and refused by its place where it is not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.reading import read_bytes

Vector = tuple[float, float, float]
LARGEST = 1e50
"""Whose cube is a number, too."""


@dataclass(frozen=True)
class Node:
    """A value, and where it stands."""

    value: Any
    place: str
    """As ``detector[0].panels[3].origin``; empty for the whole file."""

    def wrong(self, what: str) -> InputError:
        """The error that says what the value must be."""
        return InputError(f"{self.place or 'the file'} {what}")

    def _below(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def has(self, key: str) -> bool:
        """Whether there is such a key, with a value."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def at(self, key: str) -> "Node":
        """The value of a key that must be there."""
        if not isinstance(self.value, dict):
            raise self.wrong("must be an object { }")
        if self.value.get(key) is None:
            raise InputError(f"{self._below(key)} is missing")
        return Node(self.value[key], self._below(key))

    def items(self) -> Iterator["Node"]:
        """The members of a list."""
        for number in range(self.members()):
            yield self.member(number)

    def members(self) -> int:
        """Number of members of a list."""
        if not isinstance(self.value, list | tuple):
            raise self.wrong("must be a list [ ]")
        return len(self.value)

    def member(self, number: int) -> "Node":
        """A member of a list, by a number that it has."""
        return Node(self.value[number], f"{self.place}[{number}]")

    def number(self) -> float:
        """A number, neither infinite nor so large that its powers are."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not abs(self.value) < LARGEST:
            raise self.wrong(f"must be a number, not {json.dumps(self.value)[:40]}")
        return float(self.value)

    def whole(self) -> int:
        """A whole number."""
        value = self.number()
        if value != int(value):
            raise self.wrong(f"must be a whole number, not {value:g}")
        return int(value)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self.wrong(f"must be a text, not {json.dumps(self.value)[:40]}")
        return self.value

    def numbers(self, count: int) -> tuple[float, ...]:
        """So many numbers."""
        values = tuple(item.number() for item in self.items())
        if len(values) != count:
            raise self.wrong(f"must be {count} numbers, not {len(values)}")
        return values

    def wholes(self, count: int) -> tuple[int, ...]:
        """So many whole numbers."""
        values = tuple(item.whole() for item in self.items())
        if len(values) != count:
            raise self.wrong(f"must be {count} whole numbers, not {len(values)}")
        return values

    def vector(self) -> Vector:
        """Three numbers."""
        x, y, z = self.numbers(3)
        return x, y, z


def read_json(path: str, flag: str) -> Node:
    """The file. Raises InputError naming it, and the line, for what is no JSON."""
    content = read_bytes(path, flag)
    try:
        return Node(json.loads(content), "")
    except UnicodeDecodeError:
        raise InputError(f"{flag} {path}: is no text, and so no JSON") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{flag} {path}, line {error.lineno}: is no JSON: {error.msg.lower()}") from None
    except RecursionError:
        raise InputError(f"{flag} {path}: is nested too deep") from None
