"""Random command lines of noisify and nonBragg, run by the reference and by us: the same files and standard output.

The binaries are named by NB_NOISIFY_BIN and NB_NONBRAGG_BIN (noisify.c and nonBragg.c); NB_SISTER_LINES changes the number of lines.
Without a binary only the generators are tested.
"""

import os
import shutil
import subprocess

import pytest
from random_sister_lines import NOISIFY_INPUTS, NONBRAGG_INPUTS, noisify_line, nonbragg_line
from running import GOLDEN, POINTER, sister

BINARIES = {"noisify": os.environ.get("NB_NOISIFY_BIN"), "nonBragg": os.environ.get("NB_NONBRAGG_BIN")}
LINES = {"noisify": (noisify_line, NOISIFY_INPUTS), "nonBragg": (nonbragg_line, NONBRAGG_INPUTS)}
COUNT = int(os.environ.get("NB_SISTER_LINES", "60"))
CASES = [(program, seed) for program, binary in BINARIES.items() for seed in range(COUNT if binary else 0)]
EMPTY_SUMS = b"created a total of 0 sources"
"""What the reference prints before it computes an image of nan: we name the option instead."""


def _reference(program, words, folder):
    folder.mkdir()
    for name in LINES[program][1]:
        shutil.copy(_input(name), folder)
    return subprocess.run([BINARIES[program], *words], cwd=folder, capture_output=True, timeout=300)


def _input(name):
    own = GOLDEN / "sister" / "inputs" / name
    return own if own.exists() else GOLDEN / "inputs" / name


def grey_meant(content, width, height):
    """A grey image of nonBragg without the second half of its pixels, which the reference takes from memory that is not its image's."""
    head = content.split(b"255\n", 1)[0] + b"255\n"
    return content[: len(head) + width * height]


@pytest.mark.parametrize(("program", "seed"), CASES)
def test_same_bytes_on_a_random_line(program, seed, tmp_path, capfdbinary):
    make, inputs = LINES[program]
    words = make(seed)
    line = f"{program} {' '.join(words)}"
    c = _reference(program, words, tmp_path / "c")
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in inputs:
        shutil.copy(_input(name), ours)
    run = sister(program, words, ours, capfdbinary)
    if EMPTY_SUMS in c.stdout:
        assert run.status == 2 and "-round_div" in run.stderr
        return
    if c.returncode < 0:
        # Fewer photons than 0.01 in a pixel make an automatic radius of a Gaussian no number, and the reference fall over.
        assert run.status == 0 and "gauss" in words and "-nonoise" in words, line
        return
    assert run.status == c.returncode, f"{line}\n{run.stderr}"
    want = {p.name: p.read_bytes() for p in (tmp_path / "c").iterdir() if p.name not in inputs}
    got = run.files(inputs)
    if program == "nonBragg" and "image.pgm" in want:
        size = want["image.pgm"].split(b"\n")[1].split()
        want["image.pgm"] = grey_meant(want["image.pgm"], *map(int, size))
    assert run.stdout.decode().splitlines() == POINTER.sub(rb"\1POINTER", c.stdout).decode().splitlines(), line
    assert run.stdout == POINTER.sub(rb"\1POINTER", c.stdout), line
    assert sorted(got) == sorted(want), line
    assert [name for name in want if got[name] != want[name]] == [], line


@pytest.mark.parametrize("make", [noisify_line, nonbragg_line])
def test_random_lines_depend_on_the_seed_alone(make):
    lines = [make(seed) for seed in range(50)]
    assert lines == [make(seed) for seed in range(50)]
    assert len({tuple(line) for line in lines}) == 50
