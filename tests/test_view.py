"""nb-view: what it draws where, which files it opens, and what it refuses."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from running import nanobragg

from nanobragg_numba import from_arrays, parameters_from_command_line, simulate
from nanobragg_numba.cli import view
from nanobragg_numba.cli.image_files import read_image
from nanobragg_numba.cli.view import main
from nanobragg_numba.cli.view_geometry import from_line, from_smv
from nanobragg_numba.prediction.detector_plane import corner_resolution, hits, resolution_at, ring, slopes

matplotlib.use("Agg")
CRYSTAL = "-cell 50 50 50 90 90 90 -default_F 100 -N 20"
SMALL = f"{CRYSTAL} -lambda 1 -distance 40 -detpixels_x 40 -detpixels_y 30 -pixel 0.5 -oversample 1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder, and no display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, in place of their PNG."""
    from matplotlib.figure import Figure

    drawn = []

    def keep(draw):
        figure = Figure()
        draw(figure)
        drawn.append(figure)
        return b"drawn"

    monkeypatch.setattr(view, "_png", keep)
    return drawn


def run_small(folder, capfdbinary, words=""):
    assert nanobragg(f"{SMALL} {words}".split(), folder, capfdbinary).status == 0


def panels_of(figure):
    """The axes with images, without colour bars."""
    return [axes for axes in figure.axes if axes.get_xlabel() == "fast (pixels)"]


# Geometry


def test_ring_of_an_upright_detector_by_braggs_law():
    """Radius D tan(2 theta) about the beam, lambda = 2 d sin(theta)."""
    setting = from_line("-lambda 1.2 -distance 70 -detpixels 300 -pixel 0.2 -Xbeam 20 -Ybeam 31", "--line")
    # MOSFLM's X runs along slow, and both are counted half a pixel less.
    centre = np.array([20 / 0.2 + 0.5, 31 / 0.2 + 0.5])
    for spacing in (2.0, 3.5, 9.0):
        radius = 70 * np.tan(2 * np.arcsin(1.2 / (2 * spacing))) / 0.2
        places = ring(setting.geometry, 1.2, spacing)
        assert np.linalg.norm(places - centre, axis=1) == pytest.approx(radius, rel=1e-12)
    assert np.isnan(ring(setting.geometry, 1.2, 0.59)).all()
    corner = max(np.hypot(slow - centre[0], fast - centre[1]) for slow in (0, 300) for fast in (0, 300)) * 0.2
    assert corner_resolution(setting.geometry, 1.2) == pytest.approx(1.2 / (2 * np.sin(np.arctan2(corner, 70) / 2)))


def test_ring_of_a_tilted_detector_has_one_angle():
    setting = from_line(
        "-lambda 1 -distance 70 -detpixels 300 -pixel 0.2 -detector_rotx 10 -detector_roty 20 -twotheta 15 -compat spec", "--line"
    )
    g = setting.geometry
    places = ring(g, 1.0, 2.5)
    assert np.isfinite(places).all() and np.ptp(np.linalg.norm(places - places[:-1].mean(axis=0), axis=1)) > 5
    for slow, fast in places[::60]:
        ray = np.array(g.pix0) + g.pixel_size * (slow * np.array(g.slow) + fast * np.array(g.fast))
        angle = np.arccos(ray @ g.beam / np.linalg.norm(ray))
        assert 1.0 / (2 * np.sin(angle / 2)) == pytest.approx(2.5, rel=1e-9)


def test_places_of_a_detector_whose_axes_are_not_at_right_angles():
    """A point of the plane, by its own coordinates, is hit by the ray through it."""
    words = "-fdet_vector 0 0 1 -sdet_vector 0 -1 0.3 -odet_vector 1 0 0 -detector_rotz 20 -distance 70 -detpixels 300 -pixel 0.2"
    g = from_line(f"{words} -compat spec", "--line").geometry
    assert abs(np.dot(g.fast, g.slow)) > 0.2
    slow, fast = np.array([0.0, 17.5, 200.0]), np.array([0.0, 280.0, 33.0])
    points = np.array(g.pix0) + g.pixel_size * (np.outer(slow, g.slow) + np.outer(fast, g.fast))
    assert hits(g, 3.0 * points) == pytest.approx(np.column_stack([slow, fast]), abs=1e-9)
    moved = (hits(g, points + 1e-6 * np.eye(3)[1]) - hits(g, points - 1e-6 * np.eye(3)[1])) / 2e-6
    assert slopes(g, points)[:, :, 1] == pytest.approx(moved, rel=1e-6)
    assert np.isnan(hits(g, -points)).all()


@pytest.mark.parametrize(
    "convention", ["", "-xds", "-adxv", "-denzo -Xbeam 3 -Ybeam 4", "-compat spec -dials", "-compat spec -xds -twotheta 10"]
)
def test_geometry_from_the_header_is_that_of_the_line(folder, capfdbinary, convention):
    run_small(folder, capfdbinary, convention)
    header, line = from_smv("intimage.img", "FILE"), from_line(f"{SMALL} {convention}", "--line")
    # The C program's header has six digits.
    near = {"abs": 1e-9} if "spec" in convention else {"rel": 2e-5}
    assert header.wavelength_A == pytest.approx(line.wavelength_A, **near)
    for name in ("fbeam", "sbeam", "distance", "pixel_size", "size"):
        assert getattr(header.geometry, name) == pytest.approx(getattr(line.geometry, name), **near)
    grid = np.meshgrid(np.linspace(0.3, 30, 7), np.linspace(0.3, 40, 9))
    assert resolution_at(header.geometry, 1.0, *grid) == pytest.approx(resolution_at(line.geometry, 1.0, *grid), rel=1e-4)


def test_a_header_that_leaves_the_tilt_open_gives_no_rings(folder, capfdbinary):
    run_small(folder, capfdbinary, "-detector_roty 20")
    assert main(["intimage.img", "--out", "a.png"]) == 0
    assert b"no rings: intimage.img: the detector is tilted" in capfdbinary.readouterr().out
    assert main(["intimage.img", "--rings", "3", "--out", "b.png"]) == 2 and not Path("b.png").exists()
    assert "the detector is tilted" in capfdbinary.readouterr().err.decode()
    assert main(["intimage.img", f"--line={SMALL} -detector_roty 20", "--rings", "3", "--out", "b.png"]) == 0


# What is drawn


def test_fast_runs_to_the_right_and_slow_down(folder):
    image = np.full((60, 80), 1.0, np.float32)
    image[10, 70] = 1000.0
    np.save("one.npy", image)
    assert main(["one.npy", "--levels", "1", "1000", "--out", "a.png"]) == 0
    picture = np.asarray(Image.open("a.png").convert("RGB")).astype(int)
    assert picture.shape[1] > 600
    # The grey bar and the text apart: the frame is the box of black lines, the spot the one solid block inside.
    dark = (picture.sum(axis=2) < 60) & (np.ptp(picture, axis=2) < 10)
    columns, rows = dark.sum(axis=0), dark.sum(axis=1)
    left, right = np.flatnonzero((columns > 0.6 * columns.max()) & (np.arange(len(columns)) < 0.85 * len(columns)))[[0, -1]]
    top, bottom = np.flatnonzero(rows > 0.6 * rows.max())[[0, -1]]
    inside = dark[top + 4 : bottom - 3, left + 4 : right - 3]
    slow, fast = np.argwhere(inside).mean(axis=0) + 4
    assert slow / (bottom - top) * 60 == pytest.approx(10.5, abs=0.3)
    assert fast / (right - left) * 80 == pytest.approx(70.5, abs=0.3)
    assert inside.sum() == pytest.approx((bottom - top) * (right - left) / 4800, rel=0.35)


def test_markers_lie_where_numpy_says(folder, figures):
    """0 0 4 of a cubic cell, turned onto the sphere about y; MOSFLM's fast is z and slow -y, its beam x."""
    theta = np.degrees(np.arcsin(4 / 100))
    words = f"{CRYSTAL} -misset 0 {-theta:.12g} 0 -lambda 1 -distance 100 -detpixels_x 300 -detpixels_y 200 -pixel 0.1 -Xbeam 9 -Ybeam 14"
    np.save("blank.npy", np.ones((200, 300)))
    assert main(["blank.npy", f"--spots={words}", "--rings", "12.5", "--out", "a.png"]) == 0
    (axes,) = panels_of(figures[0])
    ray = np.array([1 - 2 * np.sin(np.radians(theta)) ** 2, 0.0, np.sin(np.radians(2 * theta))])
    expected = np.array([140.5 + 1000 * ray[2] / ray[0], 90.5])
    (markers,) = axes.collections
    at = np.abs(np.array(markers.get_offsets()) - expected).max(axis=1)
    assert at.min() < 1e-6
    texts = {text.get_text(): text for text in axes.texts}
    assert texts["0 0 4"].xy == pytest.approx(expected) and "12.5 Å" in texts
    line = axes.lines[0].get_xydata()
    assert np.hypot(line[:, 0] - 140.5, line[:, 1] - 90.5) == pytest.approx(1000 * np.tan(np.radians(2 * theta)))
    assert axes.lines[1].get_xydata() == pytest.approx(np.array([[140.5, 90.5]]))
    assert axes.get_xlim() == (0, 300) and axes.get_ylim() == (200, 0)


def test_the_cross_is_where_the_direct_beam_is_also_on_a_tilted_detector_in_c(folder, figures):
    """An image of the reflection 0 0 0 alone; Fbeam and Sbeam of "c" are fifteen pixels off here."""
    tilted = "-lambda 1 -distance 40 -detpixels 200 -pixel 0.18 -detector_rotx 7.6 -detector_roty -4.2 -detector_rotz -15.7 -twotheta 17.4"
    words = f"{CRYSTAL} -round_xtal -N 9 -misset 5 7 9 {tilted} -oversample 6"
    parameters = parameters_from_command_line(words, "c")
    alone = replace(parameters.crystal, structure_factors=from_arrays([[0, 0, 0]], [100.0]), default_F=0.0)
    run = simulate(replace(parameters, crystal=alone), compat="c")
    np.save("a.npy", run.image)
    assert main(["a.npy", "--line", words, "--out", "a.png"]) == 0
    brightest = np.array(np.unravel_index(np.argmax(run.image), run.image.shape)) + 0.5
    crosses = [line.get_xydata() for line in panels_of(figures[0])[0].lines if line.get_marker() == "+"]
    assert len(crosses) == 1 and np.abs(crosses[0][0, ::-1] - brightest).max() < 1.0
    assert abs(run.geometry.sbeam / run.geometry.pixel_size - brightest[0]) > 5


def test_labels_and_resolution_of_spots(folder, figures):
    np.save("blank.npy", np.ones((300, 300)))
    line = f"{CRYSTAL} -gauss_xtal -misset 5 7 9 -lambda 1 -distance 50 -detpixels 300 -pixel 0.2 -mosaic 1 -mosaic_dom 20"
    assert main(["blank.npy", "--line", line, "--spots", "--labels", "3", "--rings", "--out", "a.png"]) == 0
    assert main(["blank.npy", "--line", line, "--spots", "--labels", "0", "--resolution", "4", "--rings", "--out", "a.png"]) == 0
    all_of_them, coarse = (panels_of(figure)[0] for figure in figures)
    assert len(all_of_them.texts) == 3 and not coarse.texts
    assert 0 < len(coarse.collections[0].get_offsets()) < len(all_of_them.collections[0].get_offsets())


def test_a_window_shows_its_pixels_at_their_numbers(folder, figures, capsys):
    image = np.random.default_rng(1).gamma(1.0, 10.0, (40, 50))
    np.save("a.npy", image)
    assert main(["a.npy", "--roi", "10", "29", "5", "14", "--out", "a.png"]) == 0
    (axes,) = panels_of(figures[0])
    (drawn,) = axes.images
    low = drawn.norm.vmin
    assert np.array_equal(drawn.get_array(), np.maximum(image[5:15, 10:30], low)) and tuple(drawn.get_extent()) == (10, 30, 15, 5)
    assert f"50x40 pixels of float64, {image.min():g} to {image.max():g}" in capsys.readouterr().out


def test_large_images_keep_their_spots(folder, figures):
    image = np.ones((2500, 2100), np.float32)
    image[2499, 1000] = 500.0
    np.save("a.npy", image)
    assert main(["a.npy", "--levels", "1", "500", "--out", "a.png"]) == 0
    (axes,) = panels_of(figures[0])
    shown = axes.images[0].get_array()
    assert shown.shape == (834, 700) and np.argwhere(shown == 500.0).tolist() == [[833, 333]]
    assert "brightest of 3x3 pixels" in axes.get_title() and axes.get_ylim() == (2500, 0)


def test_a_comparison_shows_the_difference_and_its_figures(folder, figures, capsys):
    rng = np.random.default_rng(2)
    a, b = rng.gamma(1.0, 10.0, (30, 20)), rng.gamma(1.0, 10.0, (30, 20))
    b[3, 4] = np.nan
    np.save("a.npy", a), np.save("b.npy", b)
    assert main(["a.npy", "--compare", "b.npy", "--out", "a.png"]) == 0
    one, other, difference = panels_of(figures[0])
    assert [axes.get_title() for axes in (one, other, difference)] == ["a.npy", "b.npy", "difference"]
    shown = difference.images[0].get_array().filled(np.nan)
    assert np.array_equal(shown, b - a, equal_nan=True)
    assert difference.images[0].norm.vmax == -difference.images[0].norm.vmin == np.nanmax(np.abs(b - a))
    good = np.isfinite(b)
    out = capsys.readouterr().out
    assert float(out.split("correlation")[1].split()[0]) == pytest.approx(np.corrcoef(a[good], b[good])[0, 1], abs=1e-9)
    assert float(out.split("RMSE")[1].split()[0]) == pytest.approx(np.sqrt(np.mean((b - a)[good] ** 2)), rel=1e-5)
    assert float(out.split("max |difference|")[1].split()[0]) == pytest.approx(np.abs(b - a)[good].max(), rel=1e-5)
    assert float(out.split("sum of B / A")[1].split()[0]) == pytest.approx(b[good].sum() / a[good].sum(), rel=1e-9)


# Files


def test_all_that_a_run_writes_is_opened(folder, capfdbinary):
    run_small(folder, capfdbinary)
    floats = np.fromfile("floatimage.bin", "<f4").reshape(30, 40)
    assert np.array_equal(read_image("floatimage.bin", "", (40, 30)), floats)
    grey = np.frombuffer(Path("image.pgm").read_bytes()[-1200:], "u1").reshape(30, 40)
    assert np.array_equal(read_image("image.pgm", "", None), grey) and grey.max() == 255
    counts = np.frombuffer(Path("intimage.img").read_bytes()[-2400:], "<u2").reshape(30, 40)
    assert np.array_equal(read_image("intimage.img", "", None), counts)
    for words in (
        ["floatimage.bin", "--size", "40", "30"],
        ["floatimage.bin", "--header", "noiseimage.img"],
        ["image.pgm"],
        ["noiseimage.img"],
    ):
        assert main([*words, "--out", "a.png"]) == 0
        assert b"40x30 pixels" in capfdbinary.readouterr().out
        assert Image.open("a.png").size[0] > 600


def test_other_formats(folder, capsys):
    import fabio

    run = simulate(parameters_from_command_line(SMALL))
    counts = np.round(run.image).astype(np.int32)
    run.save("a.npy"), run.save("a.edf")
    fabio.cbfimage.CbfImage(data=counts).write("a.cbf")
    np.save("stack.npy", np.stack([run.image, 2 * run.image]))
    assert np.array_equal(read_image("a.npy", "", None), run.image) and np.array_equal(read_image("a.edf", "", None), run.image)
    assert np.array_equal(read_image("a.cbf", "", None), counts)
    assert np.array_equal(read_image("stack.npy", "", None, 2), 2 * run.image)
    Path("wide.pgm").write_bytes(b"P5 # by hand\n2\n# more\n1 1000 " + np.array([[999, 3]], ">u2").tobytes())
    assert read_image("wide.pgm", "", None).tolist() == [[999, 3]]
    for name in ("a.npy", "a.edf", "a.cbf", "wide.pgm"):
        assert main([name, "--out", "a.png"]) == 0
    assert main(["stack.npy", "--frame", "2", "--out", "a.png"]) == 0
    assert "stack.npy, frame 2: 40x30" in capsys.readouterr().out


def test_raw_floats_without_a_size(folder, capsys):
    np.arange(1, 401, dtype="<f4").tofile("square.bin")
    assert main(["square.bin", "--out", "a.png"]) == 0
    assert "taken for a square image, 20x20 pixels" in capsys.readouterr().err
    np.arange(1, 301, dtype="<f4").tofile("other.bin")
    assert main(["other.bin", "--out", "b.png"]) == 2
    assert "1200 bytes of raw floats are no square image: give its size, --size FAST SLOW" in capsys.readouterr().err


def test_odd_pixels(folder, capsys):
    """Switches, nothing lit, nothing finite, counts below zero."""
    images = (
        np.eye(20, 30, dtype=bool),
        np.zeros((20, 30)),
        np.full((20, 30), np.nan),
        -np.ones((20, 30), np.int64),
        np.where(np.eye(9), np.inf, 0.0),
    )
    for image in images:
        np.save("odd.npy", image)
        assert main(["odd.npy", "--out", "a.png"]) == 0
    out = capsys.readouterr().out
    assert "0 to 1" in out and "none finite" in out and "-1 to -1" in out and "0 to 0, 9 not finite" in out


def test_raw_floats_beside_an_image_have_its_size(folder, capsys):
    np.save("a.npy", SAVED), SAVED.tofile("b.bin")
    assert main(["a.npy", "--compare", "b.bin", "--out", "a.png"]) == 0
    assert "pixels that differ  0 of 1200" in capsys.readouterr().out


SAVED = np.ones((30, 40), np.float32)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.img"], "none.img: no such file"),
        (["empty.npy"], "empty.npy: the file is empty"),
        (["text.img"], "text.img: not an image that can be read"),
        (["short.pgm"], "short.pgm: truncated, 3 bytes of pixels where 4x4 need 16"),
        (["odd.pgm"], "odd.pgm: its PGM header does not give"),
        (["objects.npy"], "objects.npy: cannot be read as npy"),
        (["cut.npy"], "cut.npy: cannot be read as npy"),
        (["line.npy"], "not a plain image, but float64 numbers of shape (7,)"),
        (["a.npy", "--frame", "2"], "there is no frame 2"),
        (["a.npy", "--frame", "0"], "frames are counted from 1"),
        (["a.npy", "--roi", "0", "40", "0", "5"], "--roi: the window reaches beyond the image of 40x30 pixels"),
        (["a.npy", "--roi", "5", "4", "0", "5"], "--roi 5 4 0 5: no window"),
        (["a.npy", "--rings", "3"], "--rings: the file says nothing of the detector"),
        (["a.npy", "--rings", "-3"], "--rings -3: spacings must be positive"),
        (["a.npy", "--spots"], "--spots: a.npy has no command line recorded"),
        (["a.npy", "--spots", "-lambda 1 -distance 40 -detpixels_x 40 -detpixels_y 30"], "--spots: gives no crystal"),
        (["a.npy", "--spots", f"{CRYSTAL} -frobnicate 3"], "--spots: unknown option -frobnicate"),
        (["a.npy", "--line", "-detpixels 17"], "is about 17x17 pixels, and a.npy has 40x30"),
        (["a.npy", "--line", "-help"], "--line: -help, -version and -batch make no image"),
        (["a.npy", "--line", f"-curved_det {SMALL}", "--rings", "3"], "rings cannot be worked out for a curved detector"),
        (["a.npy", "--header", "a.npy"], "--header a.npy: not an SMV image"),
        (["a.npy", "--levels", "0", "5"], "--levels 0 5: the scale is logarithmic"),
        (["a.npy", "--labels", "-1"], "--labels -1: must be 0 or more"),
        (["a.npy", "--compare", "small.npy"], "--compare small.npy: has 4x4 pixels, a.npy 40x30"),
        (["a.npy", "--size", "0", "4"], "--size takes two numbers above zero"),
        (["a.npy", "--out", "a.jpg"], "--out a.jpg: the picture is written as PNG"),
        (["a.npy", "--out", "nowhere/a.png"], "nowhere does not exist"),
        ([], "the following arguments are required: FILE"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(folder, capsys, words, sentence):
    np.save("a.npy", SAVED), np.save("small.npy", SAVED[:4, :4]), np.save("line.npy", np.ones(7))
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("cut.npy").write_bytes(Path("a.npy").read_bytes()[:200])
    Path("empty.npy").touch()
    Path("text.img").write_text("no image\n")
    Path("short.pgm").write_bytes(b"P5\n4 4\n255\nabc")
    Path("odd.pgm").write_bytes(b"P5\nfour 4\n255\nabc")
    before = sorted(os.listdir())
    assert main([*words, *([] if "--out" in words else ["--out", "out.png"])]) == 2
    out, err = capsys.readouterr()
    assert sentence in err, err
    assert err.startswith("nb-view: error: ") and err.count("\n") == 1 and out == ""
    assert sorted(os.listdir()) == before


def test_without_a_display_the_name_is_the_files(folder, capsys):
    np.save("some.npy", SAVED)
    assert main(["some.npy"]) == 0 and Path("some.png").exists()
    assert "written to some.png" in capsys.readouterr().out
    Path("some.png").write_bytes(b"mine")
    assert main(["some.npy"]) == 2 and Path("some.png").read_bytes() == b"mine"
    assert "some.png is there already" in capsys.readouterr().err
    assert main(["some.npy", "--out", "some.png"]) == 0 and Path("some.png").read_bytes().startswith(b"\x89PNG")


def test_a_display_that_cannot_be_used(folder, capsys, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":99")
    np.save("some.npy", SAVED)
    assert main(["some.npy"]) == 0 and Path("some.png").exists()
    assert "no window can be opened" in capsys.readouterr().err


def test_the_image_itself_is_not_overwritten(folder, capsys):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save("a.png")
    before = Path("a.png").read_bytes()
    assert main(["a.png", "--out", "a.png"]) == 2 and Path("a.png").read_bytes() == before
    assert "is the image that is shown" in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    np.save("some.npy", SAVED)
    assert main(["some.npy", "--out", "a.png"]) == 2
    assert "pip install 'nanobragg_numba[plots]'" in capsys.readouterr().err


def test_the_picture_is_the_same_each_time(folder):
    np.save("some.npy", np.random.default_rng(1).gamma(1.0, 10.0, (40, 50)))
    assert main(["some.npy", "--out", "a.png"]) == 0 and main(["some.npy", "--out", "b.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert Image.open(io.BytesIO(Path("a.png").read_bytes())).format == "PNG"
