"""Many shots in one differentiable call, and shoeboxes: the loop over single images is what they must equal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import nanobragg_numba
from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.autograd import Simulator, many_shots, shot_point, simulate
from nanobragg_numba.autograd.overrides import plain_values, replaced

LINE = "-cell 60 70 80 90 95 90 -default_F 100 -N 6 -lambda 1 -distance 80 -detpixels 40 -pixel 0.4 -oversample 1 -misset 5 7 9"
P = parameters_from_command_line(LINE)
SHOTS = 3
RANDOM = np.random.default_rng(11)
EACH = {
    "misset_deg": torch.from_numpy(RANDOM.normal(size=(SHOTS, 3))),
    "fluence": torch.from_numpy(1e29 * RANDOM.uniform(0.5, 2.0, SHOTS)),
}
SHARED = {
    "cell": torch.tensor([60.0, 70.0, 80.0, 90.0, 95.0, 90.0], dtype=torch.float64),
    "distance_mm": torch.tensor(80.0, dtype=torch.float64),
}
WEIGHTS = torch.from_numpy(RANDOM.normal(size=(SHOTS, 40, 40)))
BOXES = [[(3, 11, 5, 12), (9, 20, 8, 9), (30, 50, 35, 44)], [], [(0, 40, 0, 2), (17, 18, 20, 21)]]
MODES = ["spec", "c", "c-fixed"]


def leaves(values):
    return {name: tensor.clone().requires_grad_() for name, tensor in values.items()}


def wanted_pixels(boxes):
    """(slow, fast) bool, drawn pixel by pixel."""
    return torch.tensor([[any(f <= x < fe and s <= y < se for f, fe, s, se in boxes) for x in range(40)] for y in range(40)])


@pytest.mark.parametrize("compat", MODES)
def test_shots_are_the_loop_over_them(compat):
    each, shared = leaves(EACH), leaves(SHARED)
    images = simulate(P, compat=compat, **each, **shared)
    assert images.shape == (SHOTS, 40, 40)
    (images * WEIGHTS).sum().backward()
    again = leaves(SHARED)
    for shot in range(SHOTS):
        own = leaves({name: tensor[shot] for name, tensor in EACH.items()})
        image = simulate(P, compat=compat, **own, **again)
        assert torch.equal(image, images[shot])
        (image * WEIGHTS[shot]).sum().backward()
        for name, leaf in own.items():
            torch.testing.assert_close(each[name].grad[shot], leaf.grad, rtol=1e-12, atol=0.0)
    for name, leaf in again.items():
        torch.testing.assert_close(shared[name].grad, leaf.grad, rtol=1e-12, atol=1e-12 * float(leaf.grad.abs().max()))


@pytest.mark.parametrize("compat", MODES)
def test_shoeboxes_are_pixels_of_the_image(compat):
    each, shared = leaves(EACH), leaves(SHARED)
    boxes = simulate(P, compat=compat, regions=BOXES, **each, **shared)
    images = simulate(P, compat=compat, **EACH, **SHARED)
    wanted = torch.stack([wanted_pixels(own) for own in BOXES])
    assert torch.equal(boxes.index, wanted.nonzero()) and len(boxes.values) == len(boxes.index) > 100
    torch.testing.assert_close(boxes.values, images[wanted], rtol=0.0, atol=0.0)
    # The gradients are those of the whole images where the loss looks at these pixels only.
    (boxes.values * WEIGHTS[wanted]).sum().backward()
    whole_each, whole_shared = leaves(EACH), leaves(SHARED)
    (simulate(P, compat=compat, **whole_each, **whole_shared) * torch.where(wanted, WEIGHTS, 0.0)).sum().backward()
    for name, leaf in {**each, **shared}.items():
        other = {**whole_each, **whole_shared}[name].grad
        torch.testing.assert_close(leaf.grad, other, rtol=1e-11, atol=1e-12 * float(other.abs().max()))
    assert not each["misset_deg"].grad[1].any() and each["misset_deg"].grad[2].all()


def test_forward_mode_and_second_order_of_shoeboxes():
    wanted = torch.stack([wanted_pixels(own) for own in BOXES])
    changes = {name: torch.from_numpy(RANDOM.normal(size=tensor.shape)) for name, tensor in SHARED.items()}

    def boxes(values):
        return simulate(P, regions=BOXES, **EACH, **values).values

    def pixels(values):
        return simulate(P, **EACH, **values)[wanted]

    def loss(function):
        return lambda values: function(values).square().sum()

    scale = float(pixels(SHARED).max())
    for function, other in ((boxes, pixels), (torch.func.grad(loss(boxes)), torch.func.grad(loss(pixels)))):
        (value, change), (want, want_change) = (torch.func.jvp(f, (SHARED,), (changes,)) for f in (function, other))
        torch.testing.assert_close(value, want, rtol=1e-10, atol=1e-12 * scale)
        torch.testing.assert_close(change, want_change, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("name", [*EACH, *SHARED])
def test_gradients_of_shoeboxes_against_differences(name):
    values = {**EACH, **SHARED}
    boxes = BOXES[0]
    one = {key: value[0] if key in EACH else value for key, value in values.items() if key != name}
    size = {"fluence": 1e29, "misset_deg": 1.0}.get(name, 10.0)

    def function(x):
        return simulate(P, regions=boxes, **{name: x * size}, **one).values * 1e-3

    leaf = ((values[name][0] if name in EACH else values[name]) / size).requires_grad_()
    assert torch.autograd.gradcheck(function, leaf, eps=1e-6, atol=1e-4, rtol=1e-4)


def test_regions_in_all_their_forms():
    masks = torch.stack([wanted_pixels(own) for own in BOXES])
    by_boxes = simulate(P, regions=BOXES, **EACH)
    by_masks = simulate(P, regions=masks, **EACH)
    assert torch.equal(by_boxes.index, by_masks.index) and torch.equal(by_boxes.values, by_masks.values)
    same = simulate(P, regions=BOXES[0], **EACH)
    assert torch.equal(same.index[:, 0].unique(), torch.arange(SHOTS)) and len(same.values) == SHOTS * int(masks[0].sum())
    assert torch.equal(same.values, simulate(P, regions=masks[0].numpy(), **EACH).values)
    alone = simulate(P, regions=BOXES[0], misset_deg=EACH["misset_deg"][0])
    assert torch.equal(alone.index[:, 1:], masks[0].nonzero()) and not alone.index[:, 0].any()
    assert len(simulate(P, regions=[], misset_deg=EACH["misset_deg"][0]).values) == 0
    # What is masked out, or outside the window, is no pixel of a region.
    mask = np.ones((40, 40))
    mask[6, 4] = 0
    hidden = replace(P, detector=replace(P.detector, mask=mask, roi=(4, 39, 0, 39)))
    shown = simulate(hidden, regions=[(3, 6, 5, 8)]).index[:, 1:].tolist()
    assert shown == [[5, 4], [5, 5], [6, 5], [7, 4], [7, 5]]


def test_parameters_of_each_shot():
    several = [replace(P, crystal=replace(P.crystal, misset_deg=tuple(map(float, misset)))) for misset in EACH["misset_deg"]]
    assert torch.equal(simulate(several, fluence=EACH["fluence"]), simulate(P, **EACH))
    cell = SHARED["cell"].clone().requires_grad_()
    (simulate(several, cell=cell, dtype=torch.float64) * WEIGHTS).sum().backward()
    other = SHARED["cell"].clone().requires_grad_()
    (simulate(P, misset_deg=EACH["misset_deg"], cell=other) * WEIGHTS).sum().backward()
    torch.testing.assert_close(cell.grad, other.grad, rtol=1e-12, atol=0.0)


def test_a_module_of_many_shots():
    model = Simulator(P, {"misset_deg": EACH["misset_deg"], "cell": SHARED["cell"]}, fixed={"fluence": EACH["fluence"]})
    assert torch.equal(model(), simulate(P, **EACH, cell=SHARED["cell"]))
    model(regions=BOXES).values.sum().backward()
    assert model.misset_deg.grad.shape == (SHOTS, 3) and model.cell.grad.shape == (6,)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"misset_deg": torch.zeros(2, 3), "fluence": torch.ones(3)}, "the shots differ in number: misset_deg has 2, fluence has 3"),
        ({"misset_deg": torch.zeros(0, 3)}, "misset_deg has 0"),
        ({"misset_deg": torch.zeros(2, 3, 3)}, r"misset_deg has shape \(3,\)"),
        ({"misset_deg": torch.zeros(2, 3), "regions": [[(0, 1, 0, 1)]] * 3}, "for each of the 2 shots, not for 3"),
        ({"regions": np.ones((40, 41), bool)}, r"the image's shape \(40, 40\), not \(40, 41\)"),
        ({"regions": [(5, 3, 0, 1)]}, "must not end before it starts"),
        ({"regions": [(0, 1, 0)]}, "four whole numbers"),
    ],
)
def test_what_cannot_be_is_refused(given, says):
    with pytest.raises(InputError, match=says):
        simulate(P, **given)


SWEPT = parameters_from_command_line(
    f"{LINE} -phi 3 -osc 1 -phisteps 2 -mosaic 0.7 -mosaic_domains 3 -polar 0.6 -dispersion 2 -dispsteps 2"
)
OF_SWEPT = {
    "orientation": torch.from_numpy(np.linalg.qr(np.eye(3) + 0.1 * RANDOM.normal(size=(SHOTS, 3, 3)))[0]),
    "cell": torch.tensor([60.0, 70.0, 80.0, 90.0, 95.0, 90.0], dtype=torch.float64) * torch.linspace(1.0, 1.01, SHOTS)[:, None],
    "n_cells": torch.from_numpy(RANDOM.uniform(5.0, 7.0, (SHOTS, 3))),
    "mosaic_spread_deg": torch.tensor(0.7, dtype=torch.float64),
    "distance_mm": torch.linspace(79.0, 81.0, SHOTS, dtype=torch.float64),
    "detector_rotations_deg": torch.from_numpy(RANDOM.normal(size=3)),
    "polarization_axis": torch.from_numpy(RANDOM.normal(size=(SHOTS, 3))),
    "source_weights": torch.tensor([1.0, 2.0], dtype=torch.float64),
    "water_um": torch.linspace(1.0, 2.0, SHOTS, dtype=torch.float64),
}
OF_SWEPT["orientation"] *= torch.linalg.det(OF_SWEPT["orientation"]).sign()[:, None, None]


def of_shot(values, shot):
    return {name: tensor[shot] if len(tensor.shape) and len(tensor) == SHOTS and name not in ("detector_rotations_deg",) else tensor
            for name, tensor in values.items()}  # fmt: skip


def test_shots_of_a_sweep_are_the_command_lines_images(monkeypatch):
    """Bit for bit, from host formulas that were recorded once and replayed: only the first shot's experiment is derived."""
    derived, real = [], shot_point.Given.derived
    monkeypatch.setattr(shot_point.Given, "derived", lambda self, shot: derived.append(shot) or real(self, shot))
    images = simulate(SWEPT, dtype=torch.float32, **OF_SWEPT)
    assert derived == [0]
    for shot in range(SHOTS):
        values = plain_values(of_shot(OF_SWEPT, shot))
        assert np.array_equal(images[shot].numpy(), nanobragg_numba.simulate(replaced(SWEPT, values, "spec")).image)


@pytest.mark.parametrize("name", OF_SWEPT)
def test_replayed_formulas_have_the_derivatives_of_torchs_graph(name, monkeypatch):
    """The kernels of many shots against those of one image, whose host formulas torch differentiates."""
    boxes = [(5, 20, 8, 22)]

    def gradient_and_change():
        leaf = OF_SWEPT[name].clone().requires_grad_()
        others = {other: tensor for other, tensor in OF_SWEPT.items() if other != name}

        def values(x):
            return simulate(SWEPT, regions=boxes, **others, **{name: x}).values

        weights = torch.from_numpy(np.random.default_rng(2).normal(size=SHOTS * 15 * 14))
        (gradient,) = torch.autograd.grad((values(leaf) * weights).sum(), leaf)
        direction = torch.from_numpy(np.random.default_rng(3).normal(size=leaf.shape))
        return gradient, torch.func.jvp(values, (leaf.detach(),), (direction,))[1]

    found = gradient_and_change()
    monkeypatch.setattr(many_shots, "point_at", lambda *_: None)
    for one, other in zip(found, gradient_and_change(), strict=True):
        assert one.shape == other.shape and other.any()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11 * float(other.abs().max()))


CRYSTALS = (0, 1, 0)
"""Of three rows the first and the last are crystals of one shot."""


@pytest.mark.parametrize("compat", MODES)
def test_crystals_of_one_shot_are_added(compat):
    each, shared = leaves(EACH), leaves(SHARED)
    apart = simulate(P, compat=compat, **each, **shared)
    wanted = torch.stack([apart[0] + apart[2], apart[1]])
    images = simulate(P, compat=compat, shot=CRYSTALS, **each, **shared)
    assert images.shape == (2, 40, 40) and torch.equal(images, wanted)
    boxes = simulate(P, compat=compat, shot=torch.tensor(CRYSTALS), regions=BOXES[::2], **each, **shared)
    inside = torch.stack([wanted_pixels(own) for own in BOXES[::2]])
    assert torch.equal(boxes.index, inside.nonzero())
    torch.testing.assert_close(boxes.values, wanted[inside], rtol=1e-15, atol=0.0)
    names, tensors = list({**each, **shared}), [*each.values(), *shared.values()]
    weights = WEIGHTS[:2]
    for one, other in (((images * weights).sum(), (wanted * weights).sum()), (boxes.values.square().sum(), wanted[inside].square().sum())):
        found, sought = (torch.autograd.grad(loss, tensors, retain_graph=True) for loss in (one, other))
        for name, x, y in zip(names, found, sought, strict=True):
            assert y.any(), name
            torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-12 * float(y.abs().max()))


def test_gradcheck_of_crystals_of_one_shot():
    def function(misset, cell):
        return 1e-3 * simulate(P, shot=CRYSTALS, regions=BOXES[0], misset_deg=misset, cell=cell).values

    assert torch.autograd.gradcheck(
        function, (EACH["misset_deg"].clone().requires_grad_(), SHARED["cell"].clone().requires_grad_()), atol=1e-4
    )


def test_a_module_of_crystals():
    model = Simulator(P, {"misset_deg": EACH["misset_deg"]}, fixed={"fluence": EACH["fluence"]}, shot=CRYSTALS)
    assert torch.equal(model(), simulate(P, shot=CRYSTALS, **EACH))


@pytest.mark.parametrize("shot", [(0, 1), (0, 2, 0), (0.0, 1.0, 0.0), (-1, 0, 1), 3])
def test_crystals_that_belong_to_no_shot_are_refused(shot):
    with pytest.raises(InputError, match="shot must"):
        simulate(P, shot=shot, **EACH)
    with pytest.raises(InputError, match="shot must hold"):
        simulate(P, shot=(0,))


def test_regions_of_an_image_whose_shape_follows_from_the_pixel_are_refused():
    by_size = replace(P, detector=replace(P.detector, pixels=(0, 0), size_mm=(16.0, 16.0)))
    with pytest.raises(InputError, match=r"regions are of an image of \(40, 40\) pixels .* \(32, 32\)"):
        simulate(by_size, regions=BOXES[0], pixel_size_mm=0.5)
    assert len(simulate(by_size, regions=BOXES[0], pixel_size_mm=0.4).values) == int(wanted_pixels(BOXES[0]).sum())


def test_shots_whose_formulas_are_decided_otherwise():
    """Crystals thinner than a cell count as one cell thick: of these the gradient is zero, in a call with others, too."""
    cells = torch.tensor([[6.0, 0.5, 6.0], [6.0, 6.0, 6.0], [3.0, 7.0, 0.2]], dtype=torch.float64, requires_grad=True)
    (simulate(P, n_cells=cells) * WEIGHTS).sum().backward()
    for shot in range(SHOTS):
        own = cells[shot].detach().clone().requires_grad_()
        (simulate(P, n_cells=own) * WEIGHTS[shot]).sum().backward()
        torch.testing.assert_close(cells.grad[shot], own.grad, rtol=1e-12, atol=0.0)
    assert (cells.grad == 0.0).tolist() == [[False, True, False], [False] * 3, [False, False, True]]


def test_each_shot_has_the_reach_of_its_own_spots():
    """Sharp and wide Gaussian spots beside one another, from the widest to the sharpest and back: the images of one by one."""
    parameters = parameters_from_command_line(
        "-cell 60 70 80 90 95 90 -default_F 100 -N 20 -lambda 1 -distance 80 -detpixels 40 -pixel 0.4 -oversample 1 -gauss_xtal "
        "-mosaic 0.3 -mosaic_domains 4 -fluence 1e28"
    )
    cells = torch.tensor([[4.0, 5.0, 6.0], [80.0, 90.0, 100.0], [30.0, 3.0, 70.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    together = simulate(parameters, n_cells=cells, dtype=torch.float32)
    for own, image in zip(cells.tolist(), together.numpy(), strict=True):
        crystal = replace(parameters.crystal, n_cells=tuple(own))
        assert np.array_equal(image, nanobragg_numba.simulate(replace(parameters, crystal=crystal)).image)
        assert image.max() > 0.0
