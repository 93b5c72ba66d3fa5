"""The target of a joint fit, half a weighted sum of squares over the shoeboxes of all shots, its gradient and its Gauss-Newton matrix.

The weights are the inverse variances of the photons that a model expects (Poisson and read-out noise), held while the target is made
small and then taken anew: where that changes nothing more, sum of (n - mu) / var * d mu is 0, which is the maximum of the Poisson
likelihood where there is no read-out noise. Backgrounds are solved for each box within the target (variable projection), so that the
gradient and the matrix are those of what remains of the model's derivatives beside background planes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nanobragg_numba.autograd import simulate

from .background import plane_basis, solvable, solve_background
from .free_parameters import FreeParameters
from .likelihoods import photon_variance
from .measured import Pixels
from .restraints import Restraint

Tensor = torch.Tensor
LEAST_VARIANCE = 0.05
"""Photons squared; a model that expects nothing at a pixel is not that sure of it."""
BACKGROUNDS = {"none": 0, "constant": 1, "plane": 3}
"""Terms a box."""
FIXED = 1e-3
"""How tightly ``FreeParameters.fixed`` are held; nothing pulls at them."""
KEPT_BYTES = 2**27
"""Of derivatives that are kept for the vector they were last asked for at."""


@dataclass
class Fitted:
    """What a model expects at the pixels of one shot."""

    spots: Tensor
    """(pixels,): photons of the crystal."""
    background: Tensor
    """(pixels,): photons."""


@dataclass
class JointTarget:
    """See the module. ``vector`` is always that of ``FreeParameters``."""

    free: FreeParameters
    pixels: Sequence[Pixels]
    background: str = "plane"
    restraints: Mapping[str, Restraint] = field(default_factory=dict)
    """By the names of ``KINDS``; each shot's own numbers are all held to it."""
    prior: np.ndarray | None = None
    """(n,): standard deviations, about the start, of the vector's numbers; None: none."""

    def __post_init__(self) -> None:
        terms = BACKGROUNDS[self.background]
        self.bases = [plane_basis(own.index, own.boxes, terms) if terms else None for own in self.pixels]
        self.weights = [torch.ones(len(own), dtype=torch.float64) for own in self.pixels]
        self._last_spots: dict[int, tuple[np.ndarray, Tensor]] = {}
        self._last_slopes: dict[int, tuple[np.ndarray, Tensor]] = {}
        columns = len(self.free.columns[0])
        self._keeps_slopes = 8 * columns * sum(map(len, self.pixels)) <= KEPT_BYTES

    def spots_at(self, vector: np.ndarray, shot: int) -> Tensor:
        """(pixels,): photons of the crystal at the pixels of a shot."""
        part = vector[self.free.columns[shot]]
        if shot not in self._last_spots or not np.array_equal(self._last_spots[shot][0], part):
            with torch.no_grad():
                self._last_spots[shot] = part, self._spots(shot, torch.from_numpy(part))
        return self._last_spots[shot][1]

    def _spots(self, shot: int, part: Tensor) -> Tensor:
        own = self.pixels[shot]
        if len(own) == 0:
            return torch.zeros(0, dtype=torch.float64)
        overrides = self.free.overrides(shot, part)
        values: Tensor = simulate(self.free.models[shot].parameters, regions=own.mask, **overrides).values
        return values

    def slopes_at(self, vector: np.ndarray, shot: int) -> Tensor:
        """(pixels, columns of the shot): their derivatives, all columns in one pass."""
        part = vector[self.free.columns[shot]]
        if len(self.pixels[shot]) == 0:
            return torch.zeros(0, len(part), dtype=torch.float64)
        if shot in self._last_slopes and np.array_equal(self._last_slopes[shot][0], part):
            return self._last_slopes[shot][1]
        slopes, spots = torch.func.jacfwd(lambda own: (self._spots(shot, own),) * 2, has_aux=True)(torch.from_numpy(part))
        self._last_spots[shot] = part, spots
        if self._keeps_slopes:
            self._last_slopes[shot] = part, slopes
        found: Tensor = slopes
        return found

    def fitted(self, vector: np.ndarray, shot: int) -> Fitted:
        """Crystal and background at the weights in force."""
        spots = self.spots_at(vector, shot)
        basis, own = self.bases[shot], self.pixels[shot]
        if basis is None or len(own) == 0:
            return Fitted(spots, torch.zeros_like(spots))
        return Fitted(spots, solve_background(own.photons - spots, self.weights[shot], basis, own.boxes)[1])

    def take_weights(self, vector: np.ndarray, from_data: bool = False) -> None:
        """New weights from what the model at ``vector`` expects. ``from_data``: where the measured photons are more, from these: for
        starts, whose spots are elsewhere."""
        for shot, own in enumerate(self.pixels):
            # The background's own weights: two rounds settle them.
            for _ in range(2):
                now = self.fitted(vector, shot)
                expected = now.spots + now.background
                if from_data:
                    expected = torch.maximum(expected, own.photons)
                self.weights[shot] = 1.0 / photon_variance(expected, own.readout, least=LEAST_VARIANCE)

    def residuals(self, vector: np.ndarray) -> np.ndarray:
        """(m,): of all pixels, restraints, fixed combinations and the prior, each divided by its standard deviation."""
        parts = []
        for shot, own in enumerate(self.pixels):
            now = self.fitted(vector, shot)
            parts.append((self.weights[shot].sqrt() * (own.photons - now.spots - now.background)).numpy())
        return np.concatenate([*parts, self._held(vector)[0]])

    def value(self, vector: np.ndarray) -> float:
        """Half the sum of squares of ``residuals``."""
        return 0.5 * float(np.square(self.residuals(vector)).sum())

    def jacobian(self, vector: np.ndarray) -> np.ndarray:
        """(m, n): of ``residuals``; dense."""
        rows = []
        for shot in range(len(self.pixels)):
            block = np.zeros((len(self.pixels[shot]), len(vector)))
            block[:, self.free.columns[shot]] = -self._projected(vector, shot)[0].numpy()
            rows.append(block)
        return np.concatenate([*rows, self._held(vector)[1]])

    def _projected(self, vector: np.ndarray, shot: int) -> tuple[Tensor, Tensor]:
        """Weighted slopes (pixels, columns) beside the background, and weighted residuals (pixels,)."""
        own, basis, weights = self.pixels[shot], self.bases[shot], self.weights[shot]
        slopes = self.slopes_at(vector, shot)
        now = self.fitted(vector, shot)
        if basis is not None and len(own):
            slopes = slopes - solve_background(slopes, weights, basis, own.boxes)[1]
        root = weights.sqrt()
        return root[:, None] * slopes, root * (own.photons - now.spots - now.background)

    def normal_equations(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n,) and Gauss-Newton matrix (n, n)."""
        gradient, matrix = np.zeros(len(vector)), np.zeros((len(vector), len(vector)))
        for shot in range(len(self.pixels)):
            slopes, residuals = self._projected(vector, shot)
            columns = self.free.columns[shot]
            gradient[columns] -= (slopes.T @ residuals).numpy()
            matrix[np.ix_(columns, columns)] += (slopes.T @ slopes).numpy()
        held, by_vector = self._held(vector)
        return gradient + by_vector.T @ held, matrix + by_vector.T @ by_vector

    def _held(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of restraints, fixed combinations and prior, and their derivatives (k, n)."""
        parts, slopes = [np.zeros(0)], [np.zeros((0, len(vector)))]
        values, by_vector = self.free.values(vector), self.free.slopes(vector)
        for name, restraint in self.restraints.items():
            for shot in dict.fromkeys(row.shot for row in self.free.rows if row.name == name):
                at = np.array([n for n, row in enumerate(self.free.rows) if (row.name, row.shot) == (name, shot)])
                value = torch.from_numpy(values[at]).requires_grad_()
                residuals = restraint.residuals(name, value)
                parts.append(residuals.detach().numpy())
                slopes.append(torch.autograd.grad(residuals.sum(), value)[0].numpy()[:, None] * by_vector[at])
        if len(self.free.fixed):
            parts.append(self.free.fixed @ (vector - self.free.start) / FIXED)
            slopes.append(self.free.fixed / FIXED)
        if self.prior is not None:
            parts.append((vector - self.free.start) / self.prior)
            slopes.append(np.diag(1.0 / self.prior))
        return np.concatenate(parts), np.concatenate(slopes)

    def figures(self, vector: np.ndarray) -> tuple[float, int]:
        """Sum of squares of the pixels' residuals, and degrees of freedom."""
        pixels = sum(map(len, self.pixels))
        squares = np.square(self.residuals(vector)[:pixels]).sum()
        coefficients = sum(len(own.spots) for own in self.pixels) * BACKGROUNDS[self.background]
        return float(squares), pixels - coefficients - len(vector) + len(self.free.fixed)

    def squares_without_spots(self) -> float:
        """Sum of squares of the pixels' residuals from backgrounds alone."""
        total = 0.0
        for own, basis, weights in zip(self.pixels, self.bases, self.weights, strict=True):
            left = own.photons
            if basis is not None and len(own):
                left = left - solve_background(left, weights, basis, own.boxes)[1]
            total += float((weights * left.square()).sum())
        return total


def without_unsolvable(pixels: Pixels, background: str) -> np.ndarray:
    """(boxes,) bool: those whose good pixels determine the background."""
    terms = BACKGROUNDS[background]
    if not terms or not len(pixels):
        return np.ones(len(pixels.spots), np.bool_)
    basis = plane_basis(pixels.index, pixels.boxes, terms)
    return solvable(torch.ones(len(pixels), dtype=torch.float64), basis, pixels.boxes).numpy()
