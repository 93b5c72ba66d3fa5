"""Several crystals on one image: each with its orientation, size and scale."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_stills import GAIN, OFFSET, READOUT, angle_between, noisy, true_parameters, turn

from nanobragg_numba import InputError, autograd, parameters_from_command_line, simulate
from nanobragg_numba.cli.refine import main
from nanobragg_numba.cli.refine_input import read_starts
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.dials_writing import write_expt
from nanobragg_numba.refinement import Settings, fit, measured
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

REST = "-default_F 60 -oversample 1 -gauss_xtal -N 10"
LINE = f"-cell 40 44 50 90 90 90 -lambda 1.2 -distance 40 -detpixels 64 -pixel 0.6 {REST}"
TURNS = ([10.0, 40.0, 70.0], [80.0, 15.0, 30.0])
N_CELLS = ((10.0, 10.0, 10.0), (14.0, 12.0, 11.0))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pair():
    """The two crystals, one a third as bright as the other, the counts of their image, and starts that are off."""
    random = np.random.default_rng(3)
    truth = []
    for angles, cells, peak in zip(TURNS, N_CELLS, (3000.0, 1000.0), strict=True):
        p = true_parameters(f"{LINE} -misset 0 0 0", starting_model(parameters_from_command_line(
            f"{LINE} -misset {' '.join(map(str, angles))}")).orientation, peak)  # fmt: skip
        truth.append(replace(p, crystal=replace(p.crystal, n_cells=cells)))
    counts = noisy(sum(simulate(p).image.astype(float) for p in truth), 5.0, random)
    starts = []
    for p in truth:
        model = starting_model(p).parameters
        crystal = replace(model.crystal, orientation=turn([0.03, -0.02, 0.02]) @ model.crystal.orientation, n_cells=(11.0, 11.0, 11.0))
        starts.append(replace(model, crystal=crystal, beam=replace(model.beam, fluence=0.8 * model.beam.fluence)))
    return truth, counts, starts


def test_two_crystals_come_back(pair):
    truth, counts, starts = pair
    shot = measured(counts, gain=GAIN, offset=OFFSET, readout=READOUT)
    settings = Settings(refine=("orientation", "scale", "n_cells"), per_shot=("n_cells",), start_error=0.0, most_spots=80)
    fitted = fit([shot], [starts], settings)
    assert len(fitted.free.rows) == 2 * 7 and len(fitted.target.targets) == 1 and fitted.free.images == (0, 0)
    assert fitted.squares / fitted.freedom == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / fitted.freedom))
    for number, (one, parameters) in enumerate(zip(truth, fitted.parameters, strict=True)):
        own = [n for n, row in enumerate(fitted.free.rows) if row.shot == number]
        assert str(fitted.free.rows[own[0]]) == f"orientation x (shot 1, crystal {number + 1})"
        assert angle_between(parameters.crystal.orientation, starting_model(one).orientation) < 0.01
        values = [fitted.values[n] for n in own if fitted.free.rows[n].name == "n_cells"]
        sigmas = [fitted.sigmas[n] for n in own if fitted.free.rows[n].name == "n_cells"]
        assert (np.abs(np.array(values) - one.crystal.n_cells) < 4.0 * np.array(sigmas)).all() and max(sigmas) < 1.0
        assert parameters.beam.fluence / one.beam.fluence == pytest.approx(1.0, abs=0.1)


def test_the_image_is_that_of_shots_with_crystals(pair):
    """Of three images, the second of two crystals: views, their parts, and ``autograd.simulate``'s own sum over crystals."""
    _, _, starts = pair
    models = [starting_model(starts[n]) for n in (0, 0, 1, 1)]
    free = free_parameters(models, ("orientation", "scale", "cell"), cell_constraint("P 1"), images=(0, 1, 1, 2))
    assert [(view.image, len(view.pieces), len(view.columns)) for view in free.views] == [(0, 1, 10), (1, 2, 14), (2, 1, 10)]
    vector = free.start + 0.05 * free.priors() * np.random.default_rng(1).normal(size=len(free.start))
    view = free.views[1]
    overrides = view.overrides(torch.from_numpy(vector[view.columns]))
    stacked = {name: torch.stack([own[name] for own in overrides]) for name in overrides[0]}
    wanted = autograd.simulate([piece.parameters for piece in view.pieces], shot=[0, 0], **stacked)[0].numpy()
    found = sum(simulate(p).image.astype(float) for p in free.of_view(1, vector))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * wanted.max())


def test_crystals_of_the_command(pair, tmp_path, monkeypatch, capsys):
    """Two lines for one image; what is written is a list of two experiments that the command starts from again."""
    monkeypatch.chdir(tmp_path)
    truth, counts, _ = pair
    np.save("pair.npy", counts)
    lines = [f"{LINE} -misset {' '.join(f'{a + 0.01:g}' for a in angles)}" for angles in TURNS]
    lines = [f"{line} -fluence {p.beam.fluence:.6g}" for line, p in zip(lines, truth, strict=True)]
    (tmp_path / "starts.txt").write_text(f"{lines[0]}\n+ {lines[1]}\n")
    words = ["--refine", "orientation,scale,n_cells", "--per-shot", "n_cells", "--start-error", "0", "--spots", "60", "--no-pictures"]
    words += ["--gain", str(GAIN), "--offset", str(OFFSET), "--readout", str(READOUT)]
    assert main(["pair.npy", "--lines", "starts.txt", *words, "--out", "one"]) == 0, capsys.readouterr().err
    assert "scale (shot 1, crystal 2)" in capsys.readouterr().out
    results = json.loads((tmp_path / "one" / "refined.json").read_text())
    assert [(row["shot"], row["crystal"]) for row in results["parameters"]] == [(0, 0)] * 3 + [(0, 1)] * 3 + [(0, 0), (0, 1)] + [
        (0, 0)
    ] * 3 + [(0, 1)] * 3
    read = read_expt(tmp_path / "one" / "shot_0001.expt")
    assert len(read) == 2 and read[0].imageset == read[1].imageset == 0 and [shot["crystal"] for shot in results["shots"]] == [0, 1]
    for experiment, p, shot in zip(read, truth, results["shots"], strict=True):
        real = experiment.parameters.crystal.real_space_matrix
        np.testing.assert_allclose(np.linalg.norm(real, axis=-1), [40.0, 44.0, 50.0], atol=1e-6)
        # Rows are the axes: of right angles the orientation's columns.
        away = (np.array(real) / [[40.0], [44.0], [50.0]]).T
        np.testing.assert_allclose(away, shot["orientation"], atol=1e-8)
        assert angle_between(away, starting_model(p).orientation) < 0.02
    starts = read_starts([f"{REST} -fluence 1e24"], None, "one/shot_0001.expt", 1)
    assert [len(own) for own in starts] == [2]
    expt = ["--expt", "one/shot_0001.expt", "--line", f"{REST} -fluence {truth[0].beam.fluence:.6g}"]
    assert main(["pair.npy", *expt, *words, "--out", "two"]) == 0
    again = json.loads((tmp_path / "two" / "refined.json").read_text())
    for one, other in zip(results["shots"], again["shots"], strict=True):
        assert angle_between(np.array(one["orientation"]), np.array(other["orientation"])) < 0.01


def test_which_crystals_are_an_images(tmp_path):
    line = f"{LINE} -misset 1 2 3"
    assert [len(own) for own in read_starts([line, f"+{line}", line], None, None, 2)] == [2, 1]
    for lines, says in (
        ([f"+{line}", line], "begins with \\+, and there is no image before it"),
        ([line, f"+{line}"], "1 starting models for 2 images"),
    ):
        with pytest.raises(InputError, match=says):
            read_starts(lines, None, None, 2)
    path = tmp_path / "three.expt"
    write_expt(path, [parameters_from_command_line(line)] * 3, image="still.cbf")
    assert [len(own) for own in read_starts([REST], None, str(path), 1)] == [3]
    assert [len(own) for own in read_starts([REST], None, str(path), 3)] == [1, 1, 1]
    with pytest.raises(InputError, match="holds 3 experiments of 1 images, and there are 2 images"):
        read_starts([REST], None, str(path), 2)
    with pytest.raises(InputError, match="no line begins with \\+"):
        read_starts([REST, f"+{REST}"], None, str(path), 1)


def test_crystals_that_are_not_of_one_image():
    every = ("", "-distance 41", "-lambda 1.3", "-misset 9 9 9", "-polar 0.5", "-nopolar", "-polar_vector 0 1 0", "-point_pixel")
    every += ("-oversample 2", "-osc 1 -phisteps 2", "-water 10")
    models = [starting_model(parameters_from_command_line(f"{LINE} {words}")) for words in every]
    for other in (1, 2, 4, 5, 6, 7, 8, 9):
        with pytest.raises(InputError, match="shot 1, crystal 2: has another detector, beam, rotation or sampling than"):
            free_parameters([models[0], models[other]], ("orientation",), cell_constraint("P 1"), images=(0, 0))
    with pytest.raises(InputError, match=r"shot 1, crystal 2: background .* would be added for each of the image's crystals"):
        free_parameters([models[0], models[10]], ("orientation",), cell_constraint("P 1"), images=(0, 0))
    together = [models[0], models[3]]
    with pytest.raises(InputError, match="shot 1 has several crystals: distance_mm cannot be each one's own"):
        free_parameters(together, ("orientation", "distance_mm"), cell_constraint("P 1"), ("distance_mm",), images=(0, 0))
    free = free_parameters(together, ("orientation", "distance_mm"), cell_constraint("P 1"), images=(0, 0))
    assert len(free.rows) == 7 and len(free.views) == 1
