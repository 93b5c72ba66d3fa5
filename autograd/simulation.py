"""The differentiable counterpart of ``nanobragg_numba.simulate``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch

from nanobragg_numba.derivatives.entries import ADJOINT
from nanobragg_numba.engine.needed_code import begin_for_image
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.experiment.seeds import fresh_seed
from nanobragg_numba.jit import compilation

from .functions import Image, Scene
from .places import place_of
from .shots import Shoeboxes, region_masks, shots_of
from .tracing import refuse_tracing


@torch.compiler.disable
def simulate(
    parameters: Parameters | Sequence[Parameters],
    *,
    dtype: torch.dtype = torch.float64,
    device: Any = None,
    compat: Compat = "spec",
    regions: Any = None,
    **overrides: Any,
) -> Any:
    """The image of ``parameters``, (slow, fast), photons per pixel, with fields replaced by tensors that may require gradients.

    ``overrides``: see ``OVERRIDES`` for names, shapes and units. Any of them may have one more axis before, of shots, and ``parameters``
    may be a list, one a shot: the images are then (shots, slow, fast), and what has no such axis is shared, its gradient the sum of the
    shots'. ``regions``: boxes (fast start, fast end, slow start, slow end; ends not included) or a mask (slow, fast), with shots a list of
    either or one for all: only their pixels are computed, in derivatives too, and returned as ``Shoeboxes``; what is masked out or outside
    the window is left out. ``dtype``: torch.float32 is the command line's image bit for bit, torch.float64 rounds to it. ``device``:
    where the image is computed, by default where the tensors are, which must all be there.
    A random orientation without a seed is another at each call, but one for the image and its derivatives.
    As many threads compute, here and in derivatives, as torch takes (``torch.set_num_threads``), but no more than this process may use.
    Derivatives of first and second order, forward and reverse; each uses memory for the image and the parameters only. Raises InputError
    for names, shapes, devices and values that make no sense, for replacements without effect, and while torch traces; warns, once, of
    pairs that an image cannot tell apart.
    """
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype must be torch.float32 or torch.float64, not {dtype}")
    refuse_tracing([value for value in overrides.values() if isinstance(value, torch.Tensor)])
    shots = shots_of(parameters, compat, overrides)
    begin_to_compile(any(tensor.requires_grad for tensor in shots.tensors.values()))
    place = place_of(_device(device, shots.tensors))
    masks = None if regions is None else region_masks(regions, shots, compat)
    images, indices = [], []
    for shot in range(shots.count or 1):
        own, tensors = shots.of(shot)
        # One orientation for the image and its derivatives.
        scene = Scene(with_misset_seed(own), tuple(shots.tensors), compat, dtype, place, None if masks is None else masks[shot])
        image, _ = Image.apply(scene, *tensors)
        if masks is None:
            images.append(image)
            continue
        flat = np.flatnonzero(masks[shot])
        images.append(image.flatten().index_select(0, torch.from_numpy(flat).to(image.device)))
        indices.append(np.stack([np.full(len(flat), shot), *np.divmod(flat, masks[shot].shape[1])], axis=1))
    if masks is not None:
        return Shoeboxes(torch.cat(images), torch.from_numpy(np.concatenate(indices)))
    return images[0] if shots.count is None else torch.stack(images)


def with_misset_seed(parameters: Parameters) -> Parameters:
    """``parameters``, a random orientation without a seed given a fresh one."""
    crystal = parameters.crystal
    if not isinstance(crystal.misset_deg, str) or crystal.misset_seed is not None:
        return parameters
    return replace(parameters, crystal=replace(crystal, misset_seed=fresh_seed()))


@cache
def begin_to_compile(gradients: bool) -> None:
    """Begin, once, with what an image needs and, so that the first backward pass does not wait, ``gradients``."""
    begin_for_image()
    if gradients:
        compilation.begin((ADJOINT,))


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
