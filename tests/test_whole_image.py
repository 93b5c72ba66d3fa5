"""Background, shadows, point spread and read-out in one run of the command, and in Python's Parameters."""

import math
from dataclasses import replace

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import (
    Background,
    Beam,
    Detector,
    DetectorResponse,
    InputError,
    Parameters,
    Shadow,
    amorphous_background,
    detector_response,
    parameters_from_command_line,
    point_spread,
    simulate,
)
from nanobragg_numba.files import smv
from nanobragg_numba.response.smooth.forms import moffat_width, pixel_integrals

TABLE = np.array([[0.0, 2.57], [0.07, 2.8], [0.16, 8.0], [0.22, 6.75], [0.3, 4.3], [0.5, 3.2]])
LINE = (
    "-cell 79 79 38 90 90 90 -misset 10 20 30 -default_F 100 -N 5 -lambda 1 -fluence 1e20 -distance 100 -detpixels 64 -pixel 0.4 "
    "-beamsize 0.05 -nopgm -seed 7 -oversample 1"
)
SAMPLE = "-background water.stol -background_thick 0.3 -beamstop 2 -beamstop_distance 50"
STILL = parameters_from_command_line(LINE)


@pytest.fixture
def run(capfdbinary):
    def run_line(folder, words, status=0):
        np.savetxt(folder / "water.stol", TABLE)
        done = nanobragg([*LINE.split(), *words.split()], folder, capfdbinary)
        assert done.status == status, done.stderr
        return done

    return run_line


def floats(folder):
    return np.fromfile(folder / "floatimage.bin", "<f4").reshape(64, 64)


def test_python_adds_the_background_and_takes_the_shadow_away():
    water = Background(TABLE, thickness_mm=0.3)
    spots, whole = simulate(STILL).image, simulate(replace(STILL, backgrounds=(water, water), shadow=Shadow(beamstop_mm=3.0))).image
    both = spots + 2.0 * amorphous_background(water, STILL)
    g = simulate(STILL).geometry
    down, along = ((np.arange(64) + 0.5) * 0.4 - 1e3 * centre for centre in (g.sbeam, g.fbeam))
    dark = down[:, None] ** 2 + along[None, :] ** 2 <= 3.0**2
    assert 150 < dark.sum() < 200 and (whole[dark] == 0.0).all()
    assert whole[~dark] == pytest.approx(both[~dark], rel=3e-7)


def test_the_command_does_the_same_as_python(run, tmp_path):
    run(
        tmp_path,
        f"-compat spec {SAMPLE} -psf fiber -psf_fwhm 300 -gain 1.7 -readout_noise 3",
    )
    response = DetectorResponse(psf="fiber", psf_fwhm_pixels=0.75, gain=1.7, readout_noise_adu=3.0)
    same = replace(STILL, backgrounds=(Background(TABLE, thickness_mm=0.3),), shadow=Shadow(2.0, 50.0), response=response)
    made = simulate(same)
    assert np.array_equal(floats(tmp_path), made.image)
    read = smv.read(str(tmp_path / "noiseimage.img"), "").pixels()
    assert np.array_equal(read, made.read_out(seed=7)) and np.array_equal(read, detector_response(made.image, response, seed=7))


def test_a_read_out_of_bare_photons_is_the_noise_image(run, tmp_path):
    (tmp_path / "bare").mkdir()
    run(tmp_path / "bare", "")
    run(tmp_path, "-gain 1")
    assert (tmp_path / "noiseimage.img").read_bytes() == (tmp_path / "bare" / "noiseimage.img").read_bytes()


@pytest.mark.parametrize("mode", ["c", "c-fixed", "spec"])
def test_backgrounds_add_up_in_every_mode(run, tmp_path, mode):
    (tmp_path / "bare").mkdir()
    run(tmp_path / "bare", f"-compat {mode} -nonoise")
    run(tmp_path, f"-compat {mode} -nonoise -background water.stol -background water.stol -background_density 2")
    added = floats(tmp_path) - floats(tmp_path / "bare")
    assert added == pytest.approx(3.0 * amorphous_background(Background(TABLE), STILL), rel=2e-3)


def test_bits_and_bad_pixels(run, tmp_path):
    run(tmp_path, "-bits 32 -gain 1e7 -badpixels 0.2 -saturation 1e9")
    image = smv.read(str(tmp_path / "noiseimage.img"), "")
    assert image.dtype == np.dtype("<u4") and image.pixels().max() == 10**9
    # Of the pixels that no photons could saturate a tenth each, within five standard deviations.
    dim = floats(tmp_path) < 20.0
    assert dim.sum() > 1000
    for value in (0, 10**9):
        assert abs((image.pixels()[dim] == value).mean() - 0.1) < 5.0 * math.sqrt(0.09 / dim.sum())


def test_a_flat_table_is_the_water_that_it_replaces(run, tmp_path):
    """2.57 electrons at every angle are what -water alone assumes."""
    (tmp_path / "flat.stol").write_text("0 2.57\n0.2 2.57\n0.5 2.57\n1 2.57\n")
    (tmp_path / "bare").mkdir()
    run(tmp_path / "bare", "-compat spec -water 200 -nonoise")
    done = run(tmp_path, "-compat spec -water 200 -stol flat.stol -nonoise")
    assert floats(tmp_path) == pytest.approx(floats(tmp_path / "bare"), rel=1e-6) and "Q22" not in done.stderr
    run(tmp_path / "bare", "-compat spec -nonoise")
    assert (floats(tmp_path) > floats(tmp_path / "bare")).all()
    (tmp_path / "flat.stol").write_text("0 2.57\n4 2.57\n")
    run(tmp_path, f"-compat spec -water 200 -Q {tmp_path}/flat.stol -nonoise")
    assert "nothing comes of it" in run(tmp_path, "-compat spec -stol water.stol -nonoise").stderr


BAD = {
    "-psf_fwhm 30": "-psf", "-gain x": "-gain", "-gain": "needs a value", "-nonoise -gain 2": "-nonoise",
    "-background_thick 3": "-background",
    "-background nothing.stol": "nothing.stol", "-background_MW 18 -background water.stol": "-background_MW", "-psf lorentz": "lorentz",
    "-bits 8": "-bits", "-saturation 70000": "-saturation", "-beamstop -1": "-beamstop", "-badpixels 2": "-badpixels",
    "-psf moffat -psf_beta 1": "-psf_beta", "-psf gauss -psf_beta 2": "moffat", "-shadow water.stol": "-shadow water.stol",
    "-calib_seed 0": "-calib_seed", "-beamstop_distance 3": "-beamstop", "-background water.stol -background_thick 0": "water.stol",
}  # fmt: skip


@pytest.mark.parametrize("words", ["-psf_fwhm 30", "-nonoise -gain 2", "-background nothing.stol", "-bits 8"])
def test_the_command_refuses_what_makes_no_sense(run, tmp_path, words):
    done = run(tmp_path, words, status=2)
    assert BAD[words] in done.stderr and not list(tmp_path.glob("*.img"))


@pytest.mark.parametrize("words", BAD)
def test_lines_are_refused_in_one_sentence(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    np.savetxt("water.stol", TABLE)
    with pytest.raises(InputError, match=BAD[words]) as caught:
        parameters_from_command_line(f"{LINE} {words}")
    assert "\n" not in str(caught.value)


def test_a_shadow_of_another_size_is_refused():
    with pytest.raises(InputError, match="-shadow"):
        simulate(replace(STILL, shadow=Shadow(mask=np.ones((3, 4)))))
    half = np.full((64, 64), 0.5)
    assert simulate(replace(STILL, shadow=Shadow(mask=half))).image == pytest.approx(simulate(STILL).image / 2.0, rel=1e-7)


def test_a_sensor_takes_its_share_of_the_background():
    plain = Parameters(beam=Beam(), detector=Detector(pixels=(20, 20), pixel_size_mm=4.0))
    thin = replace(plain, detector=replace(plain.detector, thickness_um=300.0, attenuation_depth_um=500.0))
    ratio = amorphous_background(Background(TABLE), thin) / amorphous_background(Background(TABLE), plain)
    g = simulate(replace(STILL, detector=plain.detector)).geometry
    y, x = ((np.arange(20) + 0.5) * 4.0 - 1e3 * centre for centre in (g.sbeam, g.fbeam))
    slant = 100.0 / np.sqrt(100.0**2 + y[:, None] ** 2 + x[None, :] ** 2)
    assert ratio == pytest.approx(1.0 - np.exp(-0.6 / slant), rel=1e-6)


def test_moffat_is_the_fibre_of_exponent_three_halves():
    for width in (0.2, 1.3, 6.0):
        assert pixel_integrals("moffat", width, 8, 1.5) == pytest.approx(pixel_integrals("fiber", width, 8), abs=1e-12)


@pytest.mark.parametrize("beta", [1.2, 2.0, 4.765])
@pytest.mark.parametrize("width", [0.3, 2.0])
def test_moffat_conserves_energy(width, beta):
    """All pixels of a square, and the tail beyond its edge in polar coordinates, hold all photons."""
    radius = 30
    a = moffat_width(width, beta)
    total = pixel_integrals("moffat", width, radius, beta).sum()
    angles = (np.arange(20000) + 0.5) / 20000 * math.pi / 4.0
    beyond = ((1.0 + ((radius + 0.5) / np.cos(angles) / a) ** 2) ** (1.0 - beta)).mean()
    assert total + beyond == pytest.approx(1.0, abs=1e-9)
    image = np.zeros((101, 101))
    image[50, 50] = 1e4
    assert point_spread(image, "moffat", width, radius, exact=False, beta=beta).sum() == pytest.approx(1e4, rel=1e-9)
    assert point_spread(image, "moffat", width, radius, beta=beta).sum() == pytest.approx(1e4, rel=1e-6)


def test_a_row_of_many_images_has_its_own_background(tmp_path, monkeypatch):
    from nanobragg_numba.batch import run as run_batch

    np.savetxt(tmp_path / "water.stol", TABLE)
    (tmp_path / "jobs.csv").write_text("background,background_thick\n,\nwater.stol,0.3\n")
    monkeypatch.chdir(tmp_path)
    run_batch("jobs.csv", out="made", base=f"{LINE} -nonoise", format="float", engine="inline")
    first, second = (np.fromfile(path, "<f4").reshape(64, 64) for path in sorted((tmp_path / "made").rglob("*.bin")))
    expected = first + amorphous_background(Background(TABLE, thickness_mm=0.3), STILL)
    assert second == pytest.approx(expected, rel=3e-7)
