"""A diffraction image on all panels of a detector: crystal and beam are derived once, of each plane the geometry alone."""

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nanobragg_numba.engine.devices import gpu_index
from nanobragg_numba.engine.needed_code import begin_for_image
from nanobragg_numba.engine.pixel_engine import OutOfTable, PixelEngine, require_dtype
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.detector import Geometry
from nanobragg_numba.experiment.memory import require_memory
from nanobragg_numba.experiment.parameters import Compat, Parameters, Precision
from nanobragg_numba.experiment.seeds import Seeds, fresh_seed
from nanobragg_numba.jit.calls import in_threads
from nanobragg_numba.threads import number_of_threads

from .detector import PanelDetector
from .placing import Plane, planes_of, seen_by, sub_pixels, without_detector


@dataclass(frozen=True)
class PanelSimulation:
    """What a detector of panels recorded, and what that was made from."""

    image: np.ndarray
    """(slow, fast): the stacked image, photons per pixel; 0 where no panel is. ``detector.boxes`` says where each one is."""
    detector: PanelDetector
    """The panels."""
    experiment: Experiment
    """All that follows from the parameters before the first pixel; its geometry is that of the first panel's plane."""
    geometries: tuple[Geometry, ...]
    """For each panel the geometry of its plane, whose pixels count from the plane's first one."""
    solid_angle_sum: float
    """Sum of the solid angles of all sub-pixels of all layers, sr."""
    out_of_table: OutOfTable | None
    """The step that turned interpolation off (Q2) in the first plane where one did; its pixel counts in that plane. None: none did."""

    def __repr__(self) -> str:
        largest, total = float(np.max(self.image)), float(np.sum(self.image, dtype=np.float64))
        image = f"image {self.image.shape} {self.image.dtype}, max {largest:g}, sum {total:g} photons"
        return f"<PanelSimulation ({self.experiment.compat}): {len(self.detector)} panels, {image}>"

    def __getitem__(self, panel: str | int) -> np.ndarray:
        """(slow, fast): the image of a panel, by its name or its number; a view."""
        number = self.detector.index(panel) if isinstance(panel, str) else panel
        slow, slow_end, fast, fast_end = self.detector.boxes[number]
        return self.image[slow:slow_end, fast:fast_end]

    @property
    def images(self) -> list[np.ndarray]:
        """The image of each panel, shape (slow, fast); views."""
        return [self[number] for number in range(len(self.detector))]

    @property
    def seeds(self) -> Seeds:
        """What the image can be made from again: fresh where the parameters give none."""
        return self.experiment.seeds

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the stacked image, .bin (bare little-endian float32), .npy or .png, and beside it the map of the panels, the same name
        with .json; or .nxs or .h5, an NXmx file with a module for each panel. Raises InputError for another suffix and for what the disk
        refuses."""
        from .stacked import save_stacked

        save_stacked(path, self)


@dataclass(frozen=True)
class DerivedPanels:
    """What follows from parameters and panels before the first pixel."""

    parameters: Parameters
    detector: PanelDetector
    bare: Experiment
    """Without a detector, with one sub-pixel."""
    planes: tuple[Plane, ...]
    oversample: tuple[int, int]
    """See ``sub_pixels``."""

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment, whose geometry is that of the first panel's plane."""
        return seen_by(self.bare, self.planes[0], self.oversample, self.parameters)


def simulate_panels(
    parameters: Parameters,
    detector: PanelDetector,
    *,
    compat: Compat = "spec",
    dtype: Any = np.float32,
    precision: Precision = "guarded",
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    missing_seed: Callable[[], int] = fresh_seed,
) -> PanelSimulation:
    """The diffraction image of ``parameters`` on the panels of ``detector``.

    Of ``parameters.detector`` only the convention, for the laboratory's vectors, the sensor of panels that have none, its layers and
    ``point_pixel`` count; ``detector.axes`` go before the convention. All else is as for ``simulate``, and so are the bits: what it makes
    of a detector is what its pieces record (``PanelDetector.cut``). In "c" and "c-fixed" each plane is as a run of its own of the
    reference, with the phi carryover (Q1) and the table's edge (Q2) met anew. ``progress`` is called with (rows done, rows to do);
    ``missing_seed`` makes the seeds that are not given. Raises InputError where the parameters make no sense, for a panel whose plane
    goes through the sample, and where there is no such device.
    """
    require_dtype(dtype)
    if not isinstance(detector, PanelDetector):
        raise InputError(f"detector must be a PanelDetector, not {type(detector).__name__}")
    gpu_index(device)
    begin_for_image()
    number_of_threads(threads)
    derived = derive_panels(parameters, detector, compat, missing_seed=missing_seed)
    return render_panels(derived, dtype, precision, threads, device, progress)


def render_panels(
    derived: DerivedPanels,
    dtype: Any = np.float32,
    precision: Precision = "guarded",
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> PanelSimulation:
    """The image of what ``derive_panels`` gives; arguments and errors as for ``simulate_panels``."""
    index = gpu_index(device)
    count = number_of_threads(threads)
    parameters, detector = derived.parameters, derived.detector
    if parameters.shadow is not None and parameters.shadow.mask is not None:
        raise InputError("Shadow.mask (-shadow) is of one plane: give each panel a mask of its own (Panel.mask)")
    x, planes, oversample = derived.bare, derived.planes, derived.oversample
    shape = detector.shape
    require_memory(shape[0] * shape[1] * np.dtype(dtype).itemsize, f"a stacked image of {shape[0]} x {shape[1]} pixels")
    image = np.zeros(shape, dtype)
    rows = _Progress(sum(plane.geometry.window[3] - plane.geometry.window[2] for plane in planes), progress)
    sums = np.zeros(len(planes))
    left: list[OutOfTable | None] = [None] * len(planes)

    def render(number: int, workers: int) -> None:
        plane = planes[number]
        engine = PixelEngine(seen_by(x, plane, oversample, parameters), dtype, precision, workers, device)
        if engine.cpu_reason is not None and number == 0:
            warnings.warn(f"device {device}: computing on the CPU: {engine.cpu_reason}", RuntimeWarning, stacklevel=2)
        for block in engine.blocks():
            rows.add(block.slow_end - block.slow_start)
        sums[number] = engine.solid_angle_sum
        left[number] = engine.out_of_table
        _copy(engine.image, plane, detector, image)

    if index is not None or len(planes) < count or count == 1:
        for number in range(len(planes)):
            render(number, count)
    else:
        waiting = _smallest_first(planes)
        taking = threading.Lock()

        def some() -> None:
            while True:
                with taking:
                    if not waiting:
                        return
                    number = waiting.pop()
                render(number, 1)

        try:
            in_threads(count, some)
        finally:
            # After an interrupt or a failure the threads stop behind the planes that they are at.
            waiting.clear()
    geometries: dict[int, Geometry] = {number: plane.geometry for plane in planes for number in plane.panels}
    in_order = tuple(geometries[i] for i in range(len(detector)))
    gone = next((event for event in left if event is not None), None)
    return PanelSimulation(image, detector, derived.experiment, in_order, float(sums.sum()), gone)


def derive_planes(
    parameters: Parameters,
    detector: PanelDetector,
    compat: Compat,
    noise_seed: int | None = None,
    missing_seed: Callable[[], int] = fresh_seed,
) -> tuple[Experiment, tuple[Plane, ...], tuple[int, int]]:
    """The experiment without a detector and with one sub-pixel, the planes, and the number of sub-pixels (see ``sub_pixels``)."""
    bare = without_detector(parameters, detector)
    x = derive_experiment(
        replace(bare, sampling=replace(bare.sampling, oversample=1)), compat, noise_seed=noise_seed, missing_seed=missing_seed
    )
    planes = planes_of(detector, x, parameters)
    return x, planes, sub_pixels(x, planes, parameters)


def derive_panels(
    parameters: Parameters,
    detector: PanelDetector,
    compat: Compat,
    noise_seed: int | None = None,
    missing_seed: Callable[[], int] = fresh_seed,
) -> DerivedPanels:
    """What follows from parameters and panels before the first pixel. Raises InputError as ``simulate_panels``."""
    return DerivedPanels(parameters, detector, *derive_planes(parameters, detector, compat, noise_seed, missing_seed))


def _smallest_first(planes: tuple[Plane, ...]) -> list[int]:
    """The planes' numbers, to be taken from the end: what is begun last should take the shortest."""
    return sorted(range(len(planes)), key=lambda number: planes[number].geometry.slow_pixels * planes[number].geometry.fast_pixels)


def _copy(pixels: np.ndarray, plane: Plane, detector: PanelDetector, image: np.ndarray) -> None:
    """Put the panels of a plane's image to their places in the stacked one."""
    for number in plane.panels:
        panel = detector.panels[number]
        slow, slow_end, fast, fast_end = detector.boxes[number]
        first_slow, first_fast = panel.first_pixel
        own = pixels[first_slow : first_slow + panel.shape[0], first_fast : first_fast + panel.shape[1]]
        image[slow:slow_end, fast:fast_end] = own if panel.mask is None else np.where(panel.mask != 0, own, 0)


class _Progress:
    """Counts rows, whichever thread finishes them."""

    def __init__(self, total: int, told: Callable[[int, int], None] | None):
        self._total, self._told, self._done = total, told, 0
        self._counting = threading.Lock()

    def add(self, rows: int) -> None:
        with self._counting:
            self._done += rows
            if self._told is not None:
                self._told(self._done, self._total)
