"""Times and memory of the derivatives; prints tables.

Forward alone, forward and backward for all scalar parameters at once, and the forward mode in 1 and 6 directions; REPEATS runs in turn,
medians. ``--memory``: peak memory of 1024x1024 x 500 domains x 10 phi, forward and backward, in a process of its own (minutes). ``--port
PATH``: the same gradients with a checkout of the public PyTorch port (hoidn/nanoBragg), each side in processes of its own, in turn.

    python benchmarks/autograd.py [--memory] [--port PATH] [--no-table]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import torch

from nanobragg_numba import Parameters, parameters_from_command_line
from nanobragg_numba.autograd import simulate

REPEATS = 5
PORT_REPEATS = 3
LIMIT = 600
"""Seconds that one process may take."""
COMMON = "-cell 100 100 100 90 90 90 -default_F 100 -lambda 1 -N 5 -distance 100 -detpixels {} -oversample {} "
SWEEP = "-mosaic 0.5 -mosaic_domains {} -phi 0 -osc 1 -phisteps 10"
SCALARS: dict[str, Any] = {
    "phi_deg": 0.0, "misset_deg": (0.0, 0.0, 0.0), "cell": (100.0, 100.0, 100.0, 90.0, 90.0, 90.0), "n_cells": (5.0, 5.0, 5.0),
    "wavelength_A": 1.0, "distance_mm": 100.0, "beam_center_mm": None, "detector_rotations_deg": (0.0, 0.0, 0.0), "twotheta_deg": 0.0,
    "pixel_size_mm": 0.1, "fluence": 125932015286227086360700780544.0, "polarization": 0.0, "polarization_axis": (0.0, 0.0, 1.0),
    "default_F": 100.0, "water_um": 0.0,
}  # fmt: skip
OF_A_SWEEP = {"osc_deg": 1.0, "mosaic_spread_deg": 0.5, "spindle_axis": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Case:
    """A command line; the size of its image; whether it has rotation and mosaicity."""

    line: str
    pixels: int
    sweep: bool = False

    def tensors(self) -> dict[str, torch.Tensor]:
        """All scalar parameters, requiring gradients."""
        centre = 0.1 * (self.pixels + 1) / 2
        values = {**SCALARS, "beam_center_mm": (centre, centre), **(OF_A_SWEEP if self.sweep else {})}
        return {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in values.items()}


SPREAD = "-hdivrange 2 -hdivsteps 3 -vdivrange 2 -vdivsteps 3 -square_div -dispersion 1 -dispsteps 2"
CASES = {
    "1024x1024, one step": Case(COMMON.format(1024, 1), 1024),
    "256x256, 20 domains x 10 phi": Case(COMMON.format(256, 1) + SWEEP.format(20), 256, True),
    "256x256, 18 sources x 4 sub-pixels": Case(COMMON.format(256, 2) + SPREAD, 256),
}
LARGE = Case(COMMON.format(1024, 1) + SWEEP.format(500), 1024, True)


def gradients(case: Case, parameters: Parameters, gradient: torch.Tensor) -> None:
    """Forward and backward for all scalar parameters, from the image's ``gradient``, in its precision."""
    simulate(parameters, dtype=gradient.dtype, **case.tensors()).backward(gradient)


def our_gradients(case: Case) -> None:
    """The same from the command line on."""
    gradients(case, parameters_from_command_line(case.line), torch.ones(case.pixels, case.pixels))


def timers(case: Case) -> dict[str, Callable[[], object]]:
    """What the table compares."""
    parameters, tensors = parameters_from_command_line(case.line), case.tensors()
    cell = tensors.pop("cell").detach()
    fixed = {name: tensor.detach() for name, tensor in tensors.items()}

    def image(cell: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return simulate(parameters, dtype=dtype, cell=cell, **fixed)

    ones = {dtype: torch.ones(case.pixels, case.pixels, dtype=dtype) for dtype in (torch.float32, torch.float64)}
    return {
        "float32": lambda: image(cell),
        "float64": lambda: image(cell, torch.float64),
        "both32": lambda: gradients(case, parameters, ones[torch.float32]),
        "both64": lambda: gradients(case, parameters, ones[torch.float64]),
        "jvp 1": lambda: torch.func.jvp(image, (cell,), (torch.ones_like(cell),)),
        "jvp 6": lambda: torch.func.jacfwd(image)(cell),
    }


def seconds(timer: Callable[[], object]) -> float:
    """Wall time."""
    started = perf_counter()
    timer()
    return perf_counter() - started


def table() -> None:
    """Forward, backward and forward mode, with 1 and 2 threads."""
    print(
        "| case | threads | forward float32 | float64 | forward + backward | over float32 | over float64 "
        "| jvp, 1 direction | over float32 | 6 directions | over float32 |"
    )
    print("|" + " --- |" * 11)
    cores = sorted(os.sched_getaffinity(0))
    for name, case in CASES.items():
        for threads in (1, 2):
            # Else torch's second thread would wait for a processor at every operation on an image.
            torch.set_num_threads(threads)
            os.sched_setaffinity(0, cores[:threads])
            runs = timers(case)
            seen: dict[str, list[float]] = {key: [] for key in runs}
            for repeat in range(REPEATS + 1):
                for key, timer in runs.items():
                    elapsed = seconds(timer)
                    if repeat:  # the first one warms up
                        seen[key].append(elapsed)
            t = {key: statistics.median(times) for key, times in seen.items()}
            cells = [
                name,
                str(threads),
                f"{t['float32']:.3f}",
                f"{t['float64']:.3f}",
                f"{t['both32']:.3f}",
                f"{t['both32'] / t['float32']:.1f}",
            ]
            cells += [f"{t['both64'] / t['float64']:.1f}"]
            for key in ("jvp 1", "jvp 6"):
                cells += [f"{t[key]:.3f}", f"{t[key] / t['float32']:.1f}"]
            print("| " + " | ".join(cells) + " |", flush=True)
    torch.set_num_threads(len(cores))
    os.sched_setaffinity(0, cores)


def port_gradients(case: Case, folder: Path) -> None:
    """The same with the public PyTorch port: as many of the parameters as it can differentiate."""
    sys.path.insert(0, str(folder / "src"))
    from nanobrag_torch.config import BeamConfig, CrystalConfig, DetectorConfig
    from nanobrag_torch.models.crystal import Crystal
    from nanobrag_torch.models.detector import Detector
    from nanobrag_torch.simulator import Simulator

    def number(value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, requires_grad=True)

    words = case.line.split()
    sweep: dict[str, Any] = {}
    if case.sweep:
        domains = int(words[words.index("-mosaic_domains") + 1])
        sweep = {"mosaic_spread_deg": number(0.5), "mosaic_domains": domains, "mosaic_seed": -12345678}
        sweep |= {"phi_start_deg": number(0.0), "osc_range_deg": number(1.0), "phi_steps": 10}
    edges = {f"cell_{name}": number(100.0) for name in "abc"} | {f"cell_{name}": number(90.0) for name in ("alpha", "beta", "gamma")}
    config = CrystalConfig(**edges, N_cells=(5, 5, 5), default_F=100.0, **sweep)
    beam = BeamConfig(wavelength_A=1.0)
    detector = Detector(DetectorConfig(distance_mm=number(100.0), spixels=case.pixels, fpixels=case.pixels, oversample=1))
    image = Simulator(Crystal(config, beam_config=beam), detector, beam_config=beam).run()
    image.backward(torch.ones_like(image))
    assert edges["cell_a"].grad is not None


def in_a_process(side: str, name: str, repeats: int) -> tuple[float, float] | str:
    """Time of the last of ``repeats`` runs and the peak memory above torch alone (MB), or why there is none."""
    torch_alone = [sys.executable, "-c", "import torch; print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"]
    baseline = float(subprocess.run(torch_alone, capture_output=True, text=True, check=True).stdout) / 1024
    command = [sys.executable, __file__, "--child", side, name, str(repeats)]
    environment = {"NANOBRAGG_DISABLE_COMPILE": "1", "KMP_DUPLICATE_LIB_OK": "TRUE", **os.environ}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"no result within {LIMIT} s"
    if done.returncode:
        return f"status {done.returncode}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}"
    elapsed, memory = json.loads(done.stdout.splitlines()[-1])
    return elapsed, memory - baseline


def peak_memory() -> float:
    """Of this process (MB). Not from getrusage, which counts the memory of the process that this one was forked from."""
    return float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def child(side: str, name: str, repeats: int) -> None:
    """Measure one case in this process; ``side``: "ours" or the port's folder."""
    case = LARGE if name == "large" else CASES[name]
    elapsed = 0.0
    for _ in range(repeats):
        elapsed = seconds(lambda: our_gradients(case) if side == "ours" else port_gradients(case, Path(side)))
    print(json.dumps([elapsed, peak_memory()]))


def beside_the_port(folder: Path) -> None:
    """Forward and backward on both sides."""
    print("\n| case | ours, s | port, s | time ratio | ours, MB | port, MB | memory ratio |\n|" + " --- |" * 7)
    for name in list(CASES)[:2]:
        got: dict[str, list[tuple[float, float]]] = {"ours": [], str(folder): []}
        for _ in range(PORT_REPEATS):
            for side, results in got.items():
                result = in_a_process(side, name, 2)
                if isinstance(result, str):
                    print(f"{name}: {'ours' if side == 'ours' else 'the port'} cannot be run here ({result})")
                    return
                results.append(result)
        (t, m), (tp, mp) = ((statistics.median(x for x, _ in r), statistics.median(y for _, y in r)) for r in got.values())
        print(f"| {name} | {t:.2f} | {tp:.2f} | {tp / t:.0f} | {m:.0f} | {mp:.0f} | {mp / m:.0f} |", flush=True)


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--memory", action="store_true", help="peak memory of 1024x1024 x 500 domains x 10 phi")
    parser.add_argument("--port", type=Path, help="checkout of the public PyTorch port")
    parser.add_argument("--no-table", action="store_true", help="leave the table of times out")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, name, repeats = options.child
        child(side, name, int(repeats))
        return
    print(
        f"{llvmlite.binding.get_host_cpu_name()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, "
        f"numba {numba.__version__}, numpy {np.__version__}, torch {torch.__version__}; seconds, medians of {REPEATS} alternating runs.\n"
    )
    if not options.no_table:
        table()
    if options.memory:
        result = in_a_process("ours", "large", 1)
        print(
            result if isinstance(result, str) else f"\n1024x1024 x 500 domains x 10 phi: {result[0]:.0f} s, {result[1]:.0f} MB above torch"
        )
    if options.port:
        beside_the_port(options.port)


if __name__ == "__main__":
    main()
