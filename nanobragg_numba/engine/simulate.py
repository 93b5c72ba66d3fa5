"""Parameters to image, in one call."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nanobragg_numba.experiment.beyond_bragg import DetectorResponse
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.detector import Geometry
from nanobragg_numba.experiment.parameters import Compat, Parameters, Precision
from nanobragg_numba.experiment.seeds import Seeds
from nanobragg_numba.fields import summaries

from .devices import gpu_index
from .needed_code import begin_for_image
from .pixel_engine import OutOfTable, PixelEngine, require_dtype


@dataclass(frozen=True)
class Simulation:
    """An image and what it was made from."""

    image: np.ndarray
    """(slow, fast): photons per pixel, those of backgrounds included, before the detector's response."""
    experiment: Experiment
    """All that follows from the parameters before the first pixel."""
    solid_angle_sum: float
    """Sum of the solid angles of all sub-pixels of all layers, sr, to the last bits but a few."""
    out_of_table: OutOfTable | None
    """The step that turned interpolation off (Q2); None where none did."""
    first_pixel: int
    """Index of the pixel with the run's first sweep, slow times the width plus fast, where that matters (Q1); else -1."""

    def __repr__(self) -> str:
        largest, total = float(np.max(self.image)), float(np.sum(self.image, dtype=np.float64))
        image = f"image {self.image.shape} {self.image.dtype}, max {largest:g}, sum {total:g} photons"
        return f"<Simulation ({self.experiment.compat}): {image}; {summaries.lattice(self.experiment.lattice)}>"

    @property
    def geometry(self) -> Geometry:
        """The derived detector geometry."""
        return self.experiment.geometry

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the image to ``path``, in the format that the suffix names; the file appears whole or not at all.

        .img: SMV, 16 bits: scale x photons + 40, where the brightest pixel makes 55000, the command's ``-intfile``. .bin: the photons as
        bare little-endian float32, row by row, the command's ``-floatfile``. .npy: the array as it is. .edf: the array as it is, with the
        keys of SMV headers. .h5, .nxs: the array as it is, NXmx with all that was simulated (docs/files.md). .png: a picture, logarithmic
        grey scale.
        .cbf: miniCBF, of whole counts alone, as ``dataclasses.replace(run, image=poisson_image(run.image, run.seeds.noise))`` has them.
        Raises InputError for another suffix, for what the disk refuses, for a CBF file of fractions of photons, and for a geometry that
        the format has no words for.
        """
        from nanobragg_numba.output.saved_images import save_image

        save_image(path, self.image, self.experiment)

    def read_out(self, response: DetectorResponse | None = None, *, seed: int | None = None, threads: int | None = None) -> np.ndarray:
        """What the detector reads of this image, (slow, fast), uint16 or uint32: ``detector_response`` of the photons, zero outside the
        window (``Detector.roi``).

        ``response``: by default ``Parameters.response``. ``seed``: of all noise, by default ``seeds.noise``, so that a second call gives
        the same. Raises InputError where there is no response.
        """
        from nanobragg_numba.response.detector_response import read_experiment, require_seed

        x = self.experiment
        if response is not None:
            x = replace(x, parameters=replace(x.parameters, response=response))
        return read_experiment(self.image, x, -require_seed(self.seeds.noise if seed is None else seed, "read_out"), threads).counts

    @property
    def seeds(self) -> Seeds:
        """What the image can be made from again, and its noise: fresh where the parameters give none."""
        return self.experiment.seeds


def simulate(
    parameters: Parameters,
    *,
    compat: Compat = "spec",
    dtype: Any = np.float32,
    precision: Precision = "guarded",
    threads: int | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """The diffraction image of ``parameters``: photons of the crystal and of ``parameters.backgrounds``, less those of the shadow.

    ``compat``: "spec" for the physics that the options promise, "c" for the reference program's pixels, quirks and
    all, "c-fixed" for those of its repaired form.
    ``dtype``: np.float32 (the reference's image) or np.float64 (before its rounding). ``precision``: "guarded" and "exact" give
    the same bits, "double" does not prove its last one, "mixed" and "single" are for previews; see docs/performance.md. ``threads``:
    how many to compute with, by default as many as this process may use processors; the image does not depend on it. ``device``:
    "cpu", "cuda" or "cuda:i"; the guarded image does not depend on that either, and a warning says why where the CPU computes instead.
    ``progress`` is called with (rows done, rows to do). Returns the image, shape (slow, fast), photons per pixel, with
    the derived geometry, lattice, sources and sampling. Raises InputError where the parameters make no sense, and
    where there is no such device.
    """
    require_dtype(dtype)
    gpu_index(device)
    begin_for_image()
    experiment = derive_experiment(parameters, compat)
    engine = PixelEngine(experiment, dtype, precision, threads, device)
    if engine.cpu_reason is not None:
        warnings.warn(f"device {device}: computing on the CPU: {engine.cpu_reason}", RuntimeWarning, stacklevel=2)
    for block in engine.blocks():
        if progress is not None:
            progress(block.slow_end - engine.window[2], engine.window[3] - engine.window[2])
    return Simulation(engine.image, experiment, engine.solid_angle_sum, engine.out_of_table, engine.first_pixel)
