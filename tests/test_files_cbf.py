"""miniCBF: the counts as fabio and a plain decoder find them, the header as its readers take it, and what it has no words for."""

import re
from dataclasses import replace

import fabio
import numpy as np
import pytest

from nanobragg_numba import InputError, parameters_from_command_line, poisson_image, simulate
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.files import cbf

LINE = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1.1 -distance 101.5 -detpixels_f 24 -detpixels_s 16 -pixel 0.8 -oversample 1"
PLACE = "-Xbeam 4 -Ybeam 5 -phi 12 -osc 0.5 -phisteps 2"


def experiment(words):
    return derive_experiment(parameters_from_command_line(f"{LINE} {words}"))


def decoded(content):
    """The counts behind the mark, by the definition of x-CBF_BYTE_OFFSET: differences of 8 bits, or after -128 of 16, after that of 32."""
    start = content.index(b"\x0c\x1a\x04\xd5") + 4
    size, fast, slow = (
        int(re.search(rb"X-Binary-Size%s: (\d+)" % key, content)[1]) for key in (b"", b"-Fastest-Dimension", b"-Second-Dimension")
    )
    value, place, counts = 0, start, []
    while place < start + size:
        for width in (1, 2, 4, 8):
            step = int.from_bytes(content[place : place + width], "little", signed=True)
            place += width
            if width == 8 or step != -(2 ** (8 * width - 1)):
                break
        value += step
        counts.append(value)
    return np.array(counts).reshape(slow, fast)


def header(content):
    """The comments, a line a key, as dxtbx and iotbx look for them."""
    block = content[: content.index(b"_array_data.data")].decode()
    return {
        line.split()[1].rstrip(":"): line.split()[2:] for line in block.splitlines() if line.startswith("#") and not line.startswith("##")
    }


@pytest.mark.parametrize("kind", ["u2", "i4", "u4", "f8"])
def test_counts_come_back(kind, tmp_path):
    rng = np.random.default_rng(4)
    # Steps of every width that the compression has, and a frame that is not square.
    image = np.rint(np.exp(rng.uniform(0.0, np.log(65535 if kind == "u2" else 2.1e9), (16, 24)))).astype(kind)
    if kind == "i4":
        image[3:5, 6] = -1, -2
    content = b"".join(cbf.contents(image, experiment(PLACE)))
    assert np.array_equal(decoded(content), image)
    (tmp_path / "a.cbf").write_bytes(content)
    with fabio.open(tmp_path / "a.cbf") as opened:
        assert np.array_equal(opened.data, image)
    assert content == b"".join(cbf.contents(image, experiment(PLACE)))


@pytest.mark.parametrize("convention", ["mosflm", "xds", "denzo"])
def test_the_header_says_where_all_is(convention):
    x = experiment(f"-{convention} {PLACE} -polar 0.9 -exposure 0.2 -detector_abs 300 -detector_thick 450")
    g = x.geometry
    keys = header(b"".join(cbf.contents(np.zeros((16, 24), np.uint16), x)))
    numbers = {key: float(re.sub("[(),]", "", words[0])) for key, words in keys.items() if re.match(r"\(?[\d.]", words[0])}
    assert numbers == pytest.approx({
        "Pixel_size": 0.0008, "Exposure_time": 0.2, "Exposure_period": 0.2, "Count_cutoff": 65535, "Wavelength": 1.1,
        "Detector_distance": 0.1015, "Beam_xy": g.fbeam / g.pixel_size, "Filter_transmission": 1, "Start_angle": 12, "Angle_increment": 0.5,
        "Polarization": 0.95, "Detector_2theta": 0, "Kappa": 0, "Phi": 12, "N_oscillations": 1,
    }, rel=1e-12)  # fmt: skip
    assert float(keys["Beam_xy"][1].rstrip(")")) == pytest.approx(g.sbeam / g.pixel_size, rel=1e-12)
    assert keys["Silicon"] == ["sensor,", "thickness", "0.00045", "m"] and keys["Pixel_size"][1:] == ["m", "x", "0.0008", "m"]


@pytest.mark.parametrize(("words", "why"), [
    ("-twotheta 1", "this one is turned"),
    ("-detector_roty 0.001", "this one is turned"),
    ("-fdet_vector 0 0 1 -sdet_vector 0 -1 0.1", "this one is turned"),
    ("-adxv", "this one is seen from behind"),
    ("-dials -phi 1 -osc 1", "a spindle along the fast axis"),
    ("-spindle_axis 0 0 -1 -osc 1", "a spindle along the fast axis"),
    ("-curved_det", "-curved_det"),
])  # fmt: skip
def test_what_the_header_has_no_words_for_is_refused(words, why):
    with pytest.raises(InputError, match=why):
        list(cbf.contents(np.zeros((16, 24), np.uint16), experiment(words)))


def test_a_turn_in_the_plane_and_a_still_about_any_spindle_are_described():
    for words in ("-detector_rotx 40 -osc 0", "-dials -phi 33", "-spindle_axis 0 1 1"):
        assert list(cbf.contents(np.zeros((16, 24), np.uint16), experiment(words)))


def test_numbers_that_do_not_fit_are_refused():
    x = experiment("")
    for value in (0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="would cut fractions of photons off"):
            list(cbf.contents(np.full((16, 24), value), x))
    for value in (2.0**31, -(2.0**31) - 1):
        with pytest.raises(InputError, match="a CBF file holds counts up to 2147483647, not"):
            list(cbf.contents(np.full((16, 24), value), x))
    with pytest.raises(InputError, match=r"a CBF file holds counts up to 2147483647, not 4\.29"):
        list(cbf.contents(np.full((16, 24), 2**32 - 1, np.uint32), x))


def test_noise_is_saved_and_photons_are_not(tmp_path):
    run = simulate(parameters_from_command_line(f"{LINE} -fluence 1e27"))
    with pytest.raises(InputError, match="would cut fractions of photons off"):
        run.save(tmp_path / "a.cbf")
    noise = replace(run, image=poisson_image(run.image, run.seeds.noise))
    noise.save(tmp_path / "a.cbf")
    assert noise.image.max() > 10 and np.array_equal(decoded((tmp_path / "a.cbf").read_bytes()), noise.image)
