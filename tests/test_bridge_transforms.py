"""The torch bridge under torch's transforms: tracing is refused; older batching and double backward work; one setting of threads."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from test_gradients import SMALL, VALUES, scaled
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrize

from nanobragg_numba import InputError
from nanobragg_numba.autograd import Simulator, places, simulate, simulation
from nanobragg_numba.derivatives.entries import ADJOINT
from nanobragg_numba.engine.needed_code import FOR_AN_IMAGE, FOR_SHOTS
from nanobragg_numba.jit import calls, compilation
from nanobragg_numba.shots.entries import SHOT_GRADIENTS

MISSET = torch.tensor(VALUES["misset_deg"], dtype=torch.float64)


def image(x):
    return simulate(SMALL, misset_deg=x)


class Module(torch.nn.Module):
    """What torch.export takes."""

    def forward(self, x):
        return image(x)


def in_fake_mode():
    with FakeTensorMode() as mode:
        return image(mode.from_tensor(MISSET))


def fake_without_its_mode():
    mode = FakeTensorMode()
    return image(mode.from_tensor(MISSET))


def pullback_traced():
    x = MISSET.clone().requires_grad_()
    value = image(x)
    return make_fx(lambda bar: torch.autograd.grad(value, x, bar)[0])(torch.ones_like(value))


@pytest.mark.parametrize(
    "trace",
    [
        lambda: torch.func.linearize(image, MISSET),
        lambda: make_fx(image)(MISSET),
        lambda: make_fx(image, tracing_mode="fake")(MISSET),
        lambda: make_fx(image, pre_dispatch=True)(MISSET),
        lambda: make_fx(torch.func.grad(lambda x: image(x).sum()))(MISSET),
        pullback_traced,
        lambda: torch.export.export(Module(), (MISSET,)),
        lambda: torch.jit.trace(image, MISSET),
        in_fake_mode,
        fake_without_its_mode,
    ],
    ids=["linearize", "make_fx", "fake", "before autograd", "gradient", "pullback", "export", "jit", "fake mode", "fake tensor"],
)
def test_tracing_is_refused(trace):
    with pytest.raises(InputError, match="the image cannot be traced by"):
        trace()


def test_what_linearize_would_give():
    """What its sentence names in its place: jvp at several tangents."""
    tangents = torch.eye(3, dtype=torch.float64)
    columns = torch.func.vmap(lambda v: torch.func.jvp(image, (MISSET,), (v,))[1])(tangents)
    rows = torch.func.jacrev(image)(MISSET)
    torch.testing.assert_close(columns.movedim(0, -1), rows, rtol=1e-9, atol=1e-12 * float(rows.abs().max()))


def loss(x):
    return (image(x) / 1e4).square().sum()


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorised_jacobian_and_hessian(strategy):
    one = torch.autograd.functional.jacobian(image, MISSET, vectorize=True, strategy=strategy)
    torch.testing.assert_close(one, torch.func.jacrev(image)(MISSET), rtol=1e-9, atol=1e-12 * float(one.detach().abs().max()))
    bent = torch.autograd.functional.hessian(loss, MISSET, vectorize=True, outer_jacobian_strategy=strategy)
    torch.testing.assert_close(bent, torch.func.hessian(loss)(MISSET), rtol=1e-9, atol=0.0)


def test_vectorised_over_several_parameters():
    cell = torch.tensor(VALUES["cell"], dtype=torch.float64)

    def both(x, y):
        return simulate(SMALL, misset_deg=x, cell=y)

    parts = torch.autograd.functional.jacobian(both, (MISSET, cell), vectorize=True)
    for part, one in zip(parts, torch.func.jacrev(both, argnums=(0, 1))(MISSET, cell), strict=True):
        torch.testing.assert_close(part, one, rtol=1e-9, atol=1e-12 * float(one.abs().max()))


@pytest.mark.parametrize("name", ["misset_deg", "source_weights"])
def test_gradcheck_of_batched_gradients(name):
    function, start = scaled(SMALL, name)
    assert torch.autograd.gradcheck(function, [start], check_batched_grad=True, check_forward_ad=True, check_batched_forward_grad=True)
    assert torch.autograd.gradgradcheck(function, [start], check_batched_grad=True)


def test_double_backward_gives_the_hessians_product():
    v = torch.tensor((0.3, -1.0, 0.5), dtype=torch.float64)
    bent = torch.func.hessian(loss)(MISSET)
    for product in (torch.autograd.functional.hvp, torch.autograd.functional.vhp):
        value, result = product(loss, MISSET, v)
        torch.testing.assert_close(value, loss(MISSET))
        torch.testing.assert_close(result, bent @ v, rtol=1e-9, atol=0.0)
    _, pushed = torch.autograd.functional.jvp(image, MISSET, v)
    torch.testing.assert_close(pushed, torch.func.jvp(image, (MISSET,), (v,))[1], rtol=1e-9, atol=1e-12 * float(pushed.abs().max()))


def test_third_derivatives_are_still_refused():
    x = MISSET.clone().requires_grad_()
    v = torch.tensor((0.3, -1.0, 0.5), dtype=torch.float64)
    _, product = torch.autograd.functional.hvp(loss, x, v, create_graph=True)
    with pytest.raises(NotImplementedError, match="third"):
        torch.autograd.grad(product.sum(), x)
    with pytest.raises(NotImplementedError, match=r"third|forward over forward"):
        torch.func.jacfwd(torch.func.hessian(loss))(MISSET)


@pytest.fixture
def threads_seen(monkeypatch):
    seen = []
    real = calls.in_threads
    monkeypatch.setattr(calls, "in_threads", lambda threads, work: (seen.append(threads), real(threads, work)))
    before = torch.get_num_threads()
    yield seen
    torch.set_num_threads(before)


@pytest.mark.parametrize(("torchs", "numbas", "most"), [(3, "3", 3), (1, "3", 1), (3, "1", 1)])
def test_one_setting_of_threads(torchs, numbas, most, threads_seen, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", numbas)
    torch.set_num_threads(torchs)
    large = replace(SMALL, detector=replace(SMALL.detector, pixels=(70, 60), pixel_size_mm=0.3))
    x = MISSET.clone().requires_grad_()

    def used(function):
        threads_seen.clear()
        result = function()
        return result, max(threads_seen)

    value, in_image = used(lambda: simulate(large, misset_deg=x))
    (gradient,), in_gradient = used(lambda: torch.autograd.grad(value.sum(), x, create_graph=True))
    _, in_second = used(lambda: torch.autograd.grad(gradient.sum(), x))
    _, in_tangent = used(lambda: torch.func.jvp(lambda y: simulate(large, misset_deg=y), (MISSET,), (MISSET,)))
    assert [in_image, in_gradient, in_second, in_tangent] == [most] * 4


class Threads(torch.utils.data.Dataset):
    """How many threads would compute where an item is made."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return places.threads()


def test_a_data_loaders_worker_takes_one_thread(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    assert [int(threads) for threads in torch.utils.data.DataLoader(Threads(), num_workers=1)] == [1]


WITHOUT = """
import os, torch
for name in ("sched_getaffinity", "getuid", "geteuid"):
    if hasattr(os, name):
        delattr(os, name)
from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate
from nanobragg_numba.jit.cache_folder import _own_folder
from nanobragg_numba.threads import most_threads
line = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -lambda 6.2 -distance 100 -detpixels 16"
phi = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
simulate(parameters_from_command_line(line), phi_deg=phi).sum().backward()
assert bool(phi.grad != 0.0) and most_threads() == os.cpu_count()
print(_own_folder())
"""


def test_where_the_system_lacks_calls_of_linux(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR")}
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        env=environment | {"TMPDIR": str(tmp_path), "USERNAME": "somebody"},
        cwd=tmp_path,  # In the checkout's own folder, its half package would come before the installed one.
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "nanobragg_numba-somebody")


class Doubled(torch.nn.Module):
    """A parametrisation: half of the value is what is refined."""

    def forward(self, half):
        return 2.0 * half

    def right_inverse(self, value):
        return value / 2.0


def test_a_parametrised_parameter_is_used():
    model = Simulator(SMALL, {"misset_deg": VALUES["misset_deg"]})
    parametrize.register_parametrization(model, "misset_deg", Doubled())
    torch.testing.assert_close(model(), image(MISSET), rtol=1e-9, atol=0.0)
    with torch.no_grad():
        model.parametrizations.misset_deg.original += 0.5
    assert torch.equal(model(), image(MISSET + 1.0))
    model().sum().backward()
    x = (MISSET + 1.0).requires_grad_()
    (gradient,) = torch.autograd.grad(image(x).sum(), x)
    torch.testing.assert_close(model.parametrizations.misset_deg.original.grad, 2.0 * gradient)


def test_a_parameter_replaced_by_a_tensor_is_used():
    model = Simulator(SMALL, {"misset_deg": VALUES["misset_deg"]}, fixed={"distance_mm": 61.0})
    del model.misset_deg
    model.misset_deg = MISSET + 1.0
    assert torch.equal(model(), simulate(SMALL, misset_deg=MISSET + 1.0, distance_mm=61.0))
    called = torch.func.functional_call(model, {"distance_mm": torch.tensor(62.0, dtype=torch.float64)})
    assert torch.equal(called, simulate(SMALL, misset_deg=MISSET + 1.0, distance_mm=62.0))


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize(("compat", "needed", "adjoint"), [("spec", FOR_SHOTS, SHOT_GRADIENTS), ("c", FOR_AN_IMAGE, ADJOINT)])
def test_gradients_begin_to_compile_with_the_image(compat, needed, adjoint, requires_grad, monkeypatch):
    begun = []
    simulation.begin_to_compile.cache_clear()
    monkeypatch.setattr(compilation, "begin", lambda libraries: begun.extend(libraries))
    simulate(SMALL, compat=compat, misset_deg=MISSET.clone().requires_grad_(requires_grad))
    assert set(needed) <= set(begun)
    assert (adjoint in begun) is requires_grad
