"""The tests test this checkout: installed for editing or from the same sources, started as ``pytest`` or as ``python -m pytest``."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import checkout
import marks
import pytest

ONE_TEST = "test_command_line.py::test_nan_prints_as_in_glibc"


@pytest.fixture
def copy(tmp_path):
    """A checkout with as many tests as are needed, and the folder into which it is installed as a wheel would be."""
    top, site = tmp_path / "checkout", tmp_path / "site-packages"
    top.mkdir()
    for name, folder in checkout.package_folders().items():
        shutil.copytree(folder, top / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(top / folder.name, site / name.replace(".", "/"), dirs_exist_ok=True)
    (top / "tests").mkdir()
    for name in ("setup.cfg", "pyproject.toml", *(f"tests/{name}.py" for name in ("conftest", "beside", "checkout", "marks"))):
        shutil.copy(checkout.ROOT / name, top / name)
    shutil.copy(checkout.ROOT / "tests" / "test_command_line.py", top / "tests")
    return top, site


def run_tests(top, site, *start):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, *start, "-q", "-p", "no:cacheprovider", f"tests/{ONE_TEST}"]
    return subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True)


AS_A_MODULE = ("-m", "pytest")
AS_A_COMMAND = ("-c", "import sys, pytest; sys.path.remove(''); sys.exit(pytest.main())")


@pytest.mark.parametrize("start", [AS_A_MODULE, AS_A_COMMAND], ids=["python -m pytest", "pytest"])
def test_an_installed_copy_of_the_same_sources_is_tested(copy, start):
    run = run_tests(*copy, *start)
    assert run.returncode == 0 and "1 passed" in run.stdout, run.stdout + run.stderr


@pytest.mark.parametrize("file", ["nanobragg_numba/errors.py", "nanobragg_numba/cli/help.py"])
@pytest.mark.parametrize("change", ["other", "missing"])
def test_another_copy_is_refused(copy, file, change):
    top, site = copy
    if change == "other":
        (site / file).write_text((site / file).read_text() + "\n")
    else:
        (site / file).unlink()
    run = run_tests(top, site, *AS_A_MODULE)
    (sentence,) = [line for line in run.stderr.splitlines() if line]
    assert run.returncode == pytest.ExitCode.USAGE_ERROR and "passed" not in run.stdout
    assert sentence.startswith(f"ERROR: {site / file} is not {top}") and sentence.endswith("pip install -e '.[test]'")


def test_without_an_installation_it_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert checkout.complaint() == "nanobragg_numba is not installed; install this checkout: pip install -e '.[test]'"


def test_what_is_tested_here_is_this_checkout():
    assert checkout.complaint() is None
    assert str(checkout.ROOT) not in map(os.path.realpath, sys.path)


@pytest.mark.parametrize("mark", marks.ROWS)
def test_every_row_of_the_marks_names_a_test(mark):
    for row in marks.ROWS[mark]:
        file, name = re.fullmatch(r"(\w+\.py)::(\w*)(?:\*|\[.*)?", row).groups()
        assert re.search(rf"^ *(def|class) {name or 'test_'}", (Path(__file__).parent / file).read_text(), re.M), row
    assert all(mark in marks.marks_of(*row.replace("*", "").split("::")) for row in marks.ROWS[mark])


def test_marks_are_read_from_the_rows():
    assert marks.marks_of("test_golden.py", "test_same_bytes_as_the_reference[cubic_basic-2-guarded]") == ["quick"]
    assert marks.marks_of("test_golden.py", "test_same_bytes_as_the_reference[cubic_basic-1-guarded]") == []
    assert marks.marks_of("test_large_images.py", "test_a_large_image_has_the_same_bytes[gauss, N 15]") == ["slow", "reference"]
