"""nb-refine with detectors of several panels: groups from an experiment list to a refined one."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch  # noqa: F401 - refinement needs it
from noisy_stills import GAIN, OFFSET, READOUT, noisy, turn

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.cli.refine import main
from nanobragg_numba.panels.detector import Group, Panel, PanelDetector
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.dials_writing import write_expt
from nanobragg_numba.panels.nexus_image import image_bytes
from nanobragg_numba.panels.simulate import simulate_panels

REST = "-default_F 60 -N 12 -gauss_xtal -oversample 1"
LINE = f"-cell 45 55 65 90 90 90 -lambda 1.2 -xds {REST}"
RESPONSE = ["--gain", str(GAIN), "--offset", str(OFFSET), "--readout", str(READOUT)]
QUICK = ["--start-error", "0", "--spots", "80", "--no-pictures", *RESPONSE]
SHIFT = (0.07, -0.05, 0.0)
NOMINAL = PanelDetector(
    tuple(Panel(f"p{n}", (48, 48), 0.5, (-25.0 + 26.0 * n, -12.0, 50.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), group=1 + n) for n in (0, 1)),
    (Group("all"), Group("left", 0, (-25.0, 0.0, 50.0)), Group("right", 0, (1.0, 0.0, 50.0))),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same two stills as NXmx, stacked in npy, and panel by panel in npy; the right group has moved since nominal.expt."""
    folder = tmp_path_factory.mktemp("panels")
    moved, random = NOMINAL.moved("right", translation_mm=SHIFT), np.random.default_rng(8)
    experiments = []
    for number, angles in enumerate(([10.0, 40.0, 70.0], [80.0, 15.0, 30.0])):
        p = parameters_from_command_line(f"{LINE} -misset {' '.join(map(str, angles))} -fluence 1e27")
        p = replace(p, beam=replace(p.beam, fluence=3e30))
        run = simulate_panels(p, moved)
        p = replace(p, beam=replace(p.beam, fluence=3e30 * 10000.0 / run.image.max()))
        counts = noisy(simulate_panels(p, moved).image.astype(float), 5.0, random).round().astype(np.int32)
        (folder / f"still{number}.h5").write_bytes(image_bytes(replace(run, image=counts)))
        np.save(folder / f"still{number}.npy", counts)
        np.save(folder / f"panels{number}.npy", np.stack([counts[:48], counts[48:]]))
        start = replace(p, crystal=replace(p.crystal, orientation=turn([0.01, -0.01, 0.01])))
        write_expt(folder / f"nominal{number}.expt", start, NOMINAL)
        experiments.append(json.loads((folder / f"nominal{number}.expt").read_text()))
        fluence = p.beam.fluence
    both = experiments[0]
    for key in ("crystal", "beam", "detector"):
        both[key] += experiments[1][key]
    both["experiment"].append({**both["experiment"][0], "crystal": 1})
    (folder / "nominal.expt").write_text(json.dumps(both))
    (folder / "fluence").write_text(f"{fluence:.6g}")
    return folder


@pytest.fixture
def here(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return folder


def words(here, *images):
    line = f"{REST} -fluence {(here / 'fluence').read_text()}"
    return [*(str(here / image) for image in images), "--expt", str(here / "nominal.expt"), "--line", line, *QUICK]


def test_groups_to_a_refined_list(here, tmp_path, capsys):
    refine = ["--refine", "orientation,scale,group_shifts_mm"]
    for name, images in (("h5", ("still0.h5", "still1.h5")), ("npy", ("still0.npy", "panels1.npy"))):
        assert main([*words(here, *images), *refine, "--out", name]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "group_shifts_mm right fast" in out and "units: " in out
    one, other = (json.loads((tmp_path / name / "refined.json").read_text()) for name in ("h5", "npy"))
    assert [row["value"] for row in one["parameters"]] == pytest.approx([row["value"] for row in other["parameters"]], rel=1e-9)
    rows = {(row["name"], row["part"]): row for row in one["parameters"]}
    for group in ("left", "right"):
        for axis, truth in zip(("fast", "slow", "normal"), SHIFT if group == "right" else (0.0, 0.0, 0.0), strict=True):
            row = rows["group_shifts_mm", f"{group} {axis}"]
            assert abs(row["value"] - truth) < 4.0 * row["sigma"] < 0.04
    for number in (1, 2):
        found = read_expt(tmp_path / "h5" / f"shot_{number:04d}.expt")[0].detector
        assert [group.name for group in found.groups] == ["all", "left", "right"] and [panel.group for panel in found.panels] == [1, 2]
        np.testing.assert_allclose(found.groups[2].origin_mm[:2], [1.0 + SHIFT[0], SHIFT[1]], atol=0.003)
        np.testing.assert_allclose(found.panels[1].origin_mm[:2], [1.0 + SHIFT[0], -12.0 + SHIFT[1]], atol=0.003)
    assert [panel["name"] for panel in one["shots"][0]["panels"]] == ["p0", "p1"]


def test_one_group_by_its_name_with_pictures(here, tmp_path):
    given = words(here, "still0.npy", "still1.npy")
    given.remove("--no-pictures")
    assert main([*given, "--refine", "orientation,scale,group_shifts_mm", "--groups", "right", "--out", "right"]) == 0
    rows = json.loads((tmp_path / "right" / "refined.json").read_text())["parameters"]
    assert [row["part"] for row in rows if row["name"] == "group_shifts_mm"] == ["right fast", "right slow", "right normal"]
    assert (tmp_path / "right" / "residuals.png").exists()


@pytest.mark.parametrize(
    ("images", "changes", "says"),
    [
        (("still0.npy", "still1.npy"), ["--refine", "groups", "--groups", "top"], "no group is called 'top'"),
        (("still0.npy",), [], "holds 2 experiments of 2 images, and there are 1 images"),
        (("still0.npy", "mask.npy"), [], "mask.npy has 48x48 pixels, and its model 48x96"),
        (("still0.npy", "three.npy"), [], "3 images for a detector of 2 panels"),
    ],
)
def test_bad_input(here, images, changes, says, capsys):
    np.save(here / "mask.npy", np.ones((48, 48), np.uint8))
    np.save(here / "three.npy", np.ones((3, 48, 48), np.float32))
    status = main([*words(here, *images), "--out", "bad", *changes])
    error = capsys.readouterr().err
    assert status == 2 and re.search(says, error) and error.count("\n") == 1, error
