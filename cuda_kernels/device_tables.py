"""The tables of one image in a GPU's memory, for kernels that take them as they are."""

from typing import Any

import numpy as np
from numba import cuda

from nanobragg_numba.kernels.arguments import Tables, in_precision

from .intrinsics import SIMULATED


def tables_on_device(tables: Tables, stream: Any = 0) -> Tables:
    """Short vectors as tuples, which are passed by value, and the lists in device memory."""
    if SIMULATED:
        # As scalars of numpy, which divide by zero as C does.
        tables = in_precision(tables, np.float64)
    detector, crystal = tables.detector, tables.crystal

    def moved(table: Any) -> Any:
        return type(table)(*(cuda.to_device(value, stream) if isinstance(value, np.ndarray) else value for value in table))

    return Tables(*map(moved, (detector, tables.beam, crystal, tables.rules)))  # type: ignore[arg-type]
