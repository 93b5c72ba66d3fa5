"""X-ray diffraction images from small crystals: what nanoBragg computes, compiled from Python.

>>> from nanobragg_numba import parameters_from_command_line, simulate
>>> line = "-cell 100 100 100 90 90 90 -default_F 100 -N 5 -lambda 6.2 -distance 100 -detpixels 64"
>>> simulate(parameters_from_command_line(line)).image.shape
(64, 64)
"""

from typing import Any

__version__ = "0.1.0"

# Loaded when first asked for, so that a command which only prints its help does not import numba.
_HOME = {
    "InputError": "errors",
    "Beam": "experiment.parameters",
    "Crystal": "experiment.parameters",
    "Detector": "experiment.parameters",
    "Parameters": "experiment.parameters",
    "Sampling": "experiment.parameters",
    "SourceList": "experiment.parameters",
    "StructureFactors": "experiment.structure_factors",
    "parameters_from_command_line": "command_line.reading",
    "simulate": "engine.simulate",
    "simulate_batch": "engine.batch",
    "Simulation": "engine.simulate",
    "poisson_image": "output.photon_noise",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
