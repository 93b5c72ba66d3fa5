"""nonBragg's standard output, text for text, from the derived objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanobragg_numba.command_line.nonbragg_line import PER_METRE, NonBraggLine
from nanobragg_numba.maths.c_numbers import c_format
from nanobragg_numba.response.amorphous_image import AmorphousImage
from nanobragg_numba.response.measured_factors import FEWEST, Group

from .report import Progress

if TYPE_CHECKING:
    from .nonbragg import Run

BANNER = "nonBragg amorphous material diffraction simulator - James Holton and Ken Frankel 3-19-16\n"


def about_image(line: NonBraggLine) -> str:
    """Lines about the image read for its header; the last number is a memory address."""
    return "" if line.image is None else f"reading {line.image.path}\nmmap({line.image.path}) = {hex(id(line.image))}\n"


def _lines(*lines: str) -> str:
    return "".join(text + "\n" for text in lines)


def before_run(x: Run) -> str:
    """Everything from the clipped sample to the parameter summary."""
    line, g, s = x.line, x.geometry, x.sources
    text = _lines(*x.clipped, f"pivoting detector around {'sample' if g.pivot == 'sample' else 'direct beam spot'}")
    text += _lines(f"reading {line.files.stol}", *s.report, f"  created a total of {len(s.wavelengths)} sources:")
    text += _lines(
        *(
            c_format("%g %g %g   %g %g", *map(float, position), float(intensity), float(wavelength))
            for position, intensity, wavelength in zip(s.positions, s.intensities, s.wavelengths, strict=True)
        )
    )
    return text + _summary(x) + (f"\n  noise image paramters:\n  seed: {x.seed}\n" if line.outputs.noise else "")


def _summary(x: Run) -> str:
    line, g, s, beam = x.line, x.geometry, x.sources, x.line.parameters.beam
    rows = [
        f"  {len(x.points[0])} initialized F points (will cubic-spline interpolate between them)",
        c_format(f"  wave=%g meters +/- %g%% in {s.dispersion.count} steps", x.wavelength, s.dispersion.range * 100),
        c_format("  Kahn polarization factor: %f", beam.polarization) if beam.polarized else "  polarization effect disabled",
    ]
    if line.parameters.detector.curved:
        rows.append("  curved detector: all pixels same distance from origin")
    if line.parameters.detector.point_pixel:
        rows.append("  pixel obliquity effect disabled")
    if line.sample.plots_F:
        rows.append("  Fmap mode: plotting structure factor at every pixel")
    weight = line.sample.molecular_weight
    sample = (*x.size, x.density / 1e6, weight, x.molecules)
    rows += [
        c_format("  incident fluence: %g photons/m^2", x.fluence),
        c_format("  sample is %g m thick x %g m high x %g m wide, %g g/cm^3 and %g g/mol (%g molecules)", *sample),
        c_format(
            f"  distance=%g detsize=%gx%g  pixel=%g meters ({g.fast_pixels}x{g.slow_pixels} pixels)", g.distance, *g.size, g.pixel_size
        ),
        c_format("  Xbeam=%g Ybeam=%g", g.fbeam, g.sbeam),
        c_format("  detector origin: %g %g %g", *g.pix0),
        c_format("  DIRECTION_OF_DETECTOR_X-AXIS= %g %g %g", *g.fast),
        c_format("  DIRECTION_OF_DETECTOR_Y-AXIS= %g %g %g", *g.slow),
        c_format("  INCIDENT_BEAM_DIRECTION= %g %g %g", *g.beam),
        c_format("  POLARIZATION_PLANE_NORMAL= %g %g %g", *g.polarization_axis),
        "  roi: %d < x < %d && %d < y < %d" % g.roi,
        c_format("  hdivrange=%g hdivstep=%g  radians", s.hdiv.range, s.hdiv.step),
        c_format("  vdivrange=%g vdivstep=%g  radians", s.vdiv.range, s.vdiv.step),
        f"  {s.divergence_count} divergence steps",
        f"  {len(s.wavelengths)} sources",
        f"  {x.oversample} pixel oversample steps",
    ]
    return _lines(*rows)


def meanwhile(x: Run, made: AmorphousImage) -> str:
    """The lines while pixels are computed: progress, or the print-out."""
    f0, f1, s0, s1 = x.geometry.window
    if x.line.outputs.printout:
        return _printout(x, made)
    pixels = max(f1 - f0, 0) * max(s1 - s0, 0)
    return Progress(x.geometry.roi).lines(pixels) if x.line.outputs.progress else ""


def _printout(x: Run, made: AmorphousImage) -> str:
    f0, f1, s0, s1 = x.geometry.window
    outputs, width = x.line.outputs, x.geometry.fast_pixels
    every = outputs.printout_fast < 0
    inside = s0 <= outputs.printout_slow < s1 and f0 <= outputs.printout_fast < f1
    chosen = ((slow, fast) for slow in range(s0, s1) for fast in range(f0, f1)) if every else iter(
        [(outputs.printout_slow, outputs.printout_fast)] if inside else []
    )  # fmt: skip
    return "".join(_pixel(x, made, slow, fast, slow * width + fast) for slow, fast in chosen)


def _pixel(x: Run, made: AmorphousImage, slow: int, fast: int, at: int) -> str:
    s, polar, omega, _ = map(float, made.records[at])
    px, py, pz = last_position(x, slow, fast)
    s_of_angle = math.sin(math.atan2(math.sqrt(py * py + pz * pz), px) / 2.0) / (x.wavelength * 1e10)
    weight = float(x.sources.intensities[-1])
    return (
        c_format(f"{fast:4d} {slow:4d} : stol = %g or %g\n", s, s_of_angle)
        + c_format(" F=%g    I = %g\n", 0.0, weight)
        + c_format("I/steps %15.10g\npolar   %15.10g\nomega   %15.10g\n", weight / made.table.scales[3], polar, omega)
        + c_format("pixel   %15.10g\n", float(made.image[slow, fast]))
    )


def last_position(x: Run, slow: int, fast: int) -> tuple[float, float, float]:
    """Where the last sub-pixel of a pixel is (metres)."""
    from nanobragg_numba.maths.vectors3 import rotate_about_axis, scale

    g, n = x.geometry, x.oversample
    size = g.pixel_size / n
    F, S = (size * (pixel * n + n - 1) + size / 2.0 for pixel in (fast, slow))
    flat = tuple(F * g.fast[i] + S * g.slow[i] + 0.0 * g.normal[i] + g.pix0[i] for i in range(3))
    if not x.line.parameters.detector.curved:
        return flat[0], flat[1], flat[2]
    turned = rotate_about_axis(scale(g.beam, g.distance), g.slow, flat[1] / g.distance)
    return rotate_about_axis(turned, g.fast, flat[2] / g.distance)


def about_groups(x: Run, found: Sequence[Group]) -> str:
    """The lines about groups with too few pixels, and about the file. The reference prints a median that it never set."""
    per_metre = PER_METRE[x.line.sample.stol_unit]
    text = "".join(
        c_format(f"WARNING: not enough pixels in bin= {g.point} n={g.pixels} stol= %g median= 0 avg_arej= %g\n", g.s / per_metre, g.mean)
        for g in found
        if g.pixels <= FEWEST
    )
    return text + f"wrote {x.line.files.stol_out} as {sum(g.pixels > FEWEST for g in found)} lines of text\n"


def group_lines(x: Run, found: Sequence[Group]) -> str:
    """The file of structure factors: s, mean, rmsd, median and its deviation (never set), pixels."""
    per_metre = PER_METRE[x.line.sample.stol_unit]
    return "".join(c_format(f"%g %g %g   0 0  {g.pixels}\n", g.s / per_metre, g.mean, g.rmsd) for g in found if g.pixels > FEWEST)


def solid_angle(total: float) -> str:
    """The solid angle of the detector."""
    return c_format("\nsolid angle subtended by detector = %g steradian ( %g%% sphere)\n", total, 100 * total / 4 / math.pi)
