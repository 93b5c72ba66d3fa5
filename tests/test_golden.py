"""Every recorded run of the reference, byte for byte: all output files and standard output."""

import hashlib
import json
import zlib

import pytest
from running import GOLDEN, describe_difference, nanobragg

CASES = json.loads((GOLDEN / "cases.json").read_text())


def _fast_pixels(stdout: bytes) -> int:
    return int(stdout.split(b" pixels)")[0].rsplit(b"(", 1)[1].split(b"x")[0])


@pytest.mark.parametrize("precision", ["guarded", "exact"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_same_bytes_as_the_reference(case, threads, precision, tmp_path, capfdbinary):
    words = [*case["args"], "-threads", str(threads), "-precision", precision]
    run = nanobragg(words, tmp_path, capfdbinary, case["inputs"])
    assert run.status == case["exit"], run.stderr
    recorded = (GOLDEN / "stdout" / f"{case['name']}.txt").read_bytes()
    assert hashlib.sha256(recorded).hexdigest() == case["stdout_sha256"]
    assert run.stdout.decode().splitlines() == recorded.decode().splitlines()
    assert run.stdout == recorded
    files = run.files(case["inputs"])
    assert sorted(files) == sorted(case["files"])
    for name, want in case["files"].items():
        if hashlib.sha256(files[name]).hexdigest() == want["sha256"]:
            continue
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
