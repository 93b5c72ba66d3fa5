"""Frames of NXmx files, ours and others'. HDF5 says nothing of files that are missing, and shows zeros in their place: this does.

Frames are counted from 1, as in the names of files and by the programs that process them.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .hdf5 import Path, library, what_went_wrong

FRAME_NAMES = "data"
"""How the names of datasets of frames begin in a group without a default dataset."""


@dataclass(frozen=True)
class Part:
    """Consecutive frames of one dataset."""

    file: str
    """Where the dataset is."""
    dataset: str
    """Its name in that file."""
    first: int
    """Index of its first frame among all, from 0."""
    count: int
    """Number of frames."""
    skip: int = 0
    """Frames of the dataset that come before them, and do not count."""
    whole: bool = True
    """Whether the dataset should hold no others."""


@contextmanager
def opened(path: Path, flag: str, why: str = "") -> Iterator[Any]:
    """The open h5py file. Raises InputError, naming ``flag`` and the file, for what is no whole HDF5 file; ``why`` it was looked for."""
    name = os.fspath(path)
    h5py = library(flag)
    try:
        if not os.path.exists(name):
            raise InputError(f"{flag} {name}: does not exist{why}")
        if os.path.isfile(name) and os.path.getsize(name) == 0:
            raise InputError(f"{flag} {name}: the file is empty{why}")
        file = h5py.File(name, "r")
    except (OSError, ValueError) as error:
        text = what_went_wrong(error)
        cut = "is cut short" if "truncated" in text else "is no HDF5 file" if "signature" in text else text
        raise InputError(f"{flag} {name}: {cut}{why}") from None
    with file:
        yield file


def count_frames(path: Path, flag: str = "count_frames") -> int:
    """Number of frames that the file should have, failed ones too. Raises InputError as ``read_frame`` does."""
    with opened(path, flag) as file:
        parts = _parts(file, os.fspath(path), flag)
        return parts[-1].first + parts[-1].count


def read_frame(path: Path, number: int, flag: str = "read_frame") -> np.ndarray:
    """The frame of that number, counted from 1, of an NXmx master file or a file of frames: (slow, fast), or (panel, slow, fast).

    Raises InputError, naming ``flag`` and the file at fault: where there is no such frame, where the file that should hold it is missing,
    cut short or holds another number of frames, and, with the reason, where the frame was not computed.
    """
    return next(read_frames(path, [number], flag))


def read_frames(path: Path, numbers: Iterable[int] | None = None, flag: str = "read_frames") -> Iterator[np.ndarray]:
    """The frames of these numbers, counted from 1, one after the other; None: all. Raises InputError as ``read_frame`` does."""
    name = os.fspath(path)
    with opened(name, flag) as file:
        parts = _parts(file, name, flag)
        total = parts[-1].first + parts[-1].count
        for number in range(1, total + 1) if numbers is None else numbers:
            if not 1 <= number <= total:
                raise InputError(f"{flag} {name}: there is no frame {number}: they go from 1 to {total}")
            part = next(part for part in parts if part.first < number <= part.first + part.count)
            why = "" if _same(part.file, name) else f"; {name} has frames {part.first + 1} to {part.first + part.count} there"
            with opened(part.file, flag, why) as place:
                yield _image(place, part, number, _Asked(flag, name, why, _reason(file, number)))


@dataclass(frozen=True)
class _Asked:
    """What a sentence about a frame needs."""

    flag: str
    name: str
    why: str
    reason: str


def _image(file: Any, part: Part, number: int, asked: _Asked) -> np.ndarray:
    dataset = _dataset(file, part, asked.flag, asked.why)
    wanted = part.skip + part.count
    if dataset.shape[0] < wanted or (part.whole and dataset.shape[0] != wanted):
        raise InputError(f"{asked.flag} {part.file}: holds {dataset.shape[0]} frames, not {wanted}{asked.why}")
    index = part.skip + number - 1 - part.first
    if dataset.chunks is not None and dataset.chunks[0] == 1:
        # A frame that was not written has no chunk, and would read as a fill value.
        if dataset.id.get_chunk_info_by_coord((index, *[0] * (dataset.ndim - 1))).byte_offset is None:
            raise InputError(f"{asked.flag} {asked.name}: there is no image in frame {number}{asked.reason}")
    try:
        image: np.ndarray = dataset[index]
    except OSError as error:
        raise InputError(f"{asked.flag} {part.file}: frame {number} cannot be read ({what_went_wrong(error)})") from None
    return image


def _dataset(file: Any, part: Part, flag: str, why: str = "") -> Any:
    dataset = file.get(part.dataset)
    if dataset is None or getattr(dataset, "ndim", 0) not in (3, 4):
        raise InputError(f"{flag} {part.file}: {part.dataset} holds no frames{why}")
    return dataset


def _reason(file: Any, number: int) -> str:
    reasons = file.get("/entry/simulation/reason")
    if reasons is None or not number <= len(reasons):
        return ""
    text = reasons.asstr()[number - 1]
    return f": {text}" if text else ""


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _parts(file: Any, name: str, flag: str) -> list[Part]:
    """Which frames are where, without a look into other files where that can be helped."""
    data = _frames_group(file, name, flag)
    signal = data.attrs.get("signal", "")
    signal = signal.decode() if isinstance(signal, bytes) else str(signal)
    chosen = data.get(signal) if signal else None
    if chosen is not None and getattr(chosen, "ndim", 0) in (3, 4):
        parts = _mapped(chosen, name, flag) if chosen.is_virtual else [Part(name, chosen.name, 0, len(chosen))]
    else:
        parts = list(_linked(data, name, flag))
    if not parts or parts[-1].count == 0:
        raise InputError(f"{flag} {name}: holds no frames")
    stated = file.get("/entry/simulation/frames")
    found = parts[-1].first + parts[-1].count
    if stated is not None and int(stated[()]) != found:
        raise InputError(f"{flag} {name}: says that there are {int(stated[()])} frames, and has {found}")
    return parts


def _frames_group(file: Any, name: str, flag: str) -> Any:
    entries = [item for item in file.values() if getattr(item, "attrs", {}).get("NX_class") in ("NXentry", b"NXentry")]
    for entry in entries or filter(None, [file.get("entry")]):
        data = entry.get("data")
        if data is not None and hasattr(data, "keys"):
            return data
    raise InputError(f"{flag} {name}: holds no /entry/data, where NXmx has its frames")


def _mapped(dataset: Any, name: str, flag: str) -> list[Part]:
    """The files behind a virtual dataset, where each has whole frames; else the dataset itself, once all of them are seen to be there."""
    h5py = library(flag)
    parts, files = [], set()
    for source in dataset.virtual_sources():
        file = _beside(name, source.file_name)
        files.add(file)
        low, high = source.vspace.get_select_bounds()
        whole = source.src_space.get_select_type() == h5py.h5s.SEL_ALL
        skip = 0 if whole else int(source.src_space.get_select_bounds()[0][0])
        if source.vspace.get_select_npoints() == (high[0] - low[0] + 1) * int(np.prod(dataset.shape[1:])):
            parts.append(Part(file, source.dset_name, int(low[0]), int(high[0] - low[0]) + 1, skip, whole))
    parts.sort(key=lambda part: part.first)
    ends = [0, *(part.first + part.count for part in parts)]
    if [part.first for part in parts] == ends[:-1] and ends[-1] == len(dataset):
        return parts
    for file in sorted(files):
        if not os.path.exists(file):
            raise InputError(f"{flag} {file}: does not exist; {name} has parts of frames there")
    return [Part(name, dataset.name, 0, len(dataset))]


def _beside(name: str, file: str) -> str:
    """A file that another one names, as HDF5 looks for it, links followed or not; "." is that one itself."""
    if file == ".":
        return name
    places = [os.path.join(os.path.dirname(place), file) for place in (name, os.path.realpath(name))]
    return next(filter(os.path.exists, places), places[0])


def _linked(data: Any, name: str, flag: str) -> Iterator[Part]:
    """The datasets data, data_000001, ... of a group without a default one; those behind links are opened to count their frames."""
    h5py = library(flag)
    first = 0
    for key in sorted(key for key in data if key.startswith(FRAME_NAMES)):
        link = data.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            part = Part(_beside(name, link.filename), link.path, first, 0)
            why = f"; {name} has frames from {first + 1} on there"
            with opened(part.file, flag, why) as place:
                count = len(_dataset(place, part, flag, why))
        elif getattr(data[key], "ndim", 0) in (3, 4):
            part, count = Part(name, data[key].name, first, 0), len(data[key])
        else:
            continue
        yield replace(part, count=count)
        first += count
