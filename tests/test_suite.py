"""Tests that keep the names they have in the project this one grew from."""

import torch

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate

LINE = "-cell 40 50 60 80 95 100 -misset 10 20 30 -default_F 100 -N 5 -lambda 1.3 -distance 60 -detpixels 5 -pixel 2 -osc 0.5 -phisteps 3"


class TestTier2GradientCorrectness:
    """Analytic against numerical derivatives."""

    def test_gradcheck_phi_rotation(self):
        phi = torch.tensor(10.0, dtype=torch.float64, requires_grad=True)
        parameters = parameters_from_command_line(LINE)
        largest = simulate(parameters, phi_deg=10.0).max()
        for compat in ("spec", "c"):
            assert torch.autograd.gradcheck(lambda x, mode=compat: simulate(parameters, compat=mode, phi_deg=x) / largest, [phi])
        (slope,) = torch.autograd.grad((simulate(parameters, phi_deg=phi) / largest).sum(), phi)
        assert slope.abs() > 1e-3
