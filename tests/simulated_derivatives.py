"""Run by test_cuda_derivatives.py in a process with NUMBA_ENABLE_CUDASIM=1: the derivatives' kernels on the simulated GPU, and the
torch bridge above them, against the CPU's.

Prints one JSON object.
"""

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from math import fsum
from unittest.mock import patch

import numpy as np
import torch
from numba import cuda
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
from running import GOLDEN

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import places, simulate, simulation
from nanobragg_numba.derivatives import differentiate
from nanobragg_numba.derivatives.cpu import CpuKernels
from nanobragg_numba.derivatives.flat_variables import split
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.engine.rendered import rendered
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.gpu import shared_sums
from nanobragg_numba.gpu.compilation import launch
from nanobragg_numba.gpu.derivatives import DeviceKernels

BASE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 24 -oversample 1 -roi 9 15 8 10"
BASE += " -water 0.012"
ALL = (
    "-polar 0.8 -dispersion 1 -dispsteps 2 -hdivrange 0.3 -hdivsteps 2 -mosaic 0.3 -mosaic_dom 2 -phi 1 -osc 1 -phisteps 2 -oversample 2 "
    "-detector_thick 450 -detector_abs 200 -thicksteps 2 -roi 9 11 8 9"
)
ERL = "-mat erl.mat -hkl erl.hkl -lambda 0.9768 -N 9 -distance 75 -pixel 0.4 -detpixels 64 -oversample 1 -roi 20 25 30 32"
LINES = {
    "one step": BASE,
    "everything": f"{BASE} {ALL}",
    "round": f"{BASE} -round_xtal",
    # Away from the beam: turning the reflection 0 0 0 changes nothing.
    "gauss": f"{BASE} -gauss_xtal -N 2 -pixel 2 -roi 4 9 4 6",
    "tophat": f"{BASE} -tophat_spots -fudge 0.01 -mosaic 1 -mosaic_dom 3",
    "curved": f"{BASE} -curved_det -twotheta 10",
    "resolution cut": f"{BASE} -pixel 12 -dmin 1.2 -roi 8 23 8 9",
    "listed": ERL,
    "tricubic": f"{ERL} -interpolate",
}
CPU_KERNELS = CpuKernels()


def compared(name: str, line: str, compat: str) -> dict:
    """Adjoint, atomic and exact, and tangent along 8 directions, against the CPU's; errors relative to the largest of each quantity."""
    x = derive_experiment(parameters_from_command_line(line, compat), compat)
    engine = PixelEngine(x)
    for _ in engine.blocks():
        pass
    run = rendered(engine)
    random = np.random.default_rng(5)
    grad = random.random(engine.image.shape)
    flat, factors = np.concatenate(run.variables), run.factors
    want, want_factors = differentiate.adjoint(run, flat, factors, grad, CPU_KERNELS)
    errors = {}
    for exact in (False, True):
        got, got_factors = differentiate.adjoint(run, flat, factors, cuda.to_device(grad), DeviceKernels(0, exact=exact))
        pairs = [*zip(split(want, run.variables.sizes), split(got, run.variables.sizes), strict=True)]
        pairs.append((want_factors, got_factors.copy_to_host()))
        worst = [np.abs(a - b).max() / np.abs(a).max() for a, b in pairs if np.any(a)]
        errors["exact" if exact else "adjoint"] = max(worst)
        errors["zeros"] = all(not np.any(b) for a, b in pairs if not np.any(a))
    again, _ = differentiate.adjoint(run, flat, factors, cuda.to_device(grad), DeviceKernels(0, exact=True))
    directions = random.normal(size=(8, len(flat))) * np.abs(flat)
    factors_dot = random.normal(size=(8, *factors.shape)) if factors.size > 1 else None
    images = [
        np.concatenate([image.copy_to_host() if kernels is not CPU_KERNELS else image for image in parts])
        for kernels, change in (
            (CPU_KERNELS, factors_dot),
            (DeviceKernels(0), None if factors_dot is None else cuda.to_device(factors_dot)),
        )
        for parts in [differentiate.tangent(run, flat, factors, directions, change, kernels)]
    ]
    errors["tangent"] = float(np.abs(images[0] - images[1]).max() / np.abs(images[0]).max())
    return {"name": f"{name}, {compat}", "repeats": again.tobytes() == got.tobytes(), **errors}


def exact_sums() -> dict:
    """A thousand numbers of very different size, added in two orders, and what does not fit."""
    random = np.random.default_rng(2)
    values = random.normal(size=1000) * 2.0 ** random.integers(-60, 60, size=1000)
    totals = []
    for order in (values, values[::-1]):
        bins = cuda.to_device(np.zeros((1, shared_sums.BINS), np.int64))
        for value in order:
            shared_sums.add_exactly(bins, 0, value)
        out = cuda.to_device(np.zeros(1))
        launch(shared_sums.exact_totals, 1, bins, out)
        totals.append(float(out[0]))
    bins = cuda.to_device(np.zeros((4, shared_sums.BINS), np.int64))
    for row, value in enumerate((np.inf, 1e300, 2.0**-500, np.nan)):
        shared_sums.add_exactly(bins, row, value)
    out = cuda.to_device(np.zeros(4))
    launch(shared_sums.exact_totals, 4, bins, out)
    return {"totals": totals, "fsum": fsum(values), "odd": [str(value) for value in out.copy_to_host()]}


class SimulatedGpu(places.Gpu):
    """The bridge's GPU, with the CPU's memory in place of its own."""

    def array(self, tensor: torch.Tensor) -> FakeCUDAArray:
        return FakeCUDAArray(tensor.detach().contiguous().numpy())

    def tensor(self, array: FakeCUDAArray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array.copy_to_host()))

    def _stream(self) -> int:
        return 0


VALUES = {
    "phi_deg": 0.1, "misset_deg": (10.0, 20.0, 30.0), "cell": (70.0, 80.0, 90.0, 75.0, 85.0, 95.0), "distance_mm": 100.0,
    "n_cells": (5.0, 5.0, 5.0), "wavelength_A": 1.0, "default_F": 100.0,
}  # fmt: skip


def bridge() -> dict:
    """Images, gradients, forward mode and second derivatives through torch, on the simulated GPU against the CPU."""
    parameters = parameters_from_command_line(f"{BASE} -mosaic 0.3 -mosaic_dom 2", "spec")
    leaves = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in VALUES.items()}
    names = tuple(leaves)

    def image(*tensors: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return simulate(parameters, dtype=dtype, **dict(zip(names, tensors, strict=True)))

    def with_one(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda tensor: image(*(tensor if other == name else leaf for other, leaf in leaves.items()))

    def results() -> dict:
        out: dict = {}
        weights = torch.linspace(0.5, 1.5, 24 * 24, dtype=torch.float64).reshape(24, 24)
        for dtype in (torch.float32, torch.float64):
            shot = image(*leaves.values(), dtype=dtype)
            out[f"image {dtype}"] = shot.detach().float()
            out[f"gradients {dtype}"] = torch.autograd.grad((shot.double() * weights).sum(), list(leaves.values()))
        distance, one = leaves["distance_mm"], torch.ones((), dtype=torch.float64)
        _, out["jvp"] = torch.func.jvp(with_one("distance_mm"), (distance,), (one,))
        out["jacobian"] = torch.func.jacfwd(with_one("cell"))(leaves["cell"])
        out["hessian"] = torch.func.hessian(lambda phi: (with_one("phi_deg")(phi) * weights).sum())(leaves["phi_deg"])
        return out

    cpu = results()
    with patch.object(simulation, "place_of", SimulatedGpu):
        gpu = results()
        torch.use_deterministic_algorithms(True)
        deterministic = results()
        torch.use_deterministic_algorithms(False)
        small = {"phi_deg": leaves["phi_deg"], "misset_deg": leaves["misset_deg"]}
        checked = torch.autograd.gradcheck(
            lambda *tensors: simulate(parameters, **dict(zip(small, tensors, strict=True)))[8:10, 9:12], tuple(small.values()), atol=1e-3
        )

    def error(a, b) -> float:
        if isinstance(a, tuple):
            return max(error(x, y) for x, y in zip(a, b, strict=True))
        return float((a - b).abs().max() / a.abs().max())

    return {
        "same": all(torch.equal(cpu[name], gpu[name]) for name in cpu if name.startswith("image")),
        "errors": {name: error(cpu[name], gpu[name]) for name in cpu},
        "deterministic": {name: error(cpu[name], deterministic[name]) for name in cpu},
        "gradcheck": checked,
    }


def bridge_structure_factors() -> dict:
    """One gradient for each reflection, and an image that the GPU leaves to the CPU."""
    out = {}
    for name, extra in {"nearest": "", "tricubic": " -interpolate"}.items():
        parameters = parameters_from_command_line(f"{ERL}{extra}", "spec")
        table = torch.tensor(parameters.crystal.structure_factors.table, requires_grad=True)

        def gradient(parameters=parameters, table=table) -> torch.Tensor:
            return torch.autograd.grad(simulate(parameters, structure_factors=table).sum(), table)[0]

        want = gradient()
        with patch.object(simulation, "place_of", SimulatedGpu), warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            got = gradient()
        out[name] = {
            "error": float((got - want).abs().max() / want.abs().max()),
            "said": [str(one.message) for one in seen if "computing the image on the CPU" in str(one.message)],
        }
    return out


def main() -> None:
    # The simulator's threads wait for each other in a loop that keeps the interpreter to itself.
    sys.setswitchinterval(1e-4)
    for path in (GOLDEN / "inputs").iterdir():
        shutil.copy(path, ".")
    results = {
        "kernels": [
            *(compared(name, line, compat) for name, line in LINES.items() for compat in ("c", "spec")),
            compared("tensor", f"{LINES['gauss']} -N_cross 0.7,-0.5,0.4", "spec"),
        ],
        "sums": exact_sums(),
        "bridge": bridge(),
        "structure factors": bridge_structure_factors(),
    }
    json.dump(results, sys.stdout)


main()
