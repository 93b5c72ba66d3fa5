"""Options about what else than the crystal makes an image, in our own words: backgrounds, shadows, and how the detector reads it out.

The reference does not have them: they are taken off, by their whole word, before the line is read as in C.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat
from nanobragg_numba.maths.c_numbers import is_number

from ..option_table import Option
from ..word_values import read_number

GROUP = "background and read-out"
BACKGROUND, SHADOW, WIDTH = "-background", "-shadow", "-psf_fwhm"
FORMS = ("gauss", "fiber", "moffat")


def _row(word: str, arguments: str, default: str, help: str, kind: str = "float") -> Option:
    return Option((word,), GROUP, arguments, default, help, kind=kind, exact=True)


ROWS = (
    _row(BACKGROUND, "FILE", "none", "an amorphous sample in the beam: structure factor of a molecule (electrons) against sin(theta)/lambda (1/A), a nonBragg -stol file; may be given again, for water, air, ice", "text"),
    _row("-background_thick", "thickness (mm)", "0.1", "of the -background before it, along the beam"),
    _row("-background_density", "density (g/cm^3)", "1", "of the -background before it"),
    _row("-background_MW", "weight (g/mol)", "18", "molecular weight of the -background before it"),
    _row("-beamstop", "radius (mm)", "none", "a disc across the beam, in whose shadow there are no photons"),
    _row("-beamstop_distance", "distance (mm)", "at the detector", "sample to beam stop"),
    _row(SHADOW, "FILE", "none", "an SMV image of the detector's size: no photons reach pixels where it is 0, which are read out all the same", "text"),
    _row("-flicker", "fraction", "0", "flicker of the source, r.m.s., anew for every pixel"),
    _row("-calibration", "fraction", "0", "calibration error of a pixel, r.m.s., the same in every image with one -calib_seed"),
    _row("-calib_seed", "N", "1", "seed of calibration and bad pixels"),
    _row("-psf", " | ".join(FORMS), "none", "form of the detector's point spread", "text"),
    _row(WIDTH, "width (um)", "46", "its full width at half maximum"),
    _row("-psf_radius", "radius (pixels)", "3, 50 or 20 widths", "how far it is followed; what lies beyond is shared out evenly"),
    _row("-psf_beta", "exponent", "3", "of the point spread moffat, above 1: the smaller, the longer its tails"),
    _row("-gain", "ADU/photon", "1", "gain of the read-out"),
    _row("-readout_noise", "noise (ADU)", "0", "read-out noise of every pixel, r.m.s."),
    _row("-saturation", "ADU", "what -bits hold", "the largest reading"),
    _row("-bits", "16 | 32", "16", "bits of a pixel of the noise image; of 32 one is left unused"),
    _row("-badpixels", "fraction", "0", "pixels that do not work: half of them read 0, the others the largest reading"),
)  # fmt: skip
_ROW_OF = {word: row for row in ROWS for word in row.words}
INPUT_FILES = (BACKGROUND, SHADOW)
OF_BACKGROUND = {"-background_thick": "thickness_mm", "-background_density": "density_g_cm3", "-background_MW": "molecular_weight"}
OF_SHADOW = {"-beamstop": "beamstop_mm", "-beamstop_distance": "beamstop_distance_mm"}
OF_RESPONSE = {
    "-flicker": "flicker", "-calibration": "calibration", "-calib_seed": "calibration_seed", "-psf": "psf",
    WIDTH: "psf_fwhm_pixels", "-psf_radius": "psf_radius", "-psf_beta": "psf_beta", "-gain": "gain",
    "-readout_noise": "readout_noise_adu", "-saturation": "saturation_adu", "-bits": "bits", "-badpixels": "bad_pixels",
}  # fmt: skip
OF_PSF = (WIDTH, "-psf_radius", "-psf_beta")
WHOLE = ("-calib_seed", "-psf_radius", "-bits")


@dataclass(frozen=True)
class WholeImageOptions:
    """What these options ask for."""

    backgrounds: tuple[tuple[str, dict[str, float]], ...] = ()
    """Of each its file, and fields of ``Background``."""
    shadow: dict[str, float] = field(default_factory=dict)
    shadow_file: str | None = None
    response: dict[str, Any] = field(default_factory=dict)
    """Fields of ``DetectorResponse``, the width in micrometres."""

    @property
    def files(self) -> list[tuple[str, str]]:
        """The options that name files to be read, and these."""
        return [(BACKGROUND, path) for path, _ in self.backgrounds] + ([(SHADOW, self.shadow_file)] if self.shadow_file else [])


def take_whole_image_options(words: Sequence[str], compat: Compat) -> tuple[WholeImageOptions, list[str]]:
    """These options, of all but -background the last of each, and the words that are left. Raises InputError for a missing or impossible
    value, and for options that belong to one that is not there."""
    rest: list[str] = []
    backgrounds: list[tuple[str, dict[str, float]]] = []
    shadow: dict[str, float] = {}
    response: dict[str, Any] = {}
    shadow_file = None
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        row = _ROW_OF.get(word)
        if row is None:
            rest.append(word)
            continue
        if not remaining:
            raise InputError(f"{word} needs a value: {row.arguments}")
        text = remaining.pop(0)
        if text.startswith("-") and not is_number(text):
            raise InputError(f"{word} needs a value: {row.arguments}, not {text!r}")
        if word == BACKGROUND:
            backgrounds.append((text, {}))
        elif word == SHADOW:
            shadow_file = text
        elif word in OF_BACKGROUND:
            if not backgrounds:
                raise InputError(f"{word} {text}: there is no {BACKGROUND} before it")
            backgrounds[-1][1][OF_BACKGROUND[word]] = _number(word, text, compat)
        elif word in OF_SHADOW:
            shadow[OF_SHADOW[word]] = _number(word, text, compat)
        elif word == "-psf":
            if text not in FORMS:
                raise InputError(f"-psf must be one of {', '.join(FORMS)}, not {text!r}")
            response["psf"] = text
        else:
            response[OF_RESPONSE[word]] = _number(word, text, compat)
    lost = next((word for word in OF_PSF if OF_RESPONSE[word] in response and "psf" not in response), None)
    if lost is not None:
        raise InputError(f"{lost} says something of a point spread, and there is no -psf")
    if "beamstop_distance_mm" in shadow and "beamstop_mm" not in shadow:
        raise InputError("-beamstop_distance says where a beam stop is, and there is no -beamstop")
    if "psf_beta" in response and response["psf"] != "moffat":
        raise InputError(f"-psf_beta is the exponent of -psf moffat, not of {response['psf']}")
    return WholeImageOptions(tuple(backgrounds), shadow, shadow_file, response), rest


def _number(word: str, text: str, compat: Compat) -> float:
    value, warning = read_number(word, text, word in WHOLE, compat)
    if warning or not math.isfinite(value) or (word in WHOLE and value != int(value)):
        raise InputError(f"{word} must be a {'whole ' if word in WHOLE else ''}number, not {text!r}")
    return int(value) if word in WHOLE else value
