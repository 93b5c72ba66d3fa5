"""How much of the images a model explains: of the strong pixels before a fit, of the signal after a stage."""

from collections.abc import Sequence

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.prediction.detector_plane import resolution_at
from nanobragg_numba.prediction.spots import spots

from ..joint_target import JointTarget
from ..measured import Measured, strong_pixels
from .settings import BORDER, LEAST_PARTIALITY, Settings

LEAST_STRONG = 10
"""So many strong pixels must lie outside of a wrong start's boxes, or nothing is said of it: too few, or boxes everywhere."""
LEAST_FITTED = 0.5
"""Of the signal; see ``require_fitted``."""
LEAST_TAKEN = 10.0
"""Off the sum of squares, for each parameter, by a model of what is there."""


def explained_share(shots: Sequence[Measured], starts: Sequence[Sequence[Parameters]], settings: Settings) -> float:
    """The share of all views' strong pixels, to ``settings.resolution``, that boxes of the start hold beyond what chance puts there.

    ``starts``: the crystals of each view.
    That is (s - a) / (1 - a), s the share of strong pixels in boxes, a that of all pixels: 1 where boxes hold all, about 0 of a wrong
    start, however many boxes there are. nan where ``LEAST_STRONG`` forbids a judgement. Raises InputError where it is less than
    ``settings.least_explained``.
    """
    strong = inside = covered = total = 0
    for shot, crystals in zip(shots, starts, strict=True):
        boxes = np.zeros(shot.photons.shape, np.bool_)
        for start in crystals:
            found = spots(start, settings.resolution, border=BORDER[0], least_partiality=LEAST_PARTIALITY)
            for fast, fast_end, slow, slow_end in found.box:
                boxes[slow:slow_end, fast:fast_end] = True
        looked_at = shot.good & _within(crystals[0], settings.resolution)
        bright = strong_pixels(shot) & looked_at
        strong, inside = strong + int(bright.sum()), inside + int((bright & boxes).sum())
        covered, total = covered + int((boxes & looked_at).sum()), total + int(looked_at.sum())
    area = covered / max(total, 1)
    if strong * (1.0 - area) < LEAST_STRONG:
        return float("nan")
    share = max(0.0, (inside / strong - area) / (1.0 - area))
    if share < settings.least_explained:
        raise InputError(
            f"the model explains {100.0 * share:.0f} % of the strong pixels: {inside} of {strong} are in its boxes, which hold "
            f"{100.0 * area:.0f} % of all pixels; this is no start for a refinement: see to orientation, cell and geometry"
        )
    return share


def require_fitted(target: JointTarget, vector: np.ndarray, settings: Settings, resolution: float) -> None:
    """Raise InputError where a stage has ended in a model that is none of the images.

    Of what the sum of squares has beyond noise where there is background alone, a true model takes nearly all, a wrong one little.
    """
    squares, freedom = target.figures(vector)
    signal = target.squares_without_spots() - freedom
    if settings.least_explained <= 0.0 or freedom < 1 or squares < 2.0 * freedom or signal < freedom:
        return
    taken = (signal + freedom - squares) / signal
    if taken < LEAST_FITTED:
        raise InputError(
            f"fitted to {resolution:.3g} A, the model explains {100.0 * max(taken, 0.0):.0f} % of the signal in its boxes "
            f"(chi^2 / degrees of freedom is {squares / freedom:.3g}): the start was too far off; see to orientation, cell and geometry"
        )


def require_signal(target: JointTarget, vector: np.ndarray, settings: Settings) -> None:
    """Raise InputError where the images have none of the model's spots: of noise alone each number takes 1 off the sum of squares."""
    taken = target.squares_without_spots() - target.figures(vector)[0]
    if settings.least_explained > 0.0 and taken < LEAST_TAKEN * len(vector):
        raise InputError(
            f"the images show none of the model's spots: beside background alone they lower chi^2 by {max(taken, 0.0):.3g}, and noise "
            f"would let {len(vector)} parameters do so by {len(vector)}"
        )


def _within(start: Parameters, resolution: float | None) -> np.ndarray:
    """(slow, fast) bool: pixels whose spacing is ``resolution`` (A) or more."""
    x = derive_experiment(start, "spec")
    shape = x.geometry.slow_pixels, x.geometry.fast_pixels
    if resolution is None:
        return np.ones(shape, np.bool_)
    slow, fast = np.indices(shape) + 0.5
    return np.asarray(resolution_at(x.geometry, x.wavelength, slow, fast) >= resolution * 1e-10)
