"""The commands: nanoBragg, nb-trace."""

if __name__ != "nanobragg_numba.cli":
    raise ImportError("install the project first (pip install .): this folder is imported as nanobragg_numba.cli")
