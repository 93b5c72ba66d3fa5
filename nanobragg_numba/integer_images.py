"""Integer images from the float image, with C's conversions from floating point."""

import math

import numpy as np

from .compiled import compiled


@compiled
def _truncated(value):
    """The integer that x86-64 C takes from a double before it cuts it to size; 0 for nan and out of range."""
    return np.int64(value) if -2147483649.0 < value < 2147483648.0 else np.int64(0)


@compiled
def scaled_counts(image, window, scale, offset):
    """uint16 image: scale x photons + offset, clipped and rounded (in single precision); zero outside ``window``."""
    counts = np.zeros(image.shape, np.uint16)
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            value = np.float64(image[slow, fast]) * scale + offset
            if value > 65535.0:
                value = 65535.0
            if value < 0.0:
                value = 0.0
            counts[slow, fast] = _truncated(math.floor(np.float64(np.float32(value + 0.5))) if value == value else value) & 0xFFFF
    return counts


@compiled
def grey_levels(image, window, scale):
    """uint8 image: scale x photons, clipped at 255; zero outside ``window``."""
    levels = np.zeros(image.shape, np.uint8)
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            value = np.float64(image[slow, fast]) * scale
            if value > 255.0:
                value = 255.0
            levels[slow, fast] = _truncated(value) & 0xFF
    return levels


@compiled
def noisy_counts(photons, window, offset):
    """uint16 image of photons + offset, and the number of pixels clipped; zero outside ``window``."""
    counts = np.zeros(photons.shape, np.uint16)
    overloads = 0
    for slow in range(window[2], window[3]):
        for fast in range(window[0], window[1]):
            value = photons[slow, fast] + offset
            if value > 65535.0:
                value = 65535.0
                overloads += 1
            counts[slow, fast] = _truncated(value) & 0xFFFF
    return counts, overloads
