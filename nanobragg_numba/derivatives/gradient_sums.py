"""Where the adjoint adds to gradients that many pixels share. On a GPU, where many threads add at once, ``add_at`` is another function."""

from nanobragg_numba.jit.decorators import derivative


@derivative
def add_at(array, index, value):
    """Add to one element."""
    array[index] += value


@derivative
def add_to(array, at, vector):
    """Add a vector to three numbers of an array."""
    add_at(array, at, vector[0])
    add_at(array, at + 1, vector[1])
    add_at(array, at + 2, vector[2])
