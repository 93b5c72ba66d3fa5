"""The nb-view command: an image with rings of equal resolution, the beam's place and predicted spots, as a picture or in a window."""

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nanobragg_numba import __version__
from nanobragg_numba.errors import InputError
from nanobragg_numba.files import smv
from nanobragg_numba.files.output import require_writable, write_whole
from nanobragg_numba.files.preview import levels, levels_above, pedestal

from .image_files import HDF5, Size, first_bytes, is_raw, read_image, square_size
from .two_dashes import Parser, joined, status_of, tell
from .view_geometry import NO_GEOMETRY, Setting, from_line, from_nexus, from_smv

FROM_FILE = ""
"""--spots without a command line."""
DESCRIPTION = """\
Show an image on a logarithmic grey scale, with rings of equal resolution, the beam's place and predicted spots.

  nb-view intimage.img
  nb-view floatimage.bin --header intimage.img --roi 100 300 200 400 --out corner.png
  nb-view intimage.img --spots "-mat A.mat -hkl P1.hkl -N 20 -lambda 1 -distance 100"
  nb-view one.img --compare other.img --out difference.png
  nb-view run_master.h5 --frame 12 --spots
"""
EPILOGUE = """\
FILE: SMV, raw floats (.bin), PGM, npy, NXmx (a master file or its frames), CBF, EDF or what else fabio reads. Pixels count from 0 and
frames from 1. Without --out a window opens; where there is no display, FILE's name with .png is written to the current folder.
exit status: 0 shown or written, 2 bad input.
"""


def _parser() -> Parser:
    parser = Parser("nb-view", description=DESCRIPTION, epilog=EPILOGUE, allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("file", metavar="FILE", help="the image")
    parser.add_argument("--out", metavar="FILE.png", help="write the picture there")
    parser.add_argument("--frame", type=int, metavar="N", help="number of the image in a file of several (default: 1)")
    size_help = "pixels of raw floats; without it, or a header or line,\na square is assumed"
    parser.add_argument("--size", nargs=2, type=int, metavar=("FAST", "SLOW"), help=size_help)
    parser.add_argument("--header", metavar="IMAGE", help="an SMV image whose header gives size and geometry")
    line_help = 'the nanoBragg command line that gives size and geometry;\none that begins with - is written --line="-mat ..."'
    parser.add_argument("--line", metavar="LINE", help=line_help)
    spots_help = "draw the spots that this nanoBragg command line predicts, by\ndefault --line or the one that the file has recorded"
    parser.add_argument("--spots", nargs="?", const=FROM_FILE, metavar="LINE", help=spots_help)
    parser.add_argument("--labels", type=int, default=40, metavar="N", help="spots, strongest first, that get their indices (default: 40)")
    parser.add_argument("--resolution", type=float, metavar="D", help="spots to this spacing in A (default: to the detector's corner)")
    parser.add_argument("--rings", nargs="*", type=float, metavar="D", help="spacings in A (default: five that fit; none: no rings)")
    roi_help = "show this window only, ends included"
    parser.add_argument("--roi", nargs=4, type=int, metavar=("FAST_MIN", "FAST_MAX", "SLOW_MIN", "SLOW_MAX"), help=roi_help)
    parser.add_argument("--levels", nargs=2, type=float, metavar=("LOW", "HIGH"), help="pixel values at the ends of the grey scale")
    parser.add_argument("--compare", metavar="OTHER", help="show another image of the same size beside it, and the difference")
    parser.add_argument("--version", action="version", version=f"nb-view (nanobragg_numba) {__version__}")
    return parser


LINES = ("--line", "--spots")
"""Their value is one word that may begin with a minus sign, where the options of this command begin with two."""


def _tell(text: str) -> None:
    tell("nb-view", text)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return status_of("nb-view", lambda: _run(_parser().parse_args(joined(sys.argv[1:] if words is None else words, LINES))))


def command() -> None:
    """Run ``nb-view`` with the words of the command line, and exit with its status."""
    sys.exit(main())


@dataclass(frozen=True)
class _Sources:
    """The command lines and headers that say what is on the image."""

    setting: Setting | None
    why_none: str
    """Why there is no setting."""
    crystal: Setting | None
    """What spots are predicted from."""


def _run(options: argparse.Namespace) -> None:
    _check(options)
    sources = _sources(options)
    size = _size(options, sources.setting)
    image = read_image(options.file, "", size, options.frame)
    own = sources.setting
    if own is not None and own.from_file and image.shape != (own.geometry.slow_pixels, own.geometry.fast_pixels):
        sources = replace(sources, setting=None, why_none=f"{own.source} is not laid out as the image")
    for setting in (sources.setting, sources.crystal):
        _require_same_size(image, setting, options.file)
    own_size = image.shape[1], image.shape[0]
    other = None if options.compare is None else read_image(options.compare, "--compare", options.size or own_size, options.frame)
    if other is not None and other.shape != image.shape:
        sizes = [f"{shape[1]}x{shape[0]}" for shape in (other.shape, image.shape)]
        raise InputError(f"--compare {options.compare}: has {sizes[0]} pixels, {options.file} {sizes[1]}")
    panels, lines = _panels(options, sources, image, other)
    _show(options, panels, lines)


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for values that make no sense by themselves."""
    for flag, numbers in (("--rings", options.rings or ()), ("--resolution", (1.0 if options.resolution is None else options.resolution,))):
        if not all(0.0 < number < math.inf for number in numbers):
            raise InputError(f"{flag} {' '.join(f'{number:g}' for number in numbers)}: spacings must be positive (A)")
    if options.size is not None and min(options.size) < 1:
        raise InputError("--size takes two numbers above zero")
    if options.labels < 0:
        raise InputError(f"--labels {options.labels}: must be 0 or more")
    roi = options.roi
    if roi is not None and not (0 <= roi[0] <= roi[1] and 0 <= roi[2] <= roi[3]):
        raise InputError(f"--roi {' '.join(map(str, roi))}: no window (FAST_MIN FAST_MAX SLOW_MIN SLOW_MAX, from 0)")
    low, high = options.levels or (1.0, 2.0)
    if not 0.0 < low < high < math.inf:
        raise InputError(f"--levels {low:g} {high:g}: the scale is logarithmic, from a value above zero to a larger one")
    if options.out is not None:
        if os.path.splitext(options.out)[1].lower() != ".png":
            raise InputError(f"--out {options.out}: the picture is written as PNG; give it a name that ends in .png")
        require_writable(options.out, "--out")
        for name in filter(None, (options.file, options.compare, options.header)):
            if os.path.realpath(name) == os.path.realpath(options.out):
                raise InputError(f"--out {options.out}: is the image that is shown")


def _recorded(options: argparse.Namespace) -> Setting | None:
    """What the command line says that an NXmx file has recorded for the frame; None where there is none."""
    if first_bytes(options.file, "") != HDF5:
        return None
    from .view_recorded import recorded_command

    text = recorded_command(options.file, options.frame or 1)
    return from_line(text, f"{options.file}, the command line recorded for frame {options.frame or 1}") if text else None


def _sources(options: argparse.Namespace) -> _Sources:
    line = None if options.line is None else from_line(options.line, "--line")
    asked = None if not options.spots else from_line(options.spots, "--spots")
    recorded, why = None, NO_GEOMETRY
    if line is None and asked is None:
        try:
            recorded = _recorded(options)
        except InputError as error:
            if options.spots is not None:
                raise
            why = str(error)
    crystal = None
    if options.spots is not None:
        crystal = asked or line or recorded
        if crystal is None:
            raise InputError(f'--spots: {options.file} has no command line recorded: give the one that made it (--spots "...")')
        if crystal.parameters is None:
            raise InputError(f"{'--spots' if asked else '--line'}: gives no crystal: it needs -mat or -cell, and -hkl or -default_F")
    if options.header is not None and line is None:
        return _Sources(from_smv(options.header, "--header"), "", crystal)
    setting = line or asked or recorded
    if setting is None and not is_raw(options.file):
        try:
            setting = _own_setting(options)
        except InputError as error:
            why = why if str(error) == NO_GEOMETRY else str(error)
    if setting is not None and setting.curved:
        setting, why = None, "rings cannot be worked out for a curved detector (-curved_det)"
    if setting is None and options.rings:
        raise InputError(f"--rings: {why}")
    return _Sources(setting, why, crystal)


def _own_setting(options: argparse.Namespace) -> Setting | None:
    """What the file itself says of the detector; None where its format says nothing. Raises InputError where it says too little."""
    if first_bytes(options.file, "") == HDF5:
        return from_nexus(options.file, options.frame or 1, "")
    return from_smv(options.file, "") if smv.is_smv(options.file, "") else None


def _size(options: argparse.Namespace, setting: Setting | None) -> Size | None:
    """The size of raw floats."""
    if options.size is not None:
        return options.size[0], options.size[1]
    if setting is not None:
        return setting.geometry.fast_pixels, setting.geometry.slow_pixels
    if not is_raw(options.file):
        return None
    size = square_size(options.file, "")
    _tell(f"{options.file}: taken for a square image, {size[0]}x{size[1]} pixels")
    return size


def _require_same_size(image: np.ndarray, setting: Setting | None, name: str) -> None:
    if setting is None:
        return
    fast, slow = setting.geometry.fast_pixels, setting.geometry.slow_pixels
    if image.shape != (slow, fast):
        raise InputError(f"{setting.source} is about {fast}x{slow} pixels, and {name} has {image.shape[1]}x{image.shape[0]}")


def _window(options: argparse.Namespace, image: np.ndarray) -> tuple[int, int, int, int]:
    """fast start, fast end, slow start, slow end, ends excluded."""
    slow, fast = image.shape
    fast_min, fast_max, slow_min, slow_max = options.roi or (0, fast - 1, 0, slow - 1)
    if fast_max >= fast or slow_max >= slow:
        raise InputError(f"--roi: the window reaches beyond the image of {fast}x{slow} pixels")
    return fast_min, fast_max + 1, slow_min, slow_max + 1


def _panels(
    options: argparse.Namespace, sources: _Sources, image: np.ndarray, other: np.ndarray | None
) -> tuple[Callable[[Any], None], list[str]]:
    """What draws the picture on a figure, and the lines of the report."""
    _require_matplotlib()
    from nanobragg_numba.prediction.spots import LEAST_PARTIALITY, spots

    from .view_picture import Overlay, Panel, draw, round_spacings

    fast, fast_end, slow, slow_end = window = _window(options, image)
    part = image[slow:slow_end, fast:fast_end]
    second = None if other is None else other[slow:slow_end, fast:fast_end]
    base = 0.0 if options.levels else pedestal(image)
    between = tuple(options.levels) if options.levels else _scale([one for one in (part, second) if one is not None], base)
    frame = f", frame {options.frame or 1}" if first_bytes(options.file, "") == HDF5 or options.frame else ""
    title = f"{os.path.basename(options.file)}{frame}"
    lines = [f"{title}: {image.shape[1]}x{image.shape[0]} pixels of {image.dtype}, {_range_of(image)}"]
    overlay = Overlay(labels=options.labels)
    if sources.setting is None:
        lines.append(f"no rings: {sources.why_none}")
    else:
        rings = round_spacings(sources.setting, window) if options.rings is None else tuple(options.rings)
        overlay = replace(overlay, setting=sources.setting, rings=rings)
        lines.append(_geometry_line(sources.setting, rings))
    if sources.crystal is not None and sources.crystal.parameters is not None:
        found = spots(sources.crystal.parameters, options.resolution, compat=sources.crystal.compat)
        inside = (found.centre[:, 0] >= slow) & (found.centre[:, 0] <= slow_end)
        inside &= (found.centre[:, 1] >= fast) & (found.centre[:, 1] <= fast_end)
        overlay = replace(overlay, spots=found[inside])
        count = np.count_nonzero(inside)
        lines.append(f"{count} spots predicted, of partiality {LEAST_PARTIALITY:g} and more")
        title += f", {count} predicted spots"
    if base:
        lines.append(f"scale from the pedestal up: {base:g} taken off")
    first = Panel(part, window, (between[0], between[1]), title, base, overlay=overlay)
    panels = [first]
    if second is not None:
        change, text = _difference(part, second)
        lines += text
        panels.append(replace(first, image=second, title=os.path.basename(options.compare)))
        largest = float(np.nanmax(np.abs(change), initial=0.0)) or 1.0
        panels.append(Panel(change, window, (largest / 1000.0, largest), "difference", difference=True))
    return lambda figure: draw(figure, panels), lines


def _scale(parts: list[np.ndarray], base: float) -> tuple[float, float]:
    """The ends of the grey scale of one or two images."""
    pixels = np.concatenate([part.ravel().astype(np.float64) for part in parts]) - base
    return levels_above(pixels) if base else levels(pixels)


def _range_of(image: np.ndarray) -> str:
    finite = image[np.isfinite(image)]
    lost = image.size - finite.size
    text = f"{float(finite.min()):g} to {float(finite.max()):g}" if finite.size else "none finite"
    return text + (f", {lost} not finite" if lost and finite.size else "")


def _geometry_line(setting: Setting, rings: tuple[float, ...]) -> str:
    from nanobragg_numba.prediction.detector_plane import beam_place

    slow, fast, distance = beam_place(setting.geometry)
    place = f"beam at fast {fast:.2f}, slow {slow:.2f}, {1000 * distance:g} mm" if math.isfinite(slow) else "the beam misses the detector"
    shown = f"; rings at {', '.join(f'{spacing:g}' for spacing in rings)} A" if rings else ""
    return f"{place}, {setting.wavelength_A:g} A ({setting.source}){shown}"


def _difference(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """B - A, and lines that say how far they agree; nan where one of them is not finite."""
    from .image_figures import compare_images

    figures = compare_images(one, other, with_peaks=False)
    with np.errstate(invalid="ignore"):
        change = other.astype(np.float64) - one.astype(np.float64)
    change[~np.isfinite(change)] = math.nan
    texts = {
        "pixels that differ": f"{figures.pixels_different} of {figures.pixels}",
        "correlation": "-" if figures.correlation is None else f"{figures.correlation:.10g}",
        "RMSE": "-" if figures.rmse is None else f"{figures.rmse:.6g}",
        "max |difference|": "-" if figures.max_difference is None else f"{figures.max_difference:.6g}",
        "sum of B / A": "-" if figures.sum_ratio is None else f"{figures.sum_ratio:.10g}",
    }
    return change, [f"{name:20}{text}" for name, text in texts.items()]


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'nanobragg_numba[plots]'") from None


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _show(options: argparse.Namespace, draw: Callable[[Any], None], lines: list[str]) -> None:
    """Print the report, and show the picture or write it."""
    if options.out is None and _has_display() and _in_window(options, draw, lines):
        return
    name, flag = options.out, "--out"
    if name is None:
        name = f"{os.path.splitext(os.path.basename(options.file))[0]}.png"
        if os.path.exists(name):
            raise InputError(f"{name} is there already: name the picture with --out FILE.png, which is replaced")
    content = _png(draw)
    write_whole(name, flag, [content])
    print("\n".join([*lines, f"written to {name}"]))


def _png(draw: Callable[[Any], None]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from .view_picture import DOTS

    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS)
    return buffer.getvalue()


def _in_window(options: argparse.Namespace, draw: Callable[[Any], None], lines: list[str]) -> bool:
    """Show the picture in a window until it is closed; False where matplotlib has no way to open one."""
    import matplotlib
    from matplotlib import pyplot

    try:
        figure = pyplot.figure(os.path.basename(options.file), layout="constrained")
    except Exception as error:
        # Each toolkit has its own way to say that there is no display behind the variable.
        _tell(f"no window can be opened ({str(error).splitlines()[0] if str(error) else type(error).__name__})")
        return False
    if matplotlib.get_backend().lower() == "agg":
        pyplot.close(figure)
        _tell("no window can be opened: matplotlib finds no toolkit (tkinter or Qt)")
        return False
    draw(figure)
    print("\n".join(lines), flush=True)
    pyplot.show()
    return True
