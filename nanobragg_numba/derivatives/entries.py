"""Entry points of derivatives; see jit/entries.py."""

from nanobragg_numba.jit.entries import Entry, Library

ROOMS = ("kernels", "derivatives")
ADJOINT = Library("adjoint", "gradients", ROOMS, 10.0)
TANGENT = Library("tangent", "forward derivatives", ROOMS, 9.0)
SECOND_ORDER = Library("second_order", "second derivatives", ROOMS, 12.0, number="complex128")

adjoint_blocks = Entry(ADJOINT, "derivatives.adjoint", "adjoint_blocks")
lattice_adjoint = Entry(ADJOINT, "derivatives.lattice_turning", "lattice_adjoint")

tangent_blocks = Entry(TANGENT, "derivatives.tangent", "tangent_blocks")
lattice_tangent = Entry(TANGENT, "derivatives.lattice_turning", "lattice_tangent")

complex_adjoint_blocks = Entry(SECOND_ORDER, "derivatives.adjoint", "adjoint_blocks")
complex_lattice_adjoint = Entry(SECOND_ORDER, "derivatives.lattice_turning", "lattice_adjoint")
complex_turned_lattices = Entry(SECOND_ORDER, "kernels.orientations", "turned_lattices", "derivatives")
