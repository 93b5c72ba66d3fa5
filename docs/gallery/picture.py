"""What the scripts of the gallery share: an image in millimetres on a logarithmic scale, with lines of equal resolution."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm


def two_theta(geometry):
    """(slow, fast): angle between the beam and the ray to each pixel's centre, radians."""
    along_slow = np.outer(np.arange(geometry.slow_pixels) + 0.5, geometry.slow)
    along_fast = np.outer(np.arange(geometry.fast_pixels) + 0.5, geometry.fast)
    positions = geometry.pix0 + geometry.pixel_size * (along_slow[:, None] + along_fast)
    return np.arccos(positions @ geometry.beam / np.linalg.norm(positions, axis=-1))


def show(axes, run, image=None, *, least, most=None, rings=(), cmap="gray_r"):
    """Draw the image of a run, or another one in its place, from ``least`` to ``most`` photons; ``rings``: resolutions in A."""
    width, height = (1000 * size for size in run.geometry.size)
    place = {"extent": (0, width, height, 0), "origin": "upper"}  # the first pixel is top left
    image = run.image if image is None else image
    drawn = axes.imshow(np.maximum(image, least), cmap=cmap, norm=LogNorm(least, most or image.max()), **place)
    plt.colorbar(drawn, ax=axes, label="photons per pixel", shrink=0.8)
    if rings:
        d = run.experiment.wavelength * 1e10 / (2 * np.sin(two_theta(run.geometry) / 2))  # Bragg
        lines = axes.contour(d, levels=sorted(rings), colors="tab:red", linewidths=0.8, linestyles="--", **place)
        axes.clabel(lines, fmt="%.2g Å", fontsize=9)
    axes.set(xlabel="fast axis (mm)", ylabel="slow axis (mm)")
