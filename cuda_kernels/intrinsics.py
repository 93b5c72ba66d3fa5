"""What the device does in one instruction, each with a plain twin for numba's simulator, which rounds twice or has no such function."""

import ctypes
import ctypes.util
import math
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

import numba
import numpy as np

SIMULATED = bool(getattr(numba.config, "ENABLE_CUDASIM", False))
"""Whether numba runs kernels as plain Python (NUMBA_ENABLE_CUDASIM=1)."""

WHOLE_DOUBLES, WHOLE_SINGLES = 1.5 * 2.0**52, np.float32(1.5 * 2.0**23)
"""Numbers this large are whole, with room for others to be added."""

if SIMULATED:
    from numba.cuda.simulator.kernelapi import FakeCUDAShared

    _allocating = Lock()

    def shared_array(self: Any, shape: Any, dtype: Any) -> np.ndarray:
        """What ``cuda.shared.array`` of that line is for this block: one array, whichever thread is the first to ask.

        numba's own does not lock: now and then two threads of a block get an array each (findings/numba-simulator-shared-arrays.sh).
        """
        line = sys._getframe(1)
        place = line.f_code.co_filename, line.f_lineno
        with _allocating:
            if place not in self._allocations:
                self._allocations[place] = np.empty(shape, dtype)
            return self._allocations[place]  # type: ignore[no-any-return]

    FakeCUDAShared.array = shared_array  # type: ignore[method-assign]

    _libm = ctypes.CDLL(ctypes.util.find_library("m"))
    _libm.fma.restype, _libm.fma.argtypes = ctypes.c_double, [ctypes.c_double] * 3
    _libm.fmaf.restype, _libm.fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3

    def fma(x: Any, y: Any, z: Any) -> Any:
        """x y + z, rounded once."""
        return np.float32(_libm.fmaf(x, y, z)) if isinstance(x, np.float32) else type(x)(_libm.fma(x, y, z))

    def nearest_whole(x: Any) -> Any:
        """The whole number nearest to x; halves go to the even one."""
        return type(x)(round(float(x))) if math.isfinite(x) else x

    def whole_ceiling(x: Any) -> int:
        """The smallest whole number not below x, as an integer; what it is for nan matters to nobody."""
        return math.ceil(x) if math.isfinite(x) else -(2**63)

    def ceiling(x: Any) -> Any:
        """The same, as a double."""
        return np.float64(math.ceil(x)) if math.isfinite(x) else x

    def exponent_of(x: Any) -> int:
        """The e of 2^e <= |x| < 2^(e + 1); x is finite and not 0."""
        return math.frexp(x)[1] - 1

    def power_of_two(e: int) -> Any:
        """2^e."""
        return math.ldexp(1.0, e)

    _adding = Lock()

    def atomic_add(array: Any, index: int, value: Any) -> None:
        """array[index] += value, also where other threads do the same."""
        # The simulator knows cuda.atomic in kernels alone while several threads run.
        with _adding:
            array[index] += value

    fma_single, nearest_whole_single, whole_ceiling_single = fma, nearest_whole, whole_ceiling

else:
    from numba import cuda
    from numba.cuda import libdevice

    def fma(x: Any, y: Any, z: Any) -> Any:
        """x y + z, rounded once."""
        return libdevice.fma(x, y, z)

    def nearest_whole(x: Any) -> Any:
        """The whole number nearest to x, |x| < 2^51; halves go to the even one."""
        # The sum rounds to a whole number. Two additions are issued twice as fast as the instruction for it.
        return (x + WHOLE_DOUBLES) - WHOLE_DOUBLES

    def whole_ceiling(x: Any) -> int:
        """The smallest whole number not below x, as an integer."""
        # ``ceil`` is a double on a GPU.
        return int(libdevice.ceil(x))

    def ceiling(x: Any) -> Any:
        """The same, as a double."""
        return libdevice.ceil(x)

    def exponent_of(x: Any) -> int:
        """The e of 2^e <= |x| < 2^(e + 1); x is finite and not 0."""
        return libdevice.ilogb(x)

    def power_of_two(e: int) -> Any:
        """2^e."""
        return libdevice.ldexp(1.0, e)

    def atomic_add(array: Any, index: int, value: Any) -> None:
        """array[index] += value, also where other threads do the same."""
        cuda.atomic.add(array, index, value)  # type: ignore[call-arg]

    def fma_single(x: Any, y: Any, z: Any) -> Any:
        """The same in single precision."""
        return libdevice.fmaf(x, y, z)

    def nearest_whole_single(x: Any) -> Any:
        """The same in single precision, |x| < 2^22."""
        return (x + WHOLE_SINGLES) - WHOLE_SINGLES

    def whole_ceiling_single(x: Any) -> int:
        """The same in single precision."""
        return int(libdevice.ceilf(x))


INTRINSICS: dict[str, Callable[..., Any]] = {
    "fma": fma, "nearest_whole": nearest_whole, "whole_ceiling": whole_ceiling, "ceiling": ceiling
}  # fmt: skip
INTRINSICS_SINGLE: dict[str, Callable[..., Any]] = {
    "fma": fma_single, "nearest_whole": nearest_whole_single, "whole_ceiling": whole_ceiling_single
}  # fmt: skip
