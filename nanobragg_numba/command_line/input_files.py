"""The files that a command line names, read into parameters; what of them was not used is remarked."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import wavelength_channels
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Beam, Compat, Detector, SourceList
from nanobragg_numba.files import smv, text_columns
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.maths.c_numbers import atof

Settings = dict[str, Any]
_T = TypeVar("_T")


class Remark(NamedTuple):
    """A sentence about an input file."""

    quirk: str
    """The row of the reference's quirks, with -compat c; else empty."""
    text: str

    def __str__(self) -> str:
        return f"{self.quirk}: {self.text}" if self.quirk else self.text


@dataclass(frozen=True)
class HeaderImage:
    """An image read for its header or as a mask."""

    path: str
    pixels: np.ndarray
    """(slow, fast)."""


@dataclass
class Donors:
    """What the images of -mask and -img give."""

    settings: Settings = field(default_factory=dict)
    images: list[HeaderImage] = field(default_factory=list)
    """In the order in which they were read: the mask first."""
    mask: np.ndarray | None = None
    remarks: list[Remark] = field(default_factory=list)


C_KEYS = {
    "PIXEL_SIZE": "detector.pixel_size_mm", "DISTANCE": "detector.distance_mm", "CLOSE_DISTANCE": "detector.close_distance_mm",
    "WAVELENGTH": "beam.wavelength_A", "BEAM_CENTER_X": "detector.beam_center_mm.0", "BEAM_CENTER_Y": "detector.beam_center_mm.1",
    "ORGX": "detector.org_pixels.0", "ORGY": "detector.org_pixels.1", "PHI": "sampling.phi_deg", "OSC_RANGE": "sampling.osc_deg",
}  # fmt: skip
"""What the reference looks for in a header, and the fields that it fills."""
EXCLUSIVE = (
    ("detector.distance_mm", "detector.close_distance_mm"),
    ("detector.beam_center_mm", "detector.close_point_mm", "detector.org_pixels"),
    ("detector.pixels", "detector.size_mm"),
)
"""Fields of which one stands for the others: what the line gives of them, a header's others do not undo."""
PLACED = "detector.pix0_mm"


def _donor(words: Sequence[str], option: str) -> str | None:
    """The last file that ``option`` names; a word at the very end names none."""
    return next((words[i + 1] for i in range(len(words) - 2, -1, -1) if words[i].startswith("-") and option in words[i]), None)


def donor_files(words: Sequence[str]) -> tuple[str | None, str | None]:
    """The files that -mask and -img name."""
    return _donor(words, "-mask"), _donor(words, "-img")


def read_donors(words: Sequence[str], compat: Compat) -> Donors:
    """The geometry in the headers of the images that -mask and -img name, and the mask.

    In "c" both headers count, key by key, the image's over the mask's; in "spec" the image's alone, where there is one.
    """
    donors = Donors()
    for flag in ("-mask", "-img"):
        path = _donor(words, flag)
        if path is None:
            continue
        settings, pixels = (_read if mode_of(compat).spec else _read_as_c)(path, flag, donors.remarks)
        donors.settings = settings if mode_of(compat).spec else {**donors.settings, **settings}
        donors.images.append(HeaderImage(path, pixels))
        if flag == "-mask":
            donors.mask = pixels
    return donors


def _read(path: str, flag: str, remarks: list[Remark]) -> tuple[Settings, np.ndarray]:
    from nanobragg_numba.files import foreign_images, smv_header

    if smv.is_smv(path, flag):
        image = smv.read(path, flag)
        return smv_header.geometry_settings(image), image.pixels()
    if flag == "-mask":
        pixels = foreign_images.read(path, flag)
        return {"detector.pixels": (pixels.shape[1], pixels.shape[0])}, pixels
    return _foreign_header(path, flag)


def _foreign_header(path: str, flag: str) -> tuple[Settings, np.ndarray]:
    """Geometry and pixels of an image that is not SMV. Raises InputError where its format has no geometry that is known."""
    from nanobragg_numba.files import cbf, edf

    content = smv.unpacked(read_bytes(path, flag), f"{flag} {path}")
    if content.startswith(cbf.BEGINS_WITH):
        return cbf.geometry_settings(content, path, flag)
    if content.startswith(b"{"):
        return edf.geometry_settings(path, flag)
    if content.startswith(b"\x89HDF"):
        raise InputError(f"{flag} {path}: an HDF5 file; -panels takes the detector, the beam and the spindle of an NXmx file")
    raise InputError(f"{flag} {path}: not an SMV image (it does not begin with HEADER_BYTES), nor one of miniCBF or EDF")


def _read_as_c(path: str, flag: str, remarks: list[Remark]) -> tuple[Settings, np.ndarray]:
    return read_donor_as_c(path, flag, remarks, flag == "-mask")


def read_donor_as_c(path: str, flag: str, remarks: list[Remark], flips: bool) -> tuple[Settings, np.ndarray]:
    """What the reference takes from the header of an image, and its pixels; ``flips``: it counts BEAM_CENTER_Y from the far edge."""
    image = smv.read_as_c(path, flag)
    got: Settings = {"detector.pixels.0": image.width, "detector.pixels.1": image.height}
    found = {target: value for key, target in C_KEYS.items() if not math.isnan(value := image.value_of(key))}
    got |= found
    said = [key for key, target in C_KEYS.items() if found.get(target) != _meant(image, key)]
    said = [f"{', '.join(said)} {'was' if len(said) == 1 else 'were'} taken from inside other keys"] if said else []
    if (beam_y := found.get("detector.beam_center_mm.1")) is not None:
        pixel_size = got.get("detector.pixel_size_mm", Detector.pixel_size_mm) / 1000.0
        flipped = pixel_size * image.height - beam_y / 1000.0
        got["detector.beam_center_y_m"] = flipped if flips else None
        if flips and abs(flipped - beam_y / 1000.0) > 1e-9:
            said.append("BEAM_CENTER_Y was counted from the far edge")
    if atof(image.keys.get("TWOTHETA", "")) != 0.0:
        said.append("TWOTHETA was not used")
    if image.missing_bytes:
        said.append(f"the file lacks {image.missing_bytes} bytes of pixels" + (", and those are masked" if flag == "-mask" else ""))
    types = image.keys.get("Data_type", image.keys.get("TYPE", "unsigned_short"))
    if flag == "-mask" and smv.PIXEL_TYPES.get(types.lower().replace("_", " ")) != "u2":
        said.append(f"its pixels, of type {types!r}, were read as 16-bit integers")
    if said:
        remarks.append(Remark("Q19", f"{flag} {path}: {'; '.join(said)}; -compat spec reads it as it is meant"))
    return got, image.pixels()


def _meant(image: smv.SmvImage, key: str) -> float | None:
    """The number of a key, or where there is none of XDS_ORGX for ORGX."""
    text = image.keys.get(key, image.keys.get(f"XDS_{key}") if key.startswith("ORG") else None)
    return None if text is None else atof(text)


def beneath(header: Settings, line: Settings) -> Settings:
    """The settings of a header with those of the line over them. Raises InputError where they contradict each other."""
    given = {".".join(key.split(".")[:2]) for key in line}
    if PLACED in header and PLACED not in given:
        against = next((name for name in (*EXCLUSIVE[0], *EXCLUSIVE[1]) if name in given), None)
        if against is not None:
            raise InputError(f"the image header gives the first pixel's position ({PLACED}), which {against} on the line contradicts")
    outdone = {other for group in EXCLUSIVE for name in group if name in given for other in group if other != name}
    outdone |= {PLACED} if PLACED in given else set()
    return {**{key: value for key, value in header.items() if ".".join(key.split(".")[:2]) not in outdone}, **line}


def read_columns(path: str, columns: int, flag: str, compat: Compat, remarks: list[Remark]) -> list[np.ndarray]:
    """The columns of a text file."""
    arrays, remark = (text_columns.read if mode_of(compat).spec else text_columns.read_as_c)(path, columns, flag)
    if remark is not None:
        remarks.append(Remark("" if mode_of(compat).spec else "Q20", remark))
    return arrays


def naming(where: str, make: Callable[[], _T]) -> _T:
    """What ``make`` makes; if that is refused, the sentence names the file too."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def read_spectrum(path: str, settings: Settings) -> tuple[SourceList, str]:
    """The sources of -spectrum, and a sentence about them. Raises InputError, too, beside options that would make other sources."""
    against = [key.removeprefix("beam.") for key in settings if key.startswith(("beam.hdiv", "beam.vdiv", "beam.dispersion"))]
    if "files.sources" in settings or against:
        other = "-sourcefile" if "files.sources" in settings else f"divergence or dispersion ({against[0]})"
        raise InputError(f"-spectrum {path}: it gives all sources, and {other} would give others")
    from nanobragg_numba.spectra.reading import sources_of

    sources, source = sources_of(path, "-spectrum")
    return sources, f"-spectrum {path}: {source}"


def in_channels(beam: Beam, count: int | None) -> tuple[Beam, tuple[float, ...]]:
    """The beam with its listed sources in channels, and the wavelength of each (A); as it is, and none, without a ``count``.

    Raises InputError where no sources are listed.
    """
    if count is None:
        return beam, ()
    if beam.sources is None:
        raise InputError("-channels: a -spectrum or a -sourcefile must list the wavelengths")
    wavelengths = beam.sources.wavelengths_m
    known = replace(beam.sources, wavelengths_m=np.where(np.isnan(wavelengths), beam.wavelength_A / 1e10, wavelengths))
    sources, means = wavelength_channels(known, count)
    return replace(beam, sources=replace(beam.sources, channels=sources.channels)), means


def read_sources(path: str, compat: Compat) -> tuple[SourceList, list[Remark]]:
    """The sources in a file, and our remarks."""
    remarks: list[Remark] = []
    columns = read_columns(path, 5, "-sourcefile", compat, remarks)
    return naming(f"-sourcefile {path}", lambda: SourceList(np.stack(columns[:3], axis=1), columns[3], columns[4])), remarks
