"""Pairs of parameters of which one undoes the other: the image stays where both move, and a warning says so once."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import GOLDEN
from test_gradients import REAL, ROTATIONS, VALUES, with_table
from test_simulate import EVERYTHING, TILTED

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.autograd import effects, simulate

GROWTH = 1.01
TURN = 0.01
"""Radians about the laboratory's z, which is MOSFLM's spindle axis and, the other way round, its two-theta axis."""
DRY = replace(EVERYTHING, crystal=replace(EVERYTHING.crystal, water_um=0.0), sampling=replace(TILTED.sampling, phi_deg=5.0))
STILL = replace(DRY, sampling=replace(TILTED.sampling, phi_deg=0.0))
UPRIGHT = replace(TILTED, detector=replace(TILTED.detector, rotations_deg=(0.0, 0.0, 5.0)))
LISTED = replace(with_table(TILTED, False), crystal=replace(with_table(TILTED, False).crystal, default_F=0.0))


def about_z(angle):
    return np.array([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0], [0.0, 0.0, 1.0]])


def grown(name, parts=None, power=1.0):
    """The parameter before and after it has grown; ``parts``: of its components, only these grow."""
    before = np.array(VALUES[name] if name != "structure_factors" else LISTED.crystal.structure_factors.table)
    factor = np.full(before.shape, GROWTH**power)
    if parts is not None:
        factor = np.where(np.arange(len(before)) < parts, factor, 1.0)
    return before, before * factor


def angle(name, at=None, sign=1.0):
    """An angle, or one of three, before and after."""
    before = np.array(VALUES[name])
    after = before.copy()
    after[() if at is None else at] += sign * math.degrees(TURN)
    return before, after


ROWS_TURNED = np.array(REAL), np.array(REAL) @ about_z(-TURN).T
MATRIX_TURNED = np.eye(3), about_z(-TURN)
VECTORS_TURNED = np.array(VALUES["detector_vectors"]), np.array(VALUES["detector_vectors"]) @ about_z(-TURN).T
CASES = [
    ("cell", grown("cell", 3), "wavelength_A", grown("wavelength_A"), TILTED),
    ("cell", grown("cell", 3), "source_wavelengths_A", grown("source_wavelengths_A"), DRY),
    ("real_space_matrix", grown("real_space_matrix"), "wavelength_A", grown("wavelength_A"), TILTED),
    ("real_space_matrix", grown("real_space_matrix"), "source_wavelengths_A", grown("source_wavelengths_A"), DRY),
    ("distance_mm", grown("distance_mm"), "pixel_size_mm", grown("pixel_size_mm"), TILTED),
    ("close_distance_mm", grown("close_distance_mm"), "pixel_size_mm", grown("pixel_size_mm"), TILTED),
    ("pix0_mm", grown("pix0_mm"), "pixel_size_mm", grown("pixel_size_mm"), TILTED),
    ("fluence", grown("fluence"), "default_F", grown("default_F", power=-0.5), DRY),
    ("fluence", grown("fluence"), "structure_factors", grown("structure_factors", power=-0.5), LISTED),
    ("phi_deg", angle("phi_deg"), "misset_deg", angle("misset_deg", 2, -1.0), TILTED),
    ("phi_deg", angle("phi_deg"), "orientation", MATRIX_TURNED, TILTED),
    ("phi_deg", angle("phi_deg"), "real_space_matrix", ROWS_TURNED, replace(TILTED, crystal=replace(TILTED.crystal, misset_deg=None))),
    ("misset_deg", angle("misset_deg", 2), "orientation", MATRIX_TURNED, TILTED),
    # The missetting's other two angles are 0, so that its third commutes with the turn of the matrix.
    ("misset_deg", (np.zeros(3), np.array((0.0, 0.0, math.degrees(TURN)))), "real_space_matrix", ROWS_TURNED, TILTED),
    (
        "orientation", (np.eye(3), about_z(TURN)), "real_space_matrix", ROWS_TURNED,
        replace(TILTED, crystal=replace(TILTED.crystal, misset_deg=None)),
    ),
    ("mosaic_rotations", (np.array(ROTATIONS), np.array(ROTATIONS) @ about_z(TURN)), "misset_deg", angle("misset_deg", 2, -1.0), STILL),
    ("mosaic_rotations", (np.array(ROTATIONS), np.array(ROTATIONS) @ about_z(TURN)), "orientation", MATRIX_TURNED, STILL),
    (
        "mosaic_rotations", (np.array(ROTATIONS), np.array(ROTATIONS) @ about_z(TURN)), "real_space_matrix", ROWS_TURNED,
        replace(STILL, crystal=replace(STILL.crystal, misset_deg=None)),
    ),
    ("detector_vectors", VECTORS_TURNED, "detector_rotations_deg", ((0.0, 0.0, 5.0), (0.0, 0.0, 5.0 + math.degrees(TURN))), TILTED),
    ("detector_vectors", VECTORS_TURNED, "twotheta_deg", angle("twotheta_deg", sign=-1.0), UPRIGHT),
    ("twotheta_deg", angle("twotheta_deg"), "detector_rotations_deg", angle("detector_rotations_deg", 2), TILTED),
]  # fmt: skip


def as_tensor(value):
    return torch.tensor(np.array(value, dtype=np.float64))


@pytest.mark.parametrize(("one", "first", "other", "second", "parameters"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_the_image_stays_where_both_move(one, first, other, second, parameters):
    def image(i, j):
        return simulate(parameters, **{one: as_tensor(first[i]), other: as_tensor(second[j])})

    before, both, one_alone, other_alone = image(0, 0), image(1, 1), image(1, 0), image(0, 1)
    largest = float(before.max())
    assert largest > 0.0
    assert float((both - before).abs().max()) < 1e-9 * largest
    assert float((one_alone - before).abs().max()) > 1e-4 * largest
    assert float((other_alone - before).abs().max()) > 1e-4 * largest


def pairs():
    return {(one, other) for pair in effects.DEGENERATE for one in pair.one for other in pair.other}


def test_every_pair_is_tried_and_on_the_page():
    assert {(case[0], case[2]) for case in CASES} == pairs()
    page = (GOLDEN.parent / "docs" / "derivatives.md").read_text()
    for pair in effects.DEGENERATE:
        row = f"| {', '.join(pair.one)} | {', '.join(pair.other)} | {pair.why} |"
        assert row in page, f"docs/derivatives.md needs: {row}"


def said_by(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        function()
    return [str(warning.message) for warning in caught]


def test_a_remark_where_both_are_refined_but_once():
    values = {name: torch.tensor(VALUES[name], dtype=torch.float64) for name in ("distance_mm", "pixel_size_mm")}
    values["distance_mm"].requires_grad_()
    assert said_by(lambda: simulate(TILTED, **values)) == []
    values["pixel_size_mm"].requires_grad_()
    (text,) = said_by(lambda: [simulate(TILTED, **values) for _ in range(3)])
    assert text.startswith("distance_mm and pixel_size_mm cannot both be refined from an image: ")


def test_a_remark_where_the_matrix_carries_the_wavelength(monkeypatch):
    """The matrix holds a* times the wavelength: a* scales with 1/wavelength as the scattering vector does, so that no spot moves."""
    monkeypatch.chdir(GOLDEN / "inputs")
    parameters = parameters_from_command_line(
        "-mat erl.mat -lambda 1 -default_F 100 -N 5 -distance 60 -detpixels 8 -pixel 1 -oversample 1 -polar 0.7"
    )
    wavelength = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (text,) = said_by(lambda: simulate(parameters, wavelength_A=wavelength))
    assert text.startswith("wavelength_A: a MOSFLM matrix holds the reciprocal axes times the wavelength")
    image = simulate(parameters, wavelength_A=wavelength)
    (slope,) = torch.autograd.grad(image.sum(), wavelength)
    torch.testing.assert_close(simulate(parameters, wavelength_A=1.2), image.detach(), rtol=1e-9, atol=float(image.detach().max()) * 1e-12)
    assert abs(slope) < 1e-9 * image.detach().sum()
    # A cell beside the matrix keeps its lengths: then the wavelength moves the spots, and nothing is said.
    with_cell = replace(parameters, crystal=replace(parameters.crystal, cell=(68.0, 68.0, 106.0, 90.0, 90.0, 120.0)))
    assert said_by(lambda: simulate(with_cell, wavelength_A=wavelength)) == []
    (slope,) = torch.autograd.grad(simulate(with_cell, wavelength_A=wavelength).sum(), wavelength)
    assert abs(slope) > 1e-3 * image.detach().sum()
