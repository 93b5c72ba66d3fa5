"""Kernels for NVIDIA GPUs; the package is in place for them, and holds none yet."""

if __name__ != "nanobragg_numba.gpu":
    raise ImportError("install the project first (pip install .): this folder is imported as nanobragg_numba.gpu")
