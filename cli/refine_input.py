"""What nb-refine reads: images with their bad pixels, and a starting model for each."""

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanobragg_numba.batch.command_words import input_files
from nanobragg_numba.batch.state import digest_of_file
from nanobragg_numba.command_line.reading import read_command_line, words_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.panels.detector import PanelDetector
from nanobragg_numba.refinement.measured import Measured, measured, stacked
from nanobragg_numba.refinement.restraints import Restraint

from .image_files import HDF5, NPY, first_bytes, read_array, read_image
from .own_options import take_own_options

IGNORED = ("compat", "quiet", "strict", "threads")
"""Our own options that a starting model may have: none of them changes what "spec" makes of it."""


@dataclass(frozen=True)
class Frame:
    """One image of a file."""

    path: str
    number: int | None
    """From 1; None: the only image of its file."""

    def __str__(self) -> str:
        return self.path if self.number is None else f"{self.path}, frame {self.number}"


def frames_of(paths: Sequence[str], frame: int | None) -> list[Frame]:
    """The images of the files: all frames of NXmx files, unless ``frame`` is given. Raises InputError."""
    found: list[Frame] = []
    if frame is not None and frame < 1:
        raise InputError(f"--frame {frame}: frames are counted from 1")
    for path in paths:
        if first_bytes(path, "") != HDF5:
            if frame is not None and frame > 1:
                raise InputError(f"--frame {frame}: {path} holds one image")
            found.append(Frame(path, None))
            continue
        from nanobragg_numba.files import nexus

        count = nexus.count_frames(path, "")
        if frame is not None and not 1 <= frame <= count:
            raise InputError(f"--frame {frame}: {path} has frames 1 to {count}")
        found += [Frame(path, number) for number in ([frame] if frame else range(1, count + 1))]
    return found


@dataclass(frozen=True)
class Response:
    """How counts follow from photons."""

    gain: float
    offset: float
    readout: float
    overload: float | None


def read_measured(frame: Frame, response: Response, mask: np.ndarray | None, detector: PanelDetector | None = None) -> Measured:
    """The image in photons; of ``detector`` the stacked one, also from a file that has an image for each panel. Bad are pixels where the
    mask is 0, those at the overload or above, and of whole counts the negative ones and the largest number of their type, by which
    detectors mark what they cannot count. Raises InputError."""
    counts = _counts(frame.path, "", frame.number, detector)
    good = np.ones(counts.shape, np.bool_)
    if counts.dtype.kind in "iu":
        largest = np.iinfo(counts.dtype).max
        good = good & (counts < largest) & (counts >= 0)
    if response.overload is not None:
        good = good & (counts < response.overload)
    if counts.ndim == 3:
        assert detector is not None
        counts, good = stacked(list(counts), detector), stacked(list(good), detector) == 1
    if mask is not None:
        if good.shape != mask.shape:
            raise InputError(f"--mask: has {mask.shape[1]}x{mask.shape[0]} pixels, and {frame} {counts.shape[1]}x{counts.shape[0]}")
        good = good & mask
    shot = measured(counts, gain=response.gain, offset=response.offset, readout=response.readout, good=good, name=str(frame))
    if not shot.good.any():
        raise InputError(f"{frame}: has no good pixel")
    return shot


def _counts(path: str, flag: str, number: int | None, detector: PanelDetector | None) -> np.ndarray:
    """(slow, fast), or (panel, slow, fast) from files that have an image for each panel of ``detector``. Raises InputError."""
    begin = first_bytes(path, flag)
    if detector is not None and begin == HDF5:
        from nanobragg_numba.files import nexus

        found = nexus.read_frame(path, number or 1, flag)
    elif detector is not None and begin.startswith(NPY):
        found = read_array(path, flag)
    else:
        return read_image(path, flag, None, number)
    if found.ndim not in (2, 3) or found.dtype.kind not in "biuf" or found.size == 0:
        raise InputError(f"{flag} {path}: not an image, but {found.dtype} numbers of shape {found.shape}".strip())
    return found


def read_mask(path: str | None, detector: PanelDetector | None = None) -> np.ndarray | None:
    """(slow, fast) bool from an image that is 0 where pixels are bad."""
    if path is None:
        return None
    found = _counts(path, "--mask", None, detector) != 0
    if found.ndim == 3:
        assert detector is not None
        return np.asarray(stacked(list(found), detector) == 1)
    return found


@dataclass(frozen=True)
class Start:
    """A starting model."""

    parameters: Parameters
    detector: PanelDetector | None
    """Of several panels; None: the detector is that of the parameters."""


def read_starts(lines: Sequence[str], file: str | None, expt: str | None, count: int) -> list[list[Start]]:
    """The starting models of the crystals of each of ``count`` images, as "spec" means them.

    ``lines``: one command line for all, or one an image; one that begins with + is another crystal of the image before it. ``file``: of
    such lines, in their place; ``expt``: a DIALS experiment list, of which each image takes the experiment of its place, or all those of
    its imageset and scan. Raises InputError naming the line at fault, and where the numbers differ.
    """
    sources = [(f"--line {n}" if len(lines) > 1 else "--line", line) for n, line in enumerate(lines, 1)]
    if file is not None:
        if lines:
            raise InputError("--line and --lines both give starting models: give one of them")
        try:
            text = read_bytes(file, "--lines").decode()
        except UnicodeDecodeError:
            raise InputError(f"--lines {file}: is no text") from None
        numbered = ((n, line.strip()) for n, line in enumerate(text.splitlines(), 1))
        sources = [(f"--lines {file}, line {n}", line) for n, line in numbered if line and not line.startswith("#")]
    if not sources:
        raise InputError('there is no starting model: give a nanoBragg command line (--line "...") or one for each image (--lines FILE)')
    experiments, places = (None, []) if expt is None else _by_image(expt, count)
    if experiments is not None and len(sources) == 1:
        first = [n for own in places for n in own]
        return _grouped([_start(sources[0][1], sources[0][0], f"{expt}:{n}", lambda _: experiments) for n in first], places)
    if sources[0][1].startswith("+"):
        raise InputError(f"{sources[0][0]}: begins with +, and there is no image before it that it could be another crystal of")
    if experiments is not None and any(line.startswith("+") for _, line in sources):
        raise InputError("with --expt, which says what crystals each image has, no line begins with +")
    if experiments is None:
        places = []
        for number, (_, line) in enumerate(sources):
            if line.startswith("+"):
                places[-1].append(number)
            else:
                places.append([number])
    if len(places) != count or (experiments is not None and len(sources) != count):
        given = len(places) if experiments is None else len(sources)
        raise InputError(
            f"{given} starting models for {count} images: each image has an orientation of its own; give a line for each (--lines), "
            "or the list that an indexing program wrote (--expt)"
        )
    if experiments is None:
        return _grouped([_start(line.removeprefix("+"), where) for where, line in sources], places)
    chosen = [(*sources[image], n) for image, own in enumerate(places) for n in own]
    return _grouped([_start(line, where, f"{expt}:{n}", lambda _: experiments) for where, line, n in chosen], places)


def _grouped(starts: Sequence[Start], places: Sequence[Sequence[int]]) -> list[list[Start]]:
    """As many starts, in order, for each image as it has places."""
    left = iter(starts)
    return [[next(left) for _ in own] for own in places]


def _by_image(path: str, count: int) -> tuple[Any, list[list[int]]]:
    """The experiments of a list, and the numbers of those of each of ``count`` images. Raises InputError where these do not agree."""
    from nanobragg_numba.panels.dials import open_expt

    experiments = open_expt(path, "--expt")
    if len(experiments) == count:
        return experiments, [[n] for n in range(count)]
    found: dict[Any, list[int]] = {}
    for n, experiment in enumerate(experiments):
        key = n if experiment.imageset is None else (experiment.imageset, experiment.images)
        found.setdefault(key, []).append(n)
    if len(found) != count:
        raise InputError(
            f"--expt {path}: holds {len(experiments)} experiments of {len(found)} images, and there are {count} images: each takes the "
            "experiments of its place"
        )
    return experiments, list(found.values())


def _start(text: str, where: str, expt: str | None = None, listed: Callable[[str], Any] | None = None) -> Start:
    """``listed`` gives the experiment list of ``expt``, PATH:NUMBER."""
    try:
        words = words_of(text) + ([] if expt is None else ["-expt", expt])
        own, rest = take_own_options(words)
        given = {name for name, value in vars(own).items() if value != getattr(type(own)(), name)} - {"words", *IGNORED, "expt", "panels"}
        if given or own.action != "run":
            raise InputError(f"-{min(given, default=own.action)} has no place in a starting model")
        own.compat = "spec"
        line = read_command_line(rest, "spec", only_named=True)
        for doubt in line.doubts():
            raise InputError(doubt)
        if own.expt is None and own.panels is None:
            if not line.usable:
                raise InputError("gives no crystal: it needs -mat or -cell, and -hkl or -default_F")
            return Start(line.parameters, None)
        from nanobragg_numba.panels.lines.described_line import with_described
        from nanobragg_numba.panels.placing import as_single

        line, detector, remarks = with_described(line, own.compat, own.panels, own.expt, **({} if listed is None else {"listed": listed}))
        for remark in remarks:
            warnings.warn(f"{where}: {remark}", UserWarning, stacklevel=2)
        single = as_single(line.parameters, detector)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    start = Start(line.parameters, detector) if single is None else Start(single, None)
    crystal = start.parameters.crystal
    if not line.usable and crystal.structure_factors is None and crystal.default_F == 0.0:
        raise InputError(f"{where}: gives no structure factors: it needs -hkl or -default_F")
    if crystal.real_space_matrix is None and not line.usable:
        raise InputError(f"{where}: gives no crystal: it needs -mat or -cell")
    return start


def read_restraints(texts: Sequence[str]) -> dict[str, Restraint]:
    """From NAME=TARGET:SIGMA; several numbers by commas. Raises InputError."""
    found: dict[str, Restraint] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        target, colon, sigma = numbers.partition(":")
        try:
            values = [[float(number) for number in part.split(",")] for part in (target, sigma)]
        except ValueError:
            colon = ""
        if not colon:
            raise InputError(f"--restrain {text}: must be NAME=TARGET:SIGMA, as cell=78.1,78.1,38.2:0.1")
        if name in found:
            raise InputError(f"--restrain {text}: {name} is restrained twice")
        found[name] = Restraint(*(value[0] if len(value) == 1 else value for value in values))
    return found


def identity(frames: Sequence[Frame], shots: Sequence[Measured]) -> list[list[object]]:
    """What tells whether images are those of an earlier run: names, frames, and digests of good pixels and their photons."""
    found: list[list[object]] = []
    for frame, shot in zip(frames, shots, strict=True):
        digest = hashlib.blake2b(shot.photons.tobytes(), digest_size=16)
        digest.update(shot.good.tobytes())
        found.append([os.path.abspath(frame.path), frame.number, digest.hexdigest()])
    return found


def start_files(lines: Sequence[str], file: str | None, expt: str | None) -> list[list[str]]:
    """Names and digests of the files that ``read_starts`` takes starting models from, and of those that these name."""
    named = [path for path in (file, expt) if path is not None]
    every = [*lines, *(() if file is None else read_bytes(file, "--lines").decode().splitlines())]
    for line in every:
        words = [] if line.strip().startswith("#") else words_of(line.strip().removeprefix("+"))
        named += input_files(words, "spec")
    return [[path, digest_of_file(path)] for path in dict.fromkeys(named)]
