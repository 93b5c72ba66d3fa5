"""The engines that nb-compare knows: each makes the float image of a nanoBragg command line, in a folder of its own."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.errors import InputError
from nanobragg_numba.files import smv

from .own_options import ROWS, refuse_panels, take_own_options
from .torch_image import IMAGE_FILE

FLOAT_FILE, INT_FILE, DUMP_FILE = "floatimage.bin", "intimage.img", "Fdump.bin"
# What a run writes keeps to the engine's folder, under the reference's default names.
WRITTEN = {
    "outputs.float_file": FLOAT_FILE, "outputs.int_file": INT_FILE, "outputs.pgm_file": "image.pgm",
    "outputs.noise_file": "noiseimage.img", "files.dump": DUMP_FILE, "files.stol_out": "output.stol",
}  # fmt: skip


@dataclass(frozen=True)
class EngineRun:
    """What an engine made of a command line."""

    image: np.ndarray
    """(slow, fast) float32: photons per pixel."""
    seconds: float
    """Wall-clock time of the whole process, start-up and files included."""
    log: bytes
    """What it wrote on standard output and standard error."""
    compiling: bool = False
    """Whether the time includes compiling the kernels."""


@dataclass(frozen=True)
class CommandWords:
    """A command line made ready to run in another folder."""

    reference: tuple[str, ...]
    """The words that the reference program knows."""
    ours: tuple[str, ...]
    """The words for our command: its own options first."""
    dump: str | None
    """A structure-factor dump that the run will look for, since no list is given."""


Engine = Callable[[CommandWords], EngineRun]
NO_CRYSTAL = 9


def ready_to_run(words: Sequence[str]) -> CommandWords:
    """The words with input files named by absolute path, and output files by names without a folder.

    Raises InputError for an input file that is not there, for options that make no image, and for an orientation
    that is random anew in every run.
    """
    own, reference = take_own_options(words)
    refuse_panels(own)
    if own.action != "run" or own.batch is not None:
        raise InputError("-help, -version and -batch make no image to compare")
    rest = list(reference)
    _refuse_random_orientation(rest)
    dump, has_list = DUMP_FILE, False
    for at, word in enumerate(reference[:-1]):
        for option in OPTIONS:
            if not (word.startswith("-") and option.kind == "text" and option.sets and option.matches(word)):
                continue
            value, (target, *_) = reference[at + 1], option.sets
            dump = value if target == "files.dump" else dump
            has_list = has_list or target == "files.hkl"
            if target not in WRITTEN and not os.path.isfile(value):
                raise InputError(f"{word} {value}: no such file")
            rest[at + 1] = WRITTEN.get(target) or os.path.abspath(value)
    read_dump = os.path.abspath(dump) if not has_list and os.path.isfile(dump) else None
    return CommandWords(tuple(rest), (*_own_words(words), *rest), read_dump)


def _own_words(words: Sequence[str]) -> list[str]:
    """Our own options with their values, but for the picture."""
    kept, remaining = [], iter(words)
    for word in remaining:
        row = next((row for row in ROWS if row.matches(word)), None)
        if row is not None:
            option = [word, next(remaining)] if row.arguments else [word]
            kept += [] if word == "-png" else option
    return kept


def _refuse_random_orientation(words: Sequence[str]) -> None:
    seeded = any("-misset_seed" in word for word in words)
    values = [words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("-") and "-misset" in word]
    if values and "rand" in values[-1] and not seeded:
        raise InputError("-misset random: the clock gives each run another crystal; put -misset_seed N before it")


def _float_image(name: str, folder: Path) -> np.ndarray | None:
    """The float image of the command, which has no header: the integer image of the same run gives its size."""
    float_file = folder / FLOAT_FILE
    if not float_file.is_file():
        return None
    size = smv.read(str(folder / INT_FILE), f"engine {name}:")
    values = np.fromfile(float_file, "<f4")
    if values.size != size.width * size.height:
        raise InputError(f"engine {name}: {values.size} pixels in the float image where {size.width}x{size.height} are due")
    return values.reshape(size.height, size.width)


def _saved_array(name: str, folder: Path) -> np.ndarray | None:
    """The image that torch_image.py leaves."""
    return np.load(folder / IMAGE_FILE) if (folder / IMAGE_FILE).is_file() else None


def _run_command(
    name: str,
    command: Sequence[str],
    words: Sequence[str],
    dump: str | None,
    image_in: Callable[[str, Path], np.ndarray | None] = _float_image,
) -> EngineRun:
    with tempfile.TemporaryDirectory(prefix="nb-compare-") as folder:
        if dump is not None:
            shutil.copyfile(dump, Path(folder) / DUMP_FILE)
        started = perf_counter()
        try:
            done = subprocess.run([*command, *words], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
        except OSError as error:
            raise InputError(f"engine {name}: cannot run {command[0]}: {(error.strerror or str(error)).lower()}") from None
        seconds = perf_counter() - started
        log = done.stdout + done.stderr
        image = image_in(name, Path(folder)) if done.returncode == 0 else None
        if image is None:
            why = "the command line gives no crystal" if done.returncode == NO_CRYSTAL else _last_words(done.stderr)
            raise InputError(f"engine {name}: no image to compare, exit status {done.returncode}: {why}")
    return EngineRun(image, seconds, log)


def _last_words(stderr: bytes) -> str:
    said = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return said[-1] if said else "no word on standard error"


def _c() -> Engine:
    """The program that NB_C_BIN names."""
    binary = os.environ.get("NB_C_BIN", "")
    if not binary:
        raise InputError("engine c: set NB_C_BIN to the reference program (nanoBragg.c, compiled without OpenMP)")
    path = shutil.which(binary)
    if path is None:
        raise InputError(f"engine c: NB_C_BIN names {binary}, which is no program that can be run")
    command = [os.path.abspath(path)]
    return lambda words: _run_command("c", command, words.reference, words.dump)


def _ours(name: str, *options: str) -> Callable[[], Engine]:
    """Our command with ``options``, in a process of its own, as a user runs it."""
    command = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()", *options]

    def run(words: CommandWords) -> EngineRun:
        from nanobragg_numba.engine.needed_code import FOR_AN_IMAGE
        from nanobragg_numba.jit.stored_code import is_kept

        cold = not all(map(is_kept, FOR_AN_IMAGE))
        return replace(_run_command(name, command, words.ours, words.dump), compiling=cold)

    return lambda: run


def _torch() -> Engine:
    """The torch bridge, without derivatives, in a process of its own."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("engine torch: PyTorch is not installed; pip install 'nanobragg_numba[torch]'")
    command = [sys.executable, "-c", "from nanobragg_numba.cli.torch_image import command; command()"]
    return lambda words: _run_command("torch", command, words.ours, words.dump, _saved_array)


def _cuda() -> Engine:
    """Our command on the first GPU."""
    from nanobragg_numba.gpu.device import require_device

    try:
        require_device(0)
    except InputError as error:
        raise InputError(f"engine cuda: {error}") from None
    return _ours("cuda", "-device", "cuda")()


# Each entry makes the engine ready, or raises InputError where it is missing, before anything runs.
ENGINES: Mapping[str, Callable[[], Engine]] = {
    "c": _c,
    "numba": _ours("numba"),
    "cuda": _cuda,
    "torch": _torch,
}
