"""Amorphous background, water, air or ice, on the detector of any parameters, for Python."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import derive_sources, fluence
from nanobragg_numba.experiment.detector import derive_geometry, mask_of
from nanobragg_numba.experiment.parameters import Parameters, validate
from nanobragg_numba.fields.values import ArrayOf, make_plain
from nanobragg_numba.threads import number_of_threads

from . import amorphous_table
from .amorphous_image import molecules_in_beam, render


@dataclass(frozen=True)
class Background:
    """An amorphous sample in the beam, as wide as the beam (``Beam.beamsize_mm``)."""

    table: Any
    """(n, 2): sin(theta) / lambda (1/A), ascending, and the structure factor of a molecule there (electrons); a cubic in between. Negative
    structure factors take photons away."""
    thickness_mm: float = 0.1
    """Along the beam (mm)."""
    density_g_cm3: float = 1.0
    """Density (g/cm^3)."""
    molecular_weight: float = 18.0
    """Of a molecule (g/mol)."""

    def __post_init__(self) -> None:
        make_plain(self, {"table": ArrayOf((None, 2))})
        if not len(self.table) or not np.isfinite(self.table).all():
            raise InputError("Background.table must hold rows of two finite numbers")
        if not amorphous_table.ascends(self.table[:, 0]) or self.table[0, 0] < 0.0:
            raise InputError("Background.table: sin(theta) / lambda must be zero or more, and ascend from row to row")
        for name in ("thickness_mm", "density_g_cm3", "molecular_weight"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"Background.{name} must be above zero, not {getattr(self, name):g}")


def amorphous_background(background: Background, parameters: Parameters, threads: int | None = None) -> np.ndarray:
    """Photons per pixel (slow, fast; float32) that an amorphous sample scatters onto the detector of ``parameters``.

    Molecules times fluence times the Thomson cross section, times F^2, polarization factor and solid angle, averaged over sub-pixels and
    sources. Detector and beam are those of ``parameters`` as ``simulate`` takes them in "spec"; the crystal has no say, and the sensor
    absorbs all. Zero where the mask is. Raises InputError.
    """
    validate(parameters, spec=True)
    beam = parameters.beam
    width = beam.beamsize_mm / 1000.0
    if not width > 0.0:
        raise InputError(f"Beam.beamsize_mm must be above zero, for a sample as wide as the beam, not {beam.beamsize_mm:g}")
    if parameters.detector.curved:
        raise InputError("Detector.curved: the background of a curved detector is nonBragg's alone")
    geometry = derive_geometry(parameters, "spec")
    sources = derive_sources(beam, geometry, beam.wavelength_A / 1.0e10, "spec")
    total = float(sources.intensities.sum())
    if not total > 0.0:
        raise InputError("Beam.sources: the intensities do not add up to a positive number")
    size = background.thickness_mm / 1000.0, width, width
    molecules = molecules_in_beam(size, background.density_g_cm3 * 1e6, background.molecular_weight)
    points = amorphous_table.padded(background.table[:, 0] * 1e10, background.table[:, 1], "Background.table")
    oversample = max(parameters.sampling.oversample or 1, 1)
    # The weights add up to their number, by which the sum is divided.
    sources = replace(sources, intensities=sources.intensities / total * len(sources.intensities))
    made = render(geometry, parameters, sources, points, oversample, fluence(beam), molecules, number_of_threads(threads))
    mask = mask_of(parameters, geometry, "spec")
    return made.image if mask is None else np.where(mask, made.image, np.float32(0.0))
