"""noisify and nonBragg as commands: bad input, our own options, what is meant where the reference reads memory that was never set."""

import os
import shutil

import numpy as np
import pytest
from running import GOLDEN, sister

INPUTS = GOLDEN / "sister" / "inputs"
NOISY = ["-floatfile", "spots.bin", "-detpixels_x", "64", "-detpixels_y", "48", "-seed", "1"]
WATER = ["-stol", "shortwater.stol", "-detpixels", "20", "-pixel", "2", "-seed", "1"]


@pytest.fixture
def folder(tmp_path):
    for name in ("spots.bin", "header.img", "shortwater.stol"):
        shutil.copy(INPUTS / name, tmp_path)
    (tmp_path / "nan.bin").write_bytes(np.array([1.0, np.nan] * 1536, "<f4").tobytes())
    (tmp_path / "huge.bin").write_bytes(np.full(3072, 3e38, "<f4").tobytes())
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "short.bin").write_bytes(bytes(100))
    (tmp_path / "no.img").write_bytes(b"P5\n1 1\n255\n" + bytes(600))
    (tmp_path / "cut.img").write_bytes((INPUTS / "header.img").read_bytes()[:100])
    (tmp_path / "empty.stol").write_bytes(b"\n\n")
    (tmp_path / "bare.stol").write_bytes(b"0.1\n0.2\n")
    (tmp_path / "inf.stol").write_bytes(b"0 2.57\n0.1 inf\n")
    return tmp_path


NOISIFY_BAD = {
    "a value is missing": ([*NOISY, "-gain"], "-gain needs 1 value"),
    "no such image": (["-floatfile", "none.bin"], "-floatfile none.bin: no such file"),
    "an empty image": (["-floatfile", "empty.bin"], "empty.bin: the file is empty"),
    "an image that is too short": (["-floatfile", "short.bin", "-detpixels", "64"], "short.bin: 100 bytes where 64x64 pixels"),
    "a pixel that is no number": (["-floatfile", "nan.bin"], "slow 0, fast 1"),
    "pixels beyond single precision": (["-floatfile", "huge.bin", "-scale", "10"], "-scale: pixels have more photons"),
    "no such header": ([*NOISY, "-header", "none.img"], "-header none.img: no such file"),
    "a header that is none": ([*NOISY, "-header", "no.img"], "-header no.img: not an SMV image"),
    "a header cut short": ([*NOISY, "-header", "cut.img"], "-header cut.img: "),
    "a negative number of pixels": (["-floatfile", "spots.bin", "-detpixels", "-8"], "-detpixels"),
    "no pixel size": ([*NOISY, "-pixel", "0"], "-pixel: the pixel size must be positive"),
    "a number that is not finite": ([*NOISY, "-gain", "nan"], "-gain: 'nan' is not a finite number"),
    "no such folder": ([*NOISY, "-noisefile", "none/a.img"], "-noisefile none/a.img"),
    "a folder as a file": ([*NOISY, "-intfile", "."], "-intfile .: is a folder"),
    "threads": ([*NOISY, "-threads", "0"], "-threads must be a whole number"),
    "strictly no unknown word": ([*NOISY, "-strict", "-gian", "2"], "unknown option -gian (the nearest is -gain)"),
    "strictly no other number of bits": ([*NOISY, "-strict", "-bits", "8"], "-bits 8: neither 16 nor 32"),
    "strictly no unknown point spread": ([*NOISY, "-strict", "-psf", "moffat"], "'moffat' is neither gauss nor fiber"),
    "strictly no output over the input": ([*NOISY, "-strict", "-intfile", "spots.bin"], "are one file"),
}
NONBRAGG_BAD = {
    "a value is missing": ([*WATER, "-MW"], "-MW needs 1 value"),
    "no such table": (["-stol", "none.stol"], "-stol none.stol: no such file"),
    "a table without data": (["-stol", "empty.stol"], "-stol empty.stol: no data in the file"),
    "a table without structure factors": (["-Q", "bare.stol"], "-Q bare.stol: no structure factors"),
    "a structure factor that is not finite": (["-stol", "inf.stol"], "-stol inf.stol: row 2"),
    "no such sources": ([*WATER, "-sourcefile", "none.txt"], "-sourcefile none.txt: no such file"),
    "no such image": ([*WATER, "-img", "none.img"], "-img none.img: no such file"),
    "an image that is none": ([*WATER, "-img", "no.img"], "-img no.img: not an SMV image"),
    "an image with too few pixels": ([*WATER, "-img", "header.img", "-detpixels", "90"], "-img header.img: 64x48 pixels where 90x90"),
    "no distance": ([*WATER, "-distance", "0"], "-distance must be positive"),
    "no pixel size": ([*WATER, "-pixel", "0"], "-pixel: the pixel size must be positive"),
    "an empty image": ([*WATER, "-detpixels", "-3"], "-detpixels/-detsize"),
    "a vector without direction": ([*WATER, "-beam_vector", "0", "0", "0"], "-beam_vector has no direction"),
    "no energy": ([*WATER, "-energy", "0"], "-energy must be positive"),
    "no weight": ([*WATER, "-MW", "0"], "-MW: the molecular weight"),
    "a flux through nothing": ([*WATER, "-flux", "1", "-beamsize", "0"], "-beamsize"),
    "no such folder": ([*WATER, "-floatfile", "none/a.bin"], "-floatfile none/a.bin"),
    "threads": ([*WATER, "-threads", "two"], "-threads must be a whole number"),
    "strictly no unknown word": ([*WATER, "-strict", "-desnity", "2"], "unknown option -desnity (the nearest is -density)"),
    "strictly no output over the input": ([*WATER, "-strict", "-intfile", "shortwater.stol"], "are one file"),
}
BAD = [("noisify", what, *case) for what, case in NOISIFY_BAD.items()] + [("nonBragg", what, *case) for what, case in NONBRAGG_BAD.items()]


@pytest.mark.parametrize(("program", "what", "words", "sentence"), BAD, ids=[f"{program} {what}" for program, what, *_ in BAD])
def test_bad_input_is_refused_in_one_sentence(program, what, words, sentence, folder, capfdbinary):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    run = sister(program, words, folder, capfdbinary)
    assert run.status == 2
    assert run.stderr.startswith(f"{program}: error: ") and sentence in run.stderr and run.stderr.count("\n") == 1
    assert run.files() == before


@pytest.mark.parametrize(("program", "usage"), [("noisify", b"usage: noisify -floatfile"), ("nonBragg", b"usage: nonBragg -stol")])
def test_without_input_the_usage_and_status_9(program, usage, tmp_path, capfdbinary):
    run = sister(program, ["-seed", "1"], tmp_path, capfdbinary)
    assert run.status == 9 and usage in run.stdout and not run.files()


@pytest.mark.parametrize("program", ["noisify", "nonBragg"])
def test_help_and_version(program, tmp_path, capfdbinary):
    run = sister(program, ["-h"], tmp_path, capfdbinary)
    assert run.status == 0 and run.stdout.startswith(program.encode()) and b"-threads N" in run.stdout and b"-compat" not in run.stdout
    assert sister(program, ["-version"], tmp_path, capfdbinary).stdout.startswith(f"{program} (nanobragg_numba) ".encode())


def test_remarks_and_quiet(folder, capfdbinary):
    words = [*NOISY, "-bits", "8", "-gian", "2", "-psf", "moffat"]
    run = sister("noisify", words, folder, capfdbinary)
    assert run.status == 0 and run.stderr.count("noisify: warning: ") == 3
    again = sister("noisify", [*words, "-quiet"], folder, capfdbinary)
    assert again.status == 0 and again.stderr == "" and again.stdout == run.stdout


def test_the_sentences_of_nanobragg_bear_its_own_name_again(folder, capfdbinary):
    from running import nanobragg

    sister("noisify", [*NOISY, "-gian", "2"], folder, capfdbinary)
    assert nanobragg(["-mat", "none.mat"], folder, capfdbinary).stderr.startswith("nanoBragg: error")


def test_a_word_that_contains_floatimage_names_the_image(folder, capfdbinary):
    shutil.copy(folder / "spots.bin", folder / "my_floatimage.bin")
    named = sister("noisify", ["my_floatimage.bin", *NOISY[2:]], folder, capfdbinary)
    assert named.status == 0 and b"importing 3072 pixel intensites: my_floatimage.bin" in named.stdout
    bare = (folder / "noiseimage.img").read_bytes()
    sister("noisify", NOISY, folder, capfdbinary)
    assert (folder / "noiseimage.img").read_bytes() == bare


def test_another_number_of_bytes_is_told(folder, capfdbinary):
    run = sister("noisify", ["-floatfile", "spots.bin", "-detpixels", "50"], folder, capfdbinary)
    assert run.status == 0 and "12288 bytes where 50x50 pixels need 10000; the rest is not read" in run.stderr
    run = sister("noisify", ["-floatfile", "spots.bin", "-detpixels", "60"], folder, capfdbinary)
    assert run.status == 0 and "12288 bytes where 60x60 pixels need 14400; what it lacks is zero" in run.stderr


def test_the_grey_image_of_nonbragg_has_a_byte_a_pixel(folder, capfdbinary):
    """Its levels are those of the float image, by the scale in its own header."""
    run = sister("nonBragg", WATER, folder, capfdbinary)
    assert run.status == 0
    head, levels = (folder / "image.pgm").read_bytes().split(b"255\n", 1)
    scale = float(run.stdout.split(b"pgm_scale = ")[1].split(b"\n")[0])
    assert head == b"P5\n20 20\n# pixels scaled by %g\n" % scale
    photons = np.frombuffer((folder / "floatimage.bin").read_bytes(), "<f4").astype(np.float64)
    wanted = np.minimum(photons * scale, 255.0)
    # The scale is printed with six digits.
    assert np.abs(np.frombuffer(levels, np.uint8) - np.floor(wanted)).max() <= 1 and len(levels) == 400


def test_one_structure_factor_everywhere(tmp_path, capfdbinary):
    """-Fmap of a table with F = 1 throughout; the photons are then polarization times solid angle."""
    (tmp_path / "one.stol").write_text("0 1\n0.1 1\n0.2 1\n0.3 1\n")
    words = ["-stol", "one.stol", "-detpixels", "30", "-pixel", "1", "-nonoise"]
    sister("nonBragg", [*words, "-Fmap"], tmp_path, capfdbinary)
    assert np.allclose(np.frombuffer((tmp_path / "floatimage.bin").read_bytes(), "<f4"), 1.0, rtol=1e-6)


def test_measured_structure_factors_are_those_of_the_table(tmp_path, capfdbinary):
    """An image computed from a table, taken by -img, gives the table back within the noise of whole counts."""
    points = np.linspace(0.0, 0.4, 30)
    F = 3.0 + 2.0 * np.sin(12.0 * points)
    (tmp_path / "t.stol").write_text("".join(f"{s:.6g} {f:.6g}\n" for s, f in zip(points, F, strict=True)))
    words = ["-stol", "t.stol", "-detpixels", "200", "-pixel", "0.5", "-distance", "60", "-fluence", "1e20", "-noprogress"]
    # The noiseless image, one count a photon.
    sister("nonBragg", [*words, "-scale", "1", "-nonoise"], tmp_path, capfdbinary)
    shutil.move(tmp_path / "intimage.img", tmp_path / "measured.img")
    run = sister("nonBragg", [*words, "-img", "measured.img", "-nonoise"], tmp_path, capfdbinary)
    assert run.status == 0, run.stderr
    found = np.loadtxt(tmp_path / "output.stol")
    assert len(found) > 10
    wanted = np.interp(found[:, 0], points, F)
    assert np.abs(found[:, 1] / wanted - 1.0).max() < 0.05


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="a superuser may write anywhere")
def test_a_folder_that_cannot_be_written_to(folder, capfdbinary):
    folder.chmod(0o500)
    run = sister("noisify", NOISY, folder, capfdbinary)
    folder.chmod(0o700)
    assert run.status == 2 and "no permission" in run.stderr
