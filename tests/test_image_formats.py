"""The command's images in the formats that their suffixes name, and geometry and masks from images of other formats."""

import gzip
import re
from dataclasses import replace

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from fabio.edfimage import EdfImage
from running import nanobragg

from nanobragg_numba import InputError, parameters_from_command_line, simulate
from nanobragg_numba.experiment.derive import derive_experiment

CRYSTAL = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -oversample 1 -fluence 1e28 -seed 1"
PLACE = "-lambda 1.1 -distance 101.5 -detpixels_f 24 -detpixels_s 16 -pixel 0.8 -Xbeam 4 -Ybeam 5 -phi 12 -osc 0.5 -phisteps 2"
LINE = f"{CRYSTAL} {PLACE}"
PLAIN = {"-floatfile": "floatimage.bin", "-intfile": "intimage.img", "-noisefile": "noiseimage.img"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name):
    if name.endswith(".npy"):
        return np.load(name)
    if name.endswith((".h5", ".nxs")):
        with h5py.File(name) as file:
            return file["entry/data/data"][0]
    if name.endswith(".bin"):
        return np.fromfile(name, "<f4").reshape(16, 24)
    with fabio.open(name) as image:
        return image.data.copy()


@pytest.mark.parametrize("suffix", [".npy", ".edf", ".h5", ".nxs", ".CBF"])
def test_a_suffix_names_the_format_and_the_numbers_stay(suffix, tmp_path, capfdbinary):
    plain = nanobragg(f"{LINE} -compat spec".split(), tmp_path / "plain", capfdbinary)
    flags = [flag for flag in PLAIN if not (flag == "-floatfile" and suffix == ".CBF")]
    words = [word for flag in flags for word in (flag, f"{flag[1:]}{suffix}")]
    run = nanobragg([*LINE.split(), *words, "-compat", "spec"], tmp_path / "other", capfdbinary)
    assert (run.status, run.stderr) == (0, "") and plain.status == 0
    for flag in flags:
        got, want = read(str(run.folder / f"{flag[1:]}{suffix}")), read(str(plain.folder / PLAIN[flag]))
        assert got.shape == (16, 24) and np.array_equal(got, want) and got.max() > 50 + got.min()
        assert got.dtype == (np.int32 if suffix == ".CBF" else want.dtype)
    others = ["image.pgm", *(PLAIN[flag] for flag in PLAIN if flag not in flags)]
    assert sorted(run.files()) == sorted([*others, *(f"{flag[1:]}{suffix}" for flag in flags)])
    names = {".npy": b"NumPy's array", ".edf": b"EDF", ".CBF": b"miniCBF"}
    assert run.stdout.count(b" as " + names.get(suffix, b"NXmx") + b"\n") == len(flags)


@pytest.mark.parametrize("compat", ["c", "c-fixed"])
def test_in_c_every_name_holds_what_the_c_program_writes(compat, tmp_path, capfdbinary):
    plain = nanobragg([*LINE.split(), "-compat", compat], tmp_path / "plain", capfdbinary)
    words = "-floatfile f.npy -intfile i.cbf -noisefile n.h5 -pgmfile p.png".split()
    run = nanobragg([*LINE.split(), *words, "-compat", compat], tmp_path / "other", capfdbinary)
    assert run.status == 0
    names = {"f.npy": "floatimage.bin", "i.cbf": "intimage.img", "n.h5": "noiseimage.img", "p.png": "image.pgm"}
    files = plain.files()
    assert run.files() == {name: files[other] for name, other in names.items()}
    said = [line for line in run.stderr.splitlines() if "goes by the suffix" in line]
    kinds = {"-floatfile f.npy": "4-byte floats", "-intfile i.cbf": "SMV", "-noisefile n.h5": "SMV", "-pgmfile p.png": "PGM"}
    tail = "as the C program writes it; -compat spec goes by the suffix"
    assert said == [f"nanoBragg: {named}: holds {kind}, {tail}" for named, kind in kinds.items()]
    assert "goes by the suffix" not in plain.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-noisefile a.tif", r"-noisefile a.tif: is not written as .tif; give it another name \(-png FILE writes a PNG\)"),
        ("-intfile a.img.gz", r"-intfile a.img.gz: is not written as .gz; give it another name \(these suffixes name formats: .cbf, .edf"),
        ("-pgmfile a.png", "-pgmfile a.png: is not written as .png"),
        ("-floatfile a.cbf", "-floatfile a.cbf: a CBF file holds whole numbers"),
        ("-noisefile a.cbf -twotheta 5", "-noisefile a.cbf: a CBF header describes a detector that faces the beam squarely"),
        ("-intfile a.h5 -curved_det", "-intfile a.h5: -curved_det: a NeXus file describes planes of pixels"),
    ],
)
def test_what_is_not_written_is_refused_before_the_computation(words, says, tmp_path, capfdbinary):
    run = nanobragg([*LINE.split(), *words.split(), "-compat", "spec"], tmp_path / "run", capfdbinary)
    assert run.status == 2 and run.stdout == b"" and run.files() == {}
    assert re.search(says, run.stderr) and run.stderr.count("\n") == 1
    unused = "-nonoise" if "-noisefile" in words else "-nopgm" if "-pgmfile" in words else None
    if unused is not None:
        assert nanobragg([*LINE.split(), *words.split(), unused, "-compat", "spec"], tmp_path / "unused", capfdbinary).status == 0


def geometry(words):
    x = derive_experiment(parameters_from_command_line(f"{CRYSTAL} {words}"))
    g, s = x.geometry, x.parameters.sampling
    size = (g.fast_pixels, g.slow_pixels, g.pixel_size)
    return np.array([*size, *g.pix0, *g.fast, *g.slow, *g.beam, 1e10 * x.wavelength, s.phi_deg, s.osc_deg or 0.0])


@pytest.mark.parametrize("convention", ["-mosflm", "-xds", "-denzo"])
def test_geometry_from_a_cbf(convention, capfdbinary, folder):
    assert nanobragg([*LINE.split(), convention, "-compat", "spec", "-noisefile", "a.cbf"], folder, capfdbinary).status == 0
    assert geometry(f"{convention} -img a.cbf -phisteps 2") == pytest.approx(geometry(f"{convention} {PLACE}"), rel=1e-12, abs=1e-15)
    (folder / "b.cbf.gz").write_bytes(gzip.compress((folder / "a.cbf").read_bytes()))
    packed = geometry(f"{convention} -img b.cbf.gz -distance 90 -phisteps 2")
    assert packed == pytest.approx(geometry(f"{convention} {PLACE} -distance 90"), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("words", ["-mosflm", "-adxv -twotheta 5 -detector_rotx 3", "-dials -ORGX 7 -ORGY 3", "-fdet_vector 0 1 0.1"])
def test_geometry_from_an_edf(words, folder):
    place = PLACE if "-ORGX" not in words else PLACE.replace("-Xbeam 4 -Ybeam 5 ", "")
    simulate(parameters_from_command_line(f"{CRYSTAL} {place} {words}")).save("a.edf")
    assert np.array_equal(geometry("-img a.edf -phisteps 2"), geometry(f"{place} {words}"))


DECTRIS = """###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors\r
\r
data_x\r
\r
_array_data.header_convention "PILATUS_1.2"\r
_array_data.header_contents\r
;\r
# Detector: PILATUS 2M, S/N 24-0107\r
# 2011-04-20T21:27:56.023\r
# Pixel_size 172e-6 m x 172e-6 m\r
# Silicon sensor, thickness 0.000320 m\r
# Exposure_time 0.2000000 s\r
# Exposure_period 0.2050000 s\r
# Count_cutoff 126634 counts\r
# Wavelength 0.9795 A\r
# Detector_distance 0.19056 m\r
# Beam_xy (5.75, 3.5) pixels\r
# Start_angle 13.0000 deg.\r
# Angle_increment 0.2000 deg.\r
# Detector_2theta 0.0000 deg.\r
;\r
"""


def detectors_own(folder, text=DECTRIS, name="a.cbf"):
    """A file with comments as a detector writes them, and 8 x 12 pixels as fabio packs them."""
    from fabio.cbfimage import CbfImage

    CbfImage(data=np.arange(96, dtype=np.int32).reshape(8, 12)).write(str(folder / "fabio.cbf"))
    packed = (folder / "fabio.cbf").read_bytes()
    (folder / name).write_bytes(text.encode() + b"\r\n" + packed[packed.index(b"_array_data.data") :])


def test_a_detectors_own_header(folder):
    detectors_own(folder)
    parameters = parameters_from_command_line(f"{CRYSTAL} -img a.cbf -phisteps 2")
    d, s = parameters.detector, parameters.sampling
    assert d.pixels == (12, 8) and (d.pixel_size_mm, d.distance_mm) == (0.172, 190.56)
    assert (parameters.beam.wavelength_A, s.phi_deg, s.osc_deg) == (0.9795, 13.0, 0.2)
    g = derive_experiment(parameters).geometry
    assert (g.fbeam, g.sbeam) == pytest.approx((5.75 * 172e-6, 3.5 * 172e-6), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("# Beam_xy (5.75, 3.5) pixels\r\n", ""), "-img a.cbf: no Beam_xy in the comments of a miniCBF header"),
        (("172e-6 m x 172e-6 m", "172e-6 m x 170e-6 m"), "-img a.cbf: its pixels are not square"),
        (("2theta 0.0000", "2theta 7.5000"), r"-img a.cbf: its detector is turned \(Detector_2theta 7.5\)"),
        (("0.9795", "0.97.95"), "-img a.cbf: '# Wavelength 0.97.95 A' in the header is not a finite number"),
        (("header_contents", "other"), None),
    ],
)
def test_a_cbf_that_does_not_say_where_it_is(change, says, folder):
    assert change[0] in DECTRIS
    detectors_own(folder, DECTRIS.replace(*change))
    if says is None:
        assert parameters_from_command_line(f"{CRYSTAL} -img a.cbf").detector.pixels == (12, 8)
        return
    with pytest.raises(InputError, match=says):
        parameters_from_command_line(f"{CRYSTAL} -img a.cbf")


def test_images_without_a_geometry_are_refused(folder):
    EdfImage(data=np.ones((4, 5), np.float32), header={"title": "an image"}).write("plain.edf")
    (folder / "cut.edf").write_bytes((folder / "plain.edf").read_bytes()[:300])
    EdfImage(data=np.ones((4, 5), np.float32), header={"DISTANCE": "far"}).write("far.edf")
    np.save("a.npy", np.ones((4, 5)))
    simulate(parameters_from_command_line(LINE)).save("a.h5")
    detectors_own(folder)
    whole = (folder / "a.cbf").read_bytes()
    # Before the mark that stands before the pixels, where fabio would read on for ever, and inside them.
    for name, end in (("cut.cbf", whole.index(b"\x0c\x1a\x04\xd5")), ("short.cbf", whole.index(b"\x0c\x1a\x04\xd5") + 50)):
        (folder / name).write_bytes(whole[:end])
    (folder / "packed.cbf.gz").write_bytes(gzip.compress(whole[:1000]))
    for name, says in {
        "plain.edf": "its EDF header gives no geometry",
        "cut.edf": "not an EDF image that can be read",
        "far.edf": "DISTANCE in the image header is 'far', not a finite number",
        "a.npy": "not an SMV image",
        "a.h5": "an HDF5 file; -panels takes the detector, the beam and the spindle of an NXmx file",
        "short.cbf": "not a whole CBF image, but cut off",
        "packed.cbf.gz": "not a whole CBF image, but cut off",
        "cut.cbf": "not a whole CBF image, but cut off",
    }.items():
        with pytest.raises(InputError, match=f"-img {name}: {says}"):
            parameters_from_command_line(f"{CRYSTAL} -img {name}")
    with pytest.raises(InputError, match=r"-mask cut\.cbf: not a whole CBF image"):
        parameters_from_command_line(f"{CRYSTAL} -mask cut.cbf")


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32, np.float64, "list"])
def test_masks_that_are_arrays(kind, folder):
    parameters = parameters_from_command_line(LINE)
    kept = np.random.default_rng(7).random((16, 24)) > 0.4
    mask = kept.tolist() if kind == "list" else (kept * 0.5).astype(kind) if kind in (np.float32, np.float64) else kept.astype(kind)
    whole = simulate(parameters).image
    masked = simulate(replace(parameters, detector=replace(parameters.detector, mask=mask))).image
    assert np.array_equal(masked, np.where(kept, whole, 0)) and (whole > 0).all()


def test_a_mask_of_nan_is_refused():
    parameters = parameters_from_command_line(LINE)
    mask = np.ones((16, 24))
    mask[3, 4:6] = np.nan
    with pytest.raises(InputError, match="-mask: 2 of its pixels are nan"):
        simulate(replace(parameters, detector=replace(parameters.detector, mask=mask)))


TWO = """
photon_energy = 11000 eV
clen = 0.1 m
res = 10000
a/min_fs = 0
a/max_fs = 9
a/min_ss = 0
a/max_ss = 4
a/fs = -x
a/ss = -y
a/corner_x = 5
a/corner_y = 1
b/min_fs = 0
b/max_fs = 9
b/min_ss = 5
b/max_ss = 9
b/fs = -x
b/ss = -y + 0.1z
b/corner_x = 5
b/corner_y = 8
"""


def test_the_stacked_image_of_panels(tmp_path, capfdbinary, folder):
    (folder / "two.geom").write_text(TWO)
    line = f"{CRYSTAL} -lambda 1.1271 -panels two.geom -quiet"
    for mode in ("c", "spec"):
        for name in ("a.bin", "a.npy", "a.edf"):
            assert nanobragg(f"{line} -compat {mode} -floatfile {name}".split(), folder, capfdbinary).status == 0
        floats = np.fromfile("a.bin", "<f4").reshape(10, 10)
        assert floats.max() > 0
        if mode == "spec":
            assert np.array_equal(np.load("a.npy"), floats) and np.array_equal(read("a.edf"), floats)
        else:
            assert all((folder / name).read_bytes() == floats.tobytes() for name in ("a.npy", "a.edf"))
    for name, says in {
        "b.h5": "-nxmx FILE writes NXmx",
        "b.cbf": "a CBF file holds whole numbers",
        "b.tif": "is not written as .tif",
    }.items():
        run = nanobragg(f"{line} -compat spec -floatfile {name}".split(), folder, capfdbinary)
        assert run.status == 2 and says in run.stderr and not (folder / name).exists()


@pytest.mark.parametrize("name", ["m.npy", "m.edf", "m.cbf", "m.tif"])
def test_masks_in_files(name, folder):
    kept = (np.random.default_rng(8).random((16, 24)) > 0.4).astype(np.int32)
    if name == "m.npy":
        np.save(name, kept)
    else:
        opener = {"m.edf": "edfimage.EdfImage", "m.cbf": "cbfimage.CbfImage", "m.tif": "tifimage.TifImage"}[name].split(".")
        getattr(getattr(__import__(f"fabio.{opener[0]}"), opener[0]), opener[1])(data=kept).write(name)
    masked = simulate(parameters_from_command_line(f"{LINE} -mask {name}")).image
    assert np.array_equal(masked, np.where(kept, simulate(parameters_from_command_line(LINE)).image, 0))
