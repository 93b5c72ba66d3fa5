"""The entry point of the guarded engine; see jit/entries.py."""

from nanobragg_numba.jit.entries import Entry, Library

GUARDED = Library("guarded", "the image", ("kernels", "simd"), 12.0)

guarded_rows = Entry(GUARDED, "simd.loop", "guarded_rows")
