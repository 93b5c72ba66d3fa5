"""Images as nb-compare and nb-view read them: SMV, raw floats, PGM, npy, NXmx, and whatever else fabio knows."""

import io
import math

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files import foreign_images, pgm, smv
from nanobragg_numba.files.reading import read_bytes

Size = tuple[int, int]
NPY, HDF5 = b"\x93NUMPY", b"\x89HDF\r\n\x1a\n"
MAGIC_BYTES = 8


def is_raw(path: str) -> bool:
    """Whether the file holds bare floats, going by its name."""
    return path.endswith(".bin")


def read_image(path: str, flag: str, size: Size | None, frame: int | None = None) -> np.ndarray:
    """The image in a file, (slow, fast); from SMV in the file's type, float32 from raw floats.

    ``size`` (fast, slow) is needed for raw floats alone. ``frame``, counted from 1, by default the first: of NXmx files and stacks in npy
    files. Raises InputError, naming ``flag`` and the file, for what is no image or is of another size, and where there is no such frame.
    """
    if frame is not None and frame < 1:
        raise InputError(f"--frame {frame}: frames are counted from 1")
    begin = first_bytes(path, flag)
    if begin == HDF5:
        from nanobragg_numba.files import nexus

        return _plain(nexus.read_frame(path, frame or 1, flag), path, flag)
    if begin.startswith(NPY):
        return _from_npy(path, flag, frame)
    if frame is not None and frame > 1:
        raise InputError(f"{flag} {path}: there is no frame {frame}: the file holds one image")
    if is_raw(path):
        return _raw(path, flag, size)
    if begin.startswith(pgm.MAGIC):
        return pgm.decode(read_bytes(path, flag), f"{flag} {path}".strip())
    if smv.is_smv(path, flag):
        return smv.read(path, flag).pixels()
    return foreign_images.read(path, flag)


def first_bytes(path: str, flag: str) -> bytes:
    """The first eight bytes. Raises InputError where the file cannot be read, as ``read_bytes`` does."""
    try:
        with open(path, "rb") as file:
            begin = file.read(MAGIC_BYTES)
    except (OSError, ValueError):
        begin = b""
    return begin or read_bytes(path, flag)[:MAGIC_BYTES]


def square_size(path: str, flag: str) -> Size:
    """The size of the square image that a file of bare floats may hold. Raises InputError where it is no square."""
    length = len(read_bytes(path, flag))
    edge = math.isqrt(length // 4)
    if length != 4 * edge * edge:
        raise InputError(f"{flag} {path}: {length} bytes of raw floats are no square image: give its size, --size FAST SLOW")
    return edge, edge


def _raw(path: str, flag: str, size: Size | None) -> np.ndarray:
    content = read_bytes(path, flag)
    if size is None:
        raise InputError(f"{flag} {path}: raw floats need their size: --size FAST SLOW")
    fast, slow = size
    if len(content) != 4 * fast * slow:
        raise InputError(f"{flag} {path}: {len(content)} bytes where {fast}x{slow} floats need {4 * fast * slow}")
    return np.frombuffer(content, "<f4").reshape(slow, fast)


def read_array(path: str, flag: str) -> np.ndarray:
    """The array in an npy file, of any shape. Raises InputError for what is none."""
    try:
        array: np.ndarray = np.load(io.BytesIO(read_bytes(path, flag)), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{flag} {path}: cannot be read as npy ({str(error).splitlines()[0].lower()})") from None
    return array


def _from_npy(path: str, flag: str, frame: int | None) -> np.ndarray:
    array = read_array(path, flag)
    frames = array if array.ndim == 3 else array[None]
    if frame is not None and frame > len(frames):
        raise InputError(f"{flag} {path}: there is no frame {frame}: they go from 1 to {len(frames)}")
    return _plain(frames[(frame or 1) - 1] if len(frames) else array, path, flag)


def _plain(image: np.ndarray, path: str, flag: str) -> np.ndarray:
    if image.ndim != 2 or image.dtype.kind not in "biuf" or image.size == 0:
        raise InputError(f"{flag} {path}: not a plain image, but {image.dtype} numbers of shape {image.shape}")
    return image
