"""What may stand in a field of the parameters: the class's annotations say, and here it is made so or refused by the field's name.

Numbers of numpy's kinds, arrays and lists become Python's numbers and tuples. What carries a derivative, a torch tensor or a Number of
``nanobragg_numba.autograd``, stays as it is.
"""

import reprlib
import sys
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from types import MappingProxyType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.torch_values import is_tensor, values_of

EXACT_IN_DOUBLE = 2**53
_NUMBER_AUTOGRAD = "nanobragg_numba.autograd.number"


class ArrayOf(NamedTuple):
    """What an array must be: its shape, sizes None where they vary, and its type, None for any real one."""

    shape: tuple[int | None, ...]
    dtype: Any = np.float64

    def __str__(self) -> str:
        sizes = ", ".join("n" if size is None else str(size) for size in self.shape)
        return f"({sizes},)" if len(self.shape) == 1 else f"({sizes})"


class _Kind(NamedTuple):
    """What a field holds."""

    optional: bool
    words: tuple[str, ...]
    number: type | None
    """float, int or bool, alone or of each of ``length``."""
    length: int
    """0 for a single one."""
    parts_optional: bool
    or_one: bool
    """Whether one number may stand for several."""
    classes: tuple[type, ...]
    many: bool
    """Whether the field is a tuple of any number of such objects."""

    def __str__(self) -> str:
        names = {float: "number", int: "whole number", bool: "True or False"}
        texts = [f"one of {', '.join(self.words)}"] if self.words and self.number is None else [repr(word) for word in self.words]
        if self.number is not None:
            what = names[self.number]
            several = f"a {what} or {self.length} {what}s" if self.or_one else f"{self.length} {what}s"
            texts.insert(0, several if self.length else what if self.number is bool else f"a {what}")
        return " or ".join(texts)


@cache
def _kinds(cls: Any) -> dict[str, _Kind]:
    return {f.name: _kind(f.type) for f in fields(cls)}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kind(annotation: Any) -> _Kind:
    optional, parts_optional, or_one, length, many = False, False, False, 0, False
    words: tuple[str, ...] = ()
    number: type | None = None
    classes: list[type] = []
    for one in _alternatives(annotation):
        if one is type(None):
            optional = True
        elif get_origin(one) is Literal:
            words = get_args(one)
        elif get_origin(one) is tuple and get_args(one)[-1] is Ellipsis:
            classes.append(get_args(one)[0])
            many = True
        elif get_origin(one) is tuple:
            parts = get_args(one)
            length, of_part = len(parts), _alternatives(parts[0])
            parts_optional = type(None) in of_part
            number = next(part for part in of_part if part is not type(None))
        elif one in (float, int, bool):
            number, or_one = one, True
        else:
            classes.append(one)
    return _Kind(optional, words, number, length, parts_optional, or_one and length > 0, tuple(classes), many)


def carries_derivative(value: Any) -> bool:
    """Whether ``value`` is a torch tensor or a Number; nothing is one while those modules are not loaded."""
    module = sys.modules.get(_NUMBER_AUTOGRAD)
    return is_tensor(value) or (module is not None and isinstance(value, module.Number))


def _any_carries(value: Any) -> bool:
    return any(map(_any_carries, value)) if isinstance(value, (tuple, list)) else carries_derivative(value)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (tuple, list)) else value


def make_plain(parameters: Any, arrays: Mapping[str, ArrayOf] = MappingProxyType({})) -> None:
    """Make each field of a frozen dataclass what its annotation says, and its ``arrays`` what is told of them.

    Raises InputError, naming class and field, for what cannot be made so.
    """
    cls: Any = type(parameters)
    for field, kind in _kinds(cls).items():
        value = getattr(parameters, field)
        made = _plain(f"{cls.__name__}.{field}", kind, value, arrays.get(field))
        if made is not value:
            object.__setattr__(parameters, field, made)


def _plain(name: str, kind: _Kind, value: Any, array: ArrayOf | None) -> Any:
    if value is None and kind.optional:
        return None
    if value is None:
        raise InputError(f"{name} must be given")
    if carries_derivative(value):
        return value
    if array is not None:
        return real_array(name, value, array)
    if kind.many:
        if not isinstance(value, (tuple, list)) or not all(isinstance(part, kind.classes) for part in value):
            raise InputError(f"{name} must be a tuple of {kind.classes[0].__name__} objects, not {reprlib.repr(value)}")
        return tuple(value)
    if kind.classes:
        if not isinstance(value, kind.classes):
            makes = " (from_arrays makes them)" if kind.classes[0].__name__ == "StructureFactors" else ""
            raise InputError(f"{name} must be {kind.classes[0].__name__}{makes}, not {type(value).__name__}")
        return value
    if isinstance(value, str) and value in kind.words:
        return str(value)
    one = not kind.length or (kind.or_one and np.ndim(value) == 0)
    made = _number(kind.number, value) if one else _vector(kind, value)
    if made is None:
        shape_told = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) and value.ndim else reprlib.repr(value)
        raise InputError(f"{name} must be {kind}, not {shape_told}")
    return made


def _number(kind: type | None, value: Any) -> Any:
    """``value`` as a plain number of that kind; None where it is none."""
    if carries_derivative(value):
        return value
    if _has_unit(value):
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    truth = isinstance(value, (bool, np.bool_))
    if kind is bool:
        return bool(value) if truth else None
    if kind is None or truth or not isinstance(value, Real):
        return None
    if type(value) is float and kind is float:
        return value
    if isinstance(value, Integral):
        value = int(value)
        if kind is int or abs(value) < EXACT_IN_DOUBLE:
            return value
    try:
        value = float(value)
    except OverflowError:
        return None
    if kind is float:
        return value
    return int(value) if value.is_integer() else None


def _vector(kind: _Kind, value: Any) -> Any:
    """``value`` as a tuple of plain numbers; None where it is none."""
    if _has_unit(value):
        return None
    parts = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(parts, (tuple, list, range)) or len(parts) != kind.length:
        return None
    made = tuple(_number(kind.number, part) for part in parts)
    if any(new is None and not (old is None and kind.parts_optional) for new, old in zip(made, parts, strict=True)):
        return None
    return made


def _has_unit(value: Any) -> bool:
    """Whether ``value`` is a quantity of a package of units: only its owner knows what it is in the field's unit."""
    return hasattr(value, "unit") or hasattr(value, "units")


def real_array(name: str, value: Any, wanted: ArrayOf) -> Any:
    """``value`` as an array of real numbers, the same object where it is one already.

    Nested sequences that hold what carries a derivative become tuples. Raises InputError, naming ``name``, for anything else.
    """
    if _any_carries(value):
        return _tuples(value)
    if _has_unit(value):
        raise InputError(f"{name} must be plain numbers, not a {type(value).__name__} with a unit")
    try:
        array = np.asarray(value)
    except ValueError:
        raise InputError(f"{name} must be an array of numbers, not {reprlib.repr(value)}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} must be an array of real numbers, not of {array.dtype}")
    if not (array.ndim == len(wanted.shape) and all(w is None or n == w for n, w in zip(array.shape, wanted.shape, strict=True))):
        raise InputError(f"{name} must have shape {wanted}, not {array.shape}")
    return np.asarray(array, dtype=wanted.dtype)


def require_volume(name: str, matrix: Any) -> None:
    """Raise InputError, naming it, for a matrix that is not (3, 3) or whose axes lie in one plane; tensors are looked at by value."""
    if isinstance(matrix, tuple):
        matrix = np.array([[value_of(x) for x in row] for row in matrix])
    if not isinstance(matrix, np.ndarray):
        values = values_of(matrix)
        if values is None:
            return
        matrix = values
    matrix = matrix.astype(np.float64)
    if matrix.shape != (3, 3):
        raise InputError(f"{name} must have shape (3, 3), not {matrix.shape}")
    edges = np.linalg.norm(matrix, axis=0).prod()
    if not abs(np.linalg.det(matrix)) > 1e-9 * edges:
        raise InputError(f"{name} encloses no volume: its three axes lie in one plane")
