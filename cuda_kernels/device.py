"""The GPU itself: found, checked, and its failures told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba import cuda
from numba.cuda.cudadrv import driver, error

from nanobragg_numba.errors import InputError

OLD_DRIVER = (
    "INSUFFICIENT_DRIVER",
    "SYSTEM_DRIVER_MISMATCH",
    "UNSUPPORTED_PTX_VERSION",
    "unsupported toolchain",
    "driver version is insufficient",
)
NO_DEVICE = ("NO_DEVICE", "no CUDA-capable device", "[100]")
NO_TOOLKIT = ("libNVVM", "libnvvm", "libdevice", "nvvm")
NO_MEMORY = ("OUT_OF_MEMORY", "out of memory")


def _explained(text: str) -> str:
    """A failure of the driver or the toolkit, in words of ours."""
    for marks, sentence in (
        (NO_MEMORY, "the GPU ran out of memory"),
        (OLD_DRIVER, "the NVIDIA driver is too old for the CUDA toolkit that is installed"),
        (NO_DEVICE, "the driver finds no GPU"),
        (("NUMBA_DISABLE_CUDA",), "NUMBA_DISABLE_CUDA switches CUDA off"),
        (("driver library cannot be found",), "no NVIDIA driver is found (libcuda)"),
        (NO_TOOLKIT, "no CUDA toolkit is found: pip install 'numba-cuda[cu13]' brings one"),
    ):
        if any(mark in text for mark in marks):
            return sentence
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"the GPU failed: {lines[-1] if lines else 'no reason given'}"


def _failures() -> tuple[type[BaseException], ...]:
    names = ("CudaSupportError", "CudaDriverError", "NvvmError", "NvvmSupportError", "CudaAPIError", "LinkerError")
    found = (getattr(module, name, None) for module in (error, driver) for name in names)
    return tuple(kind for kind in found if isinstance(kind, type))


FAILURES = _failures()


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns what the driver and the toolkit raise into InputError."""
    try:
        yield
    except Exception as failure:
        # numba-cuda lets the errors of NVIDIA's own package, cuda, through.
        if isinstance(failure, FAILURES) or type(failure).__module__.split(".")[0] == "cuda":
            raise InputError(f"-device {name}: {_explained(str(failure))}") from failure
        raise


def require_device(index: int) -> Any:
    """The device of that number, to be entered with ``with``. Raises InputError if there is none that works."""
    name = f"cuda:{index}"
    with explained(name):
        if not cuda.is_available():
            raise InputError(f"-device {name}: {_explained(str(cuda.cuda_error() or 'libNVVM'))}")
        count = len(cuda.gpus)
        if index >= count:
            known = "cuda:0 alone is" if count == 1 else f"cuda:0 to cuda:{count - 1} are"
            raise InputError(f"-device {name}: there is no such GPU; {known} there")
        return cuda.gpus[index]


def require_device_memory(needed: int, name: str, what: str) -> None:
    """Raise InputError if ``needed`` bytes are more than the current device has free."""
    free = cuda.current_context().get_memory_info().free
    if needed > free:
        raise InputError(f"-device {name}: {what} needs {needed / 2**30:.1f} GiB of the GPU's memory, and {free / 2**30:.1f} GiB are free")
