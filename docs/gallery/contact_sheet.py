"""A contact sheet: stills of one crystal in random orientations."""

from dataclasses import replace
from pathlib import Path

from nanobragg_numba import parameters_from_command_line, simulate_batch
from nanobragg_numba.files.pictures.contact_sheet import contact_sheet

data = Path(__file__).parents[2] / "examples"
still = parameters_from_command_line(
    f"-mat {data / 'erl.mat'} -hkl {data / 'erl.hkl'} -lambda 0.9768 -N 15 -round_xtal -mosaic 0.5 -mosaic_dom 10 -fluence 1e26 "
    "-distance 90 -detpixels 150 -pixel 0.5 -oversample 1"
)
crystals = [replace(still.crystal, misset_deg="random", misset_seed=seed) for seed in range(1, 25)]
images = simulate_batch([replace(still, crystal=crystal) for crystal in crystals])
Path("contact_sheet.png").write_bytes(contact_sheet(images, count=24, columns=6, thumbnail=150))
