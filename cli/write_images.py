"""The four images of a run, and the lines that the reference prints about them."""

from collections.abc import Callable
from typing import Any

from nanobragg_numba.angles import RTD
from nanobragg_numba.background import Background
from nanobragg_numba.c_text import c_format
from nanobragg_numba.command_line import CommandLine
from nanobragg_numba.experiment import Experiment
from nanobragg_numba.files import pgm, smv
from nanobragg_numba.files.output import OutputFiles
from nanobragg_numba.integer_images import grey_levels, noisy_counts, scaled_counts
from nanobragg_numba.noise import draw_photons
from nanobragg_numba.statistics import Statistics, statistics

from . import report

PIXELS_WITHOUT_THREADS = 1 << 16
"""A thread would hardly have started before so many are converted."""


def smv_geometry(x: Experiment) -> smv.SmvGeometry:
    """The numbers of the SMV header."""
    g = x.geometry
    return smv.SmvGeometry(
        g.fast_pixels, g.slow_pixels, g.pixel_size, g.distance, x.wavelength, g.xbeam, g.ybeam, g.fbeam, g.sbeam, g.size[1],
        g.dials_origin, g.org, g.close_distance, x.phi_start * RTD, x.phi.range * RTD, x.parameters.detector.twotheta_deg / RTD * RTD,
    )  # fmt: skip


def _brightest(stats: Statistics, x: Experiment) -> tuple[float, float]:
    """Fast and slow coordinate (metres) of the last sub-pixel of the brightest pixel."""
    if stats.maximum_index < 0:
        return 0.0, 0.0
    slow, fast = divmod(stats.maximum_index, x.geometry.fast_pixels)
    d = x.tables.detector
    last = d.oversample - 1
    return tuple(d.subpixel_size * (pixel * d.oversample + last) + d.subpixel_size / 2.0 for pixel in (fast, slow))  # type: ignore[return-value]


def write_images(line: CommandLine, engine: Any, files: OutputFiles, say: Callable[[str], None]) -> None:
    """Write the images of a finished engine and report on them; the random state must be seeded for the noise.

    The noise, serial by nature, is drawn while the other images are made and written.
    """
    x, image, window, outputs = engine.experiment, engine.image, engine.window, line.outputs
    threads = engine.threads if image.size > PIXELS_WITHOUT_THREADS else 0
    noise = None
    if outputs.noise and threads > 1:
        noise = Background(lambda: draw_photons(image, window, x.random_state, threads))
    say(report.after_run(engine.printed_solid_angle(), x.steps))
    say(f"writing {outputs.float_file} as {image.size} 4-byte floats\n")
    files.write(outputs.float_file, [image.astype("<f4", copy=False)])

    stats = statistics(image, window, engine.computed)
    int_scale = outputs.int_scale
    if int_scale <= 0.0:
        int_scale = 55000.0 / stats.maximum if stats.maximum > 0.0 else 1.0
    say(report.statistics_lines(stats, _brightest(stats, x), int_scale))
    geometry = smv_geometry(x)
    say(f"writing {outputs.int_file} as 2-byte integers\n")
    counts = scaled_counts(image, window, int_scale, outputs.adc_offset, threads)
    files.write(outputs.int_file, [smv.header(geometry, -0.0), counts.astype("<u2", copy=False)])

    if outputs.write_pgm:
        pgm_scale = outputs.pgm_scale
        if pgm_scale <= 0.0:
            pgm_scale = 250.0 / (5.0 * stats.rmsd) if stats.rmsd > 0.0 else int_scale
        say(c_format("pgm_scale = %g\n", pgm_scale) + f"writing {outputs.pgm_file} as 1-byte integers\n")
        levels = grey_levels(image, window, pgm_scale, threads)
        files.write(outputs.pgm_file, [pgm.header(x.geometry.fast_pixels, x.geometry.slow_pixels, pgm_scale), levels])
    if outputs.noise:
        photons, total = draw_photons(image, window, x.random_state, threads) if noise is None else noise.result()
        noisy, overloads = noisy_counts(photons, window, outputs.adc_offset, threads)
        say(c_format("%.0f", total) + f" photons on noise image ({overloads} overloads)\n")
        say(f"writing {outputs.noise_file} as 2-byte integers\n")
        files.write(outputs.noise_file, [smv.header(geometry, 0.0), noisy.astype("<u2", copy=False)])
