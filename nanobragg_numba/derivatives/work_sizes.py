"""How large the arrays are that a thread of the derivatives works in; see bundles.py."""

PIXELS = 128
"""Pixels of a row that are worked on together on a CPU (gpu/derivative_code.py has another number)."""
ROWS = 21
"""Of the array of partial derivatives (step_derivatives.py)."""
WORK_ROWS = 25
"""Of the array of rays (chunk_geometry.py)."""
CHANGE_ROWS = 12
"""Of the array of changes, for each direction (tangent.py)."""
