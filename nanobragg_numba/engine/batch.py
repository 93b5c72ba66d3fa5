"""Many images of one shape: on GPUs many to a launch, on the CPU one after another."""

import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, cast

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.parameters import PRECISIONS, Compat, Parameters, Precision
from nanobragg_numba.experiment.seeds import Seeds
from nanobragg_numba.threads import number_of_threads, several_at_once

from .completed import completion_of
from .devices import gpu_index
from .needed_code import begin_for_image
from .pixel_engine import PixelEngine, require_dtype
from .regions import Box, boxes_inside, computed_pixels, mask_of_boxes

MOST_PIXELS_AT_ONCE = 1 << 24
"""Of images that each take a core; the threads share one image after the other where there would be more."""


@dataclass(frozen=True)
class _Image:
    experiment: Experiment
    """What it is computed from."""
    regions: np.ndarray | None
    """(n, 4) int64, inside the window; None: the whole window."""
    reason: str | None
    """Why the CPU computes it although a GPU is asked for."""


def simulate_batch(
    parameters: Sequence[Parameters],
    *,
    compat: Compat = "spec",
    dtype: Any = np.float32,
    precision: Precision = "guarded",
    threads: int | None = None,
    device: str | Sequence[str] = "cpu",
    regions: Sequence[Sequence[Box]] | None = None,
    factors: Any = np.float64,
    copy: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> "Images":
    """The diffraction images of ``parameters``, in order, each of shape (slow, fast) and ``dtype``, photons per pixel.

    They must be of one shape; all else may differ. Neighbours whose crystal shape, switches, number of steps and of sources and
    structure factors are the same share a launch on a GPU. ``compat``, ``dtype``, ``precision``, ``threads`` as for ``simulate``, and so
    are the images: the same bits. ``device``: "cpu", "cuda", "cuda:i", or several GPUs' names, which share the work. ``regions``: for
    each image a list of boxes (fast start, fast end, slow start, slow end), ends not included: only their pixels are computed, as if all
    others were masked, and the others are 0; what is outside the window or the image is left out. ``factors``: np.float32 for a table of
    structure factors of half the size on a GPU. ``copy``: False yields arrays that are overwritten when the next is asked
    for. ``progress`` is called with (images done, images to do).

    Everything is checked, and the GPU's memory planned, before this returns; a RuntimeWarning says where a batch is cut into parts
    since it does not fit, and which images the CPU computes instead, and why. While the caller uses one image, the GPU goes on with the
    next part. What is returned has the ``seeds`` of each image: where the parameters give none, each image has fresh ones. Raises
    InputError where parameters or regions make no sense, there is no such device, or an image does not fit into it.
    """
    require_dtype(dtype)
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if np.dtype(factors) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"factors must be float32 or float64, not {np.dtype(factors)}")
    number_of_threads(threads)
    begin_for_image()
    indices = _gpu_indices([device] if isinstance(device, str) else device)
    if regions is not None and len(regions) != len(parameters):
        raise InputError(f"regions must hold a list of boxes for each of the {len(parameters)} images, not {len(regions)} lists")
    images = []
    for at, one in enumerate(parameters):
        try:
            experiment = derive_experiment(one, compat)
            boxes = None if regions is None else boxes_inside(regions[at], experiment.geometry.window)
        except InputError as error:
            raise InputError(f"image {at} of the batch: {error}") from None
        images.append(_Image(experiment, boxes, _reason(experiment, dtype, precision, indices)))
    shapes = [(image.experiment.geometry.slow_pixels, image.experiment.geometry.fast_pixels) for image in images]
    odd = next((at for at, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        (slow, fast), (first_slow, first_fast) = shapes[odd], shapes[0]
        raise InputError(f"image {odd} of the batch has {fast}x{slow} pixels, and the first one {first_fast}x{first_slow}")
    for reason in dict.fromkeys(image.reason for image in images if image.reason is not None):
        count = sum(image.reason == reason for image in images)
        warnings.warn(f"{count} of {len(images)} images are computed on the CPU: {reason}", RuntimeWarning, stacklevel=2)
    runs = [
        _run(list(members), on_gpu, shapes[0], dtype, precision, threads, indices, factors) for on_gpu, members in _runs(images, indices)
    ]
    return Images(_counted(runs, len(images), copy, progress), tuple(image.experiment.seeds for image in images))


class Images(Iterator[np.ndarray]):
    """The images of a batch, one by one, and the seeds from which each can be made again."""

    def __init__(self, images: Generator[np.ndarray, None, None], seeds: tuple[Seeds, ...]):
        self._images = images
        self.seeds = seeds

    def __next__(self) -> np.ndarray:
        return next(self._images)

    def close(self) -> None:
        """End the batch here, and free what the images to come hold."""
        self._images.close()


def images_of_experiments(
    experiments: Sequence[Experiment], *, precision: Precision = "guarded", threads: int | None = None, device: str = "cpu"
) -> Generator[np.ndarray, None, None]:
    """The float32 images (slow, fast) of experiments of one shape, in order, as ``simulate_batch`` makes them; on a GPU each is overwritten
    when the next is asked for. Raises InputError as that does."""
    indices = _gpu_indices([device])
    images = [_Image(one, None, _reason(one, np.float32, precision, indices)) for one in experiments]
    shape = (images[0].experiment.geometry.slow_pixels, images[0].experiment.geometry.fast_pixels)
    runs = [
        _run(list(members), on_gpu, shape, np.float32, precision, threads, indices, np.float64)
        for on_gpu, members in _runs(images, indices)
    ]
    return _counted(runs, len(images), False, None)


def _runs(images: Sequence[_Image], indices: Sequence[int]) -> Iterator[tuple[bool, Iterator[_Image]]]:
    """Neighbours that the same kind of device computes."""
    return groupby(images, lambda image: bool(indices) and image.reason is None)


def _counted(
    runs: Sequence[Iterator[np.ndarray]], total: int, copy: bool, progress: Callable[[int, int], None] | None
) -> Generator[np.ndarray, None, None]:
    done = 0
    for run in runs:
        for image in run:
            done += 1
            if progress is not None:
                progress(done, total)
            yield image.copy() if copy else image


def _gpu_indices(names: Sequence[str]) -> list[int]:
    """The numbers of the GPUs; none for the CPU. Raises InputError."""
    indices = [gpu_index(name) for name in names]
    if not names or (None in indices and len(indices) > 1) or len(set(indices)) != len(indices):
        raise InputError(f"device must be cpu, or one or more GPUs, each once, not {', '.join(names) or 'none'}")
    return [index for index in indices if index is not None]


def _reason(experiment: Experiment, dtype: Any, precision: Precision, indices: Sequence[int]) -> str | None:
    if not indices:
        return None
    from nanobragg_numba.gpu.coverage import reason_for_cpu

    return reason_for_cpu(experiment.tables, dtype, precision)


def _run(
    images: Sequence[_Image], on_gpu: bool, shape: tuple[int, int], dtype: Any, precision: Precision, threads: int | None,
    indices: Sequence[int], factors: Any,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The images, one by one; on a GPU their memory is planned before this returns."""
    if not on_gpu:
        cores = number_of_threads(threads)
        if len(images) < cores or cores * shape[0] * shape[1] > MOST_PIXELS_AT_ONCE:
            return (_on_cpu(image, dtype, precision, threads) for image in images)
        return several_at_once((partial(_on_cpu, image, dtype, precision, 1) for image in images), cores)
    from nanobragg_numba.gpu.batch_plan import Job, plan
    from nanobragg_numba.gpu.batch_stream import parts_on_all

    jobs = []
    for image in images:
        x, window = image.experiment, image.experiment.geometry.window
        boxes = np.array([window], np.int64) if image.regions is None else image.regions
        jobs.append(Job(x.tables, boxes, x.mask, _first_pixel(image, threads)))
    chosen = cast(Any, precision)
    parts, said = plan(jobs, indices, shape, dtype, chosen, factors)
    if said is not None:
        warnings.warn(said, RuntimeWarning, stacklevel=3)
    finished = parts_on_all(indices, parts, shape, dtype, chosen, factors, number_of_threads(threads))
    return (_completed(image, of, threads) for image, of in zip((image for part in finished for image in part), images, strict=True))


def _completed(image: np.ndarray, of: _Image, threads: int | None) -> np.ndarray:
    """The image of spots from a GPU with background and shadow."""
    completion = completion_of(of.experiment, number_of_threads(threads))
    if completion is not None:
        computed = computed_pixels(of.experiment)
        if of.regions is not None:
            computed &= mask_of_boxes(of.regions, image.shape)
        completion.complete(image, computed, 0, len(image))
    return image


def _on_cpu(image: _Image, dtype: Any, precision: Precision, threads: int | None) -> np.ndarray:
    engine = PixelEngine(image.experiment, dtype, precision, threads, regions=image.regions)
    for _ in engine.blocks():
        pass
    return engine.image


def _first_pixel(image: _Image, threads: int | None) -> int:
    """The index of the pixel with the run's first sweep, where that differs from later ones (Q1), or -1."""
    crystal = image.experiment.tables.crystal
    if crystal.first_orientations is crystal.orientations:
        return -1
    engine = PixelEngine(image.experiment, threads=threads, regions=image.regions)
    engine.census(engine.window[2], engine.window[3])
    return engine.first_pixel
