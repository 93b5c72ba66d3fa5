"""One run: many images, computed by an engine and kept in a folder."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.engine.needed_code import begin_for_image
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.experiment.seeds import LARGEST, fresh_seed
from nanobragg_numba.files.output import require_writable

from . import report
from .assembly import Assembly, write_master
from .command_words import input_files, read_base
from .engines import require_engine, started
from .experiments.derived_row import DerivedRow
from .formats import FORMATS, pixels_of, require_format, require_panels
from .jobs_table import Table, read_table, table_of
from .plan import Plan, listed_rows, orientation_rows, require_count, scan_rows, settled_template, table_rows
from .progress import Progress
from .scheduling import Schedule
from .state import BatchResult, Group, RunFolder
from .worker import Job, begin_run, derive_row, read_row, reason, refusal

ROWS_TRIED = 50
"""Rows looked at for one that can be computed, before anything is."""


def run(
    jobs: str | os.PathLike[str] | Sequence[Mapping[str, Any]] | None = None,
    *,
    out: str | os.PathLike[str],
    base: str | Sequence[str] = "",
    orientations: int | None = None,
    scan: str | None = None,
    expt: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    format: str = "nexus",
    name: str | None = None,
    images_per_file: int = 100,
    engine: Any = "processes",
    workers: int | None = None,
    scheduler: str | None = None,
    slurm: int | None = None,
    slurm_options: Mapping[str, Any] | None = None,
    resume: bool = False,
    manifest: str = "csv",
    preview: str | os.PathLike[str] | None = None,
    compat: Compat = "spec",
    progress: bool = False,
) -> BatchResult:
    """Compute many images and keep them in the folder ``out``; docs/batch.md says what is there then.

    ``jobs``: a table in a file (.csv, .jsonl, .parquet) or a sequence of rows, whose columns are options of the command line; or
    ``orientations``: so many random ones; or ``scan``: "phi=START:END:WIDTH" (degrees); or ``expt``: a DIALS experiment list, of which
    each image of each experiment ("FILE:N": of experiment N, counted from 0) is computed, on all panels of the detector. ``base``: the
    words that all images share, which rows override. ``seed``: image i's noise, and its orientation where that is random, follow from it
    and i alone; by default it is fresh, and kept in the folder. ``format``: "nexus", "smv", "cbf" or "float"; ``name``: of the files, "run"
    for run_master.h5 or a template with # for the number, as "run7_####.img"; ``images_per_file``: of a NeXus data file.
    ``engine``: "inline", "processes" (``workers`` of them; under ``if __name__ == "__main__":``), "dask" (``scheduler``: its address;
    ``slurm``: jobs to ask dask-jobqueue for, with ``slurm_options``; neither: workers on this machine), or any executor of the kind of
    ``concurrent.futures``. ``resume``: go on with the run in ``out``. ``manifest``: "csv" or "parquet". ``preview``: a PNG of a few images.
    ``compat``: where the base names none.

    A row that fails is recorded, and does not stop the others. Raises InputError for what makes no sense, a run that cannot be
    resumed, and a disk that refuses: what is finished then is kept.
    """
    begun = monotonic()
    with RunFolder(os.fspath(out)) as folder:
        seed = folder.seed() if resume and seed is None else seed
        plan, table = _plan(
            jobs, base, orientations, scan, None if expt is None else os.fspath(expt), seed, format, name, images_per_file, compat
        )
        report.require_manifest(manifest)
        require_engine(engine, workers, scheduler, slurm, slurm_options)
        if preview is not None:
            _require_preview(os.fspath(preview))
        lists = any("-hkl" in word for word in (*plan.base.words, *(word for word, _ in plan.rows.columns)))
        begin_for_image(files=True, noise=plan.base.noise and format != "float", text=lists)
        # Its workers start while this process reads what they will.
        made, threads = started(
            engine, workers, plan.base.threads, scheduler=scheduler, slurm=slurm, slurm_options=slurm_options,
            devices=_gpus(engine, plan.base.device, workers),
        )  # fmt: skip
        try:
            shape, job, assembly, mask = _prepared(plan, folder, threads)
            folder.begin(plan.contents(), None if table is None else table.csv_lines(), resume)
            master = None if assembly is None else folder.path / f"{plan.template}_master.h5"
            beside = [folder.path / f"manifest.{manifest}", *filter(None, (master,))]
            if resume and report.is_finished(plan, folder, beside):
                folder.clean(logs=True)
                if preview is not None:
                    report.write_contact_sheet(Path(preview), plan, folder, shape, {})
                return BatchResult(folder.path, len(plan.rows), 0, (), monotonic() - begun, master)
            _wait_for_code(plan)
            told = Progress(len(plan.rows), 0, not progress)
            schedule = Schedule(plan, job, folder, made, told, assembly)
            count = made.workers
            _compute(schedule, plan, folder, told)
        finally:
            made.stop()
        failures = schedule.failures
        try:
            if master is not None:
                _, saturation, _ = pixels_of(format, plan.base.noise)
                write_master(master, plan, folder, job.setup, mask, saturation, failures)
            report.write_manifest(plan, folder, failures, manifest)
            report.write_failures(folder, failures)
            if preview is not None:
                report.write_contact_sheet(Path(preview), plan, folder, shape, failures)
            seconds = monotonic() - begun
            report.write_summary(plan, folder, failures, told.done, seconds, _name(engine), count)
        except OSError as error:
            raise InputError(f"{refusal(str(folder.path), error)}; {told.kept()}") from None
        folder.clean(logs=not failures)
        numbered = tuple((row + 1, failures[row]) for row in sorted(failures))
        return BatchResult(folder.path, len(plan.rows), told.done, numbered, seconds, master, schedule.remarks)


def _prepared(plan: Plan, folder: RunFolder, threads: int) -> tuple[tuple[int, int], Job, Assembly | None, np.ndarray | None]:
    """The shape (slow, fast) of the first image that can be computed, what all tasks have in common, and the mask of pixels of NeXus files.

    Raises InputError, also where the format has no place for that image."""
    token = uuid.uuid4().hex
    begin_run(token)
    first = _first(plan)
    shape = first.shape
    if first.panels is not None:
        require_panels(plan.format, plan.base.noise, len(first.panels.detector))
    setup, assembly, mask = None, None, None
    if not FORMATS[plan.format].one_file_each:
        setup, mask = first.setup()
        assembly = Assembly(str(folder.path), plan.template, shape, pixels_of(plan.format, plan.base.noise)[0])
    return shape, Job(str(folder.path), plan.base, plan.format, plan.template, setup, threads, token), assembly, mask


def _compute(schedule: Schedule, plan: Plan, folder: RunFolder, told: Progress) -> None:
    """Compute what is not there; what ends that early says what is kept."""
    try:
        schedule.run(_groups(plan, folder, told))
    except InputError as error:
        raise InputError(f"{error}; {told.kept()}") from None
    except BaseException as error:
        error.add_note(told.kept())
        raise
    finally:
        told.close()


def _plan(
    jobs: Any, base: str | Sequence[str], orientations: int | None, scan: str | None, expt: Any, seed: int | None, format: str,
    name: str | None, images_per_file: int, compat: Compat,
) -> tuple[Plan, Table | None]:  # fmt: skip
    folder = os.getcwd()
    if sum(given is not None for given in (jobs, orientations, scan, expt)) != 1:
        raise InputError(
            "one of these says what the images are: a table of jobs, --orientations N, --scan phi=START:END:WIDTH, or --expt FILE"
        )
    common = read_base(base, compat, folder)
    for path in input_files(common.words, common.compat, written=False):
        if not os.path.exists(path):
            raise InputError(f"--base: {path}: no such file")
    require_format(format, common.noise)
    table = None
    if jobs is not None:
        table = read_table(os.fspath(jobs)) if isinstance(jobs, str | os.PathLike) else table_of(jobs)
        rows = table_rows(table, common)
    elif expt is not None:
        rows = listed_rows(os.fspath(expt), folder, format)
    else:
        rows = orientation_rows(require_count("--orientations", orientations)) if orientations is not None else scan_rows(str(scan))
    if seed is not None and require_count("--seed", seed, 0) > LARGEST:
        raise InputError(f"--seed must be at most {LARGEST}, not {seed}")
    template = settled_template(name, format, len(rows))
    chosen = fresh_seed() if seed is None else seed
    return Plan(common, rows, chosen, format, template, require_count("--images-per-file", images_per_file), folder), table


def _first(plan: Plan) -> DerivedRow:
    """What the first row is that can be computed. Raises InputError where none of the first ROWS_TRIED can."""
    reasons = []
    for row in range(min(len(plan.rows), ROWS_TRIED)):
        try:
            return derive_row(read_row(plan.words(row), plan.base), plan.base)
        except Exception as error:
            reasons.append(reason(error))
    which = "the row" if len(reasons) == 1 else f"any of the first {len(reasons)} rows"
    raise InputError(f"cannot compute {which}; the first: {reasons[0]}")


def _groups(plan: Plan, folder: RunFolder, told: Progress) -> Iterator[Group]:
    """The groups, with what is finished of them."""
    inside = not FORMATS[plan.format].one_file_each
    for number, rows in plan.groups():
        group = Group(number, rows)
        folder.find_finished(group, inside, plan.template)
        told.found(len(group.notes))
        yield group


def _require_preview(path: str) -> None:
    """Raise InputError for a contact sheet that cannot be written."""
    if os.path.splitext(path)[1].lower() != ".png":
        raise InputError(f"--preview {path}: the picture is written as PNG; give it a name that ends in .png")
    require_writable(path, "--preview")


def _gpus(engine: Any, device: str, workers: int | None) -> tuple[str, ...]:
    """The GPU of each process of this machine; none where the CPU computes. Raises InputError where there is no such GPU."""
    if hasattr(engine, "submit") or engine == "dask" or gpu_index(device) is None:
        return ()
    from nanobragg_numba.gpu.device import require_device

    require_device(gpu_index(device) or 0)
    if ":" in device:
        return (device,) * (workers or 1)
    from numba import cuda

    count = len(cuda.gpus)
    return tuple(f"cuda:{at % count}" for at in range(workers or count))


def _wait_for_code(plan: Plan) -> None:
    """Wait until the kernels are compiled: once, not once a worker."""
    from nanobragg_numba.engine.needed_code import FOR_AN_IMAGE, FOR_FILES, wait_for
    from nanobragg_numba.kernels.entries import NOISE

    wait_for((*FOR_AN_IMAGE, *FOR_FILES, *((NOISE,) if plan.base.noise and plan.format != "float" else ())))


def _name(engine: Any) -> str:
    return engine if isinstance(engine, str) else type(engine).__name__
