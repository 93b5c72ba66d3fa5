"""What a file says of a detector, beside its panels."""

from dataclasses import dataclass

from .detector import PanelDetector


@dataclass(frozen=True)
class DescribedDetector:
    """A detector, as a file describes it."""

    detector: PanelDetector
    """Its panels, with the beam and the spindle of the file's frame."""
    wavelength_A: float | None = None
    """The wavelength (A) that the file gives; None: it gives none."""
    remarks: tuple[str, ...] = ()
    """What of the file was not used."""
