"""nb-refine: two noisy stills from starts that are off, and the brightest shoeboxes beside their models."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nanobragg_numba import parameters_from_command_line, simulate, write_smv
from nanobragg_numba.cli.refine import main

random = np.random.default_rng(1)
known = "-default_F 60 -lambda 1.2 -detpixels 320 -pixel 0.15 -oversample 1 -gauss_xtal -fluence 2e28"
with TemporaryDirectory() as name:
    folder = Path(name)
    starts = []
    for number, (x, y, z) in enumerate([(10, 40, 70), (35, 5, 60)]):
        true = simulate(parameters_from_command_line(f"{known} -cell 45 55 65 90 90 90 -N 6 -distance 60 -misset {x} {y} {z}"))
        counts = np.rint(2.0 * random.poisson(true.image + 5.0) + random.normal(10.0, 3.0, true.image.shape))
        write_smv(folder / f"still{number}.img", np.clip(counts, 0, 65534).astype(np.uint16), true.experiment)
        starts.append(f"{known} -cell 45.1 54.9 65.1 90 90 90 -N 7 -distance 60.1 -misset {x + 0.06} {y - 0.05} {z + 0.04}")
    (folder / "starts.txt").write_text("\n".join(starts))
    words = [str(folder / "still0.img"), str(folder / "still1.img"), "--lines", str(folder / "starts.txt"), "--space-group", "P 21 21 21"]
    words += ["--refine", "orientation,scale,cell,n_cells,distance_mm", "--gain", "2", "--offset", "10", "--readout", "3"]
    assert main([*words, "--out", str(folder / "out")]) == 0
    shutil.copy(folder / "out" / "shoeboxes.png", "shoeboxes.png")
