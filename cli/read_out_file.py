"""The image with noise where the line describes the detector: what that reads of the finished float image."""

from collections.abc import Callable

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.seeds import generator_seed
from nanobragg_numba.files import smv_header
from nanobragg_numba.files.output import OutputFiles
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.threads import FinishedRows

from .image_formats import content, described, format_of


class ReadOutFile:
    """Takes the place of ``NoiseFile``. The point spread needs all pixels: nothing is done before the last one."""

    def __init__(self, line: CommandLine, engine: PixelEngine, files: OutputFiles, command: str):
        from nanobragg_numba.jit import compilation
        from nanobragg_numba.response.entries import RESPONSE

        compilation.begin((RESPONSE,))
        self.finished = FinishedRows()
        self._path, self._engine, self._files, self._command = line.outputs.noise_file, engine, files, command

    def finish(self, say: Callable[[str], None]) -> None:
        """Read out, report, and write the file."""
        from nanobragg_numba.response.detector_response import read_experiment

        x = self._engine.experiment
        read = read_experiment(self._engine.image, x, generator_seed(x.seeds.noise), self._engine.threads)
        bits = 8 * read.counts.itemsize
        say(c_format("%.0f", read.photons) + f" photons on noise image ({read.overloads} overloads)\n")
        say(f"writing {self._path} as {described(self._path, x.compat, f'{bits // 8}-byte integers')}\n")
        suffix = format_of(self._path, x.compat)
        if suffix is not None:
            self._files.write(self._path, content(suffix, read.counts, x, self._command))
            return
        pixels = np.ascontiguousarray(read.counts.astype(read.counts.dtype.newbyteorder("<"), copy=False))
        self._files.write(self._path, [smv_header.header(x, 0.0, bits), pixels])
