"""Processor time of Gaussian spots of a spectrum and a mosaic crystal, 100 wavelengths x 20 domains: images and gradients, one thread.

    python benchmarks/reached.py [PIXELS]

prints a table for crystals of 10, 50 and 200 cells along each axis. Run it with the build to compare with, too, in turn.
"""

import statistics
import sys
from time import process_time

import torch

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate

REPEATS = 3
LINE = (
    "-default_F 100 -cell 79 79 38 90 90 90 -misset 10 20 30 -lambda 1 -dispersion 1 -dispsteps 100 -distance 150 -pixel 0.1 "
    "-oversample 1 -mosaic 0.5 -mosaic_domains 20 -fluence 1e24 -gauss_xtal"
)
CELLS = (10, 50, 200)


def seconds(cells: int, pixels: int) -> tuple[float, float, float]:
    """Of the image, of the gradients of orientation and cell from it, and of a directional derivative."""
    parameters = parameters_from_command_line(f"{LINE} -N {cells} -detpixels {pixels}")
    turns = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64, requires_grad=True)
    cell = torch.tensor([79.0, 79.0, 38.0, 90.0, 90.0, 90.0], dtype=torch.float64, requires_grad=True)
    started = process_time()
    image = simulate(parameters, misset_deg=turns, cell=cell, dtype=torch.float32)
    forward = process_time()
    image.sum().backward()  # type: ignore[no-untyped-call]
    backward = process_time()
    torch.func.jvp(
        lambda turns: simulate(parameters, misset_deg=turns, dtype=torch.float32), (turns.detach(),), (torch.ones(3, dtype=torch.float64),)
    )
    return forward - started, backward - forward, process_time() - backward


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    pixels = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    print("| cells | image (s) | ns/step | gradients (s) | jvp, image with it (s) |\n| --- | --- | --- | --- | --- |")
    for cells in CELLS:
        seconds(cells, 16)
        image, gradients, change = (
            statistics.median(column) for column in zip(*(seconds(cells, pixels) for _ in range(REPEATS)), strict=True)
        )
        print(f"| {cells} | {image:.2f} | {image / pixels**2 / 2000 * 1e9:.3f} | {gradients:.2f} | {change:.2f} |", flush=True)


if __name__ == "__main__":
    main()
