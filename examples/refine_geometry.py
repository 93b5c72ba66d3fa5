"""Refine orientation, cell and detector distance against one noisy rotation image, pixel by pixel.

Ten numbers: three missetting angles, six cell parameters, the distance. The start is 0.1 degree off in orientation. The fit maximises the
Poisson likelihood of all pixels, in two ways: Adam on its gradient (reverse mode), and Gauss-Newton with weights
1/variance, whose Jacobian ``torch.func.jacfwd`` computes in one pass over the image (forward mode).

    python examples/refine_geometry.py [--out FOLDER] [--quick]

Half a minute on two cores; the first run also compiles, for two minutes.
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

from nanobragg_numba import Crystal, Sampling, parameters_from_command_line, poisson_image
from nanobragg_numba.autograd import simulate

# A long wavelength and a close detector: scattering out to 45 degrees, where a change of distance no longer looks like one of the cell.
LINE = (
    f"-hkl {Path(__file__).parent / 'erl.hkl'} -cell 53.91 23.1 23.1 90 110.4 90 -misset 20 40 60 -Na 10 -Nb 20 -Nc 20 -lambda 2.5 "
    "-fluence 3e27 -water 3e-6 -distance 50 -detpixels {pixels} -pixel {size} -oversample 1 -phi 0 -osc 1 -phisteps {steps} "
    "-mosaic 0.3 -mosaic_domains {domains}"
)
NAMES = ("misset x", "misset y", "misset z", "a", "b", "c", "alpha", "beta", "gamma", "distance")
TRUE = torch.tensor((20.0, 40.0, 60.0, 53.91, 23.1, 23.1, 90.0, 110.4, 90.0, 50.0), dtype=torch.float64)
START = TRUE + torch.tensor((0.077, -0.077, 0.077, 0.1, -0.04, 0.04, 0.05, -0.05, 0.05, 0.1), dtype=torch.float64)
UNIT = torch.tensor((0.03, 0.03, 0.03, 0.05, 0.02, 0.02, 0.03, 0.03, 0.03, 0.05), dtype=torch.float64)
"""How far off each may be: the unit in which Adam steps, and in which the damping of Gauss-Newton counts."""


def with_beam_stop(parameters, radius_mm=5.0):
    """The same experiment without the pixels around the direct beam."""
    fast, slow = parameters.detector.pixels
    y, x = np.mgrid[:slow, :fast] - np.array([slow - 1, fast - 1]).reshape(2, 1, 1) / 2
    mask = np.hypot(x, y) * parameters.detector.pixel_size_mm > radius_mm
    return replace(parameters, detector=replace(parameters.detector, mask=mask))


def image_at(parameters, x):
    """Expected photons in each pixel outside the beam stop, at the ten numbers ``x``."""
    image = simulate(parameters, misset_deg=x[:3], cell=x[3:9], distance_mm=x[9], dtype=torch.float32)
    return image[torch.as_tensor(parameters.detector.mask)].double()


def misorientation_deg(x):
    """Angle of the rotation between the orientation of ``x`` and the true one."""
    cubes = [Crystal(cell=(1, 1, 1, 90, 90, 90), misset_deg=tuple(y[:3].tolist())) for y in (x, TRUE)]
    one, other = (np.reshape(cube.rotated_real_vectors(Sampling())[0], (3, 3)) for cube in cubes)
    return float(np.degrees(2 * np.arcsin(np.linalg.norm(one - other) / 8**0.5)))


def report(method, n, loss, x):
    """One line of progress."""
    print(
        f"{method} {n:3d}  -log likelihood {loss:.1f}  orientation off by {misorientation_deg(x):.5f}, distance by {x[9] - TRUE[9]:+.4f} mm"
    )


def numbers_at(z):
    """The ten numbers at steps ``z`` from the start; cell edges grow with the distance, so that the spots stay where they are.

    A longer distance and a larger cell look alike, but for large angles. Adam, which steps along each coordinate by itself, would
    creep along the valley between the two; Gauss-Newton does not need this.
    """
    x = START + UNIT * z
    return torch.cat([x[:3], x[3:6] * (x[9] / START[9]), x[6:]])


def adam(parameters, data, iterations):
    """Reverse mode: one gradient of all parameters an iteration."""
    z = torch.zeros(len(START), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([z], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    path = []
    for n in range(iterations):
        x = numbers_at(z)
        loss = torch.nn.functional.poisson_nll_loss(image_at(parameters, x), data, log_input=False, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        report("Adam", n, loss.item(), x.detach())
        path.append(x.detach())
        optimizer.step()
        schedule.step()
    return torch.stack([*path, numbers_at(z).detach()])


def gauss_newton(parameters, data, iterations):
    """Forward mode: image and Jacobian in one pass; Levenberg-Marquardt damping. Also returns the covariance at the end."""

    def likelihood(image):
        return torch.nn.functional.poisson_nll_loss(image, data, log_input=False, reduction="sum")

    x, damping = START, 1.0
    path = [x]
    for n in range(iterations):
        jacobian, image = torch.func.jacfwd(lambda y: (image_at(parameters, y),) * 2, has_aux=True)(x)
        report("Gauss-Newton", n, likelihood(image).item(), x)
        weighted = jacobian / image[:, None]  # a count's variance is its expectation
        information = weighted.T @ jacobian
        gradient = weighted.T @ (data - image)
        while True:
            step = torch.linalg.solve(information + damping * torch.diag(UNIT**-2), gradient)
            if likelihood(image_at(parameters, x + step)) <= likelihood(image) or damping > 1e12:
                break
            damping *= 10
        x, damping = x + step, damping / 10
        path.append(x)
    return torch.stack(path), torch.linalg.inv(information)


def draw(paths, parameters, data, model, out):
    """The data, what the model leaves of it, and the way of both methods."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5))
    seen = parameters.detector.mask
    pictures = np.full((2, *seen.shape), np.nan)
    pictures[:, seen] = data, (data - model) / model.sqrt()
    left.imshow(pictures[0], vmax=np.nanquantile(pictures[0], 0.995), cmap="gray_r")
    left.set_title("data (photons)")
    middle.imshow(pictures[1], vmin=-4, vmax=4, cmap="coolwarm")
    middle.set_title("(data - refined model) / standard deviation")
    for name, path in paths.items():
        right.semilogy([misorientation_deg(x) for x in path], ".-", label=name)
    right.set(xlabel="iteration", ylabel="orientation error (degrees)")
    right.legend()
    figure.tight_layout()
    figure.savefig(out / "refine_geometry.png", dpi=120)


def main(arguments=None):
    """Run both refinements; returns their end points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("refine_geometry"), help="folder for the figure")
    parser.add_argument("--quick", action="store_true", help="a smaller image and fewer iterations, too few for Adam to arrive")
    options = parser.parse_args(arguments)
    sizes = (
        {"pixels": 104, "size": 1.0, "steps": 5, "domains": 3} if options.quick else {"pixels": 160, "size": 0.65, "steps": 5, "domains": 4}
    )
    parameters = with_beam_stop(parameters_from_command_line(LINE.format(**sizes)))
    data = torch.as_tensor(poisson_image(image_at(parameters, TRUE).numpy()[None], seed=1)[0])
    print(f"{data.numel()} pixels, {data.sum():.3g} photons, brightest pixel {data.max():.0f}, median {data.median():.0f}")
    started = perf_counter()
    by_adam = adam(parameters, data, 50 if options.quick else 250)
    middle = perf_counter()
    by_newton, covariance = gauss_newton(parameters, data, 6)
    print(f"Adam took {middle - started:.1f} s, Gauss-Newton {perf_counter() - middle:.1f} s")
    deviation = covariance.diagonal().sqrt()
    print(f"{'':10s}{'true':>10s}{'start':>10s}{'Adam':>10s}{'G.-Newton':>10s}{'std. dev.':>10s}")
    for row in zip(NAMES, TRUE, START, by_adam[-1], by_newton[-1], deviation, strict=True):
        print(f"{row[0]:10s}" + "".join(f"{value:10.4f}" for value in row[1:]))
    correlation = covariance[9] / deviation / deviation[9]
    print("the distance correlates with " + ", ".join(f"{NAMES[i]} {correlation[i]:+.2f}" for i in (3, 4, 5)))
    options.out.mkdir(parents=True, exist_ok=True)
    draw({"Adam": by_adam, "Gauss-Newton": by_newton}, parameters, data, image_at(parameters, by_newton[-1]), options.out)
    ends = misorientation_deg(by_adam[-1]), misorientation_deg(by_newton[-1])
    print(f"orientation error: start {misorientation_deg(START):.4f} degrees; end {ends[0]:.5f} (Adam), {ends[1]:.5f} (Gauss-Newton)")
    return by_adam[-1], by_newton[-1], deviation


if __name__ == "__main__":
    main()
