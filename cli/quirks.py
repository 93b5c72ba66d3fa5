"""Which of the reference's quirks changed an image made with -compat c or c-fixed, one line each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.engine.pixel_engine import OutOfTable
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.files.smv_header import outgrown_bytes
from nanobragg_numba.maths.constants import RTD

from .geometry_quirks import geometry_notes


class _Run(NamedTuple):
    line: CommandLine
    x: Experiment
    out_of_table: OutOfTable | None


def _carried(run: _Run) -> bool:
    crystal = run.x.tables.crystal
    angles = [run.x.phi_start + run.x.phi.step * tic for tic in range(run.x.phi.count)]
    return run.x.carryover and any(angle == 0.0 for angle in angles) and crystal.orientations.size > 0 and any(angles)


def _running_products(run: _Run) -> bool:
    rules = run.x.tables.rules
    return rules.running_products and (rules.each_thick or rules.each_polar or rules.each_omega)


def _subpixels(run: _Run) -> bool:
    rules = run.x.tables.rules
    repaired = not rules.running_products and rules.each_thick and rules.each_omega
    return (run.x.oversample > 1 or run.x.geometry.layers > 1) and not repaired


def _polarization(run: _Run) -> bool:
    rules = run.x.tables.rules
    repaired = not rules.running_products and rules.each_polar
    return run.x.parameters.beam.polarized and not repaired and (len(run.x.sources.wavelengths) > 1 or run.x.oversample > 1)


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


QUIRKS: tuple[tuple[str, Callable[[_Run], bool], str], ...] = (
    ("Q1", _carried, "the step at phi = 0 used the lattice of the last rotated step; -phi_carryover_mode spec turns that off"),
    ("Q2", lambda run: run.out_of_table is not None, "interpolation switched itself off at the first step outside the structure-factor table; -nointerpolate or -compat spec"),
    ("Q3", _running_products, "-oversample_thick/polar/omega multiplied the running sum at every step; -compat spec applies each correction once"),
    ("Q4", _polarization, "the polarization factor is that of each pixel's first sub-pixel and source; -compat spec"),
    ("Q5", _subpixels, "solid angle and absorption are those of each pixel's first sub-pixel and last sensor layer; -compat spec"),
    ("Q6", lambda run: run.x.parameters.crystal.water_um != 0.0, "the water background was scaled by the fluence twice; -compat spec adds it once, in photons"),
    ("Q7", _unequal_sources, "the source intensities were not used; -compat spec uses them"),
    ("Q8", lambda run: isinstance(run.x.parameters.crystal.misset_deg, tuple) and run.x.parameters.crystal.misset_seed is not None, "the words after -misset_seed were read as missetting angles too; give it before -misset, or -compat spec"),
    ("Q10", lambda run: run.line.files.hkl is None and run.x.parameters.crystal.structure_factors is not None, "the structure factors come from the dump file of an earlier run; give -hkl, or remove the file"),
    ("Q13", _wrong_angles, "the angles of this triclinic cell came out a little different from those given; -compat spec keeps them, or use -mat"),
    ("mask", _mask_of_other_size, "the mask is of another size than the image, and its rows were broken at the image's; -compat spec refuses it"),
    ("Q11", lambda run: run.x.parameters.detector.pix0_mm is not None, "the numbers of -pix0_vector were not used; -compat spec uses them"),
    ("Q17", lambda run: outgrown_bytes(run.x) > 0, "the header of the SMV images is longer than the 512 bytes it states, so that readers find every pixel shifted; -compat spec states its length"),
)  # fmt: skip


def notes(line: CommandLine, experiment: Experiment, out_of_table: OutOfTable | None) -> list[str]:
    """One sentence for each quirk that touched the image."""
    if mode_of(experiment.compat).spec:
        return geometry_notes(line, experiment)
    run = _Run(line, experiment, out_of_table)
    return [f"{name}: {text}" for name, applies, text in QUIRKS if applies(run)] + geometry_notes(line, experiment)
