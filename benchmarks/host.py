"""The host side beside a reference binary: reading, noise, the writers, and the whole command; prints two tables.

NB_C_BIN names the reference built with gcc -O3, NB_C_OMP_BIN the same with -fopenmp (for the whole command on two threads).
The reference's parts are differences of two of its runs that differ in that part alone; ours are timed in one process,
kernels loaded. Each time is the median of REPEATS alternating runs.

    NB_C_BIN=/path/to/nanoBragg NB_C_OMP_BIN=/path/to/nanoBragg_omp python benchmarks/host.py
"""

import os
import statistics as stats
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.files import hkl
from nanobragg_numba.files.output import OutputFiles
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.output.integer_images import NoiseImage, grey_levels, scaled_counts
from nanobragg_numba.output.statistics import statistics

REPEATS = 5
SIDE = 2048
LINE = f"-cell 100 100 100 90 90 90 -lambda 1 -N 5 -distance 100 -oversample 1 -seed 1 -detpixels {SIDE} -default_F 100"
FLUENCES = {"dim": "1e24", "one photon a pixel": "1.3e29", "75 photons a pixel": "1e31", "7500 photons a pixel": "1e33"}
COMMAND = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]


def reflections(path: Path, lines: int) -> None:
    """Write a list of so many reflections, one a line."""
    side = round((lines / 2) ** (1 / 3))
    h, k, l = (axis.ravel() for axis in np.meshgrid(np.arange(2 * side), np.arange(side), np.arange(side), indexing="ij"))
    amplitudes = np.random.default_rng(1).uniform(1, 1000, h.size)
    path.write_text("".join(f"{a} {b} {c} {f:.2f}\n" for a, b, c, f in zip(h - side, k, l, amplitudes, strict=True)))


# Times a command; small itself, since a process is the slower to start the more memory it has.
LAUNCHER = """
import os, sys, time
null = os.open(os.devnull, os.O_WRONLY)
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, usage = os.wait4(child, 0)
print(status, time.perf_counter() - started, usage.ru_utime + usage.ru_stime)
"""


def run(command: list[str], threads: int, folder: str) -> tuple[float, float]:
    """Wall and processor time of a command."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    # An installed package has its bytecode.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    launcher = [sys.executable, "-S", "-c", LAUNCHER, *command]
    status, wall, processor = subprocess.run(
        launcher, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    if status != "0":
        sys.exit(f"status {status}: {' '.join(command)}")
    return float(wall), float(processor)


def timed(function: Callable[[], Any]) -> float:
    """Processor time of a call, all threads together."""
    started = process_time()
    function()
    return process_time() - started


def medians(timers: dict[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each timer, all run in turn REPEATS times after one run that does not count."""
    seen: dict[str, list[float]] = {name: [] for name in timers}
    for turn in range(REPEATS + 1):
        for name, timer in timers.items():
            value = timer()
            if turn:
                seen[name].append(value)
    return {name: stats.median(values) for name, values in seen.items()}


def _print(name: str, c: float, *ours: float) -> None:
    cells = [name, f"{c * 1e3:.1f}"]
    for value in ours:
        cells += [f"{value * 1e3:.1f}", f"{c / value:.1f}"]
    print("| " + " | ".join(cells) + " |", flush=True)


def _image(fluence: str) -> tuple[PixelEngine, np.ndarray]:
    parameters = read_command_line([*LINE.split(), "-fluence", fluence], "c").parameters
    engine = PixelEngine(derive_experiment(parameters, "c"))
    for _ in engine.blocks():
        pass
    return engine, engine.image


def _draw(image: np.ndarray, window: tuple[int, int, int, int], offset: float, folder: str) -> None:
    state = new_state()
    reseed(state, -1)
    noise = NoiseImage(image, window, state, offset, 1)
    noise.finished.reach(len(image))
    _write(folder, noise.rows())


def _write(folder: str, *images: Iterable[np.ndarray]) -> None:
    with OutputFiles() as files:
        for n, parts in enumerate(images):
            files.write(str(Path(folder) / f"{n}.out"), parts)
        files.commit()


def parts(c: str, folder: str) -> None:
    """The table of the parts, in processor time."""

    def reference(*words: str) -> Callable[[], float]:
        return lambda: run([c, *LINE.split(), "-fluence", "1e24", *words], 1, folder)[1]

    print("Processor time, ms, one thread:\n\n| part | C | ours | C / ours |\n| --- | --- | --- | --- |")
    long, short = Path(folder) / "long.hkl", Path(folder) / "short.hkl"
    reflections(long, 2_000_000)
    reflections(short, 16)
    tiny = ["-detpixels", "8", "-nonoise", "-nopgm", "-dump", "/dev/null", "-hkl"]
    got = medians(
        {
            "long": reference(*tiny, str(long)),
            "short": reference(*tiny, str(short)),
            "ours": lambda: timed(lambda: hkl.read(str(long), 100.0, "-hkl")),
        }
    )
    _print(f"reading {long.read_bytes().count(10)} reflections", got["long"] - got["short"], got["ours"])
    for name, fluence in FLUENCES.items():
        engine, image = _image(fluence)
        got = medians(
            {
                "with": reference("-fluence", fluence, "-nopgm"),
                "without": reference("-fluence", fluence, "-nopgm", "-nonoise"),
                "ours": lambda i=image, w=engine.window: timed(lambda: _draw(i, w, 40.0, folder)),  # type: ignore[misc]
            }
        )
        _print(f"noise image, {name}", got["with"] - got["without"], got["ours"])
    window = engine.window
    got = medians(
        {
            "with": reference("-nonoise"),
            "without": reference("-nonoise", "-nopgm"),
            "ours": lambda: timed(lambda: _write(folder, grey_levels(image, window, 1.0))),
        }
    )
    _print("pgm image", got["with"] - got["without"], got["ours"])
    # The reference cannot leave these out; with one pixel to compute, they are all that takes time.
    got = medians(
        {
            "all": reference("-nonoise", "-nopgm", "-roi", "0", "0", "0", "0"),
            "ours": lambda: timed(lambda: _write(folder, [image], scaled_counts(image, window, 1.0, 40.0))),
        }
    )
    _print("float and integer image (C: start of the program included)", got["all"], got["ours"])
    statistic = medians({"ours": lambda: timed(lambda: statistics(image, window, engine.computed))})["ours"]
    print(f"| statistics (no run of C tells its own) | | {statistic * 1e3:.1f} | |\n")


def whole(c: str, omp: str | None, folder: str) -> None:
    """The table of the whole command, in wall time."""
    print("Wall time of the whole command with all images, ms:\n")
    print("| image | C, 1 thread | ours, 1 thread | C / ours | C, 2 threads | ours, 2 threads | C / ours |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, fluence in FLUENCES.items():
        line = [*LINE.split(), "-fluence", fluence]
        got = medians(
            {
                "C": lambda w=line: run([c, *w], 1, folder)[0],  # type: ignore[misc]
                "1": lambda w=line: run([*COMMAND, *w, "-threads", "1"], 1, folder)[0],  # type: ignore[misc]
                "C2": lambda w=line: run([omp or c, *w], 2, folder)[0],  # type: ignore[misc]
                "2": lambda w=line: run([*COMMAND, *w, "-threads", "2"], 1, folder)[0],  # type: ignore[misc]
            }
        )
        cells = [f"{got['C'] * 1e3:.0f}", f"{got['1'] * 1e3:.0f}", f"{got['C'] / got['1']:.2f}"]
        cells += [f"{got['C2'] * 1e3:.0f}", f"{got['2'] * 1e3:.0f}", f"{got['C2'] / got['2']:.2f}"]
        print(f"| {SIDE}x{SIDE}, {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print both tables."""
    c, omp = os.environ.get("NB_C_BIN"), os.environ.get("NB_C_OMP_BIN")
    if not c:
        sys.exit("NB_C_BIN must name the reference binary")
    with tempfile.TemporaryDirectory() as folder:
        parts(c, folder)
        whole(c, omp, folder)


if __name__ == "__main__":
    main()
