"""The conventions, drawn and in words: each number is asked of the program, none is written down here.

    python docs/conventions.py

leaves ``conventions.png``. All is seen from the source, along the beam, with the slow axis pointing down.
"""

from dataclasses import replace
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from nanobragg_numba import Crystal, Detector, Parameters, Sampling
from nanobragg_numba.experiment.detector import derive_geometry
from nanobragg_numba.experiment.parameters import CONVENTIONS

NAMES = sorted(CONVENTIONS, key=lambda name: name == "custom")
PIXEL, DISTANCE, SIZE = 1.0, 100.0, np.array((120.0, 80.0))  # mm; sizes along fast and slow
WORDS = {(1, 0): "right", (-1, 0): "left", (0, 1): "down", (0, -1): "up"}


def geometry_of(name, **changes):
    """The detector's geometry in a convention; for "custom" with the default vectors."""
    detector = Detector(convention=name, pixels=(120, 80), pixel_size_mm=PIXEL, distance_mm=DISTANCE)
    return derive_geometry(Parameters(detector=replace(detector, **changes)), "spec")


def spot(name, **changes):
    """Where the beam meets the detector: mm along fast and slow from the first pixel's outer corner."""
    g = geometry_of(name, **changes)
    return 1000 * np.array((g.fbeam, g.sbeam))


class Centre(NamedTuple):
    """spot = constant + matrix (Xbeam, Ybeam); and the spot without them."""

    constant: np.ndarray
    matrix: np.ndarray
    default: np.ndarray


def centre_of(name):
    """The meaning of Xbeam and Ybeam, by trying them."""
    origin = spot(name, beam_center_mm=(0.0, 0.0))
    columns = [spot(name, beam_center_mm=given) - origin for given in ((1.0, 0.0), (0.0, 1.0))]
    return Centre(origin, np.array(columns).T, spot(name))


class View:
    """Laboratory vectors as seen from the source: (right, down)."""

    def __init__(self, geometry):
        self.beam, self.down = np.array(geometry.beam), np.array(geometry.slow)
        self.right = np.cross(self.down, self.beam)

    def of(self, vector):
        return np.array((np.dot(vector, self.right), np.dot(vector, self.down)))

    def word(self, vector):
        return WORDS.get(tuple(int(x) for x in np.rint(self.of(vector))), "along the beam")


def swing_of(name):
    """Which way the detector's normal goes when two-theta grows."""
    return np.subtract(geometry_of(name, twotheta_deg=1.0).normal, geometry_of(name).normal) * 180 / np.pi


def turn_of(name):
    """Which way the crystal's downstream end goes when phi grows."""
    beam = np.array(geometry_of(name).beam)
    crystal = Crystal(real_space_matrix=np.array([beam, np.roll(beam, 1), np.roll(beam, 2)]))
    (end, _, _), _ = crystal.rotated_real_vectors(Sampling(phi_deg=1.0), convention=name)
    return (end[0, 0] - beam) * 180 / np.pi


def axis_of(name):
    """The axis of two-theta: the vector that the swing turns the beam's direction about."""
    return np.cross(geometry_of(name).beam, swing_of(name))


def laboratory(vector):
    """A unit vector along an axis as text."""
    at = int(np.argmax(np.abs(vector)))
    return ("-" if vector[at] < 0 else "+") + "xyz"[at]


def sum_in_words(row, constant, size):
    """One coordinate of the spot as a formula."""
    parts = [("-" if factor < 0 else "+") + f" {name}" for factor, name in zip(row, ("Xbeam", "Ybeam"), strict=True) if abs(factor) > 1e-6]
    if not parts:
        return "the centre"
    if abs(constant - size) < 1e-6:
        parts = ["size", *parts]
    elif abs(constant) > 1e-6:
        parts.append(f"+ {constant / PIXEL:g} pixel")
    return " ".join(parts).removeprefix("+ ")


ROWS = (
    "beam", "fast", "slow", "beam meets fast at", "beam meets slow at", "without Xbeam, Ybeam: from the centre, fast and slow", "pivot",
    "axis of two-theta", "the detector turns", "spindle", "phi moves the crystal's far end", "E vector",
)  # fmt: skip


def column(name):
    """What the table says of a convention, in the order of ROWS."""
    g, centre = geometry_of(name), centre_of(name)
    view = View(g)
    off = (centre.default - SIZE / 2) / PIXEL
    return (
        laboratory(g.beam), f"{laboratory(g.fast)}, {view.word(g.fast)}", f"{laboratory(g.slow)}, {view.word(g.slow)}",
        *(sum_in_words(centre.matrix[i], centre.constant[i], SIZE[i]) for i in (0, 1)),
        f"{off[0]:g}, {off[1]:g} pixel" if np.abs(off).max() > 1e-6 else "0", g.pivot,
        laboratory(axis_of(name)), view.word(swing_of(name)), laboratory(g.spindle_axis), view.word(turn_of(name)),
        laboratory(g.polarization_axis),
    )  # fmt: skip


def table():
    """All conventions as a table in Markdown."""
    columns = [ROWS, *map(column, NAMES)]
    lines = [("", *(f"`{name}`" for name in NAMES)), ("---",) * len(columns), *zip(*columns, strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def arrow(axes, start, end, colour, text, beyond=0.0, beside=(0.0, 0.0), **style):
    """An arrow with its name ``beyond`` its tip, or ``beside`` its middle."""
    start, end = np.asarray(start), np.asarray(end)
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8, "shrinkA": 0, "shrinkB": 0, **style})
    along = (end - start) / np.linalg.norm(end - start)
    x, y = end + beyond * along if beyond else (start + end) / 2 + beside
    side = np.rint(along[0] if beyond else beside[0])
    axes.text(x, y, text, color=colour, ha="left" if side > 0 else "right" if side < 0 else "center", va="center", fontsize=11)


def edge(corners, direction):
    """From the beam to the detector's edge along ``direction``."""
    return (corners @ direction).max() * direction


def draw_axes(axes, view, at):
    """The laboratory axes: arrows, a cross in a circle for one that points away, a dot for one that points here."""
    for name, vector in zip("xyz", np.eye(3), strict=True):
        seen = view.of(vector)
        if np.linalg.norm(seen) > 0.5:
            arrow(axes, at, at + 14 * seen, "black", name, 4.5, lw=1.0)
        else:
            axes.plot(*at, "o", ms=9, mfc="white", mec="black")
            axes.plot(*at, "x" if vector @ view.beam > 0 else ".", ms=6, color="black")
            axes.text(*(at + 6.5 * np.array((-1, 1))), name, ha="center", va="center", fontsize=11)


def panel(axes, name):
    """One convention."""
    centre = centre_of(name)
    set_by_beam = abs(np.linalg.det(centre.matrix)) > 0.5
    given = np.linalg.solve(centre.matrix, np.array((45.0, 36.0)) - centre.constant) if set_by_beam else (None, None)
    g = geometry_of(name, beam_center_mm=tuple(given))
    view = View(g)
    fast, slow, corner = view.of(g.fast), view.of(g.slow), 1000 * view.of(g.pix0)
    corners = np.array([corner, corner + SIZE[0] * fast, corner + SIZE @ (fast, slow), corner + SIZE[1] * slow])
    axes.fill(*corners.T, fc="0.93", ec="0.4")
    axes.fill(*(corner + 4 * np.array([0 * fast, fast, fast + slow, slow])).T, color="black")
    axes.text(*(corner + 21 * fast + 5 * slow), "first pixel", ha="center", va="center", fontsize=10)
    arrow(axes, corner - 4 * slow, corner + 32 * fast - 4 * slow, "tab:blue", "fast", beside=-4.5 * slow)
    arrow(axes, corner - 4 * fast, corner - 4 * fast + 28 * slow, "tab:green", "slow", beside=-2 * fast)
    axes.plot(0, 0, "o", ms=12, mfc="white", mec="black")
    axes.plot(0, 0, "x", ms=8, color="black")
    for i, label in enumerate(("Xbeam", "Ybeam") if set_by_beam else ()):
        along = centre.matrix[:, i] @ (fast, slow)
        upright = abs(along[1]) > 0.5
        arrow(axes, -given[i] * along, -4 * along, "tab:orange", label, beside=(2, 0) if upright else (0, 5))
    swing, axis, spindle = view.of(swing_of(name)), view.of(axis_of(name)), view.of(g.spindle_axis)
    # Two axes of one direction are drawn side by side.
    aside = (34, 9) * np.array((axis[1], axis[0])) ** 2 * (axis @ spindle > 0.5)
    start = edge(corners, axis) + aside
    arrow(axes, start + 3 * axis, start + 23 * axis, "tab:red", "2θ axis", 2 + 3 * abs(axis[1]), ls=(0, (3, 1.5)))
    start = edge(corners, spindle)
    arrow(axes, start + 3 * spindle, start + 23 * spindle, "tab:purple", "spindle", 2 + 3 * abs(spindle[1]))
    start = edge(corners, swing)
    arrow(axes, start + 2 * swing, start + 17 * swing, "tab:red", "+2θ", 2 + 3 * abs(swing[1]), lw=5, mutation_scale=18)
    draw_axes(axes, view, np.array((88.0, 57.0)))
    axes.set(title=name, xlim=(-112, 118), ylim=(72, -68), aspect="equal")
    axes.title.set_fontsize(13)
    axes.axis("off")


def draw():
    """The figure: one panel a convention."""
    figure, panels = plt.subplots(2, 3, figsize=(15, 6.9), layout="constrained")
    for axes, name in zip(panels.flat, NAMES, strict=True):
        panel(axes, name)
    return figure


if __name__ == "__main__":
    draw().savefig("conventions.png", dpi=110)
