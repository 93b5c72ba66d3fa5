"""A rotation series: ten images of one degree each, from structure factors and an orientation matrix in files."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nanobragg_numba import parameters_from_command_line, simulate_batch

here = Path(__file__).parent
first = parameters_from_command_line(
    f"-mat {here / 'erl.mat'} -hkl {here / 'erl.hkl'} -lambda 0.9768 -N 40 -distance 80 -detpixels 300 -pixel 0.2 -oversample 1 "
    "-osc 1 -phisteps 5 -fluence 1e26"
)
scan = [replace(first, sampling=replace(first.sampling, phi_deg=float(phi))) for phi in range(10)]
frames = np.stack(list(simulate_batch(scan)))
np.save("rotation.npy", frames)
print("photons in each frame:", *(f"{frame.sum():.4g}" for frame in frames))
