"""Every replacement of the torch bridge, on many command lines: it moves the image, or is refused, or a warning says why it cannot."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import GOLDEN
from test_gradients import VALUES

from nanobragg_numba import InputError, SourceList, parameters_from_command_line
from nanobragg_numba.autograd import OVERRIDES, simulate
from nanobragg_numba.experiment.derive import derive_experiment

CELL = "-cell 40 50 60 80 95 100 -misset 10 20 30"
MATRIX = "-mat erl.mat"
REST = "-Na 5 -Nb 4 -Nc 3 -default_F 100 -lambda 1.3 -distance 60 -detpixels_f 9 -detpixels_s 7 -pixel 1.2 -oversample 1 -polar 0.7 -phi 5"
HEADER = f"{CELL} -Na 5 -Nb 4 -Nc 3 -default_F 100 -oversample 1 -polar 0.7 -phi 5"
BASE = f"{CELL} {REST}"
LINES = {
    "plain": BASE,
    "unrotated": f"{BASE} -phi 0",
    "sweep": f"{BASE} -osc 1 -phisteps 3",
    "one phi step": f"{BASE} -osc 1 -phisteps 1",
    "step size": f"{BASE} -osc 1 -phistep 0.5",
    "mosaic": f"{BASE} -mosaic 0.5 -mosaic_domains 3",
    "one domain": f"{BASE} -mosaic 0.5 -mosaic_domains 1",
    "no polarization factor": f"{BASE} -nopolar",
    "unpolarized": f"{BASE} -polar 0",
    "size": f"{BASE} -xtalsize 2e-5",
    "thickness": f"{BASE} -xtal_thickness 2e-5",
    "round": f"{BASE} -round_xtal",
    "gauss": f"{BASE} -gauss_xtal",
    "divergence": f"{BASE} -hdivrange 8 -hdivsteps 2 -vdivrange 4 -vdivsteps 3",
    "dispersion": f"{BASE} -dispersion 2 -dispsteps 3",
    "unpolarized divergence": f"{BASE} -polar 0 -hdivrange 8 -hdivsteps 3",
    "source file": f"{BASE} -sourcefile sources.txt",
    "close distance": BASE.replace("-distance 60", "-close_distance 58"),
    "flux": f"{BASE} -flux 1e18",
    "beam centre": f"{BASE} -Xbeam 4 -Ybeam 5",
    "denzo": f"{BASE} -denzo -Xbeam 4",
    "adxv": f"{BASE} -adxv -Xbeam 4 -Ybeam 5",
    "xds": f"{BASE} -xds",
    "dials": f"{BASE} -dials",
    "custom": f"{BASE} -fdet_vector 0 0 1 -twotheta 10 -pivot beam",
    "pix0": f"{BASE} -pix0_vector_mm 60 5 -6",
    "curved": f"{BASE} -curved_det",
    "curved, pix0": f"{BASE} -curved_det -pix0_vector_mm 60 5 -6",
    "point pixels": f"{BASE} -point_pixel",
    "sensor": f"{BASE} -detector_thick 400 -thicksteps 2 -detector_abs 250",
    "water": f"{BASE} -water 0.01",
    "resolution": f"{BASE} -dmin 2",
    "matrix": f"{MATRIX} {REST}",
    "matrix, source file": f"{MATRIX} {REST} -sourcefile sources.txt",
    "cell and matrix": f"{BASE} {MATRIX}",
    "all listed": f"{MATRIX} {REST} -hkl erl.hkl",
    "beyond the list": f"{MATRIX} {REST} -hkl block.hkl",
    "interpolated": f"{MATRIX} {REST} -hkl erl.hkl -interpolate",
    "mask": f"{HEADER} -mask mask.img -roi 30 37 28 33",
    "image header": f"{HEADER} -img header.img -roi 30 37 28 33",
}
IN_EACH = (
    "cell",
    "misset_deg",
    "n_cells",
    "beam_center_mm",
    "detector_rotations_deg",
    "pix0_mm",
    "mosaic_width_deg",
    "n_cells_off_diagonal",
)
"""Whose every component must matter; of a direction, one is its length."""


@pytest.fixture
def line(request, monkeypatch):
    monkeypatch.chdir(GOLDEN / "inputs")
    return parameters_from_command_line(LINES[request.param], compat="spec")


def start(name, parameters):
    """A value of that parameter near the one of the line."""
    if name == "structure_factors":
        factors = parameters.crystal.structure_factors
        return torch.ones(2, 2, 2, dtype=torch.float64) if factors is None else torch.tensor(factors.table) + 1.0
    sources = derive_experiment(parameters).sources
    if len(sources.wavelengths) > 1 and OVERRIDES[name].part == "sources":
        n = len(sources.wavelengths)
        columns = {
            "source_wavelengths_A": sources.wavelengths * 1e10 * np.linspace(1.0, 1.01, n),
            "source_directions": sources.directions + np.linspace(0.0, 0.02, 3 * n).reshape(n, 3),
            "source_weights": np.linspace(1.0, 2.0, n),
        }
        return torch.tensor(columns[name], dtype=torch.float64)
    return torch.tensor(VALUES[name], dtype=torch.float64)


def told(function):
    """What a call returns, and the bridge's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = function()
    return value, [str(warning.message) for warning in caught]


def image_and_gradient(parameters, compat, name, tensor):
    """The image, and the gradient of a sum of its pixels that weighs them all differently."""
    image = simulate(parameters, compat=compat, **{name: tensor})
    weights = torch.linspace(1.0, 2.0, image.numel(), dtype=torch.float64).reshape(image.shape)
    return image.detach(), torch.autograd.grad((image * weights).sum(), tensor)[0]


def outcome(name, parameters, compat):
    """What becomes of a replacement: "moves", "refused", "told", or what is wrong."""
    x = start(name, parameters)
    tensor = x.clone().requires_grad_()
    try:
        (image, gradient), said = told(lambda: image_and_gradient(parameters, compat, name, tensor))
    except InputError as refusal:
        assert name in str(refusal)
        return "refused"
    direction = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * x.abs().max()
    other = simulate(parameters, compat=compat, **{name: x + 1e-2 * direction})
    largest = float(image.abs().max())
    assert largest > 0.0
    moves = bool(((other - image).abs() > 1e-12 * largest).any())
    # A relative change of the parameter by 1 changes the image by more than rounding.
    slopes = gradient.abs() * x.abs().max() > 1e-9 * largest
    if not moves and not slopes.any():
        return "told" if any(text.startswith(f"{name}: ") for text in said) else "silent zero"
    if moves and slopes.any() and (name not in IN_EACH or slopes.all()):
        return "moves"
    return f"image moves: {moves}, gradient {gradient.tolist()}"


@pytest.mark.parametrize("compat", ["spec", "c"])
@pytest.mark.parametrize("line", LINES, indirect=True)
def test_every_replacement_moves_the_image_or_says_why_not(line, compat):
    found = {name: outcome(name, line, compat) for name in OVERRIDES}
    assert {name: result for name, result in found.items() if result not in ("moves", "refused", "told")} == {}
    assert list(found.values()).count("moves") >= 18, found


REFUSED = {
    "sweep": {"mosaic_width_deg"},
    "mosaic": {"mosaic_width_deg"},
    "mask": {"mosaic_width_deg"},
    "one phi step": {"osc_deg"},
    "step size": {"osc_deg", "mosaic_width_deg"},
    "one domain": {"mosaic_spread_deg", "mosaic_width_deg"},
    "no polarization factor": {"polarization", "polarization_axis"},
    "unpolarized": {"polarization_axis"},
    "size": {"n_cells"},
    "thickness": {"n_cells"},
    "close distance": {"distance_mm"},
    "flux": {"fluence"},
    "pix0": {"distance_mm", "close_distance_mm", "beam_center_mm"},
    "curved, pix0": {"distance_mm", "close_distance_mm", "beam_center_mm"},
    "matrix": {"cell"},
    "matrix, source file": {"cell"},
    "cell and matrix": {"cell"},
    "all listed": {"cell", "default_F"},
    "beyond the list": {"cell"},
    "interpolated": {"cell", "default_F"},
}


@pytest.mark.parametrize("line", LINES, indirect=True)
def test_what_is_refused_on_each_line(line, request):
    """Nothing is refused that has an effect: what remains of the table of rules on the plain line is what that line lacks."""
    name = request.node.callspec.params["line"]
    lacking = {"structure_factors"} if line.crystal.structure_factors is None else set()
    lacking |= {"fudge"} if line.crystal.shape == "square" else set()
    lacking |= {"n_cells_off_diagonal"} if line.crystal.shape != "gauss" else set()
    lacking |= {"source_weights"} if len(derive_experiment(line).sources.wavelengths) == 1 else set()
    found = set()
    for override in OVERRIDES:
        try:
            simulate(line, **{override: start(override, line)})
        except InputError:
            found.add(override)
    assert found == lacking | REFUSED.get(name, set())


@pytest.mark.parametrize("compat", ["spec", "c"])
def test_the_beam_centre_of_a_mask_gives_way(compat, monkeypatch):
    """In "c" a mask's header gives the second coordinate in metres; in both modes the one that is asked for has the last word."""
    monkeypatch.chdir(GOLDEN / "inputs")
    parameters = parameters_from_command_line(LINES["mask"], compat=compat)
    assert (parameters.detector.beam_center_y_m is not None) == (compat == "c")
    assert parameters.detector.beam_center_mm != (None, None)
    centre = torch.tensor((5.0, 6.0), dtype=torch.float64)
    plain = replace(parameters, detector=replace(parameters.detector, beam_center_mm=(5.0, 6.0), beam_center_y_m=None))
    assert torch.equal(simulate(parameters, compat=compat, beam_center_mm=centre), simulate(plain, compat=compat))


def weights_by_hand(parameters, weights):
    """The image as a weighted mean of images from one source each, from the list of rays of the whole beam."""
    sources = derive_experiment(parameters).sources
    total = torch.zeros(())
    for direction, wavelength, weight in zip(sources.directions, sources.wavelengths, weights, strict=True):
        one = SourceList(direction[None], np.ones(1), np.array([wavelength]))
        total = total + weight / sum(weights) * simulate(replace(parameters, beam=replace(parameters.beam, sources=one)))
    return total


@pytest.mark.parametrize("line", ["divergence", "dispersion", "source file"], indirect=True)
def test_weights_are_those_of_the_sources_that_are_there(line):
    n = len(derive_experiment(line).sources.wavelengths)
    weights = [1.0 + 0.5 * i for i in range(n)]
    tensor = torch.tensor(weights, dtype=torch.float64, requires_grad=True)
    image = simulate(line, source_weights=tensor)
    torch.testing.assert_close(image.detach(), weights_by_hand(line, weights), rtol=1e-6, atol=0.0)
    # d/dw_i of the weighted mean: the source's own image less the mean, over the sum of the weights.
    (slope,) = torch.autograd.grad(image.sum(), tensor)
    for i in (0, n - 1):
        alone = weights_by_hand(line, [float(j == i) for j in range(n)]).sum()
        assert slope[i] == pytest.approx(float((alone - image.detach().sum()) / sum(weights)), rel=1e-5)
    with pytest.raises(InputError, match=f"source_weights has {n + 1} sources, not {n}"):
        simulate(line, source_weights=torch.ones(n + 1))


def test_the_wavelength_moves_weighted_sources():
    """The mean wavelength of a dispersion has its effect beside the weights: gradient against a difference."""
    parameters = parameters_from_command_line(LINES["dispersion"])
    weights = torch.tensor((1.0, 2.0, 4.0), dtype=torch.float64)
    wavelength = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(simulate(parameters, source_weights=weights, wavelength_A=wavelength).sum(), wavelength)
    more, less = (simulate(parameters, source_weights=weights, wavelength_A=1.3 + step).sum() for step in (1e-6, -1e-6))
    assert float(slope) == pytest.approx(float((more - less) / 2e-6), rel=1e-5)
    with pytest.raises(InputError, match="wavelength_A has no effect where every source has a wavelength of its own"):
        simulate(parameters, source_wavelengths_A=torch.tensor((1.2, 1.3, 1.4)), wavelength_A=wavelength)


def test_a_cell_keeps_its_edges_where_the_orientation_strains():
    parameters = parameters_from_command_line(BASE)
    plain = simulate(parameters)
    grown = torch.eye(3, dtype=torch.float64) * 1.05
    torch.testing.assert_close(simulate(parameters, orientation=grown), plain, rtol=1e-9, atol=1e-9 * float(plain.max()))
    sheared = torch.eye(3, dtype=torch.float64)
    sheared[0, 1] = 0.01
    assert not torch.allclose(simulate(parameters, orientation=sheared), plain, rtol=1e-3)
    rows = torch.tensor(VALUES["real_space_matrix"], dtype=torch.float64)
    larger = simulate(parameters, real_space_matrix=rows, orientation=grown)
    # The orientation turns the reciprocal axes, so that what grows there shrinks here.
    torch.testing.assert_close(larger, simulate(parameters, real_space_matrix=rows / 1.05), rtol=1e-9, atol=1e-9 * float(larger.max()))


def test_where_interpolation_sets_in(monkeypatch):
    monkeypatch.chdir(GOLDEN / "inputs")
    parameters = parameters_from_command_line(f"{LINES['all listed']} -pixel 4")

    def jump(parameters):
        below, above = (simulate(parameters, n_cells=torch.tensor((2.0 + step, 4.0, 5.0), dtype=torch.float64)) for step in (-1e-9, 1e-9))
        return float((above - below).abs().max() / below.max())

    # The smooth change over 2e-9 of a cell is some 1e-9 of the brightest pixel.
    assert jump(parameters) > 1e-5
    for fixed in (True, False):
        assert jump(replace(parameters, crystal=replace(parameters.crystal, interpolate=fixed))) < 1e-7


def test_the_images_shape_follows_the_pixel_where_only_the_size_is_given():
    parameters = parameters_from_command_line(f"{CELL} -N 5 -default_F 100 -lambda 1.3 -distance 60 -detsize 12 -pixel 1.2 -oversample 1")
    assert simulate(parameters, pixel_size_mm=1.2).shape == (10, 10)
    assert simulate(parameters, pixel_size_mm=1.5).shape == (8, 8)
    fixed = replace(parameters, detector=replace(parameters.detector, pixels=(10, 10)))
    assert simulate(fixed, pixel_size_mm=1.5).shape == (10, 10)


def test_a_remark_where_a_gradient_is_exactly_0():
    """A flat spot's edge has no derivative: the image moves, its gradient is 0, and that is said once."""
    flat = parameters_from_command_line(f"{BASE} -tophat_spots -fudge 0.01")
    misset = torch.tensor(VALUES["misset_deg"], dtype=torch.float64, requires_grad=True)
    _, said = told(lambda: image_and_gradient(flat, "spec", "misset_deg", misset))
    assert said == ["misset_deg: its gradient is exactly 0 at these values; see docs/derivatives.md"]
    # A loss of a few pixels may well be blind.
    few = torch.zeros(7, 9, dtype=torch.float64)
    few[0, 0] = 1.0
    _, said = told(lambda: torch.autograd.grad((simulate(flat, misset_deg=misset) * few).sum(), misset))
    assert said == []
