"""A torch module around ``simulate``."""

from collections.abc import Mapping
from typing import Any

import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat, Parameters

from .overrides import OVERRIDES, check_overrides
from .simulation import simulate, with_misset_seed


class Simulator(torch.nn.Module):
    """An image as a function of parameters to refine.

    ``refine``: name -> start value; each becomes a ``torch.nn.Parameter`` of that name, in
    its own precision, numbers in float64. ``fixed``: name -> tensor that
    replaces a field but is not refined, a buffer. ``forward`` takes further overrides, which have the last word. ``to(device, dtype)``
    moves all; ``dtype`` in the constructor is the image's. A random orientation without a seed is the same at every call; its seed is
    ``model.crystal.misset_seed``.
    """

    def __init__(
        self,
        parameters: Parameters,
        refine: Mapping[str, Any],
        *,
        fixed: Mapping[str, Any] | None = None,
        compat: Compat = "spec",
        dtype: torch.dtype = torch.float64,
    ):
        super().__init__()
        twice = set(refine) & set(fixed or {})
        if twice:
            raise InputError(f"{', '.join(sorted(twice))} cannot be both refined and fixed")
        # One orientation for all calls, or nothing could be refined.
        self.model, self.compat, self.image_dtype = with_misset_seed(parameters), compat, dtype
        for name, tensor in check_overrides(parameters, compat, {**refine, **(fixed or {})}).items():
            if name in refine:
                self.register_parameter(name, torch.nn.Parameter(tensor.detach().clone()))
            else:
                self.register_buffer(name, tensor.detach().clone())

    def forward(self, **overrides: Any) -> torch.Tensor:
        """The image (slow, fast)."""
        own = {name: value for name, value in (*self.named_parameters(), *self.named_buffers()) if name in OVERRIDES}
        device = next((value.device for value in own.values()), None)
        return simulate(self.model, dtype=self.image_dtype, device=device, compat=self.compat, **{**own, **overrides})

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        before = self._kinds()
        super()._apply(fn, recurse)
        # ``to(dtype)`` changes the parameters; the image follows them.
        kinds = self._kinds()
        if kinds != before and len(kinds) == 1 and kinds <= {torch.float32, torch.float64}:
            self.image_dtype = kinds.pop()
        return self

    def _kinds(self) -> set[torch.dtype]:
        return {value.dtype for value in (*self.parameters(), *self.buffers())}
