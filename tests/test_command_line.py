"""The reference's matching rules, and what they lead to."""

import math

import pytest

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.command_line.doubtful_words import nearest_option
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.experiment.detector import derive_geometry
from nanobragg_numba.maths.c_numbers import atof, atoi, c_format

BASE = "-cell 70 80 90 -default_F 1"


def read(words: str, compat="c"):
    return read_command_line(f"{BASE} {words}".split(), compat).parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5e3x", 1500.0), ("abc", 0.0), (" -2", -2.0), ("+.5", 0.5), ("1e", 1.0), ("", 0.0), ("0x10", 16.0), ("5.", 5.0), ("-", 0.0)],
)
def test_atof(text, value):
    assert atof(text) == value


@pytest.mark.parametrize(("text", "value"), [("12.9", 12), ("-3x", -3), ("x", 0), ("4294967297", 1), ("2147483648", -(2**31))])
def test_atoi(text, value):
    assert atoi(text) == value


def test_percent_signs_beside_a_nan():
    # What looks like "% s" begins with the second half of "%%".
    assert c_format("%g steradian ( %g%% sphere)", -math.nan, -math.nan) == "-nan steradian ( -nan% sphere)"
    assert c_format("%5.2f%%%g%%", math.nan, 2.0) == "  nan%2%"


def test_a_value_that_a_later_word_replaces_is_not_refused():
    for words in ("-energy 0 -lambda 1.5", "-energy inf -lambda 1.5", "-lambda inf -lambda 1.5", "-lambda nan -energy 8265.613333333333"):
        for compat in ("c", "spec"):
            assert read(words, compat).beam.wavelength_A == pytest.approx(1.5), words
    assert read("-misset nan 0 0 -misset 1 2 3").crystal.misset_deg == (1, 2, 3)
    assert read("-density nan").crystal == read("").crystal
    for words in ("-lambda 1.5 -energy 0", "-energy 0", "-lambda 1.5 -energy -3"):
        with pytest.raises(InputError, match="-energy must be positive, in eV"):
            read(words)
    with pytest.raises(InputError, match="-distance: 'nan' is not a finite number"):
        read("-distance 100 -distance nan -lambda 1")


def test_a_negative_thickness_becomes_the_references_half_micrometre():
    g = derive_geometry(read("-detector_thick -5 -detector_thicksteps 3 -detpixels 8"), "c")
    assert (g.thickness, g.layers) == (0.5e-6, 3) and g.layer_thickness == 0.5e-6 / 3 and g.mu == 1 / 0.5e-6


def header(folder, **values) -> str:
    """An SMV image of 8 x 6 pixels with these keys."""
    lines = "{\nHEADER_BYTES=512;\nTYPE=unsigned_short;\nSIZE1=8;\nSIZE2=6;\n" + "".join(f"{k}={v};\n" for k, v in values.items())
    path = folder / "header.img"
    path.write_bytes((lines + "}\f").encode().ljust(512) + b"\1\0" * 48)
    return str(path)


def test_words_about_the_place_have_the_last_word_over_a_header(tmp_path):
    image = header(tmp_path, PIXEL_SIZE=0.5, BEAM_CENTER_X=1, BEAM_CENTER_Y=1.5, ORGX=3.1, ORGY=2.6, DISTANCE=80)
    near = {"mosflm": (1.75, 1.25), "xds": (1.3, 1.05), "dials": (1.3, 1.05), "denzo": (1.5, 1.0)}
    for convention, point in near.items():
        # Of the header's two points, that of the pivot.
        g = derive_geometry(read(f"-img {image} -{convention}", "spec"), "spec")
        assert (g.fclose * 1000, g.sclose * 1000, g.close_distance * 1000) == pytest.approx((*point, 80)), convention
        g = derive_geometry(read(f"-img {image} -{convention} -ORGX 4 -Yclose 2", "spec"), "spec")
        assert (g.fclose * 1000, g.sclose * 1000) == pytest.approx((1.75, 2)), convention
    g = derive_geometry(read(f"-xds -Xbeam 2 -img {image}", "spec"), "spec")
    assert (g.fbeam * 1000, g.sbeam * 1000) == pytest.approx((2, 1.5))
    both = header(tmp_path, PIXEL_SIZE=0.5, DISTANCE=80, CLOSE_DISTANCE=75)
    for words, plane in (("", 75), ("-distance 90", 90), ("-close_distance 60", 60)):
        assert derive_geometry(read(f"-img {both} -xds {words}", "spec"), "spec").close_distance * 1000 == pytest.approx(plane)


def test_nan_prints_as_in_glibc():
    assert c_format("%g|%8.3f|%-6g|", -math.nan, math.nan, 1.0) == "-nan|     nan|1     |"


def test_containment_and_length():
    assert read("-wavelength 2").beam.wavelength_A == 2.0
    assert read("-mosaicity 0.5").crystal.mosaic_spread_deg == 0.5
    assert read("-mosaic_domains 7").crystal.mosaic_spread_deg is None
    assert read("-phisteps 7").sampling.phistep_deg is None
    assert read("-detpixels_x 7").detector.pixels == (7, 0)


def test_one_word_several_options():
    swung = read("-twotheta 10 -twotheta_axis 0.3 0 1").detector
    assert swung.twotheta_deg == 0.3 and swung.pivot == "sample" and swung.convention == "custom"
    assert read("-point_pixel").detector.pixel_size_mm == 0.1


def test_cell_takes_one_to_six_numbers():
    assert read_command_line("-cell 50 -default_F 1 -N 3".split()).parameters.crystal.cell == (50, 0, 0, 0, 0, 0)
    assert read_command_line("-cell 50 60 70 80 -N 3".split()).parameters.crystal.cell == (50, 60, 70, 80, 0, 0)


@pytest.mark.parametrize(
    ("words", "pivot"),
    [
        ("-distance 100", "beam"),
        ("-distance 100 -close_distance 90", "sample"),
        ("-ORGX 3 -Xbeam 4", "beam"),
        ("-Xclose 3 -pivot beam", "beam"),
        ("-xds -distance 100", "beam"),
    ],
)
def test_the_last_pivot_wins(words, pivot):
    assert read(words).detector.pivot == pivot


def test_misset_seed_is_read_as_misset_in_c_alone():
    line = "-misset random -misset_seed 42 -lambda 1.0"
    assert read(line).crystal.misset_deg == (42.0, 0.0, 1.0)
    spec = read(line, "spec").crystal
    assert spec.misset_deg == "random" and spec.misset_seed == 42


def test_curved_det_as_the_last_word():
    assert not read("-curved_det").detector.curved
    assert read("-curved_det", "spec").detector.curved
    assert read("-curved_det -N 1").detector.curved


def test_detector_abs():
    assert read("-detector_thick 100 -detector_abs inf").detector.thickness_um == 0.0
    assert read("-detector_abs 250").detector.attenuation_depth_um == 250.0


def test_pix0_in_metres_and_millimetres():
    assert read("-pix0_vector 0.1 0 0").detector.pix0_mm == (100.0, 0.0, 0.0)
    assert read("-pix0_vector_mm 0.1 0 0").detector.pix0_mm == (0.1, 0.0, 0.0)


def test_a_line_from_a_script():
    line = "nanoBragg -cell 70 80 90 90 90 90 -default_F 10 -N 5 -lambda 1.2 -floatfile 'my image.bin'"
    assert parameters_from_command_line(line) == parameters_from_command_line(line.replace("'my image.bin'", "x").split()[1:])
    with pytest.raises(InputError, match="no crystal"):
        parameters_from_command_line("-lambda 1")


@pytest.mark.parametrize(("wrong", "right"), [("-distnace", "-distance"), ("-mosiac", "-mosaic"), ("-flunce", "-fluence")])
def test_nearest_option(wrong, right):
    assert nearest_option(wrong) == right


def test_words_that_mean_nothing_are_found():
    line = read_command_line(f"{BASE} -misset -10 -20 -30 -offset 7 -hdiv 3".split())
    assert line.ignored == ("-offset", "-hdiv")
