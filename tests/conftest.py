"""Which copy of the package is tested, what the marks stand for, and what takes long is started beside the tests."""

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import beside
import checkout
import marks

checkout.look_past_the_working_folder()
EXTRAS = ("torch", "matplotlib", "gemmi", "hypothesis", "fabio", "h5py", "hdf5plugin", "nxmx", "silx", "pyFAI", "ImageD11")
"""What the quick tests of a combination of versions may lack: modules of tests that import it are skipped."""
_MISSING = [name for name in EXTRAS if importlib.util.find_spec(name) is None]


def pytest_configure():
    if wrong := checkout.complaint():
        raise pytest.UsageError(wrong)


def pytest_report_header():
    versions = [f"{name} {_version(name)}" for name in ("nanobragg_numba", "numba", "llvmlite", "numpy", "torch", "numba-cuda")]
    return ", ".join(versions)


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


class _Lacking(pytest.Module):
    """A module of tests that imports what is not installed."""

    def collect(self):
        pytest.skip(f"one of {', '.join(_MISSING)} is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    imported = set(re.findall(r"^(?:import|from) (\w+)", module_path.read_text(), re.M))
    imported |= {name for other in imported if (own := module_path.with_name(f"{other}.py")).exists() for name in _MISSING
                 if re.search(rf"^(import|from) {name}\b", own.read_text(), re.M)}  # fmt: skip
    if imported & set(_MISSING):
        return _Lacking.from_parent(parent, path=module_path)


def pytest_itemcollected(item):
    file, _, test = item.nodeid.partition("::")
    for mark in marks.marks_of(Path(file).name, test):
        item.add_marker(mark)


def pytest_collection_finish(session):
    # Of several processes that share the tests, each begins what it comes to.
    if session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    for item in session.items:
        if "simulated" in item.fixturenames:
            beside.start(item.module.SIMULATION)


def pytest_sessionfinish():
    beside.stop()


@pytest.fixture(scope="module")
def one_thread():
    """Of torch: where shoeboxes are few, more would wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def simulated(request):
    """What the module's script SIMULATION found on numba's simulated GPU."""
    return beside.result(request.module.SIMULATION)
