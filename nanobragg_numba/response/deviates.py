"""Gaussian and Poisson deviates drawn one by one from two seeds over one generator, as the reference's noisify draws them.

Both seeds advance the same shuffle table, and the spare Gaussian deviate belongs to whichever asks next. So nothing of the stream
can be made ahead, as kernels/noise.py does for one seed; the formulas are its own.
"""

import math

import numpy as np

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Singles1, Singles2, Whole1
from nanobragg_numba.kernels.noise import DIRECT_BELOW, GAUSSIAN_ABOVE, NEARLY_ONE_MINUS, direct_threshold, log_gamma, rejection_parameters
from nanobragg_numba.kernels.random import uniform
from nanobragg_numba.kernels.random_state import RandomState

_MODULUS, _MULTIPLIER, _SHIFT = 2147483647, 16807, 26
_TO_UNIT, _LARGEST = 1.0 / _MODULUS, 1.0 - 1.2e-7


@inlined
def drawn(which, seeds, state):
    """A uniform deviate of seed ``which``, as ``uniform`` draws it for one."""
    table = state.integers
    seed, last = seeds[which], table[1]
    if seed <= 0 or last == 0:
        table[0] = seed
        value = uniform(state)
        seeds[which] = table[0]
        return value
    product = _MULTIPLIER * seed
    # The remainder for the modulus 2^31 - 1.
    seed = (product & _MODULUS) + (product >> 31)
    seed = seed - _MODULUS if seed >= _MODULUS else seed
    at = (np.uint64(last) >> np.uint64(_SHIFT)) + np.uint64(2)
    last = table[at]
    table[at], table[1], seeds[which] = seed, last, seed
    value = np.float32(_TO_UNIT * last)
    return np.float32(_LARGEST) if value > _LARGEST else value


@inlined
def gaussian(which, seeds, state):
    """A float32 deviate of mean 0 and variance 1 (Box-Muller); every second one was kept from the last time, whichever seed's."""
    if state.flags[0]:
        state.flags[0] = 0
        return state.floats[0]
    while True:
        v1 = np.float32(2.0 * np.float64(drawn(which, seeds, state)) - 1.0)
        v2 = np.float32(2.0 * np.float64(drawn(which, seeds, state)) - 1.0)
        square = np.float32(v1 * v1 + v2 * v2)
        if not (square >= np.float32(1.0) or square == np.float32(0.0)):
            factor = np.float32(math.sqrt(-2.0 * math.log(np.float64(square)) / np.float64(square)))
            state.floats[0] = v1 * factor
            state.flags[0] = 1
            return np.float32(v2 * factor)


@inlined
def poisson(mean, which, seeds, state):
    """A float32 deviate of that float32 mean; beyond a million photons Gaussian."""
    if mean > GAUSSIAN_ABOVE:
        wide = np.float64(mean)
        return np.float32(wide + math.sqrt(wide) * np.float64(gaussian(which, seeds, state)))
    if mean < DIRECT_BELOW:
        count, product = np.float32(0.0), drawn(which, seeds, state)
        # exp(-m) >= 1 - m: no photon, and no exponential needed to know.
        if product <= np.float32(1.0) - mean - NEARLY_ONE_MINUS:
            return count
        threshold = direct_threshold(mean)
        while product > threshold:
            count += np.float32(1.0)
            product *= drawn(which, seeds, state)
        return count
    root, logarithm, g = rejection_parameters(mean)
    while True:
        y = np.float32(math.tan(math.pi * np.float64(drawn(which, seeds, state))))
        count = np.float32(root * y + mean)
        if count < np.float32(0.0):
            continue
        count = np.float32(math.floor(np.float64(count)))
        exponent = np.float32(np.float32(count * logarithm) - log_gamma(np.float32(np.float64(count) + 1.0))) - g
        ratio = np.float32(0.9 * (1.0 + np.float64(np.float32(y * y))) * math.exp(np.float64(exponent)))
        if not drawn(which, seeds, state) > ratio:
            return count


@entry
def noisy_photons(image: Singles2, flicker: float, calibration: float, seeds: Whole1, state: RandomState, total: Doubles1) -> None:
    """Replace each pixel's mean by the photons counted: flicker and calibration, relative, change the mean before.

    ``seeds``: of flicker and photons, of calibration; as they go on from afterwards. ``total[0]``: the photons, added one by one.
    Afterwards the generator goes on from the first.
    """
    summed = 0.0
    for slow in range(image.shape[0]):
        row = image[slow, :]
        for fast in range(row.shape[0]):
            mean = np.float64(row[fast])
            if flicker > 0.0:
                mean *= 1.0 + flicker * np.float64(gaussian(0, seeds, state))
            if calibration > 0.0:
                mean *= 1.0 + calibration * np.float64(gaussian(1, seeds, state))
            count = poisson(np.float32(mean), 0, seeds, state)
            row[fast] = count
            summed += np.float64(count)
    state.integers[0] = seeds[0]
    total[0] = summed


@entry
def gaussian_deviates(seeds: Whole1, state: RandomState, deviates: Singles1) -> None:
    """The next Gaussian deviates of the first seed."""
    for n in range(deviates.shape[0]):
        deviates[n] = gaussian(0, seeds, state)
    state.integers[0] = seeds[0]
