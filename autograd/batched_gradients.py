"""Torch's older batching, which ``jacobian(vectorize=True)``, ``grad(is_grads_batched=True)`` and gradcheck's batched checks still use.

It does not ask for a ``vmap`` rule, as torch.func does, but calls ``forward`` with tensors whose leading axis is hidden.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

Tensor = torch.Tensor
_BATCHED = "Batched"


def _is_batched(value: Any) -> bool:
    return isinstance(value, Tensor) and torch._C._dispatch_keys(value).has(_BATCHED)


def _level() -> int:
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    return level


def member_by_member(forward: Callable[..., Any]) -> Callable[..., Any]:
    """``forward`` called once for each member of a hidden batch, and the results batched likewise."""

    @wraps(forward)
    def over_members(*args: Any) -> Any:
        if not any(map(_is_batched, args)):
            return forward(*args)
        level = _level()
        shown = [torch._remove_batch_dim(arg, level, 0, 0) if _is_batched(arg) else arg for arg in args]
        members = next(len(all_members) for all_members, arg in zip(shown, args, strict=True) if all_members is not arg)
        results = [forward(*(value if value is arg else value[n] for value, arg in zip(shown, args, strict=True))) for n in range(members)]
        if isinstance(results[0], tuple):
            return tuple(torch._add_batch_dim(torch.stack(parts), 0, level) for parts in zip(*results, strict=True))
        return torch._add_batch_dim(torch.stack(results), 0, level)

    return over_members
