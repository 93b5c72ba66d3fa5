"""The rows of an experiment list: one for each image of the scan of each experiment, or for a still."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.panels.detector import Panel, PanelDetector
from nanobragg_numba.panels.dials import DialsExperiment, open_expt
from nanobragg_numba.panels.lines.expt_words import expt_parts

FLAG = "--expt"


@dataclass(frozen=True)
class ListedImages:
    """The images of the experiments of a list, in order."""

    path: str
    """Absolute."""
    numbers: tuple[int, ...]
    """Of the experiments."""
    firsts: tuple[int | None, ...]
    """Number of each one's first image; None: the experiment makes no sense, and its row says so."""
    ends: tuple[int, ...]
    """Rows behind each one's last."""

    def __len__(self) -> int:
        return self.ends[-1]

    def words(self, row: int) -> list[str]:
        """-expt of an image."""
        at = bisect_right(self.ends, row)
        first = self.firsts[at]
        if first is None:
            return ["-expt", f"{self.path}:{self.numbers[at]}"]
        return ["-expt", f"{self.path}:{self.numbers[at]}:{first + row - (self.ends[at - 1] if at else 0)}"]


def listed_images(path: str, one_setup: bool) -> ListedImages:
    """The images of the list in a file, ``path`` absolute; of FILE:N those of experiment N, of FILE:N:IMAGE that image.

    ``one_setup``: whether they go into files of one beam and one spindle. Raises InputError for what is no list, and where an experiment
    has not the detector of the first, or likewise not its beam or spindle.
    """
    name, chosen, image = expt_parts(path)
    experiments = open_expt(name, FLAG)
    if chosen is not None and chosen >= len(experiments):
        raise InputError(f"{FLAG} {name}: holds {len(experiments)} experiments, counted from 0, and none of number {chosen}")
    numbers = tuple(range(len(experiments))) if chosen is None else (chosen,)
    firsts: list[int | None] = []
    ends: list[int] = []
    model = None
    for number in numbers:
        try:
            experiment = experiments[number]
        except InputError:
            experiment = None
        if experiment is None:
            first, count = None, 1
        else:
            model = model or experiment
            what = _difference(model, experiment, one_setup)
            if what is not None:
                raise InputError(f"{FLAG} {name}: experiment {number} has another {what} than experiment {model.number}, and a run has one")
            first, last = experiment.images if image is None else (image, image)
            count = last - first + 1
        firsts.append(first)
        ends.append(count + (ends[-1] if ends else 0))
    return ListedImages(name, numbers, tuple(firsts), tuple(ends))


def _difference(first: DialsExperiment, other: DialsExperiment, one_setup: bool) -> str | None:
    """What the second experiment has not as the first has it; None: nothing that a run has one of."""
    if not _same_panels(first.detector, other.detector):
        return "detector"
    if not one_setup:
        return None
    mine, its = first.detector.axes, other.detector.axes
    polarizations = [experiment.parameters.beam.polarization for experiment in (first, other)]
    if (mine.beam, mine.polarization_axis) != (its.beam, its.polarization_axis) or polarizations[0] != polarizations[1]:
        return "direction or polarization of the beam (--format float keeps them apart)"
    return None if mine.spindle_axis == its.spindle_axis else "spindle (--format float keeps them apart)"


def _same_panels(first: PanelDetector, other: PanelDetector) -> bool:
    if first.panels is other.panels:
        return True
    if len(first) != len(other):
        return False
    pairs = list(zip(first.panels, other.panels, strict=True))
    return all(_frame(one) == _frame(its) and _same_mask(one.mask, its.mask) for one, its in pairs)


def _frame(panel: Panel) -> tuple[object, ...]:
    """All but the mask, and the group, which the frame has in it."""
    return (
        panel.name, panel.shape, panel.pixel_size_mm, panel.origin_mm, panel.fast, panel.slow, panel.thickness_um,
        panel.attenuation_depth_um, panel.place,
    )  # fmt: skip


def _same_mask(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
