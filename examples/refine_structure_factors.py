"""Refine the structure factors of some 200 reflections against one noisy rotation image, one gradient a reflection.

All start at one common value; the fit maximises the Poisson likelihood of all pixels with L-BFGS. Each structure factor moves in units
of its own expected standard deviation, for which one more gradient suffices: with the intensity of spot i proportional to F_i^2,
a count of n_i photons tells F_i to F_i / (2 sqrt(n_i)).

    python examples/refine_structure_factors.py [--out FOLDER] [--quick]

Ten seconds on two cores; the first run also compiles, for about a minute.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch

from nanobragg_numba import parameters_from_command_line, poisson_image
from nanobragg_numba.autograd import simulate

LINE = (
    f"-hkl {Path(__file__).parent / 'erl.hkl'} -cell 53.91 23.1 23.1 90 110.4 90 -misset 20 40 60 -Na 10 -Nb 20 -Nc 20 -lambda 1 "
    "-fluence 1e28 -water 1e-6 -distance {distance} -detpixels {pixels} -pixel 0.4 -oversample 1 -phi 0 -osc {osc} -phisteps {steps}"
)
PHOTONS = 100
"""A reflection counts as recorded when so many photons are expected in its spot."""


def with_beam_stop(parameters, radius_mm=3.0):
    """The same experiment without the pixels around the direct beam."""
    fast, slow = parameters.detector.pixels
    y, x = np.mgrid[:slow, :fast] - np.array([slow - 1, fast - 1]).reshape(2, 1, 1) / 2
    mask = np.hypot(x, y) * parameters.detector.pixel_size_mm > radius_mm
    return replace(parameters, detector=replace(parameters.detector, mask=mask))


def image_of(parameters, table):
    """Expected photons in each pixel outside the beam stop for a table of structure factors (h, k, l)."""
    image = simulate(parameters, structure_factors=table, dtype=torch.float32)
    return image[torch.as_tensor(parameters.detector.mask)].double()


def photons(parameters, table):
    """Photons expected from each reflection: dI/dF F / 2, summed over the image."""
    slope = torch.func.grad(lambda F: image_of(parameters, F).sum())(table)
    return slope * table / 2


def refine(parameters, data, start, truth, recorded, iterations):
    """The refined table; every line of output is an evaluation."""
    unit = torch.where(recorded, start / (2 * photons(parameters, start).sqrt()), 0.0)
    z = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.LBFGS([z], lr=1.0, max_iter=iterations, line_search_fn="strong_wolfe", tolerance_change=1e-3)
    count = iter(range(1000))

    def closure():
        optimizer.zero_grad()
        table = start + unit * z
        loss = torch.nn.functional.poisson_nll_loss(image_of(parameters, table), data, log_input=False, reduction="sum")
        loss.backward()
        print(f"{next(count):3d}  -log likelihood {loss.item():14.1f}  relative error {error(table.detach(), truth, recorded):.4f}")
        return loss

    optimizer.step(closure)
    return (start + unit * z).detach().abs()  # the image knows F only up to its sign


def error(table, truth, recorded):
    """Root mean square of the error over that of the true values, for the recorded reflections."""
    return float((table.abs() - truth)[recorded].norm() / truth[recorded].norm())


def draw(parameters, data, truth, table, deviation, recorded, out):
    """The data, and refined against true structure factors."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5))
    picture = np.full(parameters.detector.mask.shape, np.nan)
    picture[parameters.detector.mask] = data
    left.imshow(picture, vmax=np.nanquantile(picture, 0.99), cmap="gray_r")
    left.set_title("data (photons)")
    right.plot([0, truth[recorded].max()], [0, truth[recorded].max()], "k-", lw=0.5)
    right.errorbar(truth[recorded], table[recorded], deviation[recorded], fmt=".")
    right.set(xlabel="true F", ylabel="refined F", title=f"{int(recorded.sum())} reflections")
    figure.tight_layout()
    figure.savefig(out / "refine_structure_factors.png", dpi=120)


def main(arguments=None):
    """Run the refinement; returns start and end error, and the errors in standard deviations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("refine_structure_factors"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller image of fewer reflections")
    options = parser.parse_args(arguments)
    sizes = (
        {"pixels": 96, "distance": 50, "osc": 4, "steps": 20} if options.quick else {"pixels": 192, "distance": 100, "osc": 16, "steps": 80}
    )
    parameters = with_beam_stop(parameters_from_command_line(LINE.format(**sizes)))
    truth = torch.tensor(parameters.crystal.structure_factors.table)
    data = torch.as_tensor(poisson_image(image_of(parameters, truth).numpy()[None], seed=1)[0])
    flat = torch.where(truth > 0.0, 50.0, 0.0)  # which reflections the centring forbids is known
    recorded = photons(parameters, flat) > PHOTONS
    print(f"{int(recorded.sum())} reflections recorded, {data.sum():.3g} photons, brightest pixel {data.max():.0f}")
    started = perf_counter()
    table = refine(parameters, data, flat, truth, recorded, 10 if options.quick else 40)
    print(f"took {perf_counter() - started:.1f} s")
    deviation = table / (2 * photons(parameters, table).sqrt())
    pulls = ((table - truth) / deviation)[recorded]
    print(f"errors in units of their expected standard deviation: median size {pulls.abs().median():.2f} (0.67 expected)")
    options.out.mkdir(parents=True, exist_ok=True)
    draw(parameters, data, truth, table, deviation, recorded, options.out)
    ends = error(flat, truth, recorded), error(table, truth, recorded)
    print(f"relative error of {int(recorded.sum())} structure factors: start {ends[0]:.3f}, end {ends[1]:.4f}")
    return *ends, pulls


if __name__ == "__main__":
    main()
