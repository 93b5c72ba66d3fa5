"""The lattice at every phi step and mosaic domain, as the kernels use it."""

from typing import Any, Literal

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.torch_values import tensors_of
from nanobragg_numba.maths.vectors3 import scale, unit

from .conventions import CONVENTIONS
from .crystal import derive_lattice
from .derive import lattice_orientations
from .modes import mode_of
from .mosaic import crystal_frame, domains_of
from .parameters import Compat, Crystal, RotatedVectors, Sampling
from .seeds import generator_seed
from .steps import carries_over, effective_angles, phi_angles, phi_steps


def sweep_angles(sampling: Sampling, compat: Compat, sweep: Literal["first", "later"]) -> list[Any]:
    """The angle (radians) whose rotation each phi step of a sweep uses."""
    if sweep not in ("first", "later"):
        raise InputError(f"the sweep is 'first' or 'later', not {sweep!r}")
    angles = phi_angles(phi_steps(sampling, compat), sampling.phi_deg / RTD)
    if not carries_over(sampling, compat):
        return angles
    later, first = effective_angles(angles)
    return later if sweep == "later" else first


def rotated_real_vectors(
    crystal: Crystal,
    sampling: Sampling,
    *,
    wavelength_A: Any = None,
    compat: Compat = "spec",
    sweep: Literal["first", "later"] = "later",
    convention: str = "custom",
) -> RotatedVectors:
    """See ``Crystal.rotated_real_vectors``."""
    mode_of(compat)
    if convention != "custom" and convention not in CONVENTIONS:
        raise InputError(f"convention must be one of custom, {', '.join(CONVENTIONS)}, not {convention!r}")
    if crystal.mosflm_matrix is not None and wavelength_A is None:
        raise InputError("wavelength_A is needed: a MOSFLM matrix holds the reciprocal axes times the wavelength")
    if isinstance(crystal.misset_deg, str) and crystal.misset_seed is None:
        raise InputError("Crystal.misset_seed is needed with a random orientation: without it, each call would have another")
    spindle = sampling.spindle_axis if convention == "custom" else CONVENTIONS[convention].spindle_axis
    angles = sweep_angles(sampling, compat, sweep)
    if not angles:
        raise InputError("no phi step is left")
    tensors = tensors_of(crystal=crystal, sampling=sampling, wavelength_A=wavelength_A)
    if tensors:
        from nanobragg_numba.autograd.rotated_vectors import rotated_tensors

        return rotated_tensors(crystal, wavelength_A, spindle, angles, compat, tensors)
    state = new_state()
    reseed(state, generator_seed(crystal.misset_seed or 0))
    lattice = derive_lattice(crystal, (wavelength_A or 1.0) / 1e10, state, compat)
    _, domains, rotations, _ = domains_of(crystal, compat, state, lambda: crystal_frame(lattice.a, lattice.c_star, unit(spindle), angles))

    def rotated(axes: list[Any]) -> np.ndarray:
        rows = lattice_orientations(np.array(axes), unit(spindle), angles, rotations)
        return rows.reshape(len(angles), domains, 3, 3)

    # The kernels turn metres; turning Angstroms would differ in the last bit.
    real = rotated([scale(axis, 1e-10) for axis in (lattice.a, lattice.b, lattice.c)]) * 1e10
    reciprocal = rotated([lattice.a_star, lattice.b_star, lattice.c_star])
    return RotatedVectors((real[:, :, 0], real[:, :, 1], real[:, :, 2]), (reciprocal[:, :, 0], reciprocal[:, :, 1], reciprocal[:, :, 2]))
