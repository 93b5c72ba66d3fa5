"""What a finished run says of itself: the manifest, the failures, the summary, and the contact sheet."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanobragg_numba import __version__
from nanobragg_numba.errors import InputError
from nanobragg_numba.files.pictures.contact_sheet import contact_sheet

from .assembly import command_text
from .formats import FORMATS, pixels_of
from .plan import Plan
from .state import FAILURES, SUMMARY, RunFolder, data_file, failure_line, image_name
from .storage import put
from .worker import read_row

COLUMNS = ("row", "status", "file", "frame", "photons", "brightest", "noise_seed", "misset_seed", "command")
MOST_IN_SHEET = 48
PIXELS_IN_SHEET = 160
"""Along the longer edge of an image."""


def manifest_rows(plan: Plan, folder: RunFolder, failures: dict[int, str]) -> Iterator[tuple[Any, ...]]:
    """What each image is, by COLUMNS: its file, its frame there counted from 0, sum and maximum of its pixels, seeds, command line."""
    together = not FORMATS[plan.format].one_file_each
    for number, rows in plan.groups():
        notes = folder.notes(number)
        for frame, row in enumerate(rows):
            line = command_text(plan, row)
            seeds = (_value_of("-seed", line), _value_of("-misset_seed", line))
            name = data_file(folder.path, plan.template, number).name if together else image_name(plan.template, row)
            if row in failures:
                yield (row + 1, "failed", name if together else "", frame if together else "", "", "", *seeds, line)
            else:
                note = json.loads(notes[row][1])
                yield (row + 1, "done", name, frame if together else 0, note["photons"], note["brightest"], *seeds, line)


def _value_of(word: str, line: str) -> str:
    """What follows the last ``word`` of a line."""
    _, found, rest = f" {line}".rpartition(f" {word} ")
    return rest.split(" ", 1)[0] if found else ""


def write_manifest(plan: Plan, folder: RunFolder, failures: dict[int, str], kind: str) -> Path:
    """Write manifest.csv or manifest.parquet. Raises OSError."""
    rows = manifest_rows(plan, folder, failures)
    path = folder.path / f"manifest.{kind}"
    if kind == "csv":
        put(path, _csv(rows))
    else:
        put(path, [_parquet(list(rows))])
    return path


def _csv(rows: Iterator[tuple[Any, ...]]) -> Iterator[bytes]:
    yield _csv_line(COLUMNS)
    for row in rows:
        yield _csv_line(row)


def _csv_line(cells: tuple[Any, ...]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([repr(cell) if isinstance(cell, float) else cell for cell in cells])
    return buffer.getvalue().encode(errors="surrogateescape")


def _parquet(rows: list[tuple[Any, ...]]) -> bytes:
    import pyarrow
    import pyarrow.parquet as parquet

    columns = {name: [None if row[at] == "" else row[at] for row in rows] for at, name in enumerate(COLUMNS)}
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def require_manifest(kind: str) -> None:
    """Raise InputError for a kind of manifest that cannot be written."""
    if kind not in ("csv", "parquet"):
        raise InputError(f"--manifest must be csv or parquet, not {kind!r}")
    if kind == "parquet":
        import importlib.util

        if importlib.util.find_spec("pyarrow") is None:
            raise InputError("--manifest parquet needs pyarrow: pip install 'nanobragg_numba[batch]'")


def write_failures(folder: RunFolder, failures: dict[int, str]) -> None:
    """Write the record of failures anew, in order; none where there are none. Raises OSError."""
    path = folder.path / FAILURES
    if failures:
        put(path, (failure_line(row, failures[row]).encode() for row in sorted(failures)))
    else:
        path.unlink(missing_ok=True)


def write_summary(
    plan: Plan, folder: RunFolder, failures: dict[int, str], computed: int, seconds: float, engine: str, workers: int
) -> None:
    """Write summary.json: the last of all, so that a run that has one is finished. Raises OSError."""
    dtype, saturation, unit = pixels_of(plan.format, plan.base.noise)
    summary = {
        "program": __version__, "images": len(plan.rows), "failed": len(failures), "computed_by_this_call": computed,
        "seconds_of_this_call": round(seconds, 3), "engine": engine, "workers": workers, "format": plan.format, "seed": plan.seed,
        "pixels": {"type": dtype.name, "unit": unit, "saturation": saturation or None},
    }  # fmt: skip
    put(folder.path / SUMMARY, [(json.dumps(summary, indent=1) + "\n").encode()])


def is_finished(plan: Plan, folder: RunFolder, also: Sequence[Path]) -> bool:
    """Whether an earlier call finished all images, and their files and ``also`` are there."""
    try:
        summary = json.loads((folder.path / SUMMARY).read_text())
    except (OSError, ValueError):
        return False
    return summary.get("failed") == 0 and all(path.exists() for path in (*also, *files_of(plan, folder)))


def files_of(plan: Plan, folder: RunFolder) -> Iterator[Path]:
    """The files with the images of a run."""
    if FORMATS[plan.format].one_file_each:
        return (folder.path / image_name(plan.template, row) for row in range(len(plan.rows)))
    return (data_file(folder.path, plan.template, number) for number, _ in plan.groups())


def write_contact_sheet(path: Path, plan: Plan, folder: RunFolder, shape: tuple[int, int], failures: dict[int, str]) -> None:
    """Write a PNG of at most MOST_IN_SHEET images, evenly spread over the run; one is in memory at a time. Raises OSError."""
    count = len(plan.rows)
    rows = sorted({i * count // min(count, MOST_IN_SHEET) for i in range(min(count, MOST_IN_SHEET))})
    images = (None if row in failures else _image(plan, folder, row, shape) for row in rows)
    put(path, [contact_sheet(images, captions=(str(row + 1) for row in rows), thumbnail=PIXELS_IN_SHEET, most=len(rows))])


def _image(plan: Plan, folder: RunFolder, row: int, shape: tuple[int, int]) -> np.ndarray | None:
    """An image as it is kept; None for bare floats of another size."""
    if not FORMATS[plan.format].one_file_each:
        from nanobragg_numba.files.nexus.frames import FRAMES
        from nanobragg_numba.files.nexus.hdf5 import library

        number, frame = divmod(row, plan.images_per_file)
        with library("--preview").File(data_file(folder.path, plan.template, number + 1)) as file:
            frames: np.ndarray = file[FRAMES][frame]
            return frames
    path = str(folder.path / image_name(plan.template, row))
    if plan.format == "float":
        pixels = np.fromfile(path, "<f4")
        return pixels.reshape(shape) if pixels.size == shape[0] * shape[1] else None
    if plan.format == "smv":
        from nanobragg_numba.files import smv

        offset = int(read_row(plan.words(row), plan.base).line.outputs.adc_offset)
        return np.maximum(smv.read(path, "--preview").pixels().astype(np.int32) - offset, 0)
    from nanobragg_numba.files import foreign_images

    return foreign_images.read(path, "--preview")
