"""Random command lines, run by a reference binary and by us: the same files and standard output.

The binary is named by NB_C_BIN (nanoBragg.c built without OpenMP); NB_C_LINES changes the number of lines, and
NB_C_COMPAT=c-fixed says that it is the repaired program.
Without a binary only the generator is tested.
"""

import os
import shutil
import subprocess

import pytest
from random_lines import INPUTS, random_line
from running import GOLDEN, POINTER, describe_difference, nanobragg

BINARY = os.environ.get("NB_C_BIN")
COMPAT = os.environ.get("NB_C_COMPAT", "c")
LINES = range(int(os.environ.get("NB_C_LINES", "200")) if BINARY else 0)
# What the reference prints before it computes an image of nan, and what we name instead.
EMPTY_SUMS = ((b"created a total of 0 sources", "-round_div"), (b"\n  0 phi steps from", "-phisteps"), (b"Unit Cell: -nan", "misset"))


@pytest.mark.parametrize("seed", LINES)
def test_same_bytes_on_a_random_line(seed, tmp_path, capfdbinary):
    words = random_line(seed)
    theirs, ours = tmp_path / "c", tmp_path / "numba"
    theirs.mkdir()
    for name in INPUTS:
        shutil.copy(GOLDEN / "inputs" / name, theirs)
    c = subprocess.run([BINARY, *words], cwd=theirs, capture_output=True, timeout=300)
    run = nanobragg([*words, "-compat", COMPAT], ours, capfdbinary, INPUTS)
    line = " ".join(words)
    for nothing, flag in EMPTY_SUMS:
        if nothing in c.stdout:
            assert run.status == 2 and flag in run.stderr
            return
    assert run.status == c.returncode, f"{line}\n{run.stderr}"
    want = {p.name: p.read_bytes() for p in theirs.iterdir() if p.name not in INPUTS}
    got = run.files(INPUTS)
    assert sorted(got) == sorted(want), line
    wrong = [name for name in want if got[name] != want[name]]
    floats = next((name for name in want if name in ("floatimage.bin", "other.bin")), None)
    assert not wrong, f"{line}\n{wrong} differ; {describe_difference(got[floats], want[floats], 1) if floats else ''}"
    assert run.stdout.decode().splitlines() == POINTER.sub(rb"\1POINTER", c.stdout).decode().splitlines(), line
    assert run.stdout == POINTER.sub(rb"\1POINTER", c.stdout), line


def test_random_lines_depend_on_the_seed_alone():
    lines = [random_line(seed) for seed in range(50)]
    assert lines == [random_line(seed) for seed in range(50)]
    assert len({tuple(line) for line in lines}) == 50
