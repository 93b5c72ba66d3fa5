"""The GPU's engine under numba's simulator, byte for byte against the exact CPU engine, and what is said where it does not compute."""

import os
import subprocess
import sys

import numpy as np
import pytest

from nanobragg_numba import InputError
from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add

SIMULATION = "simulated_gpu.py"
LINE = "-cell 70 80 90 -default_F 100 -N 7 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1"
needs_guard = pytest.mark.skipif(
    not has_fused_multiply_add(), reason="this processor has no fused multiply-add: the guard does not cover it"
)


def in_process(code, folder, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *code], cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}
    )


def check(case):
    assert case["same"] and case["recorded"], case
    assert case["printed_omega"] and abs(case["omega"]) < 1e-14, case
    assert case["share"] < 0.25, case


@needs_guard
def test_golden_cases(simulated):
    cases = simulated["golden"]
    for case in cases:
        check(case)
    on_gpu = [case for case in cases if case["reason"] is None]
    assert len(on_gpu) >= 50
    assert all(case["bright"] and case["recomputed"] <= 1 for case in on_gpu)
    # Else the simulated GPU would be the exact engine in disguise.
    assert sum(case["share"] > 0 for case in on_gpu) > 20


@needs_guard
def test_the_repaired_reference(simulated):
    assert len(simulated["fixed"]) == 99
    for case in simulated["fixed"]:
        check(case)
        assert (case["bright"] or case["dark"]) and (case["reason"] is not None) == case["unproven"], case
    on_gpu = [case for case in simulated["fixed"] if not case["unproven"]]
    for case in on_gpu:
        assert case["recomputed"] <= 1 if case["absorbs"] else case["recomputed"] == case["pixels"], case
    assert len(on_gpu) >= 75 and sum(case["dark"] for case in on_gpu) < 10 and sum(case["absorbs"] for case in on_gpu) >= 70
    # In "c" a Gaussian spot with the switches is the CPU's.
    for case in simulated["switched spots"]:
        check(case)
        assert case["reason"] is None and case["bright"] and case["recomputed"] == 0, case


@needs_guard
def test_options_in_both_modes(simulated):
    for case in simulated["lines"]:
        check(case)
        assert case["reason"] is None, case
    recomputed = {case["name"]: case["recomputed"] for case in simulated["lines"]}
    # Where polarization or absorption goes beyond the proof, the CPU computes; elsewhere it does not.
    assert 0 < recomputed.pop("wide angles, c") < 24 and 0 < recomputed.pop("wide angles, spec") < 24
    assert recomputed.pop("strong absorption, c") == 12 and recomputed.pop("strong absorption, spec") == 12
    assert not any(recomputed.values()), recomputed
    dark = {case["name"] for case in simulated["lines"] if not case["bright"]}
    assert dark == {"strong absorption, c"}


@needs_guard
def test_what_is_not_covered_runs_on_the_cpu_and_says_why(simulated):
    for case in simulated["cpu"]:
        assert case["same"] and case["reason"], case


@needs_guard
def test_a_value_on_a_rounding_boundary_is_recomputed(simulated):
    check(simulated["boundary"])
    assert simulated["boundary"]["recomputed"] >= 1


def test_python_interface(simulated):
    assert simulated["python"]["same"]
    (warning,) = simulated["python"]["warning"]
    assert "computing on the CPU: the error of round crystals" in warning


def test_threads_of_a_block_share_their_arrays(simulated):
    assert simulated["shared"] == [2 * (1000 * block + 1) for block in range(5)]


def test_fused_multiply_add_rounds_once(simulated):
    assert simulated["fma"] == -(2.0**-61)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("index", "-device cuda:5: there is no such GPU"),
        ("name", "device must be cpu, cuda or cuda:i"),
        ("memory", "of the GPU's memory"),
        ("no driver", "no NVIDIA driver is found"),
        ("no device", "the driver finds no GPU"),
        ("old driver", "driver is too old"),
        ("no toolkit", "no CUDA toolkit is found"),
        ("allocation", "the GPU ran out of memory"),
    ],
)
def test_refusals(simulated, name, words):
    assert words in simulated["refusals"][name] and "\n" not in simulated["refusals"][name]


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cuda:99999", "cuda:\u00b2", "cuda:0 "])
def test_a_name_of_no_device_is_refused(name):
    with pytest.raises(InputError, match="-device must be cpu, cuda or cuda:i"):
        gpu_index(name, "-device")


def test_names_of_devices():
    assert [gpu_index(name) for name in ("cpu", "cuda", "cuda:0", "cuda:12")] == [None, 0, 0, 12]


COMMAND = ["-c", "from nanobragg_numba.cli.start import command; command()"]


@needs_guard
def test_command(tmp_path):
    runs = {"cpu": [], "gpu": ["-device", "cuda"], "round": ["-device", "cuda:0", "-round_xtal"]}
    runs |= {precision: ["-device", "cuda", "-precision", precision] for precision in ("mixed", "single")}
    for name, words in runs.items():
        (tmp_path / name).mkdir()
        run = in_process([*COMMAND, *LINE.split(), "-roi", "6", "9", "7", "9", *words], tmp_path / name, NUMBA_ENABLE_CUDASIM="1")
        assert run.returncode == 0, run.stderr
        assert ("computing on the CPU: the error of round crystals" in run.stderr) == (name == "round")
    exact, mixed, single = (np.fromfile(tmp_path / name / "floatimage.bin", "<f4") for name in ("cpu", "mixed", "single"))
    errors = [float(np.abs(image - exact).max() / exact.max()) for image in (mixed, single)]
    assert 0.0 < errors[0] < 1e-6 and errors[0] < errors[1] < 1e-4, errors
    for path in (tmp_path / "cpu").iterdir():
        assert path.read_bytes() == (tmp_path / "gpu" / path.name).read_bytes(), path.name


def test_without_a_gpu_the_command_says_so_and_leaves_nothing(tmp_path):
    run = in_process([*COMMAND, *LINE.split(), "-device", "cuda"], tmp_path, NUMBA_DISABLE_CUDA="1", NUMBA_CUDA_DRIVER="0")
    assert run.returncode == 2
    (sentence,) = [line for line in run.stderr.splitlines() if "warning" not in line]
    assert sentence.startswith("nanoBragg: error: -device cuda:0: ") and run.stdout == ""
    assert not any(tmp_path.iterdir())


def test_a_cuda_that_does_not_load_is_told_in_one_sentence(tmp_path):
    code = "import sys; sys.modules['numba.cuda'] = None; from nanobragg_numba.cli.start import command; command()"
    run = in_process(["-c", code, *LINE.split(), "-device", "cuda"], tmp_path)
    assert run.returncode == 2 and run.stdout == "" and not any(tmp_path.iterdir())
    (sentence,) = run.stderr.splitlines()
    assert sentence.startswith("nanoBragg: error: -device cuda: numba's CUDA does not load (") and "pip install -U" in sentence


def test_nothing_imports_cuda_unless_asked_for(tmp_path):
    code = (
        "import sys; from nanobragg_numba.cli.nanobragg import main\n"
        f"assert main({LINE.split()!r} + ['-device', 'cpu']) == 0\n"
        "assert not [name for name in sys.modules if name.startswith(('numba.cuda', 'nanobragg_numba.gpu'))]"
    )
    run = in_process(["-c", code], tmp_path)
    assert run.returncode == 0, run.stderr
