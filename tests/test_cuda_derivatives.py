"""The derivatives on a GPU: simulated by numba, against the CPU's to 1e-12; as PTX where a toolkit is found; on a real GPU (``-m gpu``)."""

import re
from unittest.mock import patch

import numpy as np
import pytest
from ptx_code import FIRST, needs_toolkit, ptx

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.derivatives.flat_variables import Variables, variables_of
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add

torch = pytest.importorskip("torch")
SIMULATION = "simulated_derivatives.py"
TOLERANCE = 1e-12
LINE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 24 -oversample 1 -water 0.012"


def test_adjoint_and_tangent_are_the_cpus(simulated):
    assert len(simulated["kernels"]) == 19
    for case in simulated["kernels"]:
        assert case["zeros"] and case["repeats"], case
        assert max(case["adjoint"], case["exact"], case["tangent"]) < TOLERANCE, case
    # Else the simulated GPU would be the CPU in disguise.
    assert sum(case["adjoint"] > 0.0 for case in simulated["kernels"]) > 10


def test_exact_sums_do_not_depend_on_the_order(simulated):
    one, other = simulated["sums"]["totals"]
    assert one == other
    assert abs(one - simulated["sums"]["fsum"]) <= np.spacing(abs(one))
    assert simulated["sums"]["odd"] == ["nan", "nan", "0.0", "nan"]


@pytest.mark.skipif(not has_fused_multiply_add(), reason="this processor has no fused multiply-add: the guard does not cover it")
def test_the_torch_bridge(simulated):
    results = simulated["bridge"]
    assert results["same"] and results["gradcheck"]
    for errors in (results["errors"], results["deterministic"]):
        assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.skipif(not has_fused_multiply_add(), reason="this processor has no fused multiply-add: the guard does not cover it")
def test_structure_factors_through_torch(simulated):
    results = simulated["structure factors"]
    assert max(one["error"] for one in results.values()) < TOLERANCE
    assert not results["nearest"]["said"]
    (sentence,) = results["tricubic"]["said"]
    assert "tricubic interpolation" in sentence


def kernel_arguments():
    """Arguments of the right types for each kernel, with arrays of the host."""
    from nanobragg_numba.gpu import device_tables, shared_sums

    x = derive_experiment(parameters_from_command_line(LINE, "c"), "c")
    with patch.object(device_tables.cuda, "to_device", lambda array, stream: array):
        tables = device_tables.tables_on_device(x.tables)
    fields = variables_of(x)
    mask, window = np.ones((2, 2), np.bool_), (0, 1, 0, 1)
    a1, a2, a3, a4 = (np.zeros((2,) * n) for n in (1, 2, 3, 4))
    bins = np.zeros((2, shared_sums.BINS), np.int64)
    lattice = np.zeros((2, 9, shared_sums.BINS), np.int64)
    sums, bin_sums, dots = (Variables(*(one for _ in fields)) for one in (a1, bins, a2))
    return {
        "adjoint_pixels": (window, mask, a2, tables, -1, -1, a2, a2, sums, a1),
        "exact_adjoint_pixels": (window, mask, a2.astype(np.float32), tables, -1, -1, lattice, lattice, bin_sums, bins),
        "tangent_pixels": (window, mask, tables, -1, -1, a3, a3, dots, a4, a3),
    }


@needs_toolkit[0]
@needs_toolkit[1]
# NVVM takes long over these kernels: one GPU stands for all.
@pytest.mark.parametrize("name", ["adjoint_pixels", "exact_adjoint_pixels", "tangent_pixels"])
def test_every_kernel_compiles(name):
    from nanobragg_numba.gpu import derivatives

    text = ptx(getattr(derivatives, name).py_func, kernel_arguments()[name], FIRST, contraction=True)
    assert f".target sm_{FIRST[0]}{FIRST[1]}" in text
    adds = re.findall(r"\b(?:atom|red)\.\S*add\.(\S+)", text)
    assert {"adjoint_pixels": {"f64"}, "exact_adjoint_pixels": {"u64"}, "tangent_pixels": set()}[name] == set(adds)


gpu = pytest.mark.gpu


@pytest.fixture
def device():
    if not torch.cuda.is_available():
        pytest.skip("no GPU that torch sees")
    return torch.device("cuda")


def leaves(device):
    values = {"phi_deg": 0.1, "misset_deg": (10.0, 20.0, 30.0), "cell": (70.0, 80.0, 90.0, 75.0, 85.0, 95.0), "distance_mm": 100.0}
    return {name: torch.tensor(value, dtype=torch.float64, device=device, requires_grad=True) for name, value in values.items()}


@gpu
@pytest.mark.parametrize("extra", ["", "-mosaic 0.3 -mosaic_dom 2 -oversample 2 -dispersion 1 -dispsteps 2 -phi 0 -osc 1 -phisteps 2"])
def test_gradcheck_on_cuda_tensors(device, extra):
    from nanobragg_numba.autograd import simulate

    parameters = parameters_from_command_line(f"{LINE} {extra}", "spec")
    names, tensors = zip(*leaves(device).items(), strict=True)
    assert torch.autograd.gradcheck(
        lambda *t: simulate(parameters, **dict(zip(names, t, strict=True)))[8:12, 8:12], tensors, check_forward_ad=True
    )


@gpu
def test_there_and_back(device):
    from nanobragg_numba.autograd import Simulator

    model = Simulator(parameters_from_command_line(LINE, "spec"), {name: tensor.detach() for name, tensor in leaves("cpu").items()})
    images, gradients = [], []
    for place in ("cpu", device, "cpu"):
        model = model.to(place)
        model.zero_grad()
        image = model()
        assert image.device.type == torch.device(place).type
        image.sum().backward()
        images.append(image.detach().cpu().float())
        gradients.append({name: parameter.grad.cpu() for name, parameter in model.named_parameters()})
    assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-11, atol=0.0)
        assert torch.equal(gradients[2][name], gradient)


@gpu
def test_on_a_stream_of_torch_and_deterministic(device):
    from nanobragg_numba.autograd import simulate

    parameters = parameters_from_command_line(f"{LINE} -detpixels 256", "spec")
    tensors = leaves(device)

    def gradients():
        return torch.autograd.grad(simulate(parameters, **tensors).sum(), list(tensors.values()))

    want = gradients()
    stream = torch.cuda.Stream()
    torch.use_deterministic_algorithms(True)
    try:
        with torch.cuda.stream(stream):
            first, second = gradients(), gradients()
    finally:
        torch.use_deterministic_algorithms(False)
    stream.synchronize()
    for a, b, c in zip(first, second, want, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, c, rtol=1e-11, atol=0.0)
