"""The differentiable counterpart of ``nanobragg_numba.simulate``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.experiment.seeds import fresh_seed

from .functions import Image, Scene
from .overrides import check_overrides
from .places import place_of


@torch.compiler.disable
def simulate(
    parameters: Parameters, *, dtype: torch.dtype = torch.float64, device: Any = None, compat: Compat = "spec", **overrides: Any
) -> torch.Tensor:
    """The image of ``parameters``, (slow, fast), photons per pixel, with fields replaced by tensors that may require gradients.

    ``overrides``: see ``OVERRIDES`` for names, shapes and units. ``dtype``: torch.float32 is the command line's image bit for bit,
    torch.float64 rounds to it. ``device``: where the image is computed, by default where the tensors are, which must all be there.
    A random orientation without a seed is another at each call, but one for the image and its derivatives.
    Derivatives of first and second order, forward and reverse; each uses memory for the image and the parameters only. Raises InputError
    for names, shapes, devices and values that make no sense.
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype must be torch.float32 or torch.float64, not {dtype}")
    tensors = check_overrides(parameters, compat, overrides)
    place = place_of(_device(device, tensors))
    # One orientation for the image and its derivatives.
    scene = Scene(with_misset_seed(parameters), tuple(tensors), compat, dtype, place)
    image, _ = Image.apply(scene, *tensors.values())
    return image  # type: ignore[no-any-return]


def with_misset_seed(parameters: Parameters) -> Parameters:
    """``parameters``, a random orientation without a seed given a fresh one."""
    crystal = parameters.crystal
    if not isinstance(crystal.misset_deg, str) or crystal.misset_seed is not None:
        return parameters
    return replace(parameters, crystal=replace(crystal, misset_seed=fresh_seed()))


def _device(asked: Any, tensors: Mapping[str, torch.Tensor]) -> torch.device:
    """The device asked for, or else the tensors'. Raises InputError where these differ, or there is no such device."""
    on = next((tensor.device for tensor in tensors.values()), None)
    if asked is None:
        return on or torch.device("cpu")
    try:
        wanted = torch.device(asked)
    except (RuntimeError, TypeError):
        raise InputError(f"device must be cpu, cuda or cuda:i, not {asked!r}") from None
    if wanted.type == "cpu":
        wanted = torch.device("cpu")
    place_of(wanted)
    if on is not None and (on.type != wanted.type or (wanted.index is not None and on.index != wanted.index)):
        raise InputError(f"the tensors are on {on} and the image is asked for on {wanted}: move them to one device")
    return on or wanted
