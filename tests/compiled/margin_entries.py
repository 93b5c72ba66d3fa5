"""Declares what margins.py compiles, as the package's own entry points are declared."""

from pathlib import Path

from nanobragg_numba.jit.entries import Entry, Library

MARGINS = Library("margins", "a test", ("kernels", "simd", str(Path(__file__).parent)), 5.0)
margin_rows = Entry(MARGINS, "margins", "margin_rows")
margin_rows.module, margin_rows.declared_in = "margins", "margin_entries"
