"""What is known of parameters beside the data: a target and its standard deviation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nanobragg_numba.errors import InputError

Tensor = torch.Tensor


@dataclass(frozen=True)
class Restraint:
    """A parameter is known to be ``target`` within ``sigma``, in the parameter's unit; arrays for one that holds several numbers."""

    target: Any
    sigma: Any

    def residuals(self, name: str, value: Tensor) -> Tensor:
        """(n,): (value - target) / sigma. Raises InputError, with ``name``, where shapes do not fit or a sigma is not positive."""
        target, sigma = (torch.as_tensor(given, dtype=value.dtype, device=value.device) for given in (self.target, self.sigma))
        if not bool((sigma > 0.0).all()):
            raise InputError(f"restraint on {name}: sigma must be positive, not {sigma.tolist()}")
        if not bool(target.isfinite().all()):
            raise InputError(f"restraint on {name}: target must be finite, not {target.tolist()}")
        try:
            shape = torch.broadcast_shapes(value.shape, target.shape, sigma.shape)
        except RuntimeError:
            shape = None
        if shape != value.shape:
            given = f"target {tuple(target.shape)} and sigma {tuple(sigma.shape)}"
            raise InputError(f"restraint on {name}: {given} do not fit its shape {tuple(value.shape)}")
        return ((value - target) / sigma).reshape(-1)


class Restraints(torch.nn.Module):
    """The restraints' part of the target, half the sum of ((value - target) / sigma)^2: ``forward(values)`` with a tensor a name.

    Without the normalisation log(sigma sqrt(2 pi)), which no parameter changes. Raises InputError for a name without value.
    """

    def __init__(self, restraints: Mapping[str, Restraint]):
        super().__init__()
        self.restraints = dict(restraints)

    def residuals(self, values: Mapping[str, Tensor]) -> Tensor:
        """(n,): of all, in order."""
        missing = [name for name in self.restraints if name not in values]
        if missing:
            raise InputError(f"restraint on {missing[0]}: it is not refined; these are: {', '.join(values)}")
        parts = [restraint.residuals(name, values[name]) for name, restraint in self.restraints.items()]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)

    def forward(self, values: Mapping[str, Tensor]) -> Tensor:
        """A scalar."""
        return 0.5 * self.residuals(values).square().sum()
