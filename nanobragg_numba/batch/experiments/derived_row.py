"""A row, read and derived: an image of one plane, or of the panels of an experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.parameters import Compat

if TYPE_CHECKING:
    from nanobragg_numba.panels.detector import PanelDetector
    from nanobragg_numba.panels.simulate import DerivedPanels


@dataclass(frozen=True)
class ReadRow:
    """A row's command line, read."""

    line: CommandLine
    detector: "PanelDetector | None" = None
    """The panels of its -expt; None: it has none."""
    remarks: Sequence[str] = ()
    """What is to be said of it."""


@dataclass(frozen=True)
class DerivedRow:
    """What follows from a row before the first pixel."""

    experiment: Experiment
    """Of many panels with the geometry of the first one's plane."""
    panels: "DerivedPanels | None" = None
    """None: the image is of one plane."""

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the image along slow, fast: of many panels, the stacked one."""
        g = self.experiment.geometry
        return (g.slow_pixels, g.fast_pixels) if self.panels is None else self.panels.detector.shape

    def setup(self) -> tuple[Any, np.ndarray | None]:
        """What all frames of NeXus files share, and the mask of pixels, (slow, fast) uint32; None: no pixel is left out.

        Raises InputError where such files have no place for the detector."""
        if self.panels is None:
            from nanobragg_numba.files.nexus.contents import pixel_mask, setup_of

            return setup_of(self.experiment), pixel_mask(self.experiment)
        from nanobragg_numba.panels.nexus_image import setup_of_panels

        return setup_of_panels(self.experiment, self.panels.detector)


def _no_seed() -> int:
    # What a row needs of seeds is among its words; the others are the same in every run.
    return 0


def derived(read: ReadRow, compat: Compat) -> DerivedRow:
    """What follows from the line. Raises InputError."""
    parameters, noise_seed = read.line.parameters, read.line.outputs.noise_seed
    if read.detector is None:
        return DerivedRow(derive_experiment(parameters, compat, noise_seed=noise_seed, missing_seed=_no_seed))
    from nanobragg_numba.panels.placing import as_single
    from nanobragg_numba.panels.simulate import derive_panels

    single = as_single(parameters, read.detector)
    panels = derive_panels(parameters if single is None else single, read.detector, compat, noise_seed, _no_seed)
    return DerivedRow(panels.experiment, panels if single is None else None)
