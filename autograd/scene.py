"""One image at given tensors: its value, gradient, changes and second derivatives, on plain numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from nanobragg_numba.derivatives import differentiate
from nanobragg_numba.derivatives.differentiate import Rendered
from nanobragg_numba.engine.regions import computed_pixels
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Compat, Parameters

from .chain import flat_variables
from .effects import remark_on_zeros
from .graphs import pulled, pushed
from .listed_reflections import all_listed
from .overrides import plain_values, replaced
from .places import CPU, Place
from .tracing import refuse_tracing

Tensor = torch.Tensor


@dataclass(frozen=True)
class Scene:
    """What stays the same: the parameters, the names of those that tensors replace, in order, mode, dtype and device of the image."""

    parameters: Parameters
    names: tuple[str, ...]
    compat: Compat
    dtype: torch.dtype
    place: Place
    pixels: np.ndarray | None = None
    """(slow, fast) bool: the only ones that are asked for; None: all."""
    last: list[Any] = field(default_factory=list, compare=False, repr=False)
    """The values and the experiment last asked for."""

    def experiment(self, tensors: Sequence[Tensor]) -> Any:
        """The experiment at the tensors' values. Raises InputError while torch traces."""
        refuse_tracing(tensors)
        arrays = [tensor.detach().cpu().numpy() for tensor in tensors]
        # Derivatives ask for that of the image again.
        if self.last and all(map(np.array_equal, self.last[0], arrays)):
            return self.last[1]
        values = plain_values(dict(zip(self.names, tensors, strict=True)))
        experiment = derive_experiment(replaced(self.parameters, values, self.compat), self.compat)
        if self.pixels is not None:
            require_same_shape(self.pixels.shape, experiment)
            experiment = replace(experiment, mask=self.pixels if experiment.mask is None else self.pixels & experiment.mask)
        self.last[:] = [[array.copy() for array in arrays], experiment]
        return experiment

    def image(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The image, and the two pixels whose place the derivatives must know (see ``Rendered``)."""
        experiment = self.experiment(tensors)
        if "default_F" in self.names and all_listed(experiment):
            raise InputError(
                "default_F has no effect: every reflection of the image lies inside the list of structure factors, "
                "where those missing took theirs when it was read"
            )
        return self.place.image(experiment, self.dtype)

    def rendered(self, tensors: Sequence[Tensor], places: Tensor) -> Rendered:
        """What the derivative kernels need."""
        first, leaving = places.tolist()
        experiment = self.experiment(tensors)
        return Rendered(experiment, computed_pixels(experiment), first, leaving)

    def pull(self, grad: Tensor, places: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """J^T g, one gradient for each tensor: the adjoint kernel, then back through the host formulas."""
        graph = graph_at(self, tensors, places, self.place)
        bars = differentiate.adjoint(graph.run, *graph.values, self.place.array(grad), self.place.kernels, graph.factors is not None)
        gradients = graph.back(*bars)
        remark_on_zeros(dict(zip(self.names, gradients, strict=True)), grad, int(graph.run.computed.sum()))
        return gradients

    def push(self, places: Tensor, tensors: Sequence[Tensor], tangents: Sequence[Tensor]) -> Tensor:
        """J v (K, slow, fast): forward through the host formulas, then the tangent kernel, all directions in one pass."""
        place = self.place
        graph = graph_at(self, tensors, places, place)
        changes = graph.forth([[t[k] for t in tangents] for k in range(len(tangents[0]))])
        tables = [factors for _, factors in changes if factors is not None]
        factors_dot = place.array(torch.stack(tables)) if tables else None
        images = differentiate.tangent(graph.run, *graph.values, np.stack([flat for flat, _ in changes]), factors_dot, place.kernels)
        return torch.cat([place.tensor(image) for image in images]).to(self.dtype)

    def bend(self, grad: Tensor, places: Tensor, tensors: Sequence[Tensor], changes: Sequence[Tensor]) -> list[Tensor]:
        """The gradient of <g, J v>: the kernel's second derivative by the complex step, and that of the host formulas by torch."""
        changes = [change.detach().to("cpu", torch.float64) for change in changes]
        # Complex numbers are the CPU's.
        graph = graph_at(self, tensors, places, CPU)
        g = CPU.array(grad.cpu())
        bars = differentiate.adjoint(graph.run, *graph.values, g, CPU.kernels, graph.factors is not None)
        ((flat_dot, factors_dot),) = graph.forth([changes])
        table_dot = None if factors_dot is None else factors_dot.numpy()
        second = differentiate.adjoint_tangent(graph.run, *graph.values, g, flat_dot, table_dot, CPU.kernels)
        total = graph.back(*second)
        first = graph.back(*bars, create_graph=True)
        # Through the host formulas at the kernel's gradient, which is held: the rest is in ``second``.
        bent = pulled(first, graph.leaves, changes)
        return [a + b for a, b in zip(total, bent, strict=True)]

    def for_members(self, count: int) -> None:
        """No scene for all members of a vmap at once."""


@dataclass(frozen=True)
class Graph:
    """The way from tensors to the kernels' variables, at one point."""

    leaves: list[Tensor]
    flat: Tensor
    factors: Tensor | None
    run: Rendered
    place: Place

    @property
    def values(self) -> tuple[np.ndarray, np.ndarray]:
        """Variables and structure factors, as the forward image used them."""
        return np.concatenate(self.run.variables), self.run.factors

    @property
    def outputs(self) -> list[Tensor]:
        """The tensors of the graph's end."""
        return [self.flat] if self.factors is None else [self.flat, self.factors]

    def back(self, flat_bar: np.ndarray, factors_bar: Any, create_graph: bool = False) -> list[Tensor]:
        """Gradients with respect to the leaves."""
        bars = [torch.from_numpy(flat_bar), *(self.place.tensor(factors_bar) for _ in self.outputs[1:])]
        return pulled(self.outputs, self.leaves, bars, create_graph)

    def forth(self, directions: Sequence[Sequence[Tensor]]) -> list[tuple[np.ndarray, Tensor | None]]:
        """Changes of variables and structure factors along each of the ``directions``, tangents of the leaves."""
        by_leaf = [
            torch.stack([change.detach().to(leaf.device, torch.float64) for change in changes])
            for leaf, changes in zip(self.leaves, zip(*directions, strict=True), strict=True)
        ]
        changes = pushed(self.outputs, self.leaves, by_leaf)
        return [(changes[0][k].numpy(), changes[1][k] if len(changes) > 1 else None) for k in range(len(directions))]


def graph_at(scene: Scene, tensors: Sequence[Tensor], places: Tensor, place: Place) -> Graph:
    """The graph from fresh leaves with the tensors' values, for kernels of that place: the table of structure factors is there, and all
    else, which is few numbers, on the CPU."""
    with torch.enable_grad():
        leaves = []
        for name, tensor in zip(scene.names, tensors, strict=True):
            stays = name == "structure_factors" and place is not CPU
            leaves.append(tensor.detach().to(tensor.device if stays else "cpu", torch.float64).requires_grad_())
        run = scene.rendered(tensors, places)
        try:
            flat, factors = flat_variables(scene.parameters, run.experiment, dict(zip(scene.names, leaves, strict=True)))
        except ZeroDivisionError:
            raise InputError(f"no derivative at these values of {', '.join(scene.names)}: a formula divides by zero there") from None
    return Graph(leaves, flat, factors, run, place)


def require_same_shape(shape: tuple[int, ...], experiment: Any) -> None:
    """Raise InputError where the image is not of the ``shape`` on which regions were drawn."""
    found = (experiment.geometry.slow_pixels, experiment.geometry.fast_pixels)
    if found != tuple(shape):
        raise InputError(
            f"regions are of an image of {tuple(shape)} pixels (slow, fast), and with this pixel_size_mm it has {found}: "
            "give the number of pixels (-detpixels) in place of the detector's size"
        )
