"""From the words of a noisify command line to what it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from nanobragg_numba.maths.c_numbers import is_number

from .doubtful_words import stray_words, unknown_option
from .noisify_options import NOISIFY_OPTIONS
from .reading import build
from .word_readers import Reading, read_words


@dataclass(frozen=True)
class NoisifySettings:
    """What the options set; lengths in mm where the name does not say otherwise."""

    float_file: str | None = None
    header_file: str | None = None
    int_file: str = "intimage.img"
    pgm_file: str = "image.pgm"
    noise_file: str = "noiseimage.img"
    write_pgm: bool = True
    noise: bool = True
    bits: int = 16
    distance_mm: float = 100.0
    size_mm: tuple[float, float] = (102.4, 102.4)
    pixel_size_mm: float = 0.1
    pixels: tuple[int, int] = (0, 0)
    """Along fast, slow; 0 where not given."""
    beam_center_mm: tuple[float | None, float | None] = (None, None)
    wavelength_A: float = 1.0
    phi_deg: float = 0.0
    osc_deg: float = 1.0
    psf: str | None = None
    psf_radius: float = 0.0
    psf_fwhm_um: float = 46.0
    fluence: float = 125932015286227086360700780544.0
    """Photons per square metre; times the Thomson cross section it is 1."""
    scale: float = 1.0
    readout_adu: float = 0.0
    flicker: float = 0.0
    calibration: float = 0.03
    gain: float = 1.0
    adc_offset: float = 40.0
    seed: int | None = None
    calib_seed: int | None = None
    badpix_seed: int = 1234
    hotpix_seed: int = 5678


@dataclass(frozen=True)
class SisterLine:
    """A command line of a sister program, read."""

    settings: NoisifySettings
    said: tuple[str, ...]
    """What the reference prints while it reads."""
    doubts: tuple[str, ...]
    """A sentence for each word that means nothing."""
    warnings: tuple[str, ...]
    """A sentence for each value that C reads in part."""


def read_noisify_line(words: Sequence[str], own_options: Sequence[str] = ()) -> SisterLine:
    """Read the words of a command line, without the program's name. Raises InputError for a missing value or one that is not finite."""
    reading = Reading(words, "c", options=NOISIFY_OPTIONS)
    unknown = read_words(reading)
    ignored = [words[at] for at in unknown if at not in reading.used and not is_number(words[at])]
    doubts = [unknown_option(word, own_options, NOISIFY_OPTIONS) for word in ignored]
    doubts += stray_words(words, reading.used, unknown)
    return SisterLine(build(NoisifySettings, "noisify", reading.settings), tuple(reading.said), tuple(doubts), tuple(reading.warnings))
