"""Numbers of cells as a symmetric tensor: images from its definition, other axes of one lattice, steps left out, derivatives, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import nanobragg
from scipy.linalg import sqrtm
from test_reach import image_of, numbers, random_tensor

from nanobragg_numba import InputError, parameters_from_command_line, simulate, spots
from nanobragg_numba import autograd as bridge
from nanobragg_numba.derivatives import cpu
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add
from nanobragg_numba.kernels.reach.spots import NO_REACH, reach_of

REAL = np.array([[39.0, 3.0, -2.0], [-8.0, 48.0, 5.0], [3.0, -6.0, 58.0]])
CELLS, CROSS = (8.01, 6.6, 11.25), (2.5, -3.0, 1.5)
LINE = "-cell 40 50 60 80 95 100 -default_F 100 -lambda 1.3 -distance 60 -oversample 1 -nopolar -fluence 1e20"
TINY = f"{LINE} -misset 10 20 30 -detpixels_f 4 -detpixels_s 3 -pixel 2.6 -mosaic 0.5 -mosaic_domains 2 -fudge 0.5"
BOXES = [(0, 2, 0, 2), (2, 4, 1, 3)]


def crystal_of(words, shape, cells=CELLS, cross=CROSS, real=None):
    read = parameters_from_command_line(words)
    crystal = replace(read.crystal, shape=shape, n_cells=cells, n_cells_off_diagonal=cross)
    return replace(read, crystal=crystal if real is None else replace(crystal, cell=None, misset_deg=None, real_space_matrix=real))


def tensor_of(cells, cross):
    (na, nb, nc), (ab, ac, bc) = cells, cross
    return np.array([[na, ab, ac], [ab, nb, bc], [ac, bc, nc]])


def parts_of(tensor):
    return tuple(np.diag(tensor).tolist()), (tensor[0, 1].item(), tensor[0, 2].item(), tensor[1, 2].item())


def leaf(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("precision", ["exact", "guarded"])
@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_every_pixel_from_the_definition(shape, precision):
    """h, k, l by the Bragg equation; |N dh| and det N by numpy."""
    fudge = 0.2
    parameters = crystal_of(f"{LINE} -detpixels 30 -pixel 1.3 -fudge {fudge}", shape, real=REAL)
    got = simulate(parameters, precision=precision).image.astype(float)
    g = derive_experiment(parameters).geometry
    places = (np.arange(30) + 0.5) * 1.3e-3
    rays = np.array(g.pix0) + places[:, None, None] * np.array(g.slow) + places[:, None] * np.array(g.fast)
    distances = np.linalg.norm(rays, axis=-1)
    hkl = (rays / distances[..., None] - (1.0, 0.0, 0.0)) / 1.3 @ REAL.T
    tensor = tensor_of(CELLS, CROSS)
    radius = np.sum(((hkl - np.round(hkl)) @ tensor) ** 2, axis=-1) * fudge
    within = np.where(radius / 0.63 <= 30.0, np.exp(-radius / 0.63), 0.0) if shape == "gauss" else radius < 0.3969
    omega = 1.3e-3**2 * 0.06 / distances**3
    want = (np.linalg.det(tensor) * within) ** 2 * 100.0**2 * omega * 1e20 * 7.94079248018965e-30
    assert np.count_nonzero(want) > 5
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=0.0)


OTHER_AXES = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 1]])
"""Of a lattice with axes a, b, c the same lattice has a + b, b and c - a."""


def in_both_axes(words, shape, cells):
    """One crystal in two ways: R^2 = h^T N^2 h, and with h' = P h it is h'^T (P^-T N^2 P^-1) h'."""
    inverse = np.linalg.inv(OTHER_AXES)
    tensor = np.real(sqrtm(inverse.T @ np.diag(np.square(cells)) @ inverse))
    plain = crystal_of(words, shape, cells, (0.0, 0.0, 0.0), REAL)
    return plain, crystal_of(words, shape, *parts_of(tensor), OTHER_AXES @ REAL)


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_other_axes_of_the_lattice_show_the_same_crystal(shape):
    words = f"{LINE} -detpixels 40 -pixel 0.8 -mosaic 1 -mosaic_domains 8 -fudge {1.0 if shape == 'gauss' else 0.03}"
    plain, other = in_both_axes(words, shape, (25.0, 32.0, 20.0))
    x = derive_experiment(other)
    assert np.abs(x.size.tensor - np.diag(np.diag(x.size.tensor))).max() > 5.0 and reach_of(x.tables).used
    one, two = (simulate(p).image.astype(float) for p in (plain, other))
    assert np.count_nonzero(one) > 30
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_predicted_spots_are_those_of_the_other_axes(shape):
    plain, other = (spots(p) for p in in_both_axes(f"{LINE} -detpixels 60 -pixel 0.8 -mosaic 1 -mosaic_domains 5", shape, (25, 32, 20)))
    index = plain.hkl @ OTHER_AXES.T
    assert len(index) == len(other.hkl) > 20
    order, others = np.lexsort(index.T), np.lexsort(other.hkl.T)
    assert np.array_equal(index[order], other.hkl[others])
    assert np.array_equal(plain.box[order], other.box[others])
    np.testing.assert_allclose(plain.partiality[order], other.partiality[others], rtol=1e-9)


def test_widths_are_the_rows_of_the_tensor_times_the_axes():
    size = derive_experiment(crystal_of(f"{LINE} -detpixels 4", "gauss", real=REAL)).size
    np.testing.assert_allclose(size.widths, np.linalg.norm(tensor_of(CELLS, CROSS) @ REAL, axis=1) * 1e-10, rtol=1e-12)


def random_words(random):
    cell = [*random.uniform(20, 150, 3), *random.uniform(70, 110, 3)]
    return (
        f"-cell {numbers(cell)} -misset {numbers(random.uniform(-180, 180, 3))} -nointerpolate -lambda {random.uniform(0.5, 3):.4g}"
        f" -default_F 100 -fudge {random.uniform(0.3, 3):.3g} -distance {random.uniform(10, 300):.4g}"
        f" -pixel {random.uniform(0.03, 0.4):.3g} -detpixels_x {random.integers(3, 40)} -detpixels_y 6 -oversample {random.integers(1, 3)}"
        f" -dispersion {random.choice([0, 0.5, 5])} -dispsteps {random.integers(1, 9)} -mosaic {random.choice([0.01, 0.3, 30])}"
        f" -mosaic_domains {random.integers(1, 6)}"
    )


def test_random_tensors_have_the_exact_engine_s_bits():
    random = np.random.default_rng(5)
    used = lit = 0
    for case in range(40):
        words, (cells, cross) = random_words(random), parts_of(random_tensor(random, 2.0, 500.0))
        x = derive_experiment(crystal_of(words, ("gauss", "tophat")[case % 2], tuple(max(n, 1.0) for n in cells), cross))
        guarded, exact = image_of(x), image_of(x, "exact")
        assert np.array_equal(guarded.image.view(np.uint32), exact.image.view(np.uint32)), (words, cells, cross)
        used += guarded.reach.used
        lit += guarded.reach.used and bool((exact.image > 0.0).any())
    assert (used > 25 and lit > 10) or not has_fused_multiply_add()


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
def test_nothing_off_the_diagonal_is_the_crystal_without(shape):
    plain = parameters_from_command_line(f"{TINY} -detpixels 20 -N 9 -{'gauss_xtal' if shape == 'gauss' else 'tophat_spots'}")
    given = crystal_of(f"{TINY} -detpixels 20", shape, (9.0, 9.0, 9.0), (0.0, 0.0, 0.0))
    almost = crystal_of(f"{TINY} -detpixels 20", shape, (9.0, 9.0, 9.0), (1e-300, 0.0, 0.0))
    assert simulate(plain).image.tobytes() == simulate(given).image.tobytes()
    np.testing.assert_allclose(simulate(almost).image, simulate(given).image, rtol=1e-6)


@pytest.mark.parametrize(
    ("regions", "cells", "cross"),
    [(None, CELLS, CROSS), (None, CELLS, (0.0, 0.0, 0.0)), (BOXES, (CELLS, (9.0, 8.0, 7.0)), (CROSS, (0.0, 0.0, 0.0)))],
)
def test_gradcheck_to_second_order_alone_and_of_shots(regions, cells, cross):
    p = crystal_of(TINY, "gauss")

    def image(cells, cross):
        found = bridge.simulate(p, regions=regions, n_cells=cells, n_cells_off_diagonal=cross)
        return (found if regions is None else found.values) / 1e2

    tensors = leaf(cells), leaf(cross)
    assert torch.autograd.gradcheck(image, tensors, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(image, tensors)
    for slope in torch.autograd.grad(image(*tensors).square().sum(), tensors):
        assert (slope != 0.0).all()


@pytest.mark.parametrize("shape", ["gauss", "tophat"])
@pytest.mark.parametrize("regions", [None, BOXES])
def test_shots_are_those_one_by_one(shape, regions):
    p = crystal_of(f"{TINY} -detpixels_f 20 -detpixels_s 9 -pixel 0.7 -fudge {0.1 if shape == 'gauss' else 1e-3}", shape)
    cells, cross = np.array([CELLS, (30.0, 20.0, 40.0), (5.0, 6.0, 7.0)]), np.array([CROSS, (15.0, -20.0, 5.0), (0.0, 1.0, -1.0)])

    def found(cells, cross):
        tensors = leaf(cells), leaf(cross)
        image = bridge.simulate(p, regions=regions, n_cells=tensors[0], n_cells_off_diagonal=tensors[1])
        values = image if regions is None else image.values
        slopes = torch.autograd.grad(values.square().sum(), tensors)
        return [x.detach().reshape(3 if np.ndim(cells) == 2 else 1, -1) for x in (values, *slopes)]

    together, alone = found(cells, cross), [found(*own) for own in zip(cells, cross, strict=True)]
    for x, y in zip(together, map(torch.cat, zip(*alone, strict=True)), strict=True):
        assert y.any(dim=1).all()
        torch.testing.assert_close(x, y, rtol=1e-12, atol=0.0)


def test_the_gradient_of_a_flat_spot_is_that_of_its_height():
    """Every lit pixel is (det N)^2 times what does not depend on N; of det N torch's own derivative."""
    p = crystal_of(f"{TINY} -detpixels_f 20 -detpixels_s 9 -fudge 0.02", "tophat")
    cells, cross = leaf(CELLS), leaf(CROSS)
    image = bridge.simulate(p, n_cells=cells, n_cells_off_diagonal=cross).sum()
    na, nb, nc, ab, ac, bc = torch.cat((cells, cross))
    det = torch.linalg.det(torch.stack([na, ab, ac, ab, nb, bc, ac, bc, nc]).reshape(3, 3))
    wanted = torch.autograd.grad(image.detach() * (det / det.detach()) ** 2, (cells, cross))
    assert image > 0.0
    for x, y in zip(torch.autograd.grad(image, (cells, cross)), wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=0.0)


def test_gradients_are_those_of_every_step(monkeypatch):
    p = crystal_of(
        f"{LINE} -misset 10 20 30 -detpixels 33 -pixel 0.1 -dispersion 1 -dispsteps 5", "gauss", (40.0, 30.0, 50.0), (12.0, -15, 8)
    )
    assert reach_of(derive_experiment(p).tables).used
    found = []
    for reach in (reach_of, lambda tables: NO_REACH):
        monkeypatch.setattr(cpu, "reach_of", reach)
        tensors = [leaf(p.crystal.n_cells_off_diagonal), leaf((10.0, 20.0, 30.0))]

        def image(cross, misset):
            return bridge.simulate(p, n_cells_off_diagonal=cross, misset_deg=misset, dtype=torch.float64)

        slopes = torch.autograd.grad(image(*tensors).square().sum(), tensors)
        _, change = torch.func.jvp(image, tuple(t.detach() for t in tensors), tuple(torch.ones(3).double() for _ in tensors))
        found.append([*slopes, change])
    for ours, every in zip(*found, strict=True):
        assert every.abs().max() > 0.0
        torch.testing.assert_close(ours, every, rtol=1e-11, atol=1e-12 * float(every.abs().max()))


@pytest.mark.parametrize(
    ("words", "change", "says"),
    [
        ("-round_xtal", {}, "for gauss and tophat spots"),
        ("-square_xtal", {}, "not for a square crystal"),
        ("-gauss_xtal -xtal_x 0.001", {}, "needs numbers of cells beside it"),
        ("-gauss_xtal -samplesize 0.001", {}, "needs numbers of cells beside it"),
        (
            "-gauss_xtal",
            {"n_cells_off_diagonal": (9.0, 0.0, 0.0)},
            "positive definite tensor of numbers of cells, not 8 9 0; 9 6 0; 0 0 11",
        ),
        ("-tophat_spots", {"n_cells": (0.1, 6.0, 11.0)}, "positive definite"),
        ("-gauss_xtal", {"n_cells": (2.0, 2.0, 2.0), "n_cells_off_diagonal": (2.0 - 1e-10, 0.0, 0.0)}, "positive definite"),
        ("-gauss_xtal", {"n_cells_off_diagonal": (math.inf, 0.0, 0.0)}, "n_cells_off_diagonal must be finite"),
    ],
)
def test_what_makes_no_tensor_is_refused(words, change, says):
    read = parameters_from_command_line(f"{TINY} {words}")
    crystal = replace(read.crystal, **{"n_cells": (8.0, 6.0, 11.0), "n_cells_off_diagonal": CROSS, **change})
    with pytest.raises(InputError, match=says):
        simulate(replace(read, crystal=crystal))


@pytest.mark.parametrize("compat", ["c", "c-fixed"])
def test_the_c_program_has_none(compat):
    p = crystal_of(TINY, "gauss")
    with pytest.raises(InputError, match=r"n_cells_off_diagonal .* has no meaning"):
        simulate(p, compat=compat)
    with pytest.raises(InputError, match="-N_cross has no meaning in -compat"):
        parameters_from_command_line(f"{TINY} -gauss_xtal -N_cross 1,2,3", compat=compat)
    with pytest.raises(InputError, match="n_cells_off_diagonal has no meaning"):
        bridge.simulate(crystal_of(TINY, "gauss", cross=(0.0, 0.0, 0.0)), compat=compat, n_cells_off_diagonal=leaf(CROSS))


@pytest.mark.parametrize(
    ("words", "cross", "says"),
    [
        ("-round_xtal", CROSS, "for gauss and tophat spots"),
        ("-gauss_xtal -xtalsize 0.001", CROSS, "needs numbers of cells beside it"),
        ("-gauss_xtal", (9.0, 0.0, 0.0), "positive definite"),
        ("-gauss_xtal", [CROSS, (9.0, 0.0, 0.0)], "positive definite"),
        ("-gauss_xtal", (1.0, 2.0), r"n_cells_off_diagonal has shape \(3,\), not \(2,\)"),
    ],
)
def test_replacements_that_are_refused(words, cross, says):
    with pytest.raises(InputError, match=says):
        bridge.simulate(parameters_from_command_line(f"{TINY} -N 6 {words}"), n_cells_off_diagonal=cross)


def test_the_option(tmp_path, capfdbinary):
    crystal = parameters_from_command_line(f"{TINY} -gauss_xtal -Na 9 -Nb 8 -Nc 7 -N_cross -1.5,2,0").crystal
    assert (crystal.n_cells, crystal.n_cells_off_diagonal) == ((9, 8, 7), (-1.5, 2.0, 0.0))
    assert "9 x 8 x 7 cells (-1.5 2 0 off the diagonal) gauss" in repr(crystal)
    words = f"{TINY} -seed 1 -gauss_xtal -N 9 -N_cross 2,-3,1.5 -compat spec -strict"
    run = nanobragg(words.split(), tmp_path, capfdbinary)
    assert run.status == 0, run.stderr
    assert b"2 -3 1.5 cells off the diagonal" in run.stdout
    image = np.fromfile(tmp_path / "floatimage.bin", np.float32).reshape(3, 4)
    assert np.array_equal(image, simulate(crystal_of(TINY, "gauss", (9.0,) * 3, (2.0, -3.0, 1.5))).image)
    for value in ("1,2", "1,2,x", "1,2,inf", "1"):
        with pytest.raises(InputError, match="-N_cross must be three numbers"):
            parameters_from_command_line(f"{TINY} -gauss_xtal -N_cross {value}")
