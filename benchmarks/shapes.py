"""Forward and backward, and a jvp, over forward for every shape of crystal, with and without a list of structure factors; prints a table.

Processor time of one thread, shortest of REPEATS in turn: 256x256 pixels, 20 mosaic domains x 10 phi steps, the float32 image alone,
the image with the gradients of 15 numbers, and the image with its derivative along one direction of these.
Gaussian spots are of 10 cells, so large that every step is computed; the list is not refined.

    NUMBA_NUM_THREADS=1 python benchmarks/shapes.py
"""

from dataclasses import replace
from functools import partial
from time import process_time

import numpy as np
import torch

from nanobragg_numba import Parameters, from_arrays, parameters_from_command_line
from nanobragg_numba.autograd import simulate

REPEATS = 5
LINE = "-cell 40 45 50 80 90 100 -default_F 100 -lambda 1 -N 10 -distance 100 -detpixels 256 -pixel 0.2 -oversample 1 "
LINE += "-mosaic 0.3 -mosaic_domains 20 -phi 0 -osc 1 -phisteps 10 "
REFINED = {
    "cell": (40.0, 45.0, 50.0, 80.0, 90.0, 100.0), "misset_deg": (1.0, 2.0, 3.0), "n_cells": (10.0, 10.0, 10.0), "distance_mm": 100.0,
    "mosaic_spread_deg": 0.3, "fluence": 1e24, "wavelength_A": 1.0,
}  # fmt: skip
CASES = {
    "square": ("-nointerpolate", False), "square, list": ("-nointerpolate", True), "gauss": ("-nointerpolate -gauss_xtal", False),
    "gauss, list": ("-nointerpolate -gauss_xtal", True), "round": ("-nointerpolate -round_xtal", False),
    "round, list": ("-nointerpolate -round_xtal", True), "tricubic": ("-interpolate", True),
}  # fmt: skip


def image(parameters: Parameters, values: dict[str, torch.Tensor]) -> torch.Tensor:
    """Of numbers that are refined."""
    found: torch.Tensor = simulate(parameters, dtype=torch.float32, **values)
    return found


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    indices = np.stack(np.meshgrid(*[np.arange(-30, 31)] * 3, indexing="ij"), -1).reshape(-1, 3)
    factors = from_arrays(indices, np.random.default_rng(1).uniform(10.0, 100.0, len(indices)))
    print("| crystal | image (s) | image and gradients (s) | ratio | image and jvp (s) | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for name, (words, listed) in CASES.items():
        parameters = parameters_from_command_line(LINE + words)
        if listed:
            parameters = replace(parameters, crystal=replace(parameters.crystal, structure_factors=factors))
        alone, both, ahead = [], [], []
        for _ in range(REPEATS):
            started = process_time()
            simulate(parameters, dtype=torch.float32)
            alone.append(process_time() - started)
            started = process_time()
            tensors = {key: torch.tensor(value, dtype=torch.float64, requires_grad=True) for key, value in REFINED.items()}
            simulate(parameters, dtype=torch.float32, **tensors).sum().backward()
            both.append(process_time() - started)
            started = process_time()
            values = {key: tensor.detach() for key, tensor in tensors.items()}
            torch.func.jvp(partial(image, parameters), (values,), ({key: 1e-3 * value for key, value in values.items()},))
            ahead.append(process_time() - started)
        cells = [name, f"{min(alone):.3f}"]
        for times in (both, ahead):
            cells += [f"{min(times):.3f}", f"{min(times) / min(alone):.1f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
