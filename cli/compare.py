"""The nb-compare command: two engines on one nanoBragg command line, or two images, and how far they agree."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import numpy as np

from nanobragg_numba import __version__
from nanobragg_numba.command_line.reading import words_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import OutputFiles, require_writable

from .engines import ENGINES, CommandWords, Engine, ready_to_run
from .image_figures import Figures, compare_images, difference_png, resampled
from .image_files import Size, is_raw, read_image

SAME, DIFFERENT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
SUMMARY = "summary.json"
DESCRIPTION = """\
Run two engines on the same nanoBragg command line, or read two images, and report how far they agree.

  nb-compare --a c --b numba -- -cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 128
  nb-compare --a one.img --b other.img
  nb-compare --a floatimage.bin --b numba -- -mat A.mat -hkl P1.hkl -lambda 1 -N 5
"""
EPILOGUE = """\
exit status: 0 identical, or correlated at least as well as --threshold asks; 1 different; 2 bad input, or an engine that
is missing or fails. The engine c is the program that NB_C_BIN names. Times are those of whole processes; give -threads 1
after the -- for a comparison thread against thread.
"""


@dataclass(frozen=True)
class Side:
    """One of the two images."""

    source: str
    """Name of the engine, or the file."""
    image: np.ndarray
    """(slow, fast)."""
    seconds: float | None = None
    log: bytes | None = None
    compiling: bool = False
    """Whether the time includes compiling the kernels."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (nanoBragg's own options go after --)")


def _parser() -> _Parser:
    parser = _Parser(
        "nb-compare", description=DESCRIPTION, epilog=EPILOGUE, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    sources = f"an engine ({', '.join(ENGINES)}) or an image file: SMV, raw floats (.bin) or what fabio reads"
    parser.add_argument("--a", required=True, metavar="SOURCE", help=sources)
    parser.add_argument("--b", required=True, metavar="SOURCE", help="the same for the image compared with it")
    size_help = "pixels of raw floats; needed if no engine tells;\ntwice, for A and B, where they differ"
    parser.add_argument("--size", nargs=2, type=int, action="append", default=[], metavar=("FAST", "SLOW"), help=size_help)
    roi_help = "compare this window of A's pixels only, ends included"
    parser.add_argument("--roi", nargs=4, type=int, metavar=("FAST_MIN", "FAST_MAX", "SLOW_MIN", "SLOW_MAX"), help=roi_help)
    parser.add_argument(
        "--threshold", type=float, metavar="R", help="correlation that is good enough; without it only identical images pass"
    )
    parser.add_argument("--resample", action="store_true", help="put B on A's pixels if their numbers differ (photons shared by area)")
    parser.add_argument("--out", default="nb-compare", metavar="FOLDER", help="where the results go (default: nb-compare)")
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results in that folder")
    parser.add_argument("--version", action="version", version=f"nb-compare (nanobragg_numba) {__version__}")
    return parser


def _tell(text: str) -> None:
    print(f"nb-compare: {text.encode(errors='backslashreplace').decode()}", file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = list(sys.argv[1:] if words is None else words)
    cut = words.index("--") if "--" in words else len(words)
    try:
        return _run(_parser().parse_args(words[:cut]), words_of(words[cut + 1 :]))
    except InputError as error:
        _tell(f"error: {error}")
        return BAD_INPUT
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED


def command() -> None:
    """Run ``nb-compare`` with the words of the command line, and exit with its status."""
    sys.exit(main())


def _run(options: argparse.Namespace, words: list[str]) -> int:
    _check_options(options, words)
    ready = ready_to_run(words) if words else None
    # All that is given is looked at before the place of the results, and that before an engine runs.
    engines = {flag: ENGINES[source]() for flag, source in _sources(options).items() if source in ENGINES}
    sides = _read_files(options)
    folder = options.out
    _require_free(folder, options.overwrite)
    a, b = _read_sides(options, ready, engines, sides)
    summary: dict[str, Any] = {"command_line": words or None, "roi": options.roi, "threshold": options.threshold, "resampled": False}
    for name, side in (("a", a), ("b", b)):
        slow, fast = side.image.shape
        summary[name] = {"source": side.source, "fast": fast, "slow": slow, "seconds": side.seconds, "compiling": side.compiling}
    summary["speed_up"] = _speed_up(a, b)
    first, second = a.image, b.image
    files: dict[str, list[Any]] = {"a.bin": [first.astype("<f4")], "b.bin": [second.astype("<f4")]}
    files |= {f"{name}.log": [side.log] for name, side in (("a", a), ("b", b)) if side.log is not None}
    if first.shape != second.shape and options.resample:
        second = resampled(second, (first.shape[0], first.shape[1]))
        summary["resampled"] = True
    if first.shape != second.shape:
        summary |= {"verdict": "different sizes", "figures": None}
    else:
        fast, slow = _window(options.roi, first.shape)
        first, second = first[slow, fast], second[slow, fast]
        figures = _figures(first, second)
        if figures.max_difference_at is not None:
            at = figures.max_difference_at
            figures = Figures(**{**vars(figures), "max_difference_at": (at[0] + fast.start, at[1] + slow.start)})
        summary |= {"verdict": _verdict(first, second, figures, options.threshold), "figures": asdict(figures)}
        files["difference.png"] = [difference_png(first, second)]
    files[SUMMARY] = [(json.dumps(summary, indent=1, allow_nan=False) + "\n").encode()]
    _write(folder, files)
    print(_report(summary, folder))
    return SAME if summary["verdict"] in ("identical", "above threshold") else DIFFERENT


def _check_options(options: argparse.Namespace, words: list[str]) -> None:
    engines = [source for source in (options.a, options.b) if source in ENGINES]
    for flag, source in (("--a", options.a), ("--b", options.b)):
        if source not in ENGINES and not os.path.exists(source):
            raise InputError(f"{flag} {source}: neither an engine ({', '.join(ENGINES)}) nor a file")
    if engines and not words:
        raise InputError(f"engine {engines[0]} needs a nanoBragg command line after --")
    if words and not engines:
        raise InputError("two files are compared as they are: no command line can follow")
    if len(options.size) > 2 or any(min(size) < 1 for size in options.size):
        raise InputError("--size is given once or twice, with two numbers above zero")
    if options.threshold is not None and not -1.0 <= options.threshold <= 1.0:
        raise InputError(f"--threshold {options.threshold:g}: a correlation lies between -1 and 1")
    if options.roi is not None and not (0 <= options.roi[0] <= options.roi[1] and 0 <= options.roi[2] <= options.roi[3]):
        raise InputError(f"--roi {' '.join(map(str, options.roi))}: no window (FAST_MIN FAST_MAX SLOW_MIN SLOW_MAX, from 0)")


RESULTS = (SUMMARY, "difference.png", "a.bin", "b.bin", "a.log", "b.log")


def _require_free(folder: str, overwrite: bool) -> None:
    """Raise InputError if the results cannot go to ``folder``, or others are there already."""
    if not os.path.isdir(folder):
        require_writable(folder, "--out")
        if os.path.exists(folder):
            raise InputError(f"--out {folder}: is a file")
        return
    there = [name for name in RESULTS if os.path.exists(os.path.join(folder, name))]
    if there and not overwrite:
        raise InputError(f"--out {folder}: holds an earlier {there[0]}; name another folder, or give --overwrite")
    require_writable(os.path.join(folder, SUMMARY), "--out")


def _sources(options: argparse.Namespace) -> dict[str, str]:
    return {"--a": options.a, "--b": options.b}


def _sizes(options: argparse.Namespace) -> dict[str, Size | None]:
    """The size that is given for each image."""
    sizes: list[Size | None] = [(fast, slow) for fast, slow in options.size] or [None]
    return {"--a": sizes[0], "--b": sizes[-1]}


def _read_files(options: argparse.Namespace) -> dict[str, Side]:
    """The images in files, but for raw floats whose size is not given."""
    size_of = _sizes(options)
    return {
        flag: Side(source, read_image(source, flag, size_of[flag]))
        for flag, source in _sources(options).items()
        if source not in ENGINES and (size_of[flag] is not None or not is_raw(source))
    }


def _read_sides(
    options: argparse.Namespace, words: CommandWords | None, engines: dict[str, Engine], sides: dict[str, Side]
) -> tuple[Side, Side]:
    """Both images. The engines run first: they tell the size of raw floats that none was given for."""
    told: Size | None = None
    for flag, engine in engines.items():
        if words is not None:
            run = engine(words)
            sides[flag] = Side(_sources(options)[flag], run.image, run.seconds, run.log, run.compiling)
            told = (run.image.shape[1], run.image.shape[0])
    for flag, source in _sources(options).items():
        if flag not in sides:
            sides[flag] = Side(source, read_image(source, flag, told))
    return sides["--a"], sides["--b"]


def _window(roi: list[int] | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The columns and the rows to compare."""
    fast_min, fast_max, slow_min, slow_max = roi or (0, shape[1] - 1, 0, shape[0] - 1)
    if fast_max >= shape[1] or slow_max >= shape[0]:
        raise InputError(f"--roi: the window reaches beyond the image of {shape[1]}x{shape[0]} pixels")
    return slice(fast_min, fast_max + 1), slice(slow_min, slow_max + 1)


def _speed_up(a: Side, b: Side) -> float | None:
    if a.seconds is None or b.seconds is None or a.compiling or b.compiling:
        return None
    return a.seconds / b.seconds


def _figures(first: np.ndarray, second: np.ndarray) -> Figures:
    try:
        return compare_images(first, second)
    except ImportError:
        _tell("the peak distance needs scipy (pip install 'nanobragg_numba[compare]') and is left out")
        return compare_images(first, second, with_peaks=False)


def _verdict(first: np.ndarray, second: np.ndarray, figures: Figures, threshold: float | None) -> str:
    # Images of different types (SMV against floats) cannot have equal bytes, but can hold the same numbers.
    if figures.bytes_equal or (first.dtype != second.dtype and figures.pixels_different == 0):
        return "identical"
    same_gaps = np.array_equal(np.isfinite(first), np.isfinite(second))
    good = threshold is not None and figures.correlation is not None and figures.correlation >= threshold
    return "above threshold" if good and same_gaps else "different"


def _write(folder: str, files: dict[str, list[Any]]) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: {(error.strerror or str(error)).lower()}") from None
    with OutputFiles() as output:
        for name, chunks in files.items():
            output.write(os.path.join(folder, name), chunks)
        output.commit()
    # What an overwritten result had and this one has not would be taken for a part of it.
    for name in set(RESULTS) - set(files):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            os.unlink(path)


def _report(summary: dict[str, Any], folder: str) -> str:
    """What the command prints."""
    lines = []
    for name in ("a", "b"):
        side = summary[name]
        time = "" if side["seconds"] is None else f", {side['seconds']:.3f} s"
        time += " (kernels compiled, once on this machine: run again for the speed-up)" if side["compiling"] else ""
        lines.append(f"{name.upper()}: {side['source']}, {side['fast']}x{side['slow']} pixels{time}")
    if summary["speed_up"] is not None:
        lines.append(f"speed-up of B {summary['speed_up']:.2f}")
    f = summary["figures"]
    if f is None:
        lines.append("the images have different sizes; --resample puts B on A's pixels")
    else:
        at = "" if not f["max_difference"] else " at fast {}, slow {}".format(*f["max_difference_at"])
        peaks = "" if f["peaks"] is None else " ({} and {} peaks)".format(*f["peaks"])
        lines += [
            f"bytes equal         {'yes' if f['bytes_equal'] else 'no'}",
            f"pixels that differ  {f['pixels_different']} of {f['pixels']}",
            f"correlation         {_number(f['correlation'])}",
            f"RMSE                {_number(f['rmse'])}",
            f"max |difference|    {_number(f['max_difference'])}{at}",
            f"sum of B / A        {_number(f['sum_ratio'])}",
            f"peak distance       {_number(f['mean_peak_distance'])}{' pixels' if f['mean_peak_distance'] is not None else ''}{peaks}",
        ]
        if any(f["not_finite"]):
            lines.append("not finite          {} and {} pixels".format(*f["not_finite"]))
    lines += [f"verdict: {summary['verdict']}", f"written to {folder}"]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.10g}"
