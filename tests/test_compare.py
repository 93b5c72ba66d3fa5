"""nb-compare: figures, verdicts, exit statuses, and what it leaves of the user's files."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from running import GOLDEN

from nanobragg_numba.cli import engines
from nanobragg_numba.cli.compare import main
from nanobragg_numba.cli.engines import ready_to_run
from nanobragg_numba.cli.image_figures import compare_images, correlation, difference_png, mean_peak_distance, resampled
from nanobragg_numba.errors import InputError

CASES = {case["name"]: case for case in json.loads((GOLDEN / "cases.json").read_text())}
QUICK = ("cubic_basic", "phi_zero_sweep", "erl_matrix_hkl", "mask_image", "nonoise_nopgm", "curved_detector", "roi_window")
BINARY = os.environ.get("NB_C_BIN")


def spots(shift=(0, 0), shape=(40, 50)):
    """Five Gaussian spots of different heights, away from the edges."""
    slow, fast = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 0.5)
    for height, (s, f) in zip((9, 7, 5, 4, 3), ((8, 9), (9, 35), (20, 22), (30, 10), (31, 40)), strict=True):
        image += height * np.exp(-((slow - s - shift[0]) ** 2 + (fast - f - shift[1]) ** 2) / 3.0)
    return image.astype("<f4")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, image: np.ndarray) -> str:
    Path(name).write_bytes(image.astype("<f4").tobytes())
    return name


def compare(*words: str) -> tuple[int, dict]:
    status = main(list(words))
    return status, json.loads(Path("nb-compare/summary.json").read_text())


def test_equal_images(folder, capsys):
    a, b = write("a.bin", spots()), write("b.bin", spots())
    status, summary = compare("--a", a, "--b", b, "--size", "50", "40")
    assert status == 0 and summary["verdict"] == "identical"
    figures = summary["figures"]
    assert figures["bytes_equal"] and figures["pixels"] == 2000 and figures["pixels_different"] == 0 and figures["peaks"] == [5, 5]
    assert figures["correlation"] == pytest.approx(1.0) and figures["sum_ratio"] == 1.0
    assert figures["rmse"] == figures["max_difference"] == figures["mean_peak_distance"] == 0.0
    assert sorted(os.listdir("nb-compare")) == ["a.bin", "b.bin", "difference.png", "summary.json"]
    assert Path("nb-compare/a.bin").read_bytes() == Path(a).read_bytes()
    assert "verdict: identical" in capsys.readouterr().out


def test_unequal_images(folder):
    image = spots()
    other = image.copy()
    other[7, 11] += 2.0
    other[8, 12] -= 0.5
    words = ("--a", write("a.bin", image), "--b", write("b.bin", other), "--size", "50", "40")
    status, summary = compare(*words)
    figures = summary["figures"]
    assert status == 1 and summary["verdict"] == "different"
    assert figures["pixels_different"] == 2 and not figures["bytes_equal"]
    assert figures["rmse"] == pytest.approx(np.sqrt((4 + 0.25) / 2000), rel=1e-6)
    assert figures["max_difference"] == pytest.approx(2.0) and figures["max_difference_at"] == [11, 7]
    assert figures["sum_ratio"] == pytest.approx(1 + 1.5 / image.sum(), rel=1e-6)
    r = np.corrcoef(image.ravel().astype(float), other.ravel().astype(float))[0, 1]
    assert figures["correlation"] == pytest.approx(r, abs=1e-12)
    # The threshold decides, on the one side and on the other.
    assert compare(*words, "--overwrite", "--threshold", str(r - 1e-6))[0] == 0
    assert compare(*words, "--overwrite", "--threshold", str(r + 1e-6))[0] == 1


def test_one_last_bit_is_a_difference(folder):
    image = spots()
    other = image.copy()
    other[3, 4] = np.nextafter(other[3, 4], np.float32(9))
    status, summary = compare("--a", write("a.bin", image), "--b", write("b.bin", other), "--size", "50", "40")
    assert status == 1 and summary["figures"]["pixels_different"] == 1


def test_shifted_images():
    figures = compare_images(spots(), spots((3, -4)))
    assert figures.peaks == (5, 5) and figures.mean_peak_distance == pytest.approx(5.0, abs=1e-12)
    assert figures.correlation is not None and figures.correlation < 0.5
    assert figures.sum_ratio == pytest.approx(1.0, rel=1e-4)


def test_a_missing_peak_is_seen_from_either_side():
    image = spots()
    without = image.copy()
    without[25:, :20] = 0.5
    # The lost spot at (30, 10) is nearest to the one at (20, 22): one distance among 5 + 4.
    want = np.hypot(10, 12) / 9
    for a, b in ((image, without), (without, image)):
        assert mean_peak_distance(a.astype(float), b.astype(float))[1] == pytest.approx(want)


def test_a_plateau_is_one_peak_and_a_flat_image_has_none():
    flat = np.ones((9, 9))
    assert mean_peak_distance(flat, flat) == ((0, 0), None)
    plateau = np.zeros((9, 9))
    plateau[2:5, 3:6] = 4.0
    assert mean_peak_distance(plateau, np.roll(plateau, 2, axis=1)) == ((1, 1), 2.0)


def test_images_of_different_sizes(folder, capsys):
    small, large = write("small.bin", spots()[::2, ::2]), write("large.bin", spots())
    words = ("--a", small, "--b", large, "--size", "25", "20", "--size", "50", "40")
    status, summary = compare(*words)
    assert status == 1 and summary["verdict"] == "different sizes" and summary["figures"] is None
    assert "--resample" in capsys.readouterr().out and not Path("nb-compare/difference.png").exists()
    status, summary = compare(*words, "--resample", "--threshold", "0.9", "--overwrite")
    assert status == 0 and summary["resampled"] and summary["figures"]["correlation"] > 0.9


def test_resampling_keeps_photons():
    image = spots().astype(float)
    assert np.allclose(resampled(image, (20, 25)), image.reshape(20, 2, 25, 2).sum(axis=(1, 3)), rtol=1e-13)
    assert np.array_equal(resampled(image, image.shape), image)
    assert resampled(image, (17, 61)).sum() == pytest.approx(image.sum(), rel=1e-13)
    # A linear slope stays one: each new pixel holds the integral over its width.
    assert np.allclose(resampled(np.full((1, 4), 3.0), (1, 3)), 4.0)


def test_a_window(folder):
    image = spots()
    other = image.copy()
    other[5, 6] = 100.0
    words = ("--a", write("a.bin", image), "--b", write("b.bin", other), "--size", "50", "40", "--overwrite")
    assert compare(*words, "--roi", "7", "49", "0", "39")[0] == 0
    assert compare(*words, "--roi", "0", "49", "6", "39")[0] == 0
    status, summary = compare(*words, "--roi", "6", "8", "5", "7")
    assert status == 1 and summary["figures"]["pixels"] == 9 and summary["figures"]["max_difference_at"] == [6, 5]
    assert main([*words, "--roi", "0", "50", "0", "39"]) == 2


def test_numbers_that_are_not_finite(folder):
    image = spots()
    image[0, 0], image[0, 1] = np.nan, np.inf
    other = image.copy()
    assert compare_images(image, other).pixels_different == 0 and compare_images(image, other).not_finite == (2, 2)
    other[0, 0] = 1.0
    words = ("--a", write("a.bin", image), "--b", write("b.bin", other), "--size", "50", "40")
    # Correlated over what is finite, but not in the same pixels.
    status, summary = compare(*words, "--threshold", "0.5")
    assert status == 1 and summary["figures"]["correlation"] == pytest.approx(1.0) and summary["figures"]["not_finite"] == [2, 1]


def test_constant_images_have_no_correlation():
    assert correlation(np.ones(4), np.arange(4.0)) is None
    assert correlation(np.array([1e300, -1e300]), np.array([-1.0, 1.0])) == -1.0
    assert compare_images(np.zeros((3, 3)), np.zeros((3, 3))).sum_ratio is None


def test_the_difference_picture():
    from io import BytesIO

    from PIL import Image

    a = np.zeros((2, 2))
    picture = np.asarray(Image.open(BytesIO(difference_png(a, np.array([[0.0, 4.0], [-1.0, np.nan]])))))
    assert picture.tolist() == [[[255, 255, 255], [255, 0, 0]], [[127, 127, 255], [128, 128, 128]]]


@pytest.mark.parametrize("name", QUICK)
def test_numba_is_identical_to_the_recorded_runs(name, folder, monkeypatch):
    case = CASES[name]
    (folder / "golden.bin").write_bytes(zlib.decompress((GOLDEN / "float" / f"{name}.f32.z").read_bytes()))
    for file in case["inputs"]:
        (folder / file).write_bytes((GOLDEN / "inputs" / file).read_bytes())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    status, summary = compare("--a", "golden.bin", "--b", "numba", "--", *case["args"])
    assert status == 0 and summary["verdict"] == "identical" and summary["figures"]["bytes_equal"]
    assert summary["b"]["seconds"] > 0 and summary["speed_up"] is None
    # The caller's folder holds what it held, and the results.
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    if BINARY:
        status, summary = compare("--a", "c", "--b", "numba", "--overwrite", "--", *case["args"])
        assert status == 0 and summary["verdict"] == "identical" and sorted(os.listdir("nb-compare"))[1] == "a.log"
        assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_another_command_line_is_different(folder):
    (folder / "golden.bin").write_bytes(zlib.decompress((GOLDEN / "float" / "cubic_basic.f32.z").read_bytes()))
    args = [word if word != "5" else "6" for word in CASES["cubic_basic"]["args"]]
    assert compare("--a", "golden.bin", "--b", "numba", "--", *args)[0] == 1


def test_a_reference_program_is_run_in_its_own_folder(folder, monkeypatch):
    """A stand-in for the C program: writes a known image, and a file that must not appear in the caller's folder."""
    script = folder / "stand-in"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nopen('floatimage.bin', 'wb').write(bytes(16 * 16 * 4))\n"
        "open('intimage.img', 'wb').write(b'{\\nHEADER_BYTES=512;\\nSIZE1=16;\\nSIZE2=16;\\n}'.ljust(512) + bytes(512))\n"
        "open('elsewhere', 'w').write('x')\nprint(sys.argv[1:])\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("NB_C_BIN", str(script))
    line = "-cell 70 80 90 -default_F 1 -detpixels 16 -threads 1 -png p.png -floatfile ../mine.bin"
    status, summary = compare("--a", "c", "--b", "numba", "--", *line.split())
    assert status == 1 and summary["figures"]["pixels_different"] == 256 and summary["figures"]["sum_ratio"] is None
    assert summary["speed_up"] == pytest.approx(summary["a"]["seconds"] / summary["b"]["seconds"])
    assert sorted(os.listdir(folder)) == ["nb-compare", "stand-in"]
    words = "['-cell', '70', '80', '90', '-default_F', '1', '-detpixels', '16', '-floatfile', 'floatimage.bin']"
    assert Path("nb-compare/a.log").read_text().strip() == words
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('out of beam time')\n")
    assert main(["--a", "c", "--b", "numba", "--out", "x", "--", *line.split()]) == 2


def test_words_for_another_folder(folder):
    for name in ("my.mat", "P1.hkl"):
        (folder / name).write_text("x")
    ready = ready_to_run("-compat spec -matrix my.mat -hkl P1.hkl -dump d.bin -png p.png -pgmfile a/b.pgm -N 3".split())
    files = ["-matrix", str(folder / "my.mat"), "-hkl", str(folder / "P1.hkl"), "-dump", "Fdump.bin"]
    assert list(ready.reference) == [*files, "-pgmfile", "image.pgm", "-N", "3"]
    assert ready.ours == ("-compat", "spec", *ready.reference) and ready.dump is None


def test_a_dump_is_read_where_there_is_no_list(folder):
    (folder / "Fdump.bin").write_bytes(b"x")
    assert ready_to_run(["-cell", "70"]).dump == str(folder / "Fdump.bin")
    assert ready_to_run(["-cell", "70", "-dump", "other.bin"]).dump is None
    os.rename("Fdump.bin", "other.bin")
    assert ready_to_run(["-cell", "70", "-dump", "other.bin"]).dump == str(folder / "other.bin")


def test_a_random_orientation_needs_a_seed(folder):
    with pytest.raises(InputError, match="misset_seed"):
        ready_to_run(["-cell", "70", "-misset", "random"])
    assert ready_to_run(["-cell", "70", "-misset_seed", "3", "-misset", "random"])
    assert ready_to_run(["-cell", "70", "-misset", "random", "-misset", "1", "2", "3"])


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    def refuse(index):
        raise InputError("no GPU in this test")

    monkeypatch.setattr("nanobragg_numba.gpu.device.require_device", refuse)


LINE = ("--", "-cell", "70", "-default_F", "1", "-detpixels", "8")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--a", "c", "--b", "numba", *LINE), "NB_C_BIN"),
        (("--a", "numba", "--b", "cuda", *LINE), "engine cuda: no GPU in this test"),
        (("--a", "cuda", "--b", "numba", *LINE), "engine cuda: no GPU in this test"),
        (("--a", "fortran", "--b", "numba", *LINE), "--a fortran: neither an engine (c, numba, cuda, torch) nor a file"),
        (("--a", "numba", "--b", "numba"), "needs a nanoBragg command line after --"),
        (("--a", "image.bin", "--b", "image.bin", *LINE), "no command line can follow"),
        (("--a", "image.bin", "--b", "image.bin"), "--a image.bin: raw floats need their size"),
        (("--a", "image.bin", "--b", "image.bin", "--size", "3", "3"), "--a image.bin: 8000 bytes where 3x3 floats need 36"),
        (("--a", "image.bin", "--b", "text.img", "--size", "50", "40"), "--b text.img: not an image that can be read"),
        (("--a", "image.bin", "--b", "image.bin", "--size", "0", "3"), "above zero"),
        (("--a", "image.bin", "--b", "image.bin", "--threshold", "2"), "between -1 and 1"),
        (("--a", "image.bin", "--b", "image.bin", "--roi", "5", "2", "0", "1"), "--roi 5 2 0 1: no window"),
        (("--a", "image.bin"), "--b"),
        (("--a", "numba", "--b", "numba", "-cell", "70"), "go after --"),
        (("--a", "numba", "--b", "numba", "--", "-cell", "70"), "exit status 9: the command line gives no crystal"),
        (("--a", "numba", "--b", "numba", "--", "-mat", "none.mat"), "-mat none.mat: no such file"),
        (("--a", "numba", "--b", "numba", *LINE, "-pixel", "-1"), "-pixel"),
        (("--a", "numba", "--b", "numba", *LINE, "-batch", "x"), "make no image"),
        (("--a", "image.bin", "--b", "image.bin", "--size", "50", "40", "--out", "no/where"), "--out no/where"),
        (("--a", "image.bin", "--b", "image.bin", "--size", "50", "40", "--out", "image.bin"), "--out image.bin: is a file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_status_2(words, sentence, folder, monkeypatch, capsys):
    monkeypatch.delenv("NB_C_BIN", raising=False)
    write("image.bin", spots())
    Path("text.img").write_text("no image")
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.startswith("nb-compare: error: ") and err.count("\n") == 1 and out == ""
    assert sorted(os.listdir(folder)) == ["image.bin", "text.img"]


def test_a_missing_engine_is_told_before_the_other_one_runs(folder, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(engines, "_run_command", lambda *words: ran.append(words))
    assert main(["--a", "numba", "--b", "cuda", *LINE]) == 2 and not ran
    monkeypatch.setenv("NB_C_BIN", "no-such-program")
    assert main(["--a", "numba", "--b", "c", *LINE]) == 2 and not ran
    assert "no-such-program" in capsys.readouterr().err


def test_an_earlier_result_is_kept(folder, capsys):
    words = ("--a", write("a.bin", spots()), "--b", write("b.bin", spots()), "--size", "50", "40")
    compare(*words)
    write("b.bin", 2 * spots())
    before = {path.name: path.read_bytes() for path in Path("nb-compare").iterdir()}
    assert main(list(words)) == 2 and "--overwrite" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Path("nb-compare").iterdir()} == before
    Path("nb-compare/notes.txt").write_text("mine")
    assert compare(*words, "--overwrite")[0] == 1
    assert Path("nb-compare/notes.txt").read_text() == "mine"


def test_smv_images_and_those_that_fabio_reads(folder):
    import fabio

    header = (GOLDEN / "inputs" / "header.img").read_bytes()
    Path("one.img").write_bytes(header)
    Path("other.img").write_bytes(header)
    assert compare("--a", "one.img", "--b", "other.img")[0] == 0
    pixels = np.frombuffer(header, "<u2", offset=512).reshape(72, 88)
    fabio.edfimage.EdfImage(data=pixels.astype(np.float32)).write("same.edf")
    status, summary = compare("--a", "one.img", "--b", "same.edf", "--overwrite")
    assert status == 0 and not summary["figures"]["bytes_equal"]


def test_without_scipy_the_peaks_are_left_out(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy", None)
    status, summary = compare("--a", write("a.bin", spots()), "--b", write("b.bin", spots()), "--size", "50", "40")
    assert status == 0 and summary["figures"]["mean_peak_distance"] is None and summary["figures"]["correlation"] == pytest.approx(1)
    assert "scipy" in capsys.readouterr().err


def test_the_command_starts_without_heavy_imports(folder):
    code = (
        "import sys; from nanobragg_numba.cli.compare import main; import nanobragg_numba.cli.compare_phi\n"
        "assert main(['--a', 'x']) == 2\n"
        "print([name for name in ('torch', 'fabio', 'scipy', 'PIL', 'numba') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
def test_the_torch_bridge_is_identical_to_the_command(compat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        main(["--a", "torch", "--b", "numba", "--out", "result", *LINE, "-compat", compat, "-phi", "0", "-osc", "1", "-phisteps", "3"]) == 0
    )
