"""What the GPU's guarded engine covers, and the bound on its error: the CPU's, and what libdevice's functions add (docs/error-bound.md)."""

import math
from typing import Any

import numpy as np

from nanobragg_numba.experiment.parameters import SHAPES
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.simd.error_bound import is_supported, relative_error_bound

LEAST_POLARIZATION = 0.25
"""Below this polarization factor its relative error is not bounded well; such pixels are the CPU's."""
LEAST_CAPTURE = 1e-200
LARGEST_BOUND = 2.0**-30
"""Beyond this, most pixels would be the CPU's."""


def reason_for_cpu(tables: Tables, dtype: Any, precision: str) -> str | None:
    """Why the CPU computes this although a GPU is asked for, as a clause; None where the GPU does."""
    detector, beam, crystal, rules = tables
    reasons = (
        (precision == "exact", "-precision exact is a CPU engine"),
        (precision == "guarded" and np.dtype(dtype) != np.float32, "doubles to the last bit come from the exact CPU engine"),
        (crystal.shape == SHAPES.index("round"), "the error of round crystals is not bounded on a GPU"),
        (
            crystal.shape != SHAPES.index("square")
            and rules.running_products
            and (rules.each_thick or rules.each_polar or rules.each_omega),
            "with the oversampling switches a spot that is exactly zero counts, and a GPU's exponential need not agree on which is",
        ),
        (rules.interpolate, "the error of tricubic interpolation is not bounded on a GPU (-nointerpolate takes the nearest reflection)"),
        (crystal.tables > 1, "structure factors per wavelength channel are left to the CPU"),
        (detector.curved, "curved detectors need the C library's sine and cosine (-curved_det)"),
        (len(beam.axes) > 1 and beam.kahn != 0.0 and not rules.spec, "rounding does not settle the polarization axis (-polar_vector)"),
        (bool(rules.spec and (beam.weights < 0.0).any()), "sources of negative intensity cancel others (-sourcefile)"),
        (rules.each_omega and detector.close_distance <= 0.0, "solid angles below zero cancel step by step (-oversample_omega)"),
    )
    for applies, reason in reasons:
        if applies:
            return reason
    if not is_supported(tables):
        return "the guard does not cover this combination of crystal, switches and processor"
    if gpu_error_bound(tables) > LARGEST_BOUND:
        return "the error of so thin sensor layers, or of so many steps, is not bounded well enough on a GPU"
    return None


def gpu_error_bound(tables: Tables) -> float:
    """Bound on the relative difference of a pixel's value on the GPU from the reference's."""
    detector, beam, crystal, rules = tables
    steps = len(crystal.orientations) * len(beam.wavelengths) * detector.oversample**2 * detector.layers
    captures = steps if rules.running_products and rules.each_thick else 1
    polarizations = steps if rules.running_products and rules.each_polar else 1
    units = _capture_units(tables) * captures + _polarization_units(tables) * polarizations
    return relative_error_bound(tables) + units * 2.0**-53


def _capture_units(tables: Tables) -> float:
    """Of the fraction that a sensor layer absorbs: the difference of two exponentials."""
    detector = tables.detector
    if detector.thickness == 0.0:
        return 0.0
    absorbed = -math.expm1(-0.9 * abs(detector.layer_thickness * detector.mu))
    return 8.0 / absorbed + 2.0 if absorbed > 0.0 else math.inf


def _polarization_units(tables: Tables) -> float:
    beam = tables.beam
    if not beam.polarized or beam.kahn == 0.0:
        return 0.0
    return 24.0 * abs(beam.kahn) / LEAST_POLARIZATION + 2.0
