"""Sums to which many threads add at once, in whatever order they come, without the order making a difference.

Such sums are kept as whole numbers of 2^(24 k): each addend is split, without rounding, into at most four digits, which are added
atomically as 64-bit integers. Integer addition does not round, so the result is the same on every run, whatever the launch.
"""

from typing import Any

from numba import cuda

from .compilation import device_function, kernel
from .intrinsics import atomic_add, exponent_of, power_of_two

DIGIT = 24
"""Bits of a digit; an integer of 64 bits holds the sum of 2^39 of them."""
LOWEST, DIGITS = -17 * 24, 35
"""Exponent of the lowest digit, and how many there are: what is below 2^-408 is left out, what reaches 2^432 makes the sum nan."""
LARGEST = 2.0 ** (LOWEST + DIGIT * DIGITS)
BINS = DIGITS + 1
"""The last one counts addends beyond the range, infinite or not a number."""

_atomic_add, _exponent_of, _power_of_two = (device_function(one) for one in (atomic_add, exponent_of, power_of_two))


def add_exactly(bins: Any, index: int, value: float) -> None:
    """The sum ``bins[index]`` (BINS,) += value."""
    digits = bins[index]
    if not abs(value) < LARGEST:
        _atomic_add(digits, DIGITS, 1)
        return
    rest = value
    while rest != 0.0:
        place = (_exponent_of(rest) - LOWEST) // DIGIT
        if place < 0:
            break
        unit = _power_of_two(LOWEST + DIGIT * place)
        digit = int(rest / unit)
        _atomic_add(digits, place, digit)
        rest -= digit * unit


@kernel
def exact_totals(bins, totals):  # type: ignore[no-untyped-def]
    """Round the sums ``bins`` (n, BINS) to ``totals`` (n,); leaves digits in the bins."""
    for i in range(cuda.grid(1), bins.shape[0], cuda.gridsize(1)):
        for place in range(DIGITS - 1):
            # Carry, so that all digits but the highest are between 0 and 2^24.
            carry = bins[i, place] >> DIGIT
            bins[i, place] -= carry << DIGIT
            bins[i, place + 1] += carry
        total = 0.0
        for place in range(DIGITS - 1, -1, -1):
            total += float(bins[i, place]) * _power_of_two(LOWEST + DIGIT * place)
        totals[i] = total if bins[i, DIGITS] == 0 else total * float("nan")
