"""Amorphous background, water, air or ice, on the detector of any parameters, for Python."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import Sources, derive_sources, fluence
from nanobragg_numba.experiment.beyond_bragg import Background
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.detector import Geometry, derive_geometry, mask_of
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Parameters, validate
from nanobragg_numba.threads import number_of_threads

from . import amorphous_table
from .amorphous_image import molecules_in_beam, render
from .smooth.places import absorbed


class Exposure(NamedTuple):
    """What a background is computed with, beside the sample."""

    parameters: Parameters
    """Of which the beam's polarization and the detector's kind of pixels count."""
    geometry: Geometry
    sources: Sources
    """Their intensities add up to their number, by which the sum over them is divided."""
    oversample: int
    """Sub-pixels along each axis."""


def exposure_of(parameters: Parameters) -> Exposure:
    """The exposure that ``parameters`` describe in "spec". Raises InputError where they make no sense."""
    validate(parameters, spec=True)
    geometry = derive_geometry(parameters, "spec")
    beam = parameters.beam
    sources = _weighted(derive_sources(beam, geometry, beam.wavelength_A / 1.0e10, "spec"))
    return Exposure(parameters, geometry, sources, max(parameters.sampling.oversample or 1, 1))


def _weighted(sources: Sources) -> Sources:
    total = float(sources.intensities.sum())
    if not total > 0.0:
        raise InputError("Beam.sources: the intensities do not add up to a positive number")
    return replace(sources, intensities=sources.intensities / total * len(sources.intensities))


def molecules_of(background: Background, exposure: Exposure) -> float:
    """Molecules in the beam. Raises InputError for a beam without a width, and for a curved detector."""
    beam = exposure.parameters.beam
    width = beam.beamsize_mm / 1000.0
    if not width > 0.0:
        raise InputError(f"Beam.beamsize_mm must be above zero, for a sample as wide as the beam, not {beam.beamsize_mm:g}")
    if exposure.parameters.detector.curved:
        raise InputError("Detector.curved: the background of a curved detector is nonBragg's alone")
    size = background.thickness_mm / 1000.0, width, width
    return molecules_in_beam(size, background.density_g_cm3 * 1e6, background.molecular_weight)


def _scattered(background: Background, exposure: Exposure, threads: int) -> np.ndarray:
    molecules = molecules_of(background, exposure)
    points = amorphous_table.padded(background.table[:, 0] * 1e10, background.table[:, 1], "Background.table")
    parameters, geometry, sources, oversample = exposure
    image = render(geometry, parameters, sources, points, oversample, fluence(parameters.beam), molecules, threads).image
    share = absorbed(geometry)
    return image if share is None else (image * share).astype(np.float32)


def amorphous_background(background: Background, parameters: Parameters, threads: int | None = None) -> np.ndarray:
    """Photons per pixel (slow, fast; float32) that an amorphous sample scatters onto the detector of ``parameters``.

    Molecules times fluence times the Thomson cross section, times F^2, polarization factor and solid angle, averaged over sub-pixels and
    sources, and times the share that the sensor absorbs at the pixel's middle. Detector and beam are those of ``parameters`` as
    ``simulate`` takes them in "spec"; the crystal has no say. Zero where the mask is. Raises InputError.
    """
    exposure = exposure_of(parameters)
    image = _scattered(background, exposure, number_of_threads(threads))
    mask = mask_of(parameters, exposure.geometry, "spec")
    return image if mask is None else np.where(mask, image, np.float32(0.0))


def backgrounds_of(experiment: Experiment, threads: int) -> np.ndarray | None:
    """The photons (slow, fast; float32) of all backgrounds of the experiment's parameters; None without any.

    Sub-pixels are as many as ``Sampling.oversample`` says, one without it: what spots need, a background does not. In "c" all sources count
    alike, as they do for the spots (Q7). Raises InputError.
    """
    parameters = experiment.parameters
    if not parameters.backgrounds:
        return None
    sources = experiment.sources
    if not mode_of(experiment.compat).spec:
        sources = replace(sources, intensities=np.ones(len(sources.intensities)))
    exposure = Exposure(parameters, experiment.geometry, _weighted(sources), max(parameters.sampling.oversample or 1, 1))
    total = np.zeros((experiment.geometry.slow_pixels, experiment.geometry.fast_pixels), np.float32)
    for background in parameters.backgrounds:
        total += _scattered(background, exposure, threads)
    return total
