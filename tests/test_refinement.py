"""Joint fits of stills with fresh noise: what comes back, how sure the fit is of it, and which starts are no starts."""

import numpy as np
import pytest
from noisy_stills import GAIN, READOUT, angle_between, noisy, stills

from nanobragg_numba import simulate
from nanobragg_numba.refinement.fit import Settings, fit
from nanobragg_numba.refinement.measured import measured
from nanobragg_numba.refinement.starting_model import starting_model

LINE = "-cell 45 55 65 90 90 90 -default_F 60 -N 12 -lambda 1.2 -distance 60 -detpixels 128 -pixel 0.4 -oversample 1 -gauss_xtal"
SMALL = "-cell 40 44 50 90 90 90 -default_F 60 -N 10 -lambda 1.2 -distance 40 -detpixels 48 -pixel 0.7 -oversample 1 -gauss_xtal"
WHOLE = ("orientation", "scale", "cell", "n_cells", "distance_mm")


def found_and_wanted(fitted, kind):
    rows = [n for n, row in enumerate(fitted.free.rows) if row.name == kind]
    return fitted.values[rows], fitted.sigmas[rows]


def check_recovered(made, fitted, orientation, cell, n_cells, distance):
    for still, parameters in zip(made, fitted.parameters, strict=True):
        assert angle_between(parameters.crystal.orientation, starting_model(still.truth).orientation) < orientation
        assert parameters.beam.fluence / still.truth.beam.fluence == pytest.approx(1.0, abs=0.03)
    values, _ = found_and_wanted(fitted, "cell")
    np.testing.assert_allclose(values, [45.0, 55.0, 65.0], rtol=cell)
    values, _ = found_and_wanted(fitted, "n_cells")
    np.testing.assert_allclose(values, 12.0, rtol=n_cells)
    values, _ = found_and_wanted(fitted, "distance_mm")
    assert values[0] == pytest.approx(60.0, rel=distance)


def test_a_joint_fit_of_noisy_stills():
    made = stills(LINE, 3, np.random.default_rng(5))
    told = []
    settings = Settings(refine=WHOLE, space_group="P 21 21 21")
    fitted = fit([still.measured for still in made], [still.start for still in made], settings, progress=told.append)
    check_recovered(made, fitted, orientation=0.006, cell=0.0003, n_cells=0.03, distance=0.0002)
    assert fitted.explained > 0.9
    # Half the sum of squares is what was made small; it is as large as noise makes it.
    assert fitted.squares / fitted.freedom == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / fitted.freedom))
    assert told[-1].stage == told[-1].stages > 1 and told[-1].target == pytest.approx(0.5 * fitted.squares, rel=0.01)
    # An independent look: distances from the truth in standard deviations.
    for kind, truth in (("cell", [45.0, 55.0, 65.0]), ("n_cells", 12.0), ("distance_mm", 60.0)):
        values, sigmas = found_and_wanted(fitted, kind)
        assert (np.abs(values - truth) < 4.0 * sigmas).all()


def test_twenty_stills():
    made = stills(LINE, 20, np.random.default_rng(8), peak=10000.0)
    settings = Settings(refine=WHOLE, space_group="P 21 21 21", most_spots=60)
    fitted = fit([still.measured for still in made], [still.start for still in made], settings)
    check_recovered(made, fitted, orientation=0.003, cell=0.0002, n_cells=0.03, distance=0.0001)


@pytest.fixture(scope="module")
def small():
    """One small still, its start close by, for what needs no long way."""
    return stills(SMALL, 1, np.random.default_rng(3), off_deg=0.02, off=0.0005, n_cells=1.0, distance=1.0)[0]


def test_sigmas_are_those_of_repeats(small):
    image = simulate(small.truth).image.astype(float)
    random = np.random.default_rng(17)
    settings = Settings(refine=("orientation", "scale", "n_cells"), start_error=0.0, method="trust")
    truth = starting_model(small.truth)
    wanted = np.r_[0.0, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0]
    deviations = []
    for _ in range(50):
        shot = measured(noisy(image, 5.0, random), gain=GAIN, offset=10.0, readout=READOUT)
        fitted = fit([shot], [truth.parameters], settings)
        deviations.append((fitted.values - wanted) / fitted.sigmas)
    spread = np.std(deviations)
    assert 0.8 < spread < 1.25
    assert np.abs(np.mean(deviations, axis=0)).max() < 4.0 / np.sqrt(50)
