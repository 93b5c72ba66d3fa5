"""What panels recorded, as one NXmx file of one frame with a module for each panel."""

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files.nexus.contents import NOT_COMPUTED, Module, Setup, frame_of, setup_of
from nanobragg_numba.files.nexus.laboratory import nexus_axes
from nanobragg_numba.files.nexus.master import bytes_of_image

from .detector import PanelDetector

if TYPE_CHECKING:
    from .simulate import PanelSimulation

GAP = 1
"""NXdetector's bit for what is no pixel."""


def image_bytes(run: "PanelSimulation", command: str = "") -> bytes:
    """The NXmx file of a run, frame included. ``command``: the line that makes it. Raises InputError without h5py and hdf5plugin."""
    setup, bits = setup_of_panels(run.experiment, run.detector)
    return bytes_of_image(run.image, setup, frame_of(run.experiment, command), bits, command)


def setup_of_panels(x: Experiment, detector: PanelDetector) -> tuple[Setup, np.ndarray | None]:
    """What the frames of a master file share, with a module for each panel, and the pixel mask, (slow, fast) uint32; None: no pixel is left
    out. ``x``: of ``DerivedPanels``."""
    bits = _pixel_mask(detector)
    axes = nexus_axes(x.geometry)
    modules = []
    for panel, (slow, _, fast, _) in zip(detector.panels, detector.boxes, strict=True):
        corner = axes @ (panel.position_mm(0, 0) / 1000.0)
        along, down = axes @ np.array(panel.fast), axes @ np.array(panel.slow)
        wide, high = float(np.linalg.norm(along)), float(np.linalg.norm(down))
        edge = panel.pixel_size_mm / 1000.0
        modules.append(
            Module(
                panel.name.strip("/").replace("/", "_") or "module", (slow, fast), panel.shape, tuple(corner.tolist()),
                tuple((down / high).tolist()), tuple((along / wide).tolist()), (edge * high, edge * wide),
            )
        )  # fmt: skip
    names = [module.name for module in modules]
    modules = [m if names.count(m.name) == 1 else replace(m, name=f"{m.name}_{number}") for number, m in enumerate(modules)]
    slow_pixels, fast_pixels = detector.shape
    check = None if bits is None else zlib.crc32(bits.tobytes())
    return replace(setup_of(x), modules=tuple(modules), computed=(0, slow_pixels, 0, fast_pixels), mask_sum=check), bits


def _pixel_mask(detector: PanelDetector) -> np.ndarray | None:
    """(slow, fast) uint32: where no panel is, and what of the panels is masked; None: nothing."""
    bits = np.full(detector.shape, GAP, np.uint32)
    for panel, (slow, slow_end, fast, fast_end) in zip(detector.panels, detector.boxes, strict=True):
        bits[slow:slow_end, fast:fast_end] = 0 if panel.mask is None else np.where(panel.mask != 0, 0, NOT_COMPUTED)
    return bits if bits.any() else None
