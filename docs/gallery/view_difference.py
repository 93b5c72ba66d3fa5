"""nb-view --compare: two images whose crystals differ by a tenth of a degree, and their difference."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.cli.view import main

data = Path(__file__).parents[2] / "examples"
still = parameters_from_command_line(
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 12 -round_xtal -fluence 1e26 "
    "-distance 90 -detpixels 600 -pixel 0.1 -oversample 1"
)
turned = replace(still, crystal=replace(still.crystal, misset_deg=(0.0, 0.0, 0.1)))
with TemporaryDirectory() as folder:
    first, second = f"{folder}/first.npy", f"{folder}/turned.npy"
    simulate(still).save(first), simulate(turned).save(second)
    main([first, "--compare", second, "--roi", "60", "279", "260", "479", "--out", "view_difference.png"])
