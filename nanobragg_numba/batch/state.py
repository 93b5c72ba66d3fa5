"""What a run keeps in its folder, so that another process can go on with it."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from nanobragg_numba.errors import InputError

from .storage import DONE, Record, put, read_log

RUN, JOBS, FAILURES, SUMMARY, UNFINISHED = "run.json", "run_jobs.csv", "failures.jsonl", "summary.json", ".unfinished"
WORDS = {
    "program": "the program's version", "base": "the base command", "options": "the base command's own options",
    "source": "what makes the rows", "rows": "the number of rows", "seed": "the seed", "format": "the format",
    "template": "the names of the files", "images_per_file": "the images of a file", "files": "an input file",
    "packages": "a package that writes the files",
}  # fmt: skip
"""What run.json holds, and what it is called where it has changed."""


@dataclass(frozen=True)
class BatchResult:
    """What became of a run."""

    folder: Path
    images: int
    """Rows of the run."""
    computed: int
    """Images computed by this call; others were there."""
    failures: tuple[tuple[int, str], ...]
    """Number of each row that failed, counted from 1, and why."""
    seconds: float
    master: Path | None = None
    """The NeXus master file."""
    remarks: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """What is to be known, and the numbers of the rows computed by this call that it is about, counted from 0."""


def _is_beginning(name: str) -> bool:
    """Whether a file is what a run leaves that is killed before it has begun."""
    return name in (UNFINISHED, JOBS) or (name.startswith(".") and name.endswith(".part"))


def digest_of_file(path: str) -> str:
    """sha256 of a file's content; empty where it cannot be read."""
    # Reading a pipe would take away what it holds, or wait.
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def image_name(template: str, row: int) -> str:
    """The file of a row, counted from 0: ``#`` stand for the digits of its number, counted from 1."""
    marks = template.count("#")
    return template.replace("#" * marks, f"{row + 1:0{marks}d}")


def data_file(folder: Path, name: str, group: int) -> Path:
    """The file of the frames of a group."""
    return folder / f"{name}_data_{group:06d}.h5"


def failure_line(row: int, why: str) -> str:
    """A line of the record of failures."""
    return json.dumps({"row": row + 1, "reason": why}) + "\n"


@dataclass
class Group:
    """What is known of some consecutive rows, those of one data file."""

    number: int
    """Counted from 1."""
    rows: range
    done: dict[int, tuple[str, Record]] = field(default_factory=dict)
    """By row: the log, inside the run's folder, and the record."""
    failed: dict[int, str] = field(default_factory=dict)
    notes: dict[int, bytes] = field(default_factory=dict)
    """By row: the notes of finished images."""
    closed: bool = False
    """Whether its data file is in its place, and whole."""
    closing: bool = False
    """Whether that is under way."""
    attempts: int = 0
    """At its data file."""

    def keep(self, log: str, record: Record) -> None:
        """An image is finished: ``log``, inside the run's folder, has ``record``."""
        self.notes[record.row] = record.note
        self.done[record.row] = (log, record._replace(note=b""))

    def places(self) -> list[tuple[str, Record] | None]:
        """Of each row in order, where its content is; None for one that failed."""
        return [self.done.get(row) for row in self.rows]

    @property
    def complete(self) -> bool:
        """Whether no row is left to compute."""
        return len(self.notes) + len(self.failed) == len(self.rows)


class RunFolder:
    """The folder of a run."""

    def __init__(self, path: str):
        self.path = Path(os.path.abspath(path))
        self._held: BinaryIO | None = None

    def seed(self) -> int | None:
        """The seed of the run that is there; None where there is none."""
        try:
            seed = json.loads((self.path / RUN).read_text()).get("seed")
        except (OSError, ValueError, AttributeError):
            return None
        return seed if isinstance(seed, int) else None

    def begin(self, contents: dict[str, Any], table: Iterator[str] | None, resume: bool) -> None:
        """Make the folder a run's, or go on with the run that is there.

        Raises InputError where there is another run, or, to resume, none or a different one; and where the folder cannot be written.
        """
        there = self.path / RUN
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if there.exists():
                if not resume:
                    raise InputError(f"--out {self.path} holds a run already: --resume goes on with it, or choose another folder")
                self._compare(contents, table)
                self._hold()
                return
            if not all(_is_beginning(entry.name) for entry in self.path.iterdir()):
                raise InputError(f"--out {self.path} holds other files and no run: choose a folder that is new or empty")
            (self.path / UNFINISHED).mkdir(exist_ok=True)
            self._hold()
            if table is not None:
                put(self.path / JOBS, (line.encode() for line in table))
            put(there, [(json.dumps(contents, indent=1) + "\n").encode()])
        except OSError as error:
            raise InputError(f"--out {self.path}: cannot be written: {(error.strerror or str(error)).lower()}") from None

    def _hold(self) -> None:
        """Keep others out, where the file system can. Raises InputError where another is at work."""
        try:
            import fcntl
        except ImportError:
            return
        self._held = open(self.path / UNFINISHED / "lock", "wb")  # noqa: SIM115
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--out {self.path}: another process is computing this run") from None
        except OSError:
            pass

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        """Let others in; the end of the process does that too, however it ends."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _compare(self, contents: dict[str, Any], table: Iterator[str] | None) -> None:
        """Raise InputError, naming the first thing that differs, unless the run that is there is this one."""
        try:
            held = json.loads((self.path / RUN).read_text())
        except ValueError:
            raise InputError(f"{self.path / RUN} is damaged: this run cannot be resumed") from None
        if table is not None:
            self._compare_tables(table)
        for name, what in WORDS.items():
            old, new = held.get(name), contents.get(name)
            if old == new:
                continue
            if isinstance(old, dict) and isinstance(new, dict):
                name = next(key for key in (*old, *new) if old.get(key) != new.get(key))
                if what == WORDS["files"]:
                    raise InputError(f"--resume: the input file {name} has changed since this run began in {self.path}")
                old, new = old.get(name), new.get(name)
            raise InputError(
                f"--resume: {what} ({name}) has changed since this run began in {self.path}: {_shown(old)} then, {_shown(new)} now"
            )
        if not os.access(self.path, os.W_OK):
            raise InputError(f"--out {self.path}: cannot be written: permission denied")
        (self.path / UNFINISHED).mkdir(exist_ok=True)

    def _compare_tables(self, table: Iterator[str]) -> None:
        import csv
        import io

        old = (self.path / JOBS).read_text() if (self.path / JOBS).exists() else ""
        new = "".join(table)
        if old == new:
            return
        was, now = (list(csv.reader(io.StringIO(text))) for text in (old, new))
        for number, (before, after) in enumerate(zip(was, now, strict=False)):
            if before == after:
                continue
            place = "its columns" if number == 0 else f"row {number}"
            at = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), min(len(before), len(after)))
            if number and was[0] == now[0]:
                place += f", column {was[0][at]!r}"
            old_cell, new_cell = (cells[at] if at < len(cells) else "nothing" for cells in (before, after))
            raise InputError(
                f"--resume: the table has changed since this run began in {self.path}: {place}: {old_cell!r} then, {new_cell!r} now"
            )
        raise InputError(
            f"--resume: the table has changed since this run began in {self.path}: {len(was) - 1} rows then, {len(now) - 1} now"
        )

    def unfinished(self, group: int) -> Path:
        """The folder of a group's logs."""
        return self.path / UNFINISHED / f"{group:06d}"

    def notes_file(self, group: int) -> Path:
        """The file of a group's notes, once it is complete."""
        return self.path / UNFINISHED / f"{group:06d}.notes"

    def write_notes(self, group: Group) -> None:
        """Keep the notes of a complete group. Raises OSError."""
        lines = (b"%d %d %b\n" % (row, group.done[row][1].length, group.notes[row]) for row in sorted(group.notes))
        put(self.notes_file(group.number), lines)

    def notes(self, group: int) -> dict[int, tuple[int, bytes]]:
        """By row: bytes of the content, and the note, of a complete group."""
        found = {}
        with suppress(OSError):
            for line in self.notes_file(group).read_bytes().splitlines():
                row, length, note = line.split(b" ", 2)
                found[int(row)] = (int(length), note)
        return found

    def find_logged(self, group: Group, inside: bool, template: str) -> None:
        """Find what the logs of a group hold: images themselves (``inside``), or those whose files are in their place."""
        for path in sorted(self.unfinished(group.number).glob("*.log")):
            for record in read_log(path, inside):
                if record.kind == DONE and record.row in group.rows and (inside or self._is_there(template, record.row, record.length)):
                    group.keep(str(path.relative_to(self.path)), record)

    def _is_there(self, template: str, row: int, length: int) -> bool:
        try:
            return (self.path / image_name(template, row)).stat().st_size == length
        except OSError:
            return False

    def find_finished(self, group: Group, inside: bool, template: str) -> None:
        """Find what an earlier call left of a group."""
        self.find_logged(group, inside, template)
        notes = self.notes(group.number)
        if not inside:
            for row, (length, note) in notes.items():
                if row in group.rows and self._is_there(template, row, length):
                    group.keep("", Record(DONE, row, length, 0, note))
        elif data_file(self.path, template, group.number).exists() and all(row in notes for row in group.rows):
            # Where some failed, the contents of the others are still in logs.
            group.closed = True
            for row, (length, note) in notes.items():
                group.keep("", Record(DONE, row, length, 0, note))

    def note_failure(self, row: int, why: str) -> None:
        """Record a row that failed; ``finish`` puts them in order. Raises OSError."""
        with open(self.path / FAILURES, "a") as file:
            file.write(failure_line(row, why))

    def begun(self, log: str, inside: bool) -> dict[int, bool]:
        """The rows that a task's logs say were begun, and whether they were finished."""
        begun: dict[int, bool] = {}
        for path in sorted(self.path.glob(f"{log}.*")):
            for record in read_log(path, inside):
                begun[record.row] = begun.get(record.row, False) or record.kind == DONE
        return begun

    def remove_logs(self, group: int) -> None:
        """Remove what a group's logs held, which is in its place now."""
        folder = self.unfinished(group)
        with suppress(OSError):
            for path in list(folder.iterdir()):
                path.unlink()
            folder.rmdir()

    def clean(self, logs: bool) -> None:
        """Remove what is left of files whose writers were killed, and with ``logs`` what only an unfinished run needs."""
        with suppress(OSError):
            for path in list(self.path.glob(".*.part")):
                path.unlink()
        if not logs:
            return
        with suppress(OSError):
            for path in list((self.path / UNFINISHED).iterdir()):
                if path.is_dir():
                    self.remove_logs(int(path.name))
                else:
                    path.unlink()
            (self.path / UNFINISHED).rmdir()


def _shown(value: Any) -> str:
    text = " ".join(value) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return text if len(text) < 200 else text[:197] + "..."
