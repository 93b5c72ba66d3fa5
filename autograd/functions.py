"""The image as a torch function of its parameters: value, J^T g, J v, and the derivative of J^T g.

Four functions, each computed on plain numbers and opaque to torch: ``Image``; ``Pullback`` (J^T g); ``Pushforward`` (J v for K directions
at once); ``Curvature``, the gradient of <g, J v>. Each one's derivatives are the others, so ``torch.func`` may nest them: reverse over
reverse, forward over reverse and reverse over forward. Third derivatives are refused, but ``Curvature`` is linear in v and
symmetric, so that torch's double backward, which differentiates by v, goes through it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from nanobragg_numba.errors import InputError

from .batched_gradients import member_by_member
from .many_shots import ShotScene
from .scene import Scene as OneScene

Tensor = torch.Tensor
Scene = OneScene | ShotScene


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


def _all_members(info: Any, in_dims: tuple[Any, ...], args: tuple[Any, ...]) -> tuple[ShotScene, list[Tensor]] | None:
    """For members that are shots: their scene, and the other arguments, each with an axis of members; None for one by one."""
    scene = args[0].for_members(info.batch_size) if info.batch_size else None
    if scene is None:
        return None
    members = [
        arg.expand(info.batch_size, *arg.shape) if dim is None else arg.movedim(dim, 0)
        for arg, dim in zip(args[1:], in_dims[1:], strict=True)
    ]
    return scene, members


class Image(torch.autograd.Function):
    """(scene, *tensors) -> image, places: (slow, fast) and (2,), or what ``ShotScene`` says."""

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
        """The images of all members."""
        at_once = _all_members(info, in_dims, args)
        if at_once is None:
            return _one_by_one(Image, info, in_dims, args)
        scene, tensors = at_once
        image, places = Image.apply(scene, *tensors)
        # Of regions the members' pixels are one behind the other.
        return (image.reshape(info.batch_size, -1) if scene.regions is not None else image, places.unsqueeze(1)), (0, 0)


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
        return _like(scene.pull(grad, places, tensors), tensors)

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
        """The gradients of all members."""
        at_once = _all_members(info, in_dims, args)
        if at_once is None:
            return _one_by_one(Pullback, info, in_dims, args)
        scene, (grad, places, *tensors) = at_once
        gradients = Pullback.apply(scene, grad.reshape(-1) if scene.regions is not None else grad, places.squeeze(1), *tensors)
        return gradients, (0,) * len(gradients)


class Pushforward(torch.autograd.Function):
    """(scene, places, *tensors, *tangents) -> J v (K, slow, fast); tangents have a leading axis for the K directions."""

    @staticmethod
    @member_by_member
    def forward(scene: Scene, places: Tensor, *args: Tensor) -> Any:
        """Forward through the host formulas, then the tangent kernel, all directions in one pass."""
        n = len(scene.names)
        return scene.push(places, args[:n], args[n:])

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
        return _like(scene.bend(grad, places, args[:n], args[n:]), args[:n])

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
