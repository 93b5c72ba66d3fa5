"""Ten large images beside a reference binary, byte for byte: where small ones would hide a difference.

The binary is named by NB_C_BIN (nanoBragg.c built without OpenMP).
"""

import os
import shutil
import subprocess

import pytest
from running import GOLDEN, describe_difference, nanobragg

BINARY = os.environ.get("NB_C_BIN")
CUBIC = "-default_F 100 -cell 100 100 100 90 90 90 -lambda 1 -distance 100 -oversample 1"
# The direct beam in the middle of a pixel, where h = k = l = 0 and every sine is zero.
CENTRED = "-mosflm -Xbeam 102.4 -Ybeam 102.4"
ERL = "-mat erl.mat -lambda 0.9768 -oversample 1 -pixel 0.1"
LINES = {
    "N 5, on a pixel centre": f"{CUBIC} -N 5 {CENTRED}",
    "N 1000, on a pixel centre": f"{CUBIC} -N 1000 {CENTRED}",
    "N 37, triclinic, polarized, sources": (
        "-default_F 50 -cell 70 80 90 75 85 95 -misset 10 20 30 -N 37 -oversample 1 -lambda 1.2 -distance 150 "
        "-polar 0.9 -dispersion 2 -dispsteps 3"
    ),
    "N 300, listed": f"{ERL} -hkl erl.hkl -N 300 -distance 75 -polar 0.8",
    "N 20, listed over default_F": (
        f"{ERL} -hkl erl.hkl -default_F 30 -N 20 -distance 100 -phi 10 -osc 1 -phisteps 2 -mosaic 0.5 -mosaic_dom 3"
    ),
    "round, N 10, on a pixel centre": f"{CUBIC} -round_xtal -N 10 {CENTRED} -polar 0.99",
    "round, N 400, listed": f"{ERL} -hkl erl.hkl -round_xtal -Na 400 -Nb 100 -Nc 250 -distance 75",
    "gauss, N 15": f"{CUBIC} -gauss_xtal -N 15 -mosaic 0.2 -mosaic_dom 2",
    "tophat, N 12": f"{CUBIC} -tophat_spots -N 12 -phi 0 -osc 0.5 -phisteps 3",
    "tricubic, inside the table": f"{ERL} -hkl erl.hkl -interpolate -N 25 -distance 900",
}


def images(words: list[str]) -> list[str]:
    # The noise generator is serial and has tests of its own.
    return [*words, "-detpixels", "2048", "-nonoise", "-nopgm", "-seed", "1"]


@pytest.mark.skipif(not BINARY, reason="NB_C_BIN does not name a reference binary")
@pytest.mark.parametrize("name", LINES)
def test_a_large_image_has_the_same_bytes(name, tmp_path, capfdbinary):
    words = images(LINES[name].split())
    inputs = ["erl.mat", "erl.hkl"]
    theirs = tmp_path / "c"
    theirs.mkdir()
    for file in inputs:
        shutil.copy(GOLDEN / "inputs" / file, theirs)
    subprocess.run([BINARY, *words], cwd=theirs, capture_output=True, timeout=600, check=True)
    run = nanobragg([*words, "-threads", "2"], tmp_path / "numba", capfdbinary, inputs)
    assert run.status == 0, run.stderr
    got = run.files(inputs)
    want = {path.name: path.read_bytes() for path in theirs.iterdir() if path.name not in inputs}
    assert sorted(got) == sorted(want)
    wrong = [file for file in want if got[file] != want[file]]
    assert not wrong, f"{wrong} differ; {describe_difference(got['floatimage.bin'], want['floatimage.bin'], 2048)}"
    if "-interpolate" in words:
        assert b"further warnings will not be printed" not in run.stdout
