"""Which of the reference's quirks changed an image made with -compat c or c-fixed, one line each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import OutOfTable
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.steps import phi_angles
from nanobragg_numba.files.smv_header import outgrown_bytes
from nanobragg_numba.maths.constants import RTD
from nanobragg_numba.maths.vectors3 import dot

from .geometry_quirks import geometry_notes


class _Run(NamedTuple):
    line: CommandLine
    x: Experiment
    out_of_table: OutOfTable | None


def _carried(run: _Run) -> bool:
    crystal = run.x.tables.crystal
    angles = phi_angles(run.x.phi, run.x.phi_start)
    return run.x.carryover and any(angle == 0.0 for angle in angles) and crystal.orientations.size > 0 and any(angles)


def _running_products(run: _Run) -> bool:
    rules = run.x.tables.rules
    return rules.running_products and (rules.each_thick or rules.each_polar or rules.each_omega)


def _first_subpixel(run: _Run) -> bool:
    sampling, g = run.x.parameters.sampling, run.x.geometry
    parts = run.x.oversample > 1 or g.layers > 1
    return parts and (not sampling.oversample_omega or (g.thickness > 0.0 and not sampling.oversample_thick))


def _polarization(run: _Run) -> bool:
    parts = run.x.oversample > 1 or run.x.geometry.layers > 1 or len(run.x.sources.wavelengths) > 1
    return run.x.parameters.beam.polarized and parts and not run.x.parameters.sampling.oversample_polar


def _unequal_sources(run: _Run) -> bool:
    return len(set(np.asarray(run.x.sources.intensities).tolist())) > 1


def _wrong_angles(run: _Run) -> bool:
    crystal = run.x.parameters.crystal
    if crystal.cell is None or crystal.mosflm_matrix is not None:
        return False
    given = [angle if angle > 0 else 90.0 for angle in crystal.cell[3:]]
    return any(abs(angle * RTD - wanted) > 1e-6 for angle, wanted in zip(run.x.lattice.cell[3:], given, strict=True))


def _mask_of_other_size(run: _Run) -> bool:
    mask, g = run.x.parameters.detector.mask, run.x.geometry
    return mask is not None and mask.shape != (g.slow_pixels, g.fast_pixels)


def _angles_after_seed(run: _Run) -> bool:
    places = [at for at, word in enumerate(run.line.words) if "-misset" in word and at + 3 < len(run.line.words)]
    angles = isinstance(run.x.parameters.crystal.misset_deg, tuple)
    return angles and bool(places) and "-misset_seed" in run.line.words[places[-1]]


def _thick_layers(run: _Run) -> bool:
    g = run.x.geometry
    return g.thickness > 0.0 and g.mu > 0.0 and abs(g.layers * g.layer_thickness - g.thickness) > SAME * g.thickness


def _distance_before_swing(run: _Run) -> bool:
    g = run.x.geometry
    along = dot(g.beam, g.normal)
    return run.x.parameters.detector.twotheta_deg != 0.0 and abs(g.distance * along - g.close_distance) > SAME * abs(g.close_distance)


def _close_point_unused(run: _Run) -> bool:
    g, detector = run.x.geometry, run.x.parameters.detector
    # With vectors it stands for the beam centre, where none is given.
    given = [
        (close, used)
        for close, used, beam in zip(detector.close_point_mm, (g.fclose, g.sclose), detector.beam_center_mm, strict=True)
        if close is not None and (g.convention != "custom" or beam is not None)
    ]
    return any(abs(close / 1000.0 - used) > SAME * g.pixel_size for close, used in given)


def _first_pixel_unused(run: _Run) -> bool:
    # A panel's position, from a file, is used.
    asked = any("-pix0_vector" in word for word in run.line.words) or "detector.pix0_mm" in run.line.header_settings
    return asked and run.x.parameters.detector.pix0_mm is not None


def _lost_words(line: CommandLine) -> list[str]:
    """The words on the line whose options do nothing."""
    options = [option for option in OPTIONS if option.quirk == "Q22"]
    return list(dict.fromkeys(word for word in line.words if word.startswith("-") and any(option.matches(word) for option in options)))


def _names_table(word: str) -> bool:
    return any(option.matches(word) and "files.stol" in option.sets for option in OPTIONS)


SAME = 1e-9
"""Relative difference that rounding may make."""
QUIRKS: tuple[tuple[str, Callable[[_Run], bool], str], ...] = (
    ("Q1", _carried, "the step at phi = 0 used the lattice of the last rotated step; -phi_carryover_mode spec turns that off"),
    ("Q2", lambda run: run.out_of_table is not None, "interpolation switched itself off at the first step outside the structure-factor table; -nointerpolate or -compat spec"),
    ("Q3", _running_products, "-oversample_thick/polar/omega multiplied the running sum at every step; -compat spec applies each correction once"),
    ("Q4", _polarization, "the polarization factor is that of each pixel's first sub-pixel and source; -compat spec"),
    ("Q5", _first_subpixel, "solid angle and absorption are those of each pixel's first sub-pixel and last sensor layer; -compat spec"),
    ("Q6", lambda run: run.x.parameters.crystal.water_um != 0.0, "the water background was scaled by the fluence twice; -compat spec adds it once, in photons"),
    ("Q7", _unequal_sources, "the source intensities were not used; -compat spec uses them"),
    ("Q8", _angles_after_seed, "the words after -misset_seed were read as missetting angles too; give it before -misset, or -compat spec"),
    ("Q9", lambda run: run.x.parameters.crystal.shape in ("gauss", "tophat"), "the spots of a Gaussian or tophat crystal were computed with their radius, in 1/A, scaled by Na Nb Nc: their width follows the product of the three alone, and their photons vanish as it grows; -compat spec scales each of h, k, l by its own number of cells"),
    ("Q10", lambda run: run.line.files.hkl is None and run.x.parameters.crystal.structure_factors is not None, "the structure factors come from the dump file of an earlier run; give -hkl, or remove the file"),
    ("Q13", _wrong_angles, "the angles of this triclinic cell came out a little different from those given; -compat spec keeps them, or use -mat"),
    ("mask", _mask_of_other_size, "the mask is of another size than the image, and its rows were broken at the image's; -compat spec refuses it"),
    ("Q11", _first_pixel_unused, "the numbers of -pix0_vector were not used; -compat spec uses them"),
    ("Q17", lambda run: outgrown_bytes(run.x) > 0, "the header of the SMV images is longer than the 512 bytes it states, so that readers find every pixel shifted; -compat spec states its length"),
    ("Q14", _thick_layers, "the sensor's N layers are each thickness/(N - 1) thick, together more than the sensor; -compat spec makes them thickness/N"),
    ("Q15", _distance_before_swing, "distance and beam centre in headers, print-out and curved detectors are those before the two-theta swing; -compat spec has them after it"),
    ("Q16", _close_point_unused, "the point of -Xclose -Yclose was printed and the detector not put there; -compat spec does so under XDS and DIALS"),
)  # fmt: skip


def notes(line: CommandLine, experiment: Experiment, out_of_table: OutOfTable | None) -> list[str]:
    """One sentence for each quirk that touched the image, and in either mode for each option on the line that does nothing."""
    spec = mode_of(experiment.compat).spec
    # Of a -stol in "spec" the reading has said what comes of it.
    lost = [f"Q22: {word} is read and changes nothing" for word in _lost_words(line) if not (spec and _names_table(word))]
    if spec:
        return geometry_notes(line, experiment) + lost
    run = _Run(line, experiment, out_of_table)
    return [f"{name}: {text}" for name, applies, text in QUIRKS if applies(run)] + geometry_notes(line, experiment) + lost
