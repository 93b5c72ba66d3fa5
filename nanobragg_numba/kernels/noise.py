"""Poisson and Gaussian deviates from a given stream of uniform ones, in the reference's mixture of single and double precision.

Formulas after Numerical Recipes' gasdev, gammln and poidev. What does not depend on the stream is worked out before, a pixel,
a deviate or a whole number at a time, in vectors and threads; what is left to do one by one is short.
"""

import math

import numpy as np

from nanobragg_numba.jit.decorators import entry, inlined
from nanobragg_numba.jit.entry_types import Doubles1, Singles1, Singles2, Whole1

from .accurate_maths import PI_2, decay, sine_magnitude
from .random_state import RandomState

DIRECT_BELOW = np.float32(12.0)
GAUSSIAN_ABOVE = np.float32(1.0e6)
NEARLY_ONE_MINUS = np.float32(1e-6)
"""More than the rounding errors of 1 - m and exp(-m) in single precision, for m below 1."""
UNSURE = 2.0**-46
"""Relative error that the vector functions stay far below (docs/error-bound.md), libm's included: where it could change
the rounding to single precision, libm is asked."""


@inlined
def place(n):
    """An index that is not negative: the compiler need not provide for places counted from the end."""
    return np.uint64(n)


@inlined
def log_gamma(single):
    """Natural logarithm of the gamma function (Lanczos), float32 in and out."""
    x = np.float64(single)
    shifted = x + 5.5
    shifted -= (x + 0.5) * math.log(shifted)
    series = 1.000000000190015
    y = x
    for coefficient in (
        76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5,
    ):  # fmt: skip
        y += 1.0
        series += coefficient / y
    return np.float32(-shifted + math.log(2.5066282746310005 * series / x))


@inlined
def single_or_nan(value):
    """The double rounded to single precision; nan where its error could change that."""
    low, high = np.float32(value * (1.0 - UNSURE)), np.float32(value * (1.0 + UNSURE))
    return low if low == high else np.float32(np.nan)


@entry
def tangents(uniforms: Singles1, vectors: bool, result: Singles1) -> None:
    """tan(pi u) of each deviate, as libm gives it, in single precision. ``vectors``: the processor has fused multiply-add."""
    for n in range(uniforms.shape[0]):
        result[n] = np.nan
    if vectors:
        for n in range(uniforms.shape[0]):
            x = math.pi * np.float64(uniforms[n])
            # pi / 2 - x, exact but for one rounding: sin of it is cos(x), near its zero too.
            t = (0.5 * math.pi - x) + 0.5 * PI_2
            tangent = abs(sine_magnitude(x)) / abs(sine_magnitude(t))
            result[n] = single_or_nan(tangent if t > 0.0 else -tangent)
    for n in range(uniforms.shape[0]):
        if result[n] != result[n]:
            result[n] = math.tan(math.pi * np.float64(uniforms[n]))


@entry
def log_factorials(result: Singles1) -> None:
    """The logarithm of the gamma function at 1, 2, 3, ..."""
    for n in range(result.shape[0]):
        result[n] = log_gamma(np.float32(np.float64(n) + 1.0))


@inlined
def direct_threshold(mean):
    """What the product of deviates must fall to, for a mean below 12."""
    return np.float32(math.exp(-np.float64(mean)))


@inlined
def rejection_parameters(mean):
    """sqrt(2 mean), log(mean) and g of the rejection method."""
    wide = np.float64(mean)
    logarithm = np.float32(math.log(wide))
    return np.float32(math.sqrt(2.0 * wide)), logarithm, np.float32(mean * logarithm - log_gamma(np.float32(wide + 1.0)))


@entry
def noise_survey(window: tuple[int, int, int, int], image: Singles2, counts: Whole1) -> None:
    """Into ``counts``: how many pixels of ``window`` probably need an exponential (see ``draw_photons``), and how many are drawn by
    rejection (but for nan).
    """
    exponentials = rejections = 0
    for slow in range(window[2], window[3]):
        means = image[slow, window[0] : window[1]]
        for i in range(means.shape[0]):
            exponentials += 1 if means[i] > np.float32(0.05) and means[i] < DIRECT_BELOW else 0
            rejections += 1 if means[i] >= DIRECT_BELOW and means[i] <= GAUSSIAN_ABOVE else 0
    counts[0], counts[1] = exponentials, rejections


@entry
def poisson_parameters(
    window: tuple[int, int, int, int], image: Singles2, vectors: bool, thresholds: Singles2, roots: Singles2, logarithms: Singles2
) -> None:
    """What the Poisson deviates of each pixel of ``window`` need: the direct method's threshold, or, from 12 on, the rejection
    method's three numbers, g in place of the threshold. They go into the first rows of the arrays.
    """
    for slow in range(window[2], window[3]):
        row = slow - window[2]
        means, found = image[slow, window[0] : window[1]], thresholds[row, :]
        if vectors:
            doubtful = 0
            for i in range(means.shape[0]):
                inside = means[i] >= np.float32(0.0) and means[i] < DIRECT_BELOW
                threshold = single_or_nan(decay(np.float64(means[i]) if inside else 0.0))
                found[i] = threshold if inside else np.float32(np.nan)
                doubtful += 0 if inside and threshold == threshold else 1
            if doubtful == 0:
                continue
        for i in range(means.shape[0]):
            if means[i] < DIRECT_BELOW:
                if not vectors or found[i] != found[i]:
                    found[i] = direct_threshold(means[i])
            elif not means[i] > GAUSSIAN_ABOVE:
                roots[row, i], logarithms[row, i], found[i] = rejection_parameters(means[i])


@entry
def draw_photons(
    image: Singles2, window: tuple[int, int, int, int], thresholds: Singles2, roots: Singles2, logarithms: Singles2, factorials: Singles1,
    uniforms: Singles1, tangents: Singles1, state: RandomState, photons: Singles2, total: Doubles1, places: Whole1,
) -> None:  # fmt: skip
    """Draw the photons of one pixel after the other until the deviates run out.

    ``places``: the pixel of the window to begin with and the first deviate to use; left at the pixel in which the deviates ran out,
    to be begun anew, and at its first deviate. ``thresholds``, ``roots`` and ``logarithms`` (see ``poisson_parameters``) and the
    ``tangents`` of the deviates may be empty, where few are needed. The photons are added to ``total[0]`` one by one.
    ``state``: for the spare Gaussian.
    """
    width = window[1] - window[0]
    pixels = width * (window[3] - window[2])
    last = uniforms.shape[0]
    prepared = thresholds.shape[0] > 0
    pixel, at = places[0], places[1]
    row = pixel // max(width, 1)
    column = pixel - row * width
    sum_of_all = total[0]
    while pixel < pixels:
        slow, fast = place(window[2] + row), place(window[0] + column)
        mean = image[slow, fast]
        first = at
        count = np.float32(0.0)
        if at >= last:
            break
        if mean < DIRECT_BELOW:
            # exp(-m) >= 1 - m: no photon, and no exponential needed to know.
            if uniforms[place(at)] <= np.float32(1.0) - mean - NEARLY_ONE_MINUS:
                at += 1
            else:
                threshold = thresholds[place(row), place(column)] if prepared else direct_threshold(mean)
                count, at = direct(threshold, uniforms, at)
        elif mean > GAUSSIAN_ABOVE:
            count, at = bright(mean, uniforms, at, state)
        else:
            if prepared:
                i, j = place(row), place(column)
                root, logarithm, g = roots[i, j], logarithms[i, j], thresholds[i, j]
            else:
                root, logarithm, g = rejection_parameters(mean)
            count, at = rejection(mean, root, logarithm, g, factorials, uniforms, tangents, at)
        if at > last:
            at = first
            break
        photons[slow, fast] = count
        sum_of_all += np.float64(count)
        pixel += 1
        column += 1
        if column == width:
            column = 0
            row += 1
    places[0], places[1] = pixel, at
    total[0] = sum_of_all


@inlined
def direct(threshold, uniforms, at):
    """A Poisson deviate by multiplying deviates, and the next deviate's place, beyond the end if they ran out."""
    last = uniforms.shape[0]
    count = np.float32(-1.0)
    product = np.float32(1.0)
    while at < last:
        count += np.float32(1.0)
        product *= uniforms[place(at)]
        at += 1
        if not product > threshold:
            return count, at
    return count, last + 1


@inlined
def rejection(mean, root, logarithm, g, factorials, uniforms, tangents, at):
    """A Poisson deviate by rejection from a Lorentzian, and the next deviate's place, beyond the end if they ran out."""
    last = uniforms.shape[0]
    while at + 1 < last:
        y = tangents[place(at)] if tangents.shape[0] > 0 else np.float32(math.tan(math.pi * np.float64(uniforms[place(at)])))
        at += 1
        count = np.float32(root * y + mean)
        if count < np.float32(0.0):
            continue
        count = np.float32(math.floor(np.float64(count))) if count == count else count
        if count < factorials.shape[0]:
            log_factorial = factorials[place(np.int64(count))]
        else:
            log_factorial = log_gamma(np.float32(np.float64(count) + 1.0))
        exponent = np.float32(np.float32(count * logarithm) - log_factorial) - g
        ratio = np.float32(0.9 * (1.0 + np.float64(np.float32(y * y))) * math.exp(np.float64(exponent)))
        at += 1
        if not uniforms[place(at - 1)] > ratio:
            return count, at
    return np.float32(0.0), last + 1


@inlined
def bright(mean, uniforms, at, state):
    """A Gaussian deviate (Box-Muller) around a large mean, and the next deviate's place, beyond the end if they ran out."""
    wide = np.float64(mean)
    if state.flags[0]:
        state.flags[0] = 0
        return np.float32(wide + math.sqrt(wide) * np.float64(state.floats[0])), at
    while at + 1 < uniforms.shape[0]:
        v1 = np.float32(2.0 * uniforms[place(at)] - 1.0)
        v2 = np.float32(2.0 * uniforms[place(at + 1)] - 1.0)
        at += 2
        square = np.float32(v1 * v1 + v2 * v2)
        if not (square >= np.float32(1.0) or square == np.float32(0.0)):
            factor = np.float32(math.sqrt(-2.0 * math.log(np.float64(square)) / np.float64(square)))
            state.floats[0] = v1 * factor
            state.flags[0] = 1
            return np.float32(wide + math.sqrt(wide) * np.float64(np.float32(v2 * factor))), at
    return np.float32(0.0), uniforms.shape[0] + 1
