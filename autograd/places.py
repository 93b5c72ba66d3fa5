"""Where tensors live, and what computes there: the CPU, or one GPU whose kernels read and write torch's memory in place."""

import warnings
from typing import Any, Protocol

import numpy as np
import torch

from nanobragg_numba.derivatives.cpu import CpuKernels
from nanobragg_numba.derivatives.differentiate import Kernels
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.engine.rendered import rendered
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.threads import most_threads

Tensor = torch.Tensor


class Place(Protocol):
    """A device's kernels, and the way between their arrays and tensors."""

    @property
    def kernels(self) -> Kernels:
        """The derivatives' kernels."""

    def image(self, experiment: Experiment, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The image, and the two pixels whose place the derivatives must know (see ``Rendered``)."""

    def array(self, tensor: Tensor) -> Any:
        """The kernels' view of a tensor."""

    def tensor(self, array: Any) -> Tensor:
        """The tensor of what a kernel returned."""


def plain(tensor: Tensor) -> Tensor:
    """The tensor without its graph, contiguous; a lazy zero or negation, which has no memory of its own, is worked out."""
    tensor = tensor.detach()
    zero = tensor._is_zerotensor()  # type: ignore[attr-defined]
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device=tensor.device) if zero else tensor.resolve_neg().contiguous()


def threads() -> int:
    """How many threads compute, in images and derivatives alike: torch's number (``torch.set_num_threads``, 1 in the workers of a
    ``DataLoader``), but no more than the processors of this process, or NUMBA_NUM_THREADS."""
    return min(most_threads(), torch.get_num_threads())


def guarded_doubles(experiment: Experiment, dtype: torch.dtype) -> PixelEngine:
    """The engine for doubles that round to the reference's floats, which is all that a float64 image promises here."""
    engine = PixelEngine(experiment, np.float32 if dtype == torch.float32 else np.float64, "double", threads())
    if engine.precision == "double":
        engine.precision = "guarded"
    return engine


class Cpu:
    """The CPU."""

    @property
    def kernels(self) -> Kernels:
        """See ``Place``."""
        return CpuKernels(threads())

    def image(self, experiment: Experiment, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """See ``Place``."""
        engine = guarded_doubles(experiment, dtype)
        for _ in engine.blocks():
            pass
        run = rendered(engine)
        return torch.from_numpy(engine.image), torch.tensor([run.first_pixel, run.leaving_pixel])

    def array(self, tensor: Tensor) -> Any:
        """See ``Place``."""
        return plain(tensor).numpy()

    def tensor(self, array: Any) -> Tensor:
        """See ``Place``."""
        return torch.from_numpy(array)


CPU = Cpu()


class Gpu:
    """One GPU. Its kernels are launched on torch's current stream; nothing waits for the whole device, or copies an image to the host.

    The few pixels whose rounding is in doubt, and those of parameters that the GPU's image engine does not cover, are the CPU's.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.index = device.index or 0

    @property
    def kernels(self) -> Kernels:
        """See ``Place``; the sums do not depend on the threads' order where torch is told to be deterministic."""
        from nanobragg_numba.gpu.derivatives import DeviceKernels

        return DeviceKernels(self.index, self._stream(), torch.are_deterministic_algorithms_enabled())

    def image(self, experiment: Experiment, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """See ``Place``."""
        from nanobragg_numba.gpu.tensor_image import compute_image

        engine = guarded_doubles(experiment, dtype)
        image = torch.zeros(engine.image.shape, dtype=dtype, device=self.device)
        reason = compute_image(self.index, engine, self.array(image), self._stream())
        if reason is not None:
            warnings.warn(f"device {self.device}: computing the image on the CPU: {reason}", RuntimeWarning, stacklevel=2)
            cpu_image, places = CPU.image(experiment, dtype)
            return cpu_image.to(self.device), places
        run = rendered(engine)
        return image, torch.tensor([run.first_pixel, run.leaving_pixel])

    def array(self, tensor: Tensor) -> Any:
        """See ``Place``: the same memory."""
        from numba import cuda

        return cuda.as_cuda_array(plain(tensor), sync=False)

    def tensor(self, array: Any) -> Tensor:
        """See ``Place``: the same memory."""
        return torch.as_tensor(array, device=self.device)

    def _stream(self) -> Any:
        from numba import cuda

        pointer = torch.cuda.current_stream(self.device).cuda_stream
        return cuda.external_stream(pointer) if pointer else 0


def place_of(device: torch.device) -> Place:
    """What computes for tensors of that device. Raises InputError for one that has no kernels."""
    if device.type == "cpu":
        return CPU
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(f"there are no kernels for {device} here: torch {torch.__version__} finds no CUDA device")
        return Gpu(device)
    raise InputError(f"there are no kernels for {device}: move the tensors to the CPU or a CUDA device")
