"""The nb-refine command: orientation, cell, size, scale and detector from images and starting models, with standard deviations."""

import argparse
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nanobragg_numba import __version__
from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import write_whole
from nanobragg_numba.files.reading import read_bytes

from .jobs import slurm_options
from .two_dashes import Parser, joined, status_of, tell

LINES = ("--line",)
"""Their value is one word that may begin with a minus sign."""
STATE, RESULTS, TABLE = "state.json", "refined.json", "table.txt"
OWN_FILES = re.compile(
    r"state\.json|refined\.json|table\.txt|residuals\.png|shoeboxes\.png|shot_\d+\.expt|spectrum(_\d+)?\.txt|structure_factors\.(mtz|hkl)"
)
"""What a fit leaves in its folder."""
OTHERS = {"images": "other images", "start_files": "other content of the files of the starting models"}
"""What has changed where it is no option."""
DESCRIPTION = """\
Refine what is known of stills or rotation images: all images in one fit, over the boxes of their spots.

  nb-refine still.img --line "-cell 79 79 38 90 90 90 -misset 10 20 30 -hkl P1.hkl -N 20 -lambda 1 -distance 100 -detpixels 1024"
  nb-refine run_master.h5 --lines starts.txt --space-group P43212 --refine orientation,scale,cell,n_cells,distance_mm,beam_mm
  nb-refine *.cbf --expt indexed.expt --line "-hkl P1.hkl -N 20" --readout 3 --offset 10 --out refined
  nb-refine *.cbf --expt indexed.expt --line "-hkl P1.hkl -N 20" --readout 3 --offset 10 --out refined --resume
"""
EPILOGUE = """\
IMAGE: SMV, CBF, NXmx (all its frames), npy or what else fabio reads. What can be refined:
orientation, scale (each image's own); cell, n_cells, n_cells_off_diagonal, mosaic_spread_deg, mosaic_width_deg, spectrum (shared, or
--per-shot);
structure_factors (shared; one for all that --space-group makes equal);
distance_mm, beam_mm, tilts_deg (shared); of detectors of several panels groups and panels: shifts and tilts (shared).
Images are read as offset + gain * photons. The starting models are read as -compat spec means them.
exit status: 0 refined; 2 bad input, or starting models that do not explain the images. After Ctrl-C (130) --resume goes on.
"""


def _parser() -> Parser:
    parser = Parser(
        "nb-refine", description=DESCRIPTION, epilog=EPILOGUE, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("images", nargs="+", metavar="IMAGE", help="the images, one a starting model")
    add("--line", action="append", default=[], metavar="LINE", help="nanoBragg command line of the starting model; again for each image")
    add("--lines", metavar="FILE", help="such lines, one an image; one that begins with + is another crystal\nof the image before it")
    add("--expt", metavar="FILE", help="a DIALS experiment list: crystal, beam and detector of each image;\n--line gives the rest")
    add("--frame", type=int, metavar="N", help="only this frame of NXmx files (default: all)")
    add("--refine", default="orientation,scale,cell,n_cells", metavar="NAMES", help="what is refined, by commas (default: %(default)s)")
    add("--per-shot", default="", metavar="NAMES", help="of these each image has its own")
    groups_help = "groups of panels that are moved (default: the outermost ones\nthat are side by side)"
    add("--groups", default="", metavar="NAMES", help=groups_help)
    add("--space-group", default="P 1", metavar="NAME", help="constrains the cell and makes structure factors equal\n(default: P 1)")
    add("--resolution", type=float, metavar="D", help="finest spacing of spots in A (default: the detector's corner)")
    add("--background", default="plane", help="under each spot: none, constant or plane (default: plane)")
    add("--gain", type=float, default=1.0, metavar="G", help="counts a photon (default: 1)")
    add("--offset", type=float, default=0.0, metavar="COUNTS", help="counts without light (default: 0)")
    add("--readout", type=float, default=0.0, metavar="COUNTS", help="standard deviation of the read-out noise (default: 0)")
    add("--mask", metavar="FILE", help="an image that is 0 where pixels are bad")
    add("--overload", type=float, metavar="COUNTS", help="pixels of so many counts or more are bad")
    restrain_help = "hold a parameter to a value within a standard deviation;\nseveral numbers by commas"
    add("--restrain", action="append", default=[], metavar="NAME=TARGET:SIGMA", help=restrain_help)
    add("--spots", type=int, default=300, metavar="N", help="spots of each image, the strongest (default: 300)")
    add("--start-error", type=float, default=0.003, metavar="X", help="relative error of the starts (default: 0.003);\n0: one stage")
    add("--least-explained", type=float, default=0.3, metavar="X", help="share of strong pixels that a start must explain (default: 0.3)")
    add("--method", default="trust", help="trust, least_squares or lbfgs (default: trust)")
    add("--steps", type=int, default=50, metavar="N", help="at most, in each round (default: 50)")
    add("--engine", help="inline (this process), processes or dask (default: processes with --workers,\nelse inline)")
    add("--workers", type=int, metavar="N", help="processes that share the images (default: one a core)")
    add("--scheduler", metavar="ADDRESS", help="of dask, as tcp://host:8786")
    add("--slurm", type=int, metavar="JOBS", help="have dask-jobqueue ask SLURM for so many jobs")
    add("--slurm-options", default="", metavar="WORDS", help='for dask-jobqueue, as "cores=32 memory=64GB walltime=01:00:00"')
    add("--out", default="nb-refine", metavar="FOLDER", help="where the results go (default: nb-refine)")
    add("--resume", action="store_true", help="go on with the fit in that folder")
    add("--overwrite", action="store_true", help="replace earlier results in that folder")
    add("--no-pictures", action="store_true", help="no residual figures and shoebox pictures")
    add("--version", action="version", version=f"nb-refine (nanobragg_numba) {__version__}")
    return parser  # fmt: skip


def _tell(text: str) -> None:
    tell("nb-refine", text)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""

    def run() -> None:
        warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*cannot both be refined|.*gradient is exactly 0")
        _run(_parser().parse_args(joined(sys.argv[1:] if words is None else words, LINES)))

    return status_of("nb-refine", run, "interrupted; --resume goes on from the last step")


def command() -> None:
    """Run ``nb-refine`` with the words of the command line, and exit with its status."""
    sys.exit(main())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _run(options: argparse.Namespace) -> None:
    _require_extras()
    from nanobragg_numba.refinement.fit import Settings, Step, fit

    from .refine_input import Response, frames_of, identity, read_mask, read_measured, read_restraints, read_starts
    from .refine_report import results, table, write_experiments, write_spectra, write_structure_factors

    frames = frames_of(options.images, options.frame)
    starts = read_starts(options.line, options.lines, options.expt, len(frames))
    settings = Settings(
        refine=_names(options.refine), per_shot=_names(options.per_shot), groups=_names(options.groups),
        space_group=options.space_group, resolution=options.resolution,
        background=options.background, restraints=read_restraints(options.restrain), method=options.method, steps=options.steps,
        most_spots=options.spots, start_error=options.start_error, least_explained=options.least_explained,
    )  # fmt: skip
    response = Response(options.gain, options.offset, options.readout, options.overload)
    detectors = [own[0].detector for own in starts]
    mask = read_mask(options.mask, detectors[0])
    shots = [read_measured(frame, response, mask, detector) for frame, detector in zip(frames, detectors, strict=True)]
    engine = _engine(options)
    question = _question(options, identity(frames, shots))
    resumed = _prepare(options, question)

    def told(step: Step) -> None:
        if step.stage == step.number == 1 and np.isfinite(step.explained):
            print(f"the starting models explain {100.0 * step.explained:.0f} % of the strong pixels")
        print(f"stage {step.stage} of {step.stages}, to {step.resolution:.2f} A, step {step.number}: target {step.target:.8g}", flush=True)

    def kept(stage: int, vector: np.ndarray) -> None:
        state = {"question": question, "stage": stage, "vector": vector.tolist()}
        write_whole(os.path.join(options.out, STATE), "--out", [(json.dumps(state) + "\n").encode()])

    parameters = [[crystal.parameters for crystal in own] for own in starts]
    with _computing(engine, options) as computing:
        found = fit(shots, parameters, settings, detectors=detectors, progress=told, resumed=resumed, state=kept, computing=computing)
    text = table(found)
    print(text, end="")
    write_whole(os.path.join(options.out, TABLE), "--out", [text.encode()])
    write_experiments(options.out, found, frames)
    write_spectra(options.out, found)
    write_structure_factors(options.out, found, options.space_group)
    if not options.no_pictures:
        _draw(options.out, found, frames)
    content = json.dumps(results(found, frames), indent=1, allow_nan=False) + "\n"
    write_whole(os.path.join(options.out, RESULTS), "--out", [content.encode()])
    print(f"written to {options.out}")


def _engine(options: argparse.Namespace) -> str:
    """Its name. Raises InputError for one that there is not, and for options that it does not have."""
    from nanobragg_numba.batch.engines import require_engine

    engine: str = options.engine or ("inline" if options.workers is None else "processes")
    require_engine(engine, options.workers, options.scheduler, options.slurm, slurm_options(options.slurm_options))
    if engine == "inline" and options.workers is not None:
        raise InputError("--workers: --engine inline is this process alone")
    return engine


@contextmanager
def _computing(engine: str, options: argparse.Namespace) -> Iterator[Any]:
    """The workers, which end with the fit; None: this process. Raises InputError."""
    from nanobragg_numba.batch.engines import started
    from nanobragg_numba.refinement.workers import Workers, load

    if engine == "inline":
        yield None
        return
    made, threads = started(
        engine, options.workers, scheduler=options.scheduler, slurm=options.slurm, slurm_options=slurm_options(options.slurm_options),
        load=load,
    )  # fmt: skip
    try:
        yield Workers(made, threads)
    finally:
        made.stop()


def _require_extras() -> None:
    for name in ("torch", "scipy", "gemmi"):
        try:
            __import__(name)
        except ImportError:
            raise InputError(f"nb-refine needs {name}: pip install 'nanobragg_numba[refine]'") from None


def _question(options: argparse.Namespace, images: list[list[object]]) -> dict[str, Any]:
    """What a fit must have in common with the one that it resumes: its vector says how far it is from the starts."""
    from .refine_input import start_files

    same = (
        "line", "lines", "expt", "refine", "per_shot", "groups", "space_group", "resolution", "background", "gain", "offset", "readout",
        "mask", "overload", "restrain", "spots", "start_error",
    )  # fmt: skip
    starts = start_files(options.line, options.lines, options.expt)
    return {"images": images, "start_files": starts, **{name: getattr(options, name) for name in same}}


def _prepare(options: argparse.Namespace, question: dict[str, Any]) -> tuple[int, np.ndarray] | None:
    """Make the folder of the results ready; what is resumed. Raises InputError."""
    folder, path = options.out, os.path.join(options.out, STATE)
    if not options.resume:
        earlier = [name for name in (STATE, RESULTS) if os.path.exists(os.path.join(folder, name))]
        if earlier and not options.overwrite:
            raise InputError(f"--out {folder}: holds an earlier fit ({earlier[0]}): --resume goes on with it, --overwrite replaces it")
        try:
            os.makedirs(folder, exist_ok=True)
            # All of it: a fit of fewer images would leave lists of the earlier one behind.
            for name in filter(OWN_FILES.fullmatch, os.listdir(folder) if earlier else ()):
                os.unlink(os.path.join(folder, name))
        except OSError as error:
            raise InputError(f"--out {folder}: {(error.strerror or str(error)).lower()}") from None
        return None
    try:
        state = json.loads(read_bytes(path, "--resume"))
        stage, vector = int(state["stage"]), np.array(state["vector"], np.float64)
        before = state["question"]
        if vector.ndim != 1 or stage < 0 or not np.isfinite(vector).all():
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise InputError(f"--resume {path}: is no state of a fit") from None
    for name, value in question.items():
        if before.get(name) != value:
            raise InputError(f"--resume {path}: was begun with {OTHERS.get(name) or 'another --' + name.replace('_', '-')}")
    return stage, vector


def _draw(folder: str, found: Any, frames: Sequence[Any]) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        _tell("no pictures: they need matplotlib: pip install 'nanobragg_numba[plots]'")
        return
    from .refine_pictures import residual_figure, shoebox_figure

    for name, draw in (("residuals.png", residual_figure), ("shoeboxes.png", shoebox_figure)):
        write_whole(os.path.join(folder, name), "--out", [draw(found)])
