"""Run by test_cuda_simulator.py in a process with NUMBA_ENABLE_CUDASIM=1: many comparisons of the simulated GPU with the exact CPU engine.

Prints one JSON object: a list of results for each group of cases.
"""

import hashlib
import json
import math
import shutil
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numba import cuda
from running import GOLDEN

from nanobragg_numba import InputError, simulate
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.parameters import SHAPES
from nanobragg_numba.gpu import device, image_engine, intrinsics
from nanobragg_numba.gpu.coverage import gpu_error_bound

BASE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 7 -lambda 1 -distance 100 -detpixels 24 -oversample 1 -roi 9 12 8 10"
SOURCES = "-dispersion 1 -dispsteps 2 -hdivrange 0.3 -hdivsteps 2"
LAYERS = "-detector_thick 450 -detector_abs 200 -thicksteps 2"
ERL = "-mat erl.mat -hkl erl.hkl -lambda 0.9768 -N 9 -distance 75 -pixel 0.4 -detpixels 64 -oversample 1 -roi 20 23 30 32"
LINES = {
    "sources": f"{BASE} {SOURCES}",
    "mosaic": f"{BASE} -mosaic 0.3 -mosaic_dom 4 -phi 3 -osc 0.5 -phisteps 3",
    "sub-pixels": f"{BASE} -oversample 2 -water 30",
    "layers": f"{BASE} {LAYERS} -oversample 2",
    "all of them": f"{BASE} {SOURCES} {LAYERS} -mosaic 0.3 -mosaic_dom 2 -oversample 2 -polar 0.9 -water 20",
    "polarization": f"{BASE} -polar 1 -oversample 2",
    "an oblique axis": f"{BASE} -polar 0.7 -polar_vector 0 1 1",
    "listed structure factors": f"{ERL} -polar 0.5",
    "gauss": f"{BASE} -gauss_xtal -fudge 1.3",
    "tophat": f"{BASE} -tophat_spots -fudge 0.01 -mosaic 1 -mosaic_dom 5",
    "resolution cut": f"{BASE} -pixel 12 -dmin 1.2 -oversample 2 {SOURCES} -roi 8 23 8 8",
    "point pixels": f"{BASE} -point_pixel -twotheta 20",
    "switches": f"{BASE} {LAYERS} {SOURCES} -polar 0.9 -oversample 2 -oversample_thick -oversample_polar -oversample_omega",
    "wide angles": f"{BASE} -polar 1 -pixel 20 -roi 0 23 12 12 -detector_roty 70",
    "strong absorption": f"{BASE} -detector_thick 1200 -detector_abs 1 -thicksteps 2",
}
SWITCHED = f"{LINES['switches']} -water 20"
CPU_LINES = {
    "round crystal": f"{BASE} -round_xtal",
    "interpolation": f"{ERL} -interpolate",
    "curved detector": f"{BASE} -curved_det -oversample 1",
    "thin layers": f"{BASE} -detector_thick 1e-9 -detector_abs 1e3 -thicksteps 2",
}


def experiment_of(words: list[str], compat: str) -> Experiment:
    return derive_experiment(read_command_line(words, compat).parameters, compat)  # type: ignore[arg-type]


def image_of(x: Experiment, **options) -> tuple[np.ndarray, PixelEngine]:
    engine = PixelEngine(x, **options)
    for _ in engine.blocks():
        pass
    return engine.image, engine


def compared(name: str, x: Experiment, recorded: tuple[int, int, float] | None = None) -> dict:
    image, engine = image_of(x, device="cuda")
    exact, exact_engine = image_of(x, precision="exact")
    doubles, _ = image_of(x, dtype=np.float64, precision="double", device="cuda")
    want, _ = image_of(x, dtype=np.float64, precision="exact")
    usable = np.isfinite(want) & (want != 0.0)
    error = np.max(np.abs(doubles[usable] - want[usable]) / np.abs(want[usable]), initial=0.0)
    return {
        "name": name,
        "same": image.tobytes() == exact.tobytes(),
        "pixels": int(engine.computed.sum()),
        "bright": int((exact > 0.0).sum()),
        "recomputed": engine.recomputed,
        "reason": engine.cpu_reason,
        "share": float(error) / gpu_error_bound(x.tables),
        "omega": engine.solid_angle_sum / exact_engine.solid_angle_sum - 1.0,
        "recorded": recorded is None or bool(image[recorded[:2]] == recorded[2]),
        "printed_omega": engine.printed_solid_angle() == exact_engine.printed_solid_angle(),
    }


def recorded_cases(folder: Path, compat: str, most_steps: float) -> list[dict]:
    """Every recorded run of so few steps, cropped to its brightest pixel and those before it.

    The whole image is the guarded engine's, once its bytes have the recorded checksum.
    """
    results = []
    for case in json.loads((folder / "cases.json").read_text()):
        x = experiment_of(case["args"], compat)
        if x.steps * x.tables.detector.layers > most_steps:
            continue
        image, _ = image_of(x)
        slow, fast = map(int, np.unravel_index(np.argmax(image), image.shape))
        # Its neighbours come first: the first pixel of a run has other angles (Q1).
        crop = ["-roi", *map(str, (max(fast - 1, 0), fast, max(slow - 1, 0), slow))]
        result = compared(case["name"], experiment_of([*case["args"], *crop], compat), (slow, fast, image[slow, fast]))
        result["recorded"] &= hashlib.sha256(image.tobytes()).hexdigest() in {want["sha256"] for want in case["files"].values()}
        # The fraction that a sensor of no thickness absorbs, once it is computed, is zero.
        result["absorbs"] = x.tables.detector.thickness != 0.0 or not x.tables.rules.each_thick
        detector, _, crystal, rules = x.tables
        result["dark"] = not image.any()
        result["unproven"] = bool(detector.curved or rules.interpolate or crystal.shape == SHAPES.index("round"))
        results.append(result)
    return results


def boundary() -> dict:
    """A pixel put on a rounding boundary, by scaling the fluence."""
    words = BASE.split()
    parameters = read_command_line(words, "spec").parameters
    doubles, _ = image_of(derive_experiment(parameters), dtype=np.float64, precision="exact")
    value = doubles.max()
    below = np.float32(value)
    half_way = (float(below) + float(np.nextafter(below, np.float32(np.inf)))) / 2
    moved = replace(parameters, beam=replace(parameters.beam, fluence=parameters.beam.fluence * half_way / value))
    return compared("boundary", derive_experiment(moved))


def python_interface() -> dict:
    parameters = read_command_line(CPU_LINES["round crystal"].split(), "spec").parameters
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        simulate(parameters, device="cuda:0")
    flat = read_command_line(BASE.split(), "spec").parameters
    same = simulate(flat, device="cuda").image.tobytes() == simulate(flat).image.tobytes()
    return {"warning": [str(w.message) for w in seen if w.category is RuntimeWarning and "device" in str(w.message)], "same": same}


def refusals() -> dict[str, str]:
    """What is said where the GPU cannot do it."""
    x = experiment_of(BASE.split(), "spec")
    said = {}

    def refused(name: str, **options) -> None:
        try:
            PixelEngine(x, **options)
        except InputError as error:
            said[name] = str(error)

    refused("index", device="cuda:5")
    refused("name", device="gpu")
    little = type("Context", (), {"get_memory_info": lambda self: type("Memory", (), {"free": 1000})()})
    with patch.object(device.cuda, "current_context", little):
        refused("memory", device="cuda")
    for name, text in {
        "no driver": "CUDA driver library cannot be found.",
        "no device": "CUDA_ERROR_NO_DEVICE (100)",
        "old driver": "CUDA_ERROR_INSUFFICIENT_DRIVER",
        "no toolkit": "",
    }.items():
        with patch.object(device.cuda, "is_available", lambda: False), patch.object(device.cuda, "cuda_error", lambda text=text: text):
            refused(name, device="cuda")

    def failing(*arguments) -> None:
        raise device.driver.CudaAPIError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    with patch.object(image_engine.cuda, "to_device", failing):
        refused("allocation", device="cuda")
    return said


def shared_by_both_threads() -> list[int]:
    """Blocks of two threads that each write one of two shared numbers, in a simulator that is slow to allocate them."""

    def slow(frame, event, argument):
        if frame.f_code.co_name not in ("array", "shared_array"):
            return None
        time.sleep(0.005)
        return slow

    @cuda.jit
    def sums(out):  # type: ignore[no-untyped-def]
        both = cuda.shared.array(2, np.int64)
        both[cuda.threadIdx.x] = 1000 * cuda.blockIdx.x + 1
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            out[cuda.blockIdx.x] = both[0] + both[1]

    out = np.zeros(5, np.int64)
    threading.settrace(slow)
    sums[5, 2](out)
    threading.settrace(None)
    return [int(value) for value in out]


def main() -> None:
    # The simulator's threads wait for each other in a loop that keeps the interpreter to itself.
    sys.setswitchinterval(1e-4)
    for path in (GOLDEN / "inputs").iterdir():
        shutil.copy(path, ".")
    x, y = 1.0 + 2.0**-30, 1.0 - 2.0**-31
    results = {
        "golden": recorded_cases(GOLDEN, "c", 70),
        "fixed": recorded_cases(GOLDEN / "fixed", "c-fixed", math.inf),
        "switched spots": [compared(shape, experiment_of(f"{SWITCHED} -{shape}_xtal".split(), "c-fixed")) for shape in ("square", "gauss")],
        "lines": [
            *(
                compared(f"{name}, {compat}", experiment_of(line.split(), compat))
                for name, line in LINES.items()
                for compat in ("c", "spec")
            ),
            *(
                compared(f"tensor, {shape}", experiment_of(f"{LINES[shape]} -N_cross 2,-1.5,3".split(), "spec"))
                for shape in ("gauss", "tophat")
            ),
        ],
        "cpu": [compared(name, experiment_of(line.split(), "spec")) for name, line in CPU_LINES.items()],
        "boundary": boundary(),
        "python": python_interface(),
        "refusals": refusals(),
        "shared": shared_by_both_threads(),
        "fma": float(intrinsics.fma(x, y, -(x * y))),
    }
    json.dump(results, sys.stdout)


main()
