"""SMV headers of any length, header donors by exact keys, and masks of other pixel types."""

import bz2
import gzip
import re
import shutil

import fabio
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from running import GOLDEN, nanobragg

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.files import smv
from nanobragg_numba.files.smv_header import GEOMETRY_KEYS

GOOD = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -oversample 1 -seed 1 -nopgm".split()
ORDINARY = (
    "-lambda 0.976254 -distance 423.123 -detpixels_f 24 -detpixels_s 26 -pixel 0.172345 -Xbeam 217.345 -Ybeam 211.872 -phi 123.45 -osc 0.1"
).split()
CRYSTAL = "-cell 70 80 90 90 90 90 -default_F 1"


def detector(words: str):
    return parameters_from_command_line(f"{CRYSTAL} {words}").detector


def smv_file(path, *lines: str, pixels: np.ndarray | None = None, size: int = 512):
    """An SMV image with these header lines and pixels, 3 x 2 zeros of 16 bits without."""
    pixels = np.zeros((2, 3), "<u2") if pixels is None else pixels
    slow, fast = pixels.shape
    text = "".join(f"{line};\n" for line in (f"HEADER_BYTES={size:5d}", "DIM=2", *lines, f"SIZE1={fast}", f"SIZE2={slow}"))
    path.write_bytes(("{\n" + text + "}\n").encode().ljust(size) + pixels.tobytes())
    return str(path)


def test_an_ordinary_header_outgrows_its_bytes_in_c(tmp_path, capfdbinary):
    run = nanobragg([*GOOD, *ORDINARY], tmp_path, capfdbinary)
    content = (tmp_path / "intimage.img").read_bytes()
    text = content[: content.index(b"}\f") + 2]
    assert b"HEADER_BYTES=512;" in text and len(text) > 512 and len(content) == len(text) + 2 * 24 * 26
    assert len([line for line in run.stderr.splitlines() if "Q17" in line]) == 1
    short = nanobragg([*GOOD, "-detpixels", "8"], tmp_path / "short", capfdbinary)
    assert short.status == 0 and "Q17" not in short.stderr
    assert len((tmp_path / "short" / "intimage.img").read_bytes()) == 512 + 2 * 64


def test_in_spec_it_states_them(tmp_path, capfdbinary):
    line = [*GOOD, *ORDINARY, "-scale", "1e5", "-adc", "0"]
    run = nanobragg([*line, "-compat", "spec"], tmp_path, capfdbinary)
    assert run.status == 0 and run.stderr == ""
    photons = np.fromfile(tmp_path / "floatimage.bin", "<f4").reshape(26, 24)
    image = fabio.open(str(tmp_path / "intimage.img"))
    assert int(image.header["HEADER_BYTES"]) == 1024
    assert np.array_equal(image.data, np.floor(photons * 1e5 + 0.5)) and image.data.max() > 1000
    assert image.header["DIALS_ORIGIN"].count(",") == 2 and "XDS_ORGX" in image.header
    assert fabio.open(str(tmp_path / "noiseimage.img")).data.shape == (26, 24)


def test_the_pixels_behind_an_outgrown_header_are_found(tmp_path, capfdbinary):
    shutil.copytree(GOLDEN / "inputs", tmp_path / "c")
    for extra in (0, 3, 5, 9, 14, 20):
        word = "1." + "2345" * extra
        nanobragg([*GOOD, *ORDINARY, "-phi", word[:6], "-twotheta", "-0.1234567"[: 3 + extra % 8]], tmp_path / "c", capfdbinary)
        content = (tmp_path / "c" / "intimage.img").read_bytes()
        start = max(content.index(b"}\f") + 2, 512)
        image = smv.read(str(tmp_path / "c" / "intimage.img"), "-img")
        assert image.pixels().tobytes() == content[start:] and len(content) == start + 2 * 24 * 26


@pytest.mark.parametrize("end", range(505, 520))
def test_headers_that_end_about_the_512th_byte(tmp_path, end):
    head = b"{\nHEADER_BYTES=512;\nSIZE1=3;\nSIZE2=2;\nPAD="
    text = head + b"x" * (end - len(head) - 4) + b";\n}\f"
    pixels = np.arange(1, 7, dtype="<u2").reshape(2, 3)
    (tmp_path / "i.img").write_bytes(text.ljust(512) + pixels.tobytes())
    assert len(text) == end
    assert np.array_equal(smv.read(str(tmp_path / "i.img"), "-img").pixels(), pixels)


def test_exact_keys(tmp_path):
    path = smv_file(
        tmp_path / "h.img", "DISTANCE=90", "SAMPLE_DISTANCE=7", "CLOSE_DISTANCE=80", "OLD_PIXEL_SIZE=9", "PIXEL_SIZE=0.15", "TWOTHETA=12.5",
        "PHI=3", "OMEGA_PHI_START=70", "ORGX=4.5", "BEAM_CENTER_X=1.25", "BEAM_CENTER_Y=0.75", "OSC_RANGE=-0.3", "WAVELENGTH=0.9",
    )  # fmt: skip
    parameters = parameters_from_command_line(f"{CRYSTAL} -img {path}")
    d = parameters.detector
    assert (d.distance_mm, d.close_distance_mm, d.pixel_size_mm, d.twotheta_deg) == (90.0, None, 0.15, 12.5)
    assert d.pixels == (3, 2) and d.beam_center_mm == (1.25, 0.75) and d.org_pixels == (None, None)
    assert (parameters.sampling.phi_deg, parameters.sampling.osc_deg, parameters.beam.wavelength_A) == (3.0, -0.3, 0.9)


def test_what_stands_in_for_missing_keys(tmp_path):
    path = smv_file(tmp_path / "h.img", "CLOSE_DISTANCE=80", "XDS_ORGX=4.5", "XDS_ORGY=3.5", "OSC_START=7", "OSC_RANGE=0")
    parameters = parameters_from_command_line(f"{CRYSTAL} -img {path} -xds")
    d = parameters.detector
    assert (d.distance_mm, d.close_distance_mm, d.org_pixels) == (100.0, 80.0, (4.5, 3.5))
    # A range of nothing is a still.
    assert parameters.sampling.phi_deg == 7 and parameters.sampling.osc_deg is None


def test_the_keys_of_a_mask_count_as_those_of_an_image(tmp_path):
    path = smv_file(tmp_path / "m.img", "BEAM_CENTER_X=1.25", "BEAM_CENTER_Y=0.75", "PIXEL_SIZE=0.5")
    masked = detector(f"-mask {path}")
    assert masked.beam_center_mm == (1.25, 0.75) and masked.beam_center_y_m is None and masked.mask.shape == (2, 3)
    other = smv_file(tmp_path / "i.img", "BEAM_CENTER_X=2", "BEAM_CENTER_Y=3", pixels=np.zeros((2, 3), "<u2"))
    both = detector(f"-mask {path} -img {other}")
    assert both.beam_center_mm == (2.0, 3.0) and both.pixel_size_mm == 0.1 and both.mask.shape == (2, 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-distance 200", {"distance_mm": 200.0, "close_distance_mm": None}),
        ("-close_distance 70", {"close_distance_mm": 70.0}),
        ("-ORGX 5 -ORGY 6", {"org_pixels": (5.0, 6.0), "beam_center_mm": (None, None)}),
        ("-Xbeam 5", {"beam_center_mm": (5.0, 0.75)}),
        ("-detsize 3", {"pixels": (0, 0), "size_mm": (3.0, 3.0)}),
        ("-twotheta 4", {"twotheta_deg": 4.0}),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_line_goes_before_the_header(words, expected, first, tmp_path):
    keys = ("CLOSE_DISTANCE=80", "BEAM_CENTER_X=1.25", "BEAM_CENTER_Y=0.75", "TWOTHETA=12")
    path = smv_file(tmp_path / "h.img", *keys)
    line = f"{words} -img {path}" if first else f"-img {path} {words}"
    got = detector(line)
    assert {name: getattr(got, name) for name in expected} == expected


@pytest.mark.parametrize("line", ["DISTANCE=far", "DISTANCE=", "WAVELENGTH=nan", "BEAM_CENTER_Y=1..2", "PIXEL_SIZE=0.1 mm"])
def test_a_key_whose_text_is_no_number(line, tmp_path):
    path = smv_file(tmp_path / "h.img", line)
    with pytest.raises(InputError, match=rf"-img .*h.img: {line.split('=')[0]} in the image header is"):
        detector(f"-img {path}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("NB_CONVENTION=mosfilm", "must be one of custom, adxv"),
        ("NB_ROTATIONS=1,2", "needs 3 numbers"),
        ("NB_BEAM_CENTER=1,x", "'x', not a finite number"),
        ("NB_PIVOT=middle", "must be one of beam, sample"),
    ],
)
def test_our_own_keys_refuse_nonsense(line, says, tmp_path):
    lines = [line] if "CONVENTION" in line else ["NB_CONVENTION=mosflm", line]
    with pytest.raises(InputError, match=f"{line.split('=')[0]} in the image header.*{says}"):
        detector(f"-img {smv_file(tmp_path / 'h.img', *lines)}")


def test_a_first_pixel_that_the_line_contradicts(tmp_path):
    path = smv_file(tmp_path / "h.img", "NB_CONVENTION=custom", "NB_PIX0=100.0,1.0,-1.0")
    assert detector(f"-img {path}").pix0_mm == (100.0, 1.0, -1.0)
    assert detector(f"-img {path} -pix0_vector_mm 90 2 -2").pix0_mm == (90.0, 2.0, -2.0)
    with pytest.raises(InputError, match="distance_mm on the line contradicts"):
        detector(f"-img {path} -distance 50")


TYPES = {
    "TYPE=unsigned_short": "u2", "Data_type=long int": "i4", "Data_type=unsigned long int": "u4", "Data_type=float IEEE": "f4",
    "TYPE=signed_char": "i1", "Data_type=short int": "i2", "TYPE=float": "f4",
}  # fmt: skip


@pytest.mark.parametrize("line", TYPES)
@pytest.mark.parametrize("order", ["little_endian", "big_endian"])
def test_masks_of_other_pixel_types(line, order, tmp_path):
    want = np.array([[0, 1, 0], [2, 0, 100]])
    pixels = want.astype(("<" if order == "little_endian" else ">") + TYPES[line])
    path = smv_file(tmp_path / "m.img", line, f"BYTE_ORDER={order}", pixels=pixels)
    assert np.array_equal(detector(f"-mask {path}").mask, want)


def test_the_type_that_a_rewriting_program_adds(tmp_path):
    # fabio leaves the TYPE of the image that it was given.
    path = smv_file(tmp_path / "m.img", "TYPE=unsigned_short", pixels=np.zeros((2, 3), "<u2"))
    image = fabio.open(path)
    image.data = np.array([[0, 70000, 0], [2, 0, 1]], np.int32)
    image.write(str(tmp_path / "w.img"))
    assert np.array_equal(detector(f"-mask {tmp_path / 'w.img'}").mask, image.data)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_packed_images(pack, tmp_path):
    path = smv_file(tmp_path / "m.img", "DISTANCE=90", pixels=np.array([[0, 1, 0], [2, 0, 9]], "<u2"))
    (tmp_path / "packed").write_bytes(pack((tmp_path / "m.img").read_bytes()))
    packed, plain = detector(f"-mask {tmp_path / 'packed'}"), detector(f"-mask {path}")
    assert np.array_equal(packed.mask, plain.mask) and packed.distance_mm == plain.distance_mm == 90.0


@pytest.mark.parametrize(("name", "kind"), [("m.edf", EdfImage), ("m.cbf", CbfImage), ("m.tif", TifImage)])
def test_masks_of_other_formats(name, kind, tmp_path):
    data = np.array([[0, 1, 0, 3], [2, 0, 100000, 0]], np.int32)
    kind(data=data).write(str(tmp_path / name))
    got = detector(f"-mask {tmp_path / name}")
    assert np.array_equal(got.mask != 0, data != 0) and got.pixels == (4, 2)
    with pytest.raises(InputError, match=r"no Pixel_size in|gives no geometry|not an SMV image"):
        detector(f"-img {tmp_path / name}")


def test_c_reads_as_c_and_says_so(tmp_path, capfdbinary):
    keys = ("DISTANCE=90", "CLOSE_DISTANCE=80", "TWOTHETA=5", "BEAM_CENTER_X=1", "BEAM_CENTER_Y=3", "Data_type=long int", "PIXEL_SIZE=1")
    smv_file(tmp_path / "m.img", *keys, pixels=np.ones((8, 9), "<i4"))
    run = nanobragg([*GOOD, "-mask", "m.img"], tmp_path, capfdbinary)
    (told,) = [line for line in run.stderr.splitlines() if "Q19" in line]
    for part in ("-mask m.img", "DISTANCE was", "far edge", "TWOTHETA", "'long int'"):
        assert part in told
    # Of 72 ones of 32 bits, the first 36 as 16-bit words: every other pixel is masked.
    counts = np.fromfile(tmp_path / "floatimage.bin", "<f4")
    assert (counts[1::2] == 0).all() and (counts[::2] != 0).any()
    plain = smv_file(tmp_path / "p.img", "DISTANCE=90", "BEAM_CENTER_X=1", "BEAM_CENTER_Y=1", "PIXEL_SIZE=1", "TWOTHETA=0")
    assert "Q19" not in nanobragg([*GOOD, "-img", plain], tmp_path, capfdbinary).stderr


def test_an_image_that_is_a_header_alone(tmp_path, capfdbinary):
    whole = (GOLDEN / "inputs" / "header.img").read_bytes()
    (tmp_path / "whole.img").write_bytes(whole)
    (tmp_path / "alone.img").write_bytes(whole[:512])
    line = [*GOOD, "-detpixels", "20", "-nonoise"]
    runs = {
        name: nanobragg([*line, "-img", name, "-floatfile", f"{name}.bin"], tmp_path, capfdbinary) for name in ("whole.img", "alone.img")
    }
    assert [run.status for run in runs.values()] == [0, 0]
    assert "lacks 12672 bytes" in runs["alone.img"].stderr and "Q19" not in runs["whole.img"].stderr
    assert (tmp_path / "whole.img.bin").read_bytes() == (tmp_path / "alone.img.bin").read_bytes()
    (tmp_path / "mask.img").write_bytes((GOLDEN / "inputs" / "mask.img").read_bytes()[: 512 + 88 * 2 * 10])
    run = nanobragg([*line[:-3], "-mask", "mask.img"], tmp_path, capfdbinary)
    image = np.fromfile(tmp_path / "floatimage.bin", "<f4").reshape(72, 88)
    assert run.status == 0 and "and those are masked" in run.stderr and (image[10:] == 0).all() and (image[:10] > 0).any()


def test_an_outgrown_mask_is_read_as_its_header_was_meant(tmp_path, capfdbinary):
    nanobragg([*GOOD, *ORDINARY, "-adc", "0", "-scale", "1e-9"], tmp_path, capfdbinary)
    text = (tmp_path / "intimage.img").read_bytes()
    assert re.match(rb"\{\nHEADER_BYTES=512;", text) and text.index(b"}\f") > 512
    got = detector(f"-mask {tmp_path / 'intimage.img'}")
    assert got.mask.shape == (26, 24) and got.mask.tobytes() == text[text.index(b"}\f") + 2 :]


def test_the_manual_lists_our_own_keys():
    text = (GOLDEN.parent / "docs" / "files.md").read_text()
    assert re.findall(r"^\| (NB_\w+) \| `(\S+)` \|$", text, re.M) == list(GEOMETRY_KEYS.items())
