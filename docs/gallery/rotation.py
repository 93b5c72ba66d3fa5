"""Rotation: the crystal turns during the exposure, and each reflection is recorded when it crosses the Ewald sphere."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
from picture import show

from nanobragg_numba import parameters_from_command_line, simulate

data = Path(__file__).parents[2] / "examples"
still = parameters_from_command_line(
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 40 -round_xtal -fluence 1e26 "
    "-distance 80 -detpixels 300 -pixel 0.2 -oversample 2"
)

figure, panels = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
for axes, degrees in zip(panels, (0, 1, 10), strict=True):
    turning = replace(still.sampling, osc_deg=degrees, phisteps=1 + 5 * degrees)
    show(axes, simulate(replace(still, sampling=turning)), least=5, most=2e3, rings=(3, 4, 6))
    axes.set_title(f"rotation of {degrees}°" if degrees else "still")
figure.savefig("rotation.png", dpi=120)
