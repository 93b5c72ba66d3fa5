"""PTX of kernels for several GPUs, from one compilation: numba's share of the work, by far the larger, does not depend on the GPU."""

from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from numba import config, cuda, typeof, types
from numba.cuda import codegen
from numba.cuda.cudadrv import nvvm

from nanobragg_numba.gpu.compilation import without_contraction

CAPABILITIES = ((7, 0), (7, 5), (8, 0), (9, 0))
FIRST = (8, 0)
ASSEMBLE = "get_asm_strs" if hasattr(codegen.CUDACodeLibrary, "get_asm_strs") else "get_asm_str"
"""What makes PTX of a library: one text a module in newer numba-cuda, one text in older ones and in numba's own CUDA."""
needs_toolkit = [
    pytest.mark.skipif(bool(config.ENABLE_CUDASIM), reason="the simulator does not compile"),
    pytest.mark.skipif(not config.ENABLE_CUDASIM and not nvvm.is_available(), reason="no CUDA toolkit is found (libNVVM)"),
]


def ptx(function, given, capability, contraction=False):
    """The PTX of a kernel for arguments of the types of ``given``; skips the test where the toolkit does not know the capability."""
    library = _library(function, types.void(*map(typeof, given)), contraction)
    with nullcontext() if contraction else without_contraction():
        try:
            return library.get_asm_str(cc=capability)
        except Exception as error:
            if "unsupported" in str(error) or "not supported" in str(error):
                pytest.skip(f"this toolkit does not compile for {capability[0]}.{capability[1]}: CUDA 13 left out what is below 7.5")
            raise


@cache
def _library(function, signature, contraction):
    """What numba makes of the kernel before the GPU matters."""
    libraries = []

    def kept(self, **options):
        libraries.append(self)
        return assemble(self, **options)

    assemble = getattr(codegen.CUDACodeLibrary, ASSEMBLE)
    # numba asks the current GPU for its capability whenever it compiles a device function.
    with (
        patch("numba.cuda.dispatcher.get_current_device", lambda: SimpleNamespace(compute_capability=FIRST)),
        patch.object(codegen.CUDACodeLibrary, ASSEMBLE, kept),
        nullcontext() if contraction else without_contraction(),
    ):
        cuda.compile(function, signature, device=False, abi="numba", cc=FIRST)
    return libraries[-1]
