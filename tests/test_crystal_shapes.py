"""Sizes and shapes of crystals in "spec": photons, heights and widths from their definitions, and numbers of cells that are not whole."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import nanobragg

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.autograd import simulate as simulate_tensor
from nanobragg_numba.derivatives.formula_derivatives import reduced_index, squared_grating
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.simd.error_bound import is_supported

ORTHOGONAL = "79 79 38 90 90 90"
TRICLINIC = "70 80 50 75 85 100"
SPOTS = "-default_F 100 -lambda 1 -distance 100 -nopolar -oversample 1 -fluence 1e20"
SMALL = f"{SPOTS} -detpixels 24 -pixel 0.6 -misset 10 20 30 -phi 1 -osc 2 -phisteps 3 -mosaic 0.5 -mosaic_domains 2 -seed 1"


def crystal_of(words: str, shape: str, cells: tuple[float, float, float], fudge: float = 1.0):
    parameters = parameters_from_command_line(words)
    return replace(parameters, crystal=replace(parameters.crystal, shape=shape, n_cells=cells, fudge=fudge))


def integral(shape: str, cells: tuple[int, int, int]) -> float:
    """Integral of L^2 over one cell of reciprocal space, over Na Nb Nc; a parallelepiped's is 1.

    With u = (Na dh, Nb dk, Nc dl) and L = Na Nb Nc g(u), it is that of g^2 over |u_i| < N_i / 2.
    """
    if shape == "gauss":
        u = np.linspace(-8.0, 8.0, 20001)
        return float(np.exp(-2.0 * u * u / 0.63).sum() * (u[1] - u[0])) ** 3
    if shape == "tophat":
        return 4.0 / 3.0 * math.pi * math.sqrt(0.3969) ** 3
    # Round: the transform of a ball of diameter 1, whose tails outgrow the cell. By midpoints in one octant.
    axes = [(np.arange(4 * n) + 0.5) / 8.0 for n in cells]
    z = np.pi * np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    transform = 0.723601254558268 * 3.0 * (np.sin(z) - z * np.cos(z)) / z**3
    return float(8.0 * np.sum(transform**2) / 8.0**3)


@pytest.mark.parametrize(
    ("cell", "cells"),
    [(ORTHOGONAL, (5, 5, 5)), (TRICLINIC, (20, 20, 20)), (ORTHOGONAL, (30, 30, 30)), (TRICLINIC, (8, 20, 35))],
)
def test_photons_of_each_shape_against_the_parallelepiped(cell, cells):
    """A rotation through some thirty reflections at steps finer than their spots, beside the beam."""
    turn, pixel = 24.0, 0.12 if max(cells) < 10 else 0.025
    steps = int(turn * max(cells) ** 0.5 * 8.0)
    words = f"-cell {cell} {SPOTS} -oversample 2 -detpixels 200 -pixel {pixel} -Xbeam -2.5 -Ybeam 6.5"
    words += f" -misset 20 40 60 -osc {turn} -phisteps {steps}"
    sums = {shape: simulate(crystal_of(words, shape, cells)).image.sum(dtype=float) for shape in ("square", "round", "gauss", "tophat")}
    for shape in ("round", "gauss", "tophat"):
        assert sums[shape] / sums["square"] == pytest.approx(integral(shape, cells), rel=0.03), shape


@pytest.mark.parametrize("cells", [(5, 5, 5), (30, 30, 30), (8, 20, 35)])
def test_peaks_are_as_high_as_the_parallelepipeds(cells):
    """The pixel in the beam is at the reflection 0 0 0: F Na Nb Nc squared, times the solid angle."""
    words = f"-cell {TRICLINIC} {SPOTS} -detpixels 3 -pixel 0.001 -Xbeam 0.0015 -Ybeam 0.0015 -distance 1000"
    want = (100.0 * math.prod(cells)) ** 2 * 1e20 * 7.94079248018965e-30 * (1e-6 / 1.0) ** 2
    for shape in ("square", "gauss", "tophat"):
        assert simulate(crystal_of(words, shape, cells)).image.max() == pytest.approx(want, rel=2e-3), shape
    assert simulate(crystal_of(words, "round", cells)).image.max() == pytest.approx(want * 0.723601254558268**2, rel=2e-3)


@pytest.mark.parametrize("shape", ["square", "gauss", "tophat"])
def test_every_pixel_from_the_definition(shape):
    """h, k, l by the Bragg equation, the lattice sum of each shape by numpy, of numbers of cells that are not whole."""
    cells, fudge = (8.01, 4.6, 11.25), 0.2
    words = f"-cell 60 60 60 90 90 90 {SPOTS} -detpixels 40 -pixel 1 -distance 100"
    parameters = crystal_of(words, shape, cells, fudge)
    got = simulate(parameters).image.astype(float)
    g = derive_experiment(parameters, "spec").geometry
    places = (np.arange(40) + 0.5) * 1e-3
    rays = np.array(g.pix0) + places[:, None, None] * np.array(g.slow) + places[:, None] * np.array(g.fast)
    distances = np.linalg.norm(rays, axis=-1)
    hkl = (rays / distances[..., None] - (1.0, 0.0, 0.0)) * 60.0
    away = hkl - np.round(hkl)
    n = np.array(cells)
    if shape == "square":
        low = np.where(away == 0.0, 1.0, np.sin(np.pi * away))
        amplitude = np.prod(np.where(away == 0.0, n, np.sin(np.pi * n * away) / low), axis=-1)
    else:
        radius = np.sum((n * away) ** 2, axis=-1) * fudge
        amplitude = n.prod() * (np.exp(-radius / 0.63) if shape == "gauss" else (radius < 0.3969))
    omega = 1e-3**2 * 0.1 / distances**3
    want = amplitude**2 * 100.0**2 * omega * 1e20 * 7.94079248018965e-30
    assert np.count_nonzero(want) > 5
    assert np.allclose(got, want, rtol=1e-4, atol=1e-6 * want.max())


def test_whole_numbers_of_cells_give_what_the_unreduced_grating_gives():
    # A cell of right angles, for "c" bends those of a triclinic one (Q13).
    right = crystal_of(f"-cell {ORTHOGONAL} {SPOTS} -detpixels 24 -pixel 0.6 -misset 10 20 30", "square", (8, 20, 35))
    spec, c = simulate(right).image.astype(float), simulate(right, compat="c").image.astype(float)
    assert np.allclose(spec, c, rtol=1e-5, atol=1e-9 * c.max())


def test_the_image_is_continuous_in_the_number_of_cells():
    words = f"-cell {ORTHOGONAL} {SPOTS} -detpixels 65 -pixel 0.1"
    images = [simulate(crystal_of(words, "square", (n, n, n))).image.astype(float) for n in (8.0, 8.0 + 1e-6, 8.01)]
    peak = images[0].max()
    assert np.abs(images[1] - images[0]).max() < 1e-5 * peak
    # The peak grows as N^6, and no pixel is higher than it.
    assert images[2].max() == pytest.approx(peak * (8.01 / 8.0) ** 6, rel=1e-3)
    assert np.abs(images[2] - images[0]).max() < 0.01 * peak


def test_less_than_one_cell_is_one():
    words = f"-cell {ORTHOGONAL} {SMALL}"
    for shape in ("square", "gauss"):
        assert np.array_equal(simulate(crystal_of(words, shape, (0.3, 5, 1))).image, simulate(crystal_of(words, shape, (1.0, 5, 1))).image)
    start = torch.tensor((0.3, 5.0, 4.0), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(simulate_tensor(crystal_of(words, "gauss", (0.3, 5, 4)), n_cells=start).sum(), start)
    assert gradient[0] == 0.0
    assert (gradient[1:] > 0.0).all()


@pytest.mark.parametrize("shape", ["square", "gauss"])
@pytest.mark.parametrize("cells", [(8.01, 5.6, 3.2), (8.0, 5.0, 3.0)])
def test_gradcheck_of_the_number_of_cells(shape, cells):
    words = f"-cell 40 50 60 80 95 100 {SPOTS} -detpixels 5 -pixel 4 -misset 10 20 30 -mosaic 0.5 -mosaic_domains 2 -seed 1"
    parameters = crystal_of(words, shape, cells, 0.5)
    start = torch.tensor(cells, dtype=torch.float64, requires_grad=True)
    largest = float(simulate_tensor(parameters, n_cells=start.detach()).max())
    image = lambda x: simulate_tensor(parameters, n_cells=x) / largest  # noqa: E731
    (gradient,) = torch.autograd.grad(image(start).sum(), start)
    assert gradient.abs().max() > 1e-6
    assert torch.autograd.gradcheck(image, [start], check_forward_ad=True)
    assert torch.autograd.gradgradcheck(image, [start])


@pytest.mark.parametrize("name", ["cell", "wavelength_A", "fudge", "misset_deg"])
def test_gradcheck_of_the_gaussian_shape(name):
    values = {"cell": (40.0, 50.0, 60.0, 80.0, 95.0, 100.0), "wavelength_A": 1.0, "fudge": 0.5, "misset_deg": (10.0, 20.0, 30.0)}
    words = f"-cell 40 50 60 80 95 100 {SPOTS} -detpixels 5 -pixel 4 -misset 10 20 30"
    parameters = crystal_of(words, "gauss", (3.3, 4.0, 2.5), 0.5)
    start = torch.tensor(values[name], dtype=torch.float64, requires_grad=True)
    largest = float(simulate_tensor(parameters, **{name: start.detach()}).max())
    assert torch.autograd.gradcheck(lambda x: simulate_tensor(parameters, **{name: x}) / largest, [start], check_forward_ad=True)


@pytest.mark.parametrize("n", [2.5, 8.01, 5.0])
@pytest.mark.parametrize("m", [0.0, 3.0, -7.0])
def test_the_grating_of_the_distance_from_the_nearest_index(n, m):
    """Bounded by N^2, with derivatives that central differences of its definition give."""
    u = lambda r, cells: (math.sin(math.pi * cells * r) / math.sin(math.pi * r)) ** 2  # noqa: E731
    for r in (-0.45, -0.2, 0.01, 0.13, 0.37):
        square, by_h, by_n = squared_grating(reduced_index(m + r, True), n)
        step = 1e-6
        assert square <= n * n
        assert square == pytest.approx(u(r, n), rel=1e-9, abs=1e-12)
        assert by_h == pytest.approx((u(r + step, n) - u(r - step, n)) / (2 * step), rel=1e-5, abs=1e-5)
        assert by_n == pytest.approx((u(r, n + step) - u(r, n - step)) / (2 * step), rel=1e-5, abs=1e-6)
        assert reduced_index(m + r, False) == m + r
    square, by_h, by_n = squared_grating(reduced_index(m, True), n)
    assert (square, by_h, by_n) == (n * n, 0.0, 2.0 * n)


def test_guarded_is_exact_to_the_bit():
    draw = random.Random(7)
    for _ in range(24):
        shape = draw.choice(("gauss", "tophat", "square"))
        cells = tuple(draw.choice((1, 5, 8.01, 20, 35.5)) for _ in range(3))
        parameters = crystal_of(f"-cell {draw.choice((ORTHOGONAL, TRICLINIC))} {SMALL}", shape, cells, draw.choice((0.1, 1.0, 2.5)))
        guarded, exact = (simulate(parameters, precision=precision).image for precision in ("guarded", "exact"))
        assert np.array_equal(guarded, exact), (shape, cells)
        assert guarded.max() > 0.0 or shape == "tophat"


def test_the_guard_takes_magnitudes_of_wavelengths():
    """A dispersion above 200 %, which "spec" refuses, gives negative wavelengths: the sines' arguments are as large as otherwise."""
    words = "-cell 100 100 100 90 90 90 -default_F 100 -detpixels 24 -pixel 1 -oversample 1 -distance 100 -N 30 -seed 1"
    words += " -lambda 1 -dispsteps 2 -dispersion"
    for dispersion, supported in (("200.00000000000003", False), ("250", True), ("20", True)):
        parameters = parameters_from_command_line(f"{words} {dispersion}", compat="c")
        x = derive_experiment(parameters, "c")
        assert (min(x.sources.wavelengths) < 0.0) == (float(dispersion) > 200.0)
        guarded, exact = (simulate(parameters, compat="c", precision=p).image for p in ("guarded", "exact"))
        assert np.array_equal(guarded, exact, equal_nan=True), dispersion
        assert is_supported(x.tables) in ((True, False) if supported else (False,))


@pytest.mark.parametrize(("words", "told"), [("-gauss_xtal", 1), ("-tophat_spots", 1), ("-round_xtal", 0), ("", 0)])
def test_c_says_that_the_radius_was_scaled(words, told, tmp_path, capfdbinary):
    line = f"-cell {ORTHOGONAL} -default_F 100 -lambda 1 -distance 100 -detpixels 8 -N 5 -oversample 1 -nonoise -nopgm {words}"
    assert nanobragg(line.split(), tmp_path / "c", capfdbinary).stderr.count("Q9") == told
    assert "Q9" not in nanobragg([*line.split(), "-compat", "spec"], tmp_path / "spec", capfdbinary).stderr
