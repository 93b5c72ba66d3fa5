"""Every recorded run of noisify and nonBragg, byte for byte: standard output and all output files.

nonBragg's grey image is not recorded: the C program writes twice as many bytes as it has pixels, half of them memory that was never set.
"""

import hashlib
import json
import zlib

import numpy as np
import pytest
from running import GOLDEN, sister

SISTER = GOLDEN / "sister"
CASES = json.loads((SISTER / "cases.json").read_text())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_same_bytes_as_the_reference(case, threads, tmp_path, capfdbinary):
    run = sister(case["program"], [*case["args"], "-threads", str(threads)], tmp_path, capfdbinary, case["inputs"])
    assert run.status == case["exit"], run.stderr
    recorded = (SISTER / "stdout" / f"{case['name']}.txt").read_bytes()
    assert hashlib.sha256(recorded).hexdigest() == case["stdout_sha256"]
    assert run.stdout.decode().splitlines() == recorded.decode().splitlines()
    assert run.stdout == recorded
    files = run.files(case["inputs"])
    if case["program"] == "nonBragg":
        files.pop("image.pgm")
    assert sorted(files) == sorted(case["files"])
    for name, want in case["files"].items():
        assert len(files[name]) == want["bytes"], name
        if hashlib.sha256(files[name]).hexdigest() != want["sha256"]:
            pytest.fail(_difference(case["name"], name, files[name]))


def _difference(case, name, content):
    """What is known about a file with other bytes: of some the recorded ones are kept."""
    kept = SISTER / "files" / f"{case}.{name}.z"
    if not kept.exists():
        return f"{name} differs"
    want = zlib.decompress(kept.read_bytes())
    start, kind = (0, "<f4") if name.endswith(".bin") else (512, "<u2")
    got, recorded = (np.frombuffer(raw[start : start + len(want[start:]) // 4 * 4], kind) for raw in (content, want))
    at = np.flatnonzero(got != recorded)
    first = f"; pixel {at[0]}: {got[at[0]]!r} instead of {recorded[at[0]]!r}" if at.size else ""
    header = "" if content[:start] == want[:start] else "; the headers differ"
    return f"{name}: {at.size} of {recorded.size} pixels differ{first}{header}"
