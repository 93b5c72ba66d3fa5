"""The folders install under the right names, and the documents say what is true."""

import configparser
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import nanobragg

ROOT = Path(__file__).parent.parent
NOT_PACKAGES = {"tests", "benchmarks", "docs", "examples", "golden", "build", "scripts"}


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = parser["options"]["package_dir"].split("\n")
    mapping = dict(map(str.strip, line.split("=")) for line in lines if line.strip())
    return mapping, parser["options"]["packages"].split()


def test_every_folder_with_python_files_is_installed():
    mapping, packages = setup_cfg()
    installed = {mapping[name] if name in mapping else name.replace(".", "/") for name in packages}
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    files = tracked or [str(p.relative_to(ROOT)) for p in ROOT.glob("[a-z]*/**/*.py")]
    found = {str(Path(file).parent) for file in files}
    found = {folder for folder in found if folder.split("/")[0] not in NOT_PACKAGES}
    assert found == installed


def test_no_import_name_contains_numba_dot_cuda():
    # numba-cuda's import finder matches that text anywhere in a name, and recurses without end.
    mapping, packages = setup_cfg()
    top = Path(importlib.util.find_spec("nanobragg_numba").origin).parent
    for package in packages:
        # Found, not imported: some import torch, which is an extra. Installed for editing, a mapped folder is elsewhere.
        inside = top.joinpath(*package.split(".")[1:])
        folder = inside if inside.is_dir() else ROOT / mapping[package]
        assert (folder / "__init__.py").is_file()
        for name in [package, *(f"{package}.{file.stem}" for file in folder.glob("*.py"))]:
            assert "numba.cuda" not in name


@pytest.mark.parametrize("folder", ["cli", "autograd", "cuda_kernels"])
def test_a_mapped_folder_refuses_its_own_name(folder, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {folder}"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode != 0 and "install the project first" in run.stderr


def test_start_up_loads_nothing_heavy(tmp_path):
    # numba itself looks at scipy's version where there is one, which loads none of its parts.
    code = (
        "import sys, nanobragg_numba.engine.pixel_engine, nanobragg_numba.experiment.derive, nanobragg_numba.cli.nanobragg\n"
        "print([name for name in ('torch', 'fabio', 'matplotlib', 'PIL', 'scipy.ndimage', 'scipy.spatial', 'h5py') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True).stdout.strip() == "[]"


def test_help_does_not_load_numba(tmp_path):
    code = (
        "import sys; from nanobragg_numba.cli.nanobragg import main; status = main(['--help'])\n"
        "assert status == 0 and 'numba' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "-detector_thicksteps" in run.stdout and "default: Fdump.bin" in run.stdout


def test_readme_lists_every_option():
    from nanobragg_numba.cli.help import markdown_table

    text = (ROOT / "README.md").read_text()
    section = re.search(r"a test compares -->\n(.*)<!-- end of options -->", text, re.S)
    assert section is not None and section.group(1) == markdown_table()


def test_every_quirk_of_the_option_table_is_explained():
    from nanobragg_numba.command_line.option_table import OPTIONS

    text = (ROOT / "docs" / "compat.md").read_text()
    for quirk in {option.quirk for option in OPTIONS if option.quirk}:
        assert f"**{quirk}" in text


def test_the_readme_opens_with_two_commands():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    assert len(blocks) == 2
    for block in blocks:
        assert len([line for line in block.splitlines() if line and not line.startswith("#")]) == 1


def test_the_citation_is_of_this_version_and_names_the_c_programs_author():
    from nanobragg_numba import __version__

    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", text, re.M)[1] == __version__
    this, _, references = text.partition("\nreferences:\n")
    assert "title: nanobragg_numba\n" in this and "family-names: Holton" in references


@pytest.mark.parametrize("compat", ["c", "spec"])
def test_the_first_command_makes_the_picture_in_the_readme(compat, tmp_path, capfdbinary):
    text = (ROOT / "README.md").read_text()
    first = re.findall(r"```bash\n(.*?)```", text, re.S)[0]
    words = shlex.split(first.split("bin/nanoBragg ")[1].strip().removesuffix(")"))
    for name in ("erl.mat", "erl.hkl"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    run = nanobragg([*words, "-compat", compat], tmp_path, capfdbinary)
    assert run.status == 0
    assert [line for line in run.stderr.splitlines() if not re.match("nanoBragg: (compiling the kernels|compiled in)", line)] == []

    grey = np.asarray(Image.open(tmp_path / "preview.png")).astype(int)
    shown = np.asarray(Image.open(ROOT / re.findall(r"!\[.*\]\((.*\.png)\)", text)[0])).astype(int)
    assert np.abs(grey - shown).max() <= 1
    # White paper, some hundred black spots with grey tails.
    assert np.median(grey) == 255 and 0.001 < (grey < 64).mean() < 0.02 and 0.01 < (grey < 250).mean() < 0.1

    # SMV: the header's 512 bytes, then counts of two bytes, 40 of them an offset; the beam itself is too bright.
    counts = np.frombuffer((tmp_path / "noiseimage.img").read_bytes()[512:], "<u2")
    assert np.median(counts) == 40 and (counts > 140).sum() > 300 and (counts == 65535).sum() < 50
