"""-printout of pixels that computed no step or are no number: what the reference's variables then hold."""

import os
import re
import subprocess
from collections import defaultdict
from itertools import pairwise

import pytest
from running import nanobragg

LINE = "-cell 50 60 70 90 90 90 -N 5 -lambda 1 -distance 100 -pixel 0.5 -oversample 1 -seed 1 -noprogress -printout -detpixels 6".split()
# Of h from -1 to 2, k from 0 to 1, l from 3 to 5: 4 x 2 x 3, and the table has a row more each way.
LIST = "-1 0 3 10\n2 1 5 20\n0 1 4 30.5\n"
PIXEL = re.compile(
    r"^ *(?P<fast>\d+) +(?P<slow>\d+) : stol = (?P<stol>\S+) or (?P<other>\S+)\nat (?P<at>.*)\n"
    r"hkl= (?P<hkl>.*)  hkl0= (?P<nearest>.*)\n F_cell=(?P<F>\S+)  F_latt=(?P<latt>\S+)   I = (?P<I>\S+)\n"
    r"I/steps +(?P<steps>\S+)\npolar +(?P<polar>\S+)\nomega +(?P<omega>\S+)\ncapfrac +(?P<capture>\S+)\npixel +(?P<pixel>\S+)\n",
    re.M,
)
NO_STEP = "-dmin 1000".split()


def printed(words, folder, capfdbinary, text=LIST, file_name="a.hkl"):
    folder.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (folder / file_name).write_text(text)
    run = nanobragg([*LINE, *words], folder, capfdbinary)
    assert run.status == 0, run.stderr
    return [match.groupdict() for match in PIXEL.finditer(run.stdout.decode())]


def test_no_step_shows_the_last_reflection_of_the_list(tmp_path, capfdbinary):
    """h, k, l and l0 as they were read; h0 and k0 count the rows of the dump that was written since: 4 + 1 and 2 + 1."""
    pixels = printed([*NO_STEP, "-hkl", "a.hkl"], tmp_path, capfdbinary)
    assert len(pixels) == 36
    for pixel in pixels:
        assert pixel["hkl"] == "0.000000 1.000000 4.000000" and pixel["nearest"] == "5 3 4" and pixel["F"] == "30.5"
        assert (pixel["I"], pixel["pixel"]) == ("0", "0")


def test_without_a_dump_the_nearest_is_the_list_s_too(tmp_path, capfdbinary):
    (pixel,) = printed([*NO_STEP, "-hkl", "a.hkl", "-dump", "no/dump.bin", "-printout_pixel", "2", "3"], tmp_path, capfdbinary)
    assert (pixel["fast"], pixel["slow"], pixel["nearest"]) == ("2", "3", "0 1 4")


def test_interpolation_counts_to_six_in_each_row(tmp_path, capfdbinary):
    """Four points each way and a spare one: the loops over h and k end at 6, the l of the list stays."""
    for pixel in printed([*NO_STEP, "-hkl", "a.hkl", "-interpolate"], tmp_path, capfdbinary):
        assert pixel["nearest"] == "6 6 4" and pixel["F"] == "30.5"


def test_decimals_end_the_second_reading(tmp_path, capfdbinary):
    """Whole numbers are read the second time: 2.0 gives h = 2, then no k."""
    text = "-1 0 3 10\n0 1 4 30.5\n2.0 1.0 5.0 20\n"
    (pixel,) = printed([*NO_STEP, "-hkl", "a.hkl", "-dump", "no/dump.bin", "-printout_pixel", "0", "0"], tmp_path, capfdbinary, text)
    assert pixel["hkl"] == "2.000000 1.000000 5.000000" and pixel["nearest"] == "2 1 4" and pixel["F"] == "30.5"


def test_a_pixel_without_a_step_shows_the_pixel_before(tmp_path, capfdbinary):
    """A resolution limit that the corners miss: the pixels before them in the row have steps, theirs are shown."""
    by_row = defaultdict(list)
    stol = {}
    for pixel in printed(["-dmin", "60", "-hkl", "a.hkl"], tmp_path, capfdbinary):
        by_row[pixel["slow"]].append(pixel)
        stol[pixel["fast"], pixel["slow"]] = float(pixel["stol"])
    limit = 0.5 / 60 * 1e10
    cut = [place for place, value in stol.items() if value > limit]
    assert 0 < len(cut) < 36
    compared = 0
    for row in by_row.values():
        for before, pixel in pairwise(row):
            if stol[pixel["fast"], pixel["slow"]] > limit:
                assert pixel["hkl"] == before["hkl"] and pixel["nearest"] == before["nearest"] and pixel["at"] != before["at"]
                compared += 1
    assert compared > 2


@pytest.mark.parametrize("pixel_option", [[], ["-printout_pixel", "3", "3"]])
def test_a_pixel_that_is_no_number(pixel_option, tmp_path, capfdbinary):
    """A beam along the detector has no distance: 0/0 on x86 is -nan, and as a whole number the most negative one."""
    words = ["-curved_det", "-beam_vector", "0", "1", "0", "-default_F", "100", *pixel_option]
    pixels = printed(words, tmp_path, capfdbinary, None)
    assert len(pixels) == (1 if pixel_option else 36)
    for pixel in pixels:
        assert pixel["at"] == "-nan -nan -nan" and pixel["hkl"] == "-nan -nan -nan"
        assert pixel["nearest"] == " ".join(["-2147483648"] * 3)
        assert {pixel[name] for name in ("stol", "other", "polar", "omega", "pixel")} == {"-nan"}


def test_in_spec_what_was_not_computed_is_nan(tmp_path, capfdbinary):
    for pixel in printed([*NO_STEP, "-hkl", "a.hkl", "-compat", "spec"], tmp_path, capfdbinary):
        assert pixel["hkl"] == "nan nan nan" and pixel["nearest"] == "nan nan nan" and pixel["F"] == "nan" and pixel["pixel"] == "0"


@pytest.mark.skipif("NB_C_BIN" not in os.environ, reason="NB_C_BIN names no reference binary")
@pytest.mark.parametrize(
    "words",
    ["-dmin 1000 -hkl a.hkl", "-dmin 60 -hkl a.hkl", "-dmin 60 -hkl a.hkl -interpolate", "-dmin 1000 -hkl a.hkl -printout_pixel 2 2"]
    + ["-tophat_spots -hkl a.hkl", "-curved_det -beam_vector 0 1 0 -default_F 100"],
)
def test_as_the_reference_prints(words, tmp_path, capfdbinary):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "a.hkl").write_text(LIST)
    run = nanobragg([*LINE, *words.split()], ours, capfdbinary)
    c = subprocess.run([os.environ["NB_C_BIN"], *LINE, *words.split()], cwd=theirs, capture_output=True)
    got, want = run.stdout.splitlines(), c.stdout.splitlines()
    # The lattice factor before the first step is whatever C's memory held, and zero here.
    for n, line in enumerate(got):
        if b"F_latt=0 " in line:
            want[n] = re.sub(rb"F_latt=\S+", b"F_latt=0", want[n])
    assert got == want
