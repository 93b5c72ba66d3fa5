"""The part of a joint fit's target that one panel of an image has: residuals, derivatives and normal equations of its shoeboxes."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
import torch

from nanobragg_numba.autograd import simulate

from .background import plane_basis, solve_background
from .likelihoods import photon_variance
from .measured import Pixels
from .models.piece import View

Tensor = torch.Tensor
LEAST_VARIANCE = 0.05
"""Photons squared; a model that expects nothing at a pixel is not that sure of it."""
BACKGROUNDS = {"none": 0, "constant": 1, "plane": 3}
"""Terms a box."""
DIRECTIONS = 64
"""Derivatives that are worked out together."""
_of_images: ContextVar[int | None] = ContextVar("threads of images", default=None)


@contextmanager
def in_fixed_order() -> Iterator[None]:
    """Sums over pixels by one thread, so that their last digits are the same whatever the number; images by as many as torch takes."""
    threads = torch.get_num_threads()
    token = _of_images.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _of_images.reset(token)


@dataclass
class Fitted:
    """What a model expects at the pixels of a panel."""

    spots: Tensor
    """(pixels,): photons of the crystals."""
    background: Tensor
    """(pixels,): photons."""


@dataclass
class PieceTarget:
    """``part`` is always what concerns the panel of the vector."""

    view: View
    pixels: Pixels
    background: str
    keeps_slopes: bool = True
    """Whether derivatives are kept for the part they were last asked for at."""
    weights: Tensor = field(init=False)
    """(pixels,): inverse variances."""

    def __post_init__(self) -> None:
        terms = BACKGROUNDS[self.background]
        self.basis = plane_basis(self.pixels.index, self.pixels.boxes, terms) if terms and len(self.pixels) else None
        self.weights = torch.ones(len(self.pixels), dtype=torch.float64)
        self._last_spots: tuple[np.ndarray, Tensor] | None = None
        self._last_slopes: tuple[np.ndarray, Tensor] | None = None

    def spots_at(self, part: np.ndarray) -> Tensor:
        """(pixels,): photons of the crystal."""
        if self._last_spots is None or not np.array_equal(self._last_spots[0], part):
            with torch.no_grad():
                self._last_spots = part.copy(), self._spots(torch.from_numpy(part))
        return self._last_spots[1]

    def _spots(self, part: Tensor) -> Tensor:
        if len(self.pixels) == 0:
            return torch.zeros(0, dtype=torch.float64)
        threads = torch.get_num_threads()
        torch.set_num_threads(_of_images.get() or threads)
        try:
            crystals = zip(self.view.pieces, self.view.overrides(part), strict=True)
            images = [simulate(piece.parameters, regions=self.pixels.mask, **own).values for piece, own in crystals]
        finally:
            torch.set_num_threads(threads)
        values: Tensor = images[0] if len(images) == 1 else torch.stack(images).sum(0)
        return values

    def slopes_at(self, part: np.ndarray) -> Tensor:
        """(pixels, numbers of the part): their derivatives."""
        if len(self.pixels) == 0 or len(part) == 0:
            return torch.zeros(len(self.pixels), len(part), dtype=torch.float64)
        if self._last_slopes is not None and np.array_equal(self._last_slopes[0], part):
            return self._last_slopes[1]
        at = torch.from_numpy(part)
        slopes: Tensor = torch.func.vmap(lambda along: torch.func.jvp(self._spots, (at,), (along,))[1], out_dims=1, chunk_size=DIRECTIONS)(
            torch.eye(len(part), dtype=torch.float64)
        )
        if self.keeps_slopes:
            self._last_slopes = part.copy(), slopes
        return slopes

    def fitted(self, part: np.ndarray) -> Fitted:
        """Crystal and background at the weights in force."""
        spots = self.spots_at(part)
        if self.basis is None:
            return Fitted(spots, torch.zeros_like(spots))
        own = self.pixels
        return Fitted(spots, solve_background(own.photons - spots, self.weights, self.basis, own.boxes)[1])

    def new_weights(self, part: np.ndarray, from_data: bool = False) -> Tensor:
        """(pixels,): from what the model at ``part`` expects. ``from_data``: where the measured photons are more, from these: for
        starts, whose spots are elsewhere."""
        before = self.weights
        try:
            # The background's own weights: two rounds settle them.
            for _ in range(2):
                now = self.fitted(part)
                expected = now.spots + now.background
                if from_data:
                    expected = torch.maximum(expected, self.pixels.photons)
                self.weights = 1.0 / photon_variance(expected, self.pixels.readout, least=LEAST_VARIANCE)
            return self.weights
        finally:
            self.weights = before

    def residuals(self, part: np.ndarray) -> Tensor:
        """(pixels,): each divided by its standard deviation."""
        now = self.fitted(part)
        return self.weights.sqrt() * (self.pixels.photons - now.spots - now.background)

    def squares(self, part: np.ndarray) -> float:
        """The sum of squares of ``residuals``."""
        return float(self.residuals(part).square().sum())

    def projected(self, part: np.ndarray) -> Tensor:
        """(pixels, numbers of the part): weighted slopes beside the background."""
        slopes = self.slopes_at(part)
        if self.basis is not None:
            slopes = slopes - solve_background(slopes, self.weights, self.basis, self.pixels.boxes)[1]
        return self.weights.sqrt()[:, None] * slopes

    def normal_equations(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Gauss-Newton matrix of half the sum of squares."""
        slopes = self.projected(part)
        return -(slopes.T @ self.residuals(part)).numpy(), (slopes.T @ slopes).numpy()

    def squares_without_spots(self, part: np.ndarray) -> float:
        """The sum of squares of the residuals from backgrounds alone; ``part`` has no effect."""
        left = self.pixels.photons
        if self.basis is not None:
            left = left - solve_background(left, self.weights, self.basis, self.pixels.boxes)[1]
        return float((self.weights * left.square()).sum())
