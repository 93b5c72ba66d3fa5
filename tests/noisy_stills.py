"""Stills with noise that no code of ours makes, and starting models that are off by a known amount."""

from dataclasses import dataclass, replace

import numpy as np
import torch  # noqa: F401 - refinement needs it; without it the tests that import this are left out

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.refinement.measured import measured
from nanobragg_numba.refinement.starting_model import starting_model

GAIN, OFFSET, READOUT = 2.0, 10.0, 3.0


@dataclass(frozen=True)
class Still:
    """An image, what made it, and what a fit starts from."""

    truth: object
    counts: np.ndarray
    start: object

    @property
    def measured(self):
        return measured(self.counts, gain=GAIN, offset=OFFSET, readout=READOUT)


def turn(vector_deg):
    """The rotation about a vector by its length in degrees: Rodrigues' formula."""
    angle = np.radians(np.linalg.norm(vector_deg))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = np.asarray(vector_deg) / np.linalg.norm(vector_deg)
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * across + (1.0 - np.cos(angle)) * across @ across


def angle_between(one, other):
    """Degrees."""
    r = one @ other.T
    return np.degrees(np.linalg.norm([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) / 2.0)


def noisy(image, background, random):
    """Counts of a detector: Poisson photons, gain, offset, normal read-out noise."""
    return GAIN * random.poisson(image + background) + random.normal(OFFSET, READOUT, image.shape)


def true_parameters(line, orientation, peak):
    """Parameters of a line, turned, with a fluence that makes the largest pixel ``peak`` photons."""
    p = parameters_from_command_line(line)
    p = replace(p, crystal=replace(p.crystal, orientation=orientation))
    largest = float(simulate(p).image.max())
    return replace(p, beam=replace(p.beam, fluence=derive_experiment(p).fluence * peak / largest, flux=0.0))


def stills(line, count, random, *, peak=2000.0, off_deg=0.1, off=0.003, n_cells=1.08, distance=1.003):
    """Stills of random orientations; starts off by ``off_deg`` about a random axis, ``off`` in each edge, up or down, and the factors."""
    edges = 1.0 + off * random.choice([-1.0, 1.0], 3)
    made = []
    for _ in range(count):
        axis = random.normal(size=3)
        p = true_parameters(line, turn(random.uniform(0.0, 180.0) * axis / np.linalg.norm(axis)), peak)
        image = simulate(p).image.astype(float)
        slope = np.linspace(4.0, 6.0, len(image))[:, None]
        start, away = starting_model(p).parameters, random.normal(size=3)
        crystal = replace(
            start.crystal,
            cell=(*(edges * start.crystal.cell[:3]), *start.crystal.cell[3:]),
            orientation=turn(off_deg * away / np.linalg.norm(away)) @ start.crystal.orientation,
            n_cells=tuple(n_cells * np.array(start.crystal.n_cells)),
        )
        beam = np.array([1.0, 0.0, 0.0])
        moved = np.array(start.detector.pix0_mm) + (distance - 1.0) * start.detector.distance_mm * beam
        detector = replace(start.detector, pix0_mm=tuple(moved))
        start = replace(start, crystal=crystal, detector=detector, beam=replace(start.beam, fluence=0.8 * start.beam.fluence))
        made.append(Still(p, noisy(image, slope, random), start))
    return made
