"""Bad input: one sentence on standard error, exit status 2, no half-written file, earlier outputs intact."""

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from running import GOLDEN, nanobragg

GOOD = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1".split()
COMMAND = [sys.executable, "-c", "from nanobragg_numba.cli.start import command; command()"]
HKL = "0 0 1 5.0\n1 2 3 7.5\n"
MATRIX = (GOLDEN / "inputs" / "erl.mat").read_bytes()
IMAGE = (GOLDEN / "inputs" / "mask.img").read_bytes()


def refused(run, *parts: str) -> None:
    """The run ended with one sentence that holds all ``parts``, and wrote nothing."""
    lines = [line for line in run.stderr.splitlines() if not line.startswith("nanoBragg: warning")]
    assert run.status == 2, run.stderr
    assert len(lines) == 1 and lines[0].startswith("nanoBragg: error: "), run.stderr
    for part in parts:
        assert part in lines[0]


FILE_CASES = [
    # option, content (None: no such file), what the sentence must name
    ("-hkl", None, "no such file"),
    ("-hkl", b"", "empty"),
    ("-hkl", b" \n\n", "no reflections"),
    ("-hkl", b"0 0 1 5\n1 2 x 7\n", "line 2: 'x'"),
    ("-hkl", b"h k l F\n0 0 1 5\n", "line 1: 'h'"),
    ("-hkl", b"0 0 1 5\n1 2 3\n", "line 2: F is missing"),
    ("-hkl", b"0 0 1 5\n1 2 3 nan\n", "line 2: F is nan"),
    ("-hkl", b"0 0 1 5\n1 2.5 3 7\n", "line 2: Miller index k = 2.5"),
    ("-hkl", b"0 0 1 5\n1 2 3 7x\n", "line 2: '7x'"),
    ("-hkl", b"0 0 1 5\n1 2 3e 7\n", "line 2: '3e'"),
    ("-hkl", b"0 0 1 5\n\nEND\n", "line 3: 'END'"),
    ("-hkl", b"0 0 1 5\n0 0 3000000000 5\n", "line 2: absurd Miller index"),
    ("-hkl", b"0 0 0 5\n900000 900000 900000 5\n", "memory"),
    ("-mat", None, "no such file"),
    ("-mat", b"", "empty"),
    ("-mat", b"0.01 0 0\n0 0.01 0\n", "line 3"),
    ("-mat", b"0.01 0 0\n0 0.01 abc\n0 0 0.01\n", "line 2"),
    ("-mat", b"0.01 0 0 0\n0 0.01 0 0\n0 0 0.01 0\n", "line 1: an orientation matrix has three numbers a line"),
    ("-mat", b"0.01 0.02 0.03\n0.01 0.02 0.03\n0 0 0.01\n", "one plane"),
    ("-mask", None, "no such file"),
    ("-mask", b"", "empty"),
    ("-mask", b"P5\n3 3\n255\n", "not an image that can be read"),
    ("-mask", b"\x1f\x8b\x08\0broken", "cannot be unpacked"),
    ("-mask", IMAGE[:700], "truncated"),
    ("-mask", IMAGE.replace(b"SIZE1=88", b"SIZE1=xx"), "SIZE1"),
    ("-mask", IMAGE.replace(b"TYPE=unsigned_short", b"TYPE=unsigned_shirt"), "'unsigned_shirt'"),
    ("-mask", IMAGE.replace(b"HEADER_BYTES=512", b"HEADER_BYTES=abc"), "HEADER_BYTES"),
    ("-img", None, "no such file"),
    ("-img", b"", "empty"),
    ("-img", b"garbage", "not an SMV image"),
    ("-img", IMAGE[:700], "truncated"),
    ("-img", IMAGE[:512], "truncated"),
    ("-img", IMAGE.replace(b"DISTANCE=90", b"DISTANCE=9O"), "DISTANCE in the image header is '9O'"),
    ("-img", IMAGE.replace(b"PHI=12", b"PHI=--"), "PHI in the image header is '--'"),
    ("-sourcefile", None, "no such file"),
    ("-sourcefile", b"", "empty"),
    ("-sourcefile", b"\n \n", "no data"),
    ("-sourcefile", b"-10 0 0 1 1e-10\n-10 zero 0\n", "line 2: 'zero'"),
    ("-sourcefile", b"-10 0 0 1 -1e-10\n", "wavelength"),
    ("-sourcefile", b"-10 0 0 1 nan\n", "line 1: 'nan'"),
    ("-stol", None, "no such file"),
    ("-stol", b"", "empty"),
    ("-stol", b"0.1 2.5\n# comment\n", "line 2: '#'"),
]


@pytest.mark.parametrize(("option", "content", "says"), FILE_CASES)
def test_bad_input_file(option, content, says, tmp_path, capfdbinary):
    if content is not None:
        (tmp_path / "input").write_bytes(content)
    run = nanobragg([*GOOD, "-compat", "spec", option, "input"], tmp_path, capfdbinary)
    refused(run, option, "input", says)
    assert run.files(["input"]) == {}


# Where C has no image either, or one that depends on what its memory held.
C_CASES = [
    case
    for case in FILE_CASES
    if case[1] is None or case[1] == b"" or case[2] in ("no reflections", "no data", "memory", "wavelength", "HEADER_BYTES", "one plane")
] + [
    ("-hkl", b"h k l F\n0 0 1 5\n", "line 1: 'h'"),
    ("-mat", b"0.01 0 0\n0 0.01 0\n", "line 3"),
    ("-mat", b"0.01 0 0\n0 0.01 abc\n0 0 0.01\n", "line 2"),
    ("-mask", b"P5\n3 3\n255\n", "not an SMV image"),
    ("-mask", IMAGE.replace(b"SIZE1=88", b"SIZE1=xx"), "no size"),
    ("-img", b"garbage", "not an SMV image"),
    ("-img", IMAGE[:400], "truncated"),
]


@pytest.mark.parametrize(("option", "content", "says"), C_CASES)
def test_bad_input_file_in_c(option, content, says, tmp_path, capfdbinary):
    if content is not None:
        (tmp_path / "input").write_bytes(content)
    run = nanobragg([*GOOD, option, "input"], tmp_path, capfdbinary)
    refused(run, option, "input", says)
    assert run.files(["input"]) == {}


def test_unreadable_file(tmp_path, capfdbinary):
    (tmp_path / "folder.hkl").mkdir()
    refused(nanobragg([*GOOD, "-hkl", "folder.hkl"], tmp_path, capfdbinary), "-hkl folder.hkl", "is a directory")


def test_truncated_dump(tmp_path, capfdbinary):
    (tmp_path / "a.hkl").write_text(HKL)
    assert nanobragg([*GOOD, "-hkl", "a.hkl"], tmp_path, capfdbinary).status == 0
    dump = tmp_path / "Fdump.bin"
    for content, says in ((dump.read_bytes()[:-9], "truncated"), (b"not a dump", "not a structure-factor dump"), (b"", "empty")):
        dump.write_bytes(content)
        refused(nanobragg(GOOD, tmp_path, capfdbinary), "-dump Fdump.bin", says)


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("-pixel 0", "-pixel"),
        ("-pixel -0.1", "-pixel"),
        ("-distance 0", "-distance"),
        ("-distance -100", "-distance"),
        ("-close_distance 0", "-close_distance"),
        ("-lambda 0", "-lambda"),
        ("-lambda -1", "-lambda"),
        ("-energy 0", "-energy"),
        ("-cell 70 80 90 90 90 180", "-cell"),
        ("-cell 70 80 90 30 30 90", "-cell"),
        ("-detpixels -5", "-detpixels"),
        ("-detpixels 2000000000", "-detpixels"),
        ("-detpixels 46000", "memory"),
        ("-detpixels 0 -detsize 1e30", "-detsize"),
        ("-oversample 99999999", "-oversample"),
        ("-xtalsize 1000 -oversample 0", "-oversample"),
        ("-phisteps 2000000000", "-phisteps"),
        ("-mosaic 1 -mosaic_domains 2000000000", "mosaic domains"),
        ("-misset inf 0 0", "-misset"),
        ("-distance", "-distance needs 1 value"),
        ("-misset 1 2", "-misset needs 3 values"),
        ("-detector_abs", "-detector_abs needs 1 value"),
        ("-threads 0", "-threads"),
        ("-threads two", "-threads"),
        ("-compat d", "-compat"),
        ("-png", "-png needs a value"),
        ("-phi_carryover_mode c", "-phi_carryover_mode"),
        ("-beam_vector 0 0 0", "-beam_vector"),
        ("-flux 1e12 -beamsize 0", "-beamsize"),
    ],
)
def test_bad_value(words, flag, tmp_path, capfdbinary):
    line = [*GOOD, *words.split()]
    run = nanobragg(line, tmp_path, capfdbinary)
    refused(run, flag)
    assert run.files() == {}


def test_no_crystal_prints_the_usage(tmp_path, capfdbinary):
    run = nanobragg([], tmp_path, capfdbinary)
    assert run.status == 9
    assert b"ERROR: no hkl file and no dump file to read.usage: nanoBragg -mat auto.mat -hkl Fs.hkl\n" in run.stdout


def test_what_begins_with_a_dash_is_no_cell(tmp_path, capfdbinary):
    run = nanobragg(["-default_F", "1", "-cell", "-70"], tmp_path, capfdbinary)
    assert run.status == 9 and run.stdout.count(b"usage: nanoBragg") == 1


def test_unknown_option_is_named_with_its_neighbour(tmp_path, capfdbinary):
    run = nanobragg([*GOOD, "-distnace", "50"], tmp_path / "a", capfdbinary)
    assert run.status == 0 and "-distnace (the nearest is -distance)" in run.stderr
    refused(nanobragg([*GOOD, "-distnace", "50", "-strict"], tmp_path / "b", capfdbinary), "-distnace", "-distance")
    refused(nanobragg([*GOOD, "-fluence", "1e2x", "-strict"], tmp_path / "c", capfdbinary), "-fluence", "1e2x")


def snapshot(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.fixture
def earlier(tmp_path, capfdbinary):
    """A folder with the outputs of an earlier run."""
    assert nanobragg(GOOD, tmp_path, capfdbinary).status == 0
    return tmp_path


@pytest.mark.parametrize("limit", [500, 1500, 20000])
def test_full_disk_keeps_earlier_outputs(earlier, limit):
    # A limit on the file size stops a write in the middle, as a full disk does.
    before = snapshot(earlier)

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    line = [*GOOD, "-default_F", "200", "-detpixels", "200"]
    run = subprocess.run([*COMMAND, *line], cwd=earlier, capture_output=True, text=True, preexec_fn=small_files, timeout=120)
    assert run.returncode == 2, run.stderr
    assert re.search(r"error: cannot write \S+: file too large", run.stderr)
    assert snapshot(earlier) == before


def test_device_without_space(tmp_path, capfdbinary):
    refused(nanobragg([*GOOD, "-intfile", "/dev/full"], tmp_path, capfdbinary), "/dev/full", "no space left")
    assert snapshot(tmp_path) == {}


def test_devices_are_written_not_replaced(tmp_path, capfdbinary):
    assert nanobragg([*GOOD, "-floatfile", "/dev/null"], tmp_path, capfdbinary).status == 0
    assert not os.path.isfile("/dev/null")


def test_folder_that_cannot_be_written(tmp_path, capfdbinary):
    refused(nanobragg([*GOOD, "-floatfile", "missing/f.bin"], tmp_path, capfdbinary), "-floatfile missing/f.bin", "does not exist")
    (tmp_path / "taken").mkdir()
    refused(nanobragg([*GOOD, "-noisefile", "taken"], tmp_path, capfdbinary), "-noisefile taken", "is a folder")


def test_read_only_folder(tmp_path, monkeypatch, capfdbinary):
    # Root may write anywhere, so the system's answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused(nanobragg(GOOD, tmp_path, capfdbinary), "-floatfile floatimage.bin", "no permission")


def heed_interrupts():
    """In a process about to start: where the tests run in a shell's background, it would inherit that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_run_keeps_earlier_outputs(earlier, number, status):
    before = snapshot(earlier)
    line = [*GOOD, "-default_F", "7", "-detpixels", "2000", "-mosaic", "1", "-mosaic_domains", "2000"]
    process = subprocess.Popen([*COMMAND, *line], cwd=earlier, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_interrupts)
    assert process.stdout is not None
    for text in process.stdout:
        if b"0% done" in text:
            break
    process.send_signal(number)
    started = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert time.monotonic() - started < 30
    assert b"Traceback" not in error
    assert snapshot(earlier) == before


def test_disk_refuses_the_noise_image_while_pixels_are_computed(earlier):
    before = snapshot(earlier)
    line = [*GOOD, "-default_F", "7", "-detpixels", "600", "-threads", "2"]
    limit = (300_000, 300_000)
    run = subprocess.run(
        [*COMMAND, *line], cwd=earlier, capture_output=True, timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    )
    assert run.returncode == 2
    assert b"error: cannot write" in run.stderr and b"Traceback" not in run.stderr
    assert snapshot(earlier) == before


def test_reader_of_standard_output_goes_away(tmp_path):
    line = [*COMMAND, *GOOD, "-printout", "-detpixels", "60"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) == 141
    assert b"Traceback" not in error
    assert snapshot(tmp_path) == {}


def test_two_threads_at_once():
    from nanobragg_numba import parameters_from_command_line, simulate

    lines = [" ".join([*GOOD, "-detpixels", "120", "-default_F", str(F)]) for F in (10, 20, 30, 40)]
    alone = [simulate(parameters_from_command_line(line)).image for line in lines]
    together: dict[int, np.ndarray] = {}

    def work(n: int) -> None:
        for _ in range(3):
            together[n] = simulate(parameters_from_command_line(lines[n])).image

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(lines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, image in enumerate(alone):
        assert np.array_equal(image, together[n])


@pytest.mark.parametrize("words", ["-cell 1e300", "-cell 1e-300", "-threads \u00b2", "-phistep 1e-12 -osc 90", "-png ''"])
def test_extreme_words(words, tmp_path, capfdbinary):
    refused(nanobragg([*GOOD, *words.replace("''", " ").split(" ")[:2], *words.split()[2:]], tmp_path, capfdbinary))
    assert snapshot(tmp_path) == {}


def test_the_most_negative_seed(tmp_path, capfdbinary):
    assert b"seed: -2147483648" in nanobragg([*GOOD, "-seed", "2147483648"], tmp_path, capfdbinary).stdout


def test_a_dump_that_cannot_be_written_is_no_error(tmp_path, capfdbinary):
    (tmp_path / "a.hkl").write_text(HKL)
    run = nanobragg([*GOOD, "-hkl", "a.hkl", "-dump", "missing/Fdump.bin"], tmp_path, capfdbinary)
    assert run.status == 0 and b"WARNING: unable to open dump file: missing/Fdump.bin" in run.stdout


def test_strict_refuses_words_of_no_option(tmp_path, capfdbinary):
    refused(nanobragg([*GOOD, "foo", "-strict"], tmp_path, capfdbinary), "foo")


def test_standard_output_full_or_closed(tmp_path):
    line = [*COMMAND, *GOOD]
    with open("/dev/full", "wb") as full:
        run = subprocess.run(line, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 2 and "standard output: no space left" in run.stderr and "Traceback" not in run.stderr
    assert snapshot(tmp_path) == {}
    run = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *line], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0 and run.stderr == ""
    assert (tmp_path / "floatimage.bin").stat().st_size == 4 * 16 * 16


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full"])
def test_standard_error_full_or_closed(tmp_path, closed):
    line = [*COMMAND, *GOOD]
    plain = subprocess.run(line, cwd=tmp_path, capture_output=True)
    run = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *line, "-foo"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert run.returncode == 0
    assert b"nanoBragg:" not in run.stdout and len(run.stdout) == len(plain.stdout)


def test_image_on_standard_output(tmp_path):
    line = [*COMMAND, *GOOD, "-nonoise", "-nopgm", "-floatfile", "/dev/stdout"]
    run = subprocess.run(line, cwd=tmp_path, capture_output=True)
    plain = subprocess.run([*COMMAND, *GOOD, "-nonoise", "-nopgm"], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0
    assert (tmp_path / "floatimage.bin").read_bytes() in run.stdout and len(run.stdout) > len(plain.stdout)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.3])
def test_interrupt_while_it_starts(delay, tmp_path):
    line = [COMMAND[0], "-X", "importtime", *COMMAND[1:], *GOOD, "-detpixels", "3000"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    assert process.stderr is not None
    for text in process.stderr:
        if "nanobragg_numba.cli.start" in text:
            break
    time.sleep(0.01 + delay)
    process.send_signal(signal.SIGINT)
    error = process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert error.count("nanoBragg: interrupted\n") == 1 and "Traceback" not in error
    assert snapshot(tmp_path) == {}
