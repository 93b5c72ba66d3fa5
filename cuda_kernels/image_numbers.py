"""What a launch shares and what each of its images has of its own: laid out by the host, put together again by the kernel."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.kernels.arguments import BeamTable, CrystalTable, DetectorTable, Rules, Tables
from nanobragg_numba.kernels.formulas import SQUARE

# The numbers of one image, in this order: five vectors and seven lengths of the detector, ...
VECTORS = ("fast", "slow", "normal", "beam", "pix0")
LENGTHS = ("pixel_size", "subpixel_size", "distance", "close_distance", "thickness", "layer_thickness", "mu")
# ... the polarization factor, the resolution limit and the polarization axis, nine numbers of the reciprocal lattice, ...
CRYSTAL = ("na", "nb", "nc", "fudge", "default_F")
RULES = ("background", "scale", "steps")
# ... these, the tensor of numbers of cells off its diagonal, and the bound on the relative error.
AXIS, BOUND, COUNT = 24, 47, 48


class Traits(NamedTuple):
    """What a kernel is compiled for: what is off leaves no code and takes no registers."""

    spec: bool
    square: bool
    """Whether the crystal is a parallelepiped."""
    listed: bool
    """Whether there are structure factors besides ``default_F``."""
    absorbs: bool
    """Whether the sensor has a thickness."""
    polarized: bool
    """Whether the polarization factor depends on the azimuth."""
    cut: bool
    """Whether there is a resolution limit."""
    switches: bool
    """Whether any of the oversampling switches is on."""


class Common(NamedTuple):
    """What all images of a launch share besides their ``Traits``; ``factors`` (h, k, l) is in the device's memory, of either precision."""

    oversample: int
    point_pixel: bool
    layers: int
    fast_pixels: int
    polarized: bool
    shape: int
    factors: Any
    h_min: int
    k_min: int
    l_min: int
    each_thick: bool
    each_polar: bool
    each_omega: bool
    running_products: bool
    skip_zeros: bool


class Images(NamedTuple):
    """What each image has of its own, one row an image, in the device's memory."""

    numbers: Any
    """(images, COUNT) float64"""
    wholes: Any
    """(images, 2) int64: the index of the run's first pixel, or -1, and the number of the mask, or -1."""
    orientations: Any
    """(images, steps, 9)"""
    incident: Any
    """(images, sources, 3)"""
    wavelengths: Any
    """(images, sources)"""
    weights: Any
    """(images, sources)"""


def traits_of(tables: Tables) -> Traits:
    """What the kernel for these tables is compiled for."""
    detector, beam, crystal, rules = tables
    switches = rules.each_thick or rules.each_polar or rules.each_omega
    listed = crystal.factors.size > 1
    absorbs, polarized = detector.thickness != 0.0, beam.kahn != 0.0 and beam.polarized
    return Traits(rules.spec, crystal.shape == SQUARE, listed, absorbs, polarized, beam.dmin > 0.0, switches)


def common_of(tables: Tables) -> Common:
    """What must be the same in all images of a launch, from one of them."""
    detector, beam, crystal, rules = tables
    return Common(
        detector.oversample, detector.point_pixel, detector.layers, detector.fast_pixels, beam.polarized, crystal.shape, crystal.factors,
        crystal.h_min, crystal.k_min, crystal.l_min, rules.each_thick, rules.each_polar, rules.each_omega, rules.running_products,
        rules.skip_zeros,
    )  # fmt: skip


def can_share_launch(tables: Tables, other: Tables) -> bool:
    """Whether two images can be computed by one launch."""
    mine, others = common_of(tables), common_of(other)
    counts = [(len(one.crystal.orientations), len(one.beam.wavelengths)) for one in (tables, other)]
    if mine._replace(factors=None) != others._replace(factors=None) or counts[0] != counts[1] or traits_of(tables) != traits_of(other):
        return False
    return mine.factors is others.factors or np.array_equal(mine.factors, others.factors)


def numbers_of(tables: Tables, bound: float, into: np.ndarray) -> None:
    """Fill one row of ``Images.numbers``."""
    detector, beam, crystal, rules = tables
    at = 0
    for values in (
        *(getattr(detector, name) for name in VECTORS), [getattr(detector, name) for name in LENGTHS], (beam.kahn, beam.dmin), beam.axes[0],
        crystal.star, [getattr(crystal, name) for name in CRYSTAL], [getattr(rules, name) for name in RULES],
        crystal.cross, (bound,),
    ):  # fmt: skip
        into[at : at + len(values)] = values
        at += len(values)


def tables_for(traits: Traits) -> Callable[..., Tables]:
    """The function of a kernel that puts the tables of an image together; what the traits say is constant in them."""
    spec, square, _, absorbs, polarized, cut, switches = traits

    def tables_of(n, axes, common, orientations, incident, wavelengths, weights):  # type: ignore[no-untyped-def]
        # ``n``: the image's numbers, ``axes`` (1, 3) its polarization axis.
        detector = DetectorTable(
            (n[0], n[1], n[2]), (n[3], n[4], n[5]), (n[6], n[7], n[8]), (n[9], n[10], n[11]), (n[12], n[13], n[14]),
            n[15], n[16], common.oversample, n[17], n[18], False, common.point_pixel,
            n[19] if absorbs else 0.0, n[20] if absorbs else 0.0, common.layers, n[21] if absorbs else 0.0, common.fast_pixels,
        )  # fmt: skip
        # No launch has several tables of structure factors: nothing reads the sources' numbers of theirs.
        beam = BeamTable(
            incident, wavelengths, weights, n[22] if polarized else 0.0, common.polarized, axes, 0, n[23] if cut else 0.0, wavelengths
        )
        crystal = CrystalTable(
            orientations, orientations, (n[27], n[28], n[29], n[30], n[31], n[32], n[33], n[34], n[35]), n[36], n[37], n[38],
            (0.0, 0.0, 0.0) if square else (n[44], n[45], n[46]), SQUARE if square else common.shape, n[39], common.factors, 1,
            common.h_min, common.k_min, common.l_min, n[40],
        )  # fmt: skip
        rules = Rules(
            spec, False, switches and common.each_thick, switches and common.each_polar, switches and common.each_omega,
            not switches or common.running_products, n[41], common.skip_zeros, n[42], n[43],
        )  # fmt: skip
        return Tables(detector, beam, crystal, rules)

    return tables_of


def whole_images(count: int, window: tuple[int, int, int, int]) -> np.ndarray:
    """The boxes (count, 5) that cover the window (start and end, fast and slow) of each image."""
    return np.array([(image, *window) for image in range(count)], np.int64).reshape(count, 5)


def tile_starts(boxes: np.ndarray, tile: int) -> np.ndarray:
    """(boxes + 1,) int64: the number of the first tile of each box, and that of all tiles.

    ``boxes``: (image, fast start, fast end, slow start, slow end)."""
    pixels = np.maximum(boxes[:, 2] - boxes[:, 1], 0) * np.maximum(boxes[:, 4] - boxes[:, 3], 0)
    return np.concatenate([[0], np.cumsum(-(-pixels // tile))]).astype(np.int64)


def pixels_in(boxes: np.ndarray) -> int:
    """How many pixels the boxes hold."""
    return int(tile_starts(boxes, 1)[-1])
