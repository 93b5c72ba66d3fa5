"""Many command lines in one process."""

import io

from running import nanobragg

GOOD = "-cell 70 80 90 90 90 90 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -mosaic 1 -mosaic_domains 3"
LINES = """# three runs
nanoBragg -default_F 10 -seed 1 -floatfile 'first image.bin' -noisefile n1.img

-default_F 20 -seed 2 -floatfile second.bin -noisefile n2.img  # with a remark
-default_F 20 -distance 0
-default_F 30 -seed 3 -floatfile third.bin -noisefile n3.img -compat spec
"""


def test_each_line_is_a_run_of_its_own(tmp_path, capfdbinary):
    folder = tmp_path / "batch"
    folder.mkdir()
    (folder / "lines.txt").write_text(LINES)
    run = nanobragg([*GOOD.split(), "-batch", "lines.txt", "-threads", "1"], folder, capfdbinary)
    assert run.status == 2
    assert "nanoBragg: line 5: error: -distance" in run.stderr
    stdout = b""
    for number, words in enumerate(
        (
            ["-default_F", "10", "-seed", "1", "-floatfile", "first image.bin", "-noisefile", "n1.img"],
            "-default_F 20 -seed 2 -floatfile second.bin -noisefile n2.img".split(),
            "-default_F 30 -seed 3 -floatfile third.bin -noisefile n3.img -compat spec".split(),
        )
    ):
        single = nanobragg([*GOOD.split(), *words], tmp_path / str(number), capfdbinary)
        stdout += single.stdout
        for name, content in single.files().items():
            if name.startswith(("first", "second", "third", "n")) and name != "noiseimage.img":
                assert (folder / name).read_bytes() == content
    assert run.stdout == stdout


def test_lines_from_standard_input(tmp_path, capfdbinary, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("-default_F 10 -seed 1\n"))
    assert nanobragg([*GOOD.split(), "-batch", "-"], tmp_path, capfdbinary).status == 0
    assert (tmp_path / "floatimage.bin").exists()


def test_bad_batches(tmp_path, capfdbinary):
    for text, says in (
        ("-default_F '10\n", "line 1"),
        ("\n-batch lines.txt\n", "line 2: a batch"),
        ("-png a\0b\n", "NUL"),
        ("# none\n", "no command lines"),
    ):
        (tmp_path / "lines.txt").write_text(text)
        run = nanobragg(["-batch", "lines.txt"], tmp_path, capfdbinary)
        assert run.status == 2 and says in run.stderr
    for words, says in (
        ("-batch missing", "no such file"),
        ("-batch", "needs a value"),
        ("-batch a -batch b", "twice"),
    ):
        run = nanobragg(words.split(), tmp_path, capfdbinary)
        assert run.status == 2 and says in run.stderr
