"""The incident beam: fluence, and the list of sources over divergence and wavelength."""

import math
from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.maths.vectors3 import Vector, rotate_about_axis, scale, unit

from .detector import Geometry
from .modes import mode_of
from .parameters import Beam, Compat, SourceList
from .steps import Steps, centred_steps, even_steps

SOURCE_DISTANCE = 10.0

H_FLAGS = ("-hdivrange", "-hdivstep", "-hdivsteps")
V_FLAGS = ("-vdivrange", "-vdivstep", "-vdivsteps")
SPECTRUM_FLAGS = ("-dispersion", "-dispstep", "-dispsteps")


@dataclass(frozen=True)
class Sources:
    """X-ray sources; one row each."""

    positions: np.ndarray
    """(n, 3), metres, as listed."""
    directions: np.ndarray
    """(n, 3): unit vectors from the sample to the source."""
    intensities: np.ndarray
    """(n,): relative weight; only "spec" uses it (Q7)."""
    wavelengths: np.ndarray
    """(n,): metres."""
    hdiv: Steps
    """The horizontal divergence's steps (radians)."""
    vdiv: Steps
    """The vertical divergence's steps (radians)."""
    dispersion: Steps
    """The steps of the wavelength, as fractions of it."""
    divergence_count: int
    """Number of directions; -1 where the sources were listed."""
    report: tuple[str, ...]
    """The reference's lines about divergence and wavelengths."""


def fluence(beam: Beam) -> float:
    """Photons per square metre, from the flux where one is given."""
    size = beam.beamsize_mm / 1000
    if beam.flux != 0.0 and beam.exposure_s > 0.0 and size >= 0:
        if size == 0:
            raise InputError("-beamsize: a flux over a beam of no size gives no fluence")
        return beam.flux * beam.exposure_s / size / size
    return beam.fluence


def clip_to_beam(size_mm: Vector, beam: Beam) -> tuple[Vector, tuple[str, ...]]:
    """The crystal's widths in metres, b and c no larger than the beam, and the reference's warnings."""
    width = beam.beamsize_mm / 1000
    x, y, z = (length / 1000 for length in size_mm)
    warnings = []
    if width >= 0:
        if width < y:
            warnings.append(c_format("WARNING: clipping sample (%g m high) with beam (%g m)", y, width))
            y = width
        if width < z:
            warnings.append(c_format("WARNING: clipping sample (%g m wide) with beam (%g m)", z, width))
            z = width
    return (x, y, z), tuple(warnings)


def _fraction(value: float | None, unit_size: float) -> float:
    return -1.0 if value is None else value / unit_size


def _radians(value_mrad: float | None) -> float | None:
    return None if value_mrad is None else value_mrad / 1000.0


def grid_steps(beam: Beam, compat: Compat) -> tuple[Steps, Steps, Steps]:
    """Steps of horizontal and vertical divergence and of dispersion."""
    if mode_of(compat).spec:
        if beam.dispersion_percent >= 200.0:
            raise InputError(f"-dispersion: a spectrum {beam.dispersion_percent:g} % wide reaches wavelengths that are not positive")
        return (
            centred_steps(H_FLAGS, _radians(beam.hdivrange_mrad), _radians(beam.hdivstep_mrad), beam.hdivsteps),
            centred_steps(V_FLAGS, _radians(beam.vdivrange_mrad), _radians(beam.vdivstep_mrad), beam.vdivsteps),
            centred_steps(SPECTRUM_FLAGS, beam.dispersion_percent / 100.0, None, beam.dispersion_steps),
        )
    return (
        even_steps("-hdivsteps", _fraction(beam.hdivrange_mrad, 1000.0), _fraction(beam.hdivstep_mrad, 1000.0), beam.hdivsteps),
        even_steps("-vdivsteps", _fraction(beam.vdivrange_mrad, 1000.0), _fraction(beam.vdivstep_mrad, 1000.0), beam.vdivsteps),
        even_steps("-dispsteps", beam.dispersion_percent / 100.0, -1.0, beam.dispersion_steps),
    )


def _is_cut(hdiv: float, vdiv: float, h: Steps, v: Steps) -> bool:
    """Whether a divergence step lies outside the ellipse; the reference divides by a range of zero, and keeps it."""
    with np.errstate(all="ignore"):
        h_part = np.float64(hdiv * hdiv - h.step * h.step / 4.0 * (1 - h.count % 2)) / h.range / h.range
        v_part = np.float64(vdiv * vdiv - v.step * v.step / 4.0 * (1 - v.count % 2)) / v.range / v.range
        return bool((h_part + v_part) * 4.0 > 1.1)


def _tilts(beam: Beam, h: Steps, v: Steps) -> list[tuple[float, float]]:
    """Horizontal and vertical divergence (radians) of each direction."""
    tilts = []
    for h_tic in range(h.count):
        for v_tic in range(v.count):
            hdiv, vdiv = h.step * h_tic - h.range / 2.0, v.step * v_tic - v.range / 2.0
            if not (beam.round_divergence and _is_cut(hdiv, vdiv, h, v)):
                tilts.append((hdiv, vdiv))
    return tilts


def _colours(wavelength: float, spectrum: Steps) -> list[float]:
    return [wavelength * (1.0 + spectrum.step * tic - spectrum.range / 2.0) for tic in range(spectrum.count)]


def _tilted(along: Vector, geometry: Geometry, tilt: tuple[float, float]) -> Vector:
    tilted = rotate_about_axis(along, geometry.polarization_axis, tilt[1])
    return rotate_about_axis(tilted, geometry.vertical_axis, tilt[0])


def incident_rays(beam: Beam, sources: Sources, geometry: Geometry, wavelength: float) -> tuple[list[Vector], list[float]]:
    """Direction of travel and wavelength of each source, from divergence and dispersion, for any ``geometry`` and ``wavelength``.

    Unlike ``Sources`` they carry the derivatives of both.
    """
    along = scale(geometry.beam, -SOURCE_DISTANCE)
    tilts, colours = _tilts(beam, sources.hdiv, sources.vdiv), _colours(wavelength, sources.dispersion)
    rays = [scale(unit(_tilted(along, geometry, tilt)), -1.0) for tilt in tilts]
    return [ray for ray in rays for _ in colours], colours * len(tilts)


def derive_sources(beam: Beam, geometry: Geometry, wavelength: float, compat: Compat = "spec") -> Sources:
    """Sources from the list given, or from divergence and dispersion around ``wavelength`` (metres)."""
    h, v, spectrum = grid_steps(beam, compat)
    report: list[str] = []
    along = scale(geometry.beam, -SOURCE_DISTANCE)
    if beam.sources is not None:
        positions = np.where(np.isnan(beam.sources.positions), np.array(along), beam.sources.positions)
        intensities = np.where(np.isnan(beam.sources.intensities), 1.0, beam.sources.intensities)
        wavelengths = np.where(np.isnan(beam.sources.wavelengths_m), wavelength, beam.sources.wavelengths_m)
        divergence_count = -1
    else:
        tilts = _tilts(beam, h, v)
        report += [c_format("divergence deviation: %g %g", *tilt) for tilt in tilts]
        colours = _colours(wavelength, spectrum)
        report += [c_format(f"lambda{tic} = %.15g", colour) for tic, colour in enumerate(colours)]
        if not tilts:
            raise InputError("-round_div: the circle cuts every divergence step; use -square_div or more steps")
        rows = []
        for tilt in tilts:
            rows += [_tilted(along, geometry, tilt)] * len(colours)
        positions = np.array(rows)
        wavelengths = np.array(colours * len(tilts))
        intensities = np.full(len(rows), 1.0 / len(rows))
        divergence_count = len(tilts)
    directions = np.array([unit((float(x), float(y), float(z))) for x, y, z in positions])
    return Sources(positions, directions, intensities, wavelengths, h, v, spectrum, divergence_count, tuple(report))


def wavelength_channels(sources: SourceList, count: int) -> tuple[SourceList, tuple[float, ...]]:
    """The same sources in channels of wavelength, at most ``count`` of equal width, and each channel's weighted mean wavelength (A).

    The tables of ``StructureFactors.from_model`` at these wavelengths are those that the sources then take. Channels without a source are
    left out. Raises InputError where a wavelength is not given.
    """
    low, high = float(np.min(sources.wavelengths_m)), float(np.max(sources.wavelengths_m))
    if count < 1 or math.isnan(low):
        raise InputError("channels must be 1 or more, and every source needs a wavelength of its own")
    place = (sources.wavelengths_m - low) / (high - low or 1.0) * count
    used, channels = np.unique(np.minimum(place.astype(np.int64), count - 1), return_inverse=True)
    weights = np.where(np.isnan(sources.intensities), 1.0, sources.intensities)
    members = [channels == channel for channel in range(len(used))]
    means = [float(1e10 * np.average(sources.wavelengths_m[own], weights=weights[own] if weights[own].any() else None)) for own in members]
    return replace(sources, channels=channels), tuple(means)
