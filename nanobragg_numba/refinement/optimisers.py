"""Ways to make a ``JointTarget`` small: scipy's trust regions and least squares, torch's LBFGS, in parameters scaled by their sensitivity.

A step of 1 in a scaled parameter changes the target by 1/2 where it has no curvature but that parameter's own: one standard deviation
with all others held.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nanobragg_numba.errors import InputError

from .joint_target import JointTarget
from .workers import LostWorkersError

Progress = Callable[[float, np.ndarray], None]
"""Told the target and the vector after each step."""
NO_SCIPY = "refinement needs scipy: pip install 'nanobragg_numba[refine]'"
SETTLED = 0.01
"""A gradient so small, in scaled parameters, is none: a hundredth of a standard deviation."""


def sensitivities(matrix: np.ndarray) -> np.ndarray:
    """(n,): the step of each parameter that counts as 1, from the Gauss-Newton matrix (n, n); 1 where the target does not depend on it."""
    diagonal = np.diag(matrix)
    return np.where(diagonal > 0.0, 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0)), 1.0)


class _Scaled:
    """The target in scaled parameters about a start; each vector's value and normal equations are worked out once."""

    def __init__(self, target: JointTarget, start: np.ndarray, progress: Progress | None):
        self.target, self.start, self.progress = target, start, progress
        self.scale = sensitivities(target.normal_equations(start)[1])
        self.last: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]] | None = None

    def vector(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self.start + self.scale * z)

    def value(self, z: np.ndarray) -> float:
        """inf where the model refuses: a step too far."""
        try:
            return self.target.value(self.vector(z))
        except LostWorkersError:
            raise
        except InputError:
            return np.inf

    def equations(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.last is None or not np.array_equal(self.last[0], z):
            try:
                gradient, matrix = self.target.normal_equations(self.vector(z))
            except LostWorkersError:
                raise
            except InputError:
                # scipy asks before it looks at the value, and does not take such a step.
                return np.zeros(len(z)), np.eye(len(z))
            _require_numbers(gradient, matrix)
            self.last = z.copy(), (self.scale * gradient, self.scale[:, None] * matrix * self.scale)
        return self.last[1]

    def told(self, z: np.ndarray, value: float) -> None:
        if self.progress is not None:
            self.progress(value, self.vector(z))


def _require_numbers(*derivatives: np.ndarray) -> None:
    """Raise InputError where derivatives under- or overflow."""
    if not all(np.isfinite(one).all() for one in derivatives):
        raise InputError(
            "the fit went to values at which derivatives are no numbers: the start is too far off, or has a fluence or a background "
            "(-water) that is not the images'"
        )


def _scipy() -> Any:
    try:
        import scipy.optimize
    except ImportError:
        raise InputError(NO_SCIPY) from None
    return scipy.optimize


def trust_region(target: JointTarget, start: np.ndarray, steps: int, progress: Progress | None = None) -> np.ndarray:
    """scipy's ``trust-exact`` with the Gauss-Newton matrix for the Hessian: for many shots, since only (n, n) numbers are kept."""
    scaled, n = _Scaled(target, start, progress), len(start)
    before = scaled.value(np.zeros(n))

    def stepped(intermediate_result: Any) -> None:
        nonlocal before
        value = float(intermediate_result.fun)
        scaled.told(intermediate_result.x, value)
        # What is left to gain is far below what noise makes of the target, half of 1 for each number.
        if 0.0 < before - value < max(1e-4, 1e-5 * n):
            raise StopIteration
        before = value

    # The region in units of standard deviations: starts may be hundreds off.
    options = {"gtol": SETTLED, "maxiter": steps, "initial_trust_radius": 30.0 * n**0.5, "max_trust_radius": 1e5 * n**0.5}
    found = _scipy().minimize(
        scaled.value, np.zeros(n), jac=lambda z: scaled.equations(z)[0], hess=lambda z: scaled.equations(z)[1], method="trust-exact",
        callback=stepped, options=options,
    )  # fmt: skip
    return scaled.vector(found.x)


def least_squares(target: JointTarget, start: np.ndarray, steps: int, progress: Progress | None = None) -> np.ndarray:
    """scipy's ``least_squares`` with the Jacobian of all pixels: for few shots, since (pixels, n) numbers are kept."""
    scaled, n = _Scaled(target, start, progress), len(start)

    def residuals(z: np.ndarray) -> np.ndarray:
        try:
            return target.residuals(scaled.vector(z))
        except LostWorkersError:
            raise
        except InputError:
            return np.full(len(target._held(start)[0]) + sum(map(len, target.pixels)), 1e150)

    def jacobian(z: np.ndarray) -> np.ndarray:
        scaled.told(z, target.value(scaled.vector(z)))
        found = target.jacobian(scaled.vector(z))
        _require_numbers(found)
        return found * scaled.scale

    found = _scipy().least_squares(residuals, np.zeros(n), jac=jacobian, method="trf", max_nfev=steps, ftol=1e-9, xtol=1e-9, gtol=SETTLED)
    return scaled.vector(found.x)


def lbfgs(target: JointTarget, start: np.ndarray, steps: int, progress: Progress | None = None) -> np.ndarray:
    """torch's LBFGS with strong Wolfe line searches; gradients alone."""
    scaled = _Scaled(target, start, progress)
    z = torch.zeros(len(start), dtype=torch.float64, requires_grad=True)
    best = [np.inf]
    optimiser = torch.optim.LBFGS(
        [z], max_iter=steps, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=SETTLED, tolerance_change=1e-7
    )

    def closure() -> float:
        here = z.detach().numpy().copy()
        value = scaled.value(here)
        if not np.isfinite(value):
            # Far above all else, so that the line search turns back.
            z.grad = torch.zeros_like(z)
            return 1e300
        z.grad = torch.from_numpy(scaled.equations(here)[0].copy())
        if value < best[0]:
            best[0] = value
            scaled.told(here, value)
        return value

    optimiser.step(closure)
    return scaled.vector(z.detach().numpy())


METHODS = {"trust": trust_region, "least_squares": least_squares, "lbfgs": lbfgs}
