"""The tensor of numbers of cells in a joint fit: found again in noisy stills of a crystal whose spots lie aslant its axes."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_stills import stills

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.refinement import Settings, fit
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.optimisers import METHODS
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

LINE = "-cell 40 44 50 90 90 90 -default_F 60 -N 12 -lambda 1.2 -distance 40 -detpixels 64 -pixel 0.5 -oversample 1"
CROSS = (4.0, -3.0, 2.0)


def test_a_tensor_comes_back_from_none():
    made = stills(f"{LINE} -gauss_xtal -N_cross 4,-3,2", 3, np.random.default_rng(11), off_deg=0.02, off=0.0, distance=1.0)
    starts = [replace(one.start, crystal=replace(one.start.crystal, n_cells_off_diagonal=(0.0, 0.0, 0.0))) for one in made]
    settings = Settings(refine=("orientation", "scale", "n_cells", "n_cells_off_diagonal"), start_error=0.1, most_spots=40, steps=20)
    found = fit([still.measured for still in made], starts, settings)
    for name, truth in (("n_cells", (12.0, 12.0, 12.0)), ("n_cells_off_diagonal", CROSS)):
        rows = [n for n, row in enumerate(found.free.rows) if row.name == name]
        values, sigmas = found.values[rows], found.sigmas[rows]
        assert (np.abs(values - truth) < 4.0 * sigmas).all() and (sigmas < 0.2).all(), (name, values, sigmas)
    assert found.parameters[0].crystal.n_cells_off_diagonal == tuple(values)


def test_spots_that_have_no_tensor():
    models = [starting_model(parameters_from_command_line(f"{LINE} -square_xtal"))]
    with pytest.raises(InputError, match="shot 1: n_cells_off_diagonal is refined of Gaussian or flat spots: give -gauss_xtal"):
        free_parameters(models, ("n_cells_off_diagonal",), cell_constraint("P 1"))


@pytest.mark.parametrize("method", ["trust", "least_squares", "lbfgs"])
def test_derivatives_that_are_no_numbers_end_a_fit_in_a_sentence(method):
    """(x - 3)^2 / 2, whose derivatives are numbers at the start alone."""

    class Target:
        pixels = ()

        def _held(self, vector):
            return vector - 3.0, np.eye(1)

        def value(self, vector):
            return 0.5 * float((vector[0] - 3.0) ** 2)

        def residuals(self, vector):
            return vector - 3.0

        def jacobian(self, vector):
            return np.eye(1) if vector[0] == 0.0 else np.full((1, 1), np.nan)

        def normal_equations(self, vector):
            return self.jacobian(vector)[0] * (vector - 3.0), self.jacobian(vector)

    with pytest.raises(InputError, match="derivatives are no numbers"):
        METHODS[method](Target(), np.zeros(1), 50)
