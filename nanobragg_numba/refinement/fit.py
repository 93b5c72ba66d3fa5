"""A joint fit in stages: strong spots of low resolution first, from wrong starts said and not refined, to all spots and sigmas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.panels.detector import PanelDetector
from nanobragg_numba.prediction.spots import Spots, spots

from .estimates import Estimates, estimates
from .free_parameters import FreeParameters, free_parameters
from .joint_target import JointTarget, without_unsolvable
from .measured import Measured, Pixels, panel_of, pixels_of
from .models.amplitudes import Amplitudes, amplitudes, with_tables
from .optimisers import METHODS
from .piece_target import BACKGROUNDS
from .stages.explained import explained_share, require_fitted, require_signal
from .stages.settings import BORDER, LEAST_PARTIALITY, Settings, Step
from .starting_model import StartingModel, starting_model
from .symmetry import cell_constraint
from .workers import Computing, Here

FAINT = 0.002
"""Partiality of spots whose structure factors are refined."""
AS_USUAL = Settings()


@dataclass(frozen=True)
class Fit:
    """A finished fit."""

    free: FreeParameters
    vector: np.ndarray
    estimates: Estimates
    """Of ``values``."""
    target: JointTarget
    """With the last weights."""
    squares: float
    """Sum of squares of the weighted residuals."""
    freedom: int
    """Pixels less coefficients of background less parameters."""
    explained: float
    """``explained_share`` of the start; nan where there were too few strong pixels to say, and of a resumed fit."""

    @property
    def values(self) -> np.ndarray:
        """(n,): of ``free.rows``, in the units of ``KINDS``."""
        return self.free.values(self.vector)

    @property
    def sigmas(self) -> np.ndarray:
        """(n,)"""
        return self.estimates.sigmas

    @property
    def parameters(self) -> list[Parameters]:
        """Of each shot, or, where shots have several crystals, of each of these, shot by shot (``free.images``)."""
        return [self.free.parameters(shot, self.vector) for shot in range(len(self.free.models))]

    @property
    def detectors(self) -> list[PanelDetector | None]:
        """The panels of each shot, or crystal; None where the parameters have the detector."""
        return [self.free.detector(shot, self.vector) for shot in range(len(self.free.models))]


State = Callable[[int, np.ndarray], None]
"""Told the number of finished stages and the vector: what a resumed fit starts from."""


def fit(
    shots: Sequence[Measured],
    starts: Sequence[Parameters | Sequence[Parameters]],
    settings: Settings = AS_USUAL,
    *,
    detectors: Sequence[PanelDetector | None] | None = None,
    progress: Callable[[Step], None] | None = None,
    resumed: tuple[int, np.ndarray] | None = None,
    state: State | None = None,
    computing: Computing | None = None,
) -> Fit:
    """Refine the parameters of all shots together.

    ``shots``, ``starts``: as many of each; a start is parameters, or a sequence of them, one a crystal of that shot. ``detectors``: of
    each shot the panels, whose stacked image the shot is (``stacked``); None: the detector is that of the parameters. ``progress`` is
    told each step; ``state`` at each step, and at the end of each stage, what is to be kept; ``resumed``: what ``state`` was told last,
    of the same images and starts. ``computing``: ``workers.Workers``, that work out the shots; None: this process. Raises InputError
    for settings that make no sense, for images of another size than their model's, and for starts that explain too few of the strong
    pixels.
    """
    _check(shots, starts, settings)
    computing = computing or Here()
    detectors = [None] * len(shots) if detectors is None else detectors
    if len(detectors) != len(shots):
        raise InputError(f"{len(shots)} images and {len(detectors)} detectors: there must be as many of each")
    crystals = [[start] if isinstance(start, Parameters) else list(start) for start in starts]
    images = [image for image, own in enumerate(crystals) for _ in own]
    models = [starting_model(one, detector) for own, detector in zip(crystals, detectors, strict=True) for one in own]
    views = _views(shots, [models[images.index(image)] for image in range(len(shots))])
    models, found = _with_amplitudes(models, settings)
    constraint = cell_constraint(settings.space_group)
    free = free_parameters(models, settings.refine, constraint, settings.per_shot, settings.groups, found, images)
    for name in settings.restraints:
        if name not in free.names:
            raise InputError(f"restraint on {name}: it is not refined; these are: {', '.join(free.names)}")
    done, vector = resumed or (0, free.start.copy())
    if len(vector) != len(free.start):
        raise InputError(f"what is resumed has {len(vector)} parameters, and this fit {len(free.start)}")
    explained = float("nan")
    if not done:
        explained = explained_share(views, [free.of_view(n, vector) for n in range(len(views))], settings)
    resolutions = stages(models, settings)
    target = None
    for number, resolution in enumerate(resolutions):
        if number < done:
            continue
        last = number == len(resolutions) - 1
        border = BORDER[2 if last else min(number, 1)]
        prior = None if last else free.priors()
        tell = _teller(progress, state, number, resolutions, explained)
        vector, target = _stage(views, free, vector, settings, resolution, border, prior, tell, computing)
        require_fitted(target, vector, settings, resolution)
        if state is not None:
            state(number + 1, vector)
    if target is None:
        target = _target(views, free, vector, settings, resolutions[-1], BORDER[2], None, computing)
        target.take_weights(vector)
    require_signal(target, vector, settings)
    squares, freedom = target.figures(vector)
    precision = estimates(target.normal_equations(vector)[1], free.slopes(vector))
    return Fit(free, vector, precision, target, squares, freedom, explained)


def _columns(found: Spots) -> list[np.ndarray]:
    return [getattr(found, field.name) for field in fields(Spots)]


def _check(shots: Sequence[Measured], starts: Sequence[Any], settings: Settings) -> None:
    if not shots or len(shots) != len(starts):
        raise InputError(f"{len(shots)} images and {len(starts)} starting models: there must be as many of each")
    if not all(isinstance(start, Parameters) or len(start) for start in starts):
        raise InputError("a shot has no starting model")
    for name, value, known in (("background", settings.background, BACKGROUNDS), ("method", settings.method, METHODS)):
        if value not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if settings.steps < 1 or settings.most_spots < 1 or not 0.0 <= settings.start_error < np.inf:
        raise InputError("steps and spots must be 1 or more, and the error of the start 0 or more")


def _teller(
    progress: Callable[[Step], None] | None, state: State | None, stage: int, resolutions: Sequence[float], explained: float
) -> Callable[[float, np.ndarray], None]:
    count = 0

    def tell(value: float, vector: np.ndarray) -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(Step(stage + 1, len(resolutions), resolutions[stage], count, value, explained))
        if state is not None:
            state(stage, vector)

    return tell


def _views(shots: Sequence[Measured], models: Sequence[StartingModel]) -> list[Measured]:
    """The images of all pieces, panel by panel, shot by shot. Raises InputError for an image of another size than its model's."""
    found = []
    for shot, model in zip(shots, models, strict=True):
        whole = model.panels[0].parameters.detector.pixels[::-1] if model.detector is None else model.detector.shape
        if shot.photons.shape != whole:
            wanted, there = ("x".join(map(str, shape[::-1])) for shape in (whole, shot.photons.shape))
            raise InputError(f"{shot.name or 'an image'} has {there} pixels, and its model {wanted}")
        found += [panel_of(shot, panel.box, panel.mask) for panel in model.panels]
    return found


def _with_amplitudes(models: Sequence[StartingModel], settings: Settings) -> tuple[list[StartingModel], Amplitudes | None]:
    """The models with a table each, and the structure factors that are refined: those with spots at the start."""
    if "structure_factors" not in settings.refine:
        return list(models), None
    hkl = []
    for model in models:
        # Weak ones, too: they lie beneath the boxes of others.
        found = [spots(panel.parameters, settings.resolution, least_partiality=FAINT) for panel in model.panels]
        hkl.append(np.concatenate([own.hkl for own in found]))
    models = with_tables(models, hkl)
    return models, amplitudes([model.parameters.crystal.structure_factors for model in models], hkl, settings.space_group)


def predicted(panels: Sequence[Sequence[Parameters]], settings: Settings, resolution: float | None, border: int) -> list[Spots]:
    """The strongest spots of a shot's panels, each with all its crystals, to a resolution (A)."""
    found = []
    for crystals in panels:
        own = [spots(crystal, resolution, border=border, least_partiality=LEAST_PARTIALITY) for crystal in crystals]
        found.append(own[0] if len(own) == 1 else Spots(*(np.concatenate(columns) for columns in zip(*map(_columns, own), strict=True))))
    if sum(map(len, found)) <= settings.most_spots:
        return found
    strength = np.concatenate([own.partiality for own in found])
    if "structure_factors" not in settings.refine:
        # Those that are refined may have begun anywhere.
        strength = strength * np.concatenate([np.nan_to_num(own.structure_factor, nan=1.0) ** 2 for own in found])
    return _strongest(found, strength, settings.most_spots)


def _strongest(panels: Sequence[Spots], strength: np.ndarray, most: int) -> list[Spots]:
    """The ``most`` strongest of all panels."""
    # Rounded, so that of equal ones the same are taken however the start is written.
    strength = np.round(strength / strength.max(), 9)
    chosen = np.zeros(len(strength), np.bool_)
    chosen[np.argsort(-strength, kind="stable")[:most]] = True
    ends = np.cumsum([len(found) for found in panels])
    return [found[np.flatnonzero(own)] for found, own in zip(panels, np.split(chosen, ends[:-1]), strict=True)]


def stages(models: Sequence[StartingModel], settings: Settings) -> list[float]:
    """Spacings (A), coarse to fine: in the first stage spots are off by half a width 1/N at most if starts are by ``start_error``."""
    finest, coarsest = np.inf, 0.0
    for model in models:
        resolution = np.concatenate([spots(panel.parameters, settings.resolution).resolution for panel in model.panels])
        if len(resolution) == 0:
            continue
        # A little finer, so that rounding leaves none out.
        finest = min(finest, float(resolution.min()) * (1.0 - 1e-9))
        cells, edges = np.array(model.experiment.size.cells), model.cell[:3]
        wanted = 2.0 * settings.start_error * float((cells * edges).max())
        # Eight spots a shot at least.
        enough = float(np.sort(resolution)[::-1][:8].min())
        coarsest = max(coarsest, min(wanted, enough))
    if not np.isfinite(finest):
        raise InputError("the starting models predict no spot on the images")
    found_stages = [finest]
    while settings.start_error > 0.0 and found_stages[0] * 1.7 < coarsest:
        found_stages.insert(0, found_stages[0] * 1.7)
    if settings.start_error > 0.0 and coarsest > found_stages[0]:
        found_stages.insert(0, coarsest)
    return found_stages


def _target(
    views: Sequence[Measured], free: FreeParameters, vector: np.ndarray, settings: Settings, resolution: float, border: int,
    prior: np.ndarray | None, computing: Computing,
) -> JointTarget:  # fmt: skip
    pixels: list[Pixels] = []
    least = 2 * BACKGROUNDS[settings.background] + 1
    for shot, pieces in groupby(range(len(views)), key=lambda n: free.views[n].image):
        numbers = list(pieces)
        found = predicted([free.of_view(n, vector) for n in numbers], settings, resolution, border)
        for number, own_spots in zip(numbers, found, strict=True):
            own = pixels_of(views[number], own_spots, shot, least)
            solved = without_unsolvable(own, settings.background)
            pixels.append(own if solved.all() else pixels_of(views[number], own.spots[solved], shot, least))
    if not any(map(len, pixels)):
        raise InputError(f"no spot to {resolution:.3g} A is on the good pixels of the images")
    return JointTarget(free, pixels, settings.background, settings.restraints, prior, computing)


def _stage(
    views: Sequence[Measured], free: FreeParameters, vector: np.ndarray, settings: Settings, resolution: float, border: int,
    prior: np.ndarray | None, tell: Callable[[float, np.ndarray], None], computing: Computing,
) -> tuple[np.ndarray, JointTarget]:  # fmt: skip
    """Boxes where the model has them, the target made small, boxes and weights anew, until neither moves."""
    minimise = METHODS[settings.method]
    rounds = 2 if prior is not None else 4
    for count in range(rounds):
        target = _target(views, free, vector, settings, resolution, border, prior, computing)
        target.take_weights(vector, from_data=settings.start_error > 0.0 and count == 0)
        before = vector
        vector = minimise(target, vector, settings.steps, tell)
        if prior is None and count > 0:
            target.take_weights(vector)
            matrix = target.normal_equations(vector)[1]
            moved = np.abs(vector - before) * np.sqrt(np.diag(matrix))
            if moved.max(initial=0.0) < 0.05:
                break
    return vector, target
