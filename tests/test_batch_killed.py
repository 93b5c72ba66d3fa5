"""Runs of nb-batch that are killed, or that the disk refuses: nothing finished is lost, and what is resumed ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from batch_runs import BASE, MAIN, content

from nanobragg_numba.cli.jobs import main

SCRIPT = Path(__file__).parent / "killed_runs.py"


def started(words, folder, **more):
    return subprocess.Popen([sys.executable, "-c", MAIN, *words], cwd=folder, stderr=subprocess.PIPE, text=True, **more)


def wait_until(what, seconds=60.0):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def children(parent):
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def holder(path):
    """A process that reads the pipe, and the end to write to, once there is one."""
    try:
        end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
    # The other side's call to open may not have returned yet.
    return wait_until(lambda: reader(path)), end


def reader(path):
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        # Processes come and go.
        with suppress(OSError):
            folder = f"/proc/{process}/fd"
            if process != os.getpid() and any(os.readlink(f"{folder}/{fd}") == str(path) for fd in os.listdir(folder)):
                return process
    return None


def has_ended(process):
    """Whether it is gone, or a zombie that nobody asks after: its files are closed then."""
    return _read(f"/proc/{process}/stat").rpartition(b")")[2].split()[:1] in ([], [b"Z"])


@pytest.mark.parametrize("form", ["smv", "nexus"])
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(form, tmp_path):
    if form == "nexus":
        pytest.importorskip("h5py")
        pytest.importorskip("hdf5plugin")
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), form], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # Renames: the state, each image or data file with its group's notes, manifest and summary; writes: two an image.
    assert found["renames"] >= 2 * (2 + 3 + (10 if form == "smv" else 3) + 1) and found["writes"] == 20 and found["moments"] == 20
    assert found["different"] == []


def test_the_whole_program_killed_among_processes(tmp_path):
    words = ["--orientations", "400", "--seed", "3", "--base", BASE, "--format", "smv", "--workers", "2", "--quiet"]
    whole = started([*words, "--out", "whole"], tmp_path)
    assert whole.wait() == 0
    killed = started([*words, "--out", "run"], tmp_path)
    wait_until(lambda: len(list((tmp_path / "run").glob("image_*"))) > 30)
    # Stopped: however slow the others are, it is in the middle of its run.
    os.kill(killed.pid, signal.SIGSTOP)
    workers = children(killed.pid)
    second = started([*words, "--out", "run", "--resume"], tmp_path)
    assert second.wait() == 2 and "another process is computing this run" in second.stderr.read()
    killed.kill()
    killed.wait()
    # Its workers end with it.
    wait_until(lambda: all(map(has_ended, workers)))
    there = {path.name: path.stat().st_ino for path in (tmp_path / "run").glob("image_*")}
    assert 30 < len(there) < 400
    assert started([*words, "--out", "run", "--resume"], tmp_path).wait() == 0
    assert content(tmp_path / "run") == content(tmp_path / "whole")
    assert all((tmp_path / "run" / name).stat().st_ino == inode for name, inode in there.items())


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_and_says_what_is_kept(number, tmp_path):
    words = ["--orientations", "5000", "--seed", "3", "--base", BASE, "--format", "smv", "--workers", "2", "--out", "run"]
    # A shell's job in the background is deaf to SIGINT, and so are its children unless told.
    process = started(words, tmp_path, start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_until(lambda: len(list((tmp_path / "run").glob("image_*"))) > 10)
    workers = children(process.pid)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "interrupted; " in said and "of 5000 images are finished, and kept: --resume" in said and "Traceback" not in said
    assert len(workers) >= 2
    wait_until(lambda: all(map(has_ended, workers)))


@pytest.mark.parametrize(("engine", "deaths"), [("processes", 1), ("processes", 3), ("dask", 1)])
def test_a_killed_worker_takes_no_row_with_it_but_the_one_that_kills_it(engine, deaths, tmp_path):
    """A row that waits for its list of structure factors on a pipe is killed there: once, or each time."""
    pipe = tmp_path / "list.hkl"
    os.mkfifo(pipe)
    (tmp_path / "good.hkl").write_text("".join(f"{h} {k} {l} 100\n" for h in range(-5, 6) for k in range(-5, 6) for l in range(-5, 6)))
    rows = [f"{n} 10 20,good.hkl\n" for n in range(24)]
    rows[7] = "7 10 20,list.hkl\n"
    (tmp_path / "jobs.csv").write_text("misset,hkl\n" + "".join(rows))
    base = BASE.replace("-default_F 100 ", "")
    words = ["jobs.csv", "--base", base, "--seed", "3", "--format", "smv", "--workers", "2", "--engine", engine, "--out", "run"]
    if engine == "dask":
        pytest.importorskip("distributed")
    process = started(words, tmp_path)
    for _ in range(deaths):
        worker, end = wait_until(lambda: holder(pipe))
        # Stopped, it does not see the end of the pipe, which no other worker is to find open.
        os.kill(worker, signal.SIGSTOP)
        os.close(end)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: has_ended(worker))  # noqa: B023
    if deaths == 1:
        _, end = wait_until(lambda: holder(pipe))
        os.set_blocking(end, True)
        os.write(end, (tmp_path / "good.hkl").read_bytes())
        os.close(end)
    _, said = process.communicate(timeout=120)
    out = tmp_path / "run"
    names = {path.name for path in out.glob("image_*")}
    if deaths == 1:
        assert process.returncode == 0 and len(names) == 24
        return
    assert process.returncode == 1 and len(names) == 23 and "image_00008.img" not in names
    assert "row 8 failed: its worker was killed each time" in said
    (failure,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert failure["row"] == 8


LIMITED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
{MAIN}
"""


@pytest.mark.parametrize("form", ["smv", "nexus"])
def test_a_disk_that_takes_no_more_is_one_sentence_and_can_be_resumed(form, tmp_path):
    """A limit of file sizes stands for a full disk: writing ends in the middle of a file or of a log."""
    if form == "nexus":
        pytest.importorskip("h5py")
        pytest.importorskip("hdf5plugin")
    words = ["--orientations", "12", "--seed", "3", "--base", BASE, "--format", form, "--engine", "inline", "--images-per-file", "6"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    sizes = [path.stat().st_size for path in (tmp_path / "whole").iterdir() if path.name.startswith(("image_", "run_data"))]
    limit = str(min(sizes) - 100)
    run = subprocess.run([sys.executable, "-c", LIMITED, limit, *words, "--out", "run"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert "cannot write" in run.stderr and "file too large" in run.stderr and "of 12 images are finished" in run.stderr
    assert not (tmp_path / "run" / "summary.json").exists()
    assert main([*words, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert content(tmp_path / "run") == content(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB, and how to make it read-only; skipped where this user may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no permission to mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk, tmp_path, capfd):
    words = ["--orientations", "300", "--seed", "3", "--base", BASE, "--format", "smv", "--workers", "2", "--quiet"]
    out = small_disk / "run"
    assert main([*words, "--out", str(out)]) == 2
    assert "no space left on device" in capfd.readouterr().err
    there = {path.name: path.read_bytes() for path in out.glob("image_*")}
    assert len(there) > 20
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert content(out) == content(tmp_path / "whole") and there.items() <= content(out).items()


def test_a_read_only_folder(small_disk, capfd):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ["--orientations", "3", "--seed", "3", "--base", BASE, "--format", "smv", "--out", str(small_disk / "run")]
    assert main(words) == 2
    assert "cannot be written: read-only file system" in capfd.readouterr().err


def test_a_folder_without_permission(tmp_path, capfd):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    assert main(["--orientations", "3", "--base", BASE, "--format", "smv", "--out", str(tmp_path / "run")]) == 2
    assert "permission denied" in capfd.readouterr().err


def test_memory_does_not_grow_with_the_images(tmp_path):
    """What a process of 600 images takes beside one of 60, in kB: a few bytes an image, and none of the 2.3 kB of its pixels."""
    code = f"""
import resource, sys
from nanobragg_numba.batch import run
run(out=sys.argv[1], orientations=int(sys.argv[2]), seed=1, base={BASE!r}, format="smv", engine="inline")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peaks = []
    for count in (60, 600):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / str(count)), str(count)], capture_output=True, text=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 540
