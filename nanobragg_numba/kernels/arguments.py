"""The tables that the pixel kernels read: named tuples, the same for every engine."""

from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.jit.entry_types import NineNumbers, Number, Numbers1, Numbers2, Numbers3, Vector, Whole1


class DetectorTable(NamedTuple):
    """Detector geometry and absorption; lengths in metres."""

    fast: Vector
    slow: Vector
    normal: Vector
    beam: Vector
    pix0: Vector
    pixel_size: Number
    subpixel_size: Number
    oversample: int
    distance: Number
    close_distance: Number
    curved: bool
    point_pixel: bool
    thickness: float
    layer_thickness: float
    layers: int
    mu: float
    """Attenuation, 1/m."""
    fast_pixels: int


class BeamTable(NamedTuple):
    """Sources and polarization."""

    incident: Numbers2
    """(sources, 3): unit vectors along the beam."""
    wavelengths: Numbers1
    """(sources,): metres."""
    weights: Numbers1
    """(sources,): sum 1; only "spec" uses them."""
    kahn: Number
    polarized: bool
    axes: Numbers2
    """(n, 3): the polarization axis at the first, second, ... evaluation of the run; see ``axis_orbit``."""
    axes_repeat_from: int
    """The evaluations after the last row go back to this one, and on from there."""
    dmin: float
    """Metres; 0: no limit."""
    channels: Whole1
    """(sources,): which of the crystal's tables of structure factors each source takes."""


class CrystalTable(NamedTuple):
    """Lattice orientations, shape and structure factors."""

    orientations: Numbers2
    """(steps, 9): a, b, c in metres for every phi step and, within it, mosaic domain."""
    first_orientations: Numbers2
    """(steps, 9): the same for the first sweep of the run (Q1)."""
    star: NineNumbers
    """a*, b*, c* in 1/A, unrotated."""
    na: Number
    nb: Number
    nc: Number
    cross: Vector
    """Nab, Nac, Nbc: the tensor of numbers of cells off its diagonal; zero but for Gaussian and flat spots in "spec"."""
    shape: int
    fudge: Number
    factors: Numbers3
    """(tables x h, k, l) structure factors, padded by one, one table behind the other; see StructureFactors."""
    tables: int
    h_min: int
    k_min: int
    l_min: int
    default_F: Number


class Rules(NamedTuple):
    """Which physics, and which of the reference's quirks."""

    spec: bool
    interpolate: bool
    each_thick: bool
    each_polar: bool
    each_omega: bool
    running_products: bool
    """The ``each`` factors multiply the running sum (Q3); otherwise each step's contribution."""
    background: Number
    """What the sum of a pixel starts with ("c", "c-fixed"), or each source's sum ("spec"): the water, over r_e^2 fluence."""
    skip_zeros: bool
    """Leave a step whose lattice factor is exactly zero, as the reference does without water."""
    scale: Number
    """r_e^2 fluence."""
    steps: float
    """What the sum is divided by."""


class Tables(NamedTuple):
    """All that a kernel needs."""

    detector: DetectorTable
    beam: BeamTable
    crystal: CrystalTable
    rules: Rules


class PixelRecord:
    """Where the record that ``pixel_value`` fills on request holds what: the last step's h, k, l, nearest indices, structure
    factor, lattice factor and axes; position; sum and factors; the step that left the table; sin(theta) / lambda."""

    HKL, NEAREST, F_CELL, F_LATT, AXES, POSITION = slice(0, 3), slice(3, 6), 6, 7, slice(8, 17), slice(17, 20)
    SUM, POLAR, OMEGA, CAPTURE, LEFT_TABLE, STOL = 20, 21, 22, 23, slice(24, 30), 30
    SIZE = 31
    UNSET = 0x7FF8_0000_0000_0BAD
    """Bits of the nan that stands where a pixel did not get so far; no operation makes these."""

    @staticmethod
    def is_unset(record: np.ndarray) -> np.ndarray:
        """(SIZE,) bool: where ``record`` holds nothing."""
        return record.view(np.int64) == PixelRecord.UNSET


def in_precision(tables: Tables, dtype: Any) -> Tables:
    """The tables with every floating-point number and array in ``dtype``; as scalars of numpy, which divide as C does."""

    def converted(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(converted, value))
        if isinstance(value, np.ndarray):
            return value.astype(dtype) if value.dtype.kind == "f" else value
        return dtype(value) if isinstance(value, float) else value

    return Tables(*(type(table)(*map(converted, table)) for table in tables))  # type: ignore[arg-type]
