"""Parameters that are torch tensors, seen without importing torch."""

import sys
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

_T = TypeVar("_T")


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor; nothing is one while torch is not loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensors_of(**named: Any) -> dict[str, Any]:
    """The tensors among the values, in tuples and in the fields of dataclasses, by name."""
    found: dict[str, Any] = {}
    for name, value in named.items():
        if is_tensor(value):
            found[name] = value
        elif isinstance(value, tuple):
            found |= tensors_of(**{f"{name}[{i}]": part for i, part in enumerate(value)})
        elif hasattr(value, "__dataclass_fields__"):
            found |= tensors_of(**{f"{name}.{f.name}": getattr(value, f.name) for f in fields(value)})
    return found


def values_of(value: Any) -> np.ndarray | None:
    """A copy of the numbers as a float64 array, for a check; None where a tensor has none to look at (device "meta")."""
    if is_tensor(value):
        return None if value.is_meta else value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64)


def _move(value: Any, device: Any, dtype: Any) -> Any:
    if is_tensor(value):
        return value.to(device=device, dtype=dtype if value.is_floating_point() else None)
    return tuple(_move(part, device, dtype) for part in value) if isinstance(value, tuple) else value


def moved(parameters: _T, device: Any, dtype: Any) -> _T:
    """A copy of a dataclass with its tensors on ``device`` and, where they are floating point, in ``dtype``."""
    changed = {f.name: _move(getattr(parameters, f.name), device, dtype) for f in fields(parameters)}  # type: ignore[arg-type]
    return replace(parameters, **changed)  # type: ignore[type-var]
