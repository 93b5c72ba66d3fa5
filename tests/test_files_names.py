"""Which files are read and written: a dump that nobody named, one name for two files, names that are too long or of another kind."""

import os
import sys

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.cli import compare, trace
from nanobragg_numba.cli.file_clashes import clashes
from nanobragg_numba.files.output import OutputFiles, require_writable
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.maths.c_numbers import atof, atoi, c_format, is_number

GOOD = "-cell 70 80 90 90 90 90 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1".split()
HKL = b"0 0 1 5.0\n1 2 3 7.5\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "P.hkl").write_bytes(HKL)
    return tmp_path


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.fixture
def stale(folder, capfdbinary):
    """A folder with the dump of an earlier run, and nothing else of it."""
    assert nanobragg([*GOOD, "-hkl", "P.hkl", "-nonoise", "-nopgm"], folder, capfdbinary).status == 0
    for name in ("floatimage.bin", "intimage.img"):
        (folder / name).unlink()
    return folder


def test_python_reads_no_dump_that_is_not_named(stale):
    assert parameters_from_command_line([*GOOD, "-default_F", "3"]).crystal.structure_factors is None
    with pytest.raises(InputError, match=r"gives no crystal.*-dump Fdump.bin"):
        parameters_from_command_line(GOOD)
    read = parameters_from_command_line([*GOOD, "-dump", "Fdump.bin"]).crystal.structure_factors
    assert read is not None and read.table[0, 0, 0] == 5.0 and (read.h_min, read.k_min, read.l_min) == (0, 0, 1)
    with pytest.raises(InputError, match=r"-dump other.bin: no such file"):
        parameters_from_command_line([*GOOD, "-default_F", "3", "-dump", "other.bin"])


def test_the_command_says_that_it_reads_one(stale, capfdbinary):
    run = nanobragg([*GOOD, "-compat", "spec"], stale, capfdbinary)
    assert run.status == 0 and run.stderr.count("come from Fdump.bin, which an earlier run left") == 1
    assert "Q10" in nanobragg(GOOD, stale, capfdbinary).stderr
    named = nanobragg([*GOOD, "-compat", "spec", "-dump", "Fdump.bin"], stale, capfdbinary)
    assert named.status == 0 and named.stderr == ""


def test_a_dump_that_is_not_finite(stale, capfdbinary):
    content = (stale / "Fdump.bin").read_bytes()
    (stale / "Fdump.bin").write_bytes(content[:-8] + np.array([np.nan]).tobytes())
    run = nanobragg([*GOOD, "-compat", "spec"], stale, capfdbinary)
    assert run.status == 2 and "-dump Fdump.bin: it holds structure factors that are not finite" in run.stderr


# Words, and the two files that are one.
CLASHES = [
    ("-hkl P.hkl -floatfile P.hkl", "-hkl P.hkl", "-floatfile P.hkl"),
    ("-hkl P.hkl -floatfile ./sub/../P.hkl", "-hkl P.hkl", "-floatfile ./sub/../P.hkl"),
    ("-hkl P.hkl -intfile soft", "-hkl P.hkl", "-intfile soft"),
    ("-hkl P.hkl -noisefile hard", "-hkl P.hkl", "-noisefile hard"),
    ("-hkl P.hkl -dump P.hkl", "-hkl P.hkl", "-dump P.hkl"),
    ("-hkl P.hkl -floatfile Fdump.bin", "-dump Fdump.bin", "-floatfile Fdump.bin"),
    ("-default_F 1 -img h.img -intfile h.img", "-img h.img", "-intfile h.img"),
    ("-default_F 1 -mask h.img -pgmfile h.img", "-mask h.img", "-pgmfile h.img"),
    ("-default_F 1 -mat A.mat -png A.mat", "-mat A.mat", "-png A.mat"),
    ("-default_F 1 -floatfile x -noisefile x", "-floatfile x", "-noisefile x"),
    ("-default_F 1 -pgmfile intimage.img", "-intfile intimage.img", "-pgmfile intimage.img"),
    ("-default_F 1 -floatfile new -intfile link_to_new", "-floatfile new", "-intfile link_to_new"),
]


@pytest.fixture
def linked(folder):
    (folder / "sub").mkdir()
    os.symlink("P.hkl", "soft")
    os.link("P.hkl", "hard")
    os.symlink("new", "link_to_new")
    size = b"SIZE1=16;\nSIZE2=16;\nBEAM_CENTER_X=1;\nBEAM_CENTER_Y=1;\n}\n"
    (folder / "h.img").write_bytes((b"{\nHEADER_BYTES=512;\n" + size).ljust(512) + bytes(range(1, 256)) * 3)
    (folder / "A.mat").write_text("0.01 0 0\n0 0.01 0\n0 0 0.01\n")
    return folder


@pytest.mark.parametrize(("words", "one", "other"), CLASHES)
@pytest.mark.parametrize("mode", ["-strict", "-compat spec"])
def test_two_files_of_one_name_are_refused(words, one, other, mode, linked, capfdbinary):
    before = contents(linked)
    run = nanobragg([*GOOD, *words.split(), *mode.split()], linked, capfdbinary)
    assert run.status == 2 and f"error: {one} and {other} are one file" in run.stderr
    assert contents(linked) == before


def test_in_c_the_last_written_stays_after_a_remark(linked, capfdbinary):
    plain = nanobragg([*GOOD, "-default_F", "1"], linked / "sub", capfdbinary).files()
    run = nanobragg([*GOOD, "-default_F", "1", "-floatfile", "x", "-noisefile", "x", "-intfile", "x"], linked, capfdbinary)
    told = [line for line in run.stderr.splitlines() if "Q21" in line]
    assert run.status == 0 and len(told) == 2 and "-floatfile x and -noisefile x" in told[1]
    assert (linked / "x").read_bytes() == plain["noiseimage.img"]
    run = nanobragg([*GOOD, "-hkl", "P.hkl", "-floatfile", "P.hkl"], linked, capfdbinary)
    assert run.status == 0 and run.stderr.count("Q21") == 1 and (linked / "P.hkl").read_bytes() != HKL
    assert (
        "Q21"
        not in nanobragg([*GOOD, "-default_F", "1", "-nonoise", "-noisefile", "floatimage.bin", "-nonoise"], linked, capfdbinary).stderr
    )


def test_the_noise_file_comes_last_where_it_is_drawn_beside_the_others(folder, capfdbinary):
    # A large image's noise is drawn, and its file begun, before the float image is written.
    line = [*GOOD, "-default_F", "1", "-detpixels", "400", "-nopgm", "-threads", "2"]
    plain = nanobragg(line, folder / "plain", capfdbinary).files()
    run = nanobragg([*line, "-floatfile", "x", "-noisefile", "x"], folder, capfdbinary)
    assert run.status == 0 and (folder / "x").read_bytes() == plain["noiseimage.img"]


def test_devices_are_nobodys_alone(folder):
    assert clashes([("-hkl", "/dev/null")], [("-floatfile", "/dev/null"), ("-intfile", "/dev/null")]) == []
    os.mkfifo("pipe")
    assert clashes([], [("-floatfile", "pipe"), ("-intfile", "pipe")]) == []


def test_a_trace_does_not_replace_what_it_reads(folder, capsys):
    words = ["--pixel", "1", "2", "--out", "P.hkl", "--overwrite", "--", *GOOD, "-hkl", "P.hkl"]
    assert trace.main(words) == 2
    assert "-hkl P.hkl and --out P.hkl are one file" in capsys.readouterr().err and (folder / "P.hkl").read_bytes() == HKL


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_is_too_long_is_told_before_the_computation(length, folder, capfdbinary):
    before = contents(folder)
    for option in ("-floatfile", "-noisefile", "-png"):
        run = nanobragg([*GOOD, "-default_F", "1", option, "x" * length], folder, capfdbinary)
        assert run.status == 2 and f"{option} 'xxxxxxxxxxxxxxxxxxxxxxxx...': file name too long" in run.stderr and run.stdout == b""
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 201])
def test_the_longest_names_there_are(name, folder):
    require_writable(name, "-floatfile")
    with OutputFiles() as files:
        files.write(name, [b"one"])
        files.write(name[:-1], [b"two"])
        files.commit()
    assert (folder / name).read_bytes() == b"one" and (folder / name[:-1]).read_bytes() == b"two"
    assert sorted(contents(folder)) == sorted(["P.hkl", name, name[:-1]])


def test_a_nul_byte_in_a_name(folder):
    for refuse in (lambda: read_bytes("a\0b", "-hkl"), lambda: require_writable("a\0b", "-hkl")):
        with pytest.raises(InputError, match=r"-hkl 'a.*b': holds a NUL byte"):
            refuse()


@pytest.mark.parametrize("name", ["a.jpg", "b.TIFF", "c.pdf"])
def test_a_picture_of_another_kind(name, folder, capfdbinary):
    run = nanobragg([*GOOD, "-default_F", "1", "-png", name], folder, capfdbinary)
    assert run.status == 2 and f"-png {name}: the picture is written as PNG" in run.stderr and list(contents(folder)) == ["P.hkl"]
    assert nanobragg([*GOOD, "-default_F", "1", "-png", "plain"], folder, capfdbinary).status == 0
    assert (folder / "plain").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("word", ["-version", "--version"])
def test_version(word, folder, capfdbinary):
    from nanobragg_numba import __version__

    run = nanobragg([word], folder, capfdbinary)
    assert run.status == 0 and run.stdout.decode() == f"nanoBragg (nanobragg_numba) {__version__}\n"


def test_compare_looks_at_its_arguments_before_the_folder(folder, capsys, monkeypatch):
    for name in ("a.bin", "b.bin"):
        np.ones((2, 3), "<f4").tofile(name)
    words = ["--a", "a.bin", "--b", "b.bin", "--size", "3", "2"]
    assert compare.main(words) == 0
    wrong = [
        (["--a", "a.bin", "--b", "P.hkl"], "--b P.hkl: not an image"),
        (["--a", "numba", "--b", "b.bin", "--", "-cell", "70", "-hkl", "none.hkl"], "-hkl none.hkl: no such file"),
        (["--a", "c", "--b", "b.bin", "--", "-cell", "70", "-default_F", "1"], "engine c: set NB_C_BIN"),
        (["--a", "a.bin", "--b", "b.bin", "--size", "3", "3"], "--a a.bin: 24 bytes"),
    ]
    monkeypatch.delenv("NB_C_BIN", raising=False)
    for given, says in wrong:
        assert compare.main(given) == 2
        assert says in capsys.readouterr().err
    assert compare.main(words) == 2
    assert "holds an earlier" in capsys.readouterr().err
    assert compare.main([*words, "--overwrite"]) == 0


@pytest.mark.parametrize("text", ["\uff11\uff12", "\u0663", "\u0967.5", "\u06f1e2", "0x\uff11"])
def test_digits_of_other_scripts_are_no_numbers(text):
    assert not is_number(text)
    assert atof(text) == 0.0 and atoi(text) == 0


@pytest.mark.parametrize("sign", ["", "-", "+"])
def test_integers_of_thousands_of_digits(sign):
    # C's strtol stops at the ends of 64 bits, and atoi keeps the lower 32 of them.
    limit = -(2**63) if sign == "-" else 2**63 - 1
    expected = int(np.array([limit]).astype("<i8").view("<i4")[0])
    assert len("9" * 5000) > sys.get_int_max_str_digits()
    assert atoi(sign + "9" * 5000) == atoi(sign + "1" + "0" * 20) == expected
    assert atoi(sign + "0" * 5000 + "7") == (-7 if sign == "-" else 7)


@pytest.mark.parametrize(("text", "value"), [("0x1p2000", np.inf), ("-0x1p2000", -np.inf), ("0x1p-2000", 0.0), ("1e9999", np.inf)])
def test_numbers_beyond_doubles(text, value):
    assert atof(text) == value


def test_extreme_words_are_sentences(folder, capfdbinary):
    line = [*GOOD, "-default_F", "1"]
    run = nanobragg([*line, "-fluence", "0x1p2000"], folder, capfdbinary)
    assert run.status == 2 and "-fluence: '0x1p2000' is not a finite number" in run.stderr
    run = nanobragg([*line, "-threads", "9" * 5000], folder, capfdbinary)
    assert run.status == 2 and "-threads must be a whole number" in run.stderr and len(run.stderr) < 200
    run = nanobragg([*line, "-seed", "9" * 5000], folder, capfdbinary)
    assert run.status == 0 and b"seed: 1\n" in run.stdout


def test_a_percent_sign_beside_a_nan():
    assert c_format("%g steradian ( %g%% sphere)", np.nan, 2.0) == "nan steradian ( 2% sphere)"


@pytest.mark.parametrize(("compat", "status"), [("c", 0), ("spec", 2)])
def test_a_dump_that_cannot_be_written(compat, status, tmp_path, capfdbinary):
    """An error in "spec"; in "c" a line of standard output, as in the reference."""
    (tmp_path / "a.hkl").write_text("1 2 3 4\n2 2 2 5\n")
    words = "-cell 70 80 90 90 90 90 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1 -hkl a.hkl -dump none/F.bin"
    run = nanobragg([*words.split(), "-compat", compat], tmp_path, capfdbinary)
    assert run.status == status and (status == 0 or "-dump" in run.stderr)
    assert (b"unable to open dump file" in run.stdout) == (status == 0)
    assert bool(run.files(["a.hkl"])) == (status == 0)
