"""The image of an amorphous sample, in photons per pixel: the reference's, rounded as it rounds."""

import math
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.experiment.beam import Sources
from nanobragg_numba.experiment.derive import axis_orbit
from nanobragg_numba.experiment.detector import Geometry
from nanobragg_numba.experiment.memory import require_memory
from nanobragg_numba.experiment.parameters import Beam, Detector, Parameters
from nanobragg_numba.kernels.arguments import BeamTable, DetectorTable
from nanobragg_numba.maths.constants import AVOGADRO, THOMSON_CROSS_SECTION
from nanobragg_numba.simd.error_bound import WORK_SHAPE

from . import amorphous_table, entries

RECORDED = 4
"""See amorphous.py, which is not imported: it loads the compiler."""


def molecules_in_beam(size: tuple[float, float, float], density: float, weight: float) -> float:
    """Molecules in a volume of that size (metres) and density (g/m^3), each of that weight (g/mol)."""
    volume = size[0] * size[1] * size[2]
    return volume * density * AVOGADRO / weight


@dataclass
class AmorphousImage:
    """What is computed."""

    image: np.ndarray
    """(slow, fast), float32: photons, or F; zero outside the window."""
    records: np.ndarray
    """(pixels, 4), empty unless asked for: of each pixel's last step s (1/m), polarization factor, solid angle, piece of the table."""
    printed_solid_angle: float
    """The sum of all solid angles (steradian), exact enough that six printed digits are the reference's."""
    table: amorphous_table.AmorphousTable


def render(
    geometry: Geometry, parameters: Parameters, sources: Sources, points: tuple[np.ndarray, np.ndarray], oversample: int, fluence: float,
    molecules: float, threads: int, plots_F: bool = False, recorded: bool = False, exact: bool = False,
) -> AmorphousImage:  # fmt: skip
    """The image on the detector of ``geometry``.

    ``points``: s (1/m) and F, as ``amorphous_table.padded`` gives them. ``fluence``: photons/m^2. ``exact``: pixel by pixel, without
    vectors; also done where every pixel's last step is to be recorded, and where the table does not ascend.
    """
    s, F = points
    count = len(sources.wavelengths)
    scales = (THOMSON_CROSS_SECTION, fluence, molecules, float(count * oversample * oversample))
    table = amorphous_table.table_of(s, F, sources.wavelengths, parameters.beam.polarization, oversample, scales, plots_F)
    shape = geometry.slow_pixels, geometry.fast_pixels
    require_memory(shape[0] * shape[1] * (12 + 32 * recorded), f"an image of {shape[1]}x{shape[0]} pixels")
    image, solid_angles = np.zeros(shape, np.float32), np.zeros(shape[0])
    records = np.zeros((shape[0] * shape[1] if recorded else 0, RECORDED))
    detector, rays = _detector_table(geometry, parameters.detector, oversample), _beam_table(parameters.beam, sources, geometry)
    window = geometry.window
    rows = window[2:]
    ascending = amorphous_table.ascends(s)
    if exact or recorded or plots_F or detector.curved or not ascending:

        def begin() -> np.ndarray:
            return np.zeros(1, np.int64)

        one_after_another = begin()
        work = begin if ascending else lambda: one_after_another
        entries.amorphous_pixels.over_rows(
            rows, threads if ascending else 1, work, window, detector, rays, table, image, solid_angles, records
        )
    else:
        entries.guarded_pixels.over_rows(rows, threads, lambda: np.zeros(WORK_SHAPE), window, detector, rays, table, image, solid_angles)
    return AmorphousImage(image, records, _printed(float(solid_angles.sum()), window, detector), table)


def _printed(total: float, window: tuple[int, int, int, int], detector: DetectorTable) -> float:
    pixels = max(window[1] - window[0], 0) * max(window[3] - window[2], 0)
    spread = (2.0 * (pixels * detector.oversample**2 + 1) + 16.0) * 2.0**-53
    printed = {(f"{value:g}", f"{100 * value / 4 / math.pi:g}") for value in (total * (1.0 - spread), total, total * (1.0 + spread))}
    if len(printed) == 1:
        return total
    result = np.zeros(1)
    entries.solid_angles_in_order(window, detector, result)
    return float(result[0])


def _detector_table(geometry: Geometry, own: Detector, oversample: int) -> DetectorTable:
    return DetectorTable(
        geometry.fast, geometry.slow, geometry.normal, geometry.beam, geometry.pix0, geometry.pixel_size,
        geometry.pixel_size / oversample, oversample, geometry.distance, geometry.obliquity_distance, own.curved,
        own.point_pixel, 0.0, 0.0, 1, -1.0, geometry.fast_pixels,
    )  # fmt: skip


def _beam_table(beam: Beam, sources: Sources, geometry: Geometry) -> BeamTable:
    axes, repeat_from = axis_orbit(geometry.polarization_axis)
    return BeamTable(
        np.ascontiguousarray(-sources.directions), sources.wavelengths.astype(np.float64), sources.intensities.astype(np.float64),
        float(beam.polarization), beam.polarized, axes, repeat_from, 0.0, np.zeros(len(sources.wavelengths), np.int64),
    )  # fmt: skip
