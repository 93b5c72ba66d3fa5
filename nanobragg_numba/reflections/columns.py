"""Columns of reflection files: which hold amplitudes or intensities, and which one is meant."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError

Role = Literal["F", "F+", "F-", "I", "I+", "I-", "beside", "other"]
"""Amplitude, intensity, those of a Friedel pair; what stands beside them (sigmas, phases, weights); anything else."""


class Names(NamedTuple):
    """What the command or Python calls the wishes about a file, for sentences."""

    columns: str
    resolution: str
    solvent: str
    cell: str


OF_THE_COMMAND = Names("-columns", "-resolution", "-solvent", "-cell")
OF_PYTHON = Names("columns", "d_min", "solvent", "cell")


@dataclass(frozen=True)
class Column:
    """A column of a reflection file."""

    label: str
    role: Role
    group: str
    """The data set or block that it belongs to."""
    values: np.ndarray
    """(n,): nan where there is none."""
    kind: str
    """What it is in the file's own terms, for a sentence."""
    observed: bool = False
    """Whether it is told to be measured: it has a sigma."""

    @property
    def address(self) -> str:
        """Group and label, which no other column has."""
        return f"{self.group}/{self.label}" if self.group else self.label


@dataclass(frozen=True)
class Choice:
    """The amplitudes of a file."""

    plus: np.ndarray
    minus: np.ndarray | None
    """None: the columns are not of Friedel pairs."""
    source: str
    group: str
    remarks: tuple[str, ...]


def choose(columns: list[Column], wanted: str | None, where: str, flag: str) -> Choice:
    """The amplitudes in the columns that ``wanted`` names, labels parted by commas, or else in those that are found by type.

    Found: the first kind of which the file has any, measured before calculated: pairs of F, F with a sigma, pairs of I, I with a sigma,
    F, I. Raises InputError, naming ``where``, if there is none, if several are of that kind (``flag`` is what chooses), and for names that
    are not there or hold no amplitudes.
    """
    picked = _named(columns, wanted, where) if wanted is not None else _found(columns, where, flag)
    roles = tuple(column.role for column in picked)
    values = [column.values.astype(np.float64) for column in picked]
    names = ", ".join(column.label for column in picked)
    remarks = []
    if roles[0].startswith("I"):
        negative = sum(int(np.count_nonzero(value < 0.0)) for value in values)
        if negative:
            remarks.append(f"{negative} intensities in {names} are negative; their amplitudes are 0")
        values = [np.sqrt(np.maximum(value, 0.0)) for value in values]
    else:
        negative = sum(int(np.count_nonzero(value < 0.0)) for value in values)
        if negative:
            remarks.append(f"{negative} amplitudes in {names} are negative; their moduli count")
        values = [np.abs(value) for value in values]
    group = picked[0].group
    kinds = "amplitudes" if roles[0].startswith("F") else "square roots of the intensities"
    others = [column.label for column in columns if column.role not in ("beside", "other") and column not in picked]
    source = f"the {kinds} {names}" + (f" of {group}" if group else "")
    if others and wanted is None:
        source += f" (others: {', '.join(others)})"
    return Choice(values[0], values[1] if len(values) == 2 else None, source, group, tuple(remarks))


def _named(columns: list[Column], wanted: str, where: str) -> list[Column]:
    """The one column or the pair of amplitudes or intensities among those named."""
    named: list[Column] = []
    for label in filter(None, map(str.strip, wanted.split(","))):
        matching = [column for column in columns if label in (column.label, column.address)]
        if not matching:
            raise InputError(f"{where}: no column {label}; there are {', '.join(column.label for column in columns)}")
        if len(matching) > 1:
            raise InputError(f"{where}: several columns are called {label}: {', '.join(column.address for column in matching)}")
        named += matching
    meant = [column for column in named if column.role != "beside"]
    if not meant:
        raise InputError(f"{where}: none of the columns {wanted} holds amplitudes or intensities")
    for column in meant:
        if column.role == "other":
            raise InputError(f"{where}: the column {column.label} is {column.kind}, neither amplitudes nor intensities")
    roles = [column.role for column in meant]
    if len(meant) == 1:
        return meant
    for pair in (("F+", "F-"), ("I+", "I-")):
        if sorted(roles) == sorted(pair) and meant[0].group == meant[1].group:
            return sorted(meant, key=lambda column: pair.index(column.role))
    raise InputError(f"{where}: {wanted}: one column of amplitudes or intensities is needed, or a Friedel pair of one data set")


def _found(columns: list[Column], where: str, flag: str) -> list[Column]:
    """The candidates of the first kind that there is."""
    pairs = {
        letter: [
            [plus, minus]
            for plus in columns
            for minus in columns
            if plus.role == f"{letter}+" and minus.role == f"{letter}-" and plus.group == minus.group and _stem(plus) == _stem(minus)
        ]
        for letter in "FI"
    }
    single = {letter: [[column] for column in columns if column.role == letter] for letter in "FI"}
    measured = {letter: [one for one in single[letter] if one[0].observed] for letter in "FI"}
    for candidates in (pairs["F"], measured["F"], pairs["I"], measured["I"], single["F"], single["I"]):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            names = "; ".join(",".join(column.address for column in one) for one in candidates)
            raise InputError(f"{where}: several columns may be meant: {names}; name one with {flag}")
    there = ", ".join(f"{column.label} ({column.kind})" for column in columns)
    raise InputError(f"{where}: no column of amplitudes or intensities; there are {there or 'none'}")


def _stem(column: Column) -> str:
    """The label without what tells one of a pair from the other."""
    stem = column.label
    for sign in ("(+)", "(-)", "_plus", "_minus", "plus", "minus", "(+", "(-", "+", "-"):
        stem = stem.replace(sign, "")
    return stem


def is_minus(label: str) -> bool:
    """Whether the label is that of -h -k -l."""
    return "(-)" in label or "minus" in label.lower() or label.endswith("-")
