"""X-ray diffraction images from small crystals: what nanoBragg computes, compiled from Python.

>>> from nanobragg_numba import parameters_from_command_line, simulate
>>> line = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -lambda 6.2 -distance 100 -detpixels 64"
>>> simulate(parameters_from_command_line(line)).image.shape
(64, 64)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .command_line.reading import parameters_from_command_line as parameters_from_command_line
    from .engine.batch import simulate_batch as simulate_batch
    from .engine.simulate import Simulation as Simulation
    from .engine.simulate import simulate as simulate
    from .errors import InputError as InputError
    from .experiment.beam import wavelength_channels as wavelength_channels
    from .experiment.beyond_bragg import Background as Background
    from .experiment.beyond_bragg import DetectorResponse as DetectorResponse
    from .experiment.beyond_bragg import Shadow as Shadow
    from .experiment.parameters import Axes as Axes
    from .experiment.parameters import Beam as Beam
    from .experiment.parameters import Crystal as Crystal
    from .experiment.parameters import Detector as Detector
    from .experiment.parameters import Parameters as Parameters
    from .experiment.parameters import Sampling as Sampling
    from .experiment.parameters import SourceList as SourceList
    from .experiment.structure_factors import StructureFactors as StructureFactors
    from .experiment.structure_factors import from_arrays as from_arrays
    from .experiment.structure_factors import per_channel as per_channel
    from .file_formats import read_hkl as read_hkl
    from .file_formats import read_mosflm_matrix as read_mosflm_matrix
    from .file_formats import read_smv as read_smv
    from .file_formats import read_sources as read_sources
    from .file_formats import write_hkl as write_hkl
    from .file_formats import write_mosflm_matrix as write_mosflm_matrix
    from .file_formats import write_smv as write_smv
    from .output.photon_noise import poisson_image as poisson_image
    from .panels.detector import Group as Group
    from .panels.detector import Panel as Panel
    from .panels.detector import PanelDetector as PanelDetector
    from .panels.dials import iterate_expt as iterate_expt
    from .panels.dials import read_expt as read_expt
    from .panels.dials_writing import write_expt as write_expt
    from .panels.reading import read_panels as read_panels
    from .panels.simulate import PanelSimulation as PanelSimulation
    from .panels.simulate import simulate_panels as simulate_panels
    from .prediction.spots import Spots as Spots
    from .prediction.spots import spots as spots
    from .response.background import amorphous_background as amorphous_background
    from .response.detector_response import detector_response as detector_response
    from .response.detector_response import point_spread as point_spread

__version__ = "0.1.0"

# Loaded when first asked for, so that a command which only prints its help does not import numba.
_HOME = {
    "InputError": "errors",
    "wavelength_channels": "experiment.beam",
    "Axes": "experiment.parameters",
    "Beam": "experiment.parameters",
    "Crystal": "experiment.parameters",
    "Detector": "experiment.parameters",
    "Parameters": "experiment.parameters",
    "Sampling": "experiment.parameters",
    "SourceList": "experiment.parameters",
    "StructureFactors": "experiment.structure_factors",
    "from_arrays": "experiment.structure_factors",
    "per_channel": "experiment.structure_factors",
    "parameters_from_command_line": "command_line.reading",
    "simulate": "engine.simulate",
    "simulate_batch": "engine.batch",
    "Simulation": "engine.simulate",
    "poisson_image": "output.photon_noise",
    "Spots": "prediction.spots",
    "spots": "prediction.spots",
    "Background": "experiment.beyond_bragg",
    "amorphous_background": "response.background",
    "DetectorResponse": "experiment.beyond_bragg",
    "Shadow": "experiment.beyond_bragg",
    "detector_response": "response.detector_response",
    "point_spread": "response.detector_response",
    "read_hkl": "file_formats",
    "read_mosflm_matrix": "file_formats",
    "read_smv": "file_formats",
    "read_sources": "file_formats",
    "write_hkl": "file_formats",
    "write_mosflm_matrix": "file_formats",
    "write_smv": "file_formats",
    "Group": "panels.detector",
    "Panel": "panels.detector",
    "PanelDetector": "panels.detector",
    "iterate_expt": "panels.dials",
    "read_expt": "panels.dials",
    "write_expt": "panels.dials_writing",
    "read_panels": "panels.reading",
    "PanelSimulation": "panels.simulate",
    "simulate_panels": "panels.simulate",
}
__all__ = list(_HOME)


def __dir__() -> list[str]:
    return sorted((*_HOME, "__all__", "__doc__", "__file__", "__name__", "__path__", "__version__"))


if not TYPE_CHECKING:
    # Hidden from type checkers, which would take any name for one of ours.
    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
