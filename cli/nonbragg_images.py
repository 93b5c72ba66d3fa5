"""nonBragg's four images, and the lines that the reference prints about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nanobragg_numba.files import pgm
from nanobragg_numba.files.output import OutputFiles
from nanobragg_numba.kernels.entries import image_sums
from nanobragg_numba.kernels.random_state import new_state, reseed
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.output.integer_images import NoiseImage, automatic_scale, grey_levels, scaled_counts
from nanobragg_numba.output.photon_noise import Window
from nanobragg_numba.output.statistics import Statistics, statistics
from nanobragg_numba.response.amorphous_image import AmorphousImage
from nanobragg_numba.response.entries import shifted_deviations

from .sister import smv_header

if TYPE_CHECKING:
    from .nonbragg import Run

GREY_SPAN = 5.0
"""Standard deviations up to which grey levels reach."""


def write_images(
    x: Run, made: AmorphousImage, threads: int, files: OutputFiles, say: Callable[[str], None], last_group: int | None
) -> None:
    """Write the images and report on them.

    ``last_group``: pixels of the last group of structure factors, by whose number the reference then divides for the mean.
    """
    image, window, outputs = made.image, x.geometry.window, x.line.outputs
    stats = statistics(image, window, np.ones(image.shape, bool))
    if last_group is not None:
        stats = divided_by(stats, image, window, last_group)
    pixels = max(window[1] - window[0], 0) * max(window[3] - window[2], 0)
    deviations = np.zeros(1)
    shifted_deviations(image, window, stats.mean, deviations)
    rmsd = math.sqrt(float(deviations[0]) / (max(pixels, 2) - 1))
    say(f"writing {outputs.float_file} as {image.size} 4-byte floats\n")
    files.write(outputs.float_file, [image.astype("<f4", copy=False)])
    say(c_format("max_I = %g  at %g %g\n", stats.maximum, *_brightest(stats.maximum_index, x)))
    say(c_format("mean= %g rms= %g rmsd= %g\n", stats.mean, stats.rms, rmsd))
    scale = outputs.int_scale if outputs.int_scale > 0.0 else automatic_scale(stats.maximum)
    say(c_format("intfile_scale = %g\n", scale) + f"writing {outputs.int_file} as 2-byte integers\n")
    header = _header(x)
    rows = list(scaled_counts(image, window, scale, outputs.adc_offset))
    files.write(outputs.int_file, [header, *(part.astype("<u2", copy=False) for part in rows)])
    grey = outputs.pgm_scale
    if grey <= 0.0:
        grey = 250.0 / (GREY_SPAN * rmsd) if rmsd > 0.0 else scale
    say(c_format("pgm_scale = %g\n", grey) + f"writing {outputs.pgm_file} as 1-byte integers\n")
    # One byte a pixel: the reference writes twice as many, the second half from memory that is not its image's.
    head = pgm.header(x.geometry.fast_pixels, x.geometry.slow_pixels, grey)
    files.write(outputs.pgm_file, [head, *grey_levels(image, window, grey)])
    if not outputs.noise:
        return
    state = new_state()
    reseed(state, x.seed)
    noise = NoiseImage(image, window, state, outputs.adc_offset, threads)
    noise.finished.reach(len(image))
    counts = [part.astype("<u2", copy=False) for part in noise.rows()]
    say(c_format("%.0f", noise.total) + f" photons on noise image ({noise.overloads} overloads)\n")
    say(f"writing {outputs.noise_file} as 2-byte integers\n")
    files.write(outputs.noise_file, [header, *counts])


def divided_by(stats: Statistics, image: np.ndarray, window: Window, count: int) -> Statistics:
    """The same with another number of pixels."""
    sums = np.zeros(3)
    image_sums(image, window, np.ones(image.shape, bool), sums, np.zeros(2, np.int64))
    return stats._replace(mean=float(sums[1]) / max(count, 1), rms=math.sqrt(float(sums[2]) / (max(count, 2) - 1)))


def _brightest(at: int, x: Run) -> tuple[float, float]:
    """Fast and slow coordinate (metres) of the last sub-pixel of the brightest pixel."""
    if at < 0:
        return 0.0, 0.0
    slow, fast = divmod(at, x.geometry.fast_pixels)
    n, size = x.oversample, x.geometry.pixel_size / x.oversample
    return tuple(size * (pixel * n + n - 1) + size / 2.0 for pixel in (fast, slow))  # type: ignore[return-value]


def _header(x: Run) -> bytes:
    g = x.geometry
    start = x.line.parameters.sampling.phi_deg / RTD * RTD
    values = (
        ("PIXEL_SIZE", g.pixel_size * 1000.0), ("DISTANCE", g.distance * 1000.0), ("WAVELENGTH", x.wavelength * 1e10),
        ("BEAM_CENTER_X", g.fbeam * 1000.0), ("BEAM_CENTER_Y", (g.size[1] - g.sbeam) * 1000.0),
        ("ORGX", g.fclose / g.pixel_size), ("ORGY", g.sclose / g.pixel_size), ("CLOSE_DISTANCE", g.close_distance * 1000.0),
        ("PHI", start), ("OSC_START", start), ("OSC_RANGE", x.phi.range * RTD),
        ("TWOTHETA", x.line.parameters.detector.twotheta_deg / RTD * RTD),
    )  # fmt: skip
    return smv_header("unsigned_short", g.fast_pixels, g.slow_pixels, values)
