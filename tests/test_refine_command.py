"""nb-refine: from files to a table, experiment lists and pictures; resumed, and refused in a sentence."""

import json
import re

import matplotlib
import numpy as np
import pytest
from noisy_stills import GAIN, OFFSET, READOUT, angle_between, noisy, true_parameters
from PIL import Image

from nanobragg_numba import parameters_from_command_line, simulate, write_smv
from nanobragg_numba.cli.refine import main
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.dials_writing import write_expt
from nanobragg_numba.refinement.starting_model import starting_model

matplotlib.use("Agg")
REST = "-default_F 60 -N 10 -gauss_xtal -oversample 1"
LINE = f"-cell 40 44 50 90 90 90 -lambda 1.2 -distance 40 -detpixels 80 -pixel 0.5 {REST}"
RESPONSE = ["--gain", str(GAIN), "--offset", str(OFFSET), "--readout", str(READOUT)]
QUICK = ["--refine", "orientation,scale,n_cells", "--start-error", "0", "--spots", "60", *RESPONSE]
TURNS = ([10.0, 40.0, 70.0], [80.0, 15.0, 30.0])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of two stills as SMV, starts.txt with lines for them, start.expt for the first, and their fluence."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(41)
    lines = []
    for number, angles in enumerate(TURNS):
        p = true_parameters(f"{LINE} -misset {' '.join(map(str, angles))}", np.eye(3), 3000.0)
        image = simulate(p).image.astype(float)
        counts = np.clip(np.rint(noisy(image, 5.0, random)), 0, 65534).astype(np.uint16)
        write_smv(folder / f"still{number}.img", counts, derive_experiment(p))
        off = " ".join(f"{angle + 0.02:g}" for angle in angles)
        lines.append(f"{LINE} -misset {off} -fluence {p.beam.fluence:.6g}")
    (folder / "starts.txt").write_text("# a still each\n\n" + "\n".join(lines) + "\n")
    write_expt(folder / "start.expt", parameters_from_command_line(lines[0]))
    return folder


@pytest.fixture
def here(images, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return images


def starts(here, number):
    return (here / "starts.txt").read_text().splitlines()[2 + number]


def test_two_stills_to_a_table(here, tmp_path, capsys):
    files = [str(here / f"still{n}.img") for n in range(2)]
    words = [*files, "--lines", str(here / "starts.txt"), *QUICK, "--out", "out"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "refined.json", "residuals.png", "shoeboxes.png", "shot_0001.expt", "shot_0002.expt", "state.json", "table.txt",
    }  # fmt: skip
    assert "stage 1 of 1" in printed and "target" in printed and (out / "table.txt").read_text() in printed
    for name in ("residuals.png", "shoeboxes.png"):
        assert min(Image.open(out / name).size) > 200
    results = json.loads((out / "refined.json").read_text())
    rows = {(row["name"], row["part"], row["shot"]): row for row in results["parameters"]}
    assert len(rows) == 2 * 4 + 3
    for part in "abc":
        row = rows["n_cells", part, None]
        assert abs(row["value"] - 10.0) < 4.0 * row["sigma"] < 1.0
        assert f"n_cells {part}" in printed
    for number, angles in enumerate(TURNS):
        truth = starting_model(parameters_from_command_line(f"{LINE} -misset {' '.join(map(str, angles))}"))
        assert angle_between(np.array(results["shots"][number]["orientation"]), truth.orientation) < 0.01
        # The experiment list has the same lattice and detector.
        read = read_expt(out / f"shot_{number + 1:04d}.expt")[0]
        wanted = derive_experiment(truth.parameters)
        found = read.parameters.crystal.real_space_matrix
        np.testing.assert_allclose(found, np.array([wanted.lattice.a, wanted.lattice.b, wanted.lattice.c]), atol=0.01)
        np.testing.assert_allclose(read.detector.panels[0].origin_mm, 1000.0 * np.array(wanted.geometry.pix0), atol=1e-6)
    # A second run would replace it; one that goes on ends at the same place.
    assert main(words) == 2
    assert "holds an earlier fit (state.json): --resume goes on with it" in capsys.readouterr().err
    assert main([*words, "--resume", "--no-pictures"]) == 0
    again = json.loads((out / "refined.json").read_text())
    for before, after in zip(results["parameters"], again["parameters"], strict=True):
        assert after["value"] == pytest.approx(before["value"], abs=0.1 * before["sigma"])
    assert main([*words, "--resume", "--spots", "50"]) == 2
    assert "state.json: was begun with another --spots" in capsys.readouterr().err
    assert main([files[1], files[0], *words[2:], "--resume"]) == 2
    assert "was begun with other images" in capsys.readouterr().err
    # The vector says how far it is from the starts: with others, or with other counts in a file of the same size, it means nothing.
    start, still = here / "starts.txt", here / "still1.img"
    changed = (
        (start, start.read_bytes().replace(b"10.02", b"11.02"), "other content of the files of the starting models"),
        (still, still.read_bytes()[:-2] + bytes([still.read_bytes()[-2] ^ 1, still.read_bytes()[-1]]), "other images"),
    )
    for path, content, says in changed:
        kept = path.read_bytes()
        path.write_bytes(content)
        try:
            assert content != kept and main([*words, "--resume"]) == 2
        finally:
            path.write_bytes(kept)
        assert f"was begun with {says}" in capsys.readouterr().err
    # What replaces it leaves nothing of it behind, and what is not its own alone.
    (out / "notes.txt").write_text("mine")
    assert main([files[0], "--line", starts(here, 0), *QUICK, "--no-pictures", "--out", "out", "--overwrite"]) == 0
    assert {path.name for path in out.iterdir()} == {"refined.json", "shot_0001.expt", "state.json", "table.txt", "notes.txt"}


def test_an_interrupted_fit_goes_on(here, tmp_path, capsys, monkeypatch):
    from nanobragg_numba.refinement import optimisers

    words = [str(here / "still0.img"), "--line", starts(here, 0), *QUICK, "--no-pictures"]
    steps = []

    def stopped(value, vector):
        steps.append(vector)
        raise KeyboardInterrupt

    true = optimisers._Scaled.told

    def told(self, z, value):
        true(self, z, value)
        stopped(value, self.vector(z))

    with monkeypatch.context() as patch:
        patch.setattr(optimisers._Scaled, "told", told)
        assert main([*words, "--out", "cut"]) == 130
    assert "interrupted; --resume goes on from the last step" in capsys.readouterr().err
    state = json.loads((tmp_path / "cut" / "state.json").read_text())
    assert state["vector"] == pytest.approx(steps[0].tolist()) and state["stage"] == 0
    assert main([*words, "--out", "cut", "--resume"]) == 0
    assert main([*words, "--out", "whole"]) == 0
    cut, whole = (json.loads((tmp_path / name / "refined.json").read_text())["parameters"] for name in ("cut", "whole"))
    for one, other in zip(cut, whole, strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=0.1 * other["sigma"])
        assert one["start"] == other["start"]


def test_an_experiment_list_to_start_from(here, tmp_path, capsys):
    fluence = starts(here, 0).split("-fluence ")[1]
    words = [str(here / "still0.img"), "--expt", str(here / "start.expt"), "--line", f"{REST} -fluence {fluence}", *QUICK, "--no-pictures"]
    assert main([*words, "--out", "expt"]) == 0
    assert main([str(here / "still0.img"), "--line", starts(here, 0), *QUICK, "--no-pictures", "--out", "line"]) == 0
    one, other = (json.loads((tmp_path / name / "refined.json").read_text()) for name in ("expt", "line"))
    np.testing.assert_allclose(one["shots"][0]["orientation"], other["shots"][0]["orientation"], atol=1e-5)
    assert main([*words, "--line", "-cell 4 4 4 90 90 90"]) == 2
    capsys.readouterr()
    words[words.index("--line") + 1] = f"{REST} -distance 50"
    assert main([*words, "--out", "third"]) == 2
    assert "-distance: -expt" in capsys.readouterr().err


def test_a_spectrum_that_simulates_again(here, tmp_path, capsys):
    """The weights of three colours, and a file of them that -spectrum reads."""
    (tmp_path / "three.txt").write_text("wavelength in A\n1.194 1\n1.2 3\n1.206 2\n")
    angles = f"-misset {' '.join(map(str, TURNS[0]))}"
    truth = true_parameters(f"{LINE} {angles} -spectrum three.txt", np.eye(3), 20000.0)
    np.save(tmp_path / "pink.npy", noisy(simulate(truth).image.astype(float), 5.0, np.random.default_rng(3)))
    (tmp_path / "flat.txt").write_text("wavelength in A\n1.194 1\n1.2 1\n1.206 1\n")
    line = f"{LINE} {angles} -spectrum flat.txt -fluence {truth.beam.fluence:.6g}"
    words = ["pink.npy", "--line", line, *QUICK, "--refine", "orientation,scale,spectrum", "--no-pictures", "--out", "pink"]
    assert main(words) == 0
    assert "spectrum 1.194 A" in capsys.readouterr().out
    rows = {row["part"]: row for row in json.loads((tmp_path / "pink" / "refined.json").read_text())["parameters"]}
    for part, share in (("1.194 A", 1 / 6), ("1.2 A", 3 / 6), ("1.206 A", 2 / 6)):
        assert abs(rows[part]["value"] - share) < 4.0 * rows[part]["sigma"] < 0.1 * share
    again = parameters_from_command_line(f"{LINE} -spectrum pink/spectrum.txt").beam.sources
    np.testing.assert_allclose(again.intensities, [rows[part]["value"] for part in ("1.194 A", "1.2 A", "1.206 A")], rtol=1e-6)
    np.testing.assert_allclose(again.wavelengths_m, [1.194e-10, 1.2e-10, 1.206e-10])


def test_structure_factors_as_files(here, tmp_path, capsys):
    """From one F for all: what is written is what was refined, in the group's asymmetric unit and, for -hkl, in P1."""
    import gemmi

    words = [str(here / "still0.img"), "--line", starts(here, 0), *QUICK, "--refine", "orientation,structure_factors"]
    assert main([*words, "--space-group", "P 2 2 2", "--resolution", "6", "--steps", "3", "--no-pictures", "--out", "factors"]) == 0, (
        capsys.readouterr().err
    )
    rows = json.loads((tmp_path / "factors" / "refined.json").read_text())["parameters"][3:]
    mtz = gemmi.read_mtz_file(str(tmp_path / "factors" / "structure_factors.mtz"))
    assert [column.label for column in mtz.columns] == ["H", "K", "L", "F", "SIGF"] and mtz.spacegroup.short_name() == "P222"
    data = {tuple(map(int, line[:3])): line[3:] for line in np.array(mtz.array)}
    assert len(data) == len(rows) > 5
    for row in rows:
        value, sigma = data[tuple(map(int, row["part"].split()))]
        assert value == pytest.approx(abs(row["value"]), rel=1e-6) and sigma == pytest.approx(row["sigma"], rel=1e-6)
    # The truth is 60 for all.
    sure = [row for row in rows if row["sigma"] < 12.0]
    deviations = np.array([(row["value"] - 60.0) / row["sigma"] for row in sure])
    assert len(sure) > 1 and np.abs(deviations).max() < 4.5
    listed = parameters_from_command_line(f"{LINE} -hkl factors/structure_factors.hkl").crystal.structure_factors
    for row in sure:
        h, k, l = map(int, row["part"].split())
        for sign in (1, -1):
            at = sign * h - listed.h_min, k - listed.k_min, -l - listed.l_min
            assert listed.table[at] == pytest.approx(abs(row["value"]))


@pytest.mark.parametrize("suffix", [".h5", ".cbf"])
def test_other_formats(here, tmp_path, suffix):
    """The same counts as NXmx and as CBF."""
    import fabio

    from nanobragg_numba.files import nexus
    from nanobragg_numba.files.smv import read

    counts = read(str(here / "still0.img"), "").pixels()
    p = parameters_from_command_line(starts(here, 0))
    path = tmp_path / f"still{suffix}"
    if suffix == ".h5":
        path.write_bytes(nexus.image_bytes(counts.astype(np.int32), derive_experiment(p)))
    else:
        fabio.cbfimage.CbfImage(data=counts.astype(np.int32)).write(str(path))
    assert main([str(path), "--line", starts(here, 0), *QUICK, "--no-pictures", "--out", "other"]) == 0
    assert main([str(here / "still0.img"), "--line", starts(here, 0), *QUICK, "--no-pictures", "--out", "smv"]) == 0
    one, other = (json.loads((tmp_path / name / "refined.json").read_text())["parameters"] for name in ("other", "smv"))
    assert [row["value"] for row in one] == pytest.approx([row["value"] for row in other], rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--line": None}, "there is no starting model: give a nanoBragg command line"),
        ({"--line": "-cell 40 44 50 90 90 90"}, "--line: gives no crystal"),
        ({"--line": f"{LINE} -png x.png"}, "--line: -png has no place in a starting model"),
        ({"--line": f"{LINE} -frobnicate 3"}, "--line: unknown option -frobnicate"),
        ({"--refine": "orientation,wavelength"}, "'wavelength' cannot be refined"),
        ({"--restrain": "n_cells=3"}, "--restrain n_cells=3: must be NAME=TARGET:SIGMA"),
        ({"--restrain": "cell=40:1"}, "restraint on cell: it is not refined"),
        ({"--restrain": "n_cells=10:0"}, "restraint on n_cells: sigma must be positive"),
        ({"--space-group": "P 9"}, "'P 9' is no space group"),
        ({"--gain": "0"}, "gain must be positive"),
        ({"--frame": "3"}, "--frame 3: .*still0.img holds one image"),
        ({"--method": "luck"}, "method must be one of trust, least_squares, lbfgs, not 'luck'"),
        ({"--lines": "none.txt"}, "--line and --lines both give starting models"),
        ({"--overload": "1"}, "still0.img: has no good pixel"),
        ({"--frame": "0"}, "--frame 0: frames are counted from 1"),
        ({"--start-error": "nan"}, "the error of the start 0 or more"),
        ({"--groups": "quad"}, "the groups quad are named, and none is refined"),
        ({"--refine": "groups"}, "shot 1 has a detector of one plane, and no groups"),
        ({"--refine": "spectrum"}, "shot 1: spectrum is refined of a beam of several sources"),
        ({"--frobnicate": "3"}, "unrecognized arguments: --frobnicate"),
    ],
)  # fmt: skip
def test_bad_input(here, changes, says, capsys, tmp_path):
    given = {"--line": LINE, "--refine": "orientation,scale,n_cells", "--start-error": "0", "--out": "bad", **changes}
    words = [str(here / "still0.img"), *(word for flag, value in given.items() if value is not None for word in (flag, value))]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("nb-refine: error: ") and error.count("\n") == 1 and re.search(says, error)
    assert not (tmp_path / "bad" / "refined.json").exists()


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((80, 80), np.nan), "image.npy: has no good pixel"),
        (np.full((20, 80), 12.0), "image.npy has 80x20 pixels, and its model 80x80"),
        (np.random.default_rng(2).poisson(20.0, (80, 80)).astype(float), "the images show none of the model's spots"),
        (np.zeros((80, 80)), "the images show none of the model's spots"),
        (np.array([["a", "b"]]), "image.npy: not a plain image"),
    ],
)
def test_images_of_nothing(here, tmp_path, image, says, capsys):
    np.save("image.npy", image)
    words = ["image.npy", "--line", starts(here, 0), *QUICK, "--refine", "orientation,scale", "--steps", "5", "--out", "nothing"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("nb-refine: error: ") and error.count("\n") == 1 and says in error
    assert not (tmp_path / "nothing" / "refined.json").exists()


def test_several_images_need_several_starts(here, capsys):
    files = [str(here / f"still{n}.img") for n in range(2)]
    assert main([*files, "--line", LINE]) == 2
    assert "1 starting models for 2 images" in capsys.readouterr().err


def test_a_wrong_start_is_said(here, capsys, tmp_path):
    """Where boxes are everywhere on the image, so that nothing can be said beforehand, after the first stage."""
    words = ["--line", f"{LINE} -misset 43 61 12", "--resolution", "2.5", "--steps", "4", *RESPONSE, "--out", "wrong"]
    assert main([str(here / "still0.img"), *words]) == 2
    said = re.search(r"fitted to 3 A, the model explains (\d+) % of the signal in its boxes", capsys.readouterr().err)
    assert int(said[1]) < 30
    assert not (tmp_path / "wrong" / "refined.json").exists()


def test_bad_pixels_by_mask_and_by_value(here, tmp_path, capsys):
    """Pixels of a mask, at the overload, or marked as detectors do, may hold anything."""
    from nanobragg_numba.cli.refine_input import Frame, Response, read_mask, read_measured

    counts = np.arange(24, dtype=np.int32).reshape(4, 6)
    counts[1, 2], counts[3, 3] = -2, 2**31 - 1
    np.save(tmp_path / "counts.npy", counts)
    mask = np.ones((4, 6), np.uint8)
    mask[0, 5] = 0
    np.save(tmp_path / "mask.npy", mask)
    shot = read_measured(Frame("counts.npy", None), Response(2.0, 1.0, 3.0, 22.0), read_mask("mask.npy"))
    assert sorted(map(tuple, np.argwhere(~shot.good).tolist())) == [(0, 5), (1, 2), (3, 3), (3, 4), (3, 5)]
    assert shot.photons[2, 0] == (12 - 1) / 2 and shot.readout == 1.5
