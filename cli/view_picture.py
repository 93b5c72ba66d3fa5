"""The picture that nb-view makes: panels of images in pixels, the first one top left, with rings, beam centre and spots drawn over."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nanobragg_numba.files.preview import brightest
from nanobragg_numba.prediction.detector_plane import beam_place, ring, scattering_angles
from nanobragg_numba.prediction.spots import Spots

from .view_geometry import Setting

Window = tuple[int, int, int, int]
PANEL_INCHES, SEVERAL_INCHES, DOTS = 7.0, 5.2, 120
MOST_SHOWN = 1000
"""Pixels of a panel along an axis; what is larger is shown by the brightest of several."""
RING, SPOT, BEAM, BAD = "tab:red", "tab:blue", "tab:green", "#f5d76e"
RINGS = 5


@dataclass(frozen=True)
class Overlay:
    """What is drawn over an image."""

    setting: Setting | None = None
    """None: neither rings nor the beam's place."""
    rings: tuple[float, ...] = ()
    """Spacings (A)."""
    spots: Spots | None = None
    labels: int = 0
    """How many of the spots get their indices."""


@dataclass(frozen=True)
class Panel:
    """One image and how it is shown."""

    image: np.ndarray
    """(slow, fast): the window's pixels."""
    window: Window
    """fast start, fast end, slow start, slow end on the whole image."""
    levels: tuple[float, float]
    """Pixel values, less the base, at the ends of the scale; of a difference the largest, with both signs."""
    title: str
    base: float = 0.0
    """What is taken off the pixels before the logarithm."""
    difference: bool = False
    overlay: Overlay = field(default_factory=Overlay)


def round_spacings(setting: Setting, window: Window) -> tuple[float, ...]:
    """Spacings of two digits (A) whose rings are spread evenly, in 1/d, over what the window shows."""
    fast, fast_end, slow, slow_end = window
    s, f = np.meshgrid(np.linspace(slow, slow_end, 65), np.linspace(fast, fast_end, 65), indexing="ij")
    inverse = 2.0 * np.sin(scattering_angles(setting.geometry, s, f) / 2.0) / setting.wavelength_A
    wanted = np.linspace(inverse.min(), inverse.max(), RINGS + 2)[1:-1]
    spacings = {float(f"{1.0 / value:.2g}") for value in wanted if value > 0.0}
    return tuple(sorted(spacings, reverse=True))


def draw(figure: Any, panels: list[Panel]) -> None:
    """Draw the panels side by side on a figure of matplotlib, whose size is set to hold them."""
    shape = panels[0].image.shape
    tall = min(max(shape[0] / shape[1], 0.3), 3.0)
    width = PANEL_INCHES if len(panels) == 1 else SEVERAL_INCHES
    figure.set_size_inches(width * len(panels) + 0.5, width * 0.84 * tall + 0.7)
    for axes, panel in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(figure, axes, panel)


def _draw_panel(figure: Any, axes: Any, panel: Panel) -> None:
    from matplotlib.colors import LogNorm, SymLogNorm

    fast, fast_end, slow, slow_end = panel.window
    factor = math.ceil(max(panel.image.shape) / MOST_SHOWN)
    shown = _strongest(panel.image, factor) if panel.difference else brightest(panel.image, factor)
    # Pixel 0 reaches from 0 to 1; a last block of several pixels may reach beyond the image.
    place = (fast, fast + shown.shape[1] * factor, slow + shown.shape[0] * factor, slow)
    low, high = panel.levels
    if panel.difference:
        norm: Any = SymLogNorm(low, vmin=-high, vmax=high)
        colours, label = "RdBu_r", "B - A"
    else:
        shown, norm = np.maximum(shown.astype(np.float64) - panel.base, low), LogNorm(low, high)
        colours, label = "gray_r", f"pixel value - {panel.base:g}" if panel.base else "pixel value"
    drawn = axes.imshow(shown, cmap=colours, norm=norm, extent=place, origin="upper", interpolation="nearest")
    drawn.cmap.set_bad(BAD)
    figure.colorbar(drawn, ax=axes, label=label, shrink=0.85, extend="neither" if panel.difference else "both")
    _draw_over(axes, panel)
    blocks = f" (brightest of {factor}x{factor} pixels)" if factor > 1 else ""
    axes.set(xlim=(fast, fast_end), ylim=(slow_end, slow), xlabel="fast (pixels)", ylabel="slow (pixels)", title=panel.title + blocks)


def _strongest(image: np.ndarray, factor: int) -> np.ndarray:
    """Of each block the value farthest from zero."""
    if factor <= 1:
        return image
    above, below = brightest(image, factor), -brightest(-image, factor)
    return np.asarray(np.where(above >= -below, above, below))


def _draw_over(axes: Any, panel: Panel) -> None:
    over, (fast, fast_end, slow, slow_end) = panel.overlay, panel.window
    if over.setting is not None:
        for spacing in over.rings:
            _draw_ring(axes, panel, spacing)
        beam_slow, beam_fast, _ = beam_place(over.setting.geometry)
        if fast <= beam_fast <= fast_end and slow <= beam_slow <= slow_end:
            axes.plot(beam_fast, beam_slow, "+", color=BEAM, markersize=14, markeredgewidth=1.5)
    if over.spots is not None:
        _draw_spots(axes, over.spots, over.labels, fast_end - 0.12 * (fast_end - fast))


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]


def _draw_ring(axes: Any, panel: Panel, spacing: float) -> None:
    over, (fast, fast_end, slow, slow_end) = panel.overlay, panel.window
    assert over.setting is not None
    line = ring(over.setting.geometry, over.setting.wavelength_A, spacing)
    inside = (line[:, 1] >= fast) & (line[:, 1] <= fast_end) & (line[:, 0] >= slow) & (line[:, 0] <= slow_end)
    if not inside.any():
        return
    axes.plot(line[:, 1], line[:, 0], color=RING, linewidth=0.9, linestyle=(0, (6, 4)))
    # The label stands to the upper right of the beam where the ring is seen there, a little inside the window.
    margin = 0.05 * (fast_end - fast), 0.05 * (slow_end - slow)
    clear = (line[:, 1] >= fast + margin[0]) & (line[:, 1] <= fast_end - margin[0])
    clear &= (line[:, 0] >= slow + margin[1]) & (line[:, 0] <= slow_end - margin[1])
    seen = np.flatnonzero(clear if clear.any() else inside)
    at = seen[np.argmax(line[seen, 1] - line[seen, 0])]
    axes.text(line[at, 1], line[at, 0], f"{spacing:g} Å", color=RING, fontsize=9, ha="center", va="center", path_effects=_halo())


def _draw_spots(axes: Any, spots: Spots, labels: int, turn: float) -> None:
    """Circles, and the indices of the strongest spots: to the right of those whose fast coordinate is below ``turn``."""
    axes.scatter(spots.centre[:, 1], spots.centre[:, 0], s=42, facecolors="none", edgecolors=SPOT, linewidths=0.8)
    factors = np.where(np.isnan(spots.structure_factor), 1.0, spots.structure_factor)
    strongest = np.argsort(-spots.partiality * factors**2, kind="stable")[:labels]
    for at in strongest:
        slow, fast = spots.centre[at]
        shift, side = ((4, 4), "left") if fast < turn else ((-4, 4), "right")
        text = axes.annotate(" ".join(map(str, spots.hkl[at])), (fast, slow), xytext=shift, textcoords="offset points", ha=side)
        text.set(fontsize=7, color=SPOT, path_effects=_halo())
