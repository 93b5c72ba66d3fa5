"""How kernels are compiled: without contraction, so that h, k, l, the sines' arguments and the geometry round as in C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any
from warnings import catch_warnings, filterwarnings

from numba import cuda

from .intrinsics import SIMULATED

BLOCK_SIZES = (64, 128, 192, 256, 384, 512, 768, 1024)
_compiling = RLock()


def _options() -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``cuda.jit`` gets for device functions and for kernels: inlined; not compiled again at link time, which would contract."""
    if SIMULATED:
        return {}, {}
    if cuda.implementation == "Built-in":
        return {"inline": True}, {}
    return {"forceinline": True}, {"lto": False}


_DEVICE_OPTIONS, _KERNEL_OPTIONS = _options()


def device_function(function: Callable[..., Any]) -> Any:
    """A function for kernels to call."""
    return cuda.jit(function, device=True, **_DEVICE_OPTIONS)


def kernel(function: Callable[..., None]) -> Any:
    """A kernel; compile and launch it inside ``without_contraction``."""
    # numba-cuda forgets lto where ``jit`` is given the options alone and the function later.
    return cuda.jit(function, **_KERNEL_OPTIONS)


@contextmanager
def without_contraction() -> Iterator[None]:
    """Kernels compiled meanwhile keep products and sums apart.

    NVVM fuses them in double precision too, even with fastmath off. ``cuda.jit`` has no option for that, so its call of NVVM is
    given one more: with fma=0 the PTX says mul.rn and add.rn, which nothing behind it fuses either.
    """
    if SIMULATED:
        yield
        return
    from numba.cuda.cudadrv import nvvm

    # One thread at a time: the second would otherwise restore the first one's replacement.
    with _compiling:
        compile_ir = nvvm.compile_ir
        nvvm.compile_ir = lambda code, **options: compile_ir(code, **{**options, "fma": 0})
        try:
            yield
        finally:
            nvvm.compile_ir = compile_ir


def launch(function: Any, tasks: int, *arguments: Any) -> None:
    """Launch a kernel that goes through ``tasks`` in strides of its grid, with as many threads as the current device can hold at once."""
    specialised = function.specialize(*arguments)
    blocks, size = (tasks, 1) if SIMULATED else _resident_shape(specialised)
    with catch_warnings():
        # numba advises against grids as small as those of a few rows.
        filterwarnings("ignore", message="Grid size")
        configured = specialised[min(blocks, -(-tasks // size)), size]
    configured(*arguments)


def _resident_shape(specialised: Any) -> tuple[int, int]:
    """Blocks and threads a block with the most threads resident, by the driver's occupancy calculation; of equals the smallest block,
    whose end leaves the fewest threads idle."""
    (compiled,) = specialised.overloads.values()
    shapes = [(compiled.max_cooperative_grid_blocks(size), size) for size in BLOCK_SIZES if size <= compiled.max_threads_per_block]
    return max(shapes, key=lambda shape: shape[0] * shape[1])
