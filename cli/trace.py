"""nb-trace: every intermediate of one pixel, under the names of the reference's recorded trace."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nanobragg_numba.command_line.reading import read_command_line, words_of
from nanobragg_numba.errors import InputError, TraceMismatch
from nanobragg_numba.experiment.modes import COMMAND_DEFAULT, MODES
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.files.output import OutputFiles, require_writable
from nanobragg_numba.files.reading import read_bytes

from .file_clashes import clashes, input_files
from .own_options import OWN_WORDS, refuse_panels, take_own_options
from .two_dashes import Parser

MISMATCH, BAD_INPUT, INTERRUPTED = 1, 2, 130
OURS = {"--pixel": 2, "--config": 1, "--dtype": 1, "--device": 1, "--compat": 1, "--out": 1, "--overwrite": 0, "--help": 0}
"""Our options and how many values each takes."""
CONFIGS = Path(__file__).parent / "configs"


def _tell(text: str) -> None:
    print(f"nb-trace: {text.encode(errors='backslashreplace').decode()}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    names = sorted(path.stem for path in CONFIGS.glob("*.txt"))
    parser = Parser(
        prog="nb-trace",
        usage="nb-trace --pixel SLOW FAST (--config NAME | --config FILE | -- NANOBRAGG OPTIONS) [options]",
        add_help=False,
        description="Write every intermediate of one pixel, with the names, order and 15 digits of the reference's recorded trace, "
        "and its phi steps as JSON under per_phi/ beside the trace.",
        allow_abbrev=False,
    )
    parser.add_argument("--pixel", nargs=2, type=int, required=True, metavar=("SLOW", "FAST"), help="the pixel to follow")
    parser.add_argument("--help", action="help", help="print this help and stop")
    parser.add_argument(
        "--config",
        metavar="NAME|FILE",
        help=f"nanoBragg options: {', '.join(names)} (shipped with the package), or a text file of them, comments after #; "
        "options after -- are added to them",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="arithmetic of the pixel (default: float64)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--compat", choices=tuple(MODES), help=f"default: what -compat among the options says, else {COMMAND_DEFAULT}")
    parser.add_argument("--out", default="trace.log", metavar="FILE", help="the trace (default: trace.log)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing trace")
    return parser


def configuration(name: str) -> list[str]:
    """The words of a configuration shipped with the package, or of a file of options."""
    shipped = CONFIGS / f"{name}.txt"
    inside = os.sep not in name and shipped.is_file()
    path = str(shipped) if inside else name
    text = read_bytes(path, "--config").decode(errors="surrogateescape")
    if "\0" in text:
        raise InputError(f"--config {path}: holds a NUL byte; it is no text file")
    try:
        words = words_of(text.replace("\\\n", " "), comments=True)
    except InputError as error:
        raise InputError(f"--config {path}: {error}") from None
    if not words:
        raise InputError(f"--config {path}: no options in the file")
    # The files that a shipped configuration names stand beside it.
    return [str(CONFIGS / word) if inside and (CONFIGS / word).is_file() else word for word in words]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our options, wherever they stand, and the nanoBragg options after the first ``--``."""
    at = list(words).index("--") if "--" in words else len(words)
    ours, following, rest = list(words[:at]), [], list(words[at + 1 :])
    while rest:
        word = rest.pop(0)
        count = OURS.get(word)
        if count is None:
            following.append(word)
        else:
            ours += [word, *rest[:count]]
            del rest[:count]
    return ours, following


def _read_words(words: Sequence[str], compat: Compat | None) -> tuple[Any, Compat]:
    own, rest = take_own_options(words)
    refuse_panels(own)
    if own.batch is not None or own.action != "run":
        raise InputError("-batch, -version and -help have no meaning for a trace")
    mode = compat or own.compat
    line = read_command_line(rest, mode)
    for text in line.doubts(OWN_WORDS):
        if own.strict:
            raise InputError(text)
        if not own.quiet:
            _tell(f"warning: {text}")
    for remark in line.remarks:
        if not own.quiet:
            _tell(str(remark))
    return line, mode


def _run(words: Sequence[str]) -> int:
    ours, following = _split(words)
    options = _parser().parse_args(ours)
    if options.config is None and not following:
        raise InputError("--config NAME or FILE, or nanoBragg options after --, say what to simulate")
    if options.device == "cuda":
        raise InputError("--device cuda: a trace is made on the CPU only; leave --device out")
    given = (configuration(options.config) if options.config is not None else []) + words_of(following)
    line, mode = _read_words(given, options.compat)
    if not line.usable:
        raise InputError("the options give no crystal: they need -mat or -cell, and -hkl or -default_F")
    out = Path(options.out)
    phi_file = out.parent / "per_phi" / f"{out.stem}_per_phi.json"
    require_writable(str(out), "--out")
    for path in (out, phi_file):
        if path.exists() and path.is_file() and not options.overwrite:
            raise InputError(f"--out {options.out}: {path} exists; --overwrite replaces it")
    for text in clashes(input_files(line), [("--out", str(out)), ("--out", str(phi_file))]):
        raise InputError(text)

    import numpy as np

    from nanobragg_numba.engine.trace import trace_pixel
    from nanobragg_numba.experiment.derive import derive_experiment

    from .trace_text import per_phi_json, trace_text

    experiment = derive_experiment(line.parameters, mode)
    slow, fast = options.pixel
    trace = trace_pixel(experiment, slow, fast, np.float32 if options.dtype == "float32" else np.float64)
    title = " ".join([*(["configuration " + options.config] if options.config is not None else []), *following])
    text, entries = trace_text(trace, title.encode(errors="backslashreplace").decode()), per_phi_json(trace)
    try:
        phi_file.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {phi_file.parent}: {(error.strerror or str(error)).lower()}") from None
    with OutputFiles() as files:
        files.write(str(out), [text.encode()])
        files.write(str(phi_file), [entries.encode()])
        files.commit()
    print(f"{out}: pixel slow {slow}, fast {fast} holds {float(trace.value):.15g} photons, {_verdict(trace)}")
    print(f"{phi_file}: {len(trace.phi)} phi steps")
    return 0


def _verdict(trace: Any) -> str:
    import numpy as np

    if trace.dtype is np.float64:
        return "as in the image"
    return f"the image in double precision {trace.engine_value:.15g}"


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 1 where the trace does not end with the image's value, 2 for bad input."""
    try:
        return _run(sys.argv[1:] if words is None else words)
    except InputError as error:
        text, status = str(error), BAD_INPUT
    except TraceMismatch as error:
        text, status = str(error), MISMATCH
    except MemoryError:
        text, status = "not enough memory for this simulation", BAD_INPUT
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    _tell(f"error: {text}")
    return status


def command() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
