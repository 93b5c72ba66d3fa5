"""From directions to places on a flat detector and back, and the resolution at each place."""

import math

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.detector import Geometry


def in_plane(geometry: Geometry) -> np.ndarray:
    """(2, 3): the vectors whose products with a point of the plane, from the first pixel's corner, are its coordinates slow, fast."""
    axes = np.array([geometry.slow, geometry.fast, geometry.normal])
    return np.asarray(np.linalg.inv(axes).T[:2])


def hits(geometry: Geometry, rays: np.ndarray, depths: np.ndarray | float = 0.0) -> np.ndarray:
    """(n, 2): slow and fast, in pixels from the corner of the first pixel, where rays (n, 3) from the sample meet the detector's plane,
    ``depths`` metres (scalar or (n,)) behind its front; nan where they do not."""
    along = rays @ np.array(geometry.normal)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = (np.dot(geometry.pix0, geometry.normal) + depths) / along
    times = np.where((times > 0.0) & np.isfinite(times), times, math.nan)
    return np.asarray((times[:, None] * rays - np.array(geometry.pix0)) @ in_plane(geometry).T / geometry.pixel_size)


def beam_place(geometry: Geometry) -> tuple[float, float, float]:
    """Where the beam meets the detector, slow and fast in pixels from the corner of the first pixel, and how far from the sample (metres).

    From the plane itself: of a tilted detector "c" reports another place than the one where its pixels are. nan where they do not meet.
    """
    slow, fast = hits(geometry, np.array([geometry.beam]))[0].tolist()
    along = float(np.dot(geometry.beam, geometry.normal))
    return slow, fast, float(np.dot(geometry.pix0, geometry.normal)) / along if math.isfinite(slow) else math.nan


def slopes(geometry: Geometry, rays: np.ndarray) -> np.ndarray:
    """(n, 2, 3): derivatives of ``hits`` by the components of ``rays``.

    X = D r / (r.n), so dX = D / (r.n) (dr - r (n.dr) / (r.n)).
    """
    normal, across = np.array(geometry.normal), in_plane(geometry) / geometry.pixel_size
    along = rays @ normal
    factor = np.dot(geometry.pix0, normal) / along
    return np.asarray(factor[:, None, None] * (across[None] - (rays @ across.T / along[:, None])[:, :, None] * normal))


def positions(geometry: Geometry, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """(..., 3): laboratory positions (metres) of places on the detector in pixels from the corner of the first pixel."""
    steps = slow[..., None] * np.array(geometry.slow) + fast[..., None] * np.array(geometry.fast)
    return np.asarray(geometry.pix0 + geometry.pixel_size * steps)


def require_flat(geometry: Geometry, curved: bool, what: str) -> None:
    """Raise InputError for a curved detector."""
    if curved:
        raise InputError(f"{what} cannot be worked out for a curved detector (-curved_det)")


def scattering_angles(geometry: Geometry, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """The angle two-theta (radians) at places on the detector, in the shape of ``slow`` and ``fast``."""
    places = positions(geometry, slow, fast)
    across = np.linalg.norm(np.cross(places, np.array(geometry.beam)), axis=-1)
    return np.asarray(np.arctan2(across, places @ np.array(geometry.beam)))


def resolution_at(geometry: Geometry, wavelength: float, slow: np.ndarray, fast: np.ndarray) -> np.ndarray:
    """Spacing d in the unit of ``wavelength`` at places on the detector: Bragg's law, d = wavelength / (2 sin(theta))."""
    with np.errstate(divide="ignore"):
        return np.asarray(wavelength / (2.0 * np.sin(scattering_angles(geometry, slow, fast) / 2.0)))


def corner_resolution(geometry: Geometry, wavelength: float) -> float:
    """The least d, in the unit of ``wavelength``, that the detector records: at the corner farthest from the beam.

    Half the wavelength where a corner lies behind the sample: the largest angle may then be inside the image.
    """
    slow, fast = (np.array(ends, float) for ends in ((0, 0, geometry.slow_pixels, geometry.slow_pixels), (0, geometry.fast_pixels) * 2))
    largest = float(scattering_angles(geometry, slow, fast).max())
    return wavelength / 2.0 if largest > math.pi / 2.0 else wavelength / (2.0 * math.sin(largest / 2.0))


def ring(geometry: Geometry, wavelength: float, spacing: float, points: int = 721) -> np.ndarray:
    """(points, 2): slow and fast, in pixels from the corner of the first pixel, along the line of equal resolution ``spacing``.

    The cone of two-theta = 2 asin(wavelength / (2 spacing)) about the beam, cut by the detector's plane; nan where it does not meet that.
    All nan for a spacing below half the wavelength.
    """
    if not spacing >= wavelength / 2.0:
        return np.full((points, 2), math.nan)
    angle = 2.0 * math.asin(wavelength / (2.0 * spacing))
    beam = np.array(geometry.beam)
    across = np.cross(beam, geometry.slow if abs(np.dot(beam, geometry.slow)) < 0.9 else geometry.fast)
    across = across / np.linalg.norm(across)
    around = np.linspace(0.0, 2.0 * math.pi, points)[:, None]
    rays = math.cos(angle) * beam + math.sin(angle) * (np.cos(around) * across + np.sin(around) * np.cross(beam, across))
    return hits(geometry, rays)
