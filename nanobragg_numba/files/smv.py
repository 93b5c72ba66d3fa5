"""SMV (ADSC) images: reading as the reference does, and its own header."""

from dataclasses import dataclass

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.maths.c_numbers import atof, c_format

from .reading import read_bytes

HEADER_BYTES = 512


@dataclass(frozen=True)
class SmvImage:
    """An SMV image as read: its header text and raw content."""

    path: str
    header: str
    content: bytes
    width: int
    height: int

    def value_of(self, keyword: str) -> float:
        """The number behind the last place in the header where ``keyword`` stands, be it part of a longer
        word (DISTANCE is found in CLOSE_DISTANCE); nan if nowhere."""
        return header_value(self.header, keyword)

    def pixels(self) -> np.ndarray:
        """(slow, fast) uint16, bytes as they stand in the file."""
        start = header_size(self.header, self.path)
        return np.frombuffer(self.content, "<u2", self.width * self.height, start).reshape(self.height, self.width)


def header_value(header: str, keyword: str) -> float:
    """See ``SmvImage.value_of``."""
    at = header.rfind(keyword)
    if at < 0:
        return float("nan")
    equals = header.find("=", at + len(keyword))
    return atof(header[equals + 1 :]) if equals >= 0 else 0.0


def header_size(header: str, where: str) -> int:
    """HEADER_BYTES, checked."""
    value = header_value(header, "HEADER_BYTES")
    if not 0 < value < 2**24:
        raise InputError(f"{where}: HEADER_BYTES in the image header is {value:g}")
    return int(value)


def read(path: str, flag: str) -> SmvImage:
    """Read an image. Raises InputError if it is not a whole SMV image of 16-bit pixels."""
    content = read_bytes(path, flag)
    if not content.startswith(b"{\nHEADER_BYT"):
        raise InputError(f"{flag} {path}: not an SMV image (it does not begin with HEADER_BYTES)")
    where = f"{flag} {path}"
    header = _text(content[:HEADER_BYTES])
    size = header_size(header, where)
    header = _text(content[:size])
    width, height = header_value(header, "SIZE1"), header_value(header, "SIZE2")
    if width == 0:
        width = height = header_value(header, "DETECTOR_DIMENSIONS")
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise InputError(f"{where}: the image header gives no size (SIZE1={width:g}, SIZE2={height:g})")
    width, height = int(width), int(height)
    if len(content) < size + 2 * width * height:
        raise InputError(f"{where}: truncated, {len(content)} bytes where {width}x{height} pixels need {size + 2 * width * height}")
    return SmvImage(path, header, content, width, height)


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1")


@dataclass(frozen=True)
class SmvGeometry:
    """The numbers in the reference's header: lengths in metres, angles in degrees."""

    fast_pixels: int
    slow_pixels: int
    pixel_size: float
    distance: float
    wavelength: float
    xbeam: float
    ybeam: float
    fbeam: float
    sbeam: float
    slow_size: float
    dials_origin: tuple[float, float, float]
    org: tuple[float, float]
    close_distance: float
    phi_deg: float
    osc_deg: float
    twotheta_deg: float


def header(g: SmvGeometry, denzo_zero: float) -> bytes:
    """The reference's header, padded to 512 bytes.

    ``denzo_zero`` is -0.0 or +0.0: the noiseless and the noisy image differ in the sign of an added zero.
    """
    lines = (
        "{\nHEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\n"
        f"SIZE1={g.fast_pixels};\nSIZE2={g.slow_pixels};\n"
        + c_format("PIXEL_SIZE=%g;\nDISTANCE=%g;\n", g.pixel_size * 1000.0, g.distance * 1000.0)
        + c_format("WAVELENGTH=%g;\n", g.wavelength * 1e10)
        + c_format("BEAM_CENTER_X=%g;\nBEAM_CENTER_Y=%g;\n", g.xbeam * 1000.0, g.ybeam * 1000.0)
        + c_format("ADXV_CENTER_X=%g;\nADXV_CENTER_Y=%g;\n", g.fbeam * 1000.0, (g.slow_size - g.sbeam) * 1000.0)
        + c_format(
            "MOSFLM_CENTER_X=%g;\nMOSFLM_CENTER_Y=%g;\n",
            (g.sbeam - 0.5 * g.pixel_size) * 1000.0,
            (g.fbeam - 0.5 * g.pixel_size) * 1000.0,
        )
        + c_format("DENZO_X_BEAM=%g;\nDENZO_Y_BEAM=%g;\n", (g.sbeam + denzo_zero) * 1000.0, (g.fbeam + denzo_zero) * 1000.0)
        + c_format("DIALS_ORIGIN=%g,%g,%g\n", *g.dials_origin)
        + c_format("XDS_ORGX=%g;\nXDS_ORGY=%g;\n", *g.org)
        + c_format("CLOSE_DISTANCE=%g;\n", g.close_distance * 1000.0)
        + c_format("PHI=%g;\nOSC_START=%g;\nOSC_RANGE=%g;\n", g.phi_deg, g.phi_deg, g.osc_deg)
        + c_format("TWOTHETA=%g;\n", g.twotheta_deg)
        + "DETECTOR_SN=000;\nBEAMLINE=fake;\n}\f"
    )
    return lines.encode().ljust(HEADER_BYTES, b" ")
