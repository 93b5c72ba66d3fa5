"""Crystal.rotated_real_vectors: the kernels' numbers, the phi = 0 carryover, and tensors that keep their graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nanobragg_numba import Crystal, InputError, Parameters, Sampling
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Beam, Detector

MATRIX = np.array([[-0.028, -0.003, 0.025], [-0.029, 0.010, -0.014], [0.011, -0.032, -0.010]])
TRICLINIC = Crystal(cell=(40.0, 50.0, 60.0, 80.0, 95.0, 100.0), misset_deg=(10.0, 20.0, 30.0), mosaic_spread_deg=0.6, mosaic_domains=4)
CRYSTALS = {
    "triclinic, mosaic": TRICLINIC,
    "edges and angles left out": Crystal(cell=(40.0, 0.0, 60.0, 80.0, 0.0, 100.0)),
    "random orientation": Crystal(cell=(40.0, 50.0, 60.0, 90.0, 90.0, 90.0), misset_deg="random", misset_seed=3),
    "matrix": Crystal(mosflm_matrix=MATRIX),
    "matrix and cell": replace(TRICLINIC, mosflm_matrix=MATRIX),
}
AXIS = (-1.0, 0.2, 0.1)
FROM_ZERO = Sampling(phi_deg=0.0, osc_deg=1.0, phisteps=4, spindle_axis=AXIS)
THROUGH_ZERO = replace(FROM_ZERO, phi_deg=-0.5)


def every(vectors):
    return (*vectors.real, *vectors.reciprocal)


def with_tensors(crystal, dtype=torch.float64, grad=False):
    """The crystal with all its numbers as tensors."""

    def tensor(value):
        is_numbers = value is not None and not isinstance(value, str)
        return torch.tensor(np.array(value), dtype=dtype, requires_grad=grad) if is_numbers else value

    names = ("cell", "mosflm_matrix", "misset_deg")
    return replace(crystal, **{name: tensor(getattr(crystal, name)) for name in names})


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("sampling", [FROM_ZERO, THROUGH_ZERO], ids=["from 0", "through 0"])
@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_numpy_vectors_are_the_kernels(crystal, sampling, compat):
    detector = Detector(pixels=(4, 4), convention="custom")
    tables = derive_experiment(Parameters(replace(crystal, default_F=1.0), Beam(wavelength_A=0.98), detector, sampling), compat).tables
    for sweep, rows in (("later", tables.crystal.orientations), ("first", tables.crystal.first_orientations)):
        vectors = crystal.rotated_real_vectors(sampling, wavelength_A=0.98, compat=compat, sweep=sweep)
        domains = crystal.mosaic_domains or 1
        for i, axis in enumerate(vectors.real):
            assert axis.shape == (4, domains, 3)
            assert np.array_equal(axis.reshape(-1, 3), rows[:, 3 * i : 3 * i + 3] * 1e10)


def test_reciprocal_vectors_are_dual_to_the_real_ones():
    for crystal in (CRYSTALS["triclinic, mosaic"], CRYSTALS["matrix"]):
        real, reciprocal = crystal.rotated_real_vectors(THROUGH_ZERO, wavelength_A=1.1)
        for i, x in enumerate(real):
            for j, y in enumerate(reciprocal):
                assert np.allclose((x * y).sum(-1), float(i == j), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "torch"])
def test_a_step_at_zero_carries_the_last_other_angle(tensors):
    # From a matrix: a triclinic cell has other angles in "c" (Q13). Without mosaicity: "c" rounds the domains' angles to single precision.
    crystal = replace(TRICLINIC, cell=None, mosflm_matrix=MATRIX, mosaic_spread_deg=None, mosaic_domains=None)
    crystal = with_tensors(crystal) if tensors else crystal

    def b(sampling, compat, sweep="later"):
        return np.asarray(crystal.get_rotated_real_vectors(sampling, wavelength_A=0.98, compat=compat, sweep=sweep).real[1])

    c, spec = b(FROM_ZERO, "c"), b(FROM_ZERO, "spec")
    assert np.array_equal(c[1:], spec[1:]) and np.array_equal(c[0], c[3]) and not np.allclose(c[0], spec[0], rtol=1e-6)
    assert np.array_equal(b(FROM_ZERO, "c", "first"), spec)
    assert np.array_equal(b(FROM_ZERO, "c-fixed"), spec) and np.array_equal(b(FROM_ZERO, "c-fixed", "first"), spec)
    c, spec = b(THROUGH_ZERO, "c"), b(THROUGH_ZERO, "spec")
    assert np.array_equal(c[2], spec[1]) and np.array_equal(np.delete(c, 2, 0), np.delete(spec, 2, 0))
    assert np.array_equal(b(THROUGH_ZERO, "c", "first"), c)
    assert np.array_equal(b(replace(THROUGH_ZERO, carryover=False), "c"), spec)
    assert np.array_equal(b(replace(THROUGH_ZERO, carryover=True), "spec"), c)


def test_the_convention_brings_its_spindle():
    by_name = TRICLINIC.rotated_real_vectors(FROM_ZERO, convention="adxv")
    by_axis = TRICLINIC.rotated_real_vectors(replace(FROM_ZERO, spindle_axis=(1.0, 0.0, 0.0)))
    assert all(np.array_equal(x, y) for x, y in zip(every(by_name), every(by_axis), strict=True))


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("crystal", CRYSTALS.values(), ids=CRYSTALS)
def test_torch_agrees_with_numpy(crystal, compat):
    sampling = replace(THROUGH_ZERO, phi_deg=torch.tensor(-0.5, dtype=torch.float64))
    want = every(crystal.rotated_real_vectors(THROUGH_ZERO, wavelength_A=0.98, compat=compat))
    for tensors in (crystal, with_tensors(crystal, grad=True)):
        got = every(tensors.rotated_real_vectors(sampling, wavelength_A=0.98, compat=compat))
        for x, y in zip(got, want, strict=True):
            assert x.dtype == torch.float64 and x.shape == y.shape
            assert np.abs(x.detach().numpy() - y).max() < 2e-15 * np.abs(y).max()
    single = every(with_tensors(crystal, torch.float32).rotated_real_vectors(THROUGH_ZERO, wavelength_A=0.98, compat=compat))
    for x, y in zip(single, want, strict=True):
        assert x.dtype == torch.float32 and np.abs(x.numpy() - y).max() < 1e-6 * np.abs(y).max()


def test_a_mosaic_spread_may_be_a_tensor():
    spread = torch.tensor(0.6, dtype=torch.float64)
    got = every(replace(TRICLINIC, mosaic_spread_deg=spread).rotated_real_vectors(FROM_ZERO))
    for x, y in zip(got, every(TRICLINIC.rotated_real_vectors(FROM_ZERO)), strict=True):
        # The kernel rounds each domain's angle, 0.6 degrees at most, to single precision.
        assert np.abs(x.numpy() - y).max() < 0.6 / 57 * 1.2e-7 * np.linalg.norm(y, axis=-1).max()


INPUTS = {
    "osc_deg": 1.0,
    "phi_deg": -0.3,
    "spindle_axis": AXIS,
    "cell": TRICLINIC.cell,
    "misset_deg": TRICLINIC.misset_deg,
    "mosaic_spread_deg": 0.6,
    "mosflm_matrix": MATRIX,
    "wavelength_A": 0.98,
}


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("name", INPUTS)
def test_gradients_of_every_input(name, compat):
    def vectors(value):
        crystal = TRICLINIC if "matrix" not in name and "wave" not in name else CRYSTALS["matrix"]
        sampling, wavelength = FROM_ZERO, 0.98
        if name == "wavelength_A":
            wavelength = value
        elif hasattr(sampling, name):
            sampling = replace(sampling, **{name: value})
        else:
            crystal = replace(crystal, **{name: value})
        return every(crystal.rotated_real_vectors(sampling, wavelength_A=wavelength, compat=compat))

    given = torch.tensor(np.array(INPUTS[name]), dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(vectors, given)


def test_a_carried_vector_sends_its_gradient_to_the_angle_it_came_from():
    phi = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    step = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    sampling = replace(FROM_ZERO, phi_deg=phi, osc_deg=4 * step, phisteps=4)
    b = TRICLINIC.rotated_real_vectors(sampling, compat="c").real[1][:, 0]
    axis = np.array(AXIS) / np.linalg.norm(AXIS)
    for component in range(3):
        by_phi, by_step = torch.autograd.grad(b[0, component], (phi, step), retain_graph=True)
        # The derivative of a rotation by its angle is the cross product with the axis.
        want = np.cross(axis, b[3].detach().numpy())[component] * np.pi / 180
        assert float(by_phi) == pytest.approx(want, rel=1e-12)
        assert float(by_step) == pytest.approx(3 * want, rel=1e-12)


def test_an_angle_of_zero_has_a_gradient_in_spec():
    phi = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    b = TRICLINIC.rotated_real_vectors(replace(FROM_ZERO, phi_deg=phi)).real[1]
    assert abs(float(torch.autograd.grad(b[0, 0, 1], phi)[0])) > 0.1


def test_moving_a_crystal_keeps_its_graph():
    crystal = with_tensors(TRICLINIC, grad=True)
    moved = crystal.to(device="cpu", dtype=torch.float32)
    assert isinstance(moved, Crystal) and moved.cell.dtype == torch.float32 and crystal.cell.dtype == torch.float64
    b = moved.rotated_real_vectors(FROM_ZERO, compat="c").real[1]
    assert b.dtype == torch.float32
    cell, misset = torch.autograd.grad(b[0, 0, 1], (crystal.cell, crystal.misset_deg))
    assert cell.dtype == torch.float64 and cell.abs().max() > 0 and misset.abs().max() > 0
    parts = replace(TRICLINIC, cell=tuple(torch.tensor(x) for x in TRICLINIC.cell)).to(dtype=torch.float64)
    assert all(x.dtype == torch.float64 for x in parts.cell)
    numbers = TRICLINIC.to(device="meta", dtype=torch.float32)
    assert numbers == TRICLINIC


def test_vectors_stay_on_the_device_of_the_crystal():
    for crystal, domains in ((TRICLINIC, 4), (CRYSTALS["matrix"], 1)):
        moved = with_tensors(crystal).to(device="meta")
        for x in every(moved.rotated_real_vectors(FROM_ZERO, wavelength_A=0.98, compat="c")):
            assert x.is_meta and x.shape == (4, domains, 3) and x.dtype == torch.float64


def test_the_widest_dtype_wins():
    sampling = replace(FROM_ZERO, phi_deg=torch.tensor(0.5, dtype=torch.float64))
    assert with_tensors(TRICLINIC, torch.float32).rotated_real_vectors(sampling).real[0].dtype == torch.float64


@pytest.mark.parametrize(
    ("crystal", "options", "sentence"),
    [
        (with_tensors(TRICLINIC).to(device="meta"), {"wavelength_A": torch.tensor(1.0)}, "crystal.cell is on meta and wavelength_A on cpu"),
        (CRYSTALS["matrix"], {}, "wavelength_A is needed"),
        (Crystal(), {}, "neither a cell nor a matrix"),
        (replace(Crystal(), mosaic_spread_deg=torch.tensor(1.0)), {}, "neither a cell nor a matrix"),
        (replace(TRICLINIC, cell=torch.tensor([50.0, 50.0, 50.0, 10.0, 100.0, 120.0])), {}, "encloses no volume"),
        (TRICLINIC, {"compat": "C"}, "compat must be"),
        (TRICLINIC, {"sweep": 0}, "'first' or 'later'"),
        (TRICLINIC, {"convention": "cbf"}, "convention must be"),
    ],
)
def test_bad_input_is_one_sentence(crystal, options, sentence):
    with pytest.raises(InputError, match=sentence):
        crystal.rotated_real_vectors(FROM_ZERO, **options)


def test_an_image_refuses_tensors_rather_than_detach_them():
    phi = torch.tensor(1.0, requires_grad=True)
    with pytest.raises(InputError, match="phi_deg is a torch tensor"):
        derive_experiment(Parameters(TRICLINIC, sampling=replace(FROM_ZERO, phi_deg=phi)), "c")


def test_a_flat_matrix_of_tensors_is_refused():
    with pytest.raises(InputError, match="lie in one plane"):
        Crystal(mosflm_matrix=torch.ones(3, 3, requires_grad=True))
