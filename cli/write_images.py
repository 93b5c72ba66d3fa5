"""The four images of a run, and the lines that the reference prints about them."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files import pgm, smv_header
from nanobragg_numba.files.output import Chunk, OutputFiles, is_written_directly
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.output.integer_images import NoiseImage, automatic_scale, grey_levels, scaled_counts
from nanobragg_numba.output.statistics import Statistics, statistics

from . import report
from .image_formats import content, described, format_of
from .read_out_file import ReadOutFile

PIXELS_WITHOUT_THREADS = 1 << 16
"""A thread would hardly have started before so many are drawn or converted."""


def _brightest(stats: Statistics, x: Experiment) -> tuple[float, float]:
    """Fast and slow coordinate (metres) of the last sub-pixel of the brightest pixel."""
    if stats.maximum_index < 0:
        return 0.0, 0.0
    slow, fast = divmod(stats.maximum_index, x.geometry.fast_pixels)
    d = x.tables.detector
    last = d.oversample - 1
    return tuple(d.subpixel_size * (pixel * d.oversample + last) + d.subpixel_size / 2.0 for pixel in (fast, slow))  # type: ignore[return-value]


def _chunks(header: bytes, rows: Iterator[np.ndarray], at_once: bool) -> Iterable[Chunk]:
    """A file's content in its byte order; ``at_once``: made now."""
    chunks: Iterator[Chunk] = chain([header], (part.astype(part.dtype.newbyteorder("<"), copy=False) for part in rows))
    return list(chunks) if at_once else chunks


class NoiseFile:
    """The image with noise, whose pixels must be drawn one after the other: in the background, if there are two threads, while
    the pixels are computed and the other images are made and written.

    The random state must be seeded.
    """

    def __init__(self, line: CommandLine, engine: PixelEngine, files: OutputFiles, command: str):
        self._path, self._files = line.outputs.noise_file, files
        self._experiment, self._command = engine.experiment, command
        self._format = format_of(self._path, engine.experiment.compat)
        self._small = engine.image.size <= PIXELS_WITHOUT_THREADS
        self._direct = is_written_directly(self._path)
        threads = 1 if self._small else engine.threads
        self._image = NoiseImage(engine.image, engine.window, engine.experiment.random_state, line.outputs.adc_offset, threads)
        self._header = smv_header.header(engine.experiment, 0.0)
        self.finished = self._image.finished
        """To be told of finished rows, or that there will be no more."""
        self._wait = self._begin() if threads > 1 and not self._direct and self._format is None else None

    def _begin(self) -> Callable[[], None]:
        return self._files.write(self._path, _chunks(self._header, self._image.rows(), self._small), last=True)

    def finish(self, say: Callable[[str], None]) -> None:
        """Wait for the rest of the file, or make it now, and report on it; all rows must be finished."""
        kept: Iterable[Chunk] = ()
        if self._format is not None:
            kept = content(self._format, np.concatenate(list(self._image.rows())), self._experiment, self._command)
        elif self._direct:
            kept = _chunks(self._header, self._image.rows(), True)
        else:
            (self._wait or self._begin())()
        say(c_format("%.0f", self._image.total) + f" photons on noise image ({self._image.overloads} overloads)\n")
        say(f"writing {self._path} as {described(self._path, self._experiment.compat, '2-byte integers')}\n")
        if self._format is not None or self._direct:
            self._files.write(self._path, kept, last=self._format is not None)


def write_images(
    line: CommandLine,
    engine: PixelEngine,
    files: OutputFiles,
    noise: NoiseFile | ReadOutFile | None,
    command: str,
    say: Callable[[str], None],
) -> None:
    """Write the images of a finished engine and report on them; ``command`` makes them again."""
    x, image, window, outputs = engine.experiment, engine.image, engine.window, line.outputs
    small = image.size <= PIXELS_WITHOUT_THREADS
    if noise is not None:
        noise.finished.reach(len(image))
    say(report.after_run(engine.printed_solid_angle(), x.steps))
    say(f"writing {outputs.float_file} as {described(outputs.float_file, x.compat, f'{image.size} 4-byte floats')}\n")
    floats: Iterable[Chunk] = [image.astype("<f4", copy=False)]
    if (suffix := format_of(outputs.float_file, x.compat)) is not None:
        floats = content(suffix, image, x, command)
    files.write(outputs.float_file, floats)

    stats = statistics(image, window, engine.computed)
    int_scale = outputs.int_scale
    if int_scale <= 0.0:
        int_scale = automatic_scale(stats.maximum)
    say(report.statistics_lines(stats, _brightest(stats, x), int_scale))
    say(f"writing {outputs.int_file} as {described(outputs.int_file, x.compat, '2-byte integers')}\n")
    counts = scaled_counts(image, window, int_scale, outputs.adc_offset)
    if (suffix := format_of(outputs.int_file, x.compat)) is not None:
        files.write(outputs.int_file, content(suffix, np.concatenate(list(counts)), x, command))
    else:
        files.write(outputs.int_file, _chunks(smv_header.header(x, -0.0), counts, small))

    if outputs.write_pgm:
        pgm_scale = outputs.pgm_scale
        if pgm_scale <= 0.0:
            pgm_scale = 250.0 / (5.0 * stats.rmsd) if stats.rmsd > 0.0 else int_scale
        say(c_format("pgm_scale = %g\n", pgm_scale) + f"writing {outputs.pgm_file} as 1-byte integers\n")
        header = pgm.header(x.geometry.fast_pixels, x.geometry.slow_pixels, pgm_scale)
        files.write(outputs.pgm_file, _chunks(header, grey_levels(image, window, pgm_scale), small))
    if noise is not None:
        noise.finish(say)
