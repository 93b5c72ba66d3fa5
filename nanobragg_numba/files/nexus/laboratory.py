"""NeXus's laboratory axes, which are McStas's: z along the beam, y up, x to the left as seen along the beam.

Ours are the convention's, and say nothing of up. The E vector of a synchrotron's beam is horizontal, and so is the spindle of most
goniometers: x is put against the E vector, so that with the convention MOSFLM the fast axis goes against x and the slow one against y,
as on a detector that is read from the upper left, seen from the sample. The definition:
https://manual.nexusformat.org/design.html#the-nexus-coordinate-system.
"""

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.detector import Geometry

LEAST_SINE = 1e-3
"""Of an axis to the beam, for it to say what lies across."""


def nexus_axes(geometry: Geometry) -> np.ndarray:
    """(3, 3): the rows are x, y, z of NeXus along ours; times a vector of ours it gives NeXus's. A rotation, never a reflection.

    x is against the E vector, made perpendicular to the beam; where that is none, against the spindle, or against the fast or slow axis.
    """
    z = np.array(geometry.beam, dtype=np.float64)
    z /= np.linalg.norm(z)
    for axis in (geometry.polarization_axis, geometry.spindle_axis, geometry.fast, geometry.slow):
        across = np.array(axis, dtype=np.float64)
        across -= (across @ z) * z
        length = float(np.linalg.norm(across))
        if length > LEAST_SINE:
            x = -across / length
            return np.array([x, np.cross(z, x), z])
    raise InputError("the detector's fast and slow axis both lie along the beam: NeXus has no place for it")
