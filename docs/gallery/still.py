"""A still: one exposure of a small crystal in a drop of water, counted photon by photon."""

from pathlib import Path

import matplotlib.pyplot as plt
from picture import show

from nanobragg_numba import parameters_from_command_line, poisson_image, simulate

data = Path(__file__).parents[2] / "examples"
parameters = parameters_from_command_line(
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 25 -fluence 1e27 -water 0.15 -polar 0.99 "
    "-distance 100 -detpixels 400 -pixel 0.2 -oversample 3"
)
run = simulate(parameters)
counted = poisson_image(run.image, seed=1)

figure, axes = plt.subplots(figsize=(7.2, 5.6), layout="constrained")
show(axes, run, counted, least=5, most=2000, rings=(3, 4, 6, 12))
axes.set_title(f"a still, {counted.sum():.3g} photons")
figure.savefig("still.png", dpi=120)
