"""Makes the modules beside the tests importable under pytest's importlib mode, and starts what takes long beside the tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import beside


def pytest_collection_finish(session):
    if session.config.option.collectonly:
        return
    for item in session.items:
        if "simulated" in item.fixturenames:
            beside.start(item.module.SIMULATION)


def pytest_sessionfinish():
    beside.stop()


@pytest.fixture
def simulated(request):
    """What the module's script SIMULATION found on numba's simulated GPU."""
    return beside.result(request.module.SIMULATION)
