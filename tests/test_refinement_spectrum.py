"""The spectrum of the beam from stills with fresh noise."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_stills import angle_between, noisy, true_parameters, turn

from nanobragg_numba import InputError, parameters_from_command_line, simulate
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import SourceList
from nanobragg_numba.refinement import Restraint, Settings, fit, measured
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

LINE = "-cell 55 65 75 90 90 90 -default_F 60 -N 20 -lambda 1.2 -distance 60 -detpixels 128 -pixel 0.4 -oversample 1 -gauss_xtal"
COLOURS = "-dispersion 3 -dispsteps 8"
WEIGHTS = np.array([0.5, 1.1, 1.5, 0.9, 0.7, 1.3, 1.4, 0.6]) / 8.0
"""Two humps."""


def with_weights(parameters, weights):
    """The parameters' sources, weighted otherwise."""
    sources = derive_experiment(parameters).sources
    listed = SourceList(sources.positions, np.array(weights), sources.wavelengths)
    return replace(parameters, beam=replace(parameters.beam, sources=listed, dispersion_percent=0.0, dispersion_steps=None))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def still():
    """Parameters of the truth, an image with noise, and a start with a flat spectrum."""
    random = np.random.default_rng(12)
    flat = true_parameters(f"{LINE} {COLOURS}", turn([11.0, 42.0, 70.0]), 1e5)
    truth = with_weights(flat, WEIGHTS)
    shot = measured(noisy(simulate(truth).image.astype(float), 5.0, random), gain=2.0, offset=10.0, readout=3.0)
    start = starting_model(flat).parameters
    away = turn([0.02, -0.02, 0.02]) @ start.crystal.orientation
    start = replace(start, crystal=replace(start.crystal, orientation=away), beam=replace(start.beam, fluence=0.8 * start.beam.fluence))
    return truth, shot, start


@pytest.fixture(scope="module")
def fitted(still):
    _, shot, start = still
    return fit([shot], [start], Settings(refine=("orientation", "scale", "spectrum"), most_spots=99))


def weights_of(fitted):
    """Rows, values, standard deviations."""
    rows = [n for n, row in enumerate(fitted.free.rows) if row.name == "spectrum"]
    return rows, fitted.values[rows], fitted.sigmas[rows]


def test_a_spectrum_from_one_still(still, fitted):
    rows, values, sigmas = weights_of(fitted)
    assert values.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(values, WEIGHTS, rtol=0.03)
    assert (sigmas < 0.015 * WEIGHTS).all() and (np.abs(values - WEIGHTS) < 4.0 * sigmas).all()
    assert angle_between(fitted.parameters[0].crystal.orientation, starting_model(still[0]).orientation) < 0.003
    np.testing.assert_allclose(fitted.parameters[0].beam.sources.intensities, values)
    assert 30 <= len(fitted.target.pixels[0].spots) <= 99
    assert str(fitted.free.rows[rows[0]]).startswith("spectrum 1.18") and not fitted.estimates.undetermined


def test_sigmas_do_not_depend_on_what_is_held(fitted):
    """The same covariance with the last source's number held instead of the mean: its own inverse, and the slopes of shares."""
    rows, values, sigmas = weights_of(fitted)
    n = len(fitted.vector)
    curvature = fitted.target.normal_equations(fitted.vector)[1] - fitted.free.fixed.T @ fitted.free.fixed * 1e6
    kept = np.delete(np.arange(n), rows[-1])
    covariance = np.zeros((n, n))
    covariance[np.ix_(kept, kept)] = np.linalg.inv(curvature[np.ix_(kept, kept)])
    by_number = np.diag(values) - np.outer(values, values)
    wanted = by_number @ covariance[np.ix_(rows, rows)] @ by_number.T
    np.testing.assert_allclose(sigmas, np.sqrt(np.diag(wanted)), rtol=1e-4)
    found = fitted.estimates.correlations[np.ix_(rows, rows)]
    np.testing.assert_allclose(found, wanted / np.outer(sigmas, sigmas), atol=1e-3)
    # What images do not depend on has stayed: the mean of the logarithms.
    assert fitted.vector[rows].mean() == pytest.approx(fitted.free.start[rows].mean(), abs=1e-9)


def test_a_restraint_on_shares(still):
    _, shot, start = still
    held = {"spectrum": Restraint(1.0 / 8.0, 1e-5)}
    fitted = fit([shot], [start], Settings(refine=("scale", "spectrum"), most_spots=40, start_error=0.0, restraints=held))
    _, values, sigmas = weights_of(fitted)
    np.testing.assert_allclose(values, 1.0 / 8.0, rtol=0.01)
    assert (sigmas < 1e-5).all()


def test_whose_spectrum_it_is():
    models = [starting_model(true_parameters(f"{LINE} {COLOURS}", turn([n, 5.0, 6.0]), 100.0)) for n in (1.0, 2.0)]
    names, constraint = ("scale", "spectrum"), cell_constraint("P 1")
    shared = free_parameters(models, names, constraint)
    assert len(shared.rows) == 2 + 8 and len(shared.fixed) == 1
    own = free_parameters(models, names, constraint, ("spectrum",))
    assert len(own.rows) == 2 + 16 and len(own.fixed) == 2
    vector = own.start + np.random.default_rng(1).normal(size=len(own.start))
    for shot in (0, 1):
        rows = [n for n, row in enumerate(own.rows) if (row.name, row.shot) == ("spectrum", shot)]
        assert own.values(vector)[rows].sum() == pytest.approx(1.0)
        found = own.parameters(shot, vector).beam.sources
        np.testing.assert_allclose(found.intensities, np.exp(vector[rows]) / np.exp(vector[rows]).sum(), rtol=1e-12)
        np.testing.assert_allclose(found.wavelengths_m * 1e10, 1.2 * (1.0 + 0.03 * (np.arange(8) / 7.0 - 0.5)))
    steps = 1e-6 * np.eye(len(vector))
    slopes = np.array([(own.values(vector + step) - own.values(vector - step)) / 2e-6 for step in steps]).T
    np.testing.assert_allclose(own.slopes(vector), slopes, atol=1e-8)


def test_sources_without_a_spectrum():
    several = starting_model(true_parameters(f"{LINE} {COLOURS}", np.eye(3), 100.0))
    for lines, says in (
        ([LINE], "shot 1: spectrum is refined of a beam of several sources"),
        ([f"{LINE} {COLOURS}", f"{LINE} -dispersion 3 -dispsteps 9"], "shot 2: has other sources than shot 1: spectrum cannot be shared"),
        ([f"{LINE} {COLOURS}", f"{LINE} -dispersion 2 -dispsteps 8"], "shot 2: has other sources"),
    ):
        models = [starting_model(parameters_from_command_line(line)) for line in lines]
        with pytest.raises(InputError, match=says):
            free_parameters(models, ("spectrum",), cell_constraint("P 1"))
    dark = starting_model(with_weights(several.parameters, [1.0, 0.0, *[1.0] * 6]))
    with pytest.raises(InputError, match="spectrum is refined from weights above 0, and that of source 2 is not"):
        free_parameters([dark], ("spectrum",), cell_constraint("P 1"))
