"""EDF: any array, through fabio, with the keys of our SMV headers."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files import smv, smv_header
from nanobragg_numba.files.output import Chunk

OF_SMV_ALONE = {"HEADER_BYTES", "DIM", "BYTE_ORDER", "TYPE", "SIZE1", "SIZE2", "DETECTOR_SN", "BEAMLINE"}
"""What an SMV header says of its own file, and EDF in words of its own."""


def contents(image: np.ndarray, x: Experiment | None = None) -> Iterable[Chunk]:
    """The bytes of a file with the image (slow, fast) in its type, and the geometry of ``x`` in its header."""
    # Heavy, and needed for nothing else.
    from fabio.edfimage import EdfImage

    keys = {} if x is None else smv.header_keys(smv_header.header(x).decode("latin-1"))
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "image.edf")
        EdfImage(data=image, header={key: text for key, text in keys.items() if key not in OF_SMV_ALONE}).write(name)
        return [Path(name).read_bytes()]


def geometry_settings(path: str, flag: str) -> tuple[dict[str, Any], np.ndarray]:
    """The fields of ``Parameters`` that the header gives, as ``smv_header.geometry_settings``, and the pixels (slow, fast).

    Raises InputError, naming ``flag`` and the file, where it is no EDF image, or its header gives no distance.
    """
    import fabio
    from fabio.edfimage import EdfImage

    where = f"{flag} {path}"
    try:
        with fabio.open(os.path.abspath(path)) as opened:
            known, header, pixels = isinstance(opened, EdfImage), dict(opened.header), opened.data
    except Exception as error:
        # fabio's readers raise all sorts of exceptions on files they do not know.
        raise InputError(f"{where}: not an EDF image that can be read ({type(error).__name__})") from None
    if not known or pixels is None or pixels.ndim != 2:
        raise InputError(f"{where}: not an EDF image of one plane of pixels")
    if not header.keys() & {"DISTANCE", "CLOSE_DISTANCE", smv_header.MARK}:
        raise InputError(f"{where}: its EDF header gives no geometry (no DISTANCE, in the keys of SMV headers)")
    return smv_header.geometry_settings(_Keys(where, header, pixels.shape[1], pixels.shape[0])), pixels


class _Keys:
    """A header's keys, as ``smv_header`` reads them."""

    def __init__(self, where: str, keys: Mapping[str, str], width: int, height: int):
        self.where, self.keys, self.width, self.height = where, dict(keys), width, height

    def number(self, key: str) -> float | None:
        text = self.keys.get(key)
        return None if text is None else smv.finite_number(text, key, self.where)
