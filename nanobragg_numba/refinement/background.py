"""Smooth background under spots, linear in its coefficients and therefore solved, not searched for: planes a box, or rings a shot."""

from typing import Any

import torch

from nanobragg_numba.errors import InputError

Tensor = torch.Tensor
WORST_CONDITION = 1e10
"""Of a box's normal equations, coordinates being scaled to -1 to 1."""


def plane_basis(index: Tensor, boxes: Tensor, terms: int = 3) -> Tensor:
    """(pixels, terms): 1, slow, fast of each pixel, scaled to -1 to 1 over its box.

    ``index`` (pixels, 3): shot, slow, fast, as ``Shoeboxes.index``. ``boxes`` (pixels,) whole numbers from 0: the box of each pixel.
    ``terms``: 1 for a constant, 3 for a plane. Raises InputError for other numbers of terms.
    """
    if terms not in (1, 3):
        raise InputError(f"plane_basis: terms must be 1 (constant) or 3 (plane), not {terms!r}")
    ones = torch.ones(len(index), 1, dtype=torch.float64)
    if terms == 1 or len(index) == 0:
        return ones.expand(-1, terms)
    places, count = index[:, 1:].double(), int(boxes.max()) + 1
    rows = boxes[:, None].expand(-1, 2)
    low = torch.full((count, 2), torch.inf, dtype=torch.float64).scatter_reduce(0, rows, places, "amin")
    high = torch.full((count, 2), -torch.inf, dtype=torch.float64).scatter_reduce(0, rows, places, "amax")
    half = ((high - low) / 2.0).clamp(min=0.5)
    return torch.cat([ones, (places - ((high + low) / 2.0)[boxes]) / half[boxes]], 1)


def radial_basis(radius: Tensor, knots: Tensor) -> Tensor:
    """(pixels, knots): piecewise linear in the ``radius`` (pixels,) between ``knots``, which must grow; constant beyond the ends."""
    if knots.ndim != 1 or len(knots) < 2 or not bool((knots.diff() > 0.0).all()):
        raise InputError("radial_basis: knots must be two numbers or more, each larger than the one before")
    inside = radius.clamp(knots[0], knots[-1])
    left = torch.searchsorted(knots, inside.contiguous(), right=True).clamp(1, len(knots) - 1) - 1
    share = (inside - knots[left]) / (knots[left + 1] - knots[left])
    basis = torch.zeros(len(radius), len(knots), dtype=radius.dtype)
    rows = torch.arange(len(radius))
    basis[rows, left] = 1.0 - share
    basis[rows, left + 1] += share
    return basis


def solve_background(values: Tensor, weights: Any, basis: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients (boxes, terms) and background (pixels,): in each box the least squares of ``weights`` (values - basis c)^2.

    ``values`` (pixels,): what is left for the background, measured less modelled photons; with a further axis (pixels, n) each column is
    solved by itself, and the results have that axis last. ``weights`` (pixels,): inverse variances; 0 leaves a pixel out. ``basis``
    (pixels, terms), ``boxes`` (pixels,): whole numbers from 0. Batched normal equations, differentiable in values, weights and basis.
    Raises InputError where a box has too few good pixels for its terms.
    """
    weights = torch.as_tensor(weights, dtype=values.dtype)
    count, terms = (int(boxes.max()) + 1 if len(boxes) else 0), basis.shape[1]
    columns = values if values.ndim == 2 else values[:, None]
    if not len(values) == len(weights) == len(basis) == len(boxes):
        raise InputError(f"solve_background: {len(values)} values, {len(weights)} weights, {len(basis)} rows of basis, {len(boxes)} boxes")
    weighted = basis * weights[:, None]
    normal = _summed(weighted[:, :, None] * basis[:, None, :], boxes, count)
    right = _summed(weighted[:, :, None] * columns[:, None, :], boxes, count)
    # Scaled to a diagonal of 1, so that the condition tells of the pixels' places and not of their weights.
    diagonal = torch.diagonal(normal, dim1=1, dim2=2)
    scale = diagonal.clamp(min=torch.finfo(values.dtype).tiny).rsqrt()
    scaled = normal * scale[:, :, None] * scale[:, None, :]
    bad = torch.linalg.eigvalsh(scaled.detach())[:, 0] < 1.0 / WORST_CONDITION if count else torch.zeros(0, dtype=torch.bool)
    if bool(bad.any()):
        raise InputError(f"solve_background: box {int(bad.nonzero()[0])} has too few good pixels for {terms} terms")
    coefficients = scale[:, :, None] * torch.linalg.solve(scaled, scale[:, :, None] * right)
    background = (basis[:, :, None] * coefficients[boxes]).sum(1)
    return (coefficients, background) if values.ndim == 2 else (coefficients[..., 0], background[:, 0])


def _summed(rows: Tensor, boxes: Tensor, count: int) -> Tensor:
    return torch.zeros(count, *rows.shape[1:], dtype=rows.dtype).index_add(0, boxes, rows)


def solvable(weights: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    """(boxes,) bool: those with good pixels enough for their terms."""
    count = int(boxes.max()) + 1 if len(boxes) else 0
    kept = (weights > 0.0).to(basis.dtype)
    normal = _summed((basis * kept[:, None])[:, :, None] * basis[:, None, :], boxes, count)
    scale = torch.diagonal(normal, dim1=1, dim2=2).clamp(min=1e-12).rsqrt()
    least = torch.linalg.eigvalsh(normal * scale[:, :, None] * scale[:, None, :])[:, 0] if count else torch.zeros(0)
    return least > 1e-6
