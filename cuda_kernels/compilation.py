"""How kernels are compiled: without contraction, so that h, k, l, the sines' arguments and the geometry round as in C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import RLock
from typing import Any
from warnings import catch_warnings, filterwarnings

from numba import cuda

from .intrinsics import SIMULATED

BLOCK_SIZES = (64, 128, 192, 256, 384, 512, 768, 1024)
SIMULATED_SHAPE = (8, 2)
_compiling = RLock()
_shapes: dict[Any, tuple[int, int]] = {}


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
    if SIMULATED and "cuda" not in function.__code__.co_names:
        # The simulator would exchange a name of its module's, in vain, at every call.
        return function
    return cuda.jit(function, device=True, **_DEVICE_OPTIONS)


def kernel(function: Callable[..., None], registers: int | None = None) -> Any:
    """A kernel, of at most so many registers a thread; compile and launch it inside ``without_contraction``."""
    limit = {} if SIMULATED or registers is None else {"max_registers": registers}
    # numba-cuda forgets lto where ``jit`` is given the options alone and the function later.
    return cuda.jit(function, **_KERNEL_OPTIONS, **limit)


@contextmanager
def without_contraction(wanted: bool = True) -> Iterator[None]:
    """Kernels compiled meanwhile keep products and sums apart, if that is ``wanted``.

    NVVM fuses them in double precision too, even with fastmath off. ``cuda.jit`` has no option for that, so its call of NVVM is
    given one more: with fma=0 the PTX says mul.rn and add.rn, which nothing behind it fuses either.
    """
    if SIMULATED:
        yield
        return
    if not wanted:
        with _compiling:
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


def launch(function: Any, tasks: int, *arguments: Any, stream: Any = 0) -> None:
    """Launch a kernel that goes through ``tasks`` in strides of its grid, with as many threads as the current device can hold at once."""
    blocks, size = resident_shape(function, *arguments)
    launch_blocks(function, min(blocks, -(-tasks // size)), size, *arguments, stream=stream)


def launch_blocks(function: Any, blocks: int, size: int, *arguments: Any, stream: Any = 0) -> None:
    """Launch a kernel with that many blocks of ``size`` threads, behind what is in ``stream``; does not wait for it."""
    specialised = function.specialize(*arguments)
    # numba advises against grids as small as those of a few rows; its simulator runs one kernel at a time.
    with catch_warnings(), _compiling if SIMULATED else nullcontext():
        filterwarnings("ignore", message="Grid size")
        specialised[blocks, size, stream](*arguments)


def resident_shape(function: Any, *arguments: Any) -> tuple[int, int]:
    """Blocks and threads a block with the most threads resident, by the driver's occupancy calculation for the current device; of
    equals the smallest block, whose end leaves the fewest threads idle. Compiles the kernel, if it is not yet, for arguments of
    these types, which may be arrays of the host."""
    if SIMULATED:
        return SIMULATED_SHAPE
    specialised = function.specialize(*arguments)
    key = (specialised, cuda.get_current_device().id)
    if key not in _shapes:
        (compiled,) = specialised.overloads.values()
        shapes = [(compiled.max_cooperative_grid_blocks(size), size) for size in BLOCK_SIZES if size <= compiled.max_threads_per_block]
        _shapes[key] = max(shapes, key=lambda shape: shape[0] * shape[1])
    return _shapes[key]
