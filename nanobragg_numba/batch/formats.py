"""The formats of a run: which pixels an image is kept as, and their bytes in a file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nanobragg_numba.command_line.reading import Outputs
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.seeds import generator_seed
from nanobragg_numba.files import smv_header
from nanobragg_numba.files.output import Chunk
from nanobragg_numba.kernels.random_state import reseed
from nanobragg_numba.output.integer_images import NoiseImage, automatic_scale, scaled_counts
from nanobragg_numba.output.photon_noise import draw_photons

SATURATION = 2**31 - 3
"""Brighter pixels are cut off at this count: the largest that readers of signed 32-bit counts do not take for a mark of a bad pixel."""


class Kept(NamedTuple):
    """An image as it is kept, and what the manifest says of it."""

    content: list[Chunk]
    photons: float
    """Sum over all pixels: of the photons drawn where there is noise, of the float image elsewhere."""
    brightest: float
    """The largest pixel, in photons."""


@dataclass(frozen=True)
class Finished:
    """A computed image and what its command line says of the files."""

    experiment: Experiment
    image: np.ndarray
    """(slow, fast) float32, photons."""
    outputs: Outputs


def _figures(image: np.ndarray) -> tuple[float, float]:
    # nan is no brightness; a sum of nothing else is.
    return float(image.sum(dtype=np.float64)), float(np.fmax.reduce(image, axis=None, initial=0.0))


def _drawn(done: Finished) -> np.ndarray:
    """The photons, drawn as the command draws them: (slow, fast) float32."""
    x = done.experiment
    reseed(x.random_state, generator_seed(x.seeds.noise))
    return draw_photons(done.image, x.geometry.window, x.random_state, 1)[0]


def counts(done: Finished) -> np.ndarray:
    """The image with noise as uint32 counts, one a photon, cut off at SATURATION."""
    photons = _drawn(done)
    if photons.max(initial=0.0) < SATURATION:
        return photons.astype(np.uint32)
    # In single precision there is no such number.
    return np.minimum(photons.astype(np.float64), SATURATION).astype(np.uint32)


def _float(done: Finished) -> Kept:
    return Kept([done.image.astype("<f4", copy=False)], *_figures(done.image))


def _smv(done: Finished) -> Kept:
    """The command's noise image, or without noise its intimage."""
    x, window = done.experiment, done.experiment.geometry.window
    if not done.outputs.noise:
        photons, brightest = _figures(done.image)
        scale = done.outputs.int_scale if done.outputs.int_scale > 0.0 else automatic_scale(brightest)
        rows: Iterator[np.ndarray] = scaled_counts(done.image, window, scale, done.outputs.adc_offset)
        return Kept([smv_header.header(x, -0.0), *_little_endian(rows)], photons, brightest)
    reseed(x.random_state, generator_seed(x.seeds.noise))
    noisy = NoiseImage(done.image, window, x.random_state, done.outputs.adc_offset, 1)
    noisy.finished.reach(len(done.image))
    content: list[Chunk] = [smv_header.header(x, 0.0), *_little_endian(part.copy() for part in noisy.rows())]
    brightest = max((float(part.max(initial=0)) for part in content[1:] if isinstance(part, np.ndarray)), default=0.0)
    return Kept(content, noisy.total, max(brightest - done.outputs.adc_offset, 0.0))


def _little_endian(rows: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    return (part.astype(part.dtype.newbyteorder("<"), copy=False) for part in rows)


def _nexus(done: Finished) -> Kept:
    from nanobragg_numba.files.nexus import frames

    pixels = counts(done) if done.outputs.noise else done.image
    return Kept([frames.encode(pixels)], *_figures(pixels))


def _cbf(done: Finished) -> Kept:
    from nanobragg_numba.files import cbf

    pixels = counts(done)
    return Kept(list(cbf.contents(pixels, done.experiment, SATURATION)), *_figures(pixels))


@dataclass(frozen=True)
class Format:
    """A way of keeping images."""

    suffix: str
    keep: Callable[[Finished], Kept]
    one_file_each: bool = True
    """Whether each image is a file of its own."""
    panels: bool = True
    """Whether an image of many panels, stacked, has a place in it."""
    needs: tuple[str, ...] = ()
    """Packages that are extras."""


FORMATS: Mapping[str, Format] = {
    "nexus": Format(".h5", _nexus, one_file_each=False, needs=("h5py", "hdf5plugin")),
    "smv": Format(".img", _smv, panels=False),
    "cbf": Format(".cbf", _cbf, panels=False, needs=("fabio",)),
    "float": Format(".bin", _float),
}


def require_format(name: str, noise: bool) -> Format:
    """The format of that name. Raises InputError where there is none, what it needs is missing, or it cannot hold such images."""
    import importlib.util

    if name not in FORMATS:
        raise InputError(f"--format must be one of {', '.join(FORMATS)}, not {name!r}")
    missing = [package for package in FORMATS[name].needs if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(f"--format {name} needs {' and '.join(missing)}: pip install 'nanobragg_numba[batch]'")
    if name == "cbf" and not noise:
        raise InputError("--format cbf holds whole numbers, and -nonoise leaves fractions of photons: take nexus or float")
    return FORMATS[name]


def require_panels(name: str, noise: bool, count: int) -> None:
    """Raise InputError where images of a detector of ``count`` panels, which are stacked, cannot be kept so."""
    if not FORMATS[name].panels:
        raise InputError(f"--format {name} holds one plane of pixels, and the detector has panels ({count}): take nexus or float")
    if noise and name != "float":
        raise InputError(f"noise is drawn on one plane of pixels, and the detector has panels ({count}): give -nonoise in --base")


def pixels_of(name: str, noise: bool) -> tuple[Any, float, str]:
    """Type of the pixels kept, the value at which they are cut off (0: nowhere), and the unit, for what a run says of itself."""
    if name == "float" or (name == "nexus" and not noise):
        return np.dtype("<f4"), 0.0, "photons"
    if name == "smv":
        return np.dtype("<u2"), 65535.0, "photons plus the offset of -adc" if noise else "photons times a scale plus the offset of -adc"
    return np.dtype("<u4" if name == "nexus" else "<i4"), float(SATURATION), "photons"
