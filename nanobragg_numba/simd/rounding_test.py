"""The test of each pixel's rounding (docs/error-bound.md)."""

import numpy as np

from nanobragg_numba.jit.decorators import compiled

from .error_bound import LARGEST_SUM, POLAR_ERROR, SMALLEST_POLAR, SURE_ENOUGH
from .work_rows import rows_of


@compiled
def values_and_margins(n, work, rules, bound, left_out):
    """Turn the sums of n pixels into their values, in place, and bound these values' errors in ``margin``.

    ``left_out``: bound on what the steps left out of a pixel add up to, before the closing factors.
    """
    w = rows_of(work)
    factor = rules.scale / rules.steps
    for i in range(n):
        # In "c" all sources are one part.
        total = w.total[i] if rules.spec else w.part[i]
        value = total * factor
        error = (w.error[i] if rules.spec else w.part_error[i]) * factor
        # Not a number fails every comparison here, and is not known.
        left = left_out
        known = abs(total) <= LARGEST_SUM and abs(value) <= LARGEST_SUM
        if not rules.spec:
            capture = 1.0 if rules.each_thick else w.capture[i]
            polar = 1.0 if rules.each_polar else w.polar[i]
            omega = 1.0 if rules.each_omega else w.omega[i]
            value *= capture * polar * omega
            error *= abs(capture * polar * omega)
            left *= abs(capture * polar * omega)
            error += abs(value) * (0.0 if rules.each_polar else POLAR_ERROR / polar)
            # A factor of zero makes the reference compute it again at the next sub-pixel or source.
            known = known and w.capture[i] != 0.0 and w.polar[i] >= SMALLEST_POLAR and 0.0 < abs(w.omega[i]) <= LARGEST_SUM
        size = abs(value)
        w.total[i] = value
        w.margin[i] = size * bound + error + left if known and error <= SURE_ENOUGH * size else np.inf


@compiled
def unsure_pixels(n, work, guarded):
    """How many of n pixels the exact engine must decide; they are marked in ``unsure``."""
    w = rows_of(work)
    count = 0
    for i in range(n):
        value = w.total[i]
        margin = w.margin[i] if guarded or w.margin[i] == np.inf else 0.0
        # Not `and`: a branch would keep the loop from becoming vector instructions.
        in_doubt = (w.live[i] != 0.0) & (np.float32(value - margin) != np.float32(value + margin))
        w.unsure[i] = 1.0 if in_doubt else 0.0
        count += 1 if in_doubt else 0
    return count
