"""Structure factors per wavelength channel: an image is the weighted sum of one image a wavelength, each with its own table."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nanobragg_numba import InputError, SourceList, from_arrays, parameters_from_command_line, per_channel, simulate, write_hkl
from nanobragg_numba.autograd import simulate as torch_simulate

LINE = "-cell 20 23 27 90 95 90 -default_F 5 -N 4 -lambda 1.2 -distance 50 -detpixels 24 -pixel 2 -misset 10 20 30 -oversample 1"
WAVELENGTHS, WEIGHTS, CHANNELS = np.array([1.15, 1.2, 1.25, 1.3]) * 1e-10, np.array([1.0, 2.0, 3.0, 1.0]), np.array([0, 1, 2, 1])
OPTIONS = {
    "square": {},
    "interpolated": {"interpolate": True},
    "gauss": {"shape": "gauss"},
    "round": {"shape": "round"},
}


def table(seed, reach):
    """Random amplitudes of all reflections up to ``reach`` along each axis."""
    h, k, l = (np.arange(-n, n + 1) for n in reach)
    hkl = np.stack(np.meshgrid(h, k, l, indexing="ij"), axis=-1).reshape(-1, 3)
    return from_arrays(hkl, np.random.default_rng(seed).uniform(10.0, 100.0, len(hkl)))


TABLES = [table(seed, (6, 7, 8)) for seed in range(3)]


def parameters(factors, chosen, channels, options):
    """Of the sources ``chosen``, all along the beam."""
    p = parameters_from_command_line(LINE)
    sources = SourceList(np.full((len(chosen), 3), np.nan), WEIGHTS[chosen], WAVELENGTHS[chosen], channels)
    return replace(p, crystal=replace(p.crystal, structure_factors=factors, **options), beam=replace(p.beam, sources=sources))


@pytest.mark.parametrize("name", OPTIONS)
def test_an_image_is_the_sum_of_its_channels(name):
    options, every = OPTIONS[name], [0, 1, 2, 3]
    together = parameters(per_channel(TABLES), every, CHANNELS, options)
    exact = simulate(together, dtype=np.float64, precision="exact").image
    single = [parameters(TABLES[CHANNELS[at]], [at], None, options) for at in every]
    want = sum(WEIGHTS[at] * simulate(single[at], dtype=np.float64, precision="exact").image for at in every) / WEIGHTS.sum()
    np.testing.assert_allclose(exact, want, rtol=1e-13)
    assert np.array_equal(simulate(together).image, exact.astype(np.float32))
    # The tables are not alike, or one could stand for another.
    same = simulate(parameters(TABLES[1], every, None, options), dtype=np.float64, precision="exact").image
    assert np.abs(exact / same - 1.0).max() > 0.1


def test_every_wavelength_counts_alike_in_the_reference():
    """In "c" the weights are left out (Q7), and the sum is divided by all steps."""
    together = parameters(per_channel(TABLES), [0, 1, 2, 3], CHANNELS, {})
    single = [parameters(TABLES[CHANNELS[at]], [at], None, {}) for at in range(4)]
    no_polarization = [replace(p, beam=replace(p.beam, polarized=False)) for p in (together, *single)]
    images = [simulate(p, compat="c", dtype=np.float64, precision="exact").image for p in no_polarization]
    np.testing.assert_allclose(images[0], sum(images[1:]) / 4.0, rtol=1e-13)
    assert np.array_equal(simulate(no_polarization[0], compat="c").image, images[0].astype(np.float32))


def test_boxes_of_other_sizes_are_filled_up():
    small, large = table(3, (2, 2, 2)), table(4, (3, 1, 5))
    both = per_channel([small, large], default_F=5.0)
    assert both.limits == (-3, 3, -2, 2, -5, 5) and both.table.shape == (2, 8, 6, 12) and both.tables == 2
    assert both.table[0, 3 + 1, 2 - 2, 5 + 2] == small.table[2 + 1, 2 - 2, 2 + 2] and both.table[0, 0, 0, 0] == 5.0
    assert both.table[1, 3 - 3, 2 + 1, 5 + 5] == large.table[3 - 3, 1 + 1, 5 + 5] and both.table[1, 0, 0, 0] == 5.0
    images = [
        simulate(parameters(factors, [0, 3], channels, {})).image
        for factors, channels in ((both, np.array([0, 0])), (small, None), (both, np.array([1, 1])), (large, None))
    ]
    assert np.array_equal(images[0], images[1]) and np.array_equal(images[2], images[3])


@pytest.mark.parametrize("name", ["square", "interpolated"])
def test_each_channel_has_its_own_gradient(name):
    p = parameters(per_channel(TABLES), [0, 1, 2, 3], CHANNELS, OPTIONS[name])
    factors = torch.tensor(p.crystal.structure_factors.table, requires_grad=True)
    weights = torch.from_numpy(np.random.default_rng(7).normal(size=(24, 24)))
    torch_simulate(p, structure_factors=factors).mul(weights).sum().backward()
    want = np.zeros(factors.shape)
    for at in range(4):
        alone = torch.tensor(TABLES[CHANNELS[at]].table, requires_grad=True)
        one = parameters(TABLES[CHANNELS[at]], [at], None, OPTIONS[name])
        torch_simulate(one, structure_factors=alone).mul(weights).sum().backward()
        want[CHANNELS[at]] += WEIGHTS[at] / WEIGHTS.sum() * alone.grad.numpy()
    np.testing.assert_allclose(factors.grad.numpy(), want, rtol=1e-10, atol=1e-12 * np.abs(want).max())
    assert all(np.abs(part).max() > 0.0 for part in want)


def test_adjoint_against_tangent_and_second_order():
    p = parameters(per_channel(TABLES), [0, 1, 2, 3], CHANNELS, {})
    generator = np.random.default_rng(8)
    factors = torch.from_numpy(p.crystal.structure_factors.table)
    change, weights = torch.from_numpy(generator.normal(size=factors.shape)), torch.from_numpy(generator.normal(size=(24, 24)))

    def image(f):
        return torch_simulate(p, structure_factors=f)

    _, tangent = torch.func.jvp(image, (factors,), (change,))
    _, pull = torch.func.vjp(image, factors)
    assert torch.dot(tangent.ravel(), weights.ravel()) == pytest.approx(float((pull(weights)[0] * change).sum()), rel=1e-11)
    # F enters squared: J of F along F is twice the image, but for what default_F gives, which there is none of where all is listed.
    full = parameters(per_channel([table(seed, (20, 23, 27)) for seed in range(3)]), [0, 1, 2, 3], CHANNELS, {})
    f = torch.from_numpy(full.crystal.structure_factors.table)
    value, along = torch.func.jvp(lambda f: torch_simulate(full, structure_factors=f), (f,), (f,))
    torch.testing.assert_close(along, 2.0 * value, rtol=1e-11, atol=0.0)
    # The Hessian's product with F is then the gradient itself.
    _, bent = torch.func.jvp(torch.func.grad(lambda f: (torch_simulate(full, structure_factors=f) * weights).sum()), (f,), (f,))
    gradient = torch.func.grad(lambda f: (torch_simulate(full, structure_factors=f) * weights).sum())(f)
    torch.testing.assert_close(bent, gradient, rtol=1e-9, atol=1e-12 * float(gradient.abs().max()))


def test_what_is_not_said_is_refused(tmp_path):
    several = per_channel(TABLES)
    with pytest.raises(InputError, match=r"has 3 tables: SourceList.channels must say"):
        simulate(parameters(several, [0, 1], None, {}))
    with pytest.raises(InputError, match=r"names table 3, and Crystal.structure_factors has 3, counted from 0"):
        simulate(parameters(several, [0, 1], np.array([0, 3]), {}))
    with pytest.raises(InputError, match=r"SourceList.channels must be 2 whole numbers"):
        parameters(several, [0, 1], np.array([0.0, 0.5]), {})
    with pytest.raises(InputError, match=r"3 tables of structure factors, and a file of them holds one"):
        write_hkl(tmp_path / "three.hkl", several)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"single tables"):
        per_channel([several])
    with pytest.raises(InputError, match=r"structure_factors has shape \(3, 13, 15, 17\)"):
        torch_simulate(parameters(several, [0], np.array([0]), {}), structure_factors=torch.zeros(13, 15, 17))
