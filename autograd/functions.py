"""The image as a torch function of its parameters: value, J^T g, J v, and the derivative of J^T g.

Four functions, each computed on plain numbers and opaque to torch: ``Image``; ``Pullback`` (J^T g); ``Pushforward`` (J v for K directions
at once); ``Curvature``, the gradient of <g, J v>. Each one's derivatives are the others, so ``torch.func`` may nest them: reverse over
reverse, forward over reverse and reverse over forward. Third derivatives are refused, but ``Curvature`` is linear in v and
symmetric, so that torch's double backward, which differentiates by v, goes through it.
"""

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

from .batched_gradients import member_by_member
from .chain import flat_variables
from .effects import remark_on_zeros
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
        return self.grad(self.outputs, self.leaves, bars, create_graph)

    @staticmethod
    def grad(outputs: list[Tensor], inputs: list[Tensor], bars: list[Tensor], create_graph: bool) -> list[Tensor]:
        """``torch.autograd.grad``, with zeros for what the outputs do not depend on."""
        reached = [(output, bar) for output, bar in zip(outputs, bars, strict=True) if output.requires_grad]
        if not reached:
            return [torch.zeros_like(leaf) for leaf in inputs]
        ends, gradients = zip(*reached, strict=True)
        grads = torch.autograd.grad(ends, inputs, gradients, retain_graph=True, create_graph=create_graph, allow_unused=True)
        return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(inputs, grads, strict=True)]

    def forth(self, directions: Sequence[Sequence[Tensor]]) -> list[tuple[np.ndarray, Tensor | None]]:
        """Changes of variables and structure factors along each of the ``directions``, tangents of the leaves: the gradient's gradient,
        which is linear, so that one pass serves them all."""
        bars = [torch.zeros_like(output).requires_grad_() for output in self.outputs]
        pulled = self.grad(self.outputs, self.leaves, bars, create_graph=True)
        count, ends, moved = len(directions), [], []
        for end, leaf, tangents in zip(pulled, self.leaves, zip(*directions, strict=True), strict=True):
            if end.requires_grad:
                ends.append(end)
                moved.append(torch.stack([tangent.detach().to(leaf.device, torch.float64) for tangent in tangents]))
        found = torch.autograd.grad(ends, bars, moved, is_grads_batched=True, allow_unused=True) if ends else [None] * len(bars)
        changes = [
            torch.zeros(count, *bar.shape, dtype=bar.dtype, device=bar.device) if change is None else change
            for bar, change in zip(bars, found, strict=True)
        ]
        return [(changes[0][k].numpy(), changes[1][k] if len(changes) > 1 else None) for k in range(count)]


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


def _like(gradients: Sequence[Tensor], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(gradient.to(tensor.device, tensor.dtype) for gradient, tensor in zip(gradients, tensors, strict=True))


def _one_by_one(function: Any, info: Any, in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[Any, Any]:
    """Batching rule: one call for each member, results stacked."""
    if info.batch_size == 0:
        raise InputError("vmap over no members")
    results = []
    for member in range(info.batch_size):
        picked = [arg if dim is None else arg.select(dim, member) for arg, dim in zip(args, in_dims, strict=True)]
        results.append(function.apply(*picked))
    if isinstance(results[0], tuple):
        return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), (0,) * len(results[0])
    return torch.stack(results), 0


class Image(torch.autograd.Function):
    """(scene, *tensors) -> image (slow, fast), places (2,)."""

    @staticmethod
    def forward(scene: Scene, *tensors: Tensor) -> Any:
        """The kernel's image."""
        return scene.image(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the parameters: nothing of the image's size is stored."""
        scene, *tensors = inputs
        _, places = output
        ctx.scene = scene
        ctx.mark_non_differentiable(places)
        ctx.save_for_backward(places, *tensors)
        ctx.save_for_forward(places, *tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Any) -> Any:
        """J^T g."""
        places, *tensors = ctx.saved_tensors
        return (None, *Pullback.apply(ctx.scene, grad, places, *tensors))

    @staticmethod
    def jvp(ctx: Any, _: Any, *tangents: Any) -> Any:
        """J v."""
        places, *tensors = ctx.saved_tensors
        return _push(ctx.scene, places, tensors, tangents), None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """One image for each member."""
        return _one_by_one(Image, info, in_dims, args)


def _push(scene: Scene, places: Tensor, tensors: Sequence[Tensor], tangents: Sequence[Any]) -> Tensor:
    changes = (change.unsqueeze(0) for change in _filled(tangents, tensors))
    return Pushforward.apply(scene, places, *tensors, *changes).squeeze(0)  # type: ignore[no-any-return]


def _filled(changes: Sequence[Any], tensors: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(t) if change is None else change for change, t in zip(changes, tensors, strict=True)]


class Pullback(torch.autograd.Function):
    """(scene, g, places, *tensors) -> J^T g, one gradient for each tensor."""

    @staticmethod
    @member_by_member
    def forward(scene: Scene, grad: Tensor, places: Tensor, *tensors: Tensor) -> Any:
        """The adjoint kernel, then back through the host formulas."""
        graph = graph_at(scene, tensors, places, scene.place)
        bars = differentiate.adjoint(graph.run, *graph.values, scene.place.array(grad), scene.place.kernels, graph.factors is not None)
        gradients = graph.back(*bars)
        remark_on_zeros(dict(zip(scene.names, gradients, strict=True)), grad, int(graph.run.computed.sum()))
        return _like(gradients, tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the inputs."""
        scene, *tensors = inputs
        ctx.scene = scene
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *changes: Any) -> Any:
        """Linear in g; the Hessian's product with the changes in the tensors."""
        grad, places, *tensors = ctx.saved_tensors
        changes = tuple(_filled(changes, tensors))
        by_grad = _push(ctx.scene, places, tensors, changes) if ctx.needs_input_grad[1] else None
        return (None, by_grad, None, *_bent(ctx.scene, grad, places, tensors, changes))

    @staticmethod
    def jvp(ctx: Any, _: Any, grad_dot: Any, __: Any, *changes: Any) -> Any:
        """The same derivatives, forward."""
        grad, places, *tensors = ctx.saved_tensors
        total = list(_bent(ctx.scene, grad, places, tensors, _filled(changes, tensors)))
        if grad_dot is not None:
            total = [a + b for a, b in zip(total, Pullback.apply(ctx.scene, grad_dot, places, *tensors), strict=True)]
        return tuple(total)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """One pass for each member."""
        return _one_by_one(Pullback, info, in_dims, args)


class Pushforward(torch.autograd.Function):
    """(scene, places, *tensors, *tangents) -> J v (K, slow, fast); tangents have a leading axis for the K directions."""

    @staticmethod
    @member_by_member
    def forward(scene: Scene, places: Tensor, *args: Tensor) -> Any:
        """Forward through the host formulas, then the tangent kernel, all directions in one pass."""
        n = len(scene.names)
        tensors, tangents = args[:n], args[n:]
        place = scene.place
        graph = graph_at(scene, tensors, places, place)
        changes = graph.forth([[t[k] for t in tangents] for k in range(len(tangents[0]))])
        tables = [factors for _, factors in changes if factors is not None]
        factors_dot = place.array(torch.stack(tables)) if tables else None
        images = differentiate.tangent(graph.run, *graph.values, np.stack([flat for flat, _ in changes]), factors_dot, place.kernels)
        return torch.cat([place.tensor(image) for image in images]).to(scene.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the inputs."""
        scene, *tensors = inputs
        ctx.scene = scene
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grads: Tensor) -> Any:
        """Linear in the tangents; the Hessian's product with each in the tensors."""
        places, *args = ctx.saved_tensors
        n = len(ctx.scene.names)
        tensors, tangents = args[:n], args[n:]
        by_tensors: list[Tensor] = [torch.zeros_like(t) for t in tensors]
        by_tangents = []
        for k in range(len(grads)):
            second = _bent(ctx.scene, grads[k], places, tensors, [t[k] for t in tangents])
            by_tensors = [a + b for a, b in zip(by_tensors, second, strict=True)]
            by_tangents.append(Pullback.apply(ctx.scene, grads[k], places, *tensors))
        return (None, None, *by_tensors, *(torch.stack(parts) for parts in zip(*by_tangents, strict=True)))

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> Any:
        """Not available."""
        raise NotImplementedError("forward over forward is not available: take jacfwd of jacrev, or jacrev twice")

    @staticmethod
    def vmap(info: Any, in_dims: Any, scene: Scene, *args: Any) -> Any:
        """Tangents alone batched (as in ``jacfwd``): all in one pass; otherwise one by one."""
        n = len(scene.names) + 1
        dims = in_dims[1:]
        if any(dim is not None for dim in dims[:n]):
            return _one_by_one(Pushforward, info, in_dims, (scene, *args))
        tangents = [
            arg.unsqueeze(0).expand(info.batch_size, *arg.shape) if dim is None else arg.movedim(dim, 0)
            for arg, dim in zip(args[n:], dims[n:], strict=True)
        ]
        images = Pushforward.apply(scene, *args[:n], *(t.flatten(0, 1) for t in tangents))
        return images.unflatten(0, (info.batch_size, -1)), 0


class _SecondOrderOnly(torch.autograd.Function):
    """A tensor as it is, which may not be differentiated by: the other inputs of a second derivative than its direction."""

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        """The same values."""
        return tensor.view_as(tensor)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep."""

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Not available."""
        raise NotImplementedError("third derivatives of an image are not available")

    @staticmethod
    def jvp(ctx: Any, change: Any) -> Any:
        """Not available."""
        raise NotImplementedError("third derivatives of an image are not available")

    @staticmethod
    def vmap(info: Any, in_dims: Any, tensor: Tensor) -> Any:
        """All members at once."""
        return _SecondOrderOnly.apply(tensor), in_dims[0]


def _bent(scene: Scene, grad: Tensor, places: Tensor, tensors: Sequence[Tensor], changes: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradient of <g, J v>; torch may go on to differentiate by v, and is stopped on its way to g and the tensors, if it takes it."""
    held = [_SecondOrderOnly.apply(tensor) for tensor in (grad, *tensors)]
    return Curvature.apply(scene, held[0], places, *held[1:], *changes)  # type: ignore[no-any-return]


class Curvature(torch.autograd.Function):
    """(scene, g, places, *tensors, *v) -> the gradient of <g, J v> with respect to each tensor."""

    @staticmethod
    @member_by_member
    def forward(scene: Scene, grad: Tensor, places: Tensor, *args: Tensor) -> Any:
        """The kernel's second derivative by the complex step, and that of the host formulas by torch."""
        n = len(scene.names)
        tensors, changes = args[:n], [change.detach().to("cpu", torch.float64) for change in args[n:]]
        # Complex numbers are the CPU's.
        graph = graph_at(scene, tensors, places, CPU)
        g = CPU.array(grad.cpu())
        bars = differentiate.adjoint(graph.run, *graph.values, g, CPU.kernels, graph.factors is not None)
        ((flat_dot, factors_dot),) = graph.forth([changes])
        table_dot = None if factors_dot is None else factors_dot.numpy()
        second = differentiate.adjoint_tangent(graph.run, *graph.values, g, flat_dot, table_dot, CPU.kernels)
        total = graph.back(*second)
        first = graph.back(*bars, create_graph=True)
        # Through the host formulas at the kernel's gradient, which is held: the rest is in ``second``.
        bent = Graph.grad(first, graph.leaves, changes, create_graph=False)
        return _like([a + b for a, b in zip(total, bent, strict=True)], tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep the inputs but v."""
        scene, grad, places, *args = inputs
        ctx.scene = scene
        ctx.save_for_backward(grad, places, *args[: len(scene.names)])
        ctx.save_for_forward(grad, places, *args[: len(scene.names)])

    @staticmethod
    def backward(ctx: Any, *changes: Any) -> Any:
        """By v: the second derivative is symmetric. What lies behind g and the tensors refuses to go on (``_SecondOrderOnly``)."""
        grad, places, *tensors = ctx.saved_tensors
        return (None, None, None, *(None for _ in tensors), *Curvature.apply(ctx.scene, grad, places, *tensors, *_filled(changes, tensors)))

    @staticmethod
    def jvp(ctx: Any, _: Any, __: Any, ___: Any, *changes: Any) -> Any:
        """By v, in which it is linear."""
        grad, places, *tensors = ctx.saved_tensors
        return Curvature.apply(ctx.scene, grad, places, *tensors, *_filled(changes[len(tensors) :], tensors))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """One pass for each member."""
        return _one_by_one(Curvature, info, in_dims, args)
