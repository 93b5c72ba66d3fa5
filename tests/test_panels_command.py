"""-panels, -expt and -nxmx: what the command writes, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_panels_crystfel import HEAD, PANEL, SECOND
from test_panels_dials import experiment_list

from nanobragg_numba import InputError, parameters_from_command_line, simulate
from nanobragg_numba.cli import trace
from nanobragg_numba.cli.engines import ready_to_run
from nanobragg_numba.cli.nanobragg import main
from nanobragg_numba.files.smv import read as read_smv_image
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.lines.expt_words import expt_parts
from nanobragg_numba.panels.reading import read_panels
from nanobragg_numba.panels.simulate import simulate_panels

CELL = "-cell 79 79 38 90 90 90 -misset 10 20 30 -N 5 -default_F 100 -lambda 1.3"
STATED = HEAD.replace("9537.246", "9537.2461538")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.geom").write_text(STATED + PANEL + SECOND)
    (tmp_path / "one.geom").write_text(STATED + PANEL)
    content = experiment_list(np.random.default_rng(2))
    (tmp_path / "models.expt").write_text(json.dumps(content))
    return tmp_path


def run(line, capfd):
    status = main(line.split())
    said = capfd.readouterr()
    return status, said.out, said.err


@pytest.mark.parametrize("compat", ["c", "spec"])
def test_panels_of_a_file(compat, capfd, folder):
    status, out, err = run(f"{CELL} -oversample 1 -panels two.geom -compat {compat} -floatfile stack.bin -png a.png", capfd)
    assert (status, err) == (0, "")
    expected = simulate_panels(parameters_from_command_line(f"{CELL} -oversample 1"), read_panels("two.geom"), compat=compat)
    np.testing.assert_array_equal(np.fromfile("stack.bin", "<f4").reshape(16, 10), expected.image)
    told = json.loads((folder / "stack.json").read_text())
    assert [panel["name"] for panel in told["panels"]] == ["p", "second"] and told["shape"] == [16, 10]
    assert "2 panels, 16 x 10 pixels" in out and "writing stack.json" in out
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "models.expt", "one.geom", "stack.bin", "stack.json", "two.geom"]


def test_an_image_of_an_experiment(capfd):
    line = "-default_F 100 -N 3 -phisteps 2 -compat spec -quiet"
    assert run(f"-expt models.expt:0:13 {line}", capfd)[0] == 0
    (experiment,) = read_expt("models.expt")
    read = experiment.at_image(13)
    parameters = replace(
        read, crystal=replace(read.crystal, default_F=100, n_cells=(3, 3, 3)), sampling=replace(read.sampling, phisteps=2)
    )  # fmt: skip
    image = simulate_panels(parameters, experiment.detector).image
    assert image.max() > 0
    np.testing.assert_array_equal(np.fromfile("floatimage.bin", "<f4").reshape(image.shape), image)
    first = np.fromfile("floatimage.bin", "<f4")
    assert run(f"-expt models.expt {line}", capfd)[0] == 0
    assert (np.fromfile("floatimage.bin", "<f4") != first).any()


def test_one_panel_makes_all_the_files_of_a_run(capfd):
    """Their headers say where the panel is: reading them makes the image again."""
    status, out, err = run(f"{CELL} -panels one.geom -compat spec -seed 1", capfd)
    assert (status, err) == (0, "") and "writing noiseimage.img" in out
    image = np.fromfile("floatimage.bin", "<f4").reshape(8, 10)
    np.testing.assert_array_equal(simulate_panels(parameters_from_command_line(CELL), read_panels("one.geom")).image, image)
    again = simulate(parameters_from_command_line(f"{CELL} -img intimage.img"))
    np.testing.assert_allclose(again.image, image, rtol=1e-6)


def test_one_panel_in_c(capfd):
    """The position is that of the file, and the header has it, although -compat c has no use for -pix0_vector."""
    status, _, err = run(f"{CELL} -oversample 1 -panels one.geom -compat c -seed 1", capfd)
    assert (status, err) == (0, "")
    keys = read_smv_image("intimage.img", "-img").keys
    # The corner is 5 pixels against x and 4 along y from the beam; slow runs against y.
    assert float(keys["ADXV_CENTER_X"]) == pytest.approx(5000 / 9090.91, rel=1e-5)
    assert float(keys["DENZO_X_BEAM"]) == pytest.approx(4000 / 9090.91, rel=1e-5)
    assert float(keys["DISTANCE"]) == pytest.approx(91.5)


def test_quirks_that_touch_panels_are_told(capfd):
    status, _, err = run(f"{CELL} -panels two.geom -oversample 2 -phi 0 -osc 1 -phisteps 2", capfd)
    assert status == 0 and re.findall(r"Q\d+", err) == ["Q1", "Q4", "Q5"]


def test_a_camera_length_for_a_file_without(capfd, folder):
    (folder / "kept.geom").write_text(STATED.replace("91.5 mm", "/LCLS/z") + PANEL + SECOND)
    assert run(f"{CELL} -panels kept.geom -distance 91.5 -floatfile kept.bin", capfd)[0] == 0
    assert run(f"{CELL} -panels two.geom -floatfile two.bin", capfd)[0] == 0
    assert (folder / "kept.bin").read_bytes() == (folder / "two.bin").read_bytes()


def test_another_wavelength_is_told(capfd):
    assert "wavelength of 1.3 A; the image is made with 1.2 A" in run(f"{CELL} -lambda 1.2 -panels two.geom", capfd)[2]


REFUSED = {
    f"{CELL} -panels two.geom -distance 100": "has a camera length of its own",
    f"{CELL} -panels two.geom -pixel 0.1": "-pixel: -panels two.geom says that",
    f"{CELL} -panels two.geom -mosflm": "-mosflm: -panels two.geom says that",
    f"{CELL} -panels two.geom -roi 0 1 0 1": "-roi: -panels two.geom says that",
    f"{CELL} -panels two.geom -beam_vector 0 0 1": "-beam_vector: -panels",
    f"{CELL} -panels two.geom -noisefile n.img": "-noisefile: is about an image of one plane",
    f"{CELL} -panels two.geom -adc 0": "-adc: is about an image of one plane",
    f"{CELL} -panels two.geom -floatfile two.geom": "this run would replace what it reads",
    f"{CELL} -panels two.geom -floatfile a.json": "only the one written last would be left",
    f"{CELL} -panels two.txt": "the suffix .txt names no format",
    f"{CELL} -panels none.geom": "none.geom: no such file",
    f"{CELL} -panels models.expt -distance 9": "-distance: -panels models.expt says where",
    f"{CELL} -panels two.geom -nxmx a.img": "-nxmx a.img: give it a name that ends in .nxs or .h5",
    f"{CELL} -panels two.geom -expt models.expt": "both say where the panels are",
    "-expt models.expt -default_F 1 -lambda 1": "-lambda: -expt models.expt says that",
    "-expt models.expt -default_F 1 -cell 10": "-cell: -expt models.expt says that",
    "-expt models.expt -default_F 1 -osc 1": "-osc: -expt models.expt says that",
    "-expt models.expt:1 -default_F 1": "holds 1 experiments, counted from 0, and none of number 1",
    "-expt models.expt:0:15 -default_F 1": "has images 11 to 14, not 15",
    "-expt models.expt:0:11:2 -default_F 1": "models.expt:0: no such file",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_is_refused(line, capfd, folder):
    before = sorted(path.name for path in folder.iterdir())
    status, out, err = run(f"{line} -strict" if "-floatfile" in line else line, capfd)
    assert status == 2 and out == "" and REFUSED[line] in err and err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_several_experiments_and_none_with_a_crystal(capfd, folder):
    content = experiment_list(np.random.default_rng(2))
    content["experiment"].append({key: value for key, value in content["experiment"][0].items() if key != "crystal"})
    (folder / "more.expt").write_text(json.dumps(content))
    assert "holds several experiments: say which one, as -expt more.expt:0" in run("-expt more.expt -default_F 1", capfd)[2]
    assert "experiment 1 has no crystal; -panels" in run("-expt more.expt:1 -default_F 1", capfd)[2]
    assert run("-expt more.expt:0 -default_F 1", capfd)[0] == 0


def test_the_other_commands_refuse_what_they_would_not_heed(capfd):
    for read in (lambda words: ready_to_run(words.split()), lambda words: trace._read_words(words.split(), None)):
        with pytest.raises(InputError, match="-panels is of the command nanoBragg alone"):
            read(f"{CELL} -panels two.geom")


def test_parts_of_an_experiment(folder):
    (folder / "odd:3").write_text("")
    assert expt_parts("a.expt") == ("a.expt", None, None)
    assert expt_parts("a.expt:2") == ("a.expt", 2, None)
    assert expt_parts("a.expt:2:30") == ("a.expt", 2, 30)
    assert expt_parts("odd:3") == ("odd:3", None, None) and expt_parts("odd:3:4") == ("odd:3", 4, None)


def test_commands_of_the_page_run(capfd, folder):
    root = Path(__file__).parent.parent
    (folder / "examples").symlink_to(root / "examples")
    lines = [line for line in (root / "docs/detectors.md").read_text().splitlines() if line.startswith("nanoBragg ")]
    assert len(lines) == 2
    for line in lines:
        status, out, _ = run(line.removeprefix("nanoBragg "), capfd)
        assert status == 0 and "4 panels, 200 x 240 pixels" in out
    images = {name: np.fromfile(name, "<f4").reshape(200, 240) for name in ("panels.bin", "image.bin")}
    assert all(image.max() > 100 * np.median(image) for image in images.values())
    # The beam stop of the geometry is masked, in the list made from it too.
    assert 50 < (images["panels.bin"] == 0).sum() == (images["image.bin"] == 0).sum()


def test_structure_factors_are_needed(capfd):
    status, out, _ = run("-expt models.expt", capfd)
    assert status == 9 and "no hkl file" in out
