"""The image that noisify reads, its size, and where the header's geometry comes from."""

import math
from dataclasses import dataclass, field

import numpy as np

from nanobragg_numba.command_line.noisify_line import NoisifySettings
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.memory import require_memory
from nanobragg_numba.files import smv
from nanobragg_numba.files.reading import read_bytes

MOST_PIXELS = 2**31 - 1


@dataclass
class NoisifyImage:
    """Photons per pixel before scaling, and what the header is to say; lengths in metres."""

    pixels: np.ndarray
    """(slow, fast), float32."""
    width: int
    height: int
    pixel_size: float
    size: tuple[float, float]
    distance: float
    wavelength: float
    """Angstrom, as an option gives it."""
    beam: tuple[float, float]
    header: bytes | None
    """To be copied."""
    report: str
    """What the reference says meanwhile."""
    remarks: list[str] = field(default_factory=list)
    """A sentence for each thing that is not as it should be, with which the reference goes on."""


@dataclass
class _Given:
    """Numbers from the options, which an image's header overrules."""

    pixels: tuple[int, int]
    pixel_size: float
    distance: float
    beam: list[float | None]


def read_image(settings: NoisifySettings) -> NoisifyImage:
    """Read the image and the header that ``settings`` name. Raises InputError for a file that cannot be used and sizes that are none."""
    assert settings.float_file is not None
    where = f"-floatfile {settings.float_file}"
    content = read_bytes(settings.float_file, "-floatfile")
    beam = [None if value is None else value / 1000.0 for value in settings.beam_center_mm]
    given = _Given(settings.pixels, settings.pixel_size_mm / 1000.0, settings.distance_mm / 1000.0, beam)
    report, header = "", None
    if settings.header_file is not None:
        header = _take_header(settings.header_file, given)
        report = f"taking header from {settings.header_file}\nreading {settings.header_file}\n"
    if not given.pixel_size > 0.0:
        raise InputError(f"-pixel: the pixel size must be positive, not {given.pixel_size * 1000.0:g} mm")
    if min(given.pixels) < 0:
        raise InputError(f"-detpixels: an image of {given.pixels[0]}x{given.pixels[1]} pixels is none")
    width, height, guessed = _image_size(given.pixels, len(content) // 4)
    if guessed:
        report += "WARNING: guessing xy pixel dimensions.\n"
    if width * height == 0 or width * height > MOST_PIXELS:
        raise InputError(f"{where}: its {len(content)} bytes are no image of {width}x{height} 4-byte floats; give -detpixels")
    require_memory(width * height * 24, f"an image of {width}x{height} pixels")
    report += f"importing {width * height} pixel intensites: {settings.float_file}\n"
    size = given.pixel_size * width, given.pixel_size * height
    centre = tuple(length / 2.0 if value is None else value for value, length in zip(given.beam, size, strict=True))
    pixels, remarks = _pixels(content, width, height, where)
    if settings.bits not in (16, 32):
        remarks.append(f"-bits {settings.bits}: neither 16 nor 32, and the images are headers without pixels, as the C program's")
    return NoisifyImage(
        pixels, width, height, given.pixel_size, size, given.distance, settings.wavelength_A, (centre[0], centre[1]), header, report,
        remarks,
    )  # fmt: skip


def _take_header(path: str, given: _Given) -> bytes:
    """The bytes of the header, after its keys have overruled what was given."""
    image = smv.read_as_c(path, "-header")
    given.pixels = image.width, image.height

    def number(key: str) -> float | None:
        value = image.value_of(key)
        return None if math.isnan(value) else value

    for key in ("PIXEL_SIZE", "DISTANCE", "BEAM_CENTER_X", "BEAM_CENTER_Y"):
        value = number(key)
        if value is not None and not math.isfinite(value):
            raise InputError(f"-header {path}: {key} in the image header is not a finite number")
    given.pixel_size = given.pixel_size if (value := number("PIXEL_SIZE")) is None else value / 1000.0
    given.distance = given.distance if (value := number("DISTANCE")) is None else value / 1000.0
    given.beam[0] = given.beam[0] if (value := number("BEAM_CENTER_X")) is None else value / 1000.0
    given.beam[1] = given.beam[1] if (value := number("BEAM_CENTER_Y")) is None else given.pixel_size * image.height - value / 1000.0
    return image.content[: int(image.value_of("HEADER_BYTES"))]


def _image_size(pixels: tuple[int, int], count: int) -> tuple[int, int, bool]:
    """Fast and slow size of an image of ``count`` pixels, and whether nothing was known: then as near to a square as it comes."""
    fast, slow = pixels
    if fast and slow:
        return fast, slow, False
    if fast or slow:
        return fast or count // slow, slow or count // fast, False
    fast = math.isqrt(count)
    while fast > 1 and count % fast:
        fast -= 1
    return fast, count // max(fast, 1), True


def _pixels(content: bytes, width: int, height: int, where: str) -> tuple[np.ndarray, list[str]]:
    count = width * height
    if len(content) < count:
        raise InputError(f"{where}: {len(content)} bytes where {width}x{height} pixels need {4 * count}")
    remarks = []
    if len(content) != 4 * count:
        rest = "what it lacks is zero" if len(content) < 4 * count else "the rest is not read"
        remarks.append(f"{where}: {len(content)} bytes where {width}x{height} pixels need {4 * count}; {rest}, as in the C program")
    pixels = np.frombuffer(content[: 4 * count].ljust(4 * count, b"\0"), "<f4").reshape(height, width)
    bad = np.flatnonzero(~np.isfinite(pixels))
    if bad.size:
        slow, fast = divmod(int(bad[0]), width)
        raise InputError(f"{where}: {bad.size} pixels are not finite (slow {slow}, fast {fast} is the first)")
    return pixels.astype(np.float32, copy=False), remarks
