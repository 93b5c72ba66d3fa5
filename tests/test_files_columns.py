"""Matrices, sources and stol files: more, fewer and other columns, as they are meant and as the reference takes them."""

import os
import subprocess

import numpy as np
import pytest
from running import GOLDEN, POINTER, nanobragg

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.files import mosflm_matrix, text_columns

BINARY = os.environ.get("NB_C_BIN")
GOOD = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1 -nopgm".split()
NINE = [0.0134, 0.022, 0.0319, -0.0097, -0.0062, 0.0282, 0.01, -0.0355, 0.0148]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(width: int, numbers=NINE, form: str = " {}") -> bytes:
    rows = [numbers[at : at + width] for at in range(0, len(numbers), width)]
    return "".join("".join(form.format(n) for n in row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    "content",
    [
        lines(3),
        lines(1),
        lines(9),
        b"\n\n" + lines(3).replace(b"\n", b"\r\n") + b"  0.0 0.0 0.0\n 70.1 80.2\ntext\n",
        lines(3, form="{:12.8f}"),
        lines(3, form="{:+.4f}"),
        lines(9, form="{:+.4f}") + b"END",
    ],
)
@pytest.mark.parametrize("as_c", [False, True])
def test_nine_numbers_make_a_matrix(content, as_c, folder):
    (folder / "A.mat").write_bytes(content)
    assert np.array_equal(mosflm_matrix.read("A.mat", "-mat", as_c), np.reshape(NINE, (3, 3)))


@pytest.mark.parametrize("width", [2, 4, 5, 6, 8])
def test_a_matrix_of_other_columns(width, folder):
    # Rows of four would be read as another matrix, without a word.
    numbers = [*NINE, *NINE, *NINE]
    (folder / "A.mat").write_bytes(lines(width, numbers))
    with pytest.raises(InputError, match=r"-mat A.mat, line 1: an orientation matrix has three numbers a line"):
        parameters_from_command_line("-mat A.mat -default_F 1")
    assert np.array_equal(mosflm_matrix.read("A.mat", "-mat", as_c=True).ravel(), numbers[:9])


def test_a_stol_file_is_any_text_in_c(folder, capfdbinary):
    plain = nanobragg(GOOD, folder / "plain", capfdbinary)
    (folder / "a.stol").write_bytes(b"# sin(theta)/lambda and F\n0.1 2.5 # two\nx\n\n")
    for option in ("-stol", "-4stol", "-Q"):
        run = nanobragg([*GOOD, option, "../a.stol"], folder / option, capfdbinary)
        assert run.status == 0 and run.files() == plain.files()
    run = nanobragg([*GOOD, "-stol", "../a.stol", "-compat", "spec"], folder / "spec", capfdbinary)
    assert run.status == 2 and "-stol ../a.stol, line 1: '#' is not a number" in run.stderr and run.files() == {}


def test_the_columns_of_sources(folder):
    (folder / "s.txt").write_bytes(b"-10 0.1 0.2 2 1.1e-10\r\n\r\n-9,0.3;0.4\n-8 0 0.5 3")
    read = text_columns.read("s.txt", 5, "-sourcefile")
    nan = np.nan
    expected = [[-10, 0.1, 0.2, 2, 1.1e-10], [-9, 0.3, 0.4, nan, nan], [-8, 0, 0.5, 3, nan]]
    assert np.array_equal(np.array(read.columns).T, expected, equal_nan=True) and read.remark is None


def test_more_columns_of_sources(folder):
    (folder / "s.txt").write_bytes(b"-10 0 0 2 1.1e-10\n-9 0 0 1 1.2e-10 red\n-9 0 0 1 1.3e-10 7 7\n")
    with pytest.warns(UserWarning, match=r"-sourcefile s.txt: 2 of 3 lines hold more than 5 columns \(line 2 is the first\)"):
        sources = parameters_from_command_line("-cell 70 -default_F 1 -sourcefile s.txt").beam.sources
    assert sources is not None
    assert sources.wavelengths_m.tolist() == [1.1e-10, 1.2e-10, 1.3e-10] and sources.intensities.tolist() == [2, 1, 1]


# Each with what the reference makes of it: text is 0 or the number that it begins with.
AS_C = [
    (b"-10 0 0 strong 1e-10\n", [[-10, 0, 0, 0, 1e-10]], "line 1: 'strong' was read as 0"),
    (b"-10 0 0 1 1e-10A\n", [[-10, 0, 0, 1, 1e-10]], "line 1: '1e-10A' was read as 1e-10"),
    (b"-10 0 0 1 1e-10 more words\n-9 0 0\n", [[-10, 0, 0, 1, 1e-10], [-9, 0, 0, np.nan, np.nan]], None),
    (b"-10 0 0\r\n", [[-10, 0, 0, 0, 0]], "line 1: it does not end in a plain newline"),
    (b"-10 0 0 1 1e-10\n-9 0 0 1", [[-10, 0, 0, 1, 1e-10], [-9, 0, 0, 1, 0]], "line 2: it does not end"),
    (b" ,;\n-10 0 0 1 1e-10\n", [[-10, 0, 0, 1, 1e-10]], None),
    (b"-10 0 0 1 1e-10\x0c\n-9 0 0\n", [[-10, 0, 0, 1, 1e-10], [-9, 0, 0, np.nan, np.nan]], None),
]


@pytest.mark.parametrize(("content", "expected", "says"), AS_C)
def test_sources_as_the_reference_reads(content, expected, says, folder):
    (folder / "s.txt").write_bytes(content)
    read = text_columns.read_as_c("s.txt", 5, "-sourcefile")
    assert np.array_equal(np.array(read.columns).T, expected, equal_nan=True)
    assert read.remark is None if says is None else says in (read.remark or "")


@pytest.mark.skipif(not BINARY, reason="NB_C_BIN names no reference")
@pytest.mark.parametrize("content", [case[0] for case in AS_C if b"-10 0 0\r" not in case[0] and not case[0].endswith(b"1")])
def test_same_bytes_as_the_reference(content, folder, capfdbinary):
    for name in ("c", "numba"):
        (folder / name).mkdir()
        (folder / name / "s.txt").write_bytes(content)
    words = [*GOOD, "-sourcefile", "s.txt"]
    c = subprocess.run([BINARY, *words], cwd=folder / "c", capture_output=True, timeout=60)
    run = nanobragg(words, folder / "numba", capfdbinary)
    assert run.status == c.returncode == 0 and run.stdout == POINTER.sub(rb"\1POINTER", c.stdout)
    assert run.files() == {p.name: p.read_bytes() for p in (folder / "c").iterdir()}


@pytest.mark.skipif(not BINARY, reason="NB_C_BIN names no reference")
@pytest.mark.parametrize("option", ["-img", "-mask"])
def test_same_bytes_with_a_spec_header(option, folder, capfdbinary):
    # Our own keys stand where the reference does not look.
    line = [*GOOD, "-compat", "spec", "-detector_rotx", "3", "-twotheta", "4", "-detpixels", "20", "-scale", "1000"]
    assert nanobragg(line, folder / "spec", capfdbinary).status == 0
    words = [*GOOD[:10], *GOOD[-4:], option, str(folder / "spec" / "intimage.img"), "-nopgm"]
    (folder / "c").mkdir()
    c = subprocess.run([BINARY, *words], cwd=folder / "c", capture_output=True, timeout=60)
    run = nanobragg(words, folder / "numba", capfdbinary)
    assert run.status == c.returncode == 0 and run.stdout == POINTER.sub(rb"\1POINTER", c.stdout)
    assert run.files() == {p.name: p.read_bytes() for p in (folder / "c").iterdir()}


def test_the_recorded_sources_mean_the_same_in_both(folder):
    content = (GOLDEN / "inputs" / "sources.txt").read_bytes()
    (folder / "s.txt").write_bytes(content)
    a, b = text_columns.read("s.txt", 5, "-sourcefile"), text_columns.read_as_c("s.txt", 5, "-sourcefile")
    assert np.array_equal(a.columns, b.columns, equal_nan=True) and a.remark is None and b.remark is None
