"""Refuses to be traced: who records torch's operations would keep the image, and its derivatives, as constants."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from nanobragg_numba.errors import InputError

TRACERS = {
    "ProxyTorchDispatchMode": "make_fx, torch.func.linearize or torch.export",
    "FunctionalTensorMode": "torch.export or AOTAutograd",
    "FakeTensorMode": "a FakeTensorMode",
}
"""torch's modes that record or replace operations, by their classes' names: what is not imported is not on."""
TRACED = {"FakeTensor": "a FakeTensorMode", "FunctionalTensor": "torch.export or AOTAutograd"}


def _modes() -> list[Any]:
    modes: list[Any] = _get_current_dispatch_mode_stack()
    proxies = sys.modules.get("torch.fx.experimental.proxy_tensor")
    # torch.export's stand below the ordinary ones.
    return modes if proxies is None else [*modes, proxies.get_proxy_mode()]


def tracer(tensors: Sequence[torch.Tensor]) -> str | None:
    """What records the operations on ``tensors`` at the moment, or None."""
    if torch.jit.is_tracing():
        return "torch.jit.trace"
    for things, names in ((_modes(), TRACERS), (tensors, TRACED)):
        for thing in things:
            for kind in type(thing).__mro__:
                if kind.__name__ in names:
                    return names[kind.__name__]
    return None


def outside_compiled_graphs(function: Callable[..., Any]) -> Callable[..., Any]:
    """``torch.compiler.disable``, which loads torch's compiler (70 MB), but only where that is loaded already."""
    kept: list[Callable[..., Any]] = []

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not kept:
            kept.append(torch.compiler.disable(function))
        return kept[0](*args, **kwargs)

    return called


def refuse_tracing(tensors: Sequence[torch.Tensor]) -> None:
    """Raise InputError where the image would become a constant of a traced graph."""
    by = tracer(tensors)
    if by is not None:
        raise InputError(
            f"the image cannot be traced by {by}: the graph would hold it and its derivatives as constants; "
            "take torch.func.jvp, jacfwd or vjp in place of linearize, and trace what is before and behind the image"
        )
