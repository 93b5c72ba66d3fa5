"""DIALS's experiment lists: detectors, beam, goniometer, scan and crystal from dxtbx's definitions with numpy alone, and back."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from nanobragg_numba import Crystal, Detector, InputError, Parameters, Sampling, parameters_from_command_line, simulate
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.kernels.arguments import PixelRecord
from nanobragg_numba.panels.detector import Group, Panel, PanelDetector
from nanobragg_numba.panels.dials import iterate_expt, read_expt
from nanobragg_numba.panels.dials_writing import write_expt
from nanobragg_numba.panels.placing import seen_by
from nanobragg_numba.panels.reading import read_described
from nanobragg_numba.panels.simulate import derive_planes, simulate_panels


def rotation(axis, degrees):
    """The matrix of a right-handed rotation, from its generator's exponential."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


def frame(rng, origin):
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return {"fast_axis": axes[0].tolist(), "slow_axis": axes[1].tolist(), "origin": origin.tolist()}


def panel_dictionary(number, place):
    return {
        "name": f"m{number}", "type": "SENSOR_PAD", **place, "raw_image_offset": [0, 0], "image_size": [11, 9 + number],
        "pixel_size": [0.172, 0.172], "trusted_range": [0.0, 65535.0], "thickness": 0.45, "material": "Si", "mu": 3.2, "identifier": "",
        "mask": [], "gain": 1.0, "pedestal": 0.0, "px_mm_strategy": {"type": "SimplePxMmStrategy"},
    }  # fmt: skip


def experiment_list(rng, panels=8):
    """A list of one experiment whose eight panels are tilted in two groups, themselves in a tilted root."""
    small = {"fast_axis": [0.99, 0.1, 0.05], "slow_axis": [0.1, -0.99, 0.0], "origin": [-2.0, 3.0, -150.0]}
    slow = np.array(small["slow_axis"])
    fast = np.array(small["fast_axis"])
    small["slow_axis"] = (slow - fast * (slow @ fast) / (fast @ fast)).tolist()
    children = [
        {"name": f"q{q}", "type": "GROUP", **frame(rng, rng.normal(size=3)), "children": [{"panel": 4 * q + n} for n in range(4)]}
        for q in range(panels // 4)
    ]
    detector = {
        "panels": [panel_dictionary(n, frame(rng, rng.uniform(-20, 20, 3))) for n in range(panels)],
        "hierarchy": {"name": "root", "type": "", **small, "children": children},
    }
    a = rng.normal(size=(3, 3)) * 20 + 60 * np.eye(3)
    return {
        "__id__": "ExperimentList",
        "experiment": [{"__id__": "Experiment", "identifier": "x", "beam": 0, "detector": 0, "goniometer": 0, "scan": 0, "crystal": 0}],
        "imageset": [],
        "beam": [
            {
                "__id__": "monochromatic", "direction": [0.01, -0.02, 2.0], "wavelength": 0.9795, "divergence": 0.0,
                "sigma_divergence": 0.0,
                "polarization_normal": [0.1, 1.0, 0.0], "polarization_fraction": 0.97, "flux": 0.0, "transmission": 1.0,
            }
        ],
        "detector": [detector],
        "goniometer": [
            {
                "rotation_axis": [0.6, 0.8, 0.0], "fixed_rotation": rotation((1, 2, 3), 40).ravel().tolist(),
                "setting_rotation": rotation((3, -1, 1), 25).ravel().tolist(),
            }
        ],
        "scan": [
            {
                "image_range": [11, 14], "batch_offset": 0, "valid_image_ranges": {},
                "properties": {"oscillation": [30.0, 30.2, 30.4, 30.6], "exposure_time": [0.1] * 4, "epochs": [0.0] * 4},
            }
        ],
        "crystal": [
            {
                "__id__": "crystal", "real_space_a": a[0].tolist(), "real_space_b": a[1].tolist(), "real_space_c": a[2].tolist(),
                "space_group_hall_symbol": " P 1",
            }
        ],
    }  # fmt: skip


def saved(tmp_path, content):
    (tmp_path / "models.expt").write_text(json.dumps(content, indent=1))
    return tmp_path / "models.expt"


def laboratory(content, number, slow, fast):
    """A pixel's place (mm) as dxtbx has it: frames of panel, group and root multiplied as matrices; fast first."""

    def matrix(node):
        x, y = (np.array(node[key]) / np.linalg.norm(node[key]) for key in ("fast_axis", "slow_axis"))
        whole = np.eye(4)
        whole[:3] = np.column_stack([x, y, np.cross(x, y), node["origin"]])
        return whole

    detector = content["detector"][0]
    root = detector["hierarchy"]
    panel = detector["panels"][number]
    group = next(group for group in root["children"] if {"panel": number} in group["children"])
    size = panel["pixel_size"]
    return (matrix(root) @ matrix(group) @ matrix(panel) @ [fast * size[0], slow * size[1], 0.0, 1.0])[:3]


def test_tilted_panels_in_groups_against_a_projection(tmp_path):
    content = experiment_list(np.random.default_rng(3))
    (experiment,) = read_expt(saved(tmp_path, content))
    parameters = replace(experiment.parameters, crystal=replace(experiment.parameters.crystal, default_F=100, n_cells=(3, 3, 3)))
    x, planes, _ = derive_planes(parameters, experiment.detector, "spec")
    for number, (panel, plane) in enumerate(zip(experiment.detector.panels, planes, strict=True)):
        assert panel.shape == (9 + number, 11) and panel.name == f"m{number}"
        engine = PixelEngine(seen_by(x, plane, (1, 1), parameters))
        for slow, fast in ((0, 0), (8, 10), (4, 2)):
            expected = laboratory(content, number, slow + 0.5, fast + 0.5)
            np.testing.assert_allclose(panel.position_mm(slow + 0.5, fast + 0.5), expected, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(engine.record(fast, slow, False)[PixelRecord.POSITION], expected / 1000, rtol=1e-12, atol=1e-13)
    assert [group.name for group in experiment.detector.groups] == ["root", "q0", "q1"]
    moved = experiment.detector.moved("q1", translation_mm=(1.0, 2.0, 3.0))
    for number in range(8):
        expected = laboratory(content, number, 0, 0) + (np.array([1.0, 2.0, 3.0]) if number >= 4 else 0.0)
        np.testing.assert_allclose(moved.panels[number].origin_mm, expected, rtol=1e-12, atol=1e-11)


def test_lattice_rotation_and_beam(tmp_path):
    """h at S R(e, phi) F A h, through the tables that the kernels read, at each phi step of each image."""
    content = experiment_list(np.random.default_rng(4))
    (experiment,) = read_expt(saved(tmp_path, content))
    crystal, goniometer = content["crystal"][0], content["goniometer"][0]
    a_matrix = np.linalg.inv(np.array([crystal[f"real_space_{axis}"] for axis in "abc"]))
    fixed, setting = (np.array(goniometer[key]).reshape(3, 3) for key in ("fixed_rotation", "setting_rotation"))
    assert experiment.images == (11, 14) and experiment.identifier == "x"
    for image in (11, 13):
        parameters = experiment.at_image(image)
        parameters = replace(
            parameters, crystal=replace(parameters.crystal, default_F=1.0), sampling=replace(parameters.sampling, phisteps=4)
        )
        x = derive_planes(parameters, experiment.detector, "spec")[0]
        for step in range(4):
            phi = 30.0 + 0.2 * (image - 11) + 0.05 * step
            lattice = setting @ rotation(goniometer["rotation_axis"], phi) @ fixed @ a_matrix
            real = x.tables.crystal.orientations[step].reshape(3, 3) * 1e10
            np.testing.assert_allclose(real @ lattice, np.eye(3), atol=1e-12)
    direction = np.array([0.01, -0.02, 2.0]) / np.linalg.norm([0.01, -0.02, 2.0])
    np.testing.assert_allclose(x.tables.beam.incident[0], -direction, atol=1e-15)
    assert x.wavelength == pytest.approx(0.9795e-10, rel=1e-15)
    with pytest.raises(InputError, match="images 11 to 14, not 15"):
        experiment.at_image(15)


def test_polarization(tmp_path):
    """The share p of the photons has its E vector in the plane across the normal: p (1 - (d.e)^2) + (1 - p) (1 - (d.n)^2)."""
    content = experiment_list(np.random.default_rng(5))
    content["beam"][0].update(direction=[0.0, 0.0, 1.0], polarization_normal=[0.6, 0.8, 0.0])
    (experiment,) = read_expt(saved(tmp_path, content))
    parameters = replace(experiment.parameters, crystal=replace(experiment.parameters.crystal, default_F=1.0))
    x, planes, _ = derive_planes(parameters, experiment.detector, "spec")
    seen = []
    for number, plane in enumerate(planes):
        record = PixelEngine(seen_by(x, plane, (1, 1), parameters)).record(5, 4, False)
        d = laboratory(content, number, 4.5, 5.5)
        d /= np.linalg.norm(d)
        e, n = np.array([0.8, -0.6, 0.0]), np.array([0.6, 0.8, 0.0])
        assert record[PixelRecord.POLAR] == pytest.approx(0.97 * (1 - (d @ e) ** 2) + 0.03 * (1 - (d @ n) ** 2), rel=1e-6)
        seen.append(record[PixelRecord.POLAR])
    assert np.ptp(seen) > 0.001


def test_goniometers_of_several_axes(tmp_path):
    content = experiment_list(np.random.default_rng(6))
    axes = [[1.0, 0.0, 0.0], [0.6, 0.0, 0.8], [0.0, 1.0, 0.1]]
    content["goniometer"][0] = {"axes": axes, "angles": [10.0, 77.0, -35.0], "names": ["phi", "kappa", "omega"], "scan_axis": 1}
    (experiment,) = read_expt(saved(tmp_path, content))
    crystal = content["crystal"][0]
    rows = np.array([crystal[f"real_space_{axis}"] for axis in "abc"])
    # From the crystal outwards: phi, then the scanned kappa, then omega.
    at_zero = rotation(axes[2], -35.0) @ rotation(axes[0], 10.0)
    np.testing.assert_allclose(experiment.parameters.crystal.real_space_matrix, rows @ at_zero.T, atol=1e-12)
    np.testing.assert_allclose(experiment.parameters.axes.spindle_axis, rotation(axes[2], -35.0) @ axes[1], atol=1e-12)


@pytest.mark.parametrize(
    "scan, phi, width",
    [
        ({"image_range": [1, 3], "oscillation": [5.0, 0.5]}, 5.0, 0.5),
        ({"image_range": [1, 1], "oscillation": [5.0, 0.5]}, 5.0, 0.5),
        ({"image_range": [1, 1], "properties": {"oscillation": [5.0], "oscillation_width": [0.5]}}, 5.0, 0.5),
        ({"image_range": [1, 1], "properties": {"oscillation": [5.0, 0.5]}}, 5.0, 0.5),
        ({"image_range": [1, 2], "properties": {"oscillation": [5.0, 4.5]}}, 5.0, -0.5),
        ({"image_range": [1, 2], "properties": {"epochs": [0.0, 0.0]}}, 0.0, None),
        ({"image_range": [1, 1], "oscillation": [5.0, 0.0]}, 5.0, None),
    ],
)
def test_scans_of_older_and_newer_lists(tmp_path, scan, phi, width):
    content = experiment_list(np.random.default_rng(7))
    content["scan"][0] = scan
    sampling = read_expt(saved(tmp_path, content))[0].parameters.sampling
    assert (sampling.phi_deg, sampling.osc_deg) == (phi, width)


def test_stills_share_a_detector(tmp_path):
    content = experiment_list(np.random.default_rng(8))
    del content["experiment"][0]["goniometer"], content["experiment"][0]["scan"]
    content["crystal"].append({**content["crystal"][0], "real_space_a": [50.0, 0.0, 0.0]})
    content["experiment"].append({**content["experiment"][0], "crystal": 1, "identifier": "y"})
    del content["detector"][0]["hierarchy"]
    content["detector"][0]["panels"][2]["mask"] = [[2, 1, 5, 9]]
    first, second = iterate_expt(saved(tmp_path, content))
    assert first.detector.panels[0] is second.detector.panels[0] and second.identifier == "y" and second.number == 1
    assert first.parameters.sampling == Sampling() and first.images == (1, 1)
    np.testing.assert_array_equal(second.parameters.crystal.real_space_matrix[0], [50.0, 0.0, 0.0])
    mask = np.ones((11, 11), bool)
    mask[1:9, 2:5] = False
    np.testing.assert_array_equal(first.detector.panels[2].mask, mask)
    np.testing.assert_array_equal(first.detector.panels[3].origin_mm, content["detector"][0]["panels"][3]["origin"])


def test_panels_of_the_first_of_several_detectors(tmp_path):
    content = experiment_list(np.random.default_rng(14))
    content["detector"].append(copy.deepcopy(content["detector"][0]))
    content["detector"][1]["panels"][0]["origin"] = [1.0, 2.0, 3.0]
    content["experiment"].append({**content["experiment"][0], "detector": 1})
    described = read_described(saved(tmp_path, content))
    np.testing.assert_allclose(described.detector.panels[0].origin_mm, laboratory(content, 0, 0, 0), atol=1e-12)
    assert described.remarks == ("the experiments have several detectors; this is the first one's",)


def test_sensors_names_and_offsets(tmp_path):
    content = experiment_list(np.random.default_rng(9))
    for number, panel in enumerate(content["detector"][0]["panels"]):
        panel["name"] = "Panel"
        panel["px_mm_strategy"]["type"] = "ParallaxCorrectedPxMmStrategy"
        panel["raw_image_offset"] = [20 * number, 5]
        panel["pixel_size"] = [0.1, 0.2]
    (experiment,) = read_expt(saved(tmp_path, content))
    panel = experiment.detector.panels[3]
    assert (panel.name, panel.place, panel.thickness_um) == ("Panel3", (5, 60), 450.0)
    assert panel.attenuation_depth_um == pytest.approx(1000 / 3.2)
    assert np.linalg.norm(panel.slow) == pytest.approx(2.0) and panel.pixel_size_mm == 0.1
    np.testing.assert_allclose(panel.position_mm(7, 3), laboratory(content, 3, 7, 3), atol=1e-12)
    assert "numbered, from Panel0 on" in experiment.remarks[0]


def test_what_is_not_used_is_told(tmp_path):
    content = experiment_list(np.random.default_rng(10))
    content["beam"][0]["flux"] = 1e11
    content["crystal"][0].update(A_at_scan_points=[], mosaicity=0.1)
    content["detector"][0]["panels"][1]["px_mm_strategy"]["type"] = "OffsetPxMmStrategy"
    told = " / ".join(read_expt(saved(tmp_path, content))[0].remarks)
    for what in ("beam[0].flux = 1e+11", "crystal[0].mosaicity", "crystal[0]: the lattice that varies", "panels[1]: the offsets"):
        assert what in told


SWEEP = (
    "-cell 40 50 60 80 95 100 -misset 10 20 30 -N 5 -default_F 100 -lambda 1.3 -distance 60 -detpixels_f 64 -detpixels_s 48 -pixel 0.8 "
    "-detector_rotx 3 -detector_roty -4 -detector_rotz 5 -twotheta 7 -phi 12 -osc 0.3 -phisteps 2 -polar 0.9 -detector_thick 300"
)


@pytest.mark.parametrize("convention", ["-mosflm", "-adxv", "-xds", "-denzo", "-dials"])
def test_round_trip_of_a_detector_of_ours(tmp_path, convention):
    parameters = parameters_from_command_line(f"{SWEEP} {convention}")
    whole = simulate(parameters, dtype=np.float64)
    write_expt(tmp_path / "a.expt", parameters)
    (experiment,) = read_expt(tmp_path / "a.expt")
    assert experiment.remarks == ()
    read = experiment.parameters
    again = replace(
        read, crystal=replace(read.crystal, n_cells=(5, 5, 5), default_F=100), sampling=replace(read.sampling, phisteps=2),
    )  # fmt: skip
    run = simulate_panels(again, experiment.detector, dtype=np.float64)
    x, y = whole.experiment, run.experiment
    np.testing.assert_allclose(y.tables.crystal.orientations, x.tables.crystal.orientations, rtol=0, atol=1e-12 * 6e-9)
    np.testing.assert_allclose(y.tables.beam.incident, x.tables.beam.incident, atol=1e-15)
    np.testing.assert_allclose(np.cross(y.tables.beam.axes[0], x.tables.beam.axes[0]), 0.0, atol=1e-15)
    for field in ("pix0", "fast", "slow", "normal", "pixel_size", "distance", "close_distance", "layer_thickness", "layers", "mu"):
        np.testing.assert_allclose(getattr(y.tables.detector, field), getattr(x.tables.detector, field), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(run.image, whole.image, rtol=1e-6)


def test_round_trip_of_panels_in_groups(tmp_path):
    content = experiment_list(np.random.default_rng(11))
    content["detector"][0]["panels"][2]["mask"] = [[2, 1, 5, 9], [2, 9, 4, 10]]
    (first,) = read_expt(saved(tmp_path, content))
    crystal = replace(first.parameters.crystal, default_F=1.0)
    write_expt(tmp_path / "b.expt", replace(first.at_image(12), crystal=crystal), first.detector)
    (second,) = read_expt(tmp_path / "b.expt")
    for one, other in zip(first.detector.panels, second.detector.panels, strict=True):
        np.testing.assert_allclose(one.position_mm([0, 9], [0, 11]), other.position_mm([0, 9], [0, 11]), atol=1e-12)
        assert (one.name, one.group, one.shape, one.thickness_um) == (other.name, other.group, other.shape, other.thickness_um)
    np.testing.assert_array_equal(second.detector.panels[2].mask, first.detector.panels[2].mask)
    assert [(g.name, g.parent) for g in second.detector.groups] == [("root", None), ("q0", 0), ("q1", 0)]
    for one, other in zip(first.detector.groups, second.detector.groups, strict=True):
        np.testing.assert_allclose([one.origin_mm, one.fast, one.slow], [other.origin_mm, other.fast, other.slow], atol=1e-12)
    np.testing.assert_allclose(
        second.parameters.crystal.real_space_matrix, first.parameters.crystal.real_space_matrix, atol=1e-12 * 100
    )  # fmt: skip
    assert (second.parameters.sampling.phi_deg, second.parameters.sampling.osc_deg) == (30.2, pytest.approx(0.2))
    assert second.parameters.beam.polarization == pytest.approx(first.parameters.beam.polarization, abs=1e-15)


def test_a_still_is_written_at_its_angle(tmp_path):
    parameters = parameters_from_command_line(SWEEP.partition(" -osc")[0])
    write_expt(tmp_path / "still.expt", parameters, image="image.nxs")
    content = json.loads((tmp_path / "still.expt").read_text())
    assert content["goniometer"] == content["scan"] == [] and "scan" not in content["experiment"][0]
    assert content["imageset"][0]["images"][0].endswith("/image.nxs") and content["imageset"][0]["single_file_indices"] == [0]
    x = derive_experiment(parameters)
    rows = np.array([content["crystal"][0][f"real_space_{axis}"] for axis in "abc"])
    np.testing.assert_allclose(rows * 1e-10, x.tables.crystal.orientations[0].reshape(3, 3), atol=1e-12 * 6e-9)


def test_mask_rectangles_are_those_of_the_mask(tmp_path):
    mask = np.random.default_rng(12).random((13, 17)) < 0.6
    parameters = Parameters(
        Crystal(cell=(50, 50, 50, 90, 90, 90), default_F=1.0), detector=Detector(pixels=(17, 13), distance_mm=50, mask=mask)
    )
    write_expt(tmp_path / "m.expt", parameters)
    np.testing.assert_array_equal(read_expt(tmp_path / "m.expt")[0].detector.panels[0].mask, mask)


def test_what_has_no_place_in_a_list_is_refused(tmp_path):
    parameters = Parameters(Crystal(cell=(50, 50, 50, 90, 90, 90), default_F=1.0))
    skew = Panel("s", (4, 4), 0.1, (0.0, 0.0, 50.0), (1.0, 0.0, 0.0), (0.3, 1.0, 0.0))
    with pytest.raises(InputError, match="panel 's': fast and slow are not at right angles"):
        write_expt(tmp_path / "s.expt", parameters, PanelDetector((skew,)))
    with pytest.raises(InputError, match="neither a cell"):
        write_expt(tmp_path / "s.expt", Parameters())
    assert list(tmp_path.iterdir()) == []


def test_several_top_groups_get_a_root(tmp_path):
    flat = [
        Panel(name, (4, 4), 0.1, (0.0, y, 50.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), group=g)
        for name, y, g in (("a", 0.0, 0), ("b", 1.0, None))
    ]
    detector = PanelDetector(flat, (Group("g", None, (0.0, 0.0, 50.0)),))
    write_expt(tmp_path / "g.expt", Parameters(Crystal(cell=(50, 50, 50, 90, 90, 90), default_F=1.0)), detector)
    (read,) = read_expt(tmp_path / "g.expt")
    assert [(group.name, group.parent) for group in read.detector.groups] == [("all", None), ("g", 0)]
    assert [panel.origin_mm for panel in read.detector.panels] == [(0.0, 0.0, 50.0), (0.0, 1.0, 50.0)]


def _with(path, value):
    """A change of the list: the value at a path of keys, or its removal."""

    def change(content):
        node = content
        for key in path[:-1]:
            node = node[key]
        if value is KeyError:
            del node[path[-1]]
        else:
            node[path[-1]] = value

    return change


P0 = ("detector", 0, "panels", 0)
Q1 = ("detector", 0, "hierarchy", "children", 1, "children")
BAD = {
    "is no experiment list": _with(("__id__",), "DataBlock"),
    "experiment must be a list": _with(("experiment",), {}),
    "holds no experiment": _with(("experiment",), []),
    r"experiment\[0\] has no beam": _with(("experiment", 0, "beam"), None),
    r"experiment\[0\]\.detector is 3, where detector has 1 models": _with(("experiment", 0, "detector"), 3),
    r"experiment\[0\]\.crystal is a model in a file of its own": _with(("experiment", 0, "crystal"), "crystal.json"),
    r"beam\[0\]\.wavelength must be positive, not -1 A": _with(("beam", 0, "wavelength"), -1),
    r"beam\[0\]\.direction must be 3 numbers, not 2": _with(("beam", 0, "direction"), [0.0, 1.0]),
    r"beam\[0\]\.direction has no direction": _with(("beam", 0, "direction"), [0.0, 0.0, 0.0]),
    r"beam\[0\]\.polarization_normal lies along the beam": _with(("beam", 0, "polarization_normal"), [0.01, -0.02, 2.0]),
    r"beam\[0\]\.polarization_fraction must be from 0 to 1": _with(("beam", 0, "polarization_fraction"), 1.2),
    r"beam\[0\]\.probe must be x-ray, not electron": _with(("beam", 0, "probe"), "electron"),
    r"beam\[0\] is polychromatic": _with(("beam", 0, "__id__"), "polychromatic"),
    r"detector\[0\]\.panels\[0\]\.fast_axis\[1\] must be a number, not \"x\"": _with((*P0, "fast_axis"), [1.0, "x", 0.0]),
    r"detector\[0\]\.panels\[0\]\.slow_axis is missing": _with((*P0, "slow_axis"), KeyError),
    r"detector\[0\]\.panels\[0\]\.slow_axis is not at a right angle": _with((*P0, "slow_axis"), [0.3, 0.4, 0.5]),
    r"detector\[0\]\.panels\[0\]\.image_size is missing": _with((*P0, "image_size"), KeyError),
    r"detector\[0\]\.panels\[0\]\.pixel_size must be positive": _with((*P0, "pixel_size"), [0.1, 0.0]),
    r"detector\[0\]\.panels\[0\] is not usable: panel 'm0': a panel of 0 x 0": _with((*P0, "image_size"), [0, 0]),
    r"panels\[0\]\.image_size\[0\] must be a whole number, not 1\.5": _with((*P0, "image_size"), [1.5, 3]),
    r"oscillation_width is empty": _with(("scan", 0, "properties", "oscillation_width"), []),
    r"mu must be a number, not 1000": _with((*P0, "mu"), 10**400),
    r"are too many": _with((*P0, "image_size"), [10**9, 10**9]),
    r"panels\[0\]\.mask\[0\] is not inside the panel": _with((*P0, "mask"), [[0, 0, 99, 1]]),
    r"children\[0\]\.panel is 1, which is in the hierarchy twice": _with((*Q1, 0, "panel"), 1),
    r"hierarchy does not hold panel 7": _with((*Q1, 3), {"children": []}),
    r"goniometer\[0\]\.fixed_rotation is no rotation": _with(("goniometer", 0, "fixed_rotation"), [1.0] * 9),
    r"goniometer\[0\]\.setting_rotation must be 9 numbers, not 3": _with(("goniometer", 0, "setting_rotation"), [1.0] * 3),
    r"scan\[0\]\.image_range ends before it begins": _with(("scan", 0, "image_range"), [4, 1]),
    r"scan\[0\]\.properties\.oscillation gives no width": _with(("scan", 0, "properties", "oscillation"), [1.0]),
    r"crystal\[0\]\.real_space_b is missing": _with(("crystal", 0, "real_space_b"), KeyError),
    r"crystal\[0\] encloses no volume": _with(("crystal", 0, "real_space_b"), [0.0, 0.0, 0.0]),
    r"must be a number, not NaN": _with(("crystal", 0, "real_space_b"), [0.0, float("nan"), 0.0]),
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_bad_lists(tmp_path, said):
    content = copy.deepcopy(experiment_list(np.random.default_rng(13)))
    BAD[said](content)
    with pytest.raises(InputError, match=r"^-expt .*models\.expt: ") as error:
        read_expt(saved(tmp_path, content))
    assert error.match(said)


@pytest.mark.parametrize(
    "text, said", [("{\n 1", "line 2: is no JSON"), ("", "is empty"), ("[]", "is no experiment list"), ("\xff", "is no")]
)
def test_files_that_are_no_list(tmp_path, text, said):
    (tmp_path / "bad.expt").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=said):
        read_expt(tmp_path / "bad.expt")
