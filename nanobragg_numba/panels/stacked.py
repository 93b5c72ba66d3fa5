"""The stacked image of all panels and, beside it, the map that says which pixels are whose."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.files.output import Chunk, OutputFiles, require_writable, write_whole

from .detector import PanelDetector

if TYPE_CHECKING:
    from .simulate import PanelSimulation


def _bare_floats(image: np.ndarray) -> list[Chunk]:
    return [image.astype("<f4", copy=False)]


def _npy(image: np.ndarray) -> list[Chunk]:
    buffer = BytesIO()
    np.save(buffer, image)
    return [buffer.getvalue()]


def _png(image: np.ndarray) -> list[Chunk]:
    from nanobragg_numba.files import preview

    return [preview.png(image)]


WRITERS: Mapping[str, Callable[[np.ndarray], Iterable[Chunk]]] = {".bin": _bare_floats, ".npy": _npy, ".png": _png}
NEXUS = (".nxs", ".h5")
"""Of one file that says all; the others have a map beside them."""


def map_name(path: str) -> str:
    """Where the map of an image is: its name with .json in place of its suffix."""
    return os.path.splitext(path)[0] + ".json"


def map_text(detector: PanelDetector) -> bytes:
    """The map as JSON: the stacked image's shape (slow, fast), and for each panel its name, the groups that it is in, the first and the
    row or column behind the last along slow and fast, and the frame of its own first pixel (mm)."""
    rows = ",\n  ".join(json.dumps(row) for row in detector.map())
    return f'{{"shape": {list(detector.shape)}, "panels": [\n  {rows}\n]}}\n'.encode()


def save_stacked(path: str | os.PathLike[str], run: "PanelSimulation") -> None:
    """See ``PanelSimulation.save``."""
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in NEXUS:
        from .nexus_image import image_bytes

        write_whole(name, "save", [image_bytes(run)])
        return
    if suffix not in WRITERS:
        known = ", ".join((*WRITERS, *NEXUS))
        raise InputError(f"save {name}: the suffix {suffix or 'of none'} names no format of a stacked image; these do: {known}")
    targets = {name: WRITERS[suffix](run.image), map_name(name): [map_text(run.detector)]}
    for target in targets:
        require_writable(target, "save")
    with OutputFiles() as files:
        for target, chunks in targets.items():
            files.write(target, list(chunks))
        files.commit()
