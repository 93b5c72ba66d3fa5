"""Detectors from files, whose format the suffix names."""

import os

from nanobragg_numba.errors import InputError

from .crystfel import read_geom
from .described import DescribedDetector
from .detector import PanelDetector
from .dials import read_panels_of_expt

SUFFIXES = {
    ".expt": "dials", ".json": "dials", ".geom": "crystfel", ".nxs": "nexus", ".nx": "nexus", ".h5": "nexus", ".hdf5": "nexus",
}  # fmt: skip


def read_described(path: str | os.PathLike[str], flag: str = "-panels", camera_length_mm: float | None = None) -> DescribedDetector:
    """The detector of a DIALS list (.expt, .json), a CrystFEL geometry (.geom) or an NXmx master file (.nxs, .h5).

    ``camera_length_mm``: for a CrystFEL geometry whose ``clen`` is kept in the images. Raises InputError for another suffix, and naming
    the file and the place in it that cannot be used.
    """
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    kind = SUFFIXES.get(suffix)
    if kind is None:
        known = ", ".join(SUFFIXES)
        raise InputError(f"{flag} {name}: the suffix {suffix or 'of none'} names no format of a detector; these do: {known}")
    if kind == "crystfel":
        return read_geom(name, flag, camera_length_mm)
    if camera_length_mm is not None:
        raise InputError(f"-distance: {flag} {name} says where the panels are")
    if kind == "dials":
        return read_panels_of_expt(name, flag)
    from .nexus_detector import read_nexus_detector

    return read_nexus_detector(name, flag)


def read_panels(path: str | os.PathLike[str], camera_length_mm: float | None = None) -> PanelDetector:
    """The detector of a DIALS list, a CrystFEL geometry or an NXmx master file; see ``read_described``."""
    return read_described(path, "read_panels", camera_length_mm).detector
