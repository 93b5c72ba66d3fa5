"""Steps per second of the guarded engine on a GPU, and times of the whole command beside the CPU's; prints tables.

    python benchmarks/gpu.py [cuda:i]

1024x1024 pixels, all in double precision. "kernel" is the launch alone, tables and image in the GPU's memory, median of
REPEATS; "engine" adds the copy to the host and the recomputed pixels; "command" is a process of its own, with start-up,
compilation and files.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from nanobragg_numba.command_line import read_command_line
from nanobragg_numba.device_name import gpu_index
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment import derive_experiment
from nanobragg_numba.simulation import PixelEngine

REPEATS = 7
EXAMPLES = Path(__file__).parent.parent / "examples"
COMMON = "-N 5 -distance 100 -detpixels 1024 -oversample 1 -seed 1 -nonoise"
CRYSTALS = {
    "default_F": f"-default_F 100 -cell 100 100 100 90 90 90 -lambda 1 {COMMON}",
    "listed F": f"-mat {EXAMPLES / 'erl.mat'} -hkl {EXAMPLES / 'erl.hkl'} -lambda 0.9768 {COMMON}",
}
STEPS = {
    1: "",
    100: "-mosaic 0.5 -mosaic_domains 10 -phi 5 -osc 1 -phisteps 10",
    10_000: "-mosaic 0.5 -mosaic_domains 100 -phi 5 -osc 1 -phisteps 100",
}
COMMAND = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]


def median_time(action: Callable[[], Any]) -> float:
    """Median of the seconds that ``action`` takes, after one run to warm up."""
    action()
    times = []
    for _ in range(REPEATS):
        started = perf_counter()
        action()
        times.append(perf_counter() - started)
    return statistics.median(times)


def kernel_time(engine: PixelEngine) -> float:
    """Seconds that the kernel takes for the whole image."""
    gpu = engine._gpu

    def launch() -> None:
        gpu.launch(engine.window[2], engine.window[3], -1)
        gpu.wait()

    return median_time(launch)


def engine_time(experiment: Any, device: str) -> tuple[float, int]:
    """Seconds from the tables to the image on the host, and how many pixels the CPU recomputed."""
    engine = PixelEngine(experiment, device=device)
    started = perf_counter()
    for _ in engine.blocks():
        pass
    return perf_counter() - started, engine.recomputed


def command_time(words: list[str], device: str) -> float:
    """Seconds of a process of its own, the second of two: the kernels for the CPU are stored then."""
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            started = perf_counter()
            subprocess.run([*COMMAND, *words, "-device", device], cwd=folder, check=True, capture_output=True)
    return perf_counter() - started


def main(device: str = "cuda:0") -> int:
    """Print the tables; returns the exit status: 2, with one sentence, where there is no such GPU."""
    try:
        index = gpu_index(device)
        if index is None:
            raise InputError("the device must be a GPU: cuda or cuda:i")
        from nanobragg_numba.gpu.device import require_device

        require_device(index)
    except InputError as error:
        print(f"benchmarks/gpu.py: {error}", file=sys.stderr)
        return 2
    from numba import __version__, cuda

    with cuda.gpus[index]:
        card = cuda.current_context().device
    name = card.name.decode() if isinstance(card.name, bytes) else card.name
    print(f"{name}, compute capability {card.compute_capability}, numba {__version__} ({cuda.implementation})\n")
    columns = "crystal|steps a pixel|kernel (ms)|G steps/s|engine (ms)|recomputed pixels|command, GPU (s)|command, CPU (s)".split("|")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for crystal, line in CRYSTALS.items():
        for steps, options in STEPS.items():
            words = f"{line} {options}".split()
            experiment = derive_experiment(read_command_line(words, "c").parameters, "c")
            if experiment.steps != steps:
                raise AssertionError(f"{experiment.steps} steps a pixel instead of {steps}")
            kernel = kernel_time(PixelEngine(experiment, device=device))
            engine, recomputed = engine_time(experiment, device)
            rate = steps * experiment.geometry.fast_pixels * experiment.geometry.slow_pixels / kernel / 1e9
            cells = [crystal, str(steps), f"{kernel * 1e3:.3f}", f"{rate:.1f}", f"{engine * 1e3:.1f}", str(recomputed)]
            print("| " + " | ".join([*cells, f"{command_time(words, device):.2f}", f"{command_time(words, 'cpu'):.2f}"]) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
