"""Recorded host formulas: what is replayed is what Python computes, and its derivatives; a decision that comes out otherwise is noticed."""

import gc
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_shots import P

from nanobragg_numba.autograd import recordings, simulate
from nanobragg_numba.autograd.recorded import recorder, recording
from nanobragg_numba.maths.dual_functions import clipped, cos, sin, sqrt, value_of


def formula(x, y, z):
    """Every operation, on floats or on what carries a derivative."""
    a = sin(x) * cos(y) + 3.0 * z / (1.0 + x * x) - y
    b = 2.0 - abs(a) / sqrt(z) + (-x) * 1.0 + 0.0 * y
    c = clipped(sin(y) * 5.0, -1.0, 1.0) - 4.0
    return [a, b * c, 7.0, a / b + (2.0 / z if x > 0.5 else x), value_of(y) * 1.0 + z]


def recorded(values):
    numbers, tape = recorder(values)
    return recording(tape, formula(*numbers))


POINTS = np.array([[0.7, 0.2, 2.0], [0.9, -0.4, 3.0], [1.4, 1.1, 0.5]])


def test_replayed_values_are_pythons():
    lines = recorded(POINTS[0].tolist())
    out = np.full((3, 5), 7.0)
    assert lines.values(POINTS, out).all()
    assert out.tolist() == [formula(*point) for point in POINTS.tolist()]
    assert lines.outputs[2] == -1
    assert lines.depends_on(np.array([False, True, False])).tolist() == [True, True, False, True, True]
    assert lines.depends_on(np.array([True, False, False])).tolist() == [True, True, False, True, False]


def test_replayed_derivatives_against_differences():
    lines = recorded(POINTS[0].tolist())
    random = np.random.default_rng(1)
    dots, bars = random.normal(size=(3, 2, 3)), random.normal(size=(3, 5))
    forth, back = lines.forth(POINTS, dots), lines.back(POINTS, bars)
    step = 1e-6
    for shot, point in enumerate(POINTS):
        for k in range(2):
            ahead, behind = (np.array(formula(*(point + sign * step * dots[shot, k]).tolist())) for sign in (1.0, -1.0))
            wanted = (ahead - behind) / (2.0 * step)
            # What is clipped keeps its derivative, and what is only looked at has none.
            kept = math.cos(point[1]) * 5.0 * dots[shot, k, 1] if abs(math.sin(point[1]) * 5.0) > 1.0 else 0.0
            a = math.sin(point[0]) * math.cos(point[1]) + 3.0 * point[2] / (1.0 + point[0] ** 2) - point[1]
            wanted[1] += (2.0 - abs(a) / math.sqrt(point[2]) - point[0]) * kept
            wanted[4] -= dots[shot, k, 1]
            np.testing.assert_allclose(forth[shot, k], wanted, rtol=1e-7, atol=1e-8)
            np.testing.assert_allclose(forth[shot, k] @ bars[shot], back[shot] @ dots[shot, k], rtol=1e-12)


def test_what_is_decided_otherwise_does_not_hold():
    lines = recorded(POINTS[0].tolist())
    others = np.array([[0.7, 0.2, 2.0], [0.4, 0.2, 2.0], [0.7, 0.2, -1.0], [0.7, 0.2, 0.0]])
    # x is not above 0.5; a root of a negative number; a division by zero.
    assert lines.values(others, np.zeros((4, 5))).tolist() == [True, False, False, False]


def test_a_whole_number_that_differs_does_not_hold():
    (x,), tape = recorder([2.5])
    count = math.ceil(value_of(x * 2.0) - 0.5)
    lines = recording(tape, [x * count])
    out = np.zeros((3, 1))
    assert lines.values(np.array([[2.5], [2.6], [2.9]]), out).tolist() == [True, True, False]
    assert out[1, 0] == 2.6 * 5


@pytest.mark.parametrize("name", ["misset_deg", "cell"])
def test_formulas_are_run_once(name, monkeypatch):
    """A fit's later steps replay them."""
    runs, real = [], recordings.recorded_at
    monkeypatch.setattr(recordings, "recorded_at", lambda *args: runs.append(1) or real(*args))
    mine = replace(P, crystal=replace(P.crystal))
    value = torch.tensor([5.0, 7.0, 9.0] if name == "misset_deg" else [60.0, 70.0, 80.0, 90.0, 95.0, 90.0], dtype=torch.float64)
    for step in range(4):
        leaf = (value + 0.01 * step).requires_grad_()
        simulate(mine, **{name: leaf}).sum().backward()
        assert leaf.grad.any()
    assert len(runs) == 1


def test_recordings_do_not_keep_parameters_alive():
    mine = replace(P, crystal=replace(P.crystal))
    simulate(mine, misset_deg=torch.zeros(3, dtype=torch.float64, requires_grad=True)).sum().backward()
    gone = weakref.ref(mine)
    del mine
    gc.collect()
    assert gone() is None
