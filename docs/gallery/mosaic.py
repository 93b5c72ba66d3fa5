"""Mosaicity: domains turned against each other by small random angles smear spots along the circles, and bring up more of them."""

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
from picture import show

from nanobragg_numba import parameters_from_command_line, simulate

data = Path(__file__).parents[2] / "examples"
perfect = parameters_from_command_line(
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 40 -round_xtal -fluence 1e27 "
    "-distance 80 -detpixels 600 -pixel 0.1 -oversample 2 -roi 300 599 0 299"
)

figure, panels = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
for axes, degrees in zip(panels, (0, 0.5, 2), strict=True):
    crystal = replace(perfect.crystal, mosaic_spread_deg=degrees, mosaic_domains=1 + round(100 * degrees))
    show(axes, simulate(replace(perfect, crystal=crystal)), least=5, most=2e3, rings=(3, 4, 6))
    axes.set(title=f"mosaic spread {degrees}°" if degrees else "one domain", xlim=(30, 60), ylim=(30, 0))
figure.savefig("mosaic.png", dpi=120)
