"""What a worker does: computes the rows of a task one after the other and writes each image itself."""

import json
import os
import traceback
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nanobragg_numba.command_line.doubtful_values import doubtful_values
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.batch import images_of_experiments
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.fields.kept import Kept as Read
from nanobragg_numba.panels.lines.expt_words import EXPT

from .command_words import Base
from .experiments.derived_row import DerivedRow, ReadRow, derived
from .formats import FORMATS, Finished, Kept, require_panels
from .state import image_name
from .storage import Log, Record, put

FILES_KEPT = 3
"""Of each kind, so that rows that take turns with a few need not read them again."""
_read_before = Read(FILES_KEPT)
_run_now = ""
_device: str | None = None


@dataclass(frozen=True)
class Job:
    """What all tasks of a run have in common."""

    folder: str
    """Absolute."""
    base: Base
    format: str
    template: str
    """Of the names of files that hold one image: run7_####.img."""
    setup: Any
    """What all frames of data files share (files.nexus.contents.Setup); None for formats of one file an image."""
    threads: int
    """Of a worker."""
    run: str = ""
    """No other call's: what workers read for another one may have changed since."""


@dataclass(frozen=True)
class Task:
    """Some consecutive rows of one group."""

    group: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """Number, counted from 0, and all words but our own of each."""
    log: str
    """Path of its log, inside the run's folder, but for an ending: an engine may run it more than once."""


OfRun = tuple[int, DerivedRow, ReadRow]
"""A row: its number, what follows from it, and its line."""


@dataclass
class Outcome:
    """What became of a task."""

    log: str
    """Path, inside the run's folder, of its log."""
    done: list[Record] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    """Row, and why."""
    remarks: list[tuple[int, str]] = field(default_factory=list)
    """Row, and what is to be known about it."""
    seconds: float = 0.0
    refused: str | None = None
    """What the disk said; the rows that are in neither list are to be computed again."""


def take_device(device: str) -> None:
    """From now on this process computes on that device, whatever the base says."""
    global _device
    _device = device


def begin_run(run: str) -> None:
    """Forget the files that were read for another run."""
    global _read_before, _run_now
    if run != _run_now:
        _read_before, _run_now = Read(FILES_KEPT), run


def read_row(words: Sequence[str], base: Base) -> ReadRow:
    """A row's command line, read. Raises InputError for what makes no sense."""
    rest, expt = list(words), None
    if EXPT.words[0] in rest:
        at = rest.index(EXPT.words[0])
        expt = rest[at + 1]
        del rest[at : at + 2]
    line = read_command_line(rest, base.compat, only_named=True, kept=_read_before)
    for text in (*line.doubts(), *doubtful_values(line)):
        raise InputError(text)
    detector, remarks = None, [str(remark) for remark in line.remarks]
    if expt is not None:
        from nanobragg_numba.panels.dials import open_expt
        from nanobragg_numba.panels.lines.described_line import with_described

        line, detector, told = with_described(
            line, base.compat, expt=expt, listed=lambda path: _read_before.get("-expt", path, lambda: open_expt(path))
        )
        remarks += told
    if not line.usable:
        wanted = "-mat or -cell, and -hkl or -default_F" if expt is None else "-hkl or -default_F"
        raise InputError(f"no crystal: the line needs {wanted}")
    return ReadRow(line, detector, remarks)


def derive_row(read: ReadRow, base: Base) -> DerivedRow:
    """What follows from the line. Raises InputError."""
    return derived(read, base.compat)


def compute(job: Job, task: Task) -> Outcome:
    """Compute the rows of the task; never raises for a row's sake."""
    begin_run(job.run)
    outcome = Outcome(f"{task.log}.{uuid.uuid4().hex}.log")
    path = Path(job.folder) / outcome.log
    try:
        log = Log(path)
    except OSError as error:
        outcome.refused = refusal(str(path.parent), error)
        return outcome
    started = perf_counter()
    try:
        _compute(job, task, outcome, log)
    except OSError as error:
        outcome.refused = refusal(job.folder, error)
    finally:
        log.close()
    outcome.seconds = perf_counter() - started
    return outcome


def refusal(path: str, error: OSError) -> str:
    """A sentence about what the disk refuses."""
    return f"cannot write {error.filename or path}: {(error.strerror or str(error)).lower()}"


def _compute(job: Job, task: Task, outcome: Outcome, log: Log) -> None:
    waiting: list[OfRun] = []
    on_gpu = gpu_index(_device or job.base.device) is not None
    for index, words in task.rows:
        if not on_gpu:
            log.begin(index)
        try:
            read = read_row(words, job.base)
            row = derive_row(read, job.base)
            _require_place(job, row)
        except Exception as error:
            outcome.failed.append((index, reason(error)))
            continue
        outcome.remarks += [(index, remark) for remark in read.remarks]
        if on_gpu:
            waiting.append((index, row, read))
        else:
            _finish([(index, row, read)], job, outcome, log)
    for together in _of_one_shape(waiting):
        for index, *_ in together:
            log.begin(index)
        _finish(together, job, outcome, log)


def _require_place(job: Job, row: DerivedRow) -> None:
    """Raise InputError where the format has no place for the image, or the image none in a file with the run's others."""
    if row.panels is not None:
        require_panels(job.format, job.base.noise, len(row.panels.detector))
    if job.setup is None:
        return
    own, _ = row.setup()
    if own != job.setup:
        (slow, fast), (all_slow, all_fast) = own.shape, job.setup.shape
        what = f"{fast}x{slow} pixels and the run {all_fast}x{all_slow}" if own.shape != job.setup.shape else "another detector or beam"
        raise InputError(f"the image has {what}, and NeXus files hold images of one set-up: take another --format")


def note_of(x: Experiment, kept: Kept, with_frame: bool) -> bytes:
    """What is kept of an image beside its pixels, JSON."""
    note: dict[str, Any] = {"photons": kept.photons, "brightest": kept.brightest}
    if with_frame:
        from nanobragg_numba.files.nexus.contents import frame_of

        frame = frame_of(x)
        note["frame"] = {**vars(frame), "seeds": None if frame.seeds is None else vars(frame.seeds)}
    return json.dumps(note, separators=(",", ":")).encode()


def _of_one_shape(waiting: list[OfRun]) -> Iterator[list[OfRun]]:
    """Rows that are computed together: those of one plane and one shape. Panels are many images by themselves."""
    planes = [one for one in waiting if one[1].panels is None]
    for shape in dict.fromkeys(row.shape for _, row, _ in planes):
        yield [one for one in planes if one[1].shape == shape]
    yield from ([one] for one in waiting if one[1].panels is not None)


def _images(rows: list[OfRun], job: Job) -> Iterator[np.ndarray]:
    """The float32 images of rows of one shape, or of one row of panels; each may be overwritten when the next is asked for."""
    precision, threads, device = job.base.precision, job.threads, _device or job.base.device
    panels = rows[0][1].panels
    if panels is None:
        return images_of_experiments([row.experiment for _, row, _ in rows], precision=precision, threads=threads, device=device)
    from nanobragg_numba.panels.simulate import render_panels

    return iter([render_panels(panels, precision=precision, threads=threads, device=device).image])


def _finish(rows: list[OfRun], job: Job, outcome: Outcome, log: Log) -> None:
    """Compute and write the images of rows of one shape; what fails together is tried one by one."""
    done = 0
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            images = _images(rows, job)
        outcome.remarks += [(rows[0][0], str(warning.message)) for warning in said]
        for (index, row, read), image in zip(rows, images, strict=True):
            _write(index, Finished(row.experiment, image, read.line.outputs), job, outcome, log)
            done += 1
    except OSError:
        raise
    except Exception as error:
        if len(rows) == 1:
            outcome.failed.append((rows[0][0], reason(error)))
            return
        for one in rows[done:]:
            _finish([one], job, outcome, log)


def _write(index: int, finished: Finished, job: Job, outcome: Outcome, log: Log) -> None:
    form = FORMATS[job.format]
    if np.isinf(finished.image.max(initial=0.0)):
        outcome.remarks.append((index, "pixels have more photons than a 4-byte float can hold (3.4e38)"))
    kept = form.keep(finished)
    # The log first: a file that is in its place is one that the log knows.
    inside = not form.one_file_each
    record = log.finish(index, kept.content, note_of(finished.experiment, kept, inside), inside)
    if form.one_file_each:
        put(Path(job.folder) / image_name(job.template, index), kept.content)
    outcome.done.append(record)


def reason(error: BaseException) -> str:
    """Why a row failed, in one sentence."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory for this image"
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{type(error).__name__}: {error}" + "".join(f" ({os.path.basename(at.filename)}, line {at.lineno})" for at in where)
