"""Values that are read as they stand in "c" and have no meaning: sentences that name the option."""

from nanobragg_numba.experiment.parameters import Detector
from nanobragg_numba.fields.meaning import RULES, lattice_faults, undirected_source

from .reading import CommandLine

LARGEST_COUNT = 65535


def doubtful_values(line: CommandLine) -> list[str]:
    """A sentence for each value that makes no sense, with which "c" goes on; for a window of no pixels; for a matrix of no crystal."""
    said, parameters = [], line.parameters
    for rule in RULES:
        number = rule.broken_by(parameters)
        if number is not None and not rule.everywhere:
            said.append(f"{rule.option} must be {rule.allowed}, not {number:g}")
    if (source := undirected_source(parameters.beam)) is not None:
        said.append(f"-sourcefile: source {source} is where the sample is, and has no direction")
    if not 0.0 <= line.outputs.adc_offset <= LARGEST_COUNT:
        said.append(f"-adc must be from 0 to {LARGEST_COUNT}, what two bytes hold, not {line.outputs.adc_offset:g}")
    said += _window(parameters.detector)
    return said + [f"{fault.option} {fault.text}" for fault in lattice_faults(parameters.crystal) if fault.option]


def _window(detector: Detector) -> list[str]:
    """A sentence where the region of interest is empty: its ends are included, and negative ones are the image's edge."""
    if detector.roi is None:
        return []
    sides = []
    for name, pixels, size_mm, (low, high) in zip(
        ("fast", "slow"), detector.pixels, detector.size_mm, (detector.roi[:2], detector.roi[2:]), strict=True
    ):
        count = pixels or round(size_mm / detector.pixel_size_mm) if detector.pixel_size_mm > 0.0 else 0
        low, high = max(low, 0), count - 1 if high < 0 else high
        if count > 0 and (low > high or low >= count):
            sides.append(f"{low} to {high} along the {name} axis of {count} pixels")
    return [f"-roi holds no pixel: {' and '.join(sides)}"] if sides else []
