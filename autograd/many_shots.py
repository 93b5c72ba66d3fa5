"""Many shots, or the shoeboxes of one or many, as one torch function: what is asked for is computed, and nothing of the images' size.

In "spec", on the CPU, the kernels of many shots (``nanobragg_numba.shots``) compute value, gradient and changes of all shots at once. What
they do not cover, other modes, GPUs and second derivatives are computed shot after shot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from nanobragg_numba.engine.regions import computed_pixels
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.shots.pixels import ShotPixels, pixels_of_shots

from .chain import has_frame
from .effects import remark_on_zeros
from .places import CPU, Place, plain, threads
from .scene import Scene, require_same_shape
from .shot_point import Given, ShotPoint, point_at
from .tracing import refuse_tracing

Tensor = torch.Tensor


@dataclass(frozen=True)
class Regions:
    """The pixels of each shot."""

    flat: tuple[np.ndarray, ...]
    """(pixels,) int64 for each shot: slow times the image's width plus fast, ascending. Shots that have the same share one array."""
    shape: tuple[int, int]
    """Of the image, slow and fast."""

    @cached_property
    def pixels(self) -> ShotPixels:
        """As the kernels take them."""
        return pixels_of_shots(self.flat, self.shape[1])


@dataclass(frozen=True)
class ShotScene:
    """What stays the same; see ``scene.Scene``. The image is (shots, slow, fast), without shots (slow, fast); with regions (pixels,)."""

    parameters: tuple[Parameters, ...]
    """One, or one a shot."""
    names: tuple[str, ...]
    each: frozenset[str]
    """Names of those that have an axis of shots."""
    count: int | None
    """None: one, without an axis."""
    compat: Compat
    dtype: torch.dtype
    place: Place
    regions: Regions | None = None
    last: list[Any] = field(default_factory=list, compare=False, repr=False)
    """The values last asked for, and the point there, or None."""

    @property
    def shots(self) -> int:
        """How many."""
        return 1 if self.count is None else self.count

    def for_members(self, count: int) -> "ShotScene | None":
        """The scene of so many members of a vmap, each of whose overrides has an axis of members in the place of that of shots."""
        # Each member would have a table of structure factors of its own, and its gradient.
        if self.count is not None or "structure_factors" in self.names:
            return None
        regions = None if self.regions is None else Regions(self.regions.flat * count, self.regions.shape)
        return ShotScene(self.parameters, self.names, frozenset(self.names), count, self.compat, self.dtype, self.place, regions)

    def point(self, tensors: Sequence[Tensor]) -> ShotPoint | None:
        """The shots at the tensors' values; None where they are to be computed one by one. Raises InputError."""
        refuse_tracing(tensors)
        if self.place is not CPU or not mode_of(self.compat).spec:
            return None
        arrays = {name: plain(tensor).double().numpy() for name, tensor in zip(self.names, tensors, strict=True)}
        # Derivatives ask for that of the image again.
        if not self.last or not all(np.array_equal(arrays[name], old) for name, old in self.last[0].items()):
            kept = {name: array.copy() for name, array in arrays.items()}
            given = Given(self.parameters, kept, self.each, self.shots)
            # Whether default_F has an effect is looked up shot by shot.
            listed = "default_F" in self.names and any(own.crystal.structure_factors is not None for own in self.parameters)
            # What turns mosaic domains with each crystal's axes is worked out shot by shot.
            widths = arrays.get("mosaic_width_deg")
            framed = any(has_frame(own, None if widths is None else widths.shape[-1]) for own in self.parameters)
            self.last[:] = [kept, None if listed or framed else point_at(given, self._pixels, threads())]
        found: ShotPoint | None = self.last[1]
        return found

    def _pixels(self, experiment: Experiment) -> ShotPixels:
        if self.regions is not None:
            require_same_shape(self.regions.shape, experiment)
            return self.regions.pixels
        flat = np.flatnonzero(computed_pixels(experiment))
        return pixels_of_shots([flat] * self.shots, experiment.geometry.fast_pixels)

    def _image_of(self, values: Tensor, point: ShotPoint) -> Tensor:
        """From (..., pixels) to the images that were asked for."""
        if self.regions is not None:
            return values
        geometry = point.experiment.geometry
        size = geometry.slow_pixels * geometry.fast_pixels
        ahead = values.shape[:-1]
        if values.shape[-1] != size * self.shots:
            whole = values.new_zeros(*ahead, self.shots, size)
            whole[..., self._inside(point)] = values.reshape(*ahead, self.shots, -1)
            values = whole
        shots = () if self.count is None else (self.count,)
        return values.reshape(*ahead, *shots, geometry.slow_pixels, geometry.fast_pixels)

    def _inside(self, point: ShotPoint) -> Tensor:
        return torch.from_numpy(np.flatnonzero(computed_pixels(point.experiment)))

    def _pixels_of(self, image: Tensor, point: ShotPoint) -> np.ndarray:
        """The way back, of one image."""
        flat = plain(image)
        if self.regions is None and flat.numel() != point.many.pixels.total:
            flat = flat.reshape(self.shots, -1)[:, self._inside(point)]
        return np.ascontiguousarray(flat.numpy()).ravel()

    def image(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The pixels, and for each shot the two whose place the derivatives must know (see ``Rendered``)."""
        point = self.point(tensors)
        if point is not None:
            dtype = np.dtype(np.float32 if self.dtype == torch.float32 else np.float64)
            values = torch.from_numpy(point.many.values(dtype))
            return self._image_of(values, point), torch.full((self.shots, 2), -1)
        found = [scene.image(own) for scene, own in zip(self._scenes, self._tensors_of_shots(tensors), strict=True)]
        return self._together([image for image, _ in found], 0), torch.stack([places for _, places in found])

    def pull(self, grad: Tensor, places: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        """J^T g, one gradient for each tensor."""
        point = self.point(tensors)
        if point is not None:
            bars, factors_bar = point.many.gradients(self._pixels_of(grad, point), "structure_factors" in self.names)
            found = point.back(bars, factors_bar)
            gradients = [torch.from_numpy(np.array(found[name], order="C")) for name in self.names]
            remark_on_zeros(dict(zip(self.names, gradients, strict=True)), grad, point.many.pixels.total)
            return gradients
        parts = zip(self._scenes, self._apart(grad), places, self._tensors_of_shots(tensors), strict=True)
        return self._gathered([scene.pull(g, at, own) for scene, g, at, own in parts])

    def push(self, places: Tensor, tensors: Sequence[Tensor], tangents: Sequence[Tensor]) -> Tensor:
        """J v (K, ...) along K directions."""
        point = self.point(tensors)
        if point is not None and "structure_factors" not in self.each:
            dots = {name: plain(change).double().numpy() for name, change in zip(self.names, tangents, strict=True)}
            changes = torch.from_numpy(point.many.changes(*point.forth(dots)))
            return self._image_of(changes, point).to(self.dtype)
        moved = [[change.movedim(1, 0)[shot] if name in self.each else change for name, change in zip(self.names, tangents, strict=True)]
                 for shot in range(self.shots)]  # fmt: skip
        parts = zip(self._scenes, places, self._tensors_of_shots(tensors), moved, strict=True)
        return self._together([scene.push(at, own, change) for scene, at, own, change in parts], 1)

    def bend(self, grad: Tensor, places: Tensor, tensors: Sequence[Tensor], changes: Sequence[Tensor]) -> list[Tensor]:
        """The gradient of <g, J v>, shot by shot."""
        moved = self._tensors_of_shots(changes)
        parts = zip(self._scenes, self._apart(grad), places, self._tensors_of_shots(tensors), moved, strict=True)
        return self._gathered([scene.bend(g, at, own, change) for scene, g, at, own, change in parts])

    @cached_property
    def _scenes(self) -> list[Scene]:
        """Each shot's own."""
        scenes = []
        for shot in range(self.shots):
            mask = None
            if self.regions is not None:
                mask = np.zeros(self.regions.shape, np.bool_)
                mask.ravel()[self.regions.flat[shot]] = True
            own = self.parameters[shot if len(self.parameters) > 1 else 0]
            scenes.append(Scene(own, self.names, self.compat, self.dtype, self.place, mask))
        return scenes

    def _tensors_of_shots(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        return [
            [tensor[shot] if name in self.each else tensor for name, tensor in zip(self.names, tensors, strict=True)]
            for shot in range(self.shots)
        ]

    def _together(self, images: Sequence[Tensor], axis: int) -> Tensor:
        """From each shot's image; ``axis``: where they are slow, before which there may be directions."""
        if self.regions is None:
            return images[0] if self.count is None else torch.stack(list(images), axis)
        flat = [torch.from_numpy(own).to(images[0].device) for own in self.regions.flat]
        return torch.cat([image.flatten(axis).index_select(axis, at) for image, at in zip(images, flat, strict=True)], axis)

    def _apart(self, image: Tensor) -> list[Tensor]:
        """Each shot's image of its own: the way back."""
        if self.regions is None:
            return [image] if self.count is None else list(image)
        parts = []
        for values, flat in zip(image.split([len(own) for own in self.regions.flat]), self.regions.flat, strict=True):
            whole = values.new_zeros(int(np.prod(self.regions.shape)))
            whole[torch.from_numpy(flat).to(values.device)] = values
            parts.append(whole.reshape(self.regions.shape))
        return parts

    def _gathered(self, gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """From each shot's gradients; of what all share, the sum."""
        found = []
        for name, rows in zip(self.names, zip(*gradients, strict=True), strict=True):
            stacked = torch.stack(rows)
            found.append(stacked if name in self.each else stacked.sum(0))
        return found
