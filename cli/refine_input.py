"""What nb-refine reads: images with their bad pixels, and a starting model for each."""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.command_line.reading import read_command_line, words_of
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.files.reading import read_bytes
from nanobragg_numba.refinement.measured import Measured, measured
from nanobragg_numba.refinement.restraints import Restraint

from .image_files import HDF5, first_bytes, read_image
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


def read_measured(frame: Frame, response: Response, mask: np.ndarray | None) -> Measured:
    """The image in photons. Bad are pixels where the mask is 0, those at the overload or above, and of whole counts the negative ones and
    the largest number of their type, by which detectors mark what they cannot count. Raises InputError."""
    counts = read_image(frame.path, "", None, frame.number)
    good = np.ones(counts.shape, np.bool_) if mask is None else mask
    if good.shape != counts.shape:
        raise InputError(f"--mask: has {good.shape[1]}x{good.shape[0]} pixels, and {frame} {counts.shape[1]}x{counts.shape[0]}")
    if counts.dtype.kind in "iu":
        largest = np.iinfo(counts.dtype).max
        good = good & (counts < largest) & (counts >= 0)
    if response.overload is not None:
        good = good & (counts < response.overload)
    if not good.any():
        raise InputError(f"{frame}: has no good pixel")
    return measured(counts, gain=response.gain, offset=response.offset, readout=response.readout, good=good, name=str(frame))


def read_mask(path: str | None) -> np.ndarray | None:
    """(slow, fast) bool from an image that is 0 where pixels are bad."""
    return None if path is None else read_image(path, "--mask", None) != 0


def read_starts(lines: Sequence[str], file: str | None, expt: str | None, count: int) -> list[Parameters]:
    """A starting model for each of ``count`` images, as "spec" means them.

    ``lines``: one command line for all, or one an image; ``file``: of such lines, in their place; ``expt``: a DIALS experiment list, of
    which each image takes the experiment of its place. Raises InputError naming the line at fault, and where the numbers differ.
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
    if len(sources) == 1 and (expt is not None or count == 1):
        sources *= count
    if len(sources) != count:
        raise InputError(
            f"{len(sources)} starting models for {count} images: each image has an orientation of its own; give a line for each (--lines), "
            "or the list that an indexing program wrote (--expt)"
        )
    return [_parameters(line, where, None if expt is None else f"{expt}:{n}") for n, (where, line) in enumerate(sources)]


def _parameters(text: str, where: str, expt: str | None) -> Parameters:
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
            return line.parameters
        from nanobragg_numba.panels.lines.described_line import with_described
        from nanobragg_numba.panels.placing import as_single

        line, detector, remarks = with_described(line, own.compat, own.panels, own.expt)
        for remark in remarks:
            warnings.warn(f"{where}: {remark}", UserWarning, stacklevel=2)
        single = as_single(line.parameters, detector)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if single is None:
        raise InputError(f"{where}: {own.expt or own.panels} has a detector of several panels, which is not refined")
    if not line.usable and single.crystal.structure_factors is None and single.crystal.default_F == 0.0:
        raise InputError(f"{where}: gives no structure factors: it needs -hkl or -default_F")
    return single


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


def identity(frames: Sequence[Frame]) -> list[list[object]]:
    """What tells whether images are those of an earlier run: names, frames, sizes in bytes."""
    return [[os.path.abspath(frame.path), frame.number, os.path.getsize(frame.path)] for frame in frames]
