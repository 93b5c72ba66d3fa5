"""From parameters to a run: lattice, beam, detector, steps, and the tables that the kernels read."""

from .parameters import Crystal
from .rotated_axes import rotated_real_vectors

# Here, since what computes them stands above what describes a crystal.
Crystal.rotated_real_vectors = rotated_real_vectors  # type: ignore[method-assign,assignment]
Crystal.get_rotated_real_vectors = rotated_real_vectors  # type: ignore[method-assign,assignment]
