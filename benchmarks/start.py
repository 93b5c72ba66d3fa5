"""How long the first results take, beside another build: python benchmarks/start.py --other /path/to/other/venv/bin/python

Runs whole processes of the two builds in turn. "Empty": without compiled code, in a cache folder of the run's own; the first
derivatives include torch's import and the image. Prints, for each task and build, the median wall and processor time (seconds, children
included) and the ratio of the medians. To make the other build: git worktree add ../old 12b9a11, and in a fresh environment
pip install '../old[torch]'.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from time import perf_counter

LINE = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 64 -phi 10 -oversample 1 -seed 1"
COMMAND = f"from nanobragg_numba.cli.start import command; import sys; sys.argv = ['nanoBragg', *{LINE!r}.split()]; command()"
TORCH = f"""
import torch
from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate
parameters = parameters_from_command_line({LINE!r})
phi = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
total = lambda x: simulate(parameters, phi_deg=x).sum()
"""
TASKS = {
    "first image, empty": (COMMAND, True),
    "first backward(), empty": (TORCH + "total(phi).backward()", True),
    "first jvp, empty": (TORCH + "torch.func.jvp(total, (phi.detach(),), (torch.ones_like(phi),))", True),
    "first Hessian, empty": (TORCH + "torch.func.hessian(total)(phi.detach())", True),
    "64x64 command, warm": (COMMAND, False),
    "import numpy": ("import numpy", False),
}


def seconds(python: str, code: str, cache: str | None) -> tuple[float, float]:
    """Wall and processor time of a process."""
    environment = {**os.environ, **({} if cache is None else {"NUMBA_CACHE_DIR": cache}), "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        process = subprocess.Popen([python, "-c", code], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = perf_counter() - started
    if status:
        raise SystemExit(f"{python}: {code.strip().splitlines()[-1]} ended with status {status}")
    return elapsed, usage.ru_utime + usage.ru_stime


def measured(pythons: Sequence[str], code: str, empty: bool, runs: int) -> list[tuple[float, float]]:
    """Medians of wall and processor time for each build, measured in turn."""
    times: list[list[tuple[float, float]]] = [[] for _ in pythons]
    if not empty:
        for python in pythons:
            seconds(python, code, None)
    for _ in range(runs):
        for at, python in enumerate(pythons):
            with tempfile.TemporaryDirectory() as cache:
                times[at].append(seconds(python, code, cache if empty else None))
    return [(statistics.median(wall for wall, _ in own), statistics.median(cpu for _, cpu in own)) for own in times]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", help="python of the environment with the other build")
    parser.add_argument("--runs", type=int, default=3, help="runs of each task on an empty cache; warm ones seven times as often")
    options = parser.parse_args()
    pythons = [sys.executable, *([options.other] if options.other else [])]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors; this build, then the other; seconds, median")
    for name, (code, empty) in TASKS.items():
        results = measured(pythons, code, empty, options.runs if empty else 7 * options.runs)
        cells = [f"{wall:8.3f} ({cpu:7.3f})" for wall, cpu in results]
        ratio = f"{results[-1][0] / results[0][0]:6.2f} x ({results[-1][1] / results[0][1]:.2f} x)" if len(results) > 1 else ""
        print(f"{name:26} {'  '.join(cells)}  {ratio}", flush=True)


if __name__ == "__main__":
    main()
