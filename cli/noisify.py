"""The noisify command: a float image of photons made into what a detector would read, as the reference program does it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.command_line.noisify_line import NoisifySettings, read_noisify_line
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.seeds import clock_seed
from nanobragg_numba.files import pgm
from nanobragg_numba.files.output import Chunk, OutputFiles
from nanobragg_numba.kernels.random_state import new_state
from nanobragg_numba.maths.c_numbers import c_format, c_int, c_negative
from nanobragg_numba.maths.constants import THOMSON_CROSS_SECTION
from nanobragg_numba.threads import Background

from .nanobragg import _threads, say
from .noisify_input import NoisifyImage, read_image
from .own_options import OwnOptions
from .sister import SISTER_WORDS, check_targets, check_words, run_sister, smv_header

BANNER = "noisify - add noise to pixels - James Holton 3-19-16\n"
NO_IMAGE = 9
CALIBRATION_SEED = 123456789


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    from .sister_texts import noisify_help

    return run_sister("noisify", words, _run, noisify_help)


@dataclass(frozen=True)
class _Noise:
    """The noise that is asked for; all but photon counting is off with -nonoise."""

    flicker: float
    calibration: float
    readout: float
    seed: int
    """As the generator takes it."""
    calib_seed: int


def _noise(settings: NoisifySettings) -> _Noise:
    seed = c_negative(clock_seed() if settings.seed is None else settings.seed)
    calib_seed = CALIBRATION_SEED if settings.calib_seed is None else c_negative(settings.calib_seed)
    if not settings.noise:
        return _Noise(0.0, 0.0, 0.0, seed, calib_seed)
    return _Noise(settings.flicker, settings.calibration, settings.readout_adu, seed, calib_seed)


def _run(own: OwnOptions, words: Sequence[str]) -> int:
    from nanobragg_numba.jit import compilation
    from nanobragg_numba.response.entries import RESPONSE

    compilation.begin((RESPONSE,))
    line = read_noisify_line(words, SISTER_WORDS)
    settings = line.settings
    check_words(own, line.doubts, line.warnings)
    said = "".join(text + "\n" for text in line.said) + BANNER
    if settings.float_file is None:
        from .sister_texts import NOISIFY_USAGE

        say(said + "".join(NOISIFY_USAGE))
        return NO_IMAGE
    outputs = [("-intfile", settings.int_file)]
    outputs += [("-pgmfile", settings.pgm_file)] if settings.write_pgm else []
    outputs += [("-noisefile", settings.noise_file)] if settings.noise else []
    inputs = [("-floatfile", settings.float_file), *([("-header", settings.header_file)] if settings.header_file is not None else [])]
    check_targets(own, inputs, outputs)
    image = read_image(settings)
    check_words(own, (), image.remarks)
    say(said + image.report)
    with OutputFiles() as files:
        _Run(settings, image, _threads(own.threads)).write(files)
        files.commit()
    return 0


class _Run:
    def __init__(self, settings: NoisifySettings, image: NoisifyImage, threads: int):
        self.settings, self.image, self.threads = settings, image, threads
        self.noise = _noise(settings)
        self.radius = c_int(settings.psf_radius)
        self.fwhm = np.float32(settings.psf_fwhm_um / 1e6)
        """Metres, in single precision as in the reference."""
        self.spreads = settings.psf is not None and self.fwhm > 0.0

    def write(self, files: OutputFiles) -> None:
        """Make the images, say what the reference says, and write them."""
        from nanobragg_numba.response import detection

        settings, noise = self.settings, self.noise
        say(self._summary())
        factor = settings.fluence * THOMSON_CROSS_SECTION * settings.scale
        photons = detection.photons_of(self.image.pixels, factor, self.threads)
        say(self._about_input())
        if not np.isfinite(photons).all():
            raise InputError("-scale: pixels have more photons than a 4-byte float can hold (3.4e38)")
        if self.spreads and not settings.noise:
            say(c_format("  applying PSF to noiseless image width = %g pixels\n", self._fwhm_pixels()))
            photons = self._spread(photons)
        self._write_noiseless(files, photons)
        if not settings.noise:
            return
        state = new_state()
        total = detection.count_photons(photons, noise.flicker, noise.calibration, (noise.seed, noise.calib_seed), state)
        drawn = Background(lambda: detection.gaussian_deviates(photons.size if noise.readout > 0.0 else 0, state))
        if self.spreads:
            say(c_format("%.0f photons on noise image before PSF\n", total))
            say(c_format("  applying PSF width = %g um\n", float(self.fwhm) * 1e6))
            photons = self._spread(photons)
            total = detection.total_of(photons)
        bits = settings.bits if settings.bits in detection.FULL else 16
        counts = detection.read_out(
            photons, settings.gain, settings.adc_offset, bits, self.threads, noise=noise.readout, deviates=drawn.result()
        )
        overloads = counts.overloads if settings.bits in detection.FULL else 0
        say(c_format(f"%.0f photons on noise image ({overloads} overloads)\n", total))
        if settings.bits in detection.FULL:
            say(f"writing {settings.noise_file} as {settings.bits // 8}-byte integers\n")
        files.write(settings.noise_file, [self._header(), self._as_stored(counts.image)])

    def _fwhm_pixels(self) -> float:
        return float(self.fwhm) / self.image.pixel_size

    def _spread(self, photons: np.ndarray) -> np.ndarray:
        from nanobragg_numba.response.point_spread import spread_photons

        assert self.settings.psf is not None
        spread = spread_photons(photons, self.settings.psf, self._fwhm_pixels(), self.radius, self.threads)
        if spread.brightest is not None:
            say(c_format("  maximum input photon/pixel: %g\n", spread.brightest))
            if spread.lost is None:
                say("WARNING: no photons, PSF skipped\n")
        if spread.chosen_radius is not None:
            say(f"  auto-selected psf_radius = {spread.chosen_radius} pixels\n")
        if spread.lost is not None:
            say(c_format("adding back %g lost photons\n", spread.lost))
        return spread.image

    def _write_noiseless(self, files: OutputFiles, photons: np.ndarray) -> None:
        from nanobragg_numba.response import detection

        settings = self.settings
        counts = detection.read_out(photons, settings.gain, settings.adc_offset, 16, self.threads).image
        if settings.bits in detection.FULL:
            say(f"writing {settings.int_file} as {counts.size} {settings.bits // 8}-byte integers\n")
        files.write(settings.int_file, [self._header(), self._as_stored(self._widened(photons, counts))])
        if settings.write_pgm:
            say(f"writing {settings.pgm_file} as 1-byte integers\n")
            height, width = counts.shape
            files.write(settings.pgm_file, [pgm.header(width, height, 1.0), np.minimum(counts, 255).astype(np.uint8)])

    def _widened(self, photons: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The image without noise in 32 bits, which the reference clips at 16 all the same."""
        from nanobragg_numba.response import detection

        if self.settings.bits != 32:
            return counts
        settings = self.settings
        return detection.read_out(photons, settings.gain, settings.adc_offset, 32, self.threads, full=detection.FULL[16]).image

    def _as_stored(self, counts: np.ndarray) -> Chunk:
        """In the file's byte order; nothing where the bits are neither 16 nor 32."""
        if self.settings.bits not in (16, 32):
            return b""
        return counts.astype(counts.dtype.newbyteorder("<"), copy=False)

    def _header(self) -> bytes:
        image, settings = self.image, self.settings
        if image.header is not None:
            return image.header
        values = (
            ("PIXEL_SIZE", image.pixel_size * 1000.0), ("DISTANCE", image.distance * 1000.0), ("WAVELENGTH", image.wavelength),
            ("BEAM_CENTER_X", image.beam[0] * 1000.0), ("BEAM_CENTER_Y", (image.size[1] - image.beam[1]) * 1000.0),
            ("PHI", settings.phi_deg), ("OSC_START", settings.phi_deg), ("OSC_RANGE", settings.osc_deg),
        )  # fmt: skip
        return smv_header({16: "unsigned_short", 32: "long_integer"}.get(settings.bits), image.width, image.height, values)

    def _summary(self) -> str:
        return "".join(self._summary_lines())

    def _summary_lines(self) -> Iterator[str]:
        image, settings, noise = self.image, self.settings, self.noise
        size = f"({image.width}x{image.height} pixels)"
        yield c_format(f"  distance=%g detsize=%gx%g  pixel=%g meters {size}\n", image.distance, *image.size, image.pixel_size)
        yield c_format("  Xbeam=%g Ybeam=%g\n", *image.beam)
        if settings.psf is not None:
            name = {"gauss": "Gaussian", "fiber": "fiber"}[settings.psf]
            yield c_format(f"  {name} PSF fwhm = %g um ", float(self.fwhm) * 1e6)
            yield "  with automatic rendering radius\n" if self.radius == 0 else ""
            # The line of a negative radius is not ended.
            yield f"  with rendering radius: {self.radius}\n" if self.radius >= 0 else ""
        yield f"  seed: {noise.seed}\n  calibration noise seed: {noise.calib_seed}\n"
        yield c_format("  calibration_noise = %g %%\n", noise.calibration * 100)
        yield c_format("  input file scale = %g\n", settings.scale)
        yield c_format("  readout_noise = %g ADU\n", noise.readout)
        yield c_format("  flicker_noise = %g %%\n", noise.flicker * 100)
        yield c_format("  quantum_gain = %g ADU/photon\n  adc_offset = %g ADU\n\n", settings.gain, settings.adc_offset)

    def _about_input(self) -> str:
        pixels, settings = self.image.pixels, self.settings
        negative = pixels[pixels < 0.0].tolist()
        text = "".join(c_format(f"WARNING: negative intensity in {settings.float_file}: %g\n", value) for value in negative)
        brightest = float(pixels.max(initial=0.0)) or 0.0
        on_scale = brightest * settings.scale * settings.fluence * THOMSON_CROSS_SECTION
        return text + c_format("maximum value in input file: %g ( %g on photon scale)\n", brightest, on_scale)
