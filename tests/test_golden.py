"""Every recorded run of the reference, and of the repaired reference, byte for byte: all output files and standard output."""

import hashlib
import json
import zlib

import pytest
from running import GOLDEN, describe_difference, nanobragg

CASES = [("c", case) for case in json.loads((GOLDEN / "cases.json").read_text())]
CASES += [("c-fixed", case) for case in json.loads((GOLDEN / "fixed" / "cases.json").read_text())]


def _fast_pixels(stdout: bytes) -> int:
    return int(stdout.split(b" pixels)")[0].rsplit(b"(", 1)[1].split(b"x")[0])


@pytest.mark.parametrize("precision", ["guarded", "exact"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("compat", "case"), CASES, ids=[f"{compat} {case['name']}" for compat, case in CASES])
def test_same_bytes_as_the_reference(compat, case, threads, precision, tmp_path, capfdbinary):
    words = [*case["args"], "-compat", compat, "-threads", str(threads), "-precision", precision]
    run = nanobragg(words, tmp_path, capfdbinary, case["inputs"])
    assert run.status == case["exit"], run.stderr
    # Of the runs in which the repaired reference differs, only checksums are kept.
    kept = not case.get("differs_from_c")
    text = GOLDEN / "stdout" / f"{case['name']}.txt"
    if kept and text.exists():
        recorded = text.read_bytes()
        assert hashlib.sha256(recorded).hexdigest() == case["stdout_sha256"]
        assert run.stdout.decode().splitlines() == recorded.decode().splitlines()
    assert hashlib.sha256(run.stdout).hexdigest() == case["stdout_sha256"]
    files = run.files(case["inputs"])
    assert sorted(files) == sorted(case["files"])
    for name, want in case["files"].items():
        if hashlib.sha256(files[name]).hexdigest() == want["sha256"]:
            continue
        if not (kept and text.exists()):
            pytest.fail(f"{name} differs")
        image = zlib.decompress((GOLDEN / "float" / f"{case['name']}.f32.z").read_bytes())
        float_name = next(n for n, w in case["files"].items() if w["bytes"] == len(image) and n.endswith(".bin") and "ump" not in n)
        pytest.fail(f"{name} differs; {describe_difference(files[float_name], image, _fast_pixels(run.stdout))}")


def test_a_difference_is_described():
    import numpy as np

    want = np.arange(6, dtype="<f4")
    got = want.copy()
    got[[4, 5]] += 1
    text = describe_difference(got.tobytes(), want.tobytes(), 3)
    assert "slow 1, fast 1" in text and "np.float32(5.0) instead of np.float32(4.0)" in text and "2 of 6" in text
