"""On a real GPU (``pytest -m gpu``): every golden case and random command lines, byte for byte, and the error against the bound."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from random_lines import INPUTS, random_line
from running import GOLDEN, nanobragg

from nanobragg_numba import InputError, simulate, simulate_batch
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.gpu.coverage import gpu_error_bound, reason_for_cpu
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add

CASES = [("c", case) for case in json.loads((GOLDEN / "cases.json").read_text())]
CASES += [("c-fixed", case) for case in json.loads((GOLDEN / "fixed" / "cases.json").read_text())]
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
@pytest.mark.parametrize(("compat", "case"), CASES, ids=[f"{compat} {case['name']}" for compat, case in CASES])
def test_same_bytes_as_the_reference(gpu, compat, case, tmp_path, capfdbinary):
    run = nanobragg([*case["args"], "-compat", compat, "-device", "cuda"], tmp_path, capfdbinary, case["inputs"])
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
    for words in [*(case["args"] for _, case in CASES), *(random_line(seed) for seed in range(400, 600))]:
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


MANY = [f"-misset {angle} {2 * angle} 0 -cell {70 + angle} 80 90 75 85 95 -fluence {1e28 + angle * 1e26}" for angle in range(40)]


def parameters_of(extras, line=LINE, compat="spec"):
    return [read_command_line(f"{line} {extra}".split(), compat).parameters for extra in extras]


@on_gpu
@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("options", ["", "-phi 0 -osc 1 -phisteps 3 -mosaic 1 -mosaic_dom 4 -polar 0.9"], ids=["still", "sweep"])
def test_a_batch_is_its_images_one_by_one(gpu, compat, options):
    parameters = parameters_of(MANY, f"{LINE} -detpixels 200 {options}", compat)
    want = [simulate(one, compat=compat).image for one in parameters]
    images = list(simulate_batch(parameters, compat=compat, device="cuda"))
    assert all(np.array_equal(image.view(np.uint32), one.view(np.uint32)) for image, one in zip(images, want, strict=True))
    boxes = [[(3 * at, 3 * at + 20, 7, 30), (150, 160, 100 + at, 120 + at)] for at in range(len(MANY))]
    some = list(simulate_batch(parameters, compat=compat, device="cuda", regions=boxes))
    alone = list(simulate_batch(parameters, compat=compat, regions=boxes))
    assert all(np.array_equal(image.view(np.uint32), one.view(np.uint32)) for image, one in zip(some, alone, strict=True))


@on_gpu
def test_all_gpus_share_a_batch(gpu):
    from numba import cuda

    names = [f"cuda:{index}" for index in range(len(cuda.gpus))]
    if len(names) == 1:
        pytest.skip("one GPU alone is there")
    parameters = parameters_of(MANY)
    together, one = simulate_batch(parameters, device=names), simulate_batch(parameters)
    assert [image.tobytes() for image in together] == [image.tobytes() for image in one]


@on_gpu
def test_a_batch_cut_by_memory(gpu, monkeypatch):
    from nanobragg_numba.gpu import batch_plan

    monkeypatch.setattr(batch_plan, "free_bytes", lambda index: 4e6)
    parameters = parameters_of(MANY, f"{LINE} -detpixels 200")
    with pytest.warns(RuntimeWarning, match=r"40 images are computed in \d+ parts"):
        images = simulate_batch(parameters, device="cuda")
    assert [image.tobytes() for image in images] == [simulate(one).image.tobytes() for one in parameters]


@on_gpu
@pytest.mark.parametrize("precision", ["guarded", "double", "mixed"])
def test_two_streams_into_arrays_of_the_caller(gpu, precision):
    from numba import cuda

    from nanobragg_numba.gpu.device_batch import DeviceBatch

    halves = [[derive_experiment(one).tables for one in parameters_of(MANY[start : start + 20])] for start in (0, 20)]
    streams = [cuda.stream(), cuda.stream()]
    batches = [DeviceBatch(0, tables[0], 20, 20, precision=precision) for tables in halves]
    outs = [cuda.to_device(np.full((20, 24, 24), -1.0, np.float32)) for _ in halves]
    for _ in range(5):
        for batch, tables, out, stream in zip(batches, halves, outs, streams, strict=True):
            batch.load(tables, stream=stream)
            batch.render(out, stream=stream)
    for batch, tables, out, stream in zip(batches, halves, outs, streams, strict=True):
        doubtful = batch.doubtful(stream)
        assert doubtful is not None
        image = out.copy_to_host()
        assert set(np.flatnonzero(np.isnan(image))) == set(doubtful)
        want = np.array([simulate(one, precision="exact").image for one in parameters_of(MANY[:20] if tables is halves[0] else MANY[20:])])
        sure = ~np.isnan(image)
        if precision == "guarded":
            assert np.array_equal(image[sure].view(np.uint32), want[sure].view(np.uint32))
        else:
            assert np.max(np.abs(image - want)[sure] / want.max()) < 1e-5


@on_gpu
@pytest.mark.parametrize("cells", [5, 50, 1000])
def test_errors_of_mixed_and_single_precision(gpu, cells):
    (one,) = parameters_of([f"-N {cells} -detpixels 500 -pixel 0.2 -mosaic 0.3 -mosaic_dom 20"])
    exact = simulate(one, dtype=np.float64, precision="exact").image
    bright = exact > 1e-3 * exact.max()
    error = {}
    for precision in ("mixed", "single"):
        image = simulate(one, precision=precision, device="cuda").image
        error[precision] = float(np.max(np.abs(image - exact)[bright] / exact[bright]))
    print(f"N {cells}: largest error of {int(bright.sum())} bright pixels: mixed {error['mixed']:.2g}, single {error['single']:.2g}")
    assert error["mixed"] < 1e-5 and error["mixed"] < error["single"]


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
