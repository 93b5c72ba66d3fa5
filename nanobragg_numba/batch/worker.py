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
from nanobragg_numba.command_line.input_files import Kept as Read
from nanobragg_numba.command_line.reading import CommandLine, read_command_line
from nanobragg_numba.engine.batch import images_of_experiments
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment, derive_experiment

from .command_words import Base
from .formats import FORMATS, Finished, Kept
from .state import image_name
from .storage import Log, Record, put

FILES_KEPT = 3
"""Of each kind, so that rows that take turns with a few need not read them again."""
_read_before = Read(FILES_KEPT)
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


@dataclass(frozen=True)
class Task:
    """Some consecutive rows of one group."""

    group: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    """Number, counted from 0, and all words but our own of each."""
    log: str
    """Path of its log, inside the run's folder, but for an ending: an engine may run it more than once."""


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


def read_row(words: Sequence[str], base: Base) -> tuple[CommandLine, list[str]]:
    """A row's command line, read, and what is to be said of it. Raises InputError for what makes no sense."""
    line = read_command_line(words, base.compat, only_named=True, kept=_read_before)
    for text in (*line.doubts(), *doubtful_values(line)):
        raise InputError(text)
    if not line.usable:
        raise InputError("no crystal: the line needs -mat or -cell, and -hkl or -default_F")
    return line, [str(remark) for remark in line.remarks]


def derive_row(line: CommandLine, base: Base) -> Experiment:
    """What follows from the line. Raises InputError."""
    # What a row needs of seeds is among its words; the others are the same in every run.
    return derive_experiment(line.parameters, base.compat, noise_seed=line.outputs.noise_seed, missing_seed=lambda: 0)


def compute(job: Job, task: Task) -> Outcome:
    """Compute the rows of the task; never raises for a row's sake."""
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
    derived: list[tuple[int, Experiment, CommandLine]] = []
    on_gpu = gpu_index(_device or job.base.device) is not None
    for index, words in task.rows:
        if not on_gpu:
            log.begin(index)
        try:
            line, remarks = read_row(words, job.base)
            experiment = derive_row(line, job.base)
            _require_setup(job, experiment)
        except Exception as error:
            outcome.failed.append((index, reason(error)))
            continue
        outcome.remarks += [(index, remark) for remark in remarks]
        if on_gpu:
            derived.append((index, experiment, line))
        else:
            _finish([(index, experiment, line)], job, outcome, log)
    for together in _of_one_shape(derived):
        for index, *_ in together:
            log.begin(index)
        _finish(together, job, outcome, log)


def _require_setup(job: Job, x: Experiment) -> None:
    """Raise InputError where an image cannot stand in a file with the run's others."""
    if job.setup is None:
        return
    from nanobragg_numba.files.nexus.contents import setup_of

    own = setup_of(x)
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


def _of_one_shape(derived: list[tuple[int, Experiment, CommandLine]]) -> Iterator[list[tuple[int, Experiment, CommandLine]]]:
    shapes = [(x.geometry.slow_pixels, x.geometry.fast_pixels) for _, x, _ in derived]
    for shape in dict.fromkeys(shapes):
        yield [one for one, own in zip(derived, shapes, strict=True) if own == shape]


def _finish(rows: list[tuple[int, Experiment, CommandLine]], job: Job, outcome: Outcome, log: Log) -> None:
    """Compute and write the images of rows of one shape; what fails together is tried one by one."""
    done = 0
    base = job.base
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            images = images_of_experiments(
                [x for _, x, _ in rows], precision=base.precision, threads=job.threads, device=_device or base.device
            )
        outcome.remarks += [(rows[0][0], str(warning.message)) for warning in said]
        for (index, experiment, line), image in zip(rows, images, strict=True):
            _write(index, Finished(experiment, image, line.outputs), job, outcome, log)
            done += 1
    except OSError:
        raise
    except Exception as error:
        if len(rows) == 1:
            outcome.failed.append((rows[0][0], reason(error)))
            return
        for row in rows[done:]:
            _finish([row], job, outcome, log)


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
