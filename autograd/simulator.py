"""A torch module around ``simulate``."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat, Parameters

from .overrides import OVERRIDES
from .shots import shots_of
from .simulation import simulate, with_misset_seed


class Simulator(torch.nn.Module):
    """An image as a function of parameters to refine.

    ``parameters``: one, or a list, one a shot.
    ``refine``: name -> start value, shared by all shots or with an axis of shots before; each becomes a ``torch.nn.Parameter`` of that
    name, in its own precision, numbers in float64. ``fixed``: name -> tensor that
    replaces a field but is not refined, a buffer. ``forward`` takes further overrides, which have the last word. ``to(device, dtype)``
    moves all; ``dtype`` in the constructor is the image's. ``shot``: as in ``simulate``.
    Each is looked for as an attribute of its name, so that
    ``torch.nn.utils.parametrize`` and tensors put in its place have their effect.
    A random orientation without a seed is the same at every call; its seed is ``model.crystal.misset_seed``.
    """

    def __init__(
        self,
        parameters: Parameters | Sequence[Parameters],
        refine: Mapping[str, Any],
        *,
        fixed: Mapping[str, Any] | None = None,
        compat: Compat = "spec",
        dtype: torch.dtype = torch.float64,
        shot: Any = None,
    ):
        super().__init__()
        twice = set(refine) & set(fixed or {})
        if twice:
            raise InputError(f"{', '.join(sorted(twice))} cannot be both refined and fixed")
        # One orientation for all calls, or nothing could be refined.
        single = isinstance(parameters, Parameters)
        self.model: Any = with_misset_seed(parameters) if single else [with_misset_seed(one) for one in parameters]  # type: ignore[arg-type, union-attr]
        self.compat, self.image_dtype, self.shot = compat, dtype, shot
        for name, tensor in shots_of(parameters, compat, {**refine, **(fixed or {})}).tensors.items():
            if name in refine:
                self.register_parameter(name, torch.nn.Parameter(tensor.detach().clone()))
            else:
                self.register_buffer(name, tensor.detach().clone())

    def forward(self, *, regions: Any = None, **overrides: Any) -> Any:
        """The image (slow, fast), or what ``simulate`` returns for shots and ``regions``."""
        # By attribute, as torch's modules find theirs: a parameter may be computed from another one, or have been replaced by a tensor.
        found = ((name, getattr(self, name, None)) for name in OVERRIDES)
        own = {name: value for name, value in found if isinstance(value, torch.Tensor)}
        device = next((value.device for value in own.values()), None)
        return simulate(
            self.model, dtype=self.image_dtype, device=device, compat=self.compat, regions=regions, shot=self.shot, **{**own, **overrides}
        )

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
