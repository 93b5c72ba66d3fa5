"""The documents: links lead somewhere, commands and options exist, Python blocks run."""

import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import gemmi  # noqa: F401  the page about PDB entries needs it
import matplotlib
import pytest

from nanobragg_numba import InputError, StructureFactors
from nanobragg_numba.cli import compare, jobs, refine, trace, view
from nanobragg_numba.cli.help import all_options
from nanobragg_numba.cli.own_options import take_own_options
from nanobragg_numba.cli.two_dashes import joined
from nanobragg_numba.command_line.noisify_line import read_noisify_line
from nanobragg_numba.command_line.noisify_options import NOISIFY_OPTIONS
from nanobragg_numba.command_line.nonbragg_line import read_nonbragg_line
from nanobragg_numba.command_line.nonbragg_options import NONBRAGG_OPTIONS
from nanobragg_numba.command_line.reading import read_command_line

matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
TASKS = ("cluster", "powder", "rotation-series", "xfel-stills")
"""Pages whose scripts go with their commands: tests/test_task_pages.py runs both."""
COMPILERS = {"-fopenmp", "-fma", "-O3", "-O2", "-m"}
"""Words of other programs that the documents name beside our options."""
documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def blocks(text, language):
    """The fenced blocks of a language, without their indentation."""
    return [dedent(found[1]) for found in re.finditer(rf"^ *```{language}\n(.*?)^ *```", text, re.S | re.M)]


def without_blocks(text):
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.S | re.M)


def anchors(text):
    """The anchors that headings get."""
    titles = re.findall(r"^#+ (.*)$", without_blocks(text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_made(path):
    """Whether building the pages makes this picture."""
    script = f"{path.stem}.py"
    return path.parent.name == "pictures" and any((ROOT / "docs" / folder / script).exists() for folder in ("", "gallery"))


@documents
def test_links(path):
    text = path.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists() or is_made(file), target
        assert not anchor or anchor in anchors(file.read_text()), target
    for target in re.findall(r"^```\{(?:literal)?include\} (.*)$", text, re.M):
        assert (path.parent / target).exists(), target


def test_every_page_is_in_the_contents():
    entries = re.findall(r"^[a-z-]+$", (ROOT / "docs" / "index.md").read_text(), re.M)
    pages = {path.stem for path in ROOT.glob("docs/*.md")} - {"index"}
    assert set(entries) == pages and len(set(entries)) == len(entries)


def commands(script):
    """Programs and their words in a piece of shell, variables set before them left out."""
    for line in script.splitlines():
        words = list(shlex.shlex(line, posix=True, punctuation_chars="();<>|&")) if "&&" in line else shlex.split(line, comments=True)
        while words:
            end = next((n for n, word in enumerate(words) if word in ("&&", "(", ")", ";")), len(words))
            command, words = words[:end], words[end + 1 :]
            command = command[next((n for n, word in enumerate(command) if "=" not in word), len(command)) :]
            if command:
                yield Path(command[0]).name, command[1:]


def check_options(words, folder, whole=True):
    """Read the words as -strict does, files included. Raises InputError."""
    for flag, word in pairwise(words):
        if flag == "-hkl" and word == "helix.mtz":
            StructureFactors.from_model(EXAMPLES / "helix.pdb", 3.0, 1.0).write(folder / word)
        elif flag in ("-mat", "-hkl"):
            named = EXAMPLES / word
            shutil.copy(named if named.exists() else EXAMPLES / f"erl.{flag[1:]}", folder / word)
    own, rest = take_own_options(words)
    line = read_command_line(rest, own.compat)
    bad = (*line.ignored, *line.stray, *line.warnings)
    if bad:
        raise InputError(f"{bad[0]}: no option, or belongs to none")
    if whole and own.batch is None and own.expt is None and not line.usable:
        raise InputError("no crystal")


def check_command(program, words, folder):
    """Read a command as its program would, without running it; True for one of ours."""
    cut = words.index("--") if "--" in words else len(words)
    if program in ("nanoBragg", "noisify", "nonBragg") and not (folder / "water.stol").exists():
        shutil.copy(ROOT / "golden" / "sister" / "inputs" / "water.stol", folder)
    if program == "nanoBragg":
        check_options(words, folder)
    elif program in ("noisify", "nonBragg"):
        line = {"noisify": read_noisify_line, "nonBragg": read_nonbragg_line}[program](words)
        assert not (*line.doubts, *line.warnings)
    elif program in ("nb-compare", "nb-trace"):
        {"nb-compare": compare, "nb-trace": trace}[program]._parser().parse_args(words[:cut])
        check_options(words[cut + 1 :], folder, whole=cut < len(words))
    elif program == "nb-batch":
        options = jobs._parser().parse_args(words)
        check_options(shlex.split(options.base), folder, whole=options.jobs is None and options.expt is None)
        assert options.expt is None or (ROOT / options.expt).exists()
    elif program == "nb-view":
        options = view._parser().parse_args(joined(words, view.LINES))
        for line in filter(None, (options.line, options.spots)):
            check_options(shlex.split(line), folder)
    elif program == "nb-refine":
        options = refine._parser().parse_args(joined(words, refine.LINES))
        for line in options.line:
            check_options(shlex.split(line), folder, whole=options.expt is None)
    elif program == "python" and words[0] != "-m":
        assert (ROOT / words[0]).exists(), words[0]
    else:
        return False
    return True


@documents
def test_commands(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for script in blocks(path.read_text(), "bash"):
        for program, words in commands(script):
            check_command(program, words, tmp_path)


def test_commands_are_found_and_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(
        commands(
            "# remark\nX=1 pip install . && (cd examples && ../bin/nanoBragg -cell 70 -frobnicate 3)\nnb-compare --a c --b numba -- -N 2"
        )
    )
    assert [program for program, _ in found] == ["pip", "cd", "nanoBragg", "nb-compare"]
    with pytest.raises(InputError, match="frobnicate"):
        check_command(*found[2], tmp_path)
    with pytest.raises(InputError, match="no crystal"):
        check_command("nanoBragg", ["-N", "2"], tmp_path)
    with pytest.raises(InputError, match="--c"):
        check_command("nb-compare", ["--a", "c", "--b", "numba", "--c", "3"], tmp_path)
    assert any(
        check_command(*found, tmp_path) for path in DOCUMENTS for text in blocks(path.read_text(), "bash") for found in commands(text)
    )


@documents
def test_options_named_in_the_text_exist(path):
    text = without_blocks(path.read_text())
    snippets = re.findall(r"`(-[^`]+)`", text)
    words = {word for snippet in snippets for word in snippet.split() if re.match(r"-+[A-Za-z]", word)} - COMPILERS
    known = (*all_options(), *NOISIFY_OPTIONS, *NONBRAGG_OPTIONS)
    unknown = {word for word in words if not word.startswith("--") and not any(option.matches(word) for option in known)}
    assert not unknown


@documents
def test_python_blocks_run(path, tmp_path, monkeypatch):
    scripts = [] if path.stem in TASKS else blocks(path.read_text(), "python")
    for name in ("erl.mat", "A.mat", "supervisor.mat"):
        shutil.copy(ROOT / "golden" / "inputs" / name.replace("A.mat", "erl.mat"), tmp_path / name)
    for name in ("erl.hkl", "P1.hkl"):
        shutil.copy(ROOT / "examples" / "erl.hkl", tmp_path / name)
    shutil.copy(EXAMPLES / "helix.pdb", tmp_path)
    (tmp_path / "examples").mkdir()
    for name in ("four_panels.geom", "four_panels.expt"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples")
    names = {}
    for script in scripts:
        exec(compile(script, str(path), "exec"), names)
