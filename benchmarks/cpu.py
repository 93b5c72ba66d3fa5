"""Wall times beside a reference binary, in one run, alternating; prints a table.

NB_C_BIN names the reference built with gcc -O3 (one thread), NB_C_OMP_BIN the same with -fopenmp (for two threads; that column is left out
without it). Each time is the shortest of REPEATS runs, which other work on the machine disturbs least; ratios above 1 mean that we
are faster.

    NB_C_BIN=/path/to/nanoBragg NB_C_OMP_BIN=/path/to/nanoBragg_omp python benchmarks/cpu.py
"""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import llvmlite.binding
import numba
import numpy as np

from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Precision

REPEATS = 7
PRECISION_COLUMNS: tuple[Precision, ...] = ("exact", "guarded", "double", "single")
EXAMPLES = Path(__file__).parent.parent / "examples"
CUBIC = "-default_F 100 -cell 100 100 100 90 90 90 -lambda 1 -N 5 -distance 100 -oversample 1 -seed 1 -nonoise"
ERL = f"-mat {EXAMPLES / 'erl.mat'} -hkl {EXAMPLES / 'erl.hkl'} -lambda 0.9768 -N 10 -distance 75 -pixel 0.2 -oversample 1 -seed 1 -nonoise"
CASES = {
    "1024x1024, one step": f"{CUBIC} -detpixels 1024",
    "256x256, 20 domains x 10 phi": f"{CUBIC} -detpixels 256 -mosaic 0.5 -mosaic_domains 20 -phi 0 -osc 1 -phisteps 10",
    "erl rotation, 512x512": f"{ERL} -detpixels 512 -phi 20 -osc 2 -phisteps 20 -mosaic 0.2 -mosaic_domains 8",
    "start-up, 64x64": f"{CUBIC} -detpixels 64",
    "2048x2048, one step, noise": f"{CUBIC.replace(' -nonoise', '')} -detpixels 2048",
    "2048x2048, sub-pixels by default (2x2), noise": f"{CUBIC.replace(' -nonoise', '').replace(' -oversample 1', '')} -detpixels 2048",
    "2048x2048, erl rotation of 10 steps, noise": f"{ERL.replace(' -nonoise', '')} -detpixels 2048 -pixel 0.1 -phi 20 -osc 1 -phisteps 10",
}


# Times a command and reads its peak memory. It must be small itself: a process counts the memory of the one it was forked from.
LAUNCHER = """
import os, sys, time
null = os.open(os.devnull, os.O_WRONLY)
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)])
_, status, usage = os.wait4(child, 0)
print(status, time.perf_counter() - started, usage.ru_maxrss / 1024)
"""


def run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall time (s) and peak memory (MB; never below that of a bare Python) of a command in an empty folder."""
    launcher = [sys.executable, "-S", "-c", LAUNCHER, *command]
    # An installed package has its bytecode.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        text = subprocess.run(launcher, cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=True).stdout
    status, elapsed, memory = text.split()
    if status != "0":
        sys.exit(f"status {status}: {' '.join(command)}")
    return float(elapsed), float(memory)


def kernel_time(words: list[str], threads: int, precision: Precision) -> float:
    """Seconds for the pixels alone, kernels loaded."""
    engine = PixelEngine(derive_experiment(read_command_line(words, "c").parameters, "c"), precision=precision, threads=threads)
    started = perf_counter()
    for _ in engine.blocks():
        pass
    return perf_counter() - started


def shortest(timers: dict[str, Callable[[], tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """Shortest time and largest memory of each timer, all run in turn REPEATS times."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in timers}
    for _ in range(REPEATS):
        for name, timer in timers.items():
            seen[name].append(timer())
    return {name: (min(t for t, _ in pairs), max(m for _, m in pairs)) for name, pairs in seen.items()}


def _row(name: str, words: list[str], threads: int, got: dict[str, tuple[float, float]]) -> list[str]:
    (tc, mc), (to, mo) = got["C"], got["command"]
    x = derive_experiment(read_command_line(words, "c").parameters, "c")
    step = got["guarded"][0] * 1e9 / (x.steps * x.geometry.fast_pixels * x.geometry.slow_pixels)
    cells = [name, str(threads), f"{tc:.3f}"]
    for precision in PRECISION_COLUMNS:
        seconds = got[precision][0]
        cells += [f"{seconds:.3f}", f"{tc / seconds:.2f}"] + ([f"{step:.2f}"] if precision == "guarded" else [])
    return [*cells, f"{to:.3f}", f"{tc / to:.2f}", f"{mc:.0f}", f"{mo:.0f}"]


def main() -> None:
    """Print the table."""
    c, omp = os.environ.get("NB_C_BIN"), os.environ.get("NB_C_OMP_BIN")
    if not c:
        sys.exit("NB_C_BIN must name the reference binary")
    ours = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]
    print(
        f"{llvmlite.binding.get_host_cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, numba {numba.__version__}, "
    )
    print(
        f"numpy {np.__version__}, shortest of {REPEATS} alternating runs. Times in seconds, memory in MB; a ratio above 1: we are faster.\n"
    )
    names = "case|threads|C|exact|C / exact|guarded|C / guarded|ns/step|double|C / double|single|C / single|command|C / command|MB C|MB"
    print("| " + " | ".join(names.split("|")) + " |")
    print("|" + " --- |" * 16)
    for name, line in CASES.items():
        words = line.split()
        for threads, binary in ((1, c), (2, omp)):
            if binary is None:
                continue
            limit = {"OMP_NUM_THREADS": str(threads)}
            timers: dict[str, Callable[[], tuple[float, float]]] = {
                "C": lambda b=binary, w=words, e=limit: run([b, *w], e),  # type: ignore[misc]
                **{
                    p: lambda w=words, t=threads, p=p: (kernel_time(w, t, p), 0.0)  # type: ignore[misc]
                    for p in PRECISION_COLUMNS
                },
                "command": lambda w=words, t=threads: run([*ours, *w, "-threads", str(t)], {}),  # type: ignore[misc]
            }
            for precision in ("exact", "guarded"):
                kernel_time([*words, "-detpixels", "64"], threads, precision)
            print("| " + " | ".join(_row(name, words, threads, shortest(timers))) + " |", flush=True)


if __name__ == "__main__":
    main()
