"""Figures of a GPU: steps per second, batches, whole commands, beside the CPU's and the CUDA C build's; prints tables.

    python benchmarks/gpu.py [--device cuda:i] [--write] [--tiny]

``--write`` puts the tables into docs/performance.md, between its two marks. NB_CUDA_BIN: a CUDA build of the reference
program, whose times then stand beside ours. ``--tiny``: a few pixels and one repeat, to run every line without a GPU
(NUMBA_ENABLE_CUDASIM=1); its figures mean nothing.

"Kernel" is the launch alone, tables and image in the GPU's memory, median of the repeats; "engine" adds the copy to the host and the
recomputed pixels; "command" is a process of its own, with start-up, compilation and files, the second of two.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from nanobragg_numba import Parameters, parameters_from_command_line, simulate_batch
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.derivatives.differentiate import Rendered
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.engine.regions import computed_pixels
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import derive_experiment

ROOT = Path(__file__).parent.parent
EXAMPLES, TABLES = ROOT / "examples", ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks/gpu.py: begin -->", "<!-- benchmarks/gpu.py: end -->"
COMMON = "-N 5 -distance 100 -oversample 1 -seed 1 -nonoise"
CRYSTALS = {
    "default_F": f"-default_F 100 -cell 100 100 100 90 90 90 -lambda 1 {COMMON}",
    "listed F": f"-mat {EXAMPLES / 'erl.mat'} -hkl {EXAMPLES / 'erl.hkl'} -lambda 0.9768 {COMMON}",
}
STEPS = {
    1: "",
    100: "-mosaic 0.5 -mosaic_domains 10 -phi 5 -osc 1 -phisteps 10",
    10_000: "-mosaic 0.5 -mosaic_domains 100 -phi 5 -osc 1 -phisteps 100",
}
DOMAINS = "-mosaic 0.5 -mosaic_domains 1000"
PRECISIONS = ("guarded", "mixed", "single")
CEILING_DEVICE = "H200"
CEILINGS = {"guarded": 176.0, "mixed": 355.0}
"""G steps/s of an H200 by counted instructions; mixed: the middle of 310 to 400."""
C_CEILINGS = {"single": 106.0, "double-float": 76.0}
"""The same of the CUDA C build, 316 and 437 instructions a step."""
PORT_MS = 7.1
"""1024x1024 x 1000 domains by a torch.compile port, in single precision on an RTX 4090."""
COMMAND = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]
Rows = Iterator[Sequence[str]]


@dataclass(frozen=True)
class Setting:
    """How large the benchmark is, and where it runs."""

    device: str
    card: str
    pixels: int = 1024
    steps: tuple[int, ...] = tuple(STEPS)
    stills: int = 1000
    sides: tuple[int, ...] = (256, 2048)
    domains: str = DOMAINS
    repeats: int = 7
    cuda_binary: str | None = None


TINY: dict[str, Any] = {"pixels": 4, "steps": (1,), "stills": 2, "sides": (3, 4), "domains": "-mosaic 0.5 -mosaic_domains 3", "repeats": 1}


def timed(action: Callable[[], Any]) -> float:
    """Seconds that ``action`` takes."""
    started = perf_counter()
    action()
    return perf_counter() - started


def median_time(action: Callable[[], Any], repeats: int) -> float:
    """Median of the seconds that ``action`` takes, after one run to warm up."""
    action()
    return statistics.median(timed(action) for _ in range(repeats))


def experiment_of(words: Sequence[str]) -> Any:
    return derive_experiment(read_command_line(words, "c").parameters, "c")


def kernel_time(experiment: Any, setting: Setting, precision: str) -> float:
    """Seconds that the kernels take for the whole image."""
    engine = PixelEngine(experiment, precision=precision, device=setting.device)  # type: ignore[arg-type]
    gpu = engine._gpu

    def launch() -> None:
        gpu.launch(engine.window[2], engine.window[3], -1)
        gpu.wait()

    return median_time(launch, setting.repeats)


def engine_time(experiment: Any, setting: Setting, precision: str) -> tuple[float, int]:
    """Seconds from the tables to the image on the host, and how many pixels the CPU recomputed."""
    engine = PixelEngine(experiment, precision=precision, device=setting.device)  # type: ignore[arg-type]
    return timed(lambda: [None for _ in engine.blocks()]), engine.recomputed


def command_time(command: Sequence[str], words: Sequence[str]) -> float:
    """Seconds of a process of its own, the second of two: what is kept between runs is there then."""
    seconds = 0.0
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            seconds = timed(lambda folder=folder: subprocess.run([*command, *words], cwd=folder, check=True, capture_output=True))  # type: ignore[misc]
    return seconds


def share(rate: float, precision: str, card: str) -> str:
    """The share of the known ceiling, which only holds for one card."""
    return f"{rate / CEILINGS[precision]:.0%}" if CEILING_DEVICE in card and precision in CEILINGS else "-"


def steps_rows(setting: Setting) -> Rows:
    """Steps per second by crystal, steps a pixel and precision."""
    yield "crystal|steps a pixel|`-precision`|kernel (ms)|G steps/s|of the ceiling|engine (ms)|recomputed pixels".split("|")
    for crystal, line in CRYSTALS.items():
        for steps in setting.steps:
            words = f"{line} -detpixels {setting.pixels} {STEPS[steps]}".split()
            experiment = experiment_of(words)
            if experiment.steps != steps:
                raise AssertionError(f"{experiment.steps} steps a pixel instead of {steps}")
            for precision in PRECISIONS:
                kernel = kernel_time(experiment, setting, precision)
                engine, recomputed = engine_time(experiment, setting, precision)
                rate = steps * setting.pixels**2 / kernel / 1e9
                figures = f"{kernel * 1e3:.3f}", f"{rate:.1f}", share(rate, precision, setting.card), f"{engine * 1e3:.1f}"
                yield crystal, str(steps), precision, *figures, str(recomputed)


def domains_rows(setting: Setting) -> Rows:
    """One still of many mosaic domains."""
    yield "one still, 1000 domains|`-precision`|kernel (ms)|target (ms)|torch.compile port, RTX 4090, single (ms)".split("|")
    words = f"{CRYSTALS['default_F']} -detpixels {setting.pixels} {setting.domains}".split()
    experiment = experiment_of(words)
    for precision in PRECISIONS:
        kernel = kernel_time(experiment, setting, precision)
        target = "12" if precision == "guarded" else "-"
        yield f"{setting.pixels}x{setting.pixels}", precision, f"{kernel * 1e3:.2f}", target, f"{PORT_MS}"


def stills(setting: Setting, side: int) -> list[Parameters]:
    """Crystals in as many orientations."""
    one = parameters_from_command_line(f"{CRYSTALS['default_F']} -detpixels {side} -pixel {102.4 / side}")
    angles = np.random.default_rng(1).uniform(0.0, 360.0, (setting.stills, 3))
    return [replace(one, crystal=replace(one.crystal, misset_deg=tuple(map(float, misset)))) for misset in angles]


def batch_rows(setting: Setting) -> Rows:
    """Images per second of a batch, end to end: from parameters to images in the caller's hands, and to files."""
    yield "batch of stills|`-precision`|images/s|images/s, written".split("|")
    for side in setting.sides:
        parameters = stills(setting, side)

        def images(precision: str, parameters: Sequence[Parameters] = parameters) -> Iterator[np.ndarray]:
            return simulate_batch(parameters, precision=precision, device=setting.device, copy=False)  # type: ignore[arg-type]

        def written(precision: str, images: Callable[[str], Iterator[np.ndarray]] = images) -> None:
            with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "images.f32", "wb", buffering=0) as file:
                for image in images(precision):
                    file.write(image.data)

        for precision in PRECISIONS:
            # The first image compiles.
            next(images(precision))
            plain = timed(lambda images=images, precision=precision: [None for _ in images(precision)])  # type: ignore[misc]
            whole = timed(lambda written=written, precision=precision: written(precision))  # type: ignore[misc]
            yield f"{setting.stills} of {side}x{side}", precision, f"{setting.stills / plain:.0f}", f"{setting.stills / whole:.0f}"


def command_rows(setting: Setting) -> Rows:
    """Whole processes: ours on the GPU and on the CPU, and the CUDA C build's."""
    yield "whole command|steps a pixel|ours, GPU (s)|ours, CPU (s)|CUDA C (s)|CUDA C / ours, GPU".split("|")
    for crystal, line in CRYSTALS.items():
        for steps in setting.steps:
            words = f"{line} -detpixels {setting.pixels} {STEPS[steps]}".split()
            gpu = command_time(COMMAND, [*words, "-device", setting.device])
            cpu = command_time(COMMAND, [*words, "-device", "cpu"])
            c = command_time([setting.cuda_binary], words) if setting.cuda_binary else None
            cells = ("-", "-") if c is None else (f"{c:.2f}", f"{c / gpu:.2f}")
            yield crystal, str(steps), f"{gpu:.2f}", f"{cpu:.2f}", *cells


def c_kernel_rows(setting: Setting) -> Rows:
    """The CUDA C build's kernel: what its process takes longer with many steps than with one. Nothing without the binary."""
    if setting.cuda_binary is None:
        return
    yield "kernel, CUDA C (by difference to one step)|steps a pixel|CUDA C (ms)|CUDA C (G steps/s)|ours, guarded (ms)".split("|")
    line = f"{CRYSTALS['default_F']} -detpixels {setting.pixels}"
    first = command_time([setting.cuda_binary], line.split())
    for steps in setting.steps[1:] or setting.steps:
        words = f"{line} {STEPS[steps]}".split()
        seconds = command_time([setting.cuda_binary], words) - first
        ours = kernel_time(experiment_of(words), setting, "guarded")
        rate = (steps - 1) * setting.pixels**2 / max(seconds, 1e-9) / 1e9
        yield "default_F", str(steps), f"{seconds * 1e3:.1f}", f"{rate:.1f}", f"{ours * 1e3:.2f}"


def derivative_rows(setting: Setting) -> Rows:
    """Forward and backward: the gradients of all the kernels' variables from the image's, and the derivative images of six directions."""
    from numba import cuda

    from nanobragg_numba.derivatives import differentiate
    from nanobragg_numba.gpu.derivatives import DIRECTIONS, DeviceKernels

    yield "derivatives|steps a pixel|forward (ms)|backward (ms)|both / forward|in a fixed result (ms)|6 directions (ms)".split("|")
    index = gpu_index(setting.device) or 0
    for steps in [count for count in setting.steps if count <= 100]:
        words = f"{CRYSTALS['default_F']} -detpixels {setting.pixels} {STEPS[steps]}".split()
        experiment = derive_experiment(read_command_line(words, "spec").parameters, "spec")
        run = Rendered(experiment, computed_pixels(experiment), -1, -1)
        flat = np.concatenate(run.variables)
        directions = np.random.default_rng(1).normal(size=(DIRECTIONS, len(flat))) * np.abs(flat)
        with cuda.gpus[index]:
            gradient = cuda.to_device(np.ones((setting.pixels, setting.pixels)))
        adjoint = partial(differentiate.adjoint, run, flat, run.factors, gradient)
        tangent = partial(differentiate.tangent, run, flat, run.factors, directions, None, DeviceKernels(index))
        forward = kernel_time(experiment, setting, "guarded")
        backward, fixed = (median_time(partial(adjoint, DeviceKernels(index, exact=exact)), setting.repeats) for exact in (False, True))
        six = median_time(tangent, setting.repeats)
        times = [f"{1e3 * seconds:.2f}" for seconds in (forward, backward, fixed, six)]
        yield "1 image", str(steps), *times[:2], f"{1 + backward / forward:.1f}", *times[2:]


SECTIONS: list[Callable[[Setting], Rows]] = [steps_rows, domains_rows, batch_rows, derivative_rows, command_rows, c_kernel_rows]
"""Each gives a table: its head, then its rows."""


def card_name(index: int) -> tuple[str, str]:
    """The card, and what runs it."""
    from numba import __version__, cuda

    from nanobragg_numba.gpu.intrinsics import SIMULATED

    if SIMULATED:
        return "simulator", f"numba {__version__}"
    with cuda.gpus[index]:
        card = cuda.current_context().device
    name = card.name.decode() if isinstance(card.name, bytes) else card.name
    return name, f"compute capability {card.compute_capability}, numba {__version__} ({cuda.implementation})"


def tables(setting: Setting) -> Iterator[str]:
    """The lines of all tables, as they are measured."""
    for section in SECTIONS:
        for number, row in enumerate(section(setting)):
            yield f"| {' | '.join(row)} |"
            if number == 0:
                yield f"|{' --- |' * len(row)}"
        yield ""


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the marks; the file appears whole."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise InputError(f"{path}: holds no lines {BEGIN} and {END}")
    beside = path.with_name(path.name + ".part")
    beside.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    os.replace(beside, path)


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables; returns the exit status: 2, with one sentence, where there is no such GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(";")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {TABLES.name}")
    parser.add_argument("--into", type=Path, default=TABLES, help="another file with the marks")
    parser.add_argument("--tiny", action="store_true", help="a few pixels, to try the program")
    given = parser.parse_args(words)
    try:
        index = gpu_index(given.device)
        if index is None:
            raise InputError("the device must be a GPU: cuda or cuda:i")
        from nanobragg_numba.gpu.device import require_device

        require_device(index)
        card, software = card_name(index)
        if given.tiny:
            # numba's simulator has threads that wait in a loop.
            sys.setswitchinterval(1e-5)
        binary = os.environ.get("NB_CUDA_BIN") or None
        setting = Setting(given.device, card, cuda_binary=binary, **(TINY if given.tiny else {}))
        lines = [
            f"{card}, {software}; C ceilings on an H200: {C_CEILINGS['single']:.0f} and {C_CEILINGS['double-float']:.0f} G steps/s.",
            "",
        ]
        print("\n".join(lines))
        for line in tables(setting):
            print(line, flush=True)
            lines.append(line)
        if given.write:
            put_into(given.into, "\n".join(["", *lines]).rstrip() + "\n")
    except InputError as error:
        print(f"benchmarks/gpu.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
