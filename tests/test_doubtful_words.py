"""Words that belong to no option and values without a meaning: told in "c", refused in "spec", in Python and with -strict."""

import re

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import Crystal, InputError, parameters_from_command_line
from nanobragg_numba.cli.own_options import OWN_WORDS
from nanobragg_numba.command_line.doubtful_words import PYTHON_SAYS, nearest_option
from nanobragg_numba.fields.meaning import lattice_faults

BASE = "-cell 50 60 70 90 90 90 -default_F 100 -lambda 1 -distance 100 -pixel 0.5 -oversample 1 -seed 1 -nonoise -nopgm"
SMALL = f"{BASE} -detpixels 8"


def read(words, **more):
    return parameters_from_command_line(f"{SMALL} {words}", **more)


def command(words, folder, capfdbinary):
    return nanobragg(f"{BASE} {words}".split(), folder, capfdbinary)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-mozaic 3", "unknown option -mozaic (the nearest is -mosaic)"),
        ("-frob", "unknown option -frob (unknown="),
        ("-N 36 47 29", "the words 47 29 after -N belong to no option"),
        ("-N 36 -47", "the word -47 after -N belongs to no option"),
        ("-misset 10 20 30 40", "the word 40 after -misset belongs to no option"),
        ("-threads 2", "-threads is an option of the command nanoBragg alone; Python has simulate's argument threads"),
        ("-fluence 1e24x", "-fluence: '1e24x' is not a number"),
        ("-mosaic_domains 2.5", "-mosaic_domains must be a whole number, not '2.5'"),
        ("-phisteps 3000000000", "beyond 32-bit"),
        ("-pivot centre", "-pivot must be beam or sample"),
    ],
)
def test_python_refuses_words_that_mean_nothing(words, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read(words)


def test_python_may_ignore_unknown_words():
    assert read("-mozaic 3 -N 5 6", unknown="ignore") == read("-N 5")
    with pytest.raises(InputError, match="must be a whole number"):
        read("-N 2.5", unknown="ignore")
    with pytest.raises(InputError, match="unknown must be"):
        read("-N 5", unknown="keep")


def test_in_c_python_refuses_what_c_reads_in_part():
    with pytest.raises(InputError, match="'1e3' is read as the whole number 1"):
        read("-N 1e3", compat="c")
    assert read("-N 1e3", compat="c", unknown="ignore").crystal.n_cells == (1, 1, 1)


def test_decimals_that_are_whole_are_whole_numbers():
    assert read("-N 1e3").crystal.n_cells == (1000, 1000, 1000)
    assert read("-roi 0 1e1 0 9.0").detector.roi == (0, 10, 0, 9)
    assert parameters_from_command_line(f"{BASE} -detpixels 1e1").detector.pixels == (10, 10)
    assert isinstance(read("-phisteps 3.0").sampling.phisteps, int)


def test_options_of_the_command_have_a_word_for_python():
    assert set(PYTHON_SAYS) == set(OWN_WORDS) - {"-version", "--version", "-h", "--help", "-help"}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("-distnace", "-distance"), ("-mozaic", "-mosaic"), ("-LAMDA", "-lambda"), ("-hdiv", "-hdivstep"), ("-treads", "-threads")]
    + [(word, "") for word in ("-frob", "-foo", "-gain", "-x")],
)
def test_a_neighbour_is_named_where_it_is_near(wrong, right):
    assert nearest_option(wrong, OWN_WORDS) == right


@pytest.mark.parametrize(
    ("words", "read_as", "says"),
    [
        ("-N 1e1 -detpixels 8", "-N 1 -detpixels 8", "-N: '1e1' is read as the whole number 1"),
        ("-N 5 -detpixels 1e1", "-N 5 -detpixels 1", "-detpixels: '1e1' is read as the whole number 1"),
        ("-detpixels 8 -mosaic 1 -mosaic_domains 2.5", "-detpixels 8 -mosaic 1 -mosaic_domains 2", "'2.5' is read as the whole number 2"),
        ("-detpixels 20 -roi 0 1e1 0 9", "-detpixels 20 -roi 0 1 0 9", "-roi: '1e1' is read as the whole number 1"),
        ("-detpixels 8 -phisteps 4294967299", "-detpixels 8 -phisteps 3", "'4294967299' is read as the whole number 3"),
        ("-detpixels 8 -fluence 1e24m", "-detpixels 8 -fluence 1e24", "'1e24m' is not a number and is read as 1e+24"),
        ("-detpixels 8 -N 1e1x", "-detpixels 8 -N 1", "'1e1x' is not a number and is read as 1"),
    ],
)
def test_values_that_c_reads_in_part(words, read_as, says, tmp_path, capfdbinary):
    run, plain = command(words, tmp_path / "a", capfdbinary), command(read_as, tmp_path / "b", capfdbinary)
    assert run.files() == plain.files() and run.stdout == plain.stdout
    assert sum(line.startswith("nanoBragg: warning:") for line in run.stderr.splitlines()) == 1 and says in run.stderr
    strict = command(f"{words} -strict", tmp_path / "c", capfdbinary)
    assert strict.status == 2 and says in strict.stderr and strict.files() == {}


def matrix_file(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "A.mat").write_text("\n".join(" ".join(f"{x:.8f}" for x in row) for row in rows))


# Columns a*, b*, c* times a wavelength of 1 A, of cells of 50, 60 and 70 A.
MATRIX = np.diag([1 / 50, 1 / 60, 1 / 70])
DOUBTFUL = [
    # words, what the sentence must name
    ("-fluence -1", "-fluence must be 0 or more, not -1"),
    ("-flux -1e10", "-flux must be"),
    ("-flux 1e10 -exposure -2", "-exposure must be"),
    ("-polar 5", "-polar must be from -1 to 1, not 5"),
    ("-mosaic_domains 0", "-mosaic_domains must be 1 or more, not 0"),
    ("-mosaic -1", "-mosaic must be"),
    ("-water -3", "-water must be"),
    ("-N -3", "-N must be 0 or more, not -3"),
    ("-xtalsize -1", "-xtalsize or -samplesize must be"),
    ("-samplesize -1", "-xtalsize or -samplesize must be"),
    ("-adc 70000", "-adc must be from 0 to 65535, what two bytes hold, not 70000"),
    ("-adc -1", "-adc must be from 0 to 65535, what two bytes hold, not -1"),
    ("-dmin -2", "-dmin must be"),
    ("-energy 12.4", "-energy must be at most 100 A, for X-rays (an energy is in eV), not 999.873"),
    ("-roi 5 3 0 7", "-roi holds no pixel: 5 to 3 along the fast axis of 8 pixels"),
    ("-roi 0 7 8 9", "-roi holds no pixel: 8 to 9 along the slow axis of 8 pixels"),
    ("-detpixels 0 -detsize 2 -roi 4 9 0 0", "-roi holds no pixel: 4 to 9 along the fast axis of 4 pixels"),
    ("-mat A.mat", "-mat is left-handed"),
    ("-mat R.mat", "-mat allows no reflection"),
]


@pytest.mark.parametrize(("words", "says"), DOUBTFUL)
def test_values_without_a_meaning(words, says, tmp_path, capfdbinary):
    for name in ("c", "spec", "strict"):
        matrix_file(tmp_path / name, MATRIX[:, [1, 0, 2]])
        (tmp_path / name / "R.mat").write_text("50 0 0\n0 60 0\n0 0 70\n")
    c = command(f"-detpixels 8 {words}", tmp_path / "c", capfdbinary)
    assert c.status == 0 and f"nanoBragg: warning: {says}" in c.stderr.replace("-lambda or -energy", "-energy")
    assert sum("warning" in line for line in c.stderr.splitlines()) == 1
    for mode in ("-compat spec", "-strict"):
        run = command(f"-detpixels 8 {words} {mode}", tmp_path / mode.split()[-1].strip("-"), capfdbinary)
        assert run.status == 2 and says in run.stderr and "floatimage.bin" not in run.files()


@pytest.mark.parametrize(
    "words",
    [
        "-N 0",
        "-fluence 0",
        "-polar -1",
        "-roi 0 7 0 7",
        "-roi -1 -1 7 -1",
        "-roi 3 99 3 99",
        "-energy 124",
        "-mat A.mat",
        "-detector_abs 0",
    ],
)
def test_values_at_the_edge_have_a_meaning(words, tmp_path, capfdbinary):
    matrix_file(tmp_path, MATRIX)
    run = command(f"-detpixels 8 {words} -strict", tmp_path, capfdbinary)
    assert run.status == 0 and run.stderr == ""


def test_a_matrix_of_real_space_reaches_no_reflection_by_brute_force():
    """Never more than the shortest lambda/d of the reflections up to 6, and near it for a cell that is not very oblique."""
    rows = np.array([[50.0, 0.0, 0.0], [9.0, 60.0, 0.0], [-5.0, 7.0, 70.0]])
    hkl = np.array(np.meshgrid(*[np.arange(-6, 7)] * 3)).reshape(3, -1).T
    shortest = np.linalg.norm(hkl[(hkl != 0).any(1)] @ rows.T, axis=1).min()
    (fault,) = lattice_faults(Crystal(mosflm_matrix=rows))
    sentence = fault.text
    found = float(sentence.split("lambda/d is ")[1].split()[0])
    assert 0.9 * shortest < found <= shortest
