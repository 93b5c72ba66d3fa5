"""Kernels for NVIDIA GPUs, compiled from the same formulas as those for the CPU.

Imported when a GPU is asked for: this loads numba's CUDA, and says in one sentence if that cannot be loaded.
"""

from nanobragg_numba.errors import InputError

if __name__ != "nanobragg_numba.gpu":
    raise ImportError("install the project first (pip install .): this folder is imported as nanobragg_numba.gpu")

try:
    import numba.cuda  # noqa: F401
except Exception as failure:
    # numba-cuda accepts every newer numba and does not always work with it (findings/numba-cuda-beside-newer-numba.sh).
    raise InputError(
        f"-device cuda: numba's CUDA does not load ({failure}); a numba-cuda older than numba may be why: pip install -U 'numba-cuda[cu13]'"
    ) from failure
