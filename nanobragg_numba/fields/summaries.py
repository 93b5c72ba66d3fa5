"""Parameters and what is derived from them in a line, for ``repr``: no arrays, the numbers that tell one run from another."""

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from nanobragg_numba.maths.dual_functions import value_of
from nanobragg_numba.maths.torch_values import is_tensor

if TYPE_CHECKING:
    from nanobragg_numba.experiment.crystal import Lattice
    from nanobragg_numba.experiment.detector import Geometry
    from nanobragg_numba.experiment.parameters import Beam, Crystal, Detector, Parameters


def plain_text(value: Any) -> str:
    """A number in few digits, several with blanks between; "tensor" for what torch holds."""
    if is_tensor(value):
        return "tensor"
    if isinstance(value, (tuple, list)):
        return " ".join(map(plain_text, value))
    return str(value) if isinstance(value, str) or value is None else f"{value_of(value):g}"


def _code(value: Any) -> str:
    """As Python writes it; of arrays and tensors shape and type."""
    if is_tensor(value) or isinstance(value, np.ndarray):
        kind = "tensor" if is_tensor(value) else "array"
        return f"<{kind} {tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}>"
    if isinstance(value, tuple):
        return f"({', '.join(map(_code, value))})"
    return repr(value)


def changed_fields(parameters: Any) -> str:
    """The class with those fields that are not as by default."""
    given = ((f, getattr(parameters, f.name)) for f in fields(parameters))
    texts = [f"{f.name}={_code(value)}" for f, value in given if isinstance(value, np.ndarray) or is_tensor(value) or value != f.default]
    return f"{type(parameters).__name__}({', '.join(texts)})"


def _by(sizes: Any) -> str:
    return "tensor" if is_tensor(sizes) else " x ".join(map(plain_text, sizes))


def cells(n_cells: Any, off_diagonal: Any) -> str:
    """Numbers of cells along the axes, and what their tensor has off its diagonal."""
    beside = f" ({plain_text(off_diagonal)} off the diagonal)" if is_tensor(off_diagonal) or any(off_diagonal) else ""
    return f"{_by(n_cells)} cells{beside}"


def crystal(c: "Crystal") -> str:
    """Lattice, size, shape, structure factors."""
    if c.real_space_matrix is not None or c.mosflm_matrix is not None:
        lattice = "real-space matrix" if c.real_space_matrix is not None else "MOSFLM matrix"
    else:
        lattice = "no cell" if c.cell is None else f"cell {plain_text(c.cell)}"
    by_width = not is_tensor(c.size_mm) and any(c.size_mm)
    size = f"{_by(c.size_mm)} mm" if by_width else cells(c.n_cells, c.n_cells_off_diagonal)
    texts = [lattice, f"{size} {c.shape}"]
    if c.misset_deg is not None:
        texts.append(f"misset {plain_text(c.misset_deg)}")
    if c.mosaic_rotations is not None:
        texts.append(f"{len(c.mosaic_rotations)} mosaic domains")
    elif c.mosaic_width_deg is not None:
        texts.append(f"mosaic width {plain_text(c.mosaic_width_deg)} deg")
    elif c.mosaic_spread_deg is not None:
        texts.append(f"mosaic spread {plain_text(c.mosaic_spread_deg)} deg")
    if c.structure_factors is not None:
        texts.append(f"{c.structure_factors.count} reflections")
    if c.structure_factors is None or is_tensor(c.default_F) or c.default_F:
        texts.append(f"default F {plain_text(c.default_F)}")
    return ", ".join(texts)


def lattice(x: "Lattice") -> str:
    """The unit cell, a, b, c in A, angles in degrees."""
    return "cell " + " ".join(f"{value:.6g}" for value in (*x.cell[:3], *map(math.degrees, x.cell[3:])))


def beam(b: "Beam") -> str:
    """Wavelength, or sources."""
    if b.sources is not None:
        return f"{len(b.sources.wavelengths_m)} sources"
    wide = is_tensor(b.dispersion_percent) or b.dispersion_percent
    return f"{plain_text(b.wavelength_A)} A" + (f", {plain_text(b.dispersion_percent)} % wide" if wide else "")


def detector(d: "Detector") -> str:
    """Pixels and distance."""
    size = f"{d.pixels[0]}x{d.pixels[1]} pixels" if all(d.pixels) else f"{' x '.join(map(plain_text, d.size_mm))} mm with pixels"
    near = d.close_distance_mm is not None
    distance = f"{plain_text(d.close_distance_mm if near else d.distance_mm)} mm{' (nearest point)' if near else ''}"
    return f"{size} of {plain_text(d.pixel_size_mm)} mm at {distance}, {d.convention}"


def geometry(g: "Geometry") -> str:
    """Pixels, distance, beam centre."""
    distance, fast, slow, pixel = (f"{1000.0 * value_of(x):.6g}" for x in (g.distance, g.fbeam, g.sbeam, g.pixel_size))
    return (
        f"{g.fast_pixels}x{g.slow_pixels} pixels of {pixel} mm, distance {distance} mm, direct beam at fast {fast}, slow {slow} mm, "
        f"{g.convention}, pivot {g.pivot}"
    )


def parameters(p: "Parameters") -> str:
    """Crystal, beam and detector, and what there is of background, shadow and response."""
    texts = [beam(p.beam), detector(p.detector)]
    texts += [f"{len(p.backgrounds)} background{'s' * (len(p.backgrounds) > 1)}"] if p.backgrounds else []
    texts += [] if p.shadow is None else ["a shadow"]
    texts += [] if p.response is None else [changed_fields(p.response)]
    return f"{crystal(p.crystal)};\n {'; '.join(texts)}"
