"""torch's gradcheck for every parameter that a tensor can replace."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_simulate import EVERYTHING, TILTED

from nanobragg_numba import Parameters, Sampling
from nanobragg_numba.autograd import OVERRIDES, simulate
from nanobragg_numba.experiment.structure_factors import from_arrays

SMALL = replace(EVERYTHING, detector=replace(EVERYTHING.detector, pixels=(5, 4), pixel_size_mm=1.8))
ONE_STEP = replace(TILTED, detector=replace(TILTED.detector, pixels=(6, 5), pixel_size_mm=1.6))


def with_table(parameters: Parameters, interpolate: bool) -> Parameters:
    """Structure factors for all reflections near, all different."""
    hkl = np.array([(h, k, l) for h in range(-5, 6) for k in range(-6, 7) for l in range(-8, 9)])
    factors = from_arrays(hkl, 100 + 20 * np.sin(hkl @ np.array([1.0, 2.0, 3.0])))
    return replace(parameters, crystal=replace(parameters.crystal, structure_factors=factors, interpolate=interpolate))


def shaped(parameters: Parameters, shape: str, fudge: float) -> Parameters:
    return replace(parameters, crystal=replace(parameters.crystal, shape=shape, fudge=fudge))


def curved(parameters: Parameters) -> Parameters:
    return replace(parameters, detector=replace(parameters.detector, curved=True))


def divergent(parameters: Parameters) -> Parameters:
    """Directions and wavelengths in place of a list of sources."""
    spread = {
        "hdivrange_mrad": 8.0,
        "hdivsteps": 2,
        "vdivrange_mrad": 4.0,
        "vdivsteps": 2,
        "dispersion_percent": 2.0,
        "dispersion_steps": 2,
    }
    return replace(parameters, beam=replace(parameters.beam, sources=None, round_divergence=False, **spread))


def wide(parameters: Parameters, domains: int) -> Parameters:
    """A still with domains enough for Gaussian mosaicity."""
    crystal = replace(parameters.crystal, mosaic_spread_deg=None, mosaic_width_deg=(0.6, 0.1, 0.3), mosaic_domains=domains)
    return replace(parameters, crystal=crystal, sampling=replace(parameters.sampling, phi_deg=20.0, osc_deg=None, phisteps=None))


SETTINGS = {
    "one step": ONE_STEP,
    "everything": SMALL,
    "round": shaped(SMALL, "round", 0.3),
    "gauss": shaped(SMALL, "gauss", 0.5),
    "listed": with_table(SMALL, False),
    "tricubic": with_table(SMALL, True),
    "curved": curved(SMALL),
    "divergent": divergent(SMALL),
    "one step, turned": replace(ONE_STEP, sampling=replace(ONE_STEP.sampling, phi_deg=20.0)),
    "one step, wide": wide(ONE_STEP, 7),
    "wide": wide(SMALL, 6),
    "one step, round": shaped(ONE_STEP, "round", 0.3),
    "one step, gauss": shaped(ONE_STEP, "gauss", 0.5),
    "one step, listed": with_table(ONE_STEP, False),
    "one step, tricubic": with_table(ONE_STEP, True),
}
QUATERNION = (0.99, 0.02, -0.03, 0.05)
TURN = ((0.9998, -0.0175, 0.0), (0.0175, 0.9998, 0.01), (0.001, -0.01, 0.9999))
REAL = ((39.0, 3.0, -2.0), (-8.0, 48.0, 5.0), (3.0, -6.0, 58.0))
ROTATIONS = ((TURN), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
VALUES = {
    "phi_deg": 0.3,
    "osc_deg": 1.5,
    "spindle_axis": (0.1, 0.2, 0.9),
    "misset_deg": (10.0, 20.0, 30.0),
    "orientation": TURN,
    "cell": (40.0, 50.0, 60.0, 80.0, 95.0, 100.0),
    "real_space_matrix": REAL,
    "n_cells": (5.0, 4.2, 3.0),
    "n_cells_off_diagonal": (0.8, -0.5, 0.7),
    "mosaic_spread_deg": 0.6,
    "mosaic_width_deg": (0.3, 0.5, 0.4),
    "mosaic_rotations": ROTATIONS,
    "wavelength_A": 1.3,
    "source_wavelengths_A": (1.3, 1.28, 1.31),
    "source_directions": ((-10.0, 0.0, 0.01), (-10.0, 0.02, 0.0), (-10.0, -0.03, 0.01)),
    "source_weights": (1.0, 3.0, 0.5),
    "distance_mm": 60.0,
    "close_distance_mm": 58.0,
    "beam_center_mm": (4.0, 4.5),
    "detector_rotations_deg": (3.0, -4.0, 5.0),
    "twotheta_deg": 7.0,
    "pix0_mm": (55.0, 4.0, -5.0),
    "detector_vectors": ((0.05, 0.1, 1.0), (0.02, -1.0, 0.1), (1.0, 0.02, -0.05)),
    "pixel_size_mm": 1.6,
    "fluence": 1e29,
    "polarization": 0.3,
    "polarization_axis": (0.1, 0.2, 0.9),
    "structure_factors": None,
    "default_F": 90.0,
    "water_um": 0.012,
    "fudge": 0.4,
}
# Round and Gaussian spots, and listed structure factors, have kinks where the nearest reflection changes: a setting in which a finite
# difference steps over one proves nothing about the derivative.
# Where a parameter needs other settings than these two to have an effect.
DEFAULT_SETTINGS = ("one step", "everything")
OTHERS = {
    "spindle_axis": ("one step, turned", "everything", "round"),
    "source_weights": ("everything", "curved"),
    "wavelength_A": ("one step", "divergent"),
    "polarization_axis": ("everything", "divergent"),
    "structure_factors": ("one step, listed", "one step, tricubic", "listed", "tricubic"),
    "fudge": ("one step, round", "one step, gauss", "round", "gauss"),
    "mosaic_spread_deg": ("everything", "curved"),
    "mosaic_width_deg": ("one step, wide", "wide"),
    "mosaic_rotations": ("everything", "divergent"),
    "cell": ("one step", "everything", "gauss", "tricubic", "curved"),
    "n_cells": ("one step", "everything", "round", "gauss"),
    "n_cells_off_diagonal": ("one step, gauss", "gauss"),
    "misset_deg": ("one step", "everything", "round", "listed"),
    "detector_rotations_deg": ("one step", "everything", "curved"),
    "distance_mm": ("one step", "curved"),
    "twotheta_deg": ("one step", "everything", "curved"),
}
CASES = [(name, setting) for name in OVERRIDES for setting in OTHERS.get(name, DEFAULT_SETTINGS)]


def tensor_for(name: str, parameters: Parameters) -> torch.Tensor:
    if name == "structure_factors":
        return torch.tensor(parameters.crystal.structure_factors.table[:-1, :-1, :-1], requires_grad=True)
    return torch.tensor(VALUES[name], dtype=torch.float64, requires_grad=True)


def scaled(parameters: Parameters, name: str, compat: str = "spec"):
    """The image as a function of one parameter, at most 1, so that gradcheck's absolute tolerance means something."""
    start = tensor_for(name, parameters)
    largest = float(simulate(parameters, compat=compat, **{name: start.detach()}).max())
    # The step of finite differences is absolute: a fluence of 1e29 and the like take a factor of their own.
    unit = float(start.detach().abs().max()) if name in ("fluence",) else 1.0
    return (lambda x: simulate(parameters, compat=compat, **{name: x * unit}) / largest), (start / unit).detach().requires_grad_()


def test_every_override_has_a_case():
    assert set(VALUES) == set(OVERRIDES)
    for name in OVERRIDES:
        assert len([case for case in CASES if case[0] == name]) >= 2, name


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_gradcheck(name, setting):
    function, start = scaled(SETTINGS[setting], name)
    (gradient,) = torch.autograd.grad(function(start).sum(), start)
    assert gradient.abs().max() > 1e-6
    if name == "structure_factors":
        # Of a few thousand structure factors, some near the image's reflections.
        base = start.detach()
        place = (slice(4, 7), slice(5, 8), slice(7, 10))

        def few(x):
            table = base.clone()
            table[place] = x
            return function(table)

        assert torch.autograd.gradcheck(few, [base[place].clone().requires_grad_()])
        return
    if name == "fluence":
        assert torch.autograd.gradcheck(function, [start])
        return
    assert torch.autograd.gradcheck(function, [start], check_forward_ad=True)


@pytest.mark.parametrize("name", ["phi_deg", "misset_deg", "cell", "orientation", "spindle_axis", "wavelength_A", "n_cells", "pix0_mm"])
def test_gradgradcheck(name):
    function, start = scaled(SETTINGS["divergent" if name == "wavelength_A" else "everything"], name)
    assert torch.autograd.gradgradcheck(function, [start])


@pytest.mark.parametrize(("name", "setting"), [("cell", "gauss"), ("misset_deg", "round"), ("misset_deg", "tricubic")])
def test_gradgradcheck_of_other_shapes(name, setting):
    function, start = scaled(SETTINGS[setting], name)
    assert torch.autograd.gradgradcheck(function, [start])


@pytest.mark.parametrize(
    "name",
    [
        "phi_deg",
        "osc_deg",
        "misset_deg",
        "cell",
        "n_cells",
        "wavelength_A",
        "distance_mm",
        "detector_rotations_deg",
        "polarization",
        "water_um",
    ],
)
@pytest.mark.parametrize("thick", [True, False])
def test_gradcheck_with_the_references_quirks(name, thick):
    parameters = SMALL if thick else replace(SMALL, detector=replace(SMALL.detector, thickness_um=0.0, layers=None))
    function, start = scaled(divergent(parameters) if name == "wavelength_A" else parameters, name, "c")
    assert torch.autograd.gradcheck(function, [start], check_forward_ad=True)


@pytest.mark.parametrize("name", ["osc_deg", "cell"])
def test_gradcheck_of_the_repaired_reference(name):
    """A sweep from phi = 0, whose steps turn by their own angles; in "c" the first would carry over the second's."""
    sweep = replace(SMALL, sampling=replace(SMALL.sampling, phi_deg=0.0, phisteps=2))
    function, start = scaled(sweep, name, "c-fixed")
    assert torch.autograd.gradcheck(function, [start], check_forward_ad=True)
    (slope,) = torch.autograd.grad(function(start).sum(), start)
    (carried,) = torch.autograd.grad(scaled(sweep, name, "c")[0](start).sum(), start)
    assert (slope - carried).abs().max() > 1e-3 * slope.abs().max() > 0.0


def test_the_carried_step_keeps_its_gradient():
    """Steps at 0 and osc / 2: in "c" the first one shows the second one's lattice, and moves with it; but in the run's first sweep."""
    one = replace(SMALL, detector=replace(SMALL.detector, thickness_um=0.0, layers=None), sampling=Sampling(oversample=1))
    sweep = replace(one, sampling=Sampling(phi_deg=0.0, phisteps=2, oversample=1))
    osc = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    carried = simulate(sweep, compat="c", osc_deg=osc)
    alone = simulate(one, compat="c", phi_deg=osc / 2)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=carried.shape))
    weights[0, 0] = 0.0
    (carried_slope,) = torch.autograd.grad((weights * carried).sum(), osc)
    (slope,) = torch.autograd.grad((weights * alone).sum(), osc)
    assert slope != 0.0
    torch.testing.assert_close(carried_slope, slope, rtol=1e-12, atol=0.0)
    (first,) = torch.autograd.grad(simulate(sweep, compat="c", osc_deg=osc)[0, 0], osc)
    (both,) = torch.autograd.grad(simulate(one, compat="c", phi_deg=osc / 2)[0, 0], osc)
    assert first != both


def test_gradcheck_of_a_quaternion():
    start = torch.tensor(QUATERNION, dtype=torch.float64, requires_grad=True)
    for setting in ("one step", "everything"):
        largest = simulate(SETTINGS[setting], orientation=start.detach()).max()
        assert torch.autograd.gradcheck(
            lambda q, s=setting, m=largest: simulate(SETTINGS[s], orientation=q) / m, [start], check_forward_ad=True
        )
    longer = simulate(ONE_STEP, orientation=start.detach() * 3.0)
    torch.testing.assert_close(longer, simulate(ONE_STEP, orientation=start.detach()), rtol=1e-9, atol=0.0)
