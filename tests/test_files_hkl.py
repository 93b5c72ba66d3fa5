"""Lists of structure factors: four numbers a line in spec, C's fscanf in c, number after number."""

import ctypes
import os
import platform
import random
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from hkl_lines import random_list
from running import GOLDEN, POINTER, nanobragg

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.files import hkl, hkl_as_c
from nanobragg_numba.files.scanf import Scanner

BINARY = os.environ.get("NB_C_BIN")
LISTS = range(int(os.environ.get("NB_C_LISTS", "150")) if BINARY else 0)
LINE = "-cell 50 60 70 90 90 90 -N 3 -lambda 1 -distance 100 -detpixels 12 -pixel 0.5 -oversample 1 -seed 1 -nopgm -hkl P.hkl".split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(reader, content: bytes, folder) -> tuple[dict, hkl.HklFile]:
    """What the table holds away from 0, and all that the reader gave."""
    (folder / "P.hkl").write_bytes(content)
    read = reader.read("P.hkl", 0.0, "-hkl")
    f = read.factors
    low = np.array([f.h_min, f.k_min, f.l_min])
    return {tuple(int(i) for i in place + low): f.table[tuple(place)] for place in np.argwhere(f.table != 0)}, read


GOOD = [
    (b"1 2 3 100\n-1 0 5 7.5\n", {(1, 2, 3): 100, (-1, 0, 5): 7.5}),
    (b"1.0 2.0 3.0 100\n-1. 0e0 +5 7.5", {(1, 2, 3): 100, (-1, 0, 5): 7.5}),
    (b"   1   2-100   50.00\n", {(1, 2, -100): 50}),
    (b"-101-102-103-50.00\n 101 102 103  50.00\n", {(-101, -102, -103): -50, (101, 102, 103): 50}),
    (b"\r\n1 2 3 100\r\n\r\n0 0 1 5\r\n", {(1, 2, 3): 100, (0, 0, 1): 5}),
    (b"1 2 3 100\r0 0 1 5\r", {(1, 2, 3): 100, (0, 0, 1): 5}),
    (b"\n\n\t1\t2\t3\t1e2  \n", {(1, 2, 3): 100}),
    (b"1 2 3 5\n1 2 3 6\n1 2 3 0.12345678901234567\n", {(1, 2, 3): 0.12345678901234567}),
    (b"1 2 3 0x10\n1 2 4 .5\n", {(1, 2, 3): 16, (1, 2, 4): 0.5}),
]


@pytest.mark.parametrize(("content", "table"), GOOD)
def test_four_numbers_a_line(content, table, folder):
    got, read = listed(hkl, content, folder)
    assert got == table and read.remark is None
    assert read.factors.count == len([line for line in content.replace(b"\r", b"\n").split(b"\n") if line.strip()])


MORE = [
    b"1 2 3 100 0.5\n1 2 4 50 0.25\n\n0 0 1 5 1\n",
    b"1.0 2.0 3.0 100 0.5 F 1\n1 2 4 50\n0 0 1 5\n",
    b"   1   2   3  100.00 0.50 o\n   1   2   4   50.00-0.5\n0 0 1 5",
]


@pytest.mark.parametrize("content", MORE)
def test_more_columns_are_left_out_with_a_remark(content, folder):
    got, read = listed(hkl, content, folder)
    assert got == {(1, 2, 3): 100, (1, 2, 4): 50, (0, 0, 1): 5}
    longer = [line for line in content.split(b"\n") if len(line.replace(b"-", b" -").split()) > 4]
    assert read.remark is not None and f"{len(longer)} of 3 lines hold more" in read.remark and "line 1 is" in read.remark


def test_python_hears_the_remark_and_the_command_says_it(folder, capfdbinary):
    (folder / "P.hkl").write_bytes(MORE[0])
    with pytest.warns(UserWarning, match="-hkl P.hkl: 3 of 3 lines hold more than h k l F"):
        parameters_from_command_line("-cell 50 60 70 -hkl P.hkl")
    run = nanobragg([*LINE, "-compat", "spec"], folder, capfdbinary)
    assert run.status == 0 and run.stderr.count("lines hold more") == 1
    (folder / "P.hkl").write_bytes(GOOD[0][0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parameters_from_command_line("-cell 50 60 70 -hkl P.hkl")
    assert nanobragg([*LINE, "-compat", "spec"], folder, capfdbinary).stderr == ""


BAD = [
    (b"1 2 3 100\n\n1.5 2 3 4\n", "line 3: Miller index h = 1.5 is not whole"),
    (b"1 2 3 100\n1 2 3 inf\n", "line 2: F is inf"),
    (b"1 nan 3 100\n", "line 1: k is nan"),
    (b"1 2 3 100 \n1 2 3\n", "line 2: F is missing"),
    (b"1 2 3\n100\n", "line 1: F is missing"),
    (b"1 2 3 100\nEND\n", "line 2: 'END' is not a number"),
    (b"# h k l F\n1 2 3 100\n", "line 1: '#' is not a number"),
    (b"1 2 3 100x\n", "line 1: '100x' is not a number"),
    (b"1 2 3e+ 100\n", "line 1: '3e[+]' is not a number"),
    (b"1,2,3,100\n", "line 1: '1,2,3,100' is not a number"),
    (b"1 2 1000000 100\n", "line 1: absurd Miller index l = 1000000"),
    ("1 2 \u0663 100\n".encode(), "line 1: .* is not a number"),
]


@pytest.mark.parametrize(("content", "says"), BAD)
def test_anything_else_is_refused(content, says, folder):
    (folder / "P.hkl").write_bytes(content)
    with pytest.raises(InputError, match=f"-hkl P.hkl, {says}"):
        hkl.read("P.hkl", 0.0, "-hkl")


def by_fours(content: bytes) -> dict:
    """Whole numbers, four a reflection wherever the lines end; of equal ones the last."""
    words = content.split()
    rows = [words[at : at + 4] for at in range(0, len(words) // 4 * 4, 4)]
    return {tuple(int(word) for word in row[:3]): float(row[3]) for row in rows if float(row[3])}


FIVE = b"".join(b"0 %d 1 %d 3\n" % (n % 3, 10 + n) for n in range(4))
AS_C = [
    # content, table, reflections counted, parts of the remark
    (GOOD[0][0], GOOD[0][1], 2, ()),
    (b"   1   2-100   50.00\n", {(1, 2, -100): 50}, 1, ()),
    (b"1.0 2.0 3.0 100\n", {}, 1, ("of 1 reflections 0 were stored",)),
    (b"0 0 1 5\n1.0 2.0 3.0 100\n0 0 2 6\n", {(0, 0, 1): 5}, 3, ("of 3 reflections 1 were stored",)),
    # The 3 of 3.5 is the index and .5 the structure factor; the next reading begins at 100.
    (b"1 2 3.5 100\n", {(1, 2, 3): 0.5}, 1, ("of 1 reflections 0",)),
    (b"1 2 3.0 100\n", {}, 1, ("of 1 reflections 0",)),
    (FIVE, by_fours(FIVE), 5, ("across the ends of lines",)),
    (b"0 0 1 5\n0 0 2 6\nEND\n0 0 3 7\n", {(0, 0, 1): 5, (0, 0, 2): 6}, 2, ("'END' on line 3",)),
    (b"0 0 1 5\n0 0 2", {(0, 0, 1): 5}, 1, ("the last reflection is incomplete",)),
    (b"0 0 1 5\n0 0 END", {(0, 0, 1): 5}, 1, ("'END' on line 2",)),
    (b"0 0 1 5\n0 0 2 6x\n0 0 3 7\n", {(0, 0, 1): 5, (0, 0, 2): 6}, 2, ("'x' on line 2",)),
    (b"0 0\n1 5 0 0 2 6\n", {(0, 0, 1): 5, (0, 0, 2): 6}, 2, ("across the ends of lines",)),
    (b"0 0 1 1e\n0 0 2 0x1p4\n", {(0, 0, 1): 1, (0, 0, 2): 16}, 2, ()),
]  # fmt: skip


@pytest.mark.parametrize(("content", "table", "count", "says"), AS_C)
def test_as_the_reference_reads(content, table, count, says, folder):
    got, read = listed(hkl_as_c, content, folder)
    assert got == table and read.factors.count == count
    assert (read.remark is None) == (not says)
    for part in says:
        assert part in (read.remark or "")


def test_not_a_number_in_c(folder):
    _, read = listed(hkl_as_c, b"0 0 5 nan\n0 0 6 7\n", folder)
    assert np.isnan(read.factors.table[0, 0, 0]) and read.factors.table[0, 0, 1] == 7 and "not finite" in (read.remark or "")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the reference's fscanf is glibc's")
def test_the_scanner_is_sscanf():
    libc = ctypes.CDLL(None)
    r = random.Random(5)
    alphabet = "0123456789" * 2 + "..--++eEeexXpPnNaAiIfFtTyY  \t,"
    whole = [
        "inf",
        "infinity",
        "infi",
        "nan",
        "-nan",
        "0x",
        "0x.",
        "0x1p",
        "1e+",
        "0x.p5",
        "1e5e",
        "1.5.2",
        "2-100",
        "00x1",
        "1e400",
        "9" * 30,
    ]
    texts = whole + ["".join(r.choice(alphabet) for _ in range(r.randrange(1, 12))) for _ in range(20000)]
    for text in texts:
        for format, kind, take in ((b"%lg%n", ctypes.c_double, Scanner.real), (b"%d%n", ctypes.c_int, Scanner.whole)):
            value, used = kind(), ctypes.c_int()
            done = libc.sscanf(text.encode(), format, ctypes.byref(value), ctypes.byref(used))
            scanner = Scanner(text)
            got = take(scanner)
            assert (got is not None) == (done == 1), text
            if got is not None:
                assert scanner.at == used.value and np.array_equal(got, value.value, equal_nan=True), text


@pytest.mark.parametrize("seed", LISTS)
def test_same_bytes_on_a_random_list(seed, tmp_path, capfdbinary):
    words = [*LINE, *(["-default_F", "7"] if seed % 3 else []), *(["-interpolate"] if seed % 5 == 0 else [])]
    theirs, ours = tmp_path / "c", tmp_path / "numba"
    for folder in (theirs, ours):
        folder.mkdir()
        (folder / "P.hkl").write_bytes(random_list(seed))
    c = subprocess.run([BINARY, *words], cwd=theirs, capture_output=True, timeout=300)
    run = nanobragg(words, ours, capfdbinary)
    if c.returncode < 0:
        # It wrote outside its table.
        assert run.status == 2 or "outside the table" in run.stderr
        return
    if c.returncode:
        assert run.status == 2
        return
    assert run.status == 0, run.stderr
    assert run.files() == {p.name: p.read_bytes() for p in theirs.iterdir()}
    # The sign of a sum of nans of both signs is the compiler's choice.
    assert run.stdout.replace(b"-nan", b"nan") == POINTER.sub(rb"\1POINTER", c.stdout).replace(b"-nan", b"nan")


def test_random_lists_depend_on_the_seed_alone():
    assert [random_list(seed) for seed in range(50)] == [random_list(seed) for seed in range(50)]
    assert len({random_list(seed) for seed in range(50)}) == 50


def test_both_read_a_plain_list_alike(folder):
    shutil.copy(GOLDEN / "inputs" / "erl.hkl", folder / "P.hkl")
    a, b = (reader.read("P.hkl", 3.0, "-hkl") for reader in (hkl, hkl_as_c))
    assert a.report == b.report and a.factors.limits == b.factors.limits and a.factors.count == b.factors.count
    assert np.array_equal(a.factors.table, b.factors.table) and a.remark is None and b.remark is None
