"""Frames read back, from our files and others'; what is missing, cut short, failed or contradictory is told with the file's name."""

import os
import re

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.eigerimage import EigerImage
from nexus_runs import positions, write_run

from nanobragg_numba import InputError, parameters_from_command_line, simulate
from nanobragg_numba.files import nexus
from nanobragg_numba.files.nexus import count_frames, encode, read_frame, read_frames, write_frames

SMALL = "-detpixels_f 24 -detpixels_s 16 -pixel 0.8 -distance 90 -lambda 1.1 -oversample 1"
LINES = [f"{SMALL} -phi {i} -osc 1" for i in range(5)]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path, LINES)


def refused(words, path, number=1):
    with pytest.raises(InputError, match=re.escape(words)):
        read_frame(path, number, "-img")


def test_every_frame_of_ours(run, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    for path in (run.master, os.path.relpath(run.master)):
        assert count_frames(path) == 5
        assert all(np.array_equal(read_frame(path, i + 1), image) for i, image in enumerate(run.images))
        assert np.array_equal(np.stack(list(read_frames(path))), np.stack(run.images))
    assert np.array_equal(next(read_frames(run.master, [4])), run.images[3])
    assert count_frames(run.files[1]) == 2 and np.array_equal(read_frame(run.files[1], 2), run.images[3])
    os.makedirs(tmp_path / "links")
    (tmp_path / "links" / "other_master.h5").symlink_to(run.master)
    assert np.array_equal(read_frame(tmp_path / "links" / "other_master.h5", 3), run.images[2])


def test_every_frame_of_others(tmp_path):
    stack = np.random.default_rng(3).poisson(5.0, (4, 6, 7)).astype("u4")
    EigerImage(data=stack).write(str(tmp_path / "fabio.h5"))
    assert count_frames(tmp_path / "fabio.h5") == 4
    assert np.array_equal(np.stack(list(read_frames(tmp_path / "fabio.h5"))), stack)
    # Links to files without a default dataset, as Eiger detectors write them; the second has panels of its own.
    write_frames(tmp_path / "a.h5", (4, 6, 7), "u4", map(encode, stack))
    with h5py.File(tmp_path / "eiger.h5", "w") as file:
        data = file.create_group("entry/data")
        data["data_000001"] = h5py.ExternalLink("a.h5", "/entry/data/data")
        data["data_000002"] = stack[:3]
        data["data_offset"] = 3.0
    assert count_frames(tmp_path / "eiger.h5") == 7
    assert np.array_equal(np.stack(list(read_frames(tmp_path / "eiger.h5"))), np.concatenate([stack, stack[:3]]))
    # Some of a file's frames, and frames that are put together of two files' halves.
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        data = file.create_group("entry/data")
        data.attrs["signal"] = "some"
        some, halves = h5py.VirtualLayout((3, 6, 7), "u4"), h5py.VirtualLayout((4, 12, 7), "u4")
        some[:2] = h5py.VirtualSource("a.h5", "/entry/data/data", (4, 6, 7))[1:3]
        some[2:] = h5py.VirtualSource("a.h5", "/entry/data/data", (4, 6, 7))[:1]
        halves[:, :6] = h5py.VirtualSource("a.h5", "/entry/data/data", (4, 6, 7))
        halves[:, 6:] = h5py.VirtualSource("fabio.h5", "/entry/data/data", (4, 6, 7))
        data.create_virtual_dataset("some", some)
        data.create_virtual_dataset("halves", halves)
    assert np.array_equal(np.stack(list(read_frames(tmp_path / "virtual.h5"))), stack[[1, 2, 0]])
    with h5py.File(tmp_path / "virtual.h5", "a") as file:
        file["entry/data"].attrs["signal"] = "halves"
    assert np.array_equal(read_frame(tmp_path / "virtual.h5", 4), np.concatenate([stack[3], stack[3]]))
    (tmp_path / "fabio.h5").rename(tmp_path / "away.h5")
    refused(f"-img {tmp_path / 'fabio.h5'}: does not exist; {tmp_path / 'virtual.h5'} has parts of frames there", tmp_path / "virtual.h5")
    panels = np.random.default_rng(3).random((2, 3, 6, 7))
    with h5py.File(tmp_path / "panels.h5", "w") as file:
        data = file.create_group("entry/data")
        data.attrs["signal"] = "data"
        data.create_dataset("data", data=panels, chunks=(1, 1, 6, 7), **hdf5plugin.Bitshuffle())
    assert np.array_equal(read_frame(tmp_path / "panels.h5", 2), panels[1])


def test_what_is_missing_is_told(run, tmp_path):
    run.files[1].rename(tmp_path / "away.h5")
    words = f"-img {run.files[1]}: does not exist; {run.master} has frames 3 to 4 there"
    refused(words, run.master, 3)
    refused(words, run.master, 4)
    # Those of other files are not lost with it.
    assert np.array_equal(read_frame(run.master, 5), run.images[4]) and count_frames(run.master) == 5
    (tmp_path / "away.h5").rename(run.files[1])
    whole = run.files[1].read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 100):
        run.files[1].write_bytes(whole[:size])
        refused(f"-img {run.files[1]}: is cut short; {run.master} has frames 3 to 4 there", run.master, 3)
    run.files[1].write_bytes(b"")
    refused(f"-img {run.files[1]}: the file is empty; {run.master} has frames 3 to 4 there", run.master, 3)
    run.files[1].write_bytes(b"no such file" * 1000)
    refused(f"-img {run.files[1]}: is no HDF5 file; {run.master} has", run.master, 3)
    refused(f"-img {tmp_path / 'none.h5'}: does not exist", tmp_path / "none.h5")
    refused(f"-img {tmp_path}: ", tmp_path)


def test_a_chunk_that_was_damaged_is_told(run):
    with h5py.File(run.files[0]) as file:
        place = file["entry/data/data"].id.get_chunk_info_by_coord((1, 0, 0))
    content = bytearray(run.files[0].read_bytes())
    content[place.byte_offset : place.byte_offset + 60] = b"\xff" * 60
    run.files[0].write_bytes(content)
    assert np.array_equal(read_frame(run.master, 1), run.images[0])
    refused(f"-img {run.files[0]}: frame 2 cannot be read", run.master, 2)


def test_numbers_that_disagree_are_told(run, tmp_path):
    refused(f"-img {run.master}: there is no frame 6: they go from 1 to 5", run.master, 6)
    refused(f"-img {run.master}: there is no frame 0: they go from 1 to 5", run.master, 0)
    write_frames(run.files[1], (3, 16, 24), "f4", [encode(image) for image in run.images[:3]])
    refused(f"-img {run.files[1]}: holds 3 frames, not 2; {run.master} has frames 3 to 4 there", run.master, 3)
    with h5py.File(run.master, "r+") as file:
        file["entry/simulation/frames"][()] = 6
    refused(f"-img {run.master}: says that there are 6 frames, and has 5", run.master, 1)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["measurement/images"] = np.zeros((3, 4, 5))
    refused(f"-img {tmp_path / 'other.h5'}: holds no /entry/data, where NXmx has its frames", tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "a") as file:
        file["entry/data/data"] = np.zeros((4, 5))
    refused(f"-img {tmp_path / 'other.h5'}: holds no frames", tmp_path / "other.h5")


@pytest.mark.parametrize("kind", ["f4", "u4"])
def test_a_failed_frame_is_told_with_its_reason(run, tmp_path, kind):
    images = [np.round(image).astype(kind) for image in run.images[:3]]
    write_frames(tmp_path / "f.h5", (3, 16, 24), kind, [encode(images[0]), None, encode(images[2])])
    x = run.experiments[0]
    frames = [nexus.frame_of(x), nexus.Frame("nanoBragg", "-cell: six numbers"), nexus.frame_of(x)]
    nexus.write_master(tmp_path / "f_master.h5", nexus.setup_of(x), frames, [nexus.DataFile("f.h5", 3)], kind)
    path = tmp_path / "f_master.h5"
    refused(f"-img {path}: there is no image in frame 2: -cell: six numbers", path, 2)
    refused(f"-img {tmp_path / 'f.h5'}: there is no image in frame 2", tmp_path / "f.h5", 2)
    assert np.array_equal(read_frame(path, 3), images[2])


@pytest.mark.parametrize("suffix", ["h5", "nxs"])
def test_an_image_that_python_saves(tmp_path, suffix):
    one = simulate(parameters_from_command_line(f"-cell 70 80 90 90 90 90 -default_F 100 -N 5 {SMALL} -roi 3 20 0 9 -twotheta 12"))
    for name in ("a", "b"):
        one.save(tmp_path / f"{name}.{suffix}")
    path = tmp_path / f"a.{suffix}"
    assert path.read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert count_frames(path) == 1 and np.array_equal(read_frame(path, 1), one.image)
    with fabio.open(str(path)) as image:
        assert image.nframes == 1 and np.array_equal(image.data, one.image)
    with h5py.File(path) as file:
        pixels = positions(file, "module")
        assert np.array_equal(file["entry/instrument/detector/pixel_mask"][3, :4], [1, 1, 1, 0])
    g = one.geometry
    first = np.array(g.pix0) + 0.5 * g.pixel_size * (np.array(g.fast) + np.array(g.slow))
    assert abs(np.linalg.norm(pixels[0, 0]) - np.linalg.norm(first)) < 1e-9 and abs(pixels[0, 0, 2] - first @ np.array(g.beam)) < 1e-9
