"""The reference's matching rules, and what they lead to."""

import math

import pytest

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.command_line.doubtful_words import nearest_option
from nanobragg_numba.command_line.reading import read_command_line
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
    line = read_command_line(f"{BASE} -misset -10 -20 -30 -gain 7 -hdiv 3".split())
    assert line.ignored == ("-gain", "-hdiv")
