"""Frames as HDF5 chunks: what was written is read, by HDF5's own filter; what was not is told apart; the same bytes every time."""

import os
import resource
import subprocess
import sys
import threading
import time

import h5py
import hdf5plugin
import numpy as np
import pytest

from nanobragg_numba import InputError
from nanobragg_numba.files.nexus import Frame, decode, encode, write_frames

RNG = np.random.default_rng(20)
KINDS = ("u2", "u4", "i4", "f4", "f8")


def images(number, shape, kind):
    if np.dtype(kind).kind == "f":
        return RNG.exponential(3.0, (number, *shape)).astype(kind)
    return RNG.poisson(3.0, (number, *shape)).astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (48, 64), (129, 131)])
def test_chunks_are_what_hdf5_itself_makes(kind, shape, tmp_path):
    stack = images(3, shape, kind)
    chunks = [encode(image) for image in stack]
    for chunk, image in zip(chunks, stack, strict=True):
        back = decode(chunk, shape, kind)
        assert back.dtype == image.dtype and np.array_equal(back, image)
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        plain = file.create_dataset("x", data=stack, chunks=(1, *shape), **hdf5plugin.Bitshuffle())
        file.flush()
        assert [plain.id.read_direct_chunk((i, 0, 0))[1] for i in range(3)] == chunks
    write_frames(tmp_path / "frames.h5", (3, *shape), kind, iter(chunks))
    with h5py.File(tmp_path / "frames.h5") as file:
        assert np.array_equal(file["entry/data/data"][:], stack) and file["entry/data/data"].dtype == np.dtype(kind)


def test_rows_that_do_not_lie_together(tmp_path):
    image = images(1, (30, 40), "f4")[0]
    assert decode(encode(image.T), (40, 30), "f4").tolist() == image.T.tolist()
    assert encode(image[::2, ::3]) == encode(image[::2, ::3].copy())


@pytest.mark.parametrize(("kind", "nothing"), [("u2", 65535), ("u4", 2**32 - 1), ("i4", -1), ("f4", np.nan)])
def test_a_failed_frame_has_no_chunk(kind, nothing, tmp_path):
    stack = images(3, (5, 6), kind)
    write_frames(tmp_path / "frames.h5", (3, 5, 6), kind, [encode(stack[0]), None, encode(stack[2])], first=11)
    with h5py.File(tmp_path / "frames.h5") as file:
        data = file["entry/data/data"]
        assert data.id.get_num_chunks() == 2
        assert np.array_equal(data[1], np.full((5, 6), nothing, kind), equal_nan=kind == "f4")
        assert np.array_equal(data[0], stack[0]) and np.array_equal(data[2], stack[2])
        assert (data.attrs["image_nr_low"], data.attrs["image_nr_high"]) == (11, 13)


def test_the_same_bytes_whenever_it_is_written(tmp_path):
    chunks = [encode(image) for image in images(4, (20, 30), "u4")]
    write_frames(tmp_path / "a.h5", (4, 20, 30), "u4", chunks)
    time.sleep(1.1)
    write_frames(tmp_path / "b.h5", (4, 20, 30), "u4", (chunk for chunk in chunks))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_many_threads_compress_at_once():
    stack = images(24, (40, 50), "f4")
    alone = [encode(image) for image in stack]
    got: dict[int, bytes] = {}

    def work(first):
        for i in range(first, 24, 4):
            got[i] = encode(stack[i])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[i] for i in range(24)] == alone


def test_what_is_refused_leaves_nothing(tmp_path):
    chunk = encode(images(1, (5, 6), "f4")[0])
    path = tmp_path / "frames.h5"
    for frames, words in (
        ([chunk], "1 frames where 2 are to be written"),
        ([chunk] * 3, "more frames where 2 are to be written"),
        ([chunk, encode(np.zeros((5, 7), "f4"))], "frame 2: a compressed image of 140 bytes, where 5x6 pixels of float32 have 120"),
        ([chunk, b"short"], "frame 2: a compressed image of"),
    ):
        with pytest.raises(InputError, match=words):
            write_frames(path, (2, 5, 6), "f4", frames)
        assert os.listdir(tmp_path) == []
    with pytest.raises(InputError, match="no images"):
        write_frames(path, (0, 5, 6), "f4", [])
    with pytest.raises(InputError, match="nowhere does not exist"):
        write_frames(tmp_path / "nowhere" / "frames.h5", (1, 5, 6), "f4", [chunk])
    with pytest.raises(InputError, match="a compressed image of 120 bytes"):
        decode(chunk, (6, 6), "f4")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("a worker died"), BrokenPipeError("no worker")])
def test_what_ends_the_frames_is_not_the_disks_fault(failure, tmp_path):
    chunk = encode(images(1, (5, 6), "f4")[0])
    path = tmp_path / "frames.h5"

    def interrupted():
        yield chunk
        raise failure

    write_frames(path, (1, 5, 6), "f4", [chunk])
    before = path.read_bytes()
    with pytest.raises(type(failure)) as raised:
        write_frames(path, (2, 5, 6), "f4", interrupted())
    assert raised.value is failure
    assert os.listdir(tmp_path) == ["frames.h5"] and path.read_bytes() == before


FULL = """
import resource, sys
import numpy as np
from nanobragg_numba import InputError
from nanobragg_numba.files.nexus import encode, write_frames
chunk = encode(np.random.default_rng(1).random((100, 100)))
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    write_frames(sys.argv[1], (10, 100, 100), "f8", [chunk] * 10)
except InputError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_told(tmp_path):
    # A limit on the size of files stands for the disk; its signal is ignored by Python, so that writing fails with an error number.
    path = tmp_path / "frames.h5"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == f"cannot write {path}: {os.strerror(27).lower()}" and done.stderr == ""
    assert os.listdir(tmp_path) == []


def test_the_writer_holds_no_images(tmp_path):
    chunk = encode(np.random.default_rng(1).random((256, 256)))
    write_frames(tmp_path / "frames.h5", (2, 256, 256), "f8", [chunk] * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_frames(tmp_path / "frames.h5", (400, 256, 256), "f8", (chunk for _ in range(400)))
    # 400 images are 200 megabytes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_machine_without_hdf5_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(InputError, match=r"write_frames: HDF5 files need h5py and hdf5plugin: pip install 'nanobragg_numba\[nexus\]'"):
        write_frames(tmp_path / "frames.h5", (1, 5, 6), "f4", [None])
    assert Frame().failed == "" and os.listdir(tmp_path) == []
