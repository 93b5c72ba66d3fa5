"""Processor time of Gaussian spots of a spectrum and a mosaic crystal, 100 wavelengths x 20 domains: images and gradients, one thread.

    python benchmarks/reached.py [PIXELS]

prints a table for crystals of 10, 50 and 200 cells along each axis. Run it with the build to compare with, too, in turn. Then images and
60 shoeboxes of 15x15 pixels, with and without the search and, where NB_C_BIN names the reference built with gcc -O3, beside that: of STRIPS
of 8 rows of it, by the number of pixels, for its whole image takes minutes.
"""

import os
import statistics
import sys
from time import process_time

import numba
import numpy as np
import torch
from modes import c_time

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.kernels.reach import spots as reach
from nanobragg_numba.prediction.spots import spots

REPEATS = 3
LINE = (
    "-default_F 100 -cell 79 79 38 90 90 90 -misset 10 20 30 -lambda 1 -dispersion 1 -dispsteps 100 -distance 150 -pixel 0.1 "
    "-oversample 1 -mosaic 0.5 -mosaic_domains 20 -fluence 1e24 -gauss_xtal"
)
CELLS = (10, 50, 200)
SMALL = (50, 200)
STRIPS = 4


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


def kernel_seconds(line: str, compat: str, boxes: np.ndarray | None, searched: bool = True) -> float:
    """Of the guarded kernels alone, with one thread."""
    experiment = derive_experiment(parameters_from_command_line(line, compat), compat)  # type: ignore[arg-type]
    kept, reach.WORTH_WHILE = reach.WORTH_WHILE, reach.WORTH_WHILE if searched else 0.0
    engine = PixelEngine(experiment, threads=1, regions=boxes)
    reach.WORTH_WHILE = kept
    assert engine.reach.used == searched
    started = process_time()
    for _ in engine.blocks():
        pass
    return process_time() - started


def shoeboxes(line: str, pixels: int) -> np.ndarray:
    """(60, 4) around the spots of which most is on the image."""
    found = spots(parameters_from_command_line(line))
    slow, fast = np.floor(found.centre[np.argsort(-found.partiality)][:60]).astype(np.int64).T
    corners = np.clip(np.stack([fast - 7, slow - 7]), 0, pixels - 15)
    return np.stack([corners[0], corners[0] + 15, corners[1], corners[1] + 15], axis=1)


def c_seconds(line: str, pixels: int) -> float:
    """Of C's image, from STRIPS of 8 rows; what a run takes beside its pixels is known from one row."""

    def rows(first: int, last: int) -> float:
        return c_time(os.environ["NB_C_BIN"], [*line.split(), "-nonoise", "-roi", "0", str(pixels - 1), str(first), str(last)])

    starts = [pixels * (2 * strip + 1) // (2 * STRIPS) for strip in range(STRIPS)]
    return sum(rows(start, start + 7) - rows(start, start) for start in starts) * pixels / (7 * STRIPS)


def images(pixels: int) -> None:
    """Print the table of images and shoeboxes."""
    print("| mode, cells | C (s) | image (s) | C / image | shoeboxes, searched (ms) | not searched (ms) | ratio |\n" + "|" + " --- |" * 7)
    numba.set_num_threads(1)
    for cells in SMALL:
        for compat in ("c", "spec"):
            line = f"{LINE} -N {cells} -detpixels {pixels}"
            boxes = shoeboxes(line, pixels)
            kernel_seconds(f"{LINE} -N {cells} -detpixels 16", compat, None)
            turns = [
                (
                    c_seconds(line, pixels) if "NB_C_BIN" in os.environ else np.nan,
                    kernel_seconds(line, compat, None),
                    kernel_seconds(line, compat, boxes),
                    kernel_seconds(line, compat, boxes, searched=False),
                )
                for _ in range(REPEATS)
            ]
            c, image, searched, every = (statistics.median(column) for column in zip(*turns, strict=True))
            print(
                f"| {compat}, {cells} | {c:.0f} | {image:.3f} | {c / image:.0f} | {searched * 1e3:.1f} | {every * 1e3:.0f} "
                f"| {every / searched:.0f} |", flush=True,
            )  # fmt: skip


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    pixels = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    print("| cells | image (s) | ns/step | gradients (s) | jvp, image with it (s) |\n| --- | --- | --- | --- | --- |")
    for cells in CELLS:
        seconds(cells, 16)
        image, gradients, change = (
            statistics.median(column) for column in zip(*(seconds(cells, pixels) for _ in range(REPEATS)), strict=True)
        )
        print(f"| {cells} | {image:.2f} | {image / pixels**2 / 2000 * 1e9:.3f} | {gradients:.2f} | {change:.2f} |", flush=True)
    images(pixels)


if __name__ == "__main__":
    main()
