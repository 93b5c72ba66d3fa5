"""Gaussian mosaicity, -mosaic_width: rotations from scipy, the image from turned crystals, derivatives from torch's checks."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nanobragg_numba import InputError, parameters_from_command_line, simulate, spots
from nanobragg_numba import autograd as bridge
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.mosaic import gaussian_points

REAL = np.array([[39.0, 3.0, -2.0], [-8.0, 48.0, 5.0], [3.0, -6.0, 58.0]])
LINE = (
    "-cell 40 50 60 80 95 100 -Na 5 -Nb 4 -Nc 3 -default_F 100 -lambda 1.3 -distance 60 -detpixels_f 9 -detpixels_s 7 -pixel 1.2 "
    "-oversample 1 -misset 10 20 30"
)
WIDTHS = (0.9, 0.2, 0.5)
PHI = 20.0
BOXES = [(0, 2, 0, 2), (2, 4, 1, 3)]


def parameters(width, domains=None, phi=PHI, words=""):
    read = parameters_from_command_line(f"{LINE} -phi {phi} {words}")
    return replace(read, crystal=replace(read.crystal, mosaic_width_deg=width, mosaic_domains=domains))


def few_pixels(width):
    """4 x 3 pixels, for derivatives of each."""
    p = parameters(width)
    return replace(p, detector=replace(p.detector, pixels=(4, 3), pixel_size_mm=2.6))


def with_matrix(width, domains=None, phi=PHI):
    p = parameters(width, domains, phi)
    return replace(p, crystal=replace(p.crystal, cell=None, misset_deg=None, real_space_matrix=REAL))


def frame_of_real(phi):
    """Rows along a, c* x a, c* of ``REAL``, turned about MOSFLM's spindle, z."""
    a, c_star = REAL[0], np.cross(REAL[0], REAL[1])
    rows = np.array([a / np.linalg.norm(a), np.cross(c_star, a) / np.linalg.norm(np.cross(c_star, a)), c_star / np.linalg.norm(c_star)])
    return Rotation.from_euler("z", phi, degrees=True).apply(rows)


def rotations(width, domains, phi):
    """(domains, 3, 3), by scipy."""
    vectors = gaussian_points(domains, 12345678) * np.deg2rad(width)
    return Rotation.from_rotvec(vectors if np.ndim(width) == 0 else vectors @ frame_of_real(phi)).as_matrix()


@pytest.mark.parametrize("domains", [6, 7, 10, 13, 1000])
def test_points_are_symmetric_and_have_the_moments_of_the_normal_distribution(domains):
    z = gaussian_points(domains, 5)
    assert z.shape == (domains, 3)
    assert np.array_equal(np.sort(z, axis=0), np.sort(-z, axis=0))
    assert np.abs(z.T @ z / domains - np.eye(3)).max() < 1e-14
    assert z.any(axis=1).sum() == domains - domains % 2
    assert not np.allclose(z, gaussian_points(domains, 6))


def test_many_points_are_normal():
    """Fourth moments 3 and 1, within five standard errors of 5000 independent points (variances of z^4 and x^2 y^2: 96 and 8)."""
    z = gaussian_points(10000, 12345678)
    assert np.abs((z**4).mean(axis=0) - 3.0).max() < 5 * np.sqrt(96.0 / 5000.0)
    assert np.abs((z[:, 0] ** 2 * z[:, 1] ** 2).mean() - 1.0) < 5 * np.sqrt(8.0 / 5000.0)


@pytest.mark.parametrize("width", [0.5, 80.0, WIDTHS])
@pytest.mark.parametrize("domains", [6, 11])
@pytest.mark.parametrize("phi", [0.0, PHI])
def test_the_rotations_are_scipys(width, domains, phi):
    x = derive_experiment(with_matrix(width, domains, phi))
    assert x.mosaic_domains == domains
    assert np.abs(x.mosaic.reshape(-1, 3, 3) - rotations(width, domains, phi)).max() < 1e-14


def test_the_widths_are_standard_deviations_about_the_crystals_axes():
    vectors = Rotation.from_matrix(derive_experiment(with_matrix(WIDTHS)).mosaic.reshape(-1, 3, 3)).as_rotvec(degrees=True)
    about = vectors @ frame_of_real(PHI).T
    assert np.abs(about.T @ about / len(about) - np.diag(np.square(WIDTHS))).max() < 1e-12


@pytest.mark.parametrize("width", [0.5, WIDTHS])
def test_the_image_is_the_mean_of_turned_crystals(width):
    """Each domain a crystal of its own, its axes turned by scipy: about the spindle, then by the domain."""
    spindle = Rotation.from_euler("z", PHI, degrees=True).as_matrix()
    single = with_matrix(None, None, 0.0)
    turned = [replace(single.crystal, real_space_matrix=REAL @ spindle.T @ r.T) for r in rotations(width, 10, PHI)]
    mean = np.mean([simulate(replace(single, crystal=c), precision="double").image.astype(float) for c in turned], axis=0)
    image = simulate(with_matrix(width), precision="double").image
    np.testing.assert_allclose(image, mean, rtol=1e-6)
    unspread = simulate(with_matrix(None), precision="double").image
    assert np.median(np.abs(image - unspread) / unspread) > 0.05


@pytest.mark.parametrize("precision", ["guarded", "exact"])
def test_engines_and_prediction_see_rotations_alone(precision):
    p = with_matrix(WIDTHS)
    made = derive_experiment(p).mosaic.reshape(-1, 3, 3)
    given = replace(p, crystal=replace(p.crystal, mosaic_width_deg=None, mosaic_rotations=made))
    assert simulate(p, precision=precision).image.tobytes() == simulate(given, precision=precision).image.tobytes()
    assert np.array_equal(spots(p).box, spots(given).box) and len(spots(p).box) > 0
    assert not np.array_equal(spots(p).box, spots(replace(p, crystal=replace(p.crystal, mosaic_width_deg=None))).box)


def test_a_rotation_series_with_one_width():
    """The frame is the laboratory's: each phi step has the same rotations."""
    x = derive_experiment(replace(with_matrix(0.5), sampling=replace(with_matrix(0.5).sampling, osc_deg=30.0, phisteps=3)))
    assert len(x.tables.crystal.orientations) == 30
    assert np.abs(x.mosaic.reshape(-1, 3, 3) - rotations(0.5, 10, PHI)).max() < 1e-14


def leaf(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("width", [(0.5,), WIDTHS])
@pytest.mark.parametrize("regions", [None, BOXES])
def test_gradcheck_to_second_order_alone_and_of_shots(width, regions):
    p = few_pixels(0.5)

    def image(*tensors):
        found = bridge.simulate(p, regions=regions, mosaic_width_deg=tensors[0], misset_deg=tensors[1])
        return (found if regions is None else found.values) / 1e2

    shots = np.array([width, np.multiply(width, 1.5)])
    for start in (width, shots):
        tensors = (leaf(start), leaf([[10.0, 20.0, 30.0], [12.0, 20.0, 30.0]] if np.ndim(start) == 2 else [10.0, 20.0, 30.0]))
        assert torch.autograd.gradcheck(image, tensors, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(image, tensors)
    both = image(leaf(shots), leaf([10.0, 20.0, 30.0])).reshape(2, -1)
    for shot in (0, 1):
        torch.testing.assert_close(both[shot], image(leaf(shots[shot]), leaf([10.0, 20.0, 30.0])).flatten(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", ["misset_deg", "cell", "phi_deg", "spindle_axis"])
def test_the_frame_moves_with_the_crystal(name):
    """Derivatives of what turns the lattice include the turn of the three axes, where the widths are plain numbers, too."""
    start = {
        "misset_deg": (10.0, 20.0, 30.0), "cell": (40.0, 50.0, 60.0, 80.0, 95.0, 100.0), "phi_deg": PHI, "spindle_axis": (0.1, 0.2, 0.9),
    }[name]  # fmt: skip
    p = few_pixels(tuple(np.multiply(WIDTHS, 4.0)))

    def image(x):
        return bridge.simulate(p, **{name: x}) / 1e2

    assert torch.autograd.gradcheck(image, [leaf(start)], check_forward_ad=True)
    assert torch.autograd.gradgradcheck(image, [leaf(start)])


@pytest.mark.parametrize("width", [(0.0,), (0.0, 0.0, 0.0)])
def test_a_width_of_zero(width):
    """The unspread crystal's image; no slope, which is told; and the right second derivative."""
    p = parameters(None)

    def loss(x):
        image = bridge.simulate(p, mosaic_width_deg=x)
        return (image * torch.linspace(0.5, 1.5, image.numel(), dtype=torch.float64).reshape(image.shape)).sum()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        at_zero = loss(leaf(width))
    assert any("start above 0" in str(warning.message) for warning in caught)
    torch.testing.assert_close(
        bridge.simulate(p, mosaic_width_deg=leaf(width)), bridge.simulate(p), rtol=1e-12, atol=1e-12 * float(bridge.simulate(p).max())
    )
    hessian = torch.autograd.functional.hessian(loss, leaf(width))
    (slope,) = torch.autograd.grad(loss(x := leaf(width)), x)
    assert slope.abs().max() < 1e-9 * hessian.abs().max()
    step = 1e-3
    for at in range(len(width)):
        moved = torch.zeros(len(width), dtype=torch.float64)
        moved[at] = step
        # Even in the width: loss = loss(0) + hessian step^2/2 and what is of fourth order.
        second = 2.0 * (loss(moved) - at_zero) / step**2
        torch.testing.assert_close(second, hessian[at, at], rtol=1e-3, atol=1e-3 * float(hessian.abs().max()))


def test_rotated_vectors_are_the_kernels_and_differentiable():
    p = with_matrix(WIDTHS)
    crystal = replace(p.crystal, mosaic_width_deg=leaf(WIDTHS))
    want = p.crystal.rotated_real_vectors(p.sampling, convention="mosflm")
    got = crystal.rotated_real_vectors(p.sampling, convention="mosflm")
    for x, y in zip((*got.real, *got.reciprocal), (*want.real, *want.reciprocal), strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y, rtol=1e-12, atol=1e-13)

    def vectors(width, real):
        axes = replace(crystal, mosaic_width_deg=width, real_space_matrix=real).rotated_real_vectors(p.sampling, convention="mosflm").real
        return torch.stack(axes)

    assert torch.autograd.gradcheck(vectors, (leaf(WIDTHS), leaf(REAL)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mosaic_width_deg": -0.1}, "must be 0 or more"),
        ({"mosaic_width_deg": (0.1, -0.1, 0.1)}, "must be 0 or more"),
        ({"mosaic_width_deg": float("inf")}, "Crystal.mosaic_width_deg must be finite"),
        ({"mosaic_width_deg": 0.1, "mosaic_spread_deg": 0.1}, "mosaic_spread_deg (-mosaic) both give"),
        ({"mosaic_width_deg": 0.1, "mosaic_rotations": np.eye(3)[None]}, "mosaic_rotations both give"),
        ({"mosaic_width_deg": 0.1, "mosaic_domains": 5}, "must be 6 or more"),
        ({"mosaic_width_deg": 0.1, "mosaic_domains": 1}, "must be 6 or more"),
    ],
)
def test_what_makes_no_gaussian_is_refused(change, says):
    p = parameters(None)
    with pytest.raises(InputError) as caught:
        simulate(replace(p, crystal=replace(p.crystal, **change)))
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [(0.1, 0.2), "wide", ((0.1, 0.2, 0.3),)])
def test_a_width_is_one_number_or_three(value):
    with pytest.raises(InputError, match=r"Crystal\.mosaic_width_deg must be a number or 3 numbers"):
        parameters(value)


@pytest.mark.parametrize("compat", ["c", "c-fixed"])
def test_the_c_program_has_none(compat):
    with pytest.raises(InputError, match="mosaic_width"):
        simulate(parameters(0.1), compat=compat)
    with pytest.raises(InputError, match="-mosaic_width has no meaning in -compat"):
        parameters_from_command_line(f"{LINE} -mosaic_width 0.1", compat=compat)
    with pytest.raises(InputError, match="mosaic_width_deg"):
        bridge.simulate(parameters(None), compat=compat, mosaic_width_deg=leaf([0.1]))


@pytest.mark.parametrize(("word", "width"), [("0.3", 0.3), ("0.3,0.1,0", (0.3, 0.1, 0.0))])
def test_the_option(word, width):
    assert parameters_from_command_line(f"{LINE} -mosaic_width {word}").crystal.mosaic_width_deg == width


def test_a_cap_gives_way_to_the_tensor():
    p = parameters(None, 10, words="-mosaic 0.4")
    image = bridge.simulate(p, mosaic_width_deg=leaf([0.5]))
    assert torch.equal(image.detach(), bridge.simulate(parameters(0.5)))


def test_widths_give_way_to_rotations():
    x = derive_experiment(parameters(WIDTHS))
    image = bridge.simulate(parameters(0.1), mosaic_rotations=leaf(x.mosaic.reshape(-1, 3, 3)))
    assert torch.equal(image.detach(), bridge.simulate(parameters(WIDTHS)))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mosaic_width_deg": 0.1}, r"mosaic_width_deg has shape \(1,\) or \(3,\), not \(\)"),
        ({"mosaic_width_deg": [0.1], "mosaic_spread_deg": 0.1}, "replace one of them"),
        ({"mosaic_width_deg": [-0.1]}, "must be 0 or more"),
        ({"mosaic_width_deg": [0.1], "mosaic_rotations": [np.eye(3).tolist()]}, "no effect where mosaic_rotations are given"),
    ],
)
def test_replacements_that_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        bridge.simulate(parameters(None), **given)
