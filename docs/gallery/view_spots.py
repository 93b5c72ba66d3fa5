"""nb-view: an image with rings of equal resolution and the spots that its command line predicts."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nanobragg_numba import parameters_from_command_line, poisson_image, simulate, write_smv
from nanobragg_numba.cli.view import main

data = Path(__file__).parents[2] / "examples"
line = (
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 15 -gauss_xtal -mosaic 0.5 -mosaic_dom 30 -fluence 1e27 "
    "-osc 0.5 -phisteps 3 -water 0.2 -distance 90 -detpixels 400 -pixel 0.2 -oversample 2"
)
run = simulate(parameters_from_command_line(line))
counts = np.minimum(poisson_image(run.image, seed=1) + 40, 65535)
with TemporaryDirectory() as folder:
    write_smv(f"{folder}/noise.img", counts, run.experiment)
    main([f"{folder}/noise.img", "--spots", f"{line} -compat spec", "--out", "view_spots.png"])
