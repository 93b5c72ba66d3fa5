"""nb-batch of a DIALS experiment list: an image a row, each that of the single command, and what is refused."""

import copy
import csv
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_runs import content
from running import nanobragg
from test_panels_dials import experiment_list

from nanobragg_numba import Crystal, Detector, Parameters, Sampling
from nanobragg_numba.batch import run
from nanobragg_numba.cli.jobs import main
from nanobragg_numba.errors import InputError
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.simulate import simulate_panels

BASE = "-default_F 100 -N 3 -oversample 1 -fluence 1e24 -nonoise"


def four_panels(seed=2):
    """Four panels in a group, a goniometer, and a scan of the images 11 to 14."""
    return experiment_list(np.random.default_rng(seed), panels=4)


def two_stills():
    """Two experiments without a scan: one detector written twice, two lattices."""
    listed = four_panels()
    first = listed["experiment"][0]
    del first["scan"]
    listed["crystal"].append({**listed["crystal"][0], "real_space_a": [0.0, 61.0, 3.0]})
    listed["detector"].append(copy.deepcopy(listed["detector"][0]))
    listed["experiment"].append({**first, "crystal": 1, "detector": 1})
    return listed


def scan_of_three():
    listed = four_panels()
    listed["scan"][0] = {"image_range": [7, 9], "oscillation": [20.0, 0.4]}
    return listed


def one_panel():
    listed = scan_of_three()
    detector = listed["detector"][0]
    detector["panels"] = detector["panels"][:1]
    detector["hierarchy"]["children"][0]["children"] = [{"panel": 0}]
    return listed


@pytest.fixture
def save(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda listed, name="models.expt": (tmp_path / name).write_text(json.dumps(listed))


def manifest(folder):
    with open(Path(folder) / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


LISTS = {"stills": (two_stills, ["0:1", "1:1"]), "scan": (scan_of_three, ["0:7", "0:8", "0:9"])}


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("kind", LISTS)
def test_each_image_is_that_of_the_single_command(kind, compat, save, tmp_path, capfdbinary):
    listed, names = LISTS[kind]
    save(listed())
    base = f"{BASE} -compat {compat} -phisteps 2" if kind == "scan" else f"{BASE} -compat {compat}"
    words = {"base": base, "format": "float", "engine": "inline", "seed": 1}
    run(expt="models.expt", out="run", **words)
    run([{"expt": f"models.expt:{name}"} for name in names], out="table", **words)
    rows, images = manifest("run"), set()
    assert [row["status"] for row in rows] == ["done"] * len(names)
    for row, name in zip(rows, names, strict=True):
        line = shlex.split(row["command"])
        assert line[line.index("-expt") + 1] == f"{tmp_path}/models.expt:{name}"
        single = nanobragg(f"-expt ../models.expt:{name} {base}".split(), tmp_path / "single", capfdbinary).files()["floatimage.bin"]
        assert single == nanobragg(line[1:], tmp_path / "again", capfdbinary).files()["floatimage.bin"]
        for folder in ("run", "table"):
            assert (tmp_path / folder / row["file"]).read_bytes() == single
        images.add(single)
        assert float(row["brightest"]) == np.frombuffer(single, "<f4").max() > 0
    assert len(images) == len(names)


def test_the_master_has_a_module_a_panel(save, tmp_path):
    h5py, nxmx = pytest.importorskip("h5py"), pytest.importorskip("nxmx")
    pytest.importorskip("hdf5plugin")
    from nanobragg_numba import read_panels

    listed = scan_of_three()
    listed["detector"][0]["panels"][2]["mask"] = [[2, 1, 5, 9]]
    save(listed)
    result = run(expt="models.expt", out="run", base=f"{BASE} -phisteps 2", engine="inline", images_per_file=2, seed=1)
    assert not result.failures and result.images == 3
    (experiment,) = read_expt("models.expt")
    with h5py.File(result.master) as file:
        frames = file["/entry/data/frames"][()]
        (entry,) = nxmx.NXmx(file).entries
        detector = entry.instruments[0].detectors[0]
        assert len(detector.modules) == 4
        assert sorted(tuple(module.data_size) for module in detector.modules) == sorted(p.shape for p in experiment.detector.panels)
        np.testing.assert_allclose(np.ravel(entry.samples[0].depends_on[()].to("degree").magnitude), [20.0, 20.4, 20.8], atol=1e-12)
        mask = file["/entry/instrument/detector/pixel_mask"][()]
    read = read_panels(result.master)
    turn = np.linalg.lstsq(*(np.array([p.origin_mm for p in d.panels]) for d in (experiment.detector, read)), rcond=None)[0]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
    for one, other in zip(experiment.detector.panels, read.panels, strict=True):
        np.testing.assert_allclose(one.position_mm([0, 9], [0, 11]) @ turn, other.position_mm([0, 9], [0, 11]), atol=1e-9)
    for frame, image in zip(frames, (7, 8, 9), strict=True):
        given = experiment.at_image(image)
        made = replace(
            given, crystal=replace(given.crystal, default_F=100, n_cells=(3, 3, 3)), beam=replace(given.beam, fluence=1e24),
            sampling=replace(given.sampling, phisteps=2, oversample=1),
        )  # fmt: skip
        np.testing.assert_array_equal(frame, simulate_panels(made, experiment.detector).image)
    slow, _, fast, _ = experiment.detector.boxes[2]
    expected = np.ones(experiment.detector.shape, bool)
    for box in experiment.detector.boxes:
        expected[box[0] : box[1], box[2] : box[3]] = False
    expected[slow + 1 : slow + 9, fast + 2 : fast + 5] = True
    np.testing.assert_array_equal(mask != 0, expected)


def test_a_run_goes_on_where_it_was_ended(save, tmp_path, capfd):
    pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    save(scan_of_three())
    words = ["--expt", "models.expt", "--base", BASE, "--seed", "1", "--images-per-file", "2", "--engine", "inline", "--quiet", "--out"]
    assert main([*words, "whole"]) == main([*words, "run"]) == 0
    for name in ("run_data_000002.h5", "run_master.h5", "summary.json"):
        (tmp_path / "run" / name).unlink()
    result = run(expt="models.expt", out="run", base=BASE, compat="c", images_per_file=2, engine="inline", resume=True)
    assert result.computed >= 1 and content(tmp_path / "run") == content(tmp_path / "whole")
    assert main(["--expt", "models.expt:0:8", *words[2:], "run", "--resume"]) == 2
    assert "what makes the rows" in capfd.readouterr().err
    changed = scan_of_three()
    changed["beam"][0]["wavelength"] = 1.1
    save(changed)
    assert main([*words, "run", "--resume"]) == 2
    assert "models.expt has changed since this run began" in capfd.readouterr().err
    assert main([*words, "other"]) == 0
    assert (tmp_path / "other" / "run_data_000001.h5").read_bytes() != (tmp_path / "run" / "run_data_000001.h5").read_bytes()


def _moved(listed):
    listed["detector"][1]["panels"][3]["origin"][2] += 0.1


def _masked(listed):
    listed["detector"][1]["panels"][3]["mask"] = [[0, 0, 2, 2]]


@pytest.mark.parametrize("change", [_moved, _masked])
def test_another_detector_is_refused(change, save, tmp_path):
    listed = two_stills()
    change(listed)
    save(listed)
    for format in ("float", "nexus") if _has_h5py() else ("float",):
        with pytest.raises(InputError, match=r"^--expt .*models\.expt: experiment 1 has another detector than experiment 0, and a run has"):
            run(expt="models.expt", out="run", base=BASE, format=format, engine="inline")
    assert not (tmp_path / "run").exists()
    assert run(expt="models.expt:1", out="run", base=BASE, format="float", engine="inline").computed == 1


def _has_h5py():
    import importlib.util

    return all(importlib.util.find_spec(name) for name in ("h5py", "hdf5plugin"))


@pytest.mark.parametrize("what", ["beam", "spindle"])
def test_one_master_has_one_beam_and_one_spindle(what, save):
    pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    listed = two_stills()
    if what == "beam":
        listed["beam"].append({**listed["beam"][0], "direction": [0.0, 0.0, 1.0]})
        listed["experiment"][1]["beam"] = 1
    else:
        listed["goniometer"].append({**listed["goniometer"][0], "rotation_axis": [1.0, 0.0, 0.0]})
        listed["experiment"][1]["goniometer"] = 1
    save(listed)
    with pytest.raises(InputError, match=f"experiment 1 has another .*{what} .*--format float"):
        run(expt="models.expt", out="run", base=BASE, engine="inline")
    assert run(expt="models.expt", out="run", base=BASE, format="float", engine="inline").computed == 2


def test_an_experiment_that_makes_no_sense_fails_alone(save, tmp_path, capfdbinary):
    listed = two_stills()
    good = listed["experiment"][0]
    listed["experiment"] = [good, {**good, "crystal": None}, {**good, "beam": 5}, {**good, "crystal": 1}]
    save(listed)
    result = run(expt="models.expt", out="run", base=BASE, format="float", engine="inline", seed=1, compat="c")
    path = f"-expt {tmp_path}/models.expt: "
    assert result.failures == (
        (2, f"{path}experiment 1 has no crystal; -panels takes its panels alone"),
        (3, f"{path}experiment[2].beam is 5, where beam has 1 models"),
    )
    assert [row["status"] for row in manifest("run")] == ["done", "failed", "failed", "done"]
    single = nanobragg(f"-expt ../models.expt:3 {BASE}".split(), tmp_path / "single", capfdbinary)
    assert (tmp_path / "run" / "image_00004.bin").read_bytes() == single.files()["floatimage.bin"]
    table = run(
        [{"expt": "models.expt:0"}, {"expt": "models.expt:0:2"}, {"expt": "models.expt:9"}, {"expt": "models.expt"}],
        out="table", base=BASE, format="float", engine="inline",
    )  # fmt: skip
    reasons = [why for _, why in table.failures]
    for why, what in zip(reasons, ("has images 1 to 1, not 2", "none of number 9", "say which one, as -expt"), strict=True):
        assert what in why


def test_noise_and_formats(save, tmp_path, capfdbinary):
    save(two_stills(), "four.expt")
    noisy = BASE.replace(" -nonoise", "")
    for format, base, what in (("smv", BASE, "--format smv holds one plane of pixels"), ("nexus", noisy, "give -nonoise in --base")):
        if format == "nexus" and not _has_h5py():
            continue
        with pytest.raises(InputError, match=f"{what}.*" if format == "nexus" else what):
            run(expt="four.expt", out="four", base=base, format=format, engine="inline")
    assert not (tmp_path / "four").exists()
    save(one_panel(), "one.expt")
    run(expt="one.expt", out="one", base=noisy, format="smv", engine="inline", seed=4, compat="spec")
    for row in manifest("one"):
        single = nanobragg(shlex.split(row["command"])[1:], tmp_path / "single", capfdbinary)
        assert single.status == 0 and (tmp_path / "one" / row["file"]).read_bytes() == single.files()["noiseimage.img"]


@pytest.mark.parametrize(
    "words, what",
    [
        (["--expt", "none.expt", "--base", BASE], "--expt"),
        (["--expt", "models.expt:3", "--base", BASE], "holds 2 experiments, counted from 0, and none of number 3"),
        (["--expt", "models.expt", "--base", f"{BASE} -lambda 1"], "-lambda: -expt"),
        (["--expt", "models.expt", "--base", "-N 3"], "needs -hkl or -default_F"),
        (["--expt", "models.expt", "--scan", "phi=0:1:1"], "or --expt FILE"),
        (["--orientations", "2", "--base", f"{BASE} -expt models.expt"], "--base: -expt is for one image: give --expt FILE"),
    ],
)
def test_what_is_refused_is_one_sentence(words, what, save, tmp_path, capfd):
    save(two_stills())
    assert main([*words, "--format", "float", "--engine", "inline", "--out", "run"]) == 2
    said = capfd.readouterr().err
    assert what in said and said.count("\n") == 1 and not (tmp_path / "run" / "run.json").exists()


def test_parameters_write_an_experiment_list(tmp_path):
    """Cell, rotation, beam and the detector's corner come back."""
    parameters = Parameters(
        Crystal(cell=(40, 50, 60, 80, 95, 100), misset_deg=(10, 20, 30), default_F=1.0),
        detector=Detector(pixels=(30, 20), pixel_size_mm=0.5, distance_mm=70.0), sampling=Sampling(phi_deg=12.0, osc_deg=0.5),
    )  # fmt: skip
    parameters.to_expt(tmp_path / "a.expt", image="a.nxs")
    (experiment,) = read_expt(tmp_path / "a.expt")
    assert json.loads((tmp_path / "a.expt").read_text())["imageset"][0]["template"].endswith("/a.nxs")
    axes = experiment.parameters.crystal.real_space_matrix
    lengths = np.linalg.norm(axes, axis=1)
    np.testing.assert_allclose(lengths, (40, 50, 60), rtol=1e-12)
    cosines = [axes[i] @ axes[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    np.testing.assert_allclose(cosines, np.cos(np.radians([80, 95, 100])), atol=1e-12)
    assert experiment.parameters.sampling == Sampling(phi_deg=12.0, osc_deg=0.5)
    assert experiment.parameters.beam.wavelength_A == parameters.beam.wavelength_A
    (panel,) = experiment.detector.panels
    beam = np.array(experiment.detector.axes.beam)
    assert panel.shape == (20, 30) and beam @ panel.position_mm(10, 15) == pytest.approx(70.0, rel=1e-12)
    moved = replace(experiment.detector, panels=(replace(panel, name="other"),))
    experiment.parameters.to_expt(tmp_path / "b.expt", moved)
    (again,) = read_expt(tmp_path / "b.expt")
    assert again.detector.panels[0].name == "other"
    np.testing.assert_allclose(again.parameters.crystal.real_space_matrix, axes, atol=1e-12 * 60)
