"""Seeds that nobody gave: another for each image, told, and enough to make the image again."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import nanobragg

import nanobragg_numba.autograd.simulation as differentiable
from nanobragg_numba import InputError, Sampling, parameters_from_command_line, poisson_image, simulate, simulate_batch
from nanobragg_numba.experiment.seeds import LARGEST, fresh_seed

LINE = "-cell 50 60 70 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 50 -detpixels 12 -pixel 1 -oversample 1"
RANDOM = parameters_from_command_line(f"{LINE} -misset random")


def seeded(parameters, seed: int):
    return replace(parameters, crystal=replace(parameters.crystal, misset_seed=seed))


def test_fresh_seeds_differ_and_stay_in_the_generators_period():
    seeds = {fresh_seed() for _ in range(2000)}
    assert len(seeds) > 1990 and min(seeds) >= 1 and max(seeds) <= LARGEST == 2**31 - 2


@pytest.mark.parametrize("compat", ["spec", "c"])
def test_each_random_still_is_another_and_can_be_made_again(compat):
    first, second = (simulate(RANDOM, compat=compat) for _ in range(2))
    assert first.seeds.misset != second.seeds.misset and not np.array_equal(first.image, second.image)
    assert first.seeds.noise != second.seeds.noise and first.seeds.mosaic == RANDOM.crystal.mosaic_seed
    again = simulate(seeded(RANDOM, first.seeds.misset), compat=compat)
    assert np.array_equal(again.image, first.image) and again.seeds.misset == first.seeds.misset


def test_a_batch_has_a_seed_for_each_image():
    images = simulate_batch([RANDOM] * 5)
    pictures = [image.copy() for image in images]
    assert len({seeds.misset for seeds in images.seeds}) == len({seeds.noise for seeds in images.seeds}) == 5
    assert len({picture.tobytes() for picture in pictures}) == 5
    for picture, seeds in zip(pictures, images.seeds, strict=True):
        assert np.array_equal(simulate(seeded(RANDOM, seeds.misset)).image, picture)


def test_noise_of_neighbours_does_not_correlate():
    images = simulate_batch([RANDOM] * 2)
    flat = np.full((60, 60), 50.0, np.float32)
    one, other = (poisson_image(flat, seeds.noise).ravel() for seeds in images.seeds)
    # Of 3600 pairs: five standard deviations.
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / 60


def test_the_command_tells_its_seeds_and_they_make_the_files_again(tmp_path, capfdbinary):
    words = [*LINE.split(), "-misset", "random", "-compat", "spec"]
    runs = [nanobragg(words, tmp_path / str(n), capfdbinary) for n in range(2)]
    told = [re.search(r"nanoBragg: fresh seeds; (-misset_seed \d+ -seed \d+) makes the same again\n", run.stderr) for run in runs]
    assert all(told) and told[0][1] != told[1][1]
    again = nanobragg([*words, *told[0][1].split()], tmp_path / "again", capfdbinary)
    assert again.files() == runs[0].files() != runs[1].files() and "seed" not in again.stderr
    still = nanobragg([*LINE.split(), "-compat", "spec"], tmp_path / "still", capfdbinary)
    assert re.search(r"fresh seeds; -seed \d+ makes", still.stderr)
    assert "seed" not in nanobragg([*LINE.split(), "-compat", "spec", "-nonoise"], tmp_path / "quiet", capfdbinary).stderr


def test_c_takes_the_clock(tmp_path, capfdbinary, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1234567890.7)
    clock = nanobragg([*LINE.split(), "-misset", "random"], tmp_path / "clock", capfdbinary)
    given = nanobragg(
        [*LINE.split(), "-misset_seed", "1234567890", "-misset", "random", "-seed", "1234567890"], tmp_path / "b", capfdbinary
    )
    assert b"seed: -1234567890\n" in clock.stdout and "fresh" not in clock.stderr
    assert clock.files() == given.files() and clock.stdout == given.stdout


def test_an_image_and_its_derivatives_have_one_orientation(monkeypatch):
    """Every seed asked for is another: a second one, for the derivatives, would show."""
    asked = []

    def counted() -> int:
        asked.append(1000 + len(asked))
        return asked[-1]

    monkeypatch.setattr(differentiable, "fresh_seed", counted)

    def gradient(parameters):
        phi = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
        image = differentiable.simulate(parameters, phi_deg=phi)
        (first,) = torch.autograd.grad(image[3, 4], phi, create_graph=True)
        (second,) = torch.autograd.grad(first, phi)
        return image.detach(), first.detach(), second

    for seed in (1000, 1001):
        for got, want in zip(gradient(RANDOM), gradient(seeded(RANDOM, seed)), strict=True):
            assert torch.equal(got, want) and bool(got.any())
    assert asked == [1000, 1001]


def test_a_simulator_keeps_its_orientation():
    from nanobragg_numba.autograd import Simulator

    simulator = Simulator(RANDOM, {"phi_deg": 1.0})
    one, two = simulator().detach(), simulator().detach()
    assert torch.equal(one, two)
    assert not torch.equal(one, Simulator(RANDOM, {"phi_deg": 1.0})().detach())
    again = Simulator(seeded(RANDOM, simulator.model.crystal.misset_seed), {"phi_deg": 1.0})().detach()
    assert torch.equal(one, again)


def test_rotated_vectors_of_a_random_orientation_need_its_seed():
    crystal = RANDOM.crystal
    with pytest.raises(InputError, match=r"Crystal\.misset_seed is needed"):
        crystal.rotated_real_vectors(Sampling())
    run = simulate(RANDOM)
    a = seeded(RANDOM, run.seeds.misset).crystal.rotated_real_vectors(Sampling()).real[0][0, 0]
    assert np.array_equal(a, run.experiment.tables.crystal.orientations[0, :3] * 1e10)
