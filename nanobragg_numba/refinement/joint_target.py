"""The target of a joint fit, half a weighted sum of squares over the shoeboxes of all shots, its gradient and its Gauss-Newton matrix.

The weights are the inverse variances of the photons that a model expects (Poisson and read-out noise), held while the target is made
small and then taken anew: where that changes nothing more, sum of (n - mu) / var * d mu is 0, which is the maximum of the Poisson
likelihood where there is no read-out noise. Backgrounds are solved for each box within the target (variable projection), so that the
gradient and the matrix are those of what remains of the model's derivatives beside background planes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .background import plane_basis, solvable
from .free_parameters import FreeParameters
from .measured import Pixels
from .piece_target import BACKGROUNDS, Fitted, PieceTarget
from .restraints import Restraint
from .workers import Computing, Here, Targets

Tensor = torch.Tensor
FIXED = 1e-3
"""How tightly ``FreeParameters.fixed`` are held; nothing pulls at them."""
AMPLITUDES = 1.0
"""How tightly structure factors are held to their start, relative to it: loosely, for those of which images say next to nothing."""
KEPT_BYTES = 2**27
"""Of derivatives that are kept for the vector they were last asked for at."""


@dataclass
class JointTarget:
    """See the module. ``vector`` is always that of ``FreeParameters``."""

    free: FreeParameters
    pixels: Sequence[Pixels]
    """Of each of ``free.views``."""
    background: str = "plane"
    restraints: Mapping[str, Restraint] = field(default_factory=dict)
    """By the names of ``KINDS``; each shot's own numbers are all held to it."""
    prior: np.ndarray | None = None
    """(n,): standard deviations, about the start, of the vector's numbers; None: none."""
    computing: Computing = field(default_factory=Here)
    """Who works out the pieces; their answers are added in the order of the pieces, so that all give the same numbers."""

    def __post_init__(self) -> None:
        self._amplitudes = np.array([row.name == "structure_factors" for row in self.free.rows])
        kept = sum(8 * len(columns) * len(own) for columns, own in zip(self._columns, self.pixels, strict=True)) <= KEPT_BYTES
        self._targets = Targets([PieceTarget(*each, self.background, kept) for each in zip(self.free.views, self.pixels, strict=True)])

    @property
    def targets(self) -> Sequence[PieceTarget]:
        """Of each piece."""
        return self._targets.pieces

    def _each(self, question: str, vector: np.ndarray, *more: Any) -> list[Any]:
        """What a method of ``PieceTarget`` says of each piece."""
        return self.computing.ask(self._targets, question, [vector[columns] for columns in self._columns], *more)

    @property
    def _columns(self) -> list[np.ndarray]:
        return [view.columns for view in self.free.views]

    def fitted(self, vector: np.ndarray, view: int) -> Fitted:
        """Crystals and background of a view at the weights in force."""
        return self.targets[view].fitted(vector[self._columns[view]])

    def take_weights(self, vector: np.ndarray, from_data: bool = False) -> None:
        """Of all pieces, from now on; see ``PieceTarget.new_weights``."""
        for target, weights in zip(self.targets, self._each("new_weights", vector, from_data), strict=True):
            target.weights = weights
        self._targets.changed()

    def residuals(self, vector: np.ndarray) -> np.ndarray:
        """(m,): of all pixels, restraints, fixed combinations and the prior, each divided by its standard deviation."""
        return np.concatenate([*self._each("residuals", vector), self._held(vector)[0]])

    def value(self, vector: np.ndarray) -> float:
        """Half the sum of squares of ``residuals``."""
        return 0.5 * (sum(self._each("squares", vector)) + float(np.square(self._held(vector)[0]).sum()))

    def jacobian(self, vector: np.ndarray) -> np.ndarray:
        """(m, n): of ``residuals``; dense."""
        rows = []
        for slopes, columns in zip(self._each("projected", vector), self._columns, strict=True):
            block = np.zeros((len(slopes), len(vector)))
            block[:, columns] = -slopes.numpy()
            rows.append(block)
        return np.concatenate([*rows, self._held(vector)[1]])

    def normal_equations(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (n,) and Gauss-Newton matrix (n, n)."""
        gradient, matrix = np.zeros(len(vector)), np.zeros((len(vector), len(vector)))
        for (own_gradient, own_matrix), columns in zip(self._each("normal_equations", vector), self._columns, strict=True):
            gradient[columns] += own_gradient
            matrix[np.ix_(columns, columns)] += own_matrix
        matrix[np.diag_indices(len(vector))] += self._curvature_of_amplitudes(vector, gradient)
        held, by_vector = self._held(vector)
        return gradient + by_vector.T @ held, matrix + by_vector.T @ by_vector

    def _curvature_of_amplitudes(self, vector: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """(n,): what the Gauss-Newton matrix leaves out of structure factors' own second derivatives, where that is positive.

        Intensities go with F^2, so that the slope by F is a multiple of F and the missing sum is gradient / F. Near F = 0, where the
        measured intensity may be negative, it is all that there is.
        """
        own = self._amplitudes & (vector != 0.0)
        return np.where(own, np.maximum(gradient / np.where(own, vector, 1.0), 0.0), 0.0)

    def _held(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals of restraints, fixed combinations, structure factors and prior, and their derivatives (k, n)."""
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
        if self._amplitudes.any():
            # Where images say nothing of a structure factor it stays what it was.
            at = np.flatnonzero(self._amplitudes)
            sigmas = AMPLITUDES * np.abs(self.free.start[at])
            block = np.zeros((len(at), len(vector)))
            block[np.arange(len(at)), at] = 1.0 / sigmas
            parts.append((vector - self.free.start)[at] / sigmas)
            slopes.append(block)
        if self.prior is not None:
            parts.append((vector - self.free.start) / self.prior)
            slopes.append(np.diag(1.0 / self.prior))
        return np.concatenate(parts), np.concatenate(slopes)

    def figures(self, vector: np.ndarray) -> tuple[float, int]:
        """Sum of squares of the pixels' residuals, and degrees of freedom."""
        coefficients = sum(len(own.spots) for own in self.pixels) * BACKGROUNDS[self.background]
        return sum(self._each("squares", vector)), sum(map(len, self.pixels)) - coefficients - len(vector) + len(self.free.fixed)

    def squares_without_spots(self) -> float:
        """Sum of squares of the pixels' residuals from backgrounds alone."""
        return sum(self._each("squares_without_spots", self.free.start))


def without_unsolvable(pixels: Pixels, background: str) -> np.ndarray:
    """(boxes,) bool: those whose good pixels determine the background."""
    terms = BACKGROUNDS[background]
    if not terms or not len(pixels):
        return np.ones(len(pixels.spots), np.bool_)
    basis = plane_basis(pixels.index, pixels.boxes, terms)
    return solvable(torch.ones(len(pixels), dtype=torch.float64), basis, pixels.boxes).numpy()
