"""Gradients of what places the detector and turns the crystal, in every convention and pivot, against central differences of the image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nanobragg_numba import Beam, Crystal, Detector, InputError, Parameters, Sampling
from nanobragg_numba import simulate as plain
from nanobragg_numba.autograd import simulate
from nanobragg_numba.autograd.overrides import OVERRIDES, replaced

BASE = Parameters(
    Crystal(cell=(40, 50, 60, 80, 95, 100), misset_deg=(10, 20, 30), n_cells=(4, 3, 2), default_F=100, interpolate=False),
    Beam(wavelength_A=1.3, polarization=0.3),
    Detector(pixels=(5, 4), pixel_size_mm=1.8, distance_mm=60),
    Sampling(oversample=1),
)
CUSTOM = {"fast_axis": (1.0, 0.02, 0.0), "slow_axis": (0.0, 1.0, 0.05), "normal_axis": (0.0, 0.0, 1.0)}
PLACES = {
    **{name: {"convention": name} for name in ("mosflm", "denzo", "adxv", "xds", "dials")},
    "custom, beam": {"convention": "custom", "pivot": "beam", **CUSTOM},
    "custom, sample": {"convention": "custom", "pivot": "sample", **CUSTOM},
}
TURNED = {"rotations_deg": (3.0, -4.0, 5.0), "twotheta_deg": 12.0}
WANTED = {
    "beam_center_mm": (4.0, 4.5),
    "distance_mm": 60.0,
    "close_distance_mm": 57.0,
    "detector_rotations_deg": (3.0, -4.0, 5.0),
    "twotheta_deg": 12.0,
    "pixel_size_mm": 1.8,
}


def placed(place: str, **detector) -> Parameters:
    beam = replace(BASE.beam, direction=(0.0, 0.0, 1.0)) if place.startswith("custom") else BASE.beam
    return replace(BASE, beam=beam, detector=replace(BASE.detector, **PLACES[place], **TURNED, **detector))


def compare(parameters: Parameters, name: str, value, least: float = 1e-3) -> np.ndarray:
    """The gradient of a weighted sum of the image, checked; it is not zero. ``least``: of its parts, over the largest."""
    weights = np.random.default_rng(3).uniform(0.5, 1.5, (4, 5))
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((simulate(parameters, **{name: x}) * torch.from_numpy(weights)).sum(), x)
    got, flat = gradient.numpy().ravel(), np.array(value, float).ravel()

    def at(point: np.ndarray) -> float:
        shaped = point.reshape(np.shape(value))
        number = shaped.item() if shaped.ndim == 0 else tuple(tuple(row) if np.ndim(row) else row for row in shaped.tolist())
        return float((plain(replaced(parameters, {name: number}, "spec"), dtype=np.float64, precision="exact").image * weights).sum())

    step = 1e-5 * max(np.abs(flat).max(), 1.0)
    wanted = np.array([(at(flat + step * e) - at(flat - step * e)) / (2 * step) for e in np.eye(flat.size)])
    assert np.abs(wanted).max() > 0.0
    assert got == pytest.approx(wanted, rel=1e-5, abs=1e-5 * np.abs(wanted).max())
    assert np.abs(got).min() > least * np.abs(got).max()
    return got


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("place", PLACES)
def test_gradients_of_a_turned_detector(place, name):
    assert name in OVERRIDES
    compare(placed(place), name, WANTED[name])


@pytest.mark.parametrize("place", PLACES)
def test_gradients_with_a_nearest_point_and_a_close_distance(place):
    parameters = placed(place, close_point_mm=(3.0, 2.0), close_distance_mm=57.0)
    for name in ("twotheta_deg", "close_distance_mm", "pixel_size_mm"):
        compare(parameters, name, WANTED[name])


@pytest.mark.parametrize("place", ["mosflm", "xds", "custom, sample"])
def test_gradients_of_axes_that_are_not_at_right_angles(place):
    beam = np.array({"mosflm": (1, 0, 0)}.get(place, (0, 0, 1)), float)
    fast, slow = ((0.02, 0.3, 1.0), (0.1, -1.0, 0.2)) if place == "mosflm" else ((1.0, 0.3, 0.02), (0.2, 1.0, 0.1))
    parameters = placed(place, beam_center_mm=(4.0, 4.5))
    vectors = (fast, slow, tuple(beam))
    rows = compare(parameters, "detector_vectors", vectors, least=-1.0).reshape(3, 3)
    # The normal is that of the plane; what is given says which side it is on.
    assert (rows[:2] != 0).all() and not rows[2].any()
    skewed = replaced(parameters, {"detector_vectors": vectors}, "spec")
    for name in ("close_distance_mm", "twotheta_deg", "beam_center_mm"):
        compare(skewed, name, WANTED[name])


def test_gradients_of_a_detector_seen_from_behind():
    parameters = replace(BASE, detector=replace(BASE.detector, rotations_deg=(3.0, 5.0, 130.0)))
    for name in ("distance_mm", "beam_center_mm"):
        compare(parameters, name, WANTED[name])


def test_gradients_of_a_sweep_that_turns_back():
    sweep = replace(BASE, sampling=Sampling(phi_deg=4.0, osc_deg=-2.0, phisteps=3, oversample=1))
    compare(sweep, "osc_deg", -2.0)
    compare(sweep, "phi_deg", 4.0)


def test_gradients_of_steps_of_divergence():
    beam = replace(BASE.beam, hdivrange_mrad=9.0, hdivstep_mrad=3.0, vdivrange_mrad=4.0, vdivsteps=1, dispersion_percent=3.0)
    compare(replace(BASE, beam=beam), "wavelength_A", 1.3)
    # What the axis has along the beam does nothing.
    assert compare(replace(BASE, beam=beam), "polarization_axis", (0.1, 0.2, 0.9), least=-1.0)[1:].all()


def test_what_has_no_effect_in_c_is_refused():
    with pytest.raises(InputError, match=r"beam_center_mm has no effect in compat='c' under XDS and DIALS"):
        simulate(placed("dials"), compat="c", beam_center_mm=torch.tensor((4.0, 4.5)))


def test_a_refined_wavelength_beside_a_matrix_is_remarked_on():
    matrix = np.array([[0.021, 0.004, -0.003], [-0.002, 0.018, 0.005], [0.004, -0.001, 0.016]])
    parameters = replace(BASE, crystal=replace(BASE.crystal, cell=None, mosflm_matrix=matrix, misset_deg=None))
    wavelength = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="wavelength_A: a MOSFLM matrix holds the reciprocal axes times the wavelength"):
        image = simulate(parameters, wavelength_A=wavelength)
    (gradient,) = torch.autograd.grad(image.sum(), wavelength)
    assert abs(float(gradient)) < 1e-9 * float(image.detach().sum())
    real = torch.tensor(np.linalg.inv(matrix) * 1.3)
    (gradient,) = torch.autograd.grad(simulate(parameters, wavelength_A=wavelength, real_space_matrix=real).sum(), wavelength)
    assert abs(float(gradient)) > 1e-3 * float(image.detach().sum())
