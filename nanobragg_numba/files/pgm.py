"""8-bit grey images (PGM) with the reference's header."""

from nanobragg_numba.maths.c_numbers import c_format


def header(fast_pixels: int, slow_pixels: int, scale: float) -> bytes:
    """The header, comment line included."""
    return (f"P5\n{fast_pixels} {slow_pixels}\n" + c_format("# pixels scaled by %g\n", scale) + "255\n").encode()
