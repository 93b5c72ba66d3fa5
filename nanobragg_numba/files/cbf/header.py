"""The comments of a miniCBF file, in the words of Dectris's detectors.

DIALS, XDS's scripts and iotbx read them. They describe a detector at right angles to the beam, whose fast axis lies along the spindle,
and nothing else; what cannot be described so is refused, since readers would take it for that.
"""

import math
from collections.abc import Iterator

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files.nexus.contents import Frame, Module, Setup, frame_of, setup_of

CONVENTION = "GENERIC_MINI"
"""dxtbx's word for such a header on images that no detector of Dectris's could have made; it looks for no gaps between modules then."""
SLACK = 1e-6
"""Of cosines and sines that should be 0."""


def comments(x: Experiment, saturation: int) -> list[str]:
    """The lines, without their marks. Raises InputError for a geometry that they have no words for."""
    setup, frame = setup_of(x), frame_of(x)
    (module,) = setup.modules
    _require_upright(module, setup, frame)
    return list(_lines(module, setup, frame, saturation))


def _lines(module: Module, setup: Setup, frame: Frame, saturation: int) -> Iterator[str]:
    distance, centre = module.distance(), module.beam_centre()
    assert distance is not None and centre is not None
    wavelength = float(np.dot(frame.wavelengths_A, frame.weights))
    yield "Detector: nanobragg_numba, S/N 000"
    yield f"Pixel_size {number(module.pixel_size[1])} m x {number(module.pixel_size[0])} m"
    if setup.sensor_thickness > 0.0:
        yield f"Silicon sensor, thickness {number(setup.sensor_thickness)} m"
    yield f"Exposure_time {number(setup.exposure_s)} s"
    yield f"Exposure_period {number(setup.exposure_s)} s"
    yield "Tau = 0 s"
    yield f"Count_cutoff {saturation} counts"
    yield f"Wavelength {number(wavelength)} A"
    yield f"Detector_distance {number(distance)} m"
    yield f"Beam_xy ({number(centre[1])}, {number(centre[0])}) pixels"
    yield "Filter_transmission 1.0"
    yield f"Start_angle {number(frame.phi_deg)} deg."
    yield f"Angle_increment {number(frame.osc_deg)} deg."
    if setup.stokes is not None:
        yield f"Polarization {number((1.0 + math.hypot(*setup.stokes[1:3])) / 2.0)}"
    yield "Detector_2theta 0.0 deg."
    yield "Kappa 0.0 deg."
    yield f"Phi {number(frame.phi_deg)} deg."
    yield "Oscillation_axis X, CW"
    yield "N_oscillations 1"


def number(value: float) -> str:
    """The shortest text that reads back as ``value``."""
    return repr(float(value))


def _require_upright(module: Module, setup: Setup, frame: Frame) -> None:
    """Raise InputError unless slow, fast and beam are at right angles, fast x slow goes along the beam, and the spindle along fast."""
    fast, slow, spindle = np.array(module.fast), np.array(module.slow), np.array(setup.spindle)
    if max(abs(fast[2]), abs(slow[2]), abs(fast @ slow)) > SLACK:
        raise InputError(
            "a CBF header describes a detector that faces the beam squarely, and this one is turned: save as .h5 or .img instead"
        )
    if np.cross(fast, slow)[2] < 0.0:
        raise InputError(
            "a CBF header describes a detector seen from the sample, and this one is seen from behind: save as .h5 or .img instead"
        )
    if frame.osc_deg != 0.0 and (fast @ spindle < 0.0 or np.linalg.norm(np.cross(fast, spindle)) > SLACK):
        raise InputError("a CBF header describes a spindle along the fast axis, and this one is not: save as .h5 or .img instead")
