"""Scripts that take a minute and a process of their own: run one after another beside the tests, from when they are known to be needed."""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
_worker = ThreadPoolExecutor(1)
_results: dict[str, Future] = {}
_running: list[subprocess.Popen] = []


def start(script: str) -> None:
    """Run the script of that name in this folder, under numba's simulator of a GPU; it prints one JSON object."""
    if script not in _results:
        _results[script] = _worker.submit(_output, script)


def result(script: str) -> dict:
    """What it printed; fails with what it wrote to standard error."""
    start(script)
    status, output, errors = _results[script].result()
    assert status == 0, errors
    return json.loads(output)


def stop() -> None:
    """End what still runs, and begin nothing more."""
    _worker.shutdown(wait=False, cancel_futures=True)
    for process in _running:
        process.kill()


def _output(script: str) -> tuple[int, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(TESTS / script)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTHONPATH": str(TESTS)},
        )
        _running.append(process)
        output, errors = process.communicate()
        return process.returncode, output, errors
