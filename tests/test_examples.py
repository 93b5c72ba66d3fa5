"""The examples: the refinements at their quick settings end as close to the truth as the noise allows, the short ones say what is so."""

import importlib.util
import runpy
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from nanobragg_numba import simulate

matplotlib.use("Agg")
NOT_ALONE = ("picture", "page_commands", "cluster", "powder", "rotation_series", "xfel_stills")
"""What others share, and the pictures of pages that tests/test_task_pages.py runs."""
EXAMPLES = Path(__file__).parent.parent / "examples"
GALLERY = Path(__file__).parent.parent / "docs" / "gallery"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_refine_geometry(tmp_path, capsys):
    script = example("refine_geometry")
    by_adam, by_newton, deviation = script.main(["--quick", "--out", str(tmp_path)])
    assert script.misorientation_deg(script.START) > 0.1
    assert script.misorientation_deg(by_newton) < 0.003
    assert ((by_newton - script.TRUE) / deviation).abs().max() < 4.0  # of ten errors
    assert script.misorientation_deg(by_adam) < 0.04
    assert (tmp_path / "refine_geometry.png").stat().st_size > 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("orientation error: start 0.10")


def test_refine_structure_factors(tmp_path, capsys):
    start, end, pulls = example("refine_structure_factors").main(["--quick", "--out", str(tmp_path)])
    assert start > 0.5
    assert end < 0.02
    assert len(pulls) > 50
    assert 0.4 < pulls.abs().median() < 1.2
    assert (tmp_path / "refine_structure_factors.png").stat().st_size > 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("relative error of")


def test_still(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = example("still").run
    image, geometry = run.image, run.geometry
    assert np.array_equal(np.load("still.npy"), image) and image.shape == (512, 512)
    # Bright pixels lie within one fringe of a lattice point: h, k, l of their centres are whole but for 1/N.
    slow, fast = (part[:, None] + 0.5 for part in np.unravel_index(image.ravel().argsort()[-100:], image.shape))
    rays = geometry.pix0 + geometry.pixel_size * (slow * geometry.slow + fast * geometry.fast)
    scattering = rays / np.linalg.norm(rays, axis=1, keepdims=True) - geometry.beam  # at 1 A
    indices = scattering @ np.array([run.experiment.lattice.a, run.experiment.lattice.b, run.experiment.lattice.c]).T
    assert (np.abs(indices - np.rint(indices)) < 1 / np.array((12, 12, 24))).all()
    assert Path("still.png").stat().st_size > 0
    assert capsys.readouterr().out == f"{image.sum():.4g} photons on 512 x 512 pixels\n"


def test_rotation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script = example("rotation")
    assert np.load("rotation.npy").shape == (10, 300, 300)
    assert np.array_equal(simulate(script.scan[7]).image, script.frames[7])
    assert not np.array_equal(script.frames[6], script.frames[7])
    assert len(capsys.readouterr().out.split(":")[1].split()) == 10


def test_gradient():
    script = example("gradient")
    # Against central differences along each axis.
    for axis, slope in enumerate(script.misset.grad.tolist()):
        turn = torch.zeros(3, dtype=torch.float64)
        turn[axis] = 1e-4
        ends = [(script.simulate(script.parameters, misset_deg=t) - script.measured).square().sum() for t in (turn, -turn)]
        assert slope == pytest.approx(((ends[0] - ends[1]) / 2e-4).item(), rel=1e-3)
    assert script.after < script.loss


@pytest.mark.parametrize("name", sorted(path.stem for path in GALLERY.glob("*.py") if path.stem not in NOT_ALONE))
def test_gallery(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(GALLERY)
    runpy.run_path(str(GALLERY / f"{name}.py"))
    width, height = Image.open(f"{name}.png").size
    assert width > 800 and height > 500
