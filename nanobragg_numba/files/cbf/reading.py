"""The geometry in the comments of a miniCBF file, in the words of Dectris's detectors."""

import re
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import atof, is_number, shown

BEGINS_WITH = b"###CBF"
DATA = b"_array_data.data"
NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
COMMENTS = {
    "pixel": rf"Pixel_size\s+({NUMBER}) m x ({NUMBER}) m",
    "distance": rf"Detector_distance\s+({NUMBER}) m",
    "beam": rf"Beam_xy\s+\(({NUMBER}),\s*({NUMBER})\) pixels",
    "wavelength": rf"Wavelength\s+({NUMBER}) A",
    "start": rf"Start_angle\s+({NUMBER}) deg",
    "increment": rf"Angle_increment\s+({NUMBER}) deg",
    "swing": rf"Detector_2theta\s+({NUMBER}) deg",
}
"""The words, and the numbers that stand behind them."""
NEEDED = {"pixel": "Pixel_size", "distance": "Detector_distance", "beam": "Beam_xy"}


def geometry_settings(content: bytes, path: str, flag: str) -> tuple[dict[str, Any], np.ndarray]:
    """The fields of ``Parameters`` that the comments give, as "detector.distance_mm", and the pixels (slow, fast).

    ``content``: the file's, unpacked. The detector faces the beam: its nearest point, which every convention counts alike, is where the
    beam meets it. Raises InputError, naming ``flag`` and the file, where a comment that is needed is missing or the detector is turned.
    """
    where = f"{flag} {path}"
    text = content[: content.find(DATA)].decode("latin-1")
    found = {name: _numbers(text, name, where) for name in COMMENTS}
    for name, word in NEEDED.items():
        if found[name] is None:
            raise InputError(f"{where}: no {word} in the comments of a miniCBF header")
    pixel, distance, beam = found["pixel"], found["distance"], found["beam"]
    assert pixel is not None and distance is not None and beam is not None
    if pixel[0] != pixel[1]:
        raise InputError(f"{where}: its pixels are not square (Pixel_size {pixel[0]:g} m x {pixel[1]:g} m)")
    if (swing := found["swing"]) is not None and swing[0] != 0.0:
        raise InputError(f"{where}: its detector is turned (Detector_2theta {swing[0]:g}), and its comments do not say about what")
    from nanobragg_numba.files import foreign_images

    pixels = foreign_images.read(path, flag)
    got: dict[str, Any] = {
        "detector.pixels.0": pixels.shape[1], "detector.pixels.1": pixels.shape[0], "detector.pixel_size_mm": _millimetres(pixel[0]),
        "detector.distance_mm": _millimetres(distance[0]), "detector.org_pixels.0": beam[0] + 0.5, "detector.org_pixels.1": beam[1] + 0.5,
    }  # fmt: skip
    for name, field in (("wavelength", "beam.wavelength_A"), ("start", "sampling.phi_deg"), ("increment", "sampling.osc_deg")):
        numbers = found[name]
        if numbers is not None and (name != "increment" or numbers[0] != 0.0):
            got[field] = numbers[0]
    return got, pixels


def _millimetres(metres: float) -> float:
    """The millimetres whose text is that of the metres with the point moved."""
    return float(f"{1000.0 * metres:.15g}")


def _numbers(text: str, name: str, where: str) -> tuple[float, ...] | None:
    """The numbers of a comment; None where it does not stand there. Raises InputError for text that is none."""
    found = re.search(rf"^#\s*{COMMENTS[name]}", text, re.M)
    if found is None:
        return None
    for number in found.groups():
        if not is_number(number) or not np.isfinite(atof(number)):
            raise InputError(f"{where}: {shown(found[0])} in the header is not a finite number")
    return tuple(atof(number) for number in found.groups())
