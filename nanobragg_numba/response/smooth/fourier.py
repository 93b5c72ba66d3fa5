"""A point spread by Fourier transforms, and what a detector reads on average; for numpy's arrays and for torch's tensors."""

from typing import Any


def fast_length(least: int) -> int:
    """The smallest number from ``least`` on without prime factors above 5, for which transforms are quick."""
    length = least
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def spread_by_fourier(photons: Any, weights: Any, fft: Any) -> Any:
    """The image (slow, fast) convolved with the weights, of odd width, by the library ``fft``; what they lack of 1 is shared out evenly.

    Padded with enough zeros that what wraps around misses the image: what leaves it is lost.
    """
    slow, fast = photons.shape
    radius = weights.shape[0] // 2
    shape = fast_length(slow + radius), fast_length(fast + radius)
    if min(shape) < weights.shape[0]:
        shape = max(shape[0], fast_length(weights.shape[0])), max(shape[1], fast_length(weights.shape[0]))
    spread = fft.irfft2(fft.rfft2(photons, s=shape) * fft.rfft2(weights, s=shape), s=shape)[radius : radius + slow, radius : radius + fast]
    return spread + photons.sum() * (1.0 - weights.sum()) / (slow * fast)


def reading_of(counted: Any, gain: Any, adc_offset: Any) -> Any:
    """ADU of an image of photons, before noise and rounding: G n + offset."""
    return counted * gain + adc_offset
