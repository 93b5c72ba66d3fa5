"""The nb-compare-phi command: the phi steps of one pixel, from our trace and from the reference's log, side by side."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import OutputFiles, require_writable
from nanobragg_numba.files.reading import read_bytes

from .two_dashes import Parser

SAME, DIVERGED, BAD_INPUT = 0, 1, 2
SAME_ANGLE_DEG = 1e-9
MARKS = ("TRACE_C_PHI", "TRACE_PY_PHI")
SUMMARY = "comparison_summary.md"
TITLE = "# Comparison of phi steps"
DESCRIPTION = """\
Compare the phi steps of one pixel: per_phi_entries of a JSON that nb-trace writes, with the TRACE_C_PHI (or
TRACE_PY_PHI) lines of a log. Steps are paired by angle. Prints a table, and writes it to comparison_summary.md beside the JSON.
"""
EPILOGUE = """\
A step diverges where k, F_latt_b or F_latt differ by more than the tolerance times the larger of 1 and the log's value.
exit status: 0 all steps agree, 1 a step diverges, 2 bad input, or steps at other angles.
"""


@dataclass(frozen=True)
class PhiStep:
    """One phi step of one pixel."""

    phi_tic: int
    phi_deg: float
    k_frac: float
    F_latt_b: float
    F_latt: float


COMPARED = ("k_frac", "F_latt_b", "F_latt")
FIELDS = ("phi_deg", *COMPARED)


@dataclass(frozen=True)
class Pair:
    """The same step in both files."""

    json: PhiStep
    log: PhiStep
    diverged: tuple[str, ...]
    """The names of what differs beyond the tolerance."""


def read_json(path: str) -> list[PhiStep]:
    """The steps of a JSON's ``per_phi_entries``. Raises InputError, naming the entry, for what is missing or no number."""
    try:
        content = json.loads(read_bytes(path, "JSON"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"JSON {path}{where}: not a JSON file") from None
    entries = content.get("per_phi_entries") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"JSON {path}: no per_phi_entries in it")
    steps = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"JSON {path}, entry {number}: not an object")
        steps.append(_step(f"JSON {path}, entry {number}", entry))
    return steps


def read_log(path: str) -> list[PhiStep]:
    """The steps of a trace log. Raises InputError, naming the line, for what is missing or no number."""
    steps = []
    for number, line in enumerate(read_bytes(path, "log").decode(errors="replace").splitlines(), 1):
        words = line.split()
        if words and words[0].rstrip(":") in MARKS:
            values = dict(word.split("=", 1) for word in words[1:] if "=" in word)
            steps.append(_step(f"log {path}, line {number}", values))
    if not steps:
        raise InputError(f"log {path}: no line begins with {' or '.join(MARKS)}")
    return steps


def _step(where: str, values: dict[str, Any]) -> PhiStep:
    numbers = []
    for name in ("phi_tic", *FIELDS):
        value = values.get(name)
        if value is None:
            raise InputError(f"{where}: {name} is missing")
        try:
            if isinstance(value, bool):
                raise ValueError
            numbers.append(float(value))
        except (TypeError, ValueError):
            raise InputError(f"{where}: {name} is no number: {value!r}") from None
    if not (math.isfinite(numbers[0]) and numbers[0].is_integer() and math.isfinite(numbers[1])):
        raise InputError(f"{where}: phi_tic must be whole and phi_deg finite")
    return PhiStep(int(numbers[0]), *numbers[1:])


def pair_steps(from_json: list[PhiStep], from_log: list[PhiStep], tolerance: float) -> list[Pair]:
    """The steps paired by angle, in the order of the log. Raises InputError where the angles are not the same."""
    by_angle = [sorted(steps, key=lambda step: step.phi_deg) for steps in (from_json, from_log)]
    for name, steps in zip(("JSON", "log"), by_angle, strict=True):
        for one, other in pairwise(steps):
            if other.phi_deg - one.phi_deg <= SAME_ANGLE_DEG:
                raise InputError(
                    f"the {name} has two steps at phi = {one.phi_deg:.15g}: trace one sweep of one pixel "
                    "(-oversample 1, one source, one sensor layer)"
                )
    if len(from_json) != len(from_log):
        raise InputError(f"different phi grids: {len(from_json)} steps in the JSON, {len(from_log)} in the log")
    pairs = []
    for ours, theirs in zip(*by_angle, strict=True):
        if abs(ours.phi_deg - theirs.phi_deg) > SAME_ANGLE_DEG:
            raise InputError(f"different phi grids: phi = {ours.phi_deg:.15g} in the JSON stands against {theirs.phi_deg:.15g} in the log")
        wrong = [name for name in COMPARED if not _agree(getattr(ours, name), getattr(theirs, name), tolerance)]
        pairs.append(Pair(ours, theirs, tuple(wrong)))
    order = {step.phi_deg: place for place, step in enumerate(from_log)}
    return sorted(pairs, key=lambda pair: order[pair.log.phi_deg])


def _agree(value: float, reference: float, tolerance: float) -> bool:
    # Written so that a nan on either side is a divergence.
    return abs(value - reference) <= tolerance * max(1.0, abs(reference))


HEADINGS = ("step", "phi (deg)", "k JSON", "k log", "k difference", "F_latt_b JSON", "F_latt_b log", "F_latt_b difference", "status")


def summary(pairs: list[Pair], json_path: str, log_path: str, tolerance: float) -> str:
    """The table in Markdown, and where the steps diverge first."""
    rows = [HEADINGS]
    for pair in pairs:
        a, b = pair.json, pair.log
        cells = (f"{b.phi_tic}", f"{b.phi_deg:.15g}", f"{a.k_frac:.15g}", f"{b.k_frac:.15g}", f"{a.k_frac - b.k_frac:.3e}",
                 f"{a.F_latt_b:.15g}", f"{b.F_latt_b:.15g}", f"{a.F_latt_b - b.F_latt_b:.3e}",
                 f"DIVERGES ({', '.join(pair.diverged)})" if pair.diverged else "ok")  # fmt: skip
        rows.append(cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    table = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    table.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    first = next((pair for pair in pairs if pair.diverged), None)
    verdict = f"All {len(pairs)} steps agree."
    if first is not None:
        b = first.log
        name = first.diverged[0]
        ours, theirs = getattr(first.json, name), getattr(b, name)
        count = sum(1 for pair in pairs if pair.diverged)
        verdict = (
            f"First divergence: step {b.phi_tic}, phi = {b.phi_deg:.15g} degrees, {name} = {ours:.15g} in the JSON, {theirs:.15g} in the "
            f"log (difference {ours - theirs:.3e}). {count} of {len(pairs)} steps diverge."
        )
    head = [TITLE, "", f"JSON: {json_path}  ", f"log: {log_path}  ", f"tolerance: {tolerance:g}", ""]
    return "\n".join([*head, *table, "", verdict, ""])


def _require_ours(path: str) -> None:
    """Raise InputError if the file to write is there and was not written by this command."""
    require_writable(path, "summary")
    if os.path.exists(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            if not file.read(len(TITLE)) == TITLE:
                raise InputError(f"{path} is there and holds something else: move it away")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = Parser("nb-compare-phi", description=DESCRIPTION, epilog=EPILOGUE, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("json", metavar="JSON", help="per-phi entries that nb-trace wrote")
    parser.add_argument("log", metavar="C_LOG", help="trace log of the reference")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="largest difference that is none (default: 1e-6)")
    try:
        options = parser.parse_args(words)
        if not 0.0 <= options.tolerance < math.inf:
            raise InputError(f"--tolerance {options.tolerance:g}: must be zero or positive")
        pairs = pair_steps(read_json(options.json), read_log(options.log), options.tolerance)
        target = os.path.join(os.path.dirname(options.json), SUMMARY)
        _require_ours(target)
        text = summary(pairs, options.json, options.log, options.tolerance)
        with OutputFiles() as files:
            files.write(target, [text.encode()])
            files.commit()
    except InputError as error:
        print(f"nb-compare-phi: error: {error}", file=sys.stderr)
        return BAD_INPUT
    print(text, end="")
    return DIVERGED if any(pair.diverged for pair in pairs) else SAME


def command() -> None:
    """Run ``nb-compare-phi`` with the words of the command line, and exit with its status."""
    sys.exit(main())
