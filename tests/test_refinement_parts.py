"""Likelihoods, backgrounds, restraints and estimates, each against an independent computation."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from nanobragg_numba import InputError
from nanobragg_numba.refinement.background import plane_basis, radial_basis, solve_background
from nanobragg_numba.refinement.estimates import describe, estimates, strong_pairs
from nanobragg_numba.refinement.likelihoods import (
    GaussianLikelihood,
    PoissonLikelihood,
    gaussian_nll,
    photon_variance,
    poisson_nll,
)
from nanobragg_numba.refinement.restraints import Restraint, Restraints

RANDOM = np.random.default_rng(7)
EXPECTED = torch.from_numpy(RANDOM.uniform(0.3, 20.0, 60))
PHOTONS = RANDOM.poisson(EXPECTED.numpy())
GOOD = RANDOM.uniform(size=60) > 0.2


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (2.5, 40.0)])
def test_poisson_against_scipy(gain, offset):
    counts = offset + gain * PHOTONS
    wanted = -scipy.stats.poisson.logpmf(PHOTONS, EXPECTED.numpy())
    assert float(poisson_nll(EXPECTED, counts, gain=gain, offset=offset)) == pytest.approx(wanted.sum(), rel=1e-12)
    counts = np.where(GOOD, counts, np.nan)
    module = PoissonLikelihood(counts, gain=gain, offset=offset, good=GOOD)
    assert float(module(EXPECTED)) == pytest.approx(wanted[GOOD].sum(), rel=1e-12)
    assert set(module.state_dict()) == {"counts", "good"}


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (2.5, 40.0)])
def test_gaussian_against_scipy(gain, offset):
    counts = offset + gain * PHOTONS + RANDOM.normal(0.0, 3.0, 60)
    sigma = np.sqrt(gain**2 * EXPECTED.numpy() + 9.0)
    wanted = -scipy.stats.norm.logpdf(counts, offset + gain * EXPECTED.numpy(), sigma)
    found = gaussian_nll(EXPECTED, counts, readout=3.0, gain=gain, offset=offset)
    assert float(found) == pytest.approx(wanted.sum(), rel=1e-12)
    module = GaussianLikelihood(np.where(GOOD, counts, np.inf), readout=3.0, gain=gain, offset=offset, good=GOOD)
    assert float(module(EXPECTED)) == pytest.approx(wanted[GOOD].sum(), rel=1e-12)
    # Photons' variance is the counts' by the gain squared.
    np.testing.assert_allclose(photon_variance(EXPECTED, 3.0, gain).numpy() * gain**2, sigma**2, rtol=1e-12)
    fixed = -scipy.stats.norm.logpdf(counts, offset + gain * EXPECTED.numpy(), 7.0).sum()
    held = gaussian_nll(EXPECTED, counts, readout=3.0, gain=gain, offset=offset, variance=np.full(60, 49.0))
    assert float(held) == pytest.approx(fixed, rel=1e-12)


@pytest.mark.parametrize(
    "nll",
    [
        lambda mu: poisson_nll(mu, PHOTONS, good=GOOD),
        lambda mu: gaussian_nll(mu, PHOTONS, readout=2.0, gain=1.5, good=GOOD),
        lambda mu: gaussian_nll(mu, PHOTONS, readout=2.0, variance=np.full(60, 3.0)),
    ],
)
def test_gradients_of_likelihoods(nll):
    leaf = EXPECTED.clone().requires_grad_()
    assert torch.autograd.gradcheck(nll, leaf) and torch.autograd.gradgradcheck(nll, leaf)


def test_minima_of_likelihoods():
    """One common expectation: the mean of the photons, for Poisson and for a fixed variance; else where scipy's density is largest."""
    counts = 5.0 + 2.0 * PHOTONS
    for nll in (
        lambda mu: poisson_nll(mu.expand(60), counts, gain=2.0, offset=5.0),
        lambda mu: gaussian_nll(mu.expand(60), counts, readout=1.0, gain=2.0, offset=5.0, variance=np.full(60, 8.0)),
    ):
        at = torch.tensor(float(PHOTONS.mean()), dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(nll(at), at)
        assert abs(float(slope)) < 1e-9
        assert float(nll(at.detach() * 1.01)) > float(nll(at.detach())) < float(nll(at.detach() * 0.99))

    def density(mu):
        return -scipy.stats.norm.logpdf(counts, 5.0 + 2.0 * mu, np.sqrt(4.0 * mu + 1.0)).sum()

    best = scipy.optimize.minimize_scalar(density, bounds=(1.0, 40.0), method="bounded", options={"xatol": 1e-9}).x
    at = torch.tensor(best, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(gaussian_nll(at.expand(60), counts, readout=1.0, gain=2.0, offset=5.0), at)
    assert abs(float(slope)) < 1e-4


def test_pixels_without_photons():
    zero = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    nll = poisson_nll(zero, np.zeros(4))
    nll.backward()
    assert float(nll) == 0.0 and zero.grad.tolist() == [1.0] * 4
    assert float(poisson_nll(torch.tensor([-0.1, 3.0], dtype=torch.float64), [0, 2])) == np.inf


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: poisson_nll(EXPECTED, PHOTONS[:5]), r"counts have shape \(5,\), and expected photons \(60,\)"),
        (lambda: poisson_nll(EXPECTED, PHOTONS, gain=0.0), "gain must be positive"),
        (lambda: poisson_nll(EXPECTED, PHOTONS, offset=1e9), "60 pixels have counts below the offset 1e\\+09; use gaussian_nll"),
        (lambda: poisson_nll(EXPECTED, PHOTONS * np.nan), "60 pixels have counts that are not finite"),
        (lambda: poisson_nll(EXPECTED, PHOTONS, good=[True]), r"good has shape \(1,\)"),
        (lambda: gaussian_nll(EXPECTED, PHOTONS, readout=0.0), "readout must be positive, not 0.0"),
        (lambda: gaussian_nll(EXPECTED, PHOTONS, readout=1.0, variance=np.zeros(60)), "variance must be positive"),
        (lambda: GaussianLikelihood(PHOTONS, readout=-1.0), "readout must be positive, not -1.0"),
        (lambda: plane_basis(INDEX, BOXES, 2), r"terms must be 1 \(constant\) or 3 \(plane\), not 2"),
        (lambda: radial_basis(EXPECTED, torch.tensor([1.0, 1.0])), "each larger than the one before"),
        (lambda: solve_background(EXPECTED, EXPECTED, EXPECTED[:, None], BOXES), "60 values, 60 weights, 60 rows of basis, 66 boxes"),
        (lambda: Restraint(1.0, 0.0).residuals("cell", EXPECTED), "restraint on cell: sigma must be positive, not 0.0"),
        (lambda: Restraint([1.0, 2.0], 1.0).residuals("cell", EXPECTED), r"restraint on cell: target \(2,\) and sigma \(\) do not fit"),
        (lambda: Restraint(float("nan"), 1.0).residuals("cell", EXPECTED), "restraint on cell: target must be finite"),
        (lambda: Restraints({"cell": Restraint(1.0, 1.0)})({"n_cells": EXPECTED}), "it is not refined; these are: n_cells"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


def box(number, slow, fast, height, width):
    y, x = np.mgrid[slow : slow + height, fast : fast + width].reshape(2, -1)
    return np.stack([np.full(y.size, number), y, x], 1)


# Three boxes, the second of one row of pixels less one.
PARTS = [box(0, 10, 20, 5, 6), box(1, 40, 2, 3, 4), box(2, 7, 70, 4, 6)]
INDEX = torch.from_numpy(np.concatenate(PARTS))
BOXES = INDEX[:, 0]
VALUES = torch.from_numpy(RANDOM.normal(5.0, 2.0, len(INDEX)))
WEIGHTS = torch.from_numpy(np.where(RANDOM.uniform(size=len(INDEX)) < 0.1, 0.0, RANDOM.uniform(0.2, 3.0, len(INDEX))))


@pytest.mark.parametrize("terms", [1, 3])
def test_background_against_numpy_box_by_box(terms):
    coefficients, background = solve_background(VALUES, WEIGHTS, plane_basis(INDEX, BOXES, terms), BOXES)
    assert coefficients.shape == (3, terms)
    for number in range(3):
        at = (number == BOXES).numpy()
        y, x = INDEX.numpy()[at][:, 1:].T
        design = np.stack([np.ones(len(y)), y, x], 1)[:, :terms].astype(float)
        root = np.sqrt(WEIGHTS.numpy()[at])
        solution = np.linalg.lstsq(design * root[:, None], VALUES.numpy()[at] * root, rcond=None)[0]
        np.testing.assert_allclose(background.numpy()[at], design @ solution, rtol=1e-10)


def test_columns_are_solved_by_themselves():
    basis = plane_basis(INDEX, BOXES)
    several = torch.stack([VALUES, VALUES.square(), VALUES.sin()], 1)
    coefficients, background = solve_background(several, WEIGHTS, basis, BOXES)
    for n in range(3):
        alone = solve_background(several[:, n], WEIGHTS, basis, BOXES)
        torch.testing.assert_close(coefficients[..., n], alone[0])
        torch.testing.assert_close(background[:, n], alone[1])


def test_gradients_through_the_solve():
    index = torch.from_numpy(np.concatenate([box(0, 10, 20, 2, 4), box(1, 40, 2, 3, 3)]))
    boxes = index[:, 0]
    values, weights = VALUES[: len(index)].clone().requires_grad_(), (WEIGHTS[: len(index)] + 0.1).requires_grad_()
    basis = plane_basis(index, boxes)

    def function(v, w):
        return solve_background(v, w, basis, boxes)[1].sin()

    assert torch.autograd.gradcheck(function, (values, weights))
    assert torch.autograd.gradgradcheck(lambda v, w: function(v, w).sum(), (values, weights))


def test_radial_background_is_numpys_interpolation():
    knots = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)
    radius = torch.from_numpy(RANDOM.uniform(0.0, 11.0, 50))
    heights = np.array([3.0, 8.0, 2.0])
    wanted = np.interp(radius.numpy(), knots.numpy(), heights)
    basis = radial_basis(radius, knots)
    np.testing.assert_allclose((basis @ torch.from_numpy(heights)).numpy(), wanted, rtol=1e-12)
    coefficients, background = solve_background(torch.from_numpy(wanted), torch.ones(50), basis, torch.zeros(50, dtype=torch.int64))
    np.testing.assert_allclose(coefficients[0].numpy(), heights, rtol=1e-9)
    np.testing.assert_allclose(background.numpy(), wanted, rtol=1e-9)


def test_too_few_pixels_for_a_plane():
    few = torch.tensor([[0, 3, 4], [0, 3, 5], [0, 3, 6]])
    with pytest.raises(InputError, match="box 0 has too few good pixels for 3 terms"):
        solve_background(torch.ones(3, dtype=torch.float64), np.ones(3), plane_basis(few, few[:, 0]), few[:, 0])


def test_restraints():
    values = {"cell": torch.tensor([10.0, 20.0], dtype=torch.float64, requires_grad=True), "distance_mm": torch.tensor([99.0])}
    restraints = Restraints({"cell": Restraint([11.0, 18.0], [0.5, 4.0]), "distance_mm": Restraint(100.0, 2.0)})
    assert float(restraints(values)) == pytest.approx(0.5 * (4.0 + 0.25 + 0.25))
    restraints(values).backward()
    np.testing.assert_allclose(values["cell"].grad.numpy(), [-1.0 / 0.25, 2.0 / 16.0])


def test_estimates_are_the_inverse():
    slopes = RANDOM.normal(size=(40, 4)) * np.array([1.0, 1e6, 1e-4, 3.0])
    matrix = slopes.T @ slopes
    found = estimates(matrix, np.diag([1.0, -2.0, 1.0, 1.0]))
    covariance = np.linalg.inv(slopes.T @ slopes)
    np.testing.assert_allclose(found.sigmas, np.sqrt(np.diag(covariance)) * [1.0, 2.0, 1.0, 1.0], rtol=1e-8)
    assert found.correlations[0, 1] == pytest.approx(-covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), rel=1e-8)
    assert found.undetermined == () and describe(found, "abcd") == []


def test_what_moves_together_is_named():
    slopes = RANDOM.normal(size=(40, 4))
    slopes[:, 2] = 1e3 * slopes[:, 0]
    slopes[:, 3] = 0.0
    found = estimates(slopes.T @ slopes)
    assert sorted(found.undetermined) == [(0, 2), (3,)]
    assert np.isinf(found.sigmas).tolist() == [True, False, True, True]
    assert found.sigmas[1] == pytest.approx(1.0 / np.sqrt(_left(slopes)), rel=1e-8)
    said = describe(found, ["edge", "tilt", "distance", "roll"])
    assert "not determined: edge and distance: they can move together without a change" in said
    assert "not determined: roll: the image does not depend on it" in said
    close = slopes[:, :2] + 0.1 * slopes[:, ::-1][:, 2:]
    close[:, 1] = close[:, 0] + 0.1 * close[:, 1]
    pairs = strong_pairs(estimates(close.T @ close))
    expected = np.linalg.inv(close.T @ close)
    assert pairs == [(0, 1, pytest.approx(expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1])))]
    assert abs(pairs[0][2]) > 0.95


def _left(slopes):
    """What is left of the second column beside the first."""
    first, second = slopes[:, 0], slopes[:, 1]
    return second @ second - (first @ second) ** 2 / (first @ first)
