"""Where nb-view takes an image's geometry from: a command line, the header of an SMV image, or an NXmx file."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
    from_file: bool = False
    """Whether it was found in the image's own file, and not asked for."""


def from_line(text: str | Sequence[str], flag: str) -> Setting:
    """The setting of a ``nanoBragg`` command line, in the mode that it names, by default the command's.

    Raises InputError where the line cannot be read, or has words that mean nothing.
    """
    try:
        own, words = take_own_options(words_of(text))
        if own.action != "run" or own.batch is not None:
            raise InputError("-help, -version and -batch make no image")
        if own.panels is not None or own.expt is not None:
            raise InputError("-panels and -expt: the detector of such a line is not read here")
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
    wavelength = mean_wavelength(line.parameters.beam)
    return Setting(geometry, wavelength, line.parameters.detector.curved, "the command line", crystal, own.compat)


def mean_wavelength(beam: Beam) -> float:
    """Of the listed sources by their weights (A); of a beam without a list the central one."""
    if beam.sources is None:
        return beam.wavelength_A
    lengths, weights = 1e10 * beam.sources.wavelengths_m, beam.sources.intensities
    lengths, weights = np.where(np.isnan(lengths), beam.wavelength_A, lengths), np.where(np.isnan(weights), 1.0, weights)
    return float(np.average(lengths, weights=weights)) if weights.sum() > 0.0 else beam.wavelength_A


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


def from_nexus(path: str, frame: int, flag: str) -> Setting:
    """The setting of a frame, counted from 1, of an NXmx file, ours or another's, whose modules stand in one plane, as in the image.

    Raises InputError where the file says nothing of the detector, or of more than one plane.
    """
    from nanobragg_numba.files.nexus.geometry import class_of
    from nanobragg_numba.files.nexus.reader import opened
    from nanobragg_numba.panels.detector import PanelDetector
    from nanobragg_numba.panels.nexus_detector import of_one_plane, read_nexus_detector
    from nanobragg_numba.panels.placing import as_single

    where = f"{flag} {path}".strip()
    with opened(path, flag) as file:
        entries = [entry for entry in file.values() if class_of(entry) == "NXentry"]
        if not any(class_of(child) == "NXinstrument" for entry in entries for child in entry.values()):
            raise InputError(NO_GEOMETRY)
    found = read_nexus_detector(path, flag, frame)
    plane = of_one_plane(found.detector)
    if plane is None:
        raise InputError(f"{where}: its {len(found.detector)} modules do not stand in one plane as they do in the image")
    if found.wavelength_A is None:
        raise InputError(f"{where}: it gives no wavelength")
    beam = Beam(wavelength_A=found.wavelength_A)
    parameters = as_single(Parameters(beam=beam), PanelDetector((plane,), axes=found.detector.axes))
    if parameters is None:
        raise InputError(f"{where}: its pixels are not square")
    return Setting(derive_geometry(parameters, "spec"), found.wavelength_A, False, f"the detector in {path}", from_file=True)


def _ordered(numbers: dict[str, float | None]) -> tuple[float | None, ...]:
    order = ("PIXEL_SIZE", "DISTANCE", "WAVELENGTH", "CLOSE_DISTANCE", "TWOTHETA", "MOSFLM_CENTER_X", "MOSFLM_CENTER_Y")
    return tuple(numbers[key] for key in order)
