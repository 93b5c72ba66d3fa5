"""Widths of Gaussian mosaicity from stills whose domains are drawn by numpy."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_stills import GAIN, OFFSET, READOUT, noisy, turn

from nanobragg_numba import InputError, parameters_from_command_line, simulate, spots
from nanobragg_numba.refinement import Settings, fit, measured
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.joint_target import JointTarget
from nanobragg_numba.refinement.measured import pixels_of
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

LINE = "-cell 40 44 50 90 90 90 -default_F 60 -N 6 -lambda 1.2 -distance 40 -detpixels 56 -pixel 0.6 -oversample 1 -gauss_xtal"
DRAWN = 1000


pytestmark = pytest.mark.usefixtures("one_thread")


def still_of(widths, angles, random, peak=5000.0):
    """An image of ``DRAWN`` crystals, each turned about the axes a, c* x a, c* by normal angles, and a start that knows no width."""
    p = parameters_from_command_line(f"{LINE} -misset {angles}")
    model = starting_model(p)
    # Of a cell with right angles these are the axes of the orientation itself.
    draws = np.array([turn(model.orientation @ vector) for vector in random.normal(size=(DRAWN, 3)) * widths])
    crystal = replace(model.parameters.crystal, mosaic_rotations=draws, mosaic_domains=None)
    truth = replace(model.parameters, crystal=crystal)
    fluence = truth.beam.fluence * peak / simulate(truth).image.max()
    truth = replace(truth, beam=replace(truth.beam, fluence=fluence))
    shot = measured(noisy(simulate(truth).image.astype(float), 5.0, random), gain=GAIN, offset=OFFSET, readout=READOUT)
    return shot, replace(p, beam=replace(p.beam, fluence=0.9 * fluence))


def widened(parameters, width, domains):
    return replace(parameters, crystal=replace(parameters.crystal, mosaic_width_deg=width, mosaic_domains=domains))


def found_widths(fitted):
    rows = [n for n, row in enumerate(fitted.free.rows) if row.name == "mosaic_width_deg"]
    return fitted.values[rows], fitted.sigmas[rows]


def test_a_width_comes_back():
    shot, start = still_of(0.5, "10 40 70", np.random.default_rng(3))
    settings = Settings(refine=("scale", "mosaic_width_deg"), start_error=0.0, most_spots=25, steps=8)
    fitted = fit([shot], [widened(start, 0.7, 60)], settings)
    values, sigmas = found_widths(fitted)
    # The draws' own spread is 0.5 within 1 part in sqrt(6 DRAWN); sixty domains stand for the normal distribution to a few percent.
    assert values[0] == pytest.approx(0.5, rel=0.08) and 0.0 < sigmas[0] < 0.01
    assert fitted.parameters[0].crystal.mosaic_width_deg == values[0] and str(fitted.free.rows[1]) == "mosaic_width_deg"


def test_three_widths_come_back():
    random, widths = np.random.default_rng(4), np.array([0.3, 0.6, 0.45])
    made = [still_of(widths, angles, random) for angles in ("10 40 70", "60 5 20")]
    settings = Settings(refine=("scale", "mosaic_width_deg"), start_error=0.0, most_spots=25, steps=6)
    fitted = fit([shot for shot, _ in made], [widened(start, (0.5, 0.5, 0.5), 60) for _, start in made], settings)
    values, sigmas = found_widths(fitted)
    np.testing.assert_allclose(values, widths, rtol=0.08)
    assert (sigmas < 0.01).all() and fitted.parameters[1].crystal.mosaic_width_deg == tuple(values)
    assert [row.part for row in fitted.free.rows[2:]] == ["a", "c* x a", "c*"]


@pytest.mark.parametrize("width", [0.3, (0.2, 0.3, 0.4)])
def test_derivatives_by_differences(width):
    shot, start = still_of(0.3, "10 40 70", np.random.default_rng(3))
    start = widened(start, width, 8)
    found = spots(start, 3.0, border=2)
    pixels = pixels_of(shot, found[np.argsort(-found.partiality)[:6]], 0, 8)
    free = free_parameters([starting_model(start)], ("orientation", "mosaic_width_deg"), cell_constraint("P 1"))
    target, vector = JointTarget(free, [pixels]), free.start + 0.1
    target.take_weights(vector)
    gradient = target.normal_equations(vector)[0]
    for n in range(len(vector)):
        step = 1e-5 * np.eye(len(vector))[n]
        assert gradient[n] == pytest.approx((target.value(vector + step) - target.value(vector - step)) / 2e-5, rel=1e-4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-mosaic 0.1"], "shot 1: mosaic_width_deg is refined from a width above 0, or three: give -mosaic_width"),
        (["-mosaic_width 0"], "shot 1: mosaic_width_deg is refined from a width above 0"),
        (["-mosaic_width 0.1", "-mosaic_width 0.1,0.2,0.1"], "shot 2: has another number of widths than shot 1"),
    ],
)
def test_starts_without_widths(words, says):
    models = [starting_model(parameters_from_command_line(f"{LINE} {own}")) for own in words]
    with pytest.raises(InputError, match=says):
        free_parameters(models, ("mosaic_width_deg",), cell_constraint("P 1"))
    if len(models) > 1:
        assert len(free_parameters(models, ("mosaic_width_deg",), cell_constraint("P 1"), ("mosaic_width_deg",)).rows) == 4
