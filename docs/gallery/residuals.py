"""How the residuals of a refined still are spread: the Python side of nb-refine."""

from pathlib import Path

import numpy as np

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.cli.refine_pictures import residual_figure
from nanobragg_numba.refinement import Settings, fit, measured

line = "-default_F 60 -lambda 1.2 -detpixels 160 -pixel 0.3 -oversample 1 -gauss_xtal -fluence 2e28 -cell 45 55 65 90 90 90 -distance 60"
image = simulate(parameters_from_command_line(f"{line} -N 12 -misset 10 40 70")).image
counts = np.random.default_rng(1).poisson(image + 5.0)
start = parameters_from_command_line(f"{line} -N 13 -misset 10.05 39.95 70.05")
found = fit([measured(counts)], [start], Settings(refine=("orientation", "scale", "n_cells")))
Path("residuals.png").write_bytes(residual_figure(found))
