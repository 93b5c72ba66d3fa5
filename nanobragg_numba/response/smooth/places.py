"""What follows from where a pixel's middle is: the share that a sensor absorbs there, and whether it is in a shadow."""

import math

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beyond_bragg import Shadow
from nanobragg_numba.experiment.detector import Geometry


def directions(geometry: Geometry) -> np.ndarray:
    """(slow, fast, 3): unit vectors from the sample to the pixels' middles."""
    fast, slow, pix0 = (np.array(vector, np.float64) for vector in (geometry.fast, geometry.slow, geometry.pix0))
    along = (np.arange(geometry.fast_pixels) + 0.5) * geometry.pixel_size
    down = (np.arange(geometry.slow_pixels) + 0.5) * geometry.pixel_size
    places: np.ndarray = pix0 + along[None, :, None] * fast + down[:, None, None] * slow
    places /= np.sqrt((places * places).sum(axis=2, keepdims=True))
    return places


def absorbed(geometry: Geometry) -> np.ndarray | None:
    """(slow, fast): the share 1 - exp(-t mu / cos) of the photons that a sensor of thickness t absorbs; None without one."""
    if not (geometry.thickness > 0.0 and geometry.mu > 0.0):
        return None
    slant = np.abs(directions(geometry) @ np.array(geometry.normal, np.float64))
    share: np.ndarray = -np.expm1(-geometry.layers * geometry.layer_thickness * geometry.mu / slant)
    return share


def passed(shadow: Shadow | None, geometry: Geometry) -> np.ndarray | None:
    """(slow, fast): the share of the photons that reaches each pixel; None where nothing is in the way. Raises InputError for a mask of
    another size."""
    if shadow is None:
        return None
    share: np.ndarray | None = None
    if shadow.mask is not None:
        shape = geometry.slow_pixels, geometry.fast_pixels
        if shadow.mask.shape != shape:
            (slow, fast), (own_slow, own_fast) = shape, shadow.mask.shape
            raise InputError(f"Shadow.mask (-shadow) has {own_fast}x{own_slow} pixels, the image {fast}x{slow}")
        share = shadow.mask.astype(np.float64) if shadow.mask.dtype.kind == "f" else (shadow.mask != 0).astype(np.float64)
    if shadow.beamstop_mm > 0.0:
        # With the distance along the beam, to where a disc at the detector would stand.
        distance = abs(geometry.distance) if shadow.beamstop_distance_mm is None else shadow.beamstop_distance_mm / 1000.0
        edge = math.cos(math.atan2(shadow.beamstop_mm / 1000.0, distance))
        clear = directions(geometry) @ np.array(geometry.beam, np.float64) < edge
        share = clear.astype(np.float64) if share is None else share * clear
    return share
