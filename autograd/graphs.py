"""Through a graph of torch's own: gradients back, and, by the gradient's gradient, changes forth."""

from collections.abc import Sequence

import torch

Tensor = torch.Tensor


def pulled(outputs: Sequence[Tensor], inputs: Sequence[Tensor], bars: Sequence[Tensor], create_graph: bool = False) -> list[Tensor]:
    """``torch.autograd.grad``, with zeros for what the outputs do not depend on."""
    reached = [(output, bar) for output, bar in zip(outputs, bars, strict=True) if output.requires_grad]
    if not reached:
        return [torch.zeros_like(leaf) for leaf in inputs]
    ends, gradients = zip(*reached, strict=True)
    grads = torch.autograd.grad(ends, inputs, gradients, retain_graph=True, create_graph=create_graph, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(inputs, grads, strict=True)]


def pushed(outputs: Sequence[Tensor], leaves: Sequence[Tensor], changes: Sequence[Tensor]) -> list[Tensor]:
    """Changes (K, ...) of the outputs from those of the leaves: the gradient's gradient, which is linear, so that one pass serves all K
    directions."""
    bars = [torch.zeros_like(output).requires_grad_() for output in outputs]
    back = pulled(outputs, leaves, bars, create_graph=True)
    reached = [(end, moved) for end, moved in zip(back, changes, strict=True) if end.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(bars)
    if reached:
        ends, moved = zip(*reached, strict=True)
        found = torch.autograd.grad(ends, bars, moved, is_grads_batched=True, allow_unused=True)
    count = len(changes[0]) if len(changes) else 0
    return [
        torch.zeros(count, *bar.shape, dtype=bar.dtype, device=bar.device) if change is None else change
        for bar, change in zip(bars, found, strict=True)
    ]
