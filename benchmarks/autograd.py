"""Times and memory of the derivatives; prints tables.

Forward alone, forward and backward for all scalar parameters at once, and the forward mode in 1 and 6 directions; REPEATS runs in turn,
medians. ``--memory``: peak memory of 1024x1024 x 500 domains x 10 phi, forward and backward, in a process of its own (minutes). ``--port
PATH``: the same gradients with a checkout of the public PyTorch port (hoidn/nanoBragg), each side in processes of its own, in turn.
``--shots``: many shots and shoeboxes, members of a vmap, and a fit of one still, in processes of their own; ``--build PYTHON``: beside
another build, whose interpreter that is, which computes whole images, one after another; with ``--port`` also beside the port, which
does the same.

    python benchmarks/autograd.py [--memory] [--port PATH] [--shots [--build PYTHON]] [--no-table]
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
from time import perf_counter, process_time
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


STILL = "-cell 60 70 80 90 95 90 -default_F 100 -N 12 -lambda 1 -distance 100 -detpixels {} -pixel {} -oversample 1 "
SHOTS, BOXES_OF_A_SHOT, WHOLE_IMAGES = 100, 60, 4
SHARED_BY_SHOTS: dict[str, Any] = {
    "cell": (60.0, 70.0, 80.0, 90.0, 95.0, 90.0), "n_cells": (12.0, 12.0, 12.0), "distance_mm": 100.0, "beam_center_mm": (51.0, 51.0),
    "detector_rotations_deg": (0.0, 0.0, 0.0), "wavelength_A": 1.0,
}  # fmt: skip
OF_A_FIT = {"misset_deg": 0.05, "cell": 0.1, "n_cells": 1.0, "fluence": 1e28, "mosaic_spread_deg": 0.03}
"""What a fit refines, and by how much it begins off, times 0.3 and a normal deviate."""


def refined(value: Any) -> torch.Tensor:
    """A leaf."""
    return torch.as_tensor(value, dtype=torch.float64).clone().requires_grad_()


def shots_and_boxes(boxed: bool) -> tuple[Callable[[], object], int]:
    """Forward and backward over shoeboxes of many shots, or over whole images one after another; and how many shots."""
    parameters = parameters_from_command_line(STILL.format(1024, 0.1))
    random = np.random.default_rng(1)
    count = SHOTS if boxed else WHOLE_IMAGES
    turns = np.linalg.qr(random.normal(size=(count, 3, 3)))[0]
    orientation, fluence = refined(turns * np.linalg.det(turns)[:, None, None]), refined(1e29 * random.uniform(0.5, 2.0, count))
    shared = {name: refined(value) for name, value in SHARED_BY_SHOTS.items()}
    corners = random.integers(0, 1024 - 15, (count, BOXES_OF_A_SHOT, 2))
    boxes = [[(x, x + 15, y, y + 15) for x, y in own.tolist()] for own in corners]

    def together() -> None:
        found = simulate(parameters, orientation=orientation, fluence=fluence, regions=boxes, **shared)
        found.values.square().sum().backward()

    def apart() -> None:
        for shot in range(count):
            simulate(parameters, orientation=orientation[shot], fluence=fluence[shot], **shared).square().sum().backward()

    return (together if boxed else apart), count


def members(kind: str) -> tuple[Callable[[], object], int]:
    """Forward and backward of images of 64x64: one after another, as shots, as members of a vmap, or as many pixels in one image."""
    count = {"loop": 10}.get(kind, SHOTS)
    parameters = parameters_from_command_line(STILL.format(*((640, 0.16) if kind == "pixels" else (64, 1.6))))
    misset, cell = refined(np.random.default_rng(1).normal(size=(count, 3))), refined(SHARED_BY_SHOTS["cell"])

    def loss(misset: torch.Tensor, cell: torch.Tensor) -> Any:
        return simulate(parameters, misset_deg=misset, cell=cell).square().sum()

    def loop() -> None:
        for own in misset:
            loss(own, cell).backward()

    def vmap() -> object:
        return torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)), in_dims=(0, None))(misset.detach(), cell.detach())

    runs: dict[str, Callable[[], object]] = {
        "loop": loop, "vmap": vmap, "shots": lambda: loss(misset, cell).backward(), "pixels": lambda: loss(misset[0], cell).backward(),
    }  # fmt: skip
    return runs[kind], count


def gauss_newton(what: str) -> tuple[Callable[[], object], int]:
    """Of one still with mosaicity: its shoeboxes, their derivatives by all that is refined, or a fit to Poisson noise of these."""
    from nanobragg_numba import spots

    parameters = parameters_from_command_line(STILL.format(1024, 0.1) + "-misset 5 7 9 -mosaic 0.3 -mosaic_domains 15")
    found = spots(parameters, resolution=2.0)
    box = np.asarray(found.box)[np.argsort(-found.partiality)[:BOXES_OF_A_SHOT]]
    fast, slow = (box[:, 0] + box[:, 1]) // 2, (box[:, 2] + box[:, 3]) // 2
    boxes = np.stack([fast - 7, fast + 8, slow - 7, slow + 8], axis=1).tolist()
    true = {"misset_deg": (5.0, 7.0, 9.0), **SHARED_BY_SHOTS, "fluence": 1.259320152862271e29, "mosaic_spread_deg": 0.3}
    start = {name: torch.tensor(true[name], dtype=torch.float64) for name in OF_A_FIT}
    sizes = [value.numel() for value in start.values()]

    def model(vector: torch.Tensor) -> torch.Tensor:
        parts = zip(OF_A_FIT.items(), vector.split(sizes), strict=True)
        values: torch.Tensor = simulate(
            parameters, regions=boxes, **{name: start[name] + scale * part.reshape(start[name].shape) for (name, scale), part in parts}
        ).values
        return values

    nothing = torch.zeros(sum(sizes), dtype=torch.float64)
    off = torch.from_numpy(np.random.default_rng(0).normal(size=sum(sizes)) * 0.3)
    data = torch.from_numpy(np.random.default_rng(1).poisson(model(nothing).numpy()).astype(np.float64))
    weights = 1.0 / (data + 1.0).sqrt()

    def slopes(vector: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        jacobian, values = torch.func.jacfwd(lambda x: (model(x),) * 2, has_aux=True)(vector)
        return jacobian * weights[:, None], (data - values) * weights

    def fit() -> None:
        vector, damping = off, 1e-3
        jacobian, residuals = slopes(vector)
        while True:
            matrix, slope, cost = jacobian.T @ jacobian, jacobian.T @ residuals, float(residuals.square().sum())
            step = torch.linalg.solve(matrix + damping * torch.diag(matrix.diag()), slope)
            # What the step would gain, to first order, is nothing beside the noise.
            if float(step @ slope) < 1e-5 * cost:
                return
            ahead, there = slopes(vector + step)
            if float(there.square().sum()) < cost:
                vector, jacobian, residuals, damping = vector + step, ahead, there, 0.1 * damping
            else:
                damping *= 10.0

    runs: dict[str, Callable[[], object]] = {"forward": lambda: model(off), "slopes": lambda: slopes(off), "fit": fit}
    return runs[what], 1


SHOT_RUNS: dict[str, Callable[[], tuple[Callable[[], object], int]]] = {
    "whole images, one after another": lambda: shots_and_boxes(False), "shots and shoeboxes": lambda: shots_and_boxes(True),
    **{f"64x64, {kind}": lambda kind=kind: members(kind) for kind in ("loop", "shots", "vmap", "pixels")},
    **{f"still, {what}": lambda what=what: gauss_newton(what) for what in ("forward", "slopes", "fit")},
}  # fmt: skip
OF_OTHER_BUILD = ("whole images, one after another", "64x64, loop", "64x64, vmap", "64x64, pixels")


ONE_STEP = "1024x1024, one step"


def shot_child(name: str, port: Path | None) -> None:
    """Measure one row in this process: processor time a shot (ms), median, and the peak memory (MB). Of the port one whole image."""
    run, count = ((lambda: port_gradients(CASES[ONE_STEP], port)), 1) if port else SHOT_RUNS[name]()
    if port:
        # Threads that wait keep their processors busy, which would be counted.
        torch.set_num_threads(1)
    times = []
    for repeat in range(REPEATS + 1):
        started = process_time()
        run()
        times += [process_time() - started] if repeat else []
    print(json.dumps([1e3 * statistics.median(times) / count, peak_memory()]))


def shots_table(build: str | None, port: Path | None) -> None:
    """Many shots, members of a vmap and a fit, in turn with another build's and the port's."""
    torch_alone = [sys.executable, "-c", "import torch; print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"]
    baseline = float(subprocess.run(torch_alone, capture_output=True, text=True, check=True).stdout) / 1024
    got: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(PORT_REPEATS):
        for python in filter(None, (sys.executable, build)):
            for name in SHOT_RUNS if python == sys.executable else OF_OTHER_BUILD:
                done = subprocess.run([python, __file__, "--shot-child", name], capture_output=True, text=True, check=True)
                got.setdefault((python, name), []).append(json.loads(done.stdout.splitlines()[-1]))
        if port:
            command = [sys.executable, __file__, "--shot-child", ONE_STEP, "--port", str(port)]
            environment = {"NANOBRAGG_DISABLE_COMPILE": "1", "KMP_DUPLICATE_LIB_OK": "TRUE", **os.environ}
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            got.setdefault((str(port), ONE_STEP), []).append(json.loads(done.stdout.splitlines()[-1]))
    print("\n| run | processor ms a shot | MB above torch | other build, ms | ratio |\n|" + " --- |" * 5)
    medians = {key: [statistics.median(values) for values in zip(*rows, strict=True)] for key, rows in got.items()}
    for name in SHOT_RUNS:
        own, memory = medians[sys.executable, name]
        beside = "whole images, one after another" if name == "shots and shoeboxes" else name.replace("64x64, shots", "64x64, loop")
        other = medians.get((build or "", beside))
        cells = ["", ""] if other is None else [f"{other[0]:.2f}", f"{other[0] / own:.0f}"]
        print("| " + " | ".join([name, f"{own:.2f}", f"{memory - baseline:.0f}", *cells]) + " |")
    if port:
        whole, own = medians[str(port), ONE_STEP][0], medians[sys.executable, "shots and shoeboxes"][0]
        print(f"\nThe port: {whole:.0f} ms for a whole image, {whole / own:.0f} times a shot's shoeboxes")


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--memory", action="store_true", help="peak memory of 1024x1024 x 500 domains x 10 phi")
    parser.add_argument("--port", type=Path, help="checkout of the public PyTorch port")
    parser.add_argument("--no-table", action="store_true", help="leave the table of times out")
    parser.add_argument("--shots", action="store_true", help="many shots and shoeboxes")
    parser.add_argument("--build", help="the python of another build, to compare many shots with")
    parser.add_argument("--shot-child", help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, name, repeats = options.child
        child(side, name, int(repeats))
        return
    if options.shot_child:
        shot_child(options.shot_child, options.port)
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
    if options.shots:
        shots_table(options.build, options.port)
    if options.port:
        beside_the_port(options.port)


if __name__ == "__main__":
    main()
