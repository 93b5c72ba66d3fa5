"""Kernels run from object code kept between runs, without the compiler."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import GOLDEN

from nanobragg_numba.jit import ahead_of_time, stored_code
from nanobragg_numba.jit.stored_code import run, run_rows
from nanobragg_numba.output.integer_images import noisy_counts

PACKAGE = Path(stored_code.__file__).parent.parent
CELL = "-cell 70 80 90 75 85 95 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 24 -oversample 1 -seed 1"
HKL = "-mat erl.mat -hkl erl.hkl -lambda 1 -N 5 -distance 100 -detpixels 24 -oversample 1 -seed 1"


@pytest.mark.parametrize(
    "line",
    [
        f"{CELL} -mosaic 1 -mosaic_domains 3 -fluence 1e30",
        f"{CELL} -round_xtal -misset random -threads 2",
        f"{CELL} -precision single -dmin 2 -polar 0.9",
        f"{HKL} -interpolate -printout_pixel 3 4",
        f"{HKL} -phi 0 -osc 1 -phisteps 3 -compat spec",
        f"{CELL} -precision exact",
        f"{CELL} -oversample_omega -oversample 2 -gauss_xtal",
    ],
)
def test_a_warm_command_loads_no_compiler(line, tmp_path):
    for name in ("erl.mat", "erl.hkl"):
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    stored_code._loaded()
    code = (
        "import sys; from nanobragg_numba.cli.nanobragg import main; status = main(sys.argv[1:])\n"
        "print([name for name in ('numba', 'tqdm', 'PIL', 'fabio') if name in sys.modules], status, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *line.split()], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[] 0", done.stderr


def test_every_entry_point_is_stored():
    marked = {name for path in PACKAGE.rglob("*.py") for name in re.findall(r"^@entry\ndef (\w+)", path.read_text(), re.M)}
    assert len(marked) > 10 and marked == set(stored_code._loaded().functions)


@pytest.fixture
def other_file(tmp_path, monkeypatch):
    """A stored file of the test's own, and what a compiler would put into it."""
    stored_code._loaded()
    good = stored_code.stored_file().read_bytes()
    header, _, code = good[32:].partition(b"\n")
    kinds = json.loads(header)
    monkeypatch.setattr(stored_code, "stored_file", lambda *folder: tmp_path / "kernels.code")
    monkeypatch.setattr(stored_code, "_library", None)
    compilations = []
    monkeypatch.setattr(ahead_of_time, "compile_entries", lambda: compilations.append(1) or (kinds, code))
    return tmp_path / "kernels.code", good, compilations


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "checksum", "header", "code", "folder"])
def test_a_damaged_file_is_compiled_anew(other_file, damage):
    path, good, compilations = other_file
    contents = {
        "empty": b"", "truncated": good[: len(good) // 2], "checksum": _flipped(good, 3), "header": _flipped(good, 40),
        "code": _flipped(good, len(good) - 1000),
    }  # fmt: skip
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(contents[damage])
    counts, overloads = noisy_counts(np.array([[7.0, 1e9]], np.float32), (0, 2, 0, 1), 10.0)
    assert counts.tolist() == [[17, 65535]] and overloads == 1
    assert compilations == [1]
    if damage != "folder":
        assert path.read_bytes() == good
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_intact_file_is_used(other_file):
    path, good, compilations = other_file
    path.write_bytes(good)
    run("count_words", np.frombuffer(b"a b", np.uint8), np.zeros(1, np.int64))
    assert compilations == []


def test_the_file_is_named_by_processor_and_settings(monkeypatch):
    names = {stored_code.stored_file().name}
    for variable, value in (("NUMBA_CPU_NAME", "generic"), ("NUMBA_CPU_FEATURES", "+sse2"), ("NUMBA_OPT", "1")):
        monkeypatch.setenv(variable, value)
        names.add(stored_code.stored_file().name)
    assert len(names) == 4


@pytest.mark.parametrize(
    "values",
    [
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0, np.zeros(1), 0),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0),
        (np.zeros((2, 2)), (0, 2, 0, 2), 1.0, np.zeros(1)),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2.5), 1.0, np.zeros(1)),
        (np.zeros((2, 2), np.float32), (0, 2, 0, 2), 1.0, np.zeros((1, 1))),
        (np.zeros((2, 4), np.float32)[:, ::2], (0, 2, 0, 2), 1.0, np.zeros(1)),
    ],
)
def test_values_of_other_types_are_refused(values):
    with pytest.raises(TypeError, match="squared_deviations"):
        run("squared_deviations", *values)


def test_a_failure_of_one_thread_is_not_lost(monkeypatch):
    def broken(*addresses):
        raise OSError("no more")

    library = stored_code._loaded()
    monkeypatch.setattr(
        stored_code,
        "_library",
        library._replace(functions={"count_rows": broken}, kinds={"count_rows": ["int64"] * 2 + [(np.dtype("float64"), 2)]}),
    )
    with pytest.raises(OSError, match="no more"):
        run_rows("count_rows", (0, 10), 2, (0, 0))


def test_threads_behind_an_interrupt_harm_nothing(tmp_path):
    code = (
        "import gc, os, signal, threading, time\n"
        "from nanobragg_numba import parameters_from_command_line, simulate\n"
        f"line = {CELL.replace('-detpixels 24', '-detpixels 700')!r} + ' -mosaic 1 -mosaic_domains 40000'\n"
        "parameters = parameters_from_command_line(line)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    simulate(parameters, threads=2)\n"
        "except KeyboardInterrupt:\n"
        "    gc.collect()\n"
        "    time.sleep(0.7)\n"
        "    print('went on')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "went on\n", done.stderr


def cache_folders(tmp_path, usual):
    """The folder looked in first, and the one written to, with ``usual`` as the user's cache."""
    code = "from nanobragg_numba.jit.cache_folder import CACHE_FOLDER, USUAL_FOLDER; print(USUAL_FOLDER); print(CACHE_FOLDER)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(usual), "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in out.splitlines()]


def test_without_a_writable_cache_the_same_folder_serves_every_run(tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    first, second = cache_folders(tmp_path, blocked / "cache"), cache_folders(tmp_path, blocked / "cache")
    assert first == second and first[1].parent == tmp_path / f"nanobragg_numba-{os.getuid()}"
    assert first[1].is_dir() and first[0] != first[1]


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    open_to_all = tmp_path / f"nanobragg_numba-{os.getuid()}"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    _, own = cache_folders(tmp_path, blocked / "cache")
    assert open_to_all not in own.parents and own.is_dir()
