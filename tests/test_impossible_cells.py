"""A cell that encloses no volume: refused, but in "c" beside a matrix, where its edges and volume count as in the reference."""

import math
import os
import subprocess

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import Crystal, InputError, Parameters, simulate

BINARY = os.environ.get("NB_C_BIN")
REST = "-default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 16 -seed 1 -oversample 1".split()
CELLS = ["10 20 30 100 120 150", "10 10 10 150 10 10", "70 80 90 179 1 90", "10 20 30 200 120 150"]
MATRIX = "0.01 0.002 0\n-0.001 0.012 0.001\n0 0.001 0.014\n"


def volume_of(cell: str) -> float:
    """abc sqrt|1 - cos^2 - cos^2 - cos^2 + 2 cos cos cos|: of the absolute value, which is negative where the edges do not close."""
    a, b, c, *angles = map(float, cell.split())
    x, y, z = (math.cos(math.radians(angle)) for angle in angles)
    return a * b * c * math.sqrt(abs(1 - x * x - y * y - z * z + 2 * x * y * z))


@pytest.mark.parametrize("cell", CELLS)
def test_c_takes_its_volume_beside_a_matrix(cell, tmp_path, capfdbinary):
    folder = tmp_path / "numba"
    folder.mkdir()
    (folder / "a.mat").write_text(MATRIX)
    words = ["-cell", *cell.split(), "-mat", "a.mat", *REST]
    run = nanobragg(words, folder, capfdbinary)
    assert run.status == 0
    printed = next(line for line in run.stdout.decode().splitlines() if line.startswith("volume = "))
    assert float(printed.split()[2]) == pytest.approx(volume_of(cell), rel=1e-5)
    if BINARY:
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "a.mat").write_text(MATRIX)
        c = subprocess.run([BINARY, *words], cwd=tmp_path / "c", capture_output=True, timeout=60)
        assert (c.returncode, c.stdout) == (0, run.stdout)
        assert {p.name: p.read_bytes() for p in (tmp_path / "c").iterdir()} == run.files()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("words", ["-compat spec -mat a.mat", "-compat spec", "-compat c"])
def test_it_is_refused_otherwise(words, cell, tmp_path, capfdbinary):
    (tmp_path / "a.mat").write_text(MATRIX)
    run = nanobragg(["-cell", *cell.split(), *words.split(), *REST], tmp_path, capfdbinary)
    assert run.status == 2 and "-cell" in run.stderr and "encloses no volume" in run.stderr
    assert run.files(["a.mat"]) == {}


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
def test_an_edge_of_nothing_is_refused_beside_a_matrix_too(compat):
    crystal = Crystal(cell=(0.0, 20.0, 30.0, 90.0, 90.0, 90.0), mosflm_matrix=np.diag((0.01, 0.012, 0.014)), default_F=1.0)
    with pytest.raises(InputError, match="edge a must be positive"):
        simulate(Parameters(crystal), compat=compat)
