"""Many shots and shoeboxes under torch's transforms: what nests works, and what would record the image is refused."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from test_shots import BOXES, EACH, SHARED, SHOTS, P, wanted_pixels
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from nanobragg_numba import InputError
from nanobragg_numba.autograd import many_shots, simulate

MISSET, CELL = EACH["misset_deg"], SHARED["cell"]
CALLS = {
    "shots": (lambda x: simulate(P, misset_deg=x, cell=CELL), MISSET),
    "shoeboxes": (lambda x: simulate(P, misset_deg=MISSET, cell=x, regions=BOXES).values, CELL),
    "crystals": (lambda x: simulate(P, misset_deg=x, regions=BOXES[:1], shot=(0, 0, 0)).values, MISSET),
    "one shot's shoeboxes": (lambda x: simulate(P, misset_deg=x, regions=BOXES[0]).values, MISSET[0]),
}
every_call = pytest.mark.parametrize(("call", "start"), CALLS.values(), ids=CALLS)


def close(one, other, rtol=1e-9):
    torch.testing.assert_close(one, other, rtol=rtol, atol=1e-11 * float(other.detach().abs().max()))


@every_call
def test_jacobians_agree(call, start):
    rows = torch.func.jacrev(lambda x: call(x)[..., ::7].flatten()[:40])(start)
    columns = torch.func.jacfwd(lambda x: call(x)[..., ::7].flatten()[:40])(start)
    assert rows.any()
    close(rows, columns)
    direction = torch.from_numpy(np.random.default_rng(5).normal(size=start.shape))
    moved = torch.func.jvp(call, (start,), (direction,))[1][..., ::7].flatten()[:40]
    close(moved, (columns * direction).flatten(1).sum(1))


@every_call
def test_the_hessian_is_the_gradients_change(call, start):
    """Forward over reverse, reverse over reverse and reverse over forward, against a difference of gradients."""

    def loss(x):
        return (call(x) / 1e3).square().mean()

    direction = torch.from_numpy(np.random.default_rng(5).normal(size=start.shape))
    _, product = torch.func.jvp(torch.func.grad(loss), (start,), (direction,))
    by_reverse = torch.func.grad(lambda x: (torch.func.grad(loss)(x) * direction).sum())(start)
    by_forward = torch.func.grad(lambda x: torch.func.jvp(loss, (x,), (direction,))[1])(start)
    close(by_reverse, product)
    close(by_forward, product)
    step = 1e-5
    ahead, behind = (torch.func.grad(loss)(start + sign * step * direction) for sign in (1.0, -1.0))
    torch.testing.assert_close((ahead - behind) / (2.0 * step), product, rtol=1e-4, atol=1e-6 * float(product.abs().max()))


def test_gradgradcheck():
    def function(misset, fluence):
        return 1e-3 * simulate(P, regions=[(9, 14, 8, 12)], misset_deg=misset, fluence=1e29 * fluence).values

    start = (MISSET[:2].clone().requires_grad_(), torch.ones(2, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(function, start, check_batched_grad=True, check_forward_ad=True, atol=1e-4)
    assert torch.autograd.gradgradcheck(function, start, check_batched_grad=True, atol=1e-4)


@pytest.mark.parametrize("regions", [None, BOXES[0]])
def test_vmap_computes_all_members_at_once(regions, monkeypatch):
    def values(misset, cell, weights):
        found = simulate(P, misset_deg=misset, cell=cell, regions=regions)
        found = found if regions is None else found.values
        return (found.flatten() * weights).sum()

    size = 1600 if regions is None else int(wanted_pixels(BOXES[0]).sum())
    weights = torch.from_numpy(np.random.default_rng(4).normal(size=(SHOTS, size)))
    one_by_one = [torch.func.grad_and_value(values, argnums=(0, 1))(MISSET[n], CELL, weights[n]) for n in range(SHOTS)]
    seen, real = [], many_shots.point_at
    monkeypatch.setattr(many_shots, "point_at", lambda given, *rest: seen.append(given.count) or real(given, *rest))
    together = torch.func.vmap(torch.func.grad_and_value(values, argnums=(0, 1)), in_dims=(0, None, 0))(MISSET, CELL, weights)
    assert set(seen) == {SHOTS}
    for n, ((by_misset, by_cell), value) in enumerate(one_by_one):
        close(together[1][n], value, 1e-12)
        close(together[0][0][n], by_misset, 1e-12)
        close(together[0][1][n], by_cell, 1e-12)


def test_vmap_over_calls_with_shots():
    moved = torch.stack([MISSET, MISSET + 0.1])
    together = torch.func.vmap(lambda x: simulate(P, misset_deg=x))(moved)
    for n in range(2):
        assert torch.equal(together[n], simulate(P, misset_deg=moved[n]))
    with pytest.raises(InputError, match="vmap over no members"):
        torch.func.vmap(lambda x: simulate(P, misset_deg=x))(torch.zeros(0, 3, dtype=torch.float64))


@every_call
def test_checkpoint_computes_again(call, start):
    x, y = start.clone().requires_grad_(), start.clone().requires_grad_()
    checkpoint(lambda z: call(z).square().sum(), x, use_reentrant=False).backward()
    call(y).square().sum().backward()
    assert torch.equal(x.grad, y.grad)


@every_call
def test_compile_breaks_the_graph_at_the_call(call, start):
    def loss(x):
        return (call(x * 1.0) * 2.0).sum()

    x = start.clone().requires_grad_()
    (one,) = torch.autograd.grad(torch.compile(loss, backend="eager")(x), x)
    (other,) = torch.autograd.grad(loss(x), x)
    assert torch.equal(one, other)


class Called(torch.nn.Module):
    """What torch.export takes."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


def in_fake_mode(call, start):
    with FakeTensorMode() as mode:
        return call(mode.from_tensor(start))


TRACES = {
    "jit": lambda call, start: torch.jit.trace(call, start),
    "make_fx": lambda call, start: make_fx(call)(start),
    "gradient": lambda call, start: make_fx(torch.func.grad(lambda x: call(x).sum()))(start),
    "linearize": lambda call, start: torch.func.linearize(call, start),
    "export": lambda call, start: torch.export.export(Called(call), (start,)),
    "fake": in_fake_mode,
}


@every_call
@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
def test_tracing_is_refused(trace, call, start):
    with pytest.raises(InputError, match="the image cannot be traced by"):
        trace(call, start)


LOADED = """
import sys
import torch
from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate

P = parameters_from_command_line("-cell 60 70 80 90 95 90 -default_F 100 -N 6 -lambda 1 -distance 80 -detpixels 40 -pixel 0.4")
BOXES = [(3, 11, 5, 12), (9, 20, 8, 9)]

class Gradients(torch.utils.data.Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, n):
        misset = torch.tensor([[n, 2.0, 3.0], [4.0, n, 6.0]], dtype=torch.float64, requires_grad=True)
        image, boxes = simulate(P, misset_deg=misset), simulate(P, misset_deg=misset, regions=BOXES, shot=(0, 0))
        (image.square().sum() + boxes.values.square().sum()).backward()
        return misset.grad

if __name__ == "__main__":
    data = Gradients()
    here = [data[n] for n in range(len(data))]
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=sys.argv[1])
    there = list(loader)
    assert len(there) == 3 and all(bool(one.all()) and torch.equal(one, other) for one, other in zip(here, there))
    print("alike")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_data_loader(method, tmp_path):
    script = tmp_path / "loaded.py"
    script.write_text(LOADED)
    done = subprocess.run([sys.executable, str(script), method], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout == "alike\n", done.stderr


@every_call
def test_results_do_not_depend_on_threads(call, start, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "4")
    found, before = [], torch.get_num_threads()
    for threads in (1, 3, 3):
        torch.set_num_threads(threads)
        x = start.clone().requires_grad_()
        value = call(x)
        value.square().sum().backward()
        found.append((value.detach(), x.grad))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
