"""Many shots in one call: which replacements are each shot's own, and which pixels of it are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from nanobragg_numba.engine.regions import boxes_inside, mask_of_boxes
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.detector import Geometry, derive_geometry, mask_of
from nanobragg_numba.experiment.parameters import Compat, Parameters

from .many_shots import Regions
from .overrides import as_tensor, check_overrides, is_for_shots

Tensor = torch.Tensor


@dataclass(frozen=True)
class Shoeboxes:
    """The pixels of ``regions``, shot after shot, each shot's row after row."""

    values: Tensor
    """(pixels,): photons."""
    regions: Regions
    """Where they are, as it was computed."""

    @cached_property
    def index(self) -> Tensor:
        """(pixels, 3) int64: shot, slow, fast. Made when it is asked for: it is three times as large as the values."""
        return index_of(self.regions)


@dataclass(frozen=True)
class Shots:
    """What is asked for: parameters and replacements, shared by all shots or with one more axis before."""

    parameters: tuple[Parameters, ...]
    """One, or one a shot."""
    tensors: Mapping[str, Tensor]
    each: frozenset[str]
    """Names of those with an axis of shots."""
    count: int | None
    """None where the image is asked for without an axis of shots."""

    def of(self, shot: int) -> tuple[Parameters, tuple[Tensor, ...]]:
        """Parameters and replacements of one shot."""
        own = self.parameters[shot if len(self.parameters) > 1 else 0]
        return own, tuple(tensor[shot] if name in self.each else tensor for name, tensor in self.tensors.items())


def shots_of(parameters: Parameters | Sequence[Parameters], compat: Compat, given: Mapping[str, Any]) -> Shots:
    """See ``Shots``. Raises InputError for what ``check_overrides`` refuses, and where the numbers of shots differ."""
    listed = not isinstance(parameters, Parameters)
    each_parameters = (parameters,) if isinstance(parameters, Parameters) else tuple(parameters)
    if not each_parameters or not all(isinstance(one, Parameters) for one in each_parameters):
        raise InputError("parameters must be Parameters, or a list of them, one a shot")
    if any(one.backgrounds or one.shadow is not None for one in each_parameters):
        raise InputError(
            "Parameters.backgrounds and shadow: this image is of the crystal alone; add nanobragg_numba.autograd.amorphous_background to it"
        )
    tensors = {name: as_tensor(name, value) for name, value in given.items()}
    each = frozenset(name for name, tensor in tensors.items() if is_for_shots(name, tensor, each_parameters[0]))
    counts = {name: len(tensors[name]) for name in tensors if name in each} | ({"parameters": len(each_parameters)} if listed else {})
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise InputError(f"the shots differ in number: {', '.join(f'{name} has {count}' for name, count in counts.items())}")
    count = next(iter(counts.values())) if counts else None
    for own in {id(one): one for one in each_parameters}.values():
        check_overrides(own, compat, {name: tensor[0] if name in each else tensor for name, tensor in tensors.items()})
    return Shots(each_parameters, tensors, each, count)


def crystals_of(shot: Any, shots: Shots) -> np.ndarray | None:
    """(rows,) int64: the shot that each row of the overrides is a crystal of; None where each row is a shot. Raises InputError."""
    if shot is None:
        return None
    given = shot.detach().cpu().numpy() if isinstance(shot, torch.Tensor) else np.asarray(shot)
    rows = shots.count or 0
    if given.shape != (rows,) or rows == 0 or given.dtype.kind not in "iu":
        raise InputError(
            f"shot must hold a whole number for each of the {rows} rows of the replacements or parameters: the shot it belongs to"
        )
    if not np.array_equal(np.unique(given), np.arange(given.max() + 1)):
        raise InputError("shot must number the shots from 0 on, and leave none out")
    return given.astype(np.int64)


def regions_of(regions: Any, shots: Shots, compat: Compat, crystals: np.ndarray | None = None) -> Regions:
    """The pixels of ``regions`` for each shot.

    ``regions``: boxes (fast start, fast end, slow start, slow end) or a mask (slow, fast); with an axis of shots, a list of either, one a
    shot, or one for all. ``crystals``: see ``crystals_of``. Raises InputError for other shapes.
    """
    rows = np.arange(1 if shots.count is None else shots.count)
    first = rows if crystals is None else np.unique(crystals, return_index=True)[1]
    count = len(first)
    if isinstance(regions, torch.Tensor):
        regions = regions.detach().cpu().numpy()
    own = shots.count is not None and _depth(regions) == 3
    if own and len(regions) != count:
        raise InputError(f"regions must hold boxes or a mask for each of the {count} shots, not for {len(regions)}")
    flat: list[np.ndarray] = []
    shapes: list[tuple[int, int]] = []
    geometry, mask, before = None, None, None
    for shot in range(count if own or len(shots.parameters) > 1 else 1):
        parameters = shots.of(int(first[shot]))[0]
        if geometry is None or parameters is not before:
            geometry = derive_geometry(parameters, compat)
            mask, before = mask_of(parameters, geometry, compat), parameters
            shapes.append((geometry.slow_pixels, geometry.fast_pixels))
        wanted = _painted(regions[shot] if own else regions, geometry, shapes[-1])
        flat.append(np.flatnonzero(wanted if mask is None else wanted & mask))
    if len(set(shapes)) > 1:
        raise InputError(f"the shots' images differ in shape: {shapes[0]} and {next(shape for shape in shapes if shape != shapes[0])}")
    return Regions(tuple(flat if len(flat) == count else flat * count), shapes[0])


def added(image: Tensor, crystals: np.ndarray, regions: Regions | None) -> Tensor:
    """The sum of the images of each shot's ``crystals``, (shots, slow, fast), or of their ``regions``, (pixels,)."""
    if regions is None:
        count = int(crystals.max()) + 1
        return image.new_zeros(count, *image.shape[1:]).index_add(0, torch.from_numpy(crystals).to(image.device), image)
    lengths = np.array([len(own) for own in regions.flat])
    starts = np.cumsum(lengths) - lengths
    places = np.concatenate([np.arange(starts[shot], starts[shot] + lengths[shot]) for shot in crystals])
    return image.new_zeros(int(lengths.sum())).index_add(0, torch.from_numpy(places).to(image.device), image)


def index_of(regions: Regions) -> Tensor:
    """(pixels, 3) int64: shot, slow, fast."""
    lengths = [len(own) for own in regions.flat]
    index = np.empty((sum(lengths), 3), np.int64)
    index[:, 0] = np.repeat(np.arange(len(lengths)), lengths)
    np.divmod(np.concatenate(regions.flat), regions.shape[1], out=(index[:, 1], index[:, 2]))
    return torch.from_numpy(index)


def _depth(regions: Any) -> int:
    """How many axes there are, of lists of unequal length too; an empty list of a shot's boxes counts as boxes."""
    depth = 0
    while isinstance(regions, list | tuple):
        depth += 1
        full = [one for one in regions if not isinstance(one, list | tuple) or len(one)]
        if not full:
            return depth + (2 if depth == 1 and len(regions) else 0)
        regions = full[0]
    return depth + np.ndim(regions)


def _painted(regions: Any, geometry: Geometry, shape: tuple[int, int]) -> np.ndarray:
    if isinstance(regions, np.ndarray) and regions.dtype == np.bool_:
        if regions.shape != shape:
            raise InputError(f"a mask of regions must have the image's shape {shape}, not {regions.shape}")
        inside = np.zeros(shape, np.bool_)
        fast, fast_end, slow, slow_end = geometry.window
        inside[slow:slow_end, fast:fast_end] = regions[slow:slow_end, fast:fast_end]
        return inside
    return mask_of_boxes(boxes_inside(regions, geometry.window), shape)
