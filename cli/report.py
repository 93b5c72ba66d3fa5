"""The reference's standard output, text for text, from the derived objects."""

import math

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import OutOfTable
from nanobragg_numba.experiment.derive import AVOGADRO, Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.steps import phi_angles
from nanobragg_numba.fields.summaries import plain_text
from nanobragg_numba.kernels.arguments import PixelRecord
from nanobragg_numba.maths.c_numbers import c_format, c_int
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.vectors3 import cross
from nanobragg_numba.output.statistics import Statistics

BANNER = "nanoBragg nanocrystal diffraction simulator - James Holton and Ken Frankel 5-17-17\n"
SHAPE_NAMES = {"round": "ellipsoidal", "square": "parallelpiped", "gauss": "gaussian", "tophat": "tophat-spot"}


def headers(line: CommandLine) -> str:
    """Lines about the images read for their headers; the last number is a memory address."""
    return "".join(f"reading {image.path}\nmmap({image.path}) = {hex(id(image))}\n" for image in line.headers)


def before_run(line: CommandLine, x: Experiment, dump_written: bool | None) -> str:
    """Everything from the sampling warnings to the parameter summary.

    ``dump_written``: None where no structure-factor dump was due, else whether it could be written.
    """
    return (
        _geometry_lines(line, x)
        + _lattice_lines(line, x)
        + _structure_factor_lines(line, dump_written)
        + _step_lines(x)
        + _source_lines(x)
        + _summary(line, x)
    )


def _mosaicity(x: Experiment) -> str:
    width = x.parameters.crystal.mosaic_width_deg
    if width is not None:
        return f"  {x.mosaic_domains} mosaic domains, a Gaussian of width {plain_text(width)} degrees"
    return c_format(f"  {x.mosaic_domains} mosaic domains over mosaic spread of %g degrees", x.mosaic_spread * RTD)


def _lines(*lines: str) -> str:
    return "".join(text + "\n" for text in lines)


def _geometry_lines(line: CommandLine, x: Experiment) -> str:
    g = x.geometry
    pivot = "sample" if g.pivot == "sample" else "direct beam spot"
    text = _lines(
        *g.sensor_warnings,
        *x.mosaic_warnings,
        f"{g.convention} convention selected.",
        f"pivoting detector around {pivot}",
        c_format("XDS incident beam: %g %g %g", *g.beam_in_detector_frame),
    )
    if line.parameters.crystal.interpolate is None:
        chosen = "tricubic interpolation of structure factors" if min(line.parameters.crystal.n_cells) <= 2 else "no interpolation"
        text += f"auto-selected {chosen}\n"
    return text


def _matrix_lines(names: tuple[str, str, str], axes: tuple[tuple[float, ...], ...]) -> str:
    rows = [f"     {names[0]:<10}  {names[1]:<10}  {names[2]:<10}"]
    rows += [c_format(f"{'XYZ'[i]}: %11.8f %11.8f %11.8f", *(axis[i] for axis in axes)) for i in range(3)]
    return _lines(*rows)


def _lattice_lines(line: CommandLine, x: Experiment) -> str:
    lattice = x.lattice
    text = _lines(*lattice.cell_report) if lattice.cell_report else ""
    text += f"reading {line.files.matrix}\n" if line.files.matrix is not None else ""
    cell, reciprocal = ([*c[:3], *(angle * RTD for angle in c[3:])] for c in (lattice.cell, lattice.reciprocal_cell))
    text += _lines(
        *lattice.report,
        c_format("Unit Cell: %g %g %g %g %g %g", *cell),
        c_format("Recp Cell: %g %g %g %g %g %g", *reciprocal),
        c_format("volume = %g A^3", lattice.volume),
        "real-space cell vectors (Angstrom):",
    )
    text += _matrix_lines(("a", "b", "c"), (lattice.a, lattice.b, lattice.c))
    text += "reciprocal-space cell vectors (Angstrom^-1):\n"
    text += _matrix_lines(("a_star", "b_star", "c_star"), (lattice.a_star, lattice.b_star, lattice.c_star))
    widths = x.size.widths
    text += c_format("crystal is %g x %g x %g microns\n", *(width * 1e6 for width in widths))
    given = x.parameters.sampling.oversample
    if given is None or given <= 0:
        text += f"auto-selected {x.oversample}-fold oversampling\n"
    if x.oversample < x.recommended_oversample:
        text += c_format("WARNING: maximum dimension of sample is %g A\n", max(widths) * 1e10)
        text += c_format("         but reciprocal pixel size is %g A\n", x.wavelength * x.geometry.distance / x.geometry.pixel_size * 1e10)
        text += "         intensity may vary significantly across a pixel!\n"
        text += f"         recommend -oversample {x.recommended_oversample} to work around this\n"
    molecules = x.size.cells[0] * x.size.cells[1] * x.size.cells[2]
    box = widths if not any(x.size.off_diagonal) else [n * edge * 1e-10 for n, edge in zip(x.size.cells, lattice.cell, strict=False)]
    weight = box[0] * box[1] * box[2] * 1.2e6 * AVOGADRO / molecules
    return text + c_format("approximate MW = %g\n", weight)


def _structure_factor_lines(line: CommandLine, dump_written: bool | None) -> str:
    text = _lines(*line.hkl_report)
    if dump_written is not None:
        text += "writing dump file for next time: " if dump_written else "WARNING: unable to open dump file: "
        text += line.files.dump + "\n"
    if line.files.stol is not None:
        text += f"reading {line.files.stol}\n"
    return text


def _step_lines(x: Experiment) -> str:
    g = x.geometry
    return _lines(
        *(c_format(f"thick{layer} = %g um", g.layer_thickness * layer * 1e6) for layer in range(g.layers)),
        *(c_format(f"phi{tic} = %g", angle * RTD) for tic, angle in enumerate(phi_angles(x.phi, x.phi_start))),
    )


def _source_lines(x: Experiment) -> str:
    s = x.sources
    rows = [
        c_format("%g %g %g   %g %g", *map(float, position), float(intensity), float(wavelength))
        for position, intensity, wavelength in zip(s.positions, s.intensities, s.wavelengths, strict=True)
    ]
    return _lines(*s.report, f"  created a total of {len(rows)} sources:", *rows, f"  created a total of {x.mosaic_domains} mosaic domains")


def _summary(line: CommandLine, x: Experiment) -> str:
    g, s, parameters = x.geometry, x.sources, x.parameters
    crystal, sampling = parameters.crystal, parameters.sampling
    factors = crystal.structure_factors
    polarization = (
        c_format("  Kahn polarization factor: %f", parameters.beam.polarization)
        if parameters.beam.polarized
        else "  polarization effect disabled"
    )
    rows = [
        c_format(f"  {factors.count if factors is not None else 0} initialized hkls (all others =%g)", crystal.default_F),
        c_format(f"  {SHAPE_NAMES[crystal.shape]} xtal: %.0fx%.0fx%.0f cells", *x.size.cells),
        *([f"  {plain_text(x.size.off_diagonal)} cells off the diagonal: Nab Nac Nbc"] if any(x.size.off_diagonal) else []),
        c_format(f"  wave=%g meters +/- %g%% in {s.dispersion.count} steps", x.wavelength, s.dispersion.range * 100),
        polarization,
    ]
    if parameters.detector.curved:
        rows.append("  curved detector: all pixels same distance from origin")
    if parameters.detector.point_pixel:
        rows.append("  pixel obliquity effect disabled")
    flags = [(sampling.oversample_thick, "thick"), (sampling.oversample_polar, "polar"), (sampling.oversample_omega, "omega")]
    rows += [
        c_format("  incident fluence: %g photons/m^2", x.fluence),
        c_format(
            f"  distance=%g detsize=%gx%g  pixel=%g meters ({g.fast_pixels}x{g.slow_pixels} pixels)", g.distance, *g.size, g.pixel_size
        ),
        c_format(f"  sensor is %g m thick in {g.layers} layers with mu= %g", g.thickness, g.mu),
        c_format("  Xbeam=%g Ybeam=%g", g.xbeam, g.ybeam),
        c_format("  Fbeam=%g Sbeam=%g", g.fbeam, g.sbeam),
        c_format("  Xclose=%g Yclose=%g", g.xclose, g.yclose),
        c_format("  Fclose=%g Sclose=%g", g.fclose, g.sclose),
        c_format("  DIRECTION_OF_DETECTOR_X-AXIS= %g %g %g", *g.fast),
        c_format("  DIRECTION_OF_DETECTOR_Y-AXIS= %g %g %g", *g.slow),
        c_format("  DIRECTION_OF_DETECTOR_Z-AXIS= %g %g %g", *g.normal),
        c_format("  INCIDENT_BEAM_DIRECTION= %g %g %g", *g.beam),
        c_format("  spindle ROTATION_AXIS= %g %g %g", *g.spindle_axis),
        c_format("  POLARIZATION_PLANE_NORMAL= %g %g %g", *cross(g.beam, g.polarization_axis)),
        c_format("  dials origin= %g %g %g", *g.dials_origin),
        "  roi: %d < x < %d && %d < y < %d" % g.roi,
        c_format("  hdivrange=%g hdivstep=%g  radians", s.hdiv.range, s.hdiv.step),
        c_format("  vdivrange=%g vdivstep=%g  radians", s.vdiv.range, s.vdiv.step),
        f"  {s.divergence_count} divergence steps",
        f"  {len(s.wavelengths)} sources",
        _mosaicity(x),
        c_format(f"  {x.phi.count} phi steps from %g to %g degrees", x.phi_start * RTD, (x.phi_start + x.phi.range) * RTD),
        f"  {x.oversample}x{x.oversample} pixel oversample steps" + "".join(f" +{name}" for on, name in flags if on),
    ]
    if line.files.mask is not None:
        rows.append(f"  skipping zero-flagged pixels in {line.files.mask}")
    return _lines(*rows)


def noise_parameters(seed: int, water: float) -> str:
    """The lines about the noise image to come; ``seed`` as the generator takes it, ``water`` in metres."""
    return f"\n  noise image paramters:\n  seed: {seed}\n" + c_format("  water droplet size: %g m\n", water)


class Progress:
    """The reference's progress lines, which go by the number of pixels computed."""

    def __init__(self, roi: tuple[int, int, int, int]):
        self.total = (roi[1] - roi[0] + 1) * (roi[3] - roi[2] + 1)
        self.done = 0

    def lines(self, pixels: int) -> str:
        """The lines due while the next ``pixels`` pixels are computed."""
        start, total = self.done, self.total
        self.done += pixels
        if total < 100:
            return ""
        coarse, fine = total // 20, total // 100
        due = set(range(-(-start // coarse) * coarse, self.done, coarse))
        due.update(n for n in range(-(-start // fine) * fine, self.done, fine) if 10 * n < total or 10 * n > 9 * total)
        return "".join(f"{n * 100 // total}% done\n" for n in sorted(due))


def out_of_table(event: OutOfTable) -> str:
    """The warning that interpolation is off from here on."""
    values = c_format("%g,%g,%g", *event.hkl) + ",%d,%d,%d" % event.nearest
    return (
        f"WARNING: out of range for three point interpolation: h,k,l,h0,k0,l0: {values} \nWARNING: further warnings will not be printed! "
    )


def pixel_lines(fast: int, slow: int, record: np.ndarray, value: float, x: Experiment) -> str:
    """The print-out of one pixel; ``record`` as PixelRecord lays it out."""
    at, values = PixelRecord, [float(v) for v in record]
    (h, k, l), nearest, (px, py, pz) = values[at.HKL], values[at.NEAREST], values[at.POSITION]
    f_cell, f_latt, total = values[at.F_CELL], values[at.F_LATT], values[at.SUM]
    polar, omega, capture = values[at.POLAR], values[at.OMEGA], values[at.CAPTURE]
    scaled = [v * 1e10 for v in values[at.AXES]]
    axes = (tuple(scaled[:3]), tuple(scaled[3:6]), tuple(scaled[6:]))
    twotheta = math.atan2(math.sqrt(py * py + pz * pz), px)
    # A nan keeps its sign through C's functions, and loses it in Python's.
    no_number = next((value for value in (px, py, pz) if math.isnan(value)), None)
    stol = math.sin(twotheta / 2.0) / (x.wavelength * 1e10) if no_number is None else no_number
    return (
        c_format(f"{fast:4d} {slow:4d} : stol = %g or %g\n", values[at.STOL], stol)
        + c_format("at %g %g %g\n", px, py, pz)
        + c_format("hkl= %f %f %f  ", h, k, l)
        + "hkl0= {} {} {}\n".format(*("nan" if mode_of(x.compat).spec and math.isnan(index) else c_int(index) for index in nearest))
        + c_format(" F_cell=%g  F_latt=%g   I = %g\n", f_cell, f_latt, total)
        + c_format("I/steps %15.10g\npolar   %15.10g\nomega   %15.10g\n", total / x.steps, polar, omega)
        + c_format("capfrac %15.10g\npixel   %15.10g\n", capture, value)
        + "real-space cell vectors (Angstrom):\n"
        + _matrix_lines(("a", "b", "c"), axes)
    )


def after_run(omega_sum: float, steps: int) -> str:
    """The solid angle of the detector."""
    sphere = 100 * omega_sum / steps / 4 / math.pi
    return c_format("\nsolid angle subtended by detector = %g steradian ( %g%% sphere)\n", omega_sum / steps, sphere)


def statistics_lines(stats: Statistics, brightest: tuple[float, float], int_scale: float) -> str:
    """Maximum and where it is (metres on the detector), mean, rms, scale of the integer image."""
    return (
        c_format("max_I = %g  at %g %g\n", stats.maximum, *brightest)
        + c_format("mean= %g rms= %g rmsd= %g\n", stats.mean, stats.rms, stats.rmsd)
        + c_format("intfile_scale = %g\n", int_scale)
    )
