"""Processor time of each mode of the guarded engine beside the exact one and a reference binary, one thread each.

NB_C_BIN names the reference built with gcc -O3, without OpenMP. All take turns; each figure is the median of REPEATS. Processor
time, not wall time: C's includes its start and its files (a few milliseconds), ours is the kernels' alone, once loaded.

    NB_C_BIN=/path/to/nanoBragg python benchmarks/modes.py
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from time import process_time

import numba
from cpu import CUBIC, ERL

from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Precision

REPEATS = 5
SWEEP = "-mosaic 0.5 -mosaic_domains 20 -phi 0 -osc 1 -phisteps 5"
NEAR = ERL.replace("-distance 75 -pixel 0.2", "-distance 300 -pixel 0.1")
MODES = {
    "parallelepiped": f"{CUBIC} -detpixels 256 {SWEEP}",
    "round": f"{CUBIC} -detpixels 256 {SWEEP} -round_xtal",
    "gauss": f"{CUBIC} -detpixels 256 {SWEEP} -gauss_xtal",
    "tophat": f"{CUBIC} -detpixels 256 {SWEEP} -tophat_spots",
    "listed structure factors": f"{ERL} -detpixels 256 {SWEEP}",
    "tricubic, inside the table": f"{NEAR} -detpixels 256 {SWEEP} -interpolate",
    "tricubic, leaving the table at once (Q2)": f"{ERL} -detpixels 256 {SWEEP} -interpolate",
    "-oversample_omega -oversample_polar": f"{CUBIC} -detpixels 256 {SWEEP} -oversample_omega -oversample_polar",
    "the same, gauss": f"{CUBIC} -detpixels 256 {SWEEP} -oversample_omega -oversample_polar -gauss_xtal",
    "one step": f"{CUBIC} -detpixels 1024",
    "one step, -polar 0.9": f"{CUBIC} -detpixels 1024 -polar 0.9",
    "5x5 sub-pixels": f"{CUBIC} -detpixels 256".replace("-oversample 1", "-oversample 5"),
    "15 sources": f"{CUBIC} -detpixels 256 -dispersion 1 -dispsteps 5 -hdivrange 1 -hdivsteps 3",
}


def c_time(binary: str, words: list[str]) -> float:
    """Processor time of the whole reference program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([binary, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def engine_time(words: list[str], precision: Precision) -> tuple[float, PixelEngine]:
    """Processor time of the kernels, and the engine that ran them."""
    engine = PixelEngine(derive_experiment(read_command_line(words, "c").parameters, "c"), precision=precision)
    started = process_time()
    for _ in engine.blocks():
        pass
    return process_time() - started, engine


def main() -> None:
    """Print the table."""
    binary = os.environ.get("NB_C_BIN")
    if not binary:
        sys.exit("NB_C_BIN must name the reference binary")
    numba.set_num_threads(1)
    print("| mode | C (s) | exact (s) | C / exact | guarded (s) | C / guarded | ns/step | recomputed pixels |")
    print("|" + " --- |" * 8)
    for name, line in MODES.items():
        words = line.split()
        seen: dict[str, list[float]] = {"C": [], "exact": [], "guarded": []}
        for precision in ("exact", "guarded"):
            engine_time([*words, "-detpixels", "64"], precision)  # type: ignore[arg-type]
        for _ in range(REPEATS):
            seen["C"].append(c_time(binary, words))
            seen["exact"].append(engine_time(words, "exact")[0])
            seconds, engine = engine_time(words, "guarded")
            seen["guarded"].append(seconds)
        c, exact, guarded = (statistics.median(seen[key]) for key in seen)
        steps = engine.experiment.steps * engine.image.size
        cells = [
            name,
            f"{c:.3f}",
            f"{exact:.3f}",
            f"{c / exact:.2f}",
            f"{guarded:.4f}",
            f"{c / guarded:.1f}",
            f"{guarded * 1e9 / steps:.2f}",
        ]
        print("| " + " | ".join([*cells, str(engine.recomputed)]) + " |", flush=True)


if __name__ == "__main__":
    main()
