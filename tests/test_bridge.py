"""The torch bridge: adjoint against tangent, transforms, devices and dtypes, and its image against the command line's."""

import hashlib
import json
import math
import threading
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from running import GOLDEN
from test_gradients import CASES as GRADCHECKS
from test_gradients import SETTINGS, SMALL, VALUES, scaled, tensor_for
from test_simulate import EVERYTHING

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.autograd import OVERRIDES, Simulator, simulate

CASES = [case for case in json.loads((GOLDEN / "cases.json").read_text()) if case["exit"] == 0]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_image_is_the_command_lines(case, monkeypatch):
    monkeypatch.chdir(GOLDEN / "inputs")
    parameters = parameters_from_command_line(case["args"], compat="c", unknown="ignore")
    recorded = zlib.decompress((GOLDEN / "float" / f"{case['name']}.f32.z").read_bytes())
    for dtype in (torch.float32, torch.float64):
        image = simulate(parameters, dtype=dtype, compat="c")
        assert image.dtype == dtype
        assert image.float().numpy().tobytes() == recorded


FIXED = json.loads((GOLDEN / "fixed" / "cases.json").read_text())


@pytest.mark.parametrize("case", FIXED, ids=[case["name"] for case in FIXED])
def test_the_image_is_the_repaired_references(case, monkeypatch):
    monkeypatch.chdir(GOLDEN / "inputs")
    parameters = parameters_from_command_line(case["args"], "c-fixed", unknown="ignore")
    image = simulate(parameters, dtype=torch.float32, compat="c-fixed")
    (recorded,) = (want["sha256"] for name, want in case["files"].items() if name.endswith(".bin") and "ump" not in name)
    assert hashlib.sha256(image.numpy().tobytes()).hexdigest() == recorded


# Together these give every variable of the kernels a change: lattice, beam, detector, and what belongs to one shape only.
TOGETHER = {
    "everything": (
        "phi_deg", "osc_deg", "spindle_axis", "misset_deg", "orientation", "cell", "n_cells", "mosaic_spread_deg",
        "source_wavelengths_A", "source_directions", "source_weights", "distance_mm", "beam_center_mm", "detector_rotations_deg",
        "twotheta_deg", "detector_vectors", "pixel_size_mm", "fluence", "polarization", "polarization_axis", "default_F", "water_um",
    ),
    "gauss": ("cell", "n_cells", "n_cells_off_diagonal", "fudge", "mosaic_rotations", "pix0_mm"),
    "round": ("real_space_matrix", "n_cells", "fudge", "phi_deg", "close_distance_mm"),
    "listed": ("cell", "structure_factors"),
    "tricubic": ("cell", "structure_factors", "misset_deg"),
    "divergent": ("wavelength_A", "polarization_axis", "misset_deg"),
    "wide": ("mosaic_width_deg", "misset_deg", "cell", "phi_deg", "spindle_axis"),
    "curved": ("distance_mm", "detector_rotations_deg", "detector_vectors", "twotheta_deg"),
}  # fmt: skip


@pytest.mark.parametrize(("setting", "compat"), [(s, c) for s in TOGETHER for c in ("spec", "c") if (s, c) != ("wide", "c")])
def test_adjoint_against_tangent(setting, compat):
    """<J v, w> = <v, J^T w> for all parameters at once."""
    parameters = SETTINGS[setting]
    names = [name for name in TOGETHER[setting] if compat == "spec" or name not in ("pix0_mm", "source_weights", "n_cells_off_diagonal")]
    start = [tensor_for(name, parameters).detach() for name in names]
    generator = torch.Generator().manual_seed(1)
    changes = [1e-3 * x.abs().max() * torch.randn(x.shape, dtype=torch.float64, generator=generator) for x in start]

    def image(*tensors):
        return simulate(parameters, compat=compat, **dict(zip(names, tensors, strict=True)))

    value, pushed = torch.func.jvp(image, tuple(start), tuple(changes))
    w = torch.randn(value.shape, dtype=torch.float64, generator=generator)
    _, pull = torch.func.vjp(image, *start)
    forward = (pushed * w).sum()
    backward = sum((bar * v).sum() for bar, v in zip(pull(w), changes, strict=True))
    # Relative to the sum of the terms' sizes: with random signs the terms may cancel.
    assert abs(forward - backward) <= 1e-10 * (pushed * w).abs().sum()
    assert forward.abs() > 0.0


def test_together_every_parameter_is_covered():
    assert {name for names in TOGETHER.values() for name in names} == set(OVERRIDES)


@pytest.mark.parametrize("name", OVERRIDES)
def test_finite_differences_fall_with_the_step(name):
    """In the manner of diffBragg: six steps, one-sided; the error falls in proportion to the step, and the images correlate."""
    others = {
        "fudge": "round",
        "wavelength_A": "divergent",
        "structure_factors": "listed",
        "mosaic_width_deg": "wide",
        "n_cells_off_diagonal": "gauss",
    }
    parameters = SETTINGS[others.get(name, "everything")]
    if name != "water_um":
        # Without its constant background the image's change is seen against the Bragg scattering alone.
        parameters = replace(parameters, crystal=replace(parameters.crystal, water_um=0.0))
    function, start = scaled(parameters, name)
    start = start.detach()
    direction = torch.randn(start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    direction *= start.abs().max() / direction.abs().max()
    if name in ("source_directions", "detector_vectors", "spindle_axis", "polarization_axis"):
        direction -= start * (direction * start).sum(-1, keepdim=True) / (start * start).sum(-1, keepdim=True)
    value, slope = torch.func.jvp(function, (start,), (direction,))
    size = float(torch.linalg.vector_norm(slope))
    assert size > 0.0

    def error(step):
        return float(torch.linalg.vector_norm((function(start + step * direction) - value) / step - slope)) / size

    # The largest of the six steps: small enough to be in the linear range, large enough to stay above rounding.
    trial = 1e-5 * float(torch.linalg.vector_norm(value)) / size
    largest = min(1e-3 * float(torch.linalg.vector_norm(value)) / size, trial * 1e-3 / max(error(trial), 1e-12))
    if name == "polarization":
        # It is linear in this one, and beyond -1 and 1 there is no image.
        largest = min(largest, float((1.0 - start.abs()) / direction.abs()))
    steps = [largest / 2**n for n in range(6)]
    differences = [(function(start + step * direction) - value) / step for step in steps]
    errors = [float(torch.linalg.vector_norm(difference - slope)) / size for difference in differences]
    for difference in differences:
        assert np.corrcoef(difference.flatten(), slope.flatten())[0, 1] > 0.9999
    if max(errors) < 1e-9:
        return  # linear in this parameter: nothing but rounding is left
    ratios = [errors[n] / errors[n + 1] for n in range(5)]
    assert all(1.9 < ratio < 2.1 for ratio in ratios), ratios


def image_of(**overrides):
    return simulate(SMALL, **overrides)


def test_jacobians_agree():
    cell = torch.tensor(VALUES["cell"], dtype=torch.float64)
    forward = torch.func.jacfwd(lambda x: image_of(cell=x))(cell)
    reverse = torch.func.jacrev(lambda x: image_of(cell=x))(cell)
    assert forward.shape == (*image_of().shape, 6)
    torch.testing.assert_close(forward, reverse, rtol=1e-9, atol=float(forward.abs().max()) * 1e-12)


def test_hessian_is_symmetric_and_the_same_either_way():
    misset = torch.tensor(VALUES["misset_deg"], dtype=torch.float64)

    def loss(x):
        return image_of(misset_deg=x).square().sum()

    one, other = torch.func.hessian(loss)(misset), torch.autograd.functional.hessian(loss, misset)
    torch.testing.assert_close(one, one.T, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0.0)


def test_vmap_over_parameter_sets():
    phi = torch.tensor([0.0, 0.2, 0.7], dtype=torch.float64)
    distance = torch.tensor([60.0, 61.0, 59.0], dtype=torch.float64)
    images = torch.func.vmap(lambda p, d: image_of(phi_deg=p, distance_mm=d))(phi, distance)
    for n in range(3):
        assert torch.equal(images[n], image_of(phi_deg=phi[n], distance_mm=distance[n]))
    slopes = torch.func.vmap(torch.func.grad(lambda p: image_of(phi_deg=p).sum()))(phi)
    for n in range(3):
        one = phi[n].clone().requires_grad_()
        (slope,) = torch.autograd.grad(image_of(phi_deg=one).sum(), one)
        torch.testing.assert_close(slopes[n], slope, rtol=1e-12, atol=0.0)


def test_the_pushforward_takes_all_directions_in_one_pass(monkeypatch):
    from nanobragg_numba.derivatives import differentiate
    from nanobragg_numba.shots.computing import ManyShots

    calls = []
    real, of_shots = differentiate.tangent, ManyShots.changes
    monkeypatch.setattr(differentiate, "tangent", lambda *args: calls.append(len(args[3])) or real(*args))
    monkeypatch.setattr(ManyShots, "changes", lambda self, dots, *args: calls.append(dots.shape[1]) or of_shots(self, dots, *args))
    for compat in ("spec", "c"):
        torch.func.jacfwd(lambda x, compat=compat: image_of(compat=compat, cell=x))(torch.tensor(VALUES["cell"], dtype=torch.float64))
    assert calls == [6, 6]


def test_compile_with_a_graph_break():
    phi = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(x):
        return (image_of(phi_deg=x) * 2.0).sum()

    compiled = torch.compile(loss, backend="eager")
    (one,) = torch.autograd.grad(compiled(phi), phi)
    (other,) = torch.autograd.grad(loss(phi), phi)
    assert one == other


def test_anomaly_mode_no_grad_and_several_backward_calls():
    phi = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        assert not image_of(phi_deg=phi).requires_grad
    with torch.autograd.detect_anomaly(check_nan=True):
        loss = image_of(phi_deg=phi).sum()
        loss.backward(retain_graph=True)
    once = phi.grad.clone()
    loss.backward()
    assert torch.equal(phi.grad, 2 * once)


def test_python_threads_get_the_same_gradients():
    start = torch.tensor(0.3, dtype=torch.float64)
    results = []

    def work():
        phi = start.clone().requires_grad_()
        results.append(torch.autograd.grad(image_of(phi_deg=phi).sum(), phi)[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and len(set(map(float, results))) == 1


def test_gradients_do_not_depend_on_the_number_of_threads(monkeypatch):
    import os

    def slope():
        cell = torch.tensor(VALUES["cell"], dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(image_of(cell=cell).sum(), cell)[0]

    many = slope()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert torch.equal(slope(), many)


def test_single_precision_in_and_out():
    cell = torch.tensor(VALUES["cell"], dtype=torch.float32, requires_grad=True)
    image = simulate(SMALL, dtype=torch.float32, cell=cell)
    (single,) = torch.autograd.grad(image.sum(), cell)
    double = torch.tensor(VALUES["cell"], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(image_of(cell=double).sum(), double)
    assert image.dtype == single.dtype == torch.float32
    torch.testing.assert_close(single.double(), gradient, rtol=1e-6, atol=0.0)


def test_the_module_moves_and_refines():
    model = Simulator(SMALL, {"misset_deg": VALUES["misset_deg"]}, fixed={"distance_mm": 61.0})
    assert [name for name, _ in model.named_parameters()] == ["misset_deg"]
    assert torch.equal(model(), image_of(misset_deg=torch.tensor(VALUES["misset_deg"], dtype=torch.float64), distance_mm=61.0))
    model(phi_deg=0.5).sum().backward()
    assert model.misset_deg.grad.abs().max() > 0.0
    model.to(torch.float32)
    assert model.misset_deg.dtype == model.distance_mm.dtype == model().dtype == torch.float32
    state = model.state_dict()
    assert set(state) == {"misset_deg", "distance_mm"}
    with pytest.raises(InputError, match="both refined and fixed"):
        Simulator(SMALL, {"phi_deg": 0.0}, fixed={"phi_deg": 1.0})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"phi": 1.0}, "no parameter"),
        ({"cell": torch.ones(5)}, r"cell has shape \(6,\), not \(5,\)"),
        ({"structure_factors": torch.ones(2, 2, 2)}, "must have one"),
        ({"phi_deg": torch.tensor(1.0, device="meta")}, "no kernels for meta"),
        ({"phi_deg": torch.tensor(1.0, device="meta"), "cell": torch.ones(6)}, "phi_deg is on meta and cell on cpu"),
        ({"cell": torch.full((6,), -1.0)}, "-cell"),
        ({"dtype": torch.float16}, "float32 or torch.float64"),
        ({"device": "cuda"}, "no kernels for cuda here"),
        ({"pix0_mm": torch.ones(3), "compat": "c"}, "Q11"),
        ({"source_weights": torch.ones(3), "compat": "c"}, "weighs all sources alike"),
        ({"source_weights": torch.ones(3), "compat": "c-fixed"}, "compat='c-fixed', which weighs all sources alike"),
        ({"cell": torch.ones(6), "real_space_matrix": torch.eye(3)}, "both give the lattice"),
        ({"distance_mm": 60.0, "close_distance_mm": 60.0}, "no effect"),
        ({"source_weights": torch.ones(2)}, "2 sources, not 3"),
        ({"source_weights": torch.full((3,), math.nan)}, "source_weights must be finite"),
        ({"spindle_axis": torch.zeros(3)}, "spindle_axis: a vector of no length"),
        ({"source_directions": torch.zeros(3, 3)}, "source_directions: a vector of no length"),
        ({"orientation": torch.zeros(4)}, "quaternion is zero"),
        ({"distance_mm": torch.tensor(60.0 + 1.0j)}, "must be real"),
        ({"distance_mm": "60"}, "must be numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(overrides, says):
    with pytest.raises(InputError, match=says):
        simulate(EVERYTHING, **overrides)


def test_the_references_switches_have_no_derivative():
    switched = replace(SMALL, sampling=replace(SMALL.sampling, oversample_polar=True))
    phi = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for compat, what in (("c", "the running sum"), ("c-fixed", "each step alone")):
        image = simulate(switched, compat=compat, phi_deg=phi)
        with pytest.raises(InputError, match=rf"multiply {what} in compat='{compat}' \(Q3\)"):
            image.sum().backward()


def test_a_list_of_tensors_keeps_their_gradients():
    angles = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in VALUES["misset_deg"]]
    image_of(misset_deg=angles).sum().backward()
    assert all(angle.grad.abs() > 0.0 for angle in angles)


def test_where_a_formula_divides_by_zero_there_is_no_derivative():
    along_the_beam = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    image = image_of(polarization_axis=along_the_beam)
    with pytest.raises(InputError, match="no derivative at these values of polarization_axis"):
        image.sum().backward()


def test_third_derivatives_are_refused():
    phi = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(image_of(phi_deg=phi).sum(), phi, create_graph=True)
    (second,) = torch.autograd.grad(first, phi, create_graph=True)
    with pytest.raises(NotImplementedError, match="third"):
        torch.autograd.grad(second, phi)


def test_no_gradient_of_a_flat_spot():
    """tophat: the edge of the spot moves, but its derivative is left out, so that of the position is zero."""
    flat = replace(SMALL, crystal=replace(SMALL.crystal, shape="tophat", fudge=1e-3))
    misset = torch.tensor(VALUES["misset_deg"], dtype=torch.float64, requires_grad=True)
    image = simulate(flat, misset_deg=misset)
    (slope,) = torch.autograd.grad(image.sum(), misset)
    assert (image > 0.0).any() and torch.equal(slope, torch.zeros(3, dtype=torch.float64))


def test_the_page_lists_every_parameter():
    page = (GOLDEN.parent / "docs" / "derivatives.md").read_text()
    assert parameter_table() in page, f"docs/derivatives.md needs:\n{parameter_table()}"


def parameter_table() -> str:
    """The table of docs/derivatives.md: name, shape, unit, modes, and the settings of its gradcheck."""
    rows = []
    for name, override in OVERRIDES.items():
        shape = " or ".join(str(s).replace("None", "n") for s in override.shapes)
        modes = "spec" if name in ("pix0_mm", "source_weights", "mosaic_width_deg", "n_cells_off_diagonal") else "c, spec"
        settings = "; ".join(setting for case, setting in GRADCHECKS if case == name)
        rows.append(f"| {name} | {shape} | {override.unit} | {modes} | {settings} |")
    return "\n".join(rows)


def test_lazy_zeros_and_reverse_over_forward():
    misset = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    weights = torch.linspace(0.5, 1.5, image_of().numel(), dtype=torch.float64).reshape(image_of().shape)

    def loss(x):
        return (image_of(misset_deg=x) * weights).sum()

    torch.testing.assert_close(torch.func.jacrev(torch.func.jacfwd(loss))(misset), torch.func.hessian(loss)(misset), rtol=1e-9, atol=1e-9)


def test_the_image_follows_the_parameters_precision_only_where_that_changes():
    model = Simulator(SETTINGS["one step"], {"phi_deg": torch.tensor(0.1, dtype=torch.float64)}, dtype=torch.float32)
    assert model.to("cpu")().dtype == torch.float32
    assert model.to(torch.float32).to(torch.float64)().dtype == torch.float64


def test_names_of_the_cpu():
    phi = torch.tensor(0.1, dtype=torch.float64)
    assert torch.equal(image_of(phi_deg=phi, device="cpu:0"), image_of(phi_deg=phi))
    for wrong in ("nonsense", 3.5):
        with pytest.raises(InputError, match="device must be cpu, cuda or cuda:i"):
            image_of(device=wrong)
