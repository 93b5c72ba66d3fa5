"""On a real GPU (``pytest -m gpu``): every golden case and random command lines, byte for byte, and the error against the bound."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from random_lines import INPUTS, random_line
from running import GOLDEN, nanobragg

from nanobragg_numba import InputError, simulate
from nanobragg_numba.command_line import read_command_line
from nanobragg_numba.experiment import derive_experiment
from nanobragg_numba.gpu.coverage import gpu_error_bound, reason_for_cpu
from nanobragg_numba.simulation import PixelEngine
from nanobragg_numba.target import has_fused_multiply_add

CASES = json.loads((GOLDEN / "cases.json").read_text())
LINE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 7 -lambda 1 -distance 100 -detpixels 24 -oversample 1"
on_gpu = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu():
    from numba import config, cuda

    if config.ENABLE_CUDASIM or not cuda.is_available():
        pytest.skip("no NVIDIA GPU, or no CUDA toolkit")


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    for name in {*INPUTS, "supervisor.mat"}:
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    monkeypatch.chdir(tmp_path)


def image_of(experiment, **options):
    engine = PixelEngine(experiment, **options)
    for _ in engine.blocks():
        pass
    return engine.image, engine


@on_gpu
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_same_bytes_as_the_reference(gpu, case, tmp_path, capfdbinary):
    run = nanobragg([*case["args"], "-device", "cuda"], tmp_path, capfdbinary, case["inputs"])
    assert run.status == case["exit"], run.stderr
    assert hashlib.sha256(run.stdout).hexdigest() == case["stdout_sha256"]
    files = run.files(case["inputs"])
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == {
        name: want["sha256"] for name, want in case["files"].items()
    }


@on_gpu
@pytest.mark.parametrize("compat", ["c", "spec"])
def test_random_lines_and_the_error_against_the_bound(gpu, inputs, compat):
    shares, recomputed, pixels = [], 0, 0
    for words in [*(case["args"] for case in CASES), *(random_line(seed) for seed in range(400, 600))]:
        try:
            x = derive_experiment(read_command_line(words, compat).parameters, compat)
        except InputError:
            continue
        if reason_for_cpu(x.tables, np.float32, "guarded") is not None:
            continue
        exact, _ = image_of(x, precision="exact")
        image, engine = image_of(x, device="cuda")
        assert np.array_equal(image.view(np.uint32), exact.view(np.uint32)), words
        recomputed, pixels = recomputed + engine.recomputed, pixels + int(engine.computed.sum())
        want, _ = image_of(x, dtype=np.float64, precision="exact")
        got, _ = image_of(x, dtype=np.float64, precision="double", device="cuda")
        usable = np.isfinite(want) & (want != 0.0)
        shares.append(float(np.max(np.abs(got - want)[usable] / np.abs(want[usable]), initial=0.0)) / gpu_error_bound(x.tables))
    print(f"largest error / bound on the GPU: {max(shares):.3f} over {len(shares)} runs; {recomputed} of {pixels} pixels recomputed")
    assert max(shares) < 0.25
    assert len(shares) > 60 and recomputed < pixels / 2


@on_gpu
def test_an_image_too_large_for_the_gpu_is_refused(gpu):
    from numba import cuda

    free = cuda.current_context().get_memory_info().free
    side = int((free / 12) ** 0.5 * 1.05)
    from nanobragg_numba.gpu.image_engine import DeviceEngine

    tables = derive_experiment(read_command_line(LINE.split(), "c").parameters, "c").tables
    with pytest.raises(InputError, match="of the GPU's memory"):
        DeviceEngine(0, tables, (0, 1, 0, 1), (side, side), None, "guarded", np.float32)


@on_gpu
def test_an_index_beyond_the_last_gpu_is_refused(gpu):
    with pytest.raises(InputError, match="there is no such GPU"):
        simulate(read_command_line(LINE.split(), "spec").parameters, device="cuda:99")


def tables_of(line, compat="c"):
    return derive_experiment(read_command_line(line.split(), compat).parameters, compat).tables


@pytest.mark.skipif(not has_fused_multiply_add(), reason="this processor has no fused multiply-add: the guard does not cover it")
def test_what_could_cancel_is_left_to_the_cpu():
    tables = tables_of(LINE, "spec")
    assert reason_for_cpu(tables, np.float32, "guarded") is None
    negative = tables._replace(beam=tables.beam._replace(weights=np.array([-1.0])))
    assert "negative intensity" in (reason_for_cpu(negative, np.float32, "guarded") or "")
    tables = tables_of(f"{LINE} -oversample_omega")
    behind = tables._replace(detector=tables.detector._replace(close_distance=-0.1))
    assert "solid angles below zero" in (reason_for_cpu(behind, np.float32, "guarded") or "")
    assert "exact CPU engine" in (reason_for_cpu(tables, np.float64, "guarded") or "")
    assert "-precision exact" in (reason_for_cpu(tables, np.float32, "exact") or "")
    for precision in ("double", "mixed", "single"):
        assert reason_for_cpu(tables, np.float64, precision) is None


def test_the_bound_grows_with_what_libdevice_adds():
    plain = gpu_error_bound(tables_of(LINE))
    polarized = gpu_error_bound(tables_of(f"{LINE} -polar 0.5"))
    assert polarized - plain == pytest.approx((96 * 0.5 + 2) * 2.0**-53)
    absorbing = "-detector_thick 450 -detector_abs 200 -thicksteps 1"
    once = gpu_error_bound(tables_of(f"{LINE} {absorbing}"))
    assert plain + 10 * 2.0**-53 < once < plain + 20 * 2.0**-53
    often = f"{LINE} {absorbing} -mosaic 1 -mosaic_dom 50"
    assert gpu_error_bound(tables_of(f"{often} -oversample_thick")) > gpu_error_bound(tables_of(often)) + 400 * 2.0**-53
