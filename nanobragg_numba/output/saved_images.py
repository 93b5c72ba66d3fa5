"""Images of a finished run to files, in the format that the suffix names; each appears whole or not at all."""

import io
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files import preview, smv_header
from nanobragg_numba.files.output import Chunk, write_whole

from .integer_images import ADC_OFFSET, automatic_scale, scaled_counts

Writer = Callable[[np.ndarray, Experiment], Iterable[Chunk]]


def _scaled_smv(image: np.ndarray, x: Experiment) -> Iterable[Chunk]:
    single = np.ascontiguousarray(image, dtype=np.float32)
    # As the reference looks for it: zero where no pixel is above, and blind to nan.
    maximum = float(np.fmax.reduce(single, axis=None, initial=0.0))
    yield smv_header.header(x, -0.0)
    for rows in scaled_counts(single, x.geometry.window, automatic_scale(maximum), ADC_OFFSET):
        yield rows.astype("<u2", copy=False)


def _bare_floats(image: np.ndarray, _: Experiment) -> Iterable[Chunk]:
    return [image.astype("<f4", copy=False)]


def npy(image: np.ndarray) -> list[Chunk]:
    """The bytes of NumPy's own file of an array."""
    buffer = io.BytesIO()
    np.save(buffer, image)
    return [buffer.getvalue()]


def _npy(image: np.ndarray, _: Experiment) -> Iterable[Chunk]:
    return npy(image)


def _edf(image: np.ndarray, x: Experiment) -> Iterable[Chunk]:
    from nanobragg_numba.files import edf

    return edf.contents(image, x)


def _cbf(image: np.ndarray, x: Experiment) -> Iterable[Chunk]:
    from nanobragg_numba.files import cbf

    return cbf.contents(image, x)


def _nexus(image: np.ndarray, x: Experiment) -> Iterable[Chunk]:
    from nanobragg_numba.files.nexus.master import image_bytes

    return [image_bytes(image, x)]


def _png(image: np.ndarray, _: Experiment) -> Iterable[Chunk]:
    return [preview.png(image)]


WRITERS: Mapping[str, Writer] = {
    ".img": _scaled_smv, ".bin": _bare_floats, ".npy": _npy, ".edf": _edf, ".cbf": _cbf, ".h5": _nexus, ".nxs": _nexus, ".png": _png,
}  # fmt: skip


def save_image(path: str | os.PathLike[str], image: np.ndarray, x: Experiment) -> None:
    """See ``Simulation.save``."""
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in WRITERS:
        known = ", ".join(known for known in WRITERS if known != ".cbf")
        raise InputError(f"save {name}: the suffix {suffix or 'of none'} names no format; these do: {known}")
    write_whole(name, "save", WRITERS[suffix](image, x))
