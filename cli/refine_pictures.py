"""Pictures of a fit: how the residuals are spread, and shoeboxes beside their models."""

import io
from typing import Any

import numpy as np

from nanobragg_numba.refinement.fit import Fit

DOTS = 100
BOXES = 8
"""Shoeboxes shown."""


def _residuals(found: Fit, piece: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected photons and weighted residuals of the pixels of a shot, or of a panel of it."""
    now = found.target.fitted(found.vector, piece)
    expected = (now.spots + now.background).numpy()
    own = found.target.pixels[piece]
    return expected, (own.photons.numpy() - expected) * np.sqrt(found.target.targets[piece].weights.numpy())


def _corner(found: Fit, piece: int) -> tuple[int, int]:
    """Slow, fast of a panel's first pixel in the image."""
    view = found.free.views[piece]
    slow, _, fast, _ = found.free.models[view.pieces[0].shot].panels[view.panel].box
    return slow, fast


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS)
    return buffer.getvalue()


def residual_figure(found: Fit) -> bytes:
    """PNG: the residuals against a normal curve, the mean square of each box against its resolution, and where on the detector."""
    spread, places, squares, resolutions = [], [], [], []
    for piece, own in enumerate(found.target.pixels):
        if not len(own):
            continue
        residuals = _residuals(found, piece)[1]
        spread.append(residuals)
        boxes, count = own.boxes.numpy(), len(own.spots)
        squares.append(np.bincount(boxes, residuals**2, count) / np.bincount(boxes, minlength=count))
        places.append(own.spots.centre + _corner(found, piece))
        resolutions.append(own.spots.resolution)
    every, mean, place, resolution = map(np.concatenate, (spread, squares, places, resolutions))
    figure = _figure(13.0, 5.2)
    left, middle, right = figure.subplots(1, 3)
    steps = np.linspace(-5.0, 5.0, 61)
    left.hist(np.clip(every, -5.0, 5.0), steps, density=True, color="0.75")
    left.plot(steps, np.exp(-0.5 * steps**2) / np.sqrt(2.0 * np.pi), "k-", linewidth=1.0)
    left.set(xlabel="residual / its standard deviation", ylabel="share of pixels", title=f"{len(every)} pixels and the normal curve")
    middle.plot(1.0 / resolution**2, mean, "k.", markersize=3)
    middle.axhline(1.0, color="tab:red", linewidth=1.0)
    middle.set(xlabel="1 / d^2 (1/A^2)", ylabel="mean squared residual of a box", title="by resolution", yscale="log")
    shown = right.scatter(place[:, 1], place[:, 0], c=mean, s=8, cmap="viridis", vmin=0.0, vmax=max(2.0, float(np.quantile(mean, 0.95))))
    right.set(xlabel="fast (pixels)", ylabel="slow (pixels)", title="by place", aspect="equal")
    right.invert_yaxis()
    figure.colorbar(shown, ax=right, label="mean squared residual")
    return _png(figure)


def shoebox_figure(found: Fit) -> bytes:
    """PNG: the brightest shoeboxes of all shots, measured, modelled (square roots), and the difference in standard deviations."""
    bright = []
    for piece, own in enumerate(found.target.pixels):
        if len(own):
            sums = np.bincount(own.boxes.numpy(), found.target.fitted(found.vector, piece).spots.numpy(), len(own.spots))
            bright += [(float(total), piece, box) for box, total in enumerate(sums)]
    chosen = sorted(bright, reverse=True)[:BOXES]
    figure = _figure(1.6 * len(chosen) + 1.0, 5.2)
    axes = figure.subplots(3, len(chosen), squeeze=False)
    for column, (_, piece, box) in enumerate(chosen):
        own = found.target.pixels[piece]
        expected, residuals = _residuals(found, piece)
        mine = own.boxes.numpy() == box
        slow, fast = own.index.numpy()[mine][:, 1:].T
        shape = int(np.ptp(slow)) + 1, int(np.ptp(fast)) + 1
        measured = own.photons.numpy()[mine]
        top = np.sqrt(max(float(measured.max()), 1.0))
        for row, (values, low, high, colours) in enumerate(
            ((measured, 0.0, top, "gray_r"), (expected[mine], 0.0, top, "gray_r"), (residuals[mine], -4.0, 4.0, "RdBu_r"))
        ):
            image = np.full(shape, np.nan)
            image[slow - slow.min(), fast - fast.min()] = values
            at = axes[row, column]
            # Of photons the square root, so that weak pixels show as well.
            shown = at.imshow(image if row == 2 else np.sqrt(np.maximum(image, 0.0)), cmap=colours, vmin=low, vmax=high)
            at.set(xticks=[], yticks=[])
            if row == 0:
                h, k, l = own.spots.hkl[box]
                at.set_title(f"shot {found.free.views[piece].image + 1}\n{h} {k} {l}", fontsize=8)
    for row, name in enumerate(("measured", "model", "difference / sigma")):
        axes[row, 0].set_ylabel(name)
    figure.colorbar(shown, ax=list(axes[2]), label="sigma")
    return _png(figure)
