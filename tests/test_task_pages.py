"""The pages of tasks: their commands and scripts run as they stand, and leave what the page says."""

import csv
import json
import re
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import matplotlib  # noqa: F401  the pages draw with it
import numpy as np
import pytest
from PIL import Image

from nanobragg_numba.batch import run

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "docs" / "gallery"))

from page_commands import run_page  # noqa: E402


def bright(picture):
    """Whether there is a picture, with dark and with light on it."""
    pixels = np.asarray(Image.open(picture).convert("L"))
    return min(pixels.shape) > 450 and pixels.min() < 64 and pixels.max() == 255


def rows(folder):
    with open(folder / "manifest.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert all(row["status"] == "done" and float(row["photons"]) > 0 for row in found)
    return found


def test_rotation_series(tmp_path):
    said = "".join(run_page("rotation-series", tmp_path))
    assert int(re.search(r"(\d+) spots predicted", said)[1]) > 20
    assert bright(tmp_path / "rotation_series.png") and bright(tmp_path / "frame3.png")
    with h5py.File(tmp_path / "rotation" / "run_master.h5") as master:
        assert np.allclose(master["entry/sample/transformations/phi"][()], 0.5 * np.arange(24), atol=1e-12)
        assert master["entry/data/data_000001"].shape == (24, 300, 300)
    assert len(rows(tmp_path / "rotation")) == 24
    assert sorted(path.name for path in (tmp_path / "cbf").glob("*.cbf")) == [f"xtal1_{number:04d}.cbf" for number in range(1, 5)]


def test_xfel_stills(tmp_path):
    said = "".join(run_page("xfel-stills", tmp_path))
    assert bright(tmp_path / "xfel_stills.png") and bright(tmp_path / "shot7.png")
    shots = rows(tmp_path / "stills")
    assert len(shots) == 40 and len({row["misset_seed"] for row in shots}) == 40 and "0 failed" in said
    energies, weights = np.loadtxt(tmp_path / "shot_07.txt", unpack=True)
    with h5py.File(tmp_path / "stills" / "run_master.h5") as master:
        beam = master["entry/instrument/beam"]
        order = np.argsort(12398.42 / energies)
        assert np.allclose(beam["incident_wavelength"][6], (12398.42 / energies)[order], rtol=1e-6)
        assert np.allclose(beam["incident_wavelength_weights"][6], (weights / weights.sum())[order], rtol=1e-6)
    # The rings of that shot are at its own wavelength.
    mean = np.average(12398.42 / energies, weights=weights)
    assert float(re.search(r"mm, ([0-9.]+) A", said)[1]) == pytest.approx(mean, abs=1e-5)


def test_powder(tmp_path):
    pytest.importorskip("pyFAI")
    run_page("powder", tmp_path)
    assert bright(tmp_path / "powder.png")
    angle, height = np.loadtxt(tmp_path / "powder.xy", unpack=True)
    pixel = np.degrees(0.6 / 80)
    # The first rings, which stand apart: Bragg's law, h^2 + k^2 + l^2 = 1 to 6.
    for squares in range(1, 7):
        place = 2 * np.degrees(np.arcsin(0.7 * np.sqrt(squares) / (2 * 4.1569)))
        near = np.abs(angle - place) < 1.8 * pixel
        above = height[near] - height[near].min()
        assert abs(above @ angle[near] / above.sum() - place) < 0.5 * pixel


def test_cluster(tmp_path):
    pytest.importorskip("distributed")
    run_page("cluster", tmp_path)
    assert bright(tmp_path / "cluster.png") and len(rows(tmp_path / "local")) == 48
    summary = json.loads((tmp_path / "local" / "summary.json").read_text())
    assert summary["engine"] == "dask" and summary["workers"] == 2
    asked = json.loads((tmp_path / "local" / "run.json").read_text())
    run(out=tmp_path / "inline", orientations=3, seed=1, base=[*asked["options"], *asked["base"]], engine="inline")
    # An image depends on its row and the seed alone.
    with h5py.File(tmp_path / "inline" / "run_data_000001.h5") as ours, h5py.File(tmp_path / "local" / "run_data_000001.h5") as theirs:
        assert np.array_equal(ours["entry/data/data"][()], theirs["entry/data/data"][:3])
