"""The nonBragg command: diffraction of an amorphous sample, as the reference program does it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.command_line.nonbragg_line import NonBraggLine, read_nonbragg_line
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import Sources, clip_to_beam, derive_sources, fluence
from nanobragg_numba.experiment.detector import Geometry, derive_geometry
from nanobragg_numba.experiment.seeds import clock_seed, generator_seed
from nanobragg_numba.experiment.steps import Steps, phi_steps
from nanobragg_numba.files.output import OutputFiles
from nanobragg_numba.maths.constants import AVOGADRO
from nanobragg_numba.response import amorphous_table
from nanobragg_numba.response.amorphous_image import molecules_in_beam, render
from nanobragg_numba.response.measured_factors import Measured, groups

from . import nonbragg_report as report
from .nanobragg import _threads, say
from .own_options import OwnOptions
from .sister import SISTER_WORDS, check_targets, check_words, run_sister

NO_TABLE = 9


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    from .sister_texts import nonbragg_help

    return run_sister("nonBragg", words, _run, nonbragg_help)


@dataclass(frozen=True)
class Run:
    """What follows from a command line before the first pixel."""

    line: NonBraggLine
    geometry: Geometry
    sources: Sources
    points: tuple[np.ndarray, np.ndarray]
    """See ``amorphous_table.padded``."""
    size: tuple[float, float, float]
    """Of the sample, no larger than the beam (metres)."""
    clipped: tuple[str, ...]
    """What the reference says about that."""
    density: float
    """g/m^3."""
    molecules: float
    fluence: float
    """Photons per square metre."""
    wavelength: float
    """Metres."""
    oversample: int
    phi: Steps
    seed: int
    """Of the noise, as the generator takes it."""


def derive(line: NonBraggLine) -> Run:
    """What follows from the line. Raises InputError."""
    parameters, sample = line.parameters, line.sample
    assert line.table is not None
    beam, given = parameters.beam, parameters.sampling.oversample
    size, clipped = clip_to_beam(sample.size_mm, beam)
    weight, density = sample.molecular_weight, sample.density_g_cm3 * 1e6
    if sample.molecules != 0.0:
        density = sample.molecules / (size[0] * size[1] * size[2]) / AVOGADRO * weight
    geometry = derive_geometry(parameters, "c", "nonBragg")
    _require_pixels(line, geometry)
    wavelength = beam.wavelength_A / 1.0e10
    sources = derive_sources(beam, geometry, wavelength, "c", sample.source_distance_mm / 1000.0)
    if beam.sources is None:
        sources = replace(sources, intensities=np.ones(len(sources.wavelengths)))
    seed = line.outputs.noise_seed
    return Run(
        line, geometry, sources, amorphous_table.padded(*line.table, f"-{sample.stol_unit} {line.files.stol}"), size, clipped, density,
        molecules_in_beam(size, density, weight), fluence(beam), wavelength, max(given or 1, 1), phi_steps(parameters.sampling, "c"),
        generator_seed(clock_seed() if seed is None else seed),
    )  # fmt: skip


def _require_sample(line: NonBraggLine) -> None:
    """Raise InputError for what makes the number of molecules no number."""
    sample = line.sample
    if sample.molecular_weight == 0.0:
        raise InputError("-MW: the molecular weight must not be zero")
    if sample.molecules != 0.0 and 0.0 in (*sample.size_mm, line.parameters.beam.beamsize_mm):
        raise InputError("-molecules: a sample of no volume has no density")


def _require_pixels(line: NonBraggLine, geometry: Geometry) -> None:
    """Raise InputError where the image of -img has fewer pixels than are computed."""
    if line.image is not None and line.image.pixels.size < geometry.fast_pixels * geometry.slow_pixels:
        slow, fast = line.image.pixels.shape
        raise InputError(f"-img {line.image.path}: {fast}x{slow} pixels where {geometry.fast_pixels}x{geometry.slow_pixels} are computed")
    if line.sample.gain == 0.0:
        raise InputError("-gain must not be zero")


def _run(own: OwnOptions, words: Sequence[str]) -> int:
    from nanobragg_numba.jit import compilation
    from nanobragg_numba.kernels.entries import IMAGES, NOISE, ORIENTATIONS
    from nanobragg_numba.response.entries import AMORPHOUS

    compilation.begin((AMORPHOUS, IMAGES, *(() if "-nonoise" in words else (NOISE, ORIENTATIONS))))
    line = read_nonbragg_line(words, SISTER_WORDS)
    check_words(own, line.doubts, line.warnings)
    if line.table is None:
        from .sister_texts import NONBRAGG_USAGE

        say(report.about_image(line) + report.BANNER + "".join(NONBRAGG_USAGE))
        return NO_TABLE
    outputs, files = line.outputs, line.files
    targets = [("-floatfile", outputs.float_file), ("-intfile", outputs.int_file), ("-pgmfile", outputs.pgm_file)]
    targets += [("-noisefile", outputs.noise_file)] if outputs.noise else []
    targets += [("-stolout", files.stol_out)] if line.image is not None else []
    named = [(f"-{line.sample.stol_unit}", files.stol), ("-sourcefile", files.sources), ("-img", files.image)]
    check_targets(own, [(flag, path) for flag, path in named if path is not None], targets)
    _require_sample(line)
    run = derive(line)
    with OutputFiles() as written:
        _write(run, _threads(own.threads), written)
        written.commit()
    return 0


def _write(run: Run, threads: int, files: OutputFiles) -> None:
    from .nonbragg_images import write_images

    line, x = run.line, run
    say(report.about_image(line) + report.BANNER + report.before_run(x))
    recorded = line.image is not None or line.outputs.printout
    made = render(
        x.geometry, line.parameters, x.sources, x.points, x.oversample, x.fluence, x.molecules, threads,
        plots_F=line.sample.plots_F, recorded=recorded,
    )  # fmt: skip
    say(report.meanwhile(x, made) + report.solid_angle(made.printed_solid_angle))
    last_group = None
    if line.image is not None:
        measured = Measured(line.image.pixels, line.outputs.adc_offset, line.sample.gain, line.sample.ignore)
        found = list(groups(made, measured, x.geometry.window))
        say(report.about_groups(x, found))
        files.write(line.files.stol_out, [report.group_lines(x, found).encode()])
        last_group = found[-1].pixels
    write_images(x, made, threads, files, say, last_group)
