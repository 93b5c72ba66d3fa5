"""Numbers among the words: as ``atof`` and ``atoi`` read them in "c", as they are written in "spec"."""

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.maths.c_numbers import atof, atoi, is_number, shown

LARGEST_INT = 2**31


def read_number(option: str, text: str, whole: bool, compat: Compat) -> tuple[float, str]:
    """The value of ``text``, and, where C's reading drops part of it, a sentence about that; else an empty one.

    A ``whole`` number may be written as a decimal in "spec" (1e3). Raises InputError in "spec" for what is no number, or is not
    whole, or is beyond 32 bits.
    """
    if mode_of(compat).spec:
        return _as_written(option, text, whole), ""
    value = atoi(text) if whole else atof(text)
    if not is_number(text):
        return value, f"{option}: {shown(text)} is not a number and is read as {value:g}, as the C program does"
    if whole and value != atof(text):
        return value, f"{option}: {shown(text)} is read as the whole number {value}, as the C program does"
    return value, ""


def _as_written(option: str, text: str, whole: bool) -> float:
    if not is_number(text):
        raise InputError(f"{option}: {shown(text)} is not a number")
    value = atof(text)
    if not whole:
        return value
    if not value.is_integer():
        raise InputError(f"{option} must be a whole number, not {shown(text)}")
    if not -LARGEST_INT <= value < LARGEST_INT:
        raise InputError(f"{option}: {shown(text)} is beyond 32-bit whole numbers")
    return int(value)
