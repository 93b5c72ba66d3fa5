"""Images and lists that Python writes and reads: what was written comes back, whole or not at all."""

import io
import os
from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest
from PIL import Image
from running import GOLDEN, nanobragg

from nanobragg_numba import (
    Crystal,
    InputError,
    from_arrays,
    parameters_from_command_line,
    poisson_image,
    read_hkl,
    read_mosflm_matrix,
    read_smv,
    read_sources,
    simulate,
    write_hkl,
    write_mosflm_matrix,
    write_smv,
)

LINE = (
    "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels_f 24 -detpixels_s 16 -pixel 0.8 -oversample 1 -seed 1"
)


@pytest.fixture(scope="module")
def run():
    return simulate(parameters_from_command_line(LINE), compat="c")


@pytest.fixture(scope="module")
def doubles():
    return simulate(parameters_from_command_line(LINE), dtype=np.float64)


@pytest.mark.parametrize("window", ["", "-roi 3 20 5 12"])
def test_the_commands_own_files(window, tmp_path, capfdbinary):
    files = nanobragg(f"{LINE} -nonoise -nopgm {window}".split(), tmp_path / "command", capfdbinary).files()
    run = simulate(parameters_from_command_line(f"{LINE} {window}"), compat="c")
    run.save(tmp_path / "a.img")
    run.save(str(tmp_path / "a.bin"))
    assert (tmp_path / "a.img").read_bytes() == files["intimage.img"]
    assert (tmp_path / "a.bin").read_bytes() == files["floatimage.bin"]


def test_smv_counts_are_the_scaled_photons(doubles, tmp_path):
    doubles.save(tmp_path / "a.img")
    with fabio.open(tmp_path / "a.img") as image:
        counts = image.data.copy()
    single = doubles.image.astype(np.float32).astype(np.float64)
    # Half a count of rounding, and single precision at 55000.
    assert np.abs(counts - (55000.0 / single.max() * single + 40.0)).max() < 0.51
    assert counts.max() == 55040 and counts.dtype == np.uint16


@pytest.mark.parametrize("kind", ["run", "doubles"])
def test_floats_are_kept_whole(kind, request, tmp_path):
    image = request.getfixturevalue(kind).image
    for suffix in (".npy", ".edf"):
        request.getfixturevalue(kind).save(tmp_path / f"a{suffix}")
    array = np.load(tmp_path / "a.npy")
    assert array.dtype == image.dtype and array.tobytes() == image.tobytes()
    with fabio.open(tmp_path / "a.edf") as edf:
        assert edf.data.dtype == image.dtype and np.array_equal(edf.data, image)
    request.getfixturevalue(kind).save(tmp_path / "a.bin")
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", "<f4").reshape(image.shape), image.astype(np.float32))


def test_a_picture(run, tmp_path):
    run.save(tmp_path / "A.PNG")
    with Image.open(tmp_path / "A.PNG") as picture:
        grey = np.asarray(picture)
    # Dark where there are many photons.
    assert grey.shape == run.image.shape and grey.ravel()[np.argmax(run.image)] == 0


def test_what_fabio_makes_of_floats_in_a_cbf(run, tmp_path):
    """The reason for the refusal: the day this fails, CBF may hold floats."""
    from fabio.cbfimage import CbfImage

    fractions = np.full((4, 5), 1.75, np.float32)
    CbfImage(data=fractions).write(str(tmp_path / "a.cbf"))
    with fabio.open(tmp_path / "a.cbf") as image:
        assert not np.array_equal(image.data, fractions)
    with pytest.raises(InputError, match="cut fractions of photons off"):
        run.save(tmp_path / "b.cbf")
    assert not (tmp_path / "b.cbf").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.tif", r"the suffix \.tif names no format; these do: \.img, \.bin, \.npy, \.edf, \.h5, \.nxs, \.png"),
        ("a", "the suffix of none names no format"),
        ("missing/a.npy", "does not exist"),
        ("folder.npy", "is a folder"),
        ("", "the suffix"),
    ],
)
def test_a_place_that_cannot_be_written(run, name, says, tmp_path):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InputError, match=says):
        run.save(tmp_path / name if name else "")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npy"]


@pytest.mark.parametrize("suffix", [".img", ".bin", ".npy", ".edf", ".png"])
def test_a_write_that_fails_leaves_what_was_there(suffix, run, tmp_path, monkeypatch):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"earlier")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=r"cannot write .*: no space left on device"):
        run.save(path)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_all_is_written(run, tmp_path, monkeypatch):
    seen = []
    replace_file = os.replace

    def looking(source, target):
        seen.append((Path(target).exists(), Path(source).read_bytes()))
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", looking)
    run.save(tmp_path / "a.npy")
    assert len(seen) == 1 and not seen[0][0] and np.array_equal(np.load(io.BytesIO(seen[0][1])), run.image)


def test_a_noise_image_there_and_back(run, tmp_path):
    counts = poisson_image(np.minimum(run.image, 1000.0), seed=3) + 40
    write_smv(tmp_path / "noise.img", counts, run.experiment)
    pixels, header = read_smv(tmp_path / "noise.img")
    assert np.array_equal(pixels, counts) and counts.any()
    numbers = {key: float(header[key]) for key in ("DISTANCE", "PIXEL_SIZE", "WAVELENGTH", "SIZE1", "SIZE2", "TWOTHETA")}
    assert numbers == {"DISTANCE": 100.0, "PIXEL_SIZE": 0.8, "WAVELENGTH": 1.0, "SIZE1": 24.0, "SIZE2": 16.0, "TWOTHETA": 0.0}
    assert header["BYTE_ORDER"] == "little_endian"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda counts: counts[:-1], r"shape \(15, 24\), the experiment's image \(16, 24\)"),
        (lambda counts: counts + 0.5, "384 of the counts are not whole numbers"),
        (lambda counts: counts - 1, r"the first, -1, at slow 0, fast 0"),
        (lambda counts: counts * 65536.0 + 65536.0, "0 to 65535"),
        (lambda counts: counts * np.nan, "nan"),
        (lambda counts: counts * 1j, "complex128"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, says, run, tmp_path):
    with pytest.raises(InputError, match=says):
        write_smv(tmp_path / "a.img", change(np.zeros(run.image.shape)), run.experiment)
    assert list(tmp_path.iterdir()) == []


def test_structure_factors_there_and_back(tmp_path):
    generator = np.random.default_rng(4)
    hkl = generator.permutation([(h, k, l) for h in range(-3, 3) for k in range(2, 5) for l in range(-1, 1)])
    factors = from_arrays(hkl, generator.normal(size=len(hkl)) * 10.0 ** generator.integers(-8, 9, len(hkl)))
    factors.table[0], factors.table[:, 0] = 0.0, 0.0
    write_hkl(tmp_path / "a.hkl", factors)
    back = read_hkl(tmp_path / "a.hkl", default_F=7.0)
    assert np.array_equal(back.table[:-1, :-1, :-1], factors.table[:-1, :-1, :-1]) and back.limits == factors.limits and back.count == 36
    (tmp_path / "b.hkl").write_text("0 0 1 5.0\n1 2 3 7.5\n")
    table = read_hkl(tmp_path / "b.hkl", default_F=2.0).table
    assert table[0, 0, 0] == 5.0 and table[1, 2, 2] == 7.5 and table[0, 1, 0] == 2.0
    with pytest.raises(InputError, match=r"no.hkl: no such file"):
        read_hkl(tmp_path / "no.hkl")


def test_matrices_there_and_back(tmp_path):
    matrix = np.random.default_rng(5).normal(size=(3, 3)) / 50
    write_mosflm_matrix(tmp_path / "a.mat", matrix)
    assert np.array_equal(read_mosflm_matrix(tmp_path / "a.mat"), matrix)
    matrix = read_mosflm_matrix(GOLDEN / "inputs" / "erl.mat")
    line = f"-mat {GOLDEN / 'inputs' / 'erl.mat'} -default_F 1"
    assert np.array_equal(parameters_from_command_line(line).crystal.mosflm_matrix, matrix)
    assert Crystal(mosflm_matrix=matrix).mosflm_matrix is matrix
    for bad in (np.eye(2), np.full((3, 3), np.nan)):
        with pytest.raises(InputError, match="write_mosflm_matrix"):
            write_mosflm_matrix(tmp_path / "b.mat", bad)
    with pytest.raises(InputError, match="nine numbers"):
        (tmp_path / "c.mat").write_text("1 2 3")
        read_mosflm_matrix(tmp_path / "c.mat")


def test_sources_from_a_file(tmp_path):
    (tmp_path / "sources.txt").write_text("-10 0 0 1 1e-10\n-10 0.1 0 3 1.1e-10\n")
    sources = read_sources(tmp_path / "sources.txt")
    assert np.array_equal(sources.positions, [[-10, 0, 0], [-10, 0.1, 0]])
    assert np.array_equal(sources.intensities, [1, 3]) and np.array_equal(sources.wavelengths_m, [1e-10, 1.1e-10])


def test_an_image_without_photons_is_saved(run, tmp_path):
    dark = replace(run.experiment.parameters, crystal=replace(run.experiment.parameters.crystal, default_F=0.0))
    simulate(dark, compat="c").save(tmp_path / "dark.img")
    pixels, _ = read_smv(tmp_path / "dark.img")
    assert (pixels == 40).all()
