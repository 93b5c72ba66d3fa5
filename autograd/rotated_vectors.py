"""The lattice at every phi step and mosaic domain as differentiable tensors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nanobragg_numba.angles import RTD
from nanobragg_numba.crystal import axes_from_matrix, axes_in_default_orientation
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment import generator_seed
from nanobragg_numba.mosaic import mosaic_turns, random_missetting, seeded_rotations
from nanobragg_numba.parameters import Compat, Crystal
from nanobragg_numba.random_numbers import new_state, reseed
from nanobragg_numba.rotated_vectors import RotatedVectors
from nanobragg_numba.sampling import mosaic_steps
from nanobragg_numba.tensors import is_tensor
from nanobragg_numba.vectors import cross, dot, scale, turn

Tensor = torch.Tensor
Triple = tuple[Tensor, Tensor, Tensor]
X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


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


def _length(v: Triple) -> Tensor:
    return torch.sqrt(dot(v, v))  # type: ignore[arg-type]


def _axes_from_cell(cell: Tensor, compat: Compat) -> tuple[tuple[Any, Any, Any], tuple[Tensor, Tensor, Tensor], Tensor]:
    """Reciprocal axes in the default orientation, edges, volume; ``cell``: (6,) A and degrees, zeros as in ``Crystal.cell``."""
    a = cell[0]
    b, c = (torch.where(edge <= 0.0, a, edge) for edge in cell[1:3])
    alpha, beta, gamma = torch.where(cell[3:] <= 0.0, math.pi / 2, cell[3:] / RTD)
    half = (alpha + beta + gamma) / 2
    skew = torch.sin(half) * torch.sin(half - alpha) * torch.sin(half - beta) * torch.sin(half - gamma)
    if not skew.is_meta and not bool((skew > 1e-12) & (a > 0.0)):
        raise InputError(f"the cell {' '.join(f'{value:g}' for value in cell.tolist())} is no unit cell: it encloses no volume")
    volume = 2.0 * a * b * c * torch.sqrt(skew)
    v_star = 1.0 / volume
    sines = torch.sin(alpha), torch.sin(beta), torch.sin(gamma)
    cosines = torch.cos(alpha), torch.cos(beta), torch.cos(gamma)
    a_s, b_s, c_s = b * c * sines[0] * v_star, c * a * sines[1] * v_star, a * b * sines[2] * v_star
    sin_g = c * v_star / a_s / b_s
    star_cosines = (
        (cosines[1] * cosines[2] - cosines[0]) / (sines[1] * sines[2]),
        (cosines[2] * cosines[0] - cosines[1]) / (sines[2] * sines[0]),
        (cosines[0] * cosines[1] - cosines[2]) / (sines[0] * sines[1]),
    )
    c_z = c_s * volume / (a * b * c * sin_g) if compat == "c" else v_star / (a_s * b_s * sin_g)
    return axes_in_default_orientation((a_s, b_s, c_s), star_cosines, sin_g, c_z), (a, b, c), volume


def lattice_tensors(crystal: Crystal, wavelength_A: Any, compat: Compat, like: Any) -> tuple[tuple[Triple, ...], tuple[Triple, ...]]:
    """a, b, c (A) and a*, b*, c* (1/A) at phi = 0: what ``derive_lattice`` computes, each axis a tuple of three 0-d tensors."""
    if crystal.cell is None and crystal.mosflm_matrix is None:
        raise InputError("the crystal has neither a cell nor a matrix (-cell or -mat)")
    edges = None
    if crystal.cell is not None and (crystal.mosflm_matrix is None or crystal.cell[0] > 0.0):
        stars, edges, volume = _axes_from_cell(like(crystal.cell), compat)
    if crystal.mosflm_matrix is not None:
        stars = axes_from_matrix(like(crystal.mosflm_matrix), like(wavelength_A) / 1e10)
    misset = crystal.misset_deg
    if isinstance(misset, str):
        state = new_state()
        reseed(state, generator_seed(crystal.misset_seed))
        radians = like(random_missetting(state))
    else:
        radians = None if misset is None else like(misset) / RTD
    if radians is not None:
        for axis, angle in zip((X, Y, Z), radians, strict=True):
            sine, cosine = torch.sin(angle), torch.cos(angle)
            stars = tuple(turn(star, axis, sine, cosine) for star in stars)  # type: ignore[arg-type, assignment]
    a_star, b_star, c_star = stars
    ab, bc, ca = cross(a_star, b_star), cross(b_star, c_star), cross(c_star, a_star)
    if edges is None:
        volume = 1.0 / dot(a_star, bc)  # type: ignore[assignment]
    else:
        # A cell sets lengths and volume even where a matrix gives the orientation, as in the reference.
        bc, ca, ab = (scale(x, edge / volume / _length(x)) for x, edge in zip((bc, ca, ab), edges, strict=True))  # type: ignore
    a, b, c = (scale(x, volume) for x in (bc, ca, ab))  # type: ignore[arg-type]
    v_star = 1.0 / volume
    reciprocal = tuple(scale(x, v_star) for x in (cross(b, c), cross(c, a), cross(a, b)))  # type: ignore[arg-type]
    return (a, b, c), reciprocal  # type: ignore[return-value]


def _domain_turns(crystal: Crystal, like: Any) -> Any:
    """The function that turns a vector, components (phi, 1), into every mosaic domain: components (phi, mosaic).

    Where the spread is a tensor the turns are smooth functions of it, at the kernel's random deviates, and lack only the
    kernel's rounding of each domain's angle to single precision.
    """
    spread, domains, _ = mosaic_steps(crystal.mosaic_spread_deg, crystal.mosaic_domains)
    state = new_state()
    if not is_tensor(spread):
        if not spread > 0.0:
            return lambda v: v
        rows = like(seeded_rotations(spread, domains, crystal.mosaic_seed, state)).reshape(domains, 3, 3)
        return lambda v: tuple(dot(rows[:, i].unbind(-1), v) for i in range(3))
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
    domains = _domain_turns(crystal, like)

    def rotated(axes: tuple[Triple, ...]) -> tuple[Any, Any, Any]:
        a, b, c = (torch.stack(domains(turn(v, axis, sine, cosine)), -1) for v in axes)  # type: ignore[arg-type]
        return a, b, c

    return RotatedVectors(rotated(real), rotated(reciprocal))
