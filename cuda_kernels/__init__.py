"""Kernels for NVIDIA GPUs, compiled from the same formulas as those for the CPU.

Only ``forward`` and what it imports load numba's CUDA; ``engine/pixel_engine.py`` imports it when a GPU is asked for.
"""

if __name__ != "nanobragg_numba.gpu":
    raise ImportError("install the project first (pip install .): this folder is imported as nanobragg_numba.gpu")
