"""From measured images to parameters and their standard deviations: likelihoods, backgrounds, restraints, symmetry, joint fits.

>>> import torch
>>> from nanobragg_numba.refinement import poisson_nll
>>> float(poisson_nll(torch.tensor([1.0, 2.0], dtype=torch.float64), [0, 0]))
3.0
"""

from .background import plane_basis, radial_basis, solve_background
from .estimates import Estimates, estimates
from .fit import Fit, Settings, Step, fit
from .kinds import KINDS
from .likelihoods import GaussianLikelihood, PoissonLikelihood, gaussian_nll, photon_variance, poisson_nll
from .measured import Measured, measured, stacked, strong_pixels
from .restraints import Restraint, Restraints
from .starting_model import StartingModel, starting_model
from .symmetry import AsymmetricUnit, CellConstraint, asymmetric_unit, cell_constraint

__all__ = [
    "KINDS", "AsymmetricUnit", "CellConstraint", "Estimates", "Fit", "GaussianLikelihood", "Measured", "PoissonLikelihood", "Restraint",
    "Restraints", "Settings", "StartingModel", "Step", "asymmetric_unit", "cell_constraint", "estimates", "fit", "gaussian_nll",
    "measured", "photon_variance", "plane_basis", "poisson_nll", "radial_basis", "solve_background", "stacked", "starting_model",
    "strong_pixels",
]  # fmt: skip
