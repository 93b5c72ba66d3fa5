"""The lattice at every phi step and mosaic domain as differentiable tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.crystal import derive_lattice
from nanobragg_numba.experiment.mosaic import crystal_frame, domains_of, gaussian_count, gaussian_points, gaussian_rotations, mosaic_turns
from nanobragg_numba.experiment.parameters import Compat, Crystal, RotatedVectors
from nanobragg_numba.experiment.seeds import generator_seed
from nanobragg_numba.experiment.steps import mosaic_steps
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.maths.torch_values import is_tensor
from nanobragg_numba.maths.vectors3 import dot, turn

from .number import numbers, parts

Tensor = torch.Tensor
Triple = tuple[Tensor, Tensor, Tensor]


class _Like:
    """Makes tensors on the common device, in the widest dtype of those given; what is a tensor stays in its graph."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        (first, tensor), *others = tensors.items()
        self.device, self.dtype = tensor.device, tensor.dtype
        for name, other in others:
            if other.device != self.device:
                raise InputError(f"{first} is on {self.device} and {name} on {other.device}: move them to one device")
            self.dtype = torch.promote_types(self.dtype, other.dtype)
        if not self.dtype.is_floating_point:
            self.dtype = torch.get_default_dtype()

    def __call__(self, value: Any) -> Tensor:
        if is_tensor(value):
            return value.to(self.dtype)
        if isinstance(value, (tuple, list)) and any(is_tensor(part) for part in value):
            return torch.stack([self(part) for part in value])
        return torch.as_tensor(value, dtype=self.dtype, device=self.device)


def lattice_tensors(crystal: Crystal, wavelength_A: Any, compat: Compat, like: Any) -> tuple[tuple[Triple, ...], tuple[Triple, ...]]:
    """a, b, c (A) and a*, b*, c* (1/A) at phi = 0, each axis a tuple of three 0-d tensors: ``derive_lattice`` on numbers with
    derivatives."""
    fields = ("cell", "mosflm_matrix", "real_space_matrix", "orientation", "misset_deg")
    given = {name: getattr(crystal, name) for name in fields}
    changes = {name: numbers(like(value)) for name, value in given.items() if value is not None and not isinstance(value, str)}
    state = new_state()
    reseed(state, generator_seed(crystal.misset_seed or 0))
    wavelength = 1e-10 if wavelength_A is None else numbers(like(wavelength_A)) / 1e10
    lattice = derive_lattice(replace(crystal, **changes), wavelength, state, compat)  # type: ignore[arg-type]

    def triple(axis: Any) -> Triple:
        x, y, z = (like(parts(component)[1]) for component in axis)
        return x, y, z

    real, reciprocal = (lattice.a, lattice.b, lattice.c), (lattice.a_star, lattice.b_star, lattice.c_star)
    return tuple(map(triple, real)), tuple(map(triple, reciprocal))


def _turned_by(rotations: Tensor) -> Any:
    return lambda v: tuple(dot(rotations[:, i].unbind(-1), v) for i in range(3))  # type: ignore[arg-type]


def _domain_turns(crystal: Crystal, compat: Compat, like: Any, frame: Callable[[], Any]) -> Any:
    """The function that turns a vector, components (phi, 1), into every mosaic domain: components (phi, mosaic).

    Where the spread is a tensor the turns are smooth functions of it, at the kernel's random deviates; those of
    "c" lack only its rounding of each domain's angle to single precision. ``frame`` makes the ``crystal_frame``.
    """
    if crystal.mosaic_width_deg is not None:
        points = like(gaussian_points(gaussian_count(crystal, compat), crystal.mosaic_seed).copy())
        widths = like(crystal.mosaic_width_deg).reshape(-1)
        rotations = gaussian_rotations(widths, points, lambda: torch.stack([torch.stack(row) for row in frame()]), torch)
        return _turned_by(rotations.reshape(-1, 3, 3))
    if is_tensor(crystal.mosaic_rotations):
        return _turned_by(like(crystal.mosaic_rotations))
    spread, domains, _ = mosaic_steps(crystal.mosaic_spread_deg, crystal.mosaic_domains)
    if not is_tensor(spread):
        _, _, rotations, _ = domains_of(crystal, compat, new_state(), frame)
        return _turned_by(like(rotations).reshape(-1, 3, 3)) if len(rotations) else lambda v: v
    x, y, z, fraction = like(mosaic_turns(domains, crystal.mosaic_seed)).unbind(-1)
    angle = like(spread) * fraction
    return lambda v: turn(v, (x, y, z), torch.sin(angle), torch.cos(angle))  # type: ignore[arg-type]


def rotated_tensors(
    crystal: Crystal, wavelength_A: Any, spindle: Any, angles: Sequence[Any], compat: Compat, tensors: Mapping[str, Tensor]
) -> RotatedVectors:
    """See ``Crystal.rotated_real_vectors``; ``angles``: radians, tensors or floats, one for each phi step."""
    like = _Like(tensors)
    real, reciprocal = lattice_tensors(crystal, wavelength_A, compat, like)
    spindle = like(spindle)
    axis = (spindle / torch.sqrt((spindle * spindle).sum())).unbind(-1)
    angle = like(list(angles))[:, None]
    sine, cosine = torch.sin(angle), torch.cos(angle)
    domains = _domain_turns(crystal, compat, like, lambda: crystal_frame(real[0], reciprocal[2], axis, angle[:, 0].unbind()))

    def rotated(axes: tuple[Triple, ...]) -> tuple[Any, Any, Any]:
        a, b, c = (torch.stack(domains(turn(v, axis, sine, cosine)), -1) for v in axes)  # type: ignore[arg-type]
        return a, b, c

    return RotatedVectors(rotated(real), rotated(reciprocal))
