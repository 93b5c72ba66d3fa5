"""Where nb-view takes an image's geometry from: a command line, or the header of an SMV image."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from nanobragg_numba.command_line.reading import CommandLine, read_command_line, words_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.detector import Geometry, derive_geometry
from nanobragg_numba.experiment.parameters import Beam, Compat, Detector, Parameters
from nanobragg_numba.files import smv, smv_header

from .own_options import take_own_options

UPRIGHT = 1e-5
"""By how much the two distances of a detector at right angles to the beam may differ, after six digits in a header."""
NO_GEOMETRY = 'the file says nothing of the detector: give the command line that made it (--line "...") or an SMV image (--header IMAGE)'


@dataclass(frozen=True)
class Setting:
    """The geometry of an image, and what it was read from."""

    geometry: Geometry
    wavelength_A: float
    curved: bool
    source: str
    """For the report."""
    parameters: Parameters | None = None
    """What spots follow from; None: the source says nothing of the crystal."""
    compat: Compat = "spec"


def from_line(text: str | Sequence[str], flag: str) -> Setting:
    """The setting of a ``nanoBragg`` command line, in the mode that it names, by default the command's.

    Raises InputError where the line cannot be read, or has words that mean nothing.
    """
    try:
        own, words = take_own_options(words_of(text))
        if own.action != "run" or own.batch is not None:
            raise InputError("-help, -version and -batch make no image")
        line: CommandLine = read_command_line(words, own.compat, only_named=True)
        doubts = line.doubts()
        if doubts:
            raise InputError(doubts[0])
        geometry = derive_geometry(line.parameters, own.compat)
    except InputError as error:
        raise InputError(f"{flag}: {error}") from None
    for remark in line.remarks:
        warnings.warn(remark.text, UserWarning, stacklevel=2)
    crystal = line.parameters if line.usable else None
    return Setting(geometry, line.parameters.beam.wavelength_A, line.parameters.detector.curved, "the command line", crystal, own.compat)


def from_smv(path: str, flag: str) -> Setting:
    """The setting that the header of an SMV image gives. Raises InputError where it leaves the geometry open.

    Our own headers give all of it. Others are taken where the detector is at right angles to the beam, which they say by two distances
    that are the same and no two-theta: MOSFLM_CENTER_X and _Y are then the beam's place in any convention.
    """
    image = smv.read(path, flag)
    if smv_header.MARK in image.keys:
        parameters = read_command_line(["-img", path], "spec", only_named=True).parameters
        return Setting(
            derive_geometry(parameters, "spec"), parameters.beam.wavelength_A, parameters.detector.curved, f"the header of {path}"
        )
    numbers = {
        key: image.number(key)
        for key in ("PIXEL_SIZE", "DISTANCE", "WAVELENGTH", "CLOSE_DISTANCE", "TWOTHETA", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y")
    }
    missing = [key for key in ("PIXEL_SIZE", "DISTANCE", "WAVELENGTH", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y") if numbers[key] is None]
    if missing:
        raise InputError(f'{flag} {path}: the image header has no {missing[0]}: give the command line that made it (--line "...")'.strip())
    pixel, distance, wavelength, close, swing, x, y = (number or 0.0 for number in _ordered(numbers))
    if swing != 0.0 or (numbers["CLOSE_DISTANCE"] is not None and abs(close - distance) > UPRIGHT * abs(distance)):
        raise InputError(
            f"{flag} {path}: the detector is tilted, and the image header does not say how: "
            'give the command line that made it (--line "...")'.strip()
        )
    detector = Detector(
        pixels=(image.width, image.height), pixel_size_mm=pixel, distance_mm=distance, beam_center_mm=(x, y), convention="mosflm"
    )
    parameters = Parameters(beam=Beam(wavelength_A=wavelength), detector=detector)
    try:
        if not wavelength > 0.0:
            raise InputError(f"WAVELENGTH must be positive, not {wavelength:g}")
        geometry = derive_geometry(parameters, "spec")
    except InputError as error:
        raise InputError(f"{flag} {path}: its header gives no detector ({error})".strip()) from None
    return Setting(geometry, wavelength, False, f"the header of {path}")


def _ordered(numbers: dict[str, float | None]) -> tuple[float | None, ...]:
    order = ("PIXEL_SIZE", "DISTANCE", "WAVELENGTH", "CLOSE_DISTANCE", "TWOTHETA", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y")
    return tuple(numbers[key] for key in order)
