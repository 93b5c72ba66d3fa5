"""A gradient: how the difference between two images changes with the orientation, and one step that makes it smaller."""

import torch

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import simulate

parameters = parameters_from_command_line("-cell 50 60 70 90 90 90 -default_F 100 -N 5 -lambda 1 -detpixels 128 -pixel 0.8 -oversample 1")
measured = simulate(parameters, misset_deg=(0.1, -0.05, 0.0))
misset = torch.zeros(3, dtype=torch.float64, requires_grad=True)
loss = (simulate(parameters, misset_deg=misset) - measured).square().sum()
loss.backward()
step = -0.01 * misset.grad / misset.grad.norm()  # degrees
after = (simulate(parameters, misset_deg=misset.detach() + step) - measured).square().sum()
print(f"gradient {misset.grad.tolist()} per degree; the step takes the loss from {loss:.5g} to {after:.5g}")
