"""The nb-batch command: many images from a table of jobs, random orientations, a scan or an experiment list, with nothing lost."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from nanobragg_numba import __version__
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import COMMAND_DEFAULT

from .remarks import ranges
from .two_dashes import Parser

DONE, FAILED_ROWS, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
MOST_FAILURES = 10
"""Told one by one."""
DESCRIPTION = """\
Compute many images and keep them, so that a run that was killed can be resumed.

  nb-batch jobs.csv --base "-mat A.mat -hkl P1.hkl -lambda 1 -detpixels 1024" --out run1
  nb-batch --orientations 10000 --seed 1 --base "..." --out stills
  nb-batch --scan "phi=0:180:0.1" --base "..." --format cbf --name "xtal1_####.cbf" --out rotation
  nb-batch --expt models.expt --base "-hkl P1.hkl -N 10 -nonoise" --out experiments
  nb-batch --orientations 10000 --seed 1 --base "..." --out stills --resume

A table (.csv, .jsonl, .parquet) has options of nanoBragg as columns (misset, or -misset) and an image a row; cells that are empty are not
given; a cell may hold more than one value ("10 20 30"). A row's options override those of --base.
"""
EPILOGUE = """\
exit status: 0 all images are there; 1 some rows failed (failures.jsonl says which and why; --resume tries them again); 2 bad input, or a
disk that refuses; what is finished is kept then, and after Ctrl-C or a kill. --format cbf with -nonoise is refused: it holds whole numbers.
"""


def _parser() -> Parser:
    parser = Parser("nb-batch", description=DESCRIPTION, epilog=EPILOGUE, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("jobs", nargs="?", metavar="JOBS", help="the table of jobs")
    add("--out", required=True, metavar="FOLDER", help="where the run is kept")
    add("--base", default="", metavar="WORDS", help="the words of the nanoBragg command line that all images share")
    add("--orientations", type=int, metavar="N", help="instead of a table: so many orientations, uniformly random")
    add("--scan", metavar="phi=START:END:WIDTH", help="instead of a table: a rotation (degrees), the end not included")
    add("--expt", metavar="FILE[:N]", help="instead of a table: each image of a DIALS experiment list, or of its experiment N, from 0")
    add("--seed", type=int, help="of noise and random orientations, image by image (default: a fresh one, kept in run.json)")
    add("--format", default="nexus", help="nexus, smv, cbf or float (default: nexus)")
    add("--name", help="of the files: a word for nexus (default: run), else a template such as run7_####.img")
    add("--images-per-file", type=int, default=100, metavar="N", help="images of a NeXus data file (default: 100)")
    add("--engine", default="processes", help="inline, processes or dask (default: processes)")
    add("--workers", type=int, metavar="N", help="processes (default: one a core, or one a GPU)")
    add("--scheduler", metavar="ADDRESS", help="of dask, as tcp://host:8786")
    add("--slurm", type=int, metavar="JOBS", help="have dask-jobqueue ask SLURM for so many jobs")
    add("--slurm-options", default="", metavar="WORDS", help='for dask-jobqueue, as "cores=32 memory=64GB walltime=01:00:00 queue=short"')
    add("--resume", action="store_true", help="go on with the run in FOLDER")
    add("--manifest", default="csv", metavar="KIND", help="csv or parquet (default: csv)")
    add("--preview", metavar="FILE", help="write a contact sheet, PNG")
    add("--quiet", action="store_true", help="no progress and no remarks")
    add("--version", action="version", version=f"nb-batch (nanobragg_numba) {__version__}")
    return parser


def _say(text: str) -> None:
    print(f"nb-batch: {text}", file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    try:
        return _run(_parser().parse_args(words))
    except InputError as error:
        _say(f"error: {error}")
        return BAD_INPUT
    except MemoryError:
        _say("error: not enough memory")
        return BAD_INPUT
    except KeyboardInterrupt as interrupt:
        _say("; ".join(["interrupted", *getattr(interrupt, "__notes__", [])]))
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    # Loads numba, which the help does not need.
    from nanobragg_numba.batch.many_images import run

    result = run(
        options.jobs, out=options.out, base=options.base, orientations=options.orientations, scan=options.scan, expt=options.expt,
        seed=options.seed, format=options.format, name=options.name, images_per_file=options.images_per_file, engine=options.engine,
        workers=options.workers, scheduler=options.scheduler, slurm=options.slurm, slurm_options=slurm_options(options.slurm_options),
        resume=options.resume, manifest=options.manifest, preview=options.preview, compat=COMMAND_DEFAULT, progress=not options.quiet,
    )  # fmt: skip
    if not options.quiet:
        for text, rows in result.remarks.items():
            _say(f"{text} (rows {ranges(sorted(row + 1 for row in rows))})")
        failed = len(result.failures)
        before = result.images - result.computed - failed
        there = f"{before} were there already, " if before else ""
        rate = result.computed / max(result.seconds, 1e-9)
        done = f"{result.computed} computed in {result.seconds:.1f} s ({rate:.3g} a second)"
        _say(f"{result.images} images: {done}, {there}{failed} failed")
    for number, why in result.failures[:MOST_FAILURES]:
        _say(f"row {number} failed: {why}")
    if len(result.failures) > MOST_FAILURES:
        _say(f"... {result.folder}/failures.jsonl has all {len(result.failures)}")
    return FAILED_ROWS if result.failures else DONE


def slurm_options(text: str) -> dict[str, Any]:
    """``name=value`` words; whole numbers as such. Raises InputError."""
    made: dict[str, Any] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"--slurm-options: {word!r} is not of the form name=value")
        made[name] = int(value) if value.isdecimal() else value
    return made


def command() -> None:
    """Run ``nb-batch`` with the words of the command line, and exit with its status."""
    terminated: list[int] = []

    def terminate(number: int, frame: Any) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    # numpy's linear algebra is not used; its threads would be started all the same.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    status = main()
    sys.exit(TERMINATED if terminated and status == INTERRUPTED else status)
