"""The differentiable counterpart of ``nanobragg_numba.simulate``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from nanobragg_numba.derivatives.entries import ADJOINT
from nanobragg_numba.engine.needed_code import FOR_SHOTS, begin_for_image
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.experiment.seeds import fresh_seed
from nanobragg_numba.jit import compilation
from nanobragg_numba.shots.entries import SHOT_GRADIENTS

from .functions import Image
from .many_shots import Regions, ShotScene
from .places import CPU, place_of
from .scene import Scene
from .shots import Shoeboxes, Shots, added, crystals_of, regions_of, shots_of
from .tracing import outside_compiled_graphs, refuse_tracing

MOST_SMALL_PIXELS = 2**16


@outside_compiled_graphs
def simulate(
    parameters: Parameters | Sequence[Parameters],
    *,
    dtype: torch.dtype = torch.float64,
    device: Any = None,
    compat: Compat = "spec",
    regions: Any = None,
    shot: Any = None,
    **overrides: Any,
) -> Any:
    """The image of ``parameters``, (slow, fast), photons per pixel, with fields replaced by tensors that may require gradients.

    ``overrides``: see ``OVERRIDES`` for names, shapes and units. Any of them may have one more axis before, of shots, and ``parameters``
    may be a list, one a shot: the images are then (shots, slow, fast), and what has no such axis is shared, its gradient the sum of the
    shots'. ``regions``: boxes (fast start, fast end, slow start, slow end; ends not included) or a mask (slow, fast), with shots a list of
    either or one for all: only their pixels are computed, in derivatives too, and returned as ``Shoeboxes``; what is masked out or outside
    the window is left out. ``shot``: for each row of the axis of shots a whole number: rows of the same number are crystals of one shot,
    whose images are added; regions are then the shots'. ``dtype``: torch.float32 is the command line's image bit for bit, torch.float64
    rounds to it. ``device``: where the image is computed, by default where the tensors are, which must all be there.
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
    place = place_of(_device(device, shots.tensors))
    # One orientation for the image and its derivatives.
    seeded = _with_misset_seeds(shots)
    crystals = crystals_of(shot, shots)
    wanted = None if regions is None else regions_of(regions, shots, compat, crystals)
    names, tensors = tuple(shots.tensors), tuple(shots.tensors.values())
    scene: Any
    gradients = any(tensor.requires_grad for tensor in tensors)
    if wanted is None and shots.count is None and not _is_small(seeded[0]):
        begin_to_compile(False, gradients)
        scene = Scene(seeded[0], names, compat, dtype, place)
    else:
        begin_to_compile(place is CPU and mode_of(compat).spec, gradients)
        each = wanted if wanted is None or crystals is None else Regions(tuple(wanted.flat[n] for n in crystals), wanted.shape)
        scene = ShotScene(seeded, names, shots.each, shots.count, compat, dtype, place, each)
    image, _ = Image.apply(scene, *tensors)
    if crystals is not None:
        image = added(image, crystals, wanted)
    return image if wanted is None else Shoeboxes(image, wanted)


def _is_small(parameters: Parameters) -> bool:
    """Whether an image is so small that the kernels of many shots, which have less to prepare, compute it sooner."""
    fast, slow = parameters.detector.pixels
    return 0 < fast * slow <= MOST_SMALL_PIXELS


def _with_misset_seeds(shots: Shots) -> tuple[Parameters, ...]:
    """The parameters, random orientations without a seed given fresh ones, each shot its own."""
    given = shots.parameters
    if len(given) == 1 and shots.count is not None and with_misset_seed(given[0]) is not given[0]:
        given = given * shots.count
    return tuple(map(with_misset_seed, given))


def with_misset_seed(parameters: Parameters) -> Parameters:
    """``parameters``, a random orientation without a seed given a fresh one."""
    crystal = parameters.crystal
    if not isinstance(crystal.misset_deg, str) or crystal.misset_seed is not None:
        return parameters
    return replace(parameters, crystal=replace(crystal, misset_seed=fresh_seed()))


@cache
def begin_to_compile(of_shots: bool, gradients: bool) -> None:
    """Begin, once, with what an image, or many shots, need and, so that the first backward pass does not wait, ``gradients``."""
    if of_shots:
        compilation.begin((*FOR_SHOTS, *((SHOT_GRADIENTS,) if gradients else ())))
        return
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
