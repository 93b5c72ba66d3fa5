"""Data files of a run, put together from the logs of its tasks; the master file; both with frames left out for rows that failed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.seeds import Seeds

from .formats import pixels_of
from .plan import Plan
from .state import RunFolder, data_file
from .storage import Record, read_content


@dataclass(frozen=True)
class Assembly:
    """What all data files of a run have in common."""

    folder: str
    name: str
    """Of the run: the files' names begin with it."""
    shape: tuple[int, int]
    """(slow, fast) of an image."""
    dtype: np.dtype
    """Of its pixels."""


def assemble(assembly: Assembly, group: int, rows: range, places: Sequence[tuple[str, Record] | None]) -> None:
    """Write the data file of a group: the images at the places, a log inside the run's folder and its record.

    None is an image that failed. Raises InputError where the disk refuses.
    """
    from nanobragg_numba.files.nexus.frames import write_frames

    folder = Path(assembly.folder)

    def contents() -> Iterator[bytes | None]:
        for place in places:
            yield None if place is None else read_content(folder / place[0], place[1])

    path = data_file(folder, assembly.name, group)
    try:
        write_frames(path, (len(rows), *assembly.shape), assembly.dtype, contents(), first=rows[0] + 1)
    except OSError as error:
        raise InputError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def write_master(
    path: Path, plan: Plan, folder: RunFolder, setup: Any, mask: np.ndarray | None, saturation: float, failures: dict[int, str]
) -> None:
    """Write the master file of a finished run. ``mask``: see ``files.nexus.write_master``. Raises InputError where the disk refuses."""
    from nanobragg_numba.files.nexus import contents, master

    frames, files = [], []
    dtype = pixels_of(plan.format, plan.base.noise)[0]
    for number, rows in plan.groups():
        notes = folder.notes(number)
        for row in rows:
            line = command_text(plan, row)
            if row in failures:
                frames.append(contents.Frame(line, failures[row]))
            else:
                frames.append(_frame(json.loads(notes[row][1])["frame"], line))
        files.append(contents.DataFile(data_file(folder.path, plan.template, number).name, len(rows)))
    base_command = shell_text([*plan.base.own_words, *plan.base.words])
    master.write_master(path, setup, frames, files, dtype, saturation=saturation or None, pixel_mask=mask, base_command=base_command)


def _frame(values: dict[str, Any], command: str) -> Any:
    """A frame from what ``note_of`` kept of it."""
    from nanobragg_numba.files.nexus.contents import Frame

    seeds = values.pop("seeds")
    tuples = {name: _tuples(value) for name, value in values.items()}
    return Frame(**{**tuples, "command": command, "seeds": None if seeds is None else Seeds(**seeds)})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def command_text(plan: Plan, row: int) -> str:
    """The command line that makes an image again; empty for a row whose cells make none."""
    try:
        return shell_text(plan.command_line(row))
    except InputError:
        return ""


def shell_text(words: Sequence[str]) -> str:
    """The words as a shell takes them."""
    import shlex

    return shlex.join(words)
