"""Detectors of many panels: what is rendered, groups that move, and sentences about panels that make no sense."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nanobragg_numba import InputError, Parameters, SourceList, parameters_from_command_line, simulate
from nanobragg_numba.experiment.parameters import Axes
from nanobragg_numba.panels.detector import Group, Panel, PanelDetector
from nanobragg_numba.panels.simulate import simulate_panels

LINE = (
    "-cell 40 50 60 80 95 100 -misset 10 20 30 -N 5 -default_F 100 -lambda 1.3 -distance 60 -detpixels_f 64 -detpixels_s 48 -pixel 0.8 "
    "-detector_rotx 3 -detector_roty -4 -detector_rotz 5 -twotheta 7 -phi 0 -osc 1 -phisteps 3 -mosaic 0.5 -mosaic_domains 3"
)
SHAPES = ("-square_xtal", "-round_xtal", "-gauss_xtal", "-tophat_spots")
QUARTERS = {"a": (0, 20, 0, 30), "b": (0, 20, 30, 64), "c": (20, 48, 0, 30), "d": (20, 48, 30, 64)}


def rotation(axis, degrees):
    """The matrix of a right-handed rotation, from its generator's exponential."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k


@pytest.mark.parametrize("compat", ["spec", "c", "c-fixed"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_detector_cut_into_four_is_the_detector(compat, shape):
    for convention in ("-mosflm", "-adxv", "-xds"):
        parameters = parameters_from_command_line(f"{LINE} {shape} {convention}", compat)
        whole = simulate(parameters, compat=compat)
        parts = simulate_panels(parameters, PanelDetector.cut(parameters, QUARTERS, compat), compat=compat)
        assert whole.image.max() > 5 * whole.image.mean() > 0
        np.testing.assert_array_equal(parts.image.view(np.int32), whole.image.view(np.int32))
        np.testing.assert_array_equal(parts["c"], whole.image[20:, :30])
        assert parts.solid_angle_sum == whole.solid_angle_sum


SOURCES = SourceList(
    np.array([[-10, 0.0, 0.01], [-10, 0.02, 0.0], [-10, -0.03, 0.01]]), np.array([1.0, 3.0, 0.5]), np.array([1.3e-10, 1.28e-10, 1.31e-10])
)


@pytest.mark.parametrize("compat", ["spec", "c"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cut_with_sensor_sources_and_steps_that_leak_from_pixel_to_pixel(compat, dtype):
    """Interpolation off from some pixel on (Q2), the first sweep (Q1), polarization at several sources (Q4): all in serial order."""
    parameters = parameters_from_command_line(f"{LINE} -interpolate -N 2 -detector_thick 400 -detector_thicksteps 3 -polar 0.5", compat)
    mask = np.ones((48, 64), np.uint8)
    mask[0, :3], mask[15:30, 20:40] = 0, 0
    parameters = replace(
        parameters, beam=replace(parameters.beam, sources=SOURCES), detector=replace(parameters.detector, mask=mask),
        sampling=replace(parameters.sampling, oversample=2),
    )  # fmt: skip
    whole = simulate(parameters, compat=compat, dtype=dtype)
    parts = simulate_panels(parameters, PanelDetector.cut(parameters, QUARTERS, compat), compat=compat, dtype=dtype)
    np.testing.assert_array_equal(parts.image, whole.image)
    assert parts.image.dtype == dtype


def test_as_many_sub_pixels_as_the_whole_asks_for():
    parameters = parameters_from_command_line(f"{LINE.partition(' -phi')[0]} -N 60")
    whole = simulate(parameters)
    parts = simulate_panels(parameters, PanelDetector.cut(parameters, QUARTERS))
    assert whole.experiment.oversample > 1
    assert parts.experiment.oversample == whole.experiment.oversample
    assert parts.experiment.steps == whole.experiment.steps
    np.testing.assert_array_equal(parts.image, whole.image)


def test_sub_pixels_for_the_nearest_pixel_not_for_the_nearest_point_of_its_plane():
    """A panel at 90 degrees whose plane, drawn out, passes 1 mm from the sample, and which is 60 mm away."""
    edge_on = Panel("e", (8, 10), 0.8, (60.0, 1.0, -4.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    run = simulate_panels(replace(FLAT, crystal=replace(FLAT.crystal, n_cells=(60, 60, 60))), PanelDetector((edge_on,)))
    # A reciprocal pixel is lambda distance / pixel; three of them over the widest side of the crystal.
    wanted = np.ceil(3 * 60 * 60e-10 * 0.8e-3 / (1.3e-10 * np.hypot(60e-3, 1e-3)))
    assert run.experiment.oversample == run.experiment.recommended_oversample == wanted > 1


def flat_panel(name, slow, fast, **other):
    """A panel of a plane across the beam of the convention MOSFLM."""
    return Panel(name, (8, 10), 0.8, (60.0, 10.0 - 0.8 * slow, -12.0 + 0.8 * fast), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0), **other)


FLAT = parameters_from_command_line("-cell 40 50 60 80 95 100 -misset 10 20 30 -N 5 -default_F 100 -lambda 1.3")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_panels_of_their_own_are_single_detectors(threads):
    """Each tilted panel beside ``simulate`` of a detector with the same corner and axes, given as vectors."""
    panels = []
    for number in range(5):
        turn = rotation((1, 2, number), 7.0 * number)
        fast, slow = turn @ [0, 0, 1.0], turn @ [0, -1.0, 0]
        sensor = {"thickness_um": 300.0, "attenuation_depth_um": 200.0 + number} if number % 2 else {}
        panels.append(Panel(f"p{number}", (9 + number, 11), 0.8, (60.0, 9.0 - 4 * number, -7.0 + number), fast, slow, **sensor))
    run = simulate_panels(FLAT, PanelDetector(panels), threads=threads)
    assert run.image.shape == (9 + 10 + 11 + 12 + 13, 11)
    for panel, image in zip(panels, run.images, strict=True):
        detector = replace(
            FLAT.detector, pixels=panel.shape[::-1], pixel_size_mm=0.8, convention="custom", fast_axis=panel.fast, slow_axis=panel.slow,
            normal_axis=(1.0, 0.0, 0.0), pix0_mm=panel.origin_mm, thickness_um=panel.thickness_um or 0.0,
            attenuation_depth_um=panel.attenuation_depth_um,
        )  # fmt: skip
        single = simulate(replace(FLAT, detector=detector, sampling=replace(FLAT.sampling, oversample=run.experiment.oversample)))
        np.testing.assert_allclose(image, single.image, rtol=2e-7)


def test_pixels_that_are_not_square():
    """Twice as high: each is two square ones."""
    tall = Panel("tall", (4, 10), 0.8, (60.0, 10.0, -12.0), (0.0, 0.0, 1.0), (0.0, -2.0, 0.0))
    smooth = replace(
        FLAT, crystal=replace(FLAT.crystal, n_cells=(2, 2, 2), interpolate=False), sampling=replace(FLAT.sampling, oversample=80)
    )
    once = simulate_panels(smooth, PanelDetector((tall,))).image
    twice = simulate_panels(smooth, PanelDetector((flat_panel("p", 0, 0),))).image
    np.testing.assert_allclose(once, twice[::2] + twice[1::2], rtol=1e-3)


def test_masks_places_and_the_map():
    mask = np.ones((8, 10))
    mask[2:5, 3:] = 0
    left, right = flat_panel("left", 0, 0, place=(3, 20), mask=mask), flat_panel("right", 0, 10, place=(0, 4))
    run = simulate_panels(FLAT, PanelDetector((left, right)))
    open_run = simulate_panels(FLAT, PanelDetector((replace(left, mask=None), right)))
    assert run.image.shape == (11, 30)
    np.testing.assert_array_equal(run["left"], np.where(mask, open_run["left"], 0))
    assert (open_run.images[0] > 0).all() and (open_run[1] > 0).all()
    outside = np.ones((11, 30), bool)
    for row in run.detector.map():
        outside[slice(*row["slow"]), slice(*row["fast"])] = False
    assert outside.sum() == 330 - 160
    assert (run.image[outside] == 0).all()
    assert run.detector.map()[0]["slow"] == [3, 11] and run.detector.map()[0]["fast"] == [20, 30]


def test_axes_of_the_file_go_before_the_convention_and_after_those_of_the_parameters():
    """A detector turned together with the beam records the same."""
    turn = rotation((0.3, -0.5, 0.8), 40.0)
    panel = flat_panel("p", 0, 0)
    turned = Panel("p", panel.shape, 0.8, tuple(turn @ panel.origin_mm), tuple(turn @ panel.fast), tuple(turn @ panel.slow))
    axes = Axes(beam=tuple(turn @ [1.0, 0, 0]), polarization_axis=tuple(turn @ [0, 0, 1.0]), spindle_axis=tuple(turn @ [0, 0, 1.0]))
    crystal = replace(FLAT.crystal, orientation=turn)
    sampling = replace(FLAT.sampling, phi_deg=5.0)
    plain = simulate_panels(replace(FLAT, sampling=sampling), PanelDetector((panel,)), dtype=np.float64).image
    for filed, own in ((axes, Axes()), (Axes(beam=(0.0, 1.0, 0.0)), axes)):
        parameters = replace(FLAT, crystal=crystal, sampling=sampling, axes=own)
        np.testing.assert_allclose(
            simulate_panels(parameters, PanelDetector((turned,), axes=filed), dtype=np.float64).image, plain, rtol=1e-7
        )


GROUPS = (Group("all"), Group("q0", 0, (60.0, 5.0, 0.0)), Group("q1", 0, (60.0, -5.0, 0.0)), Group("inner", 1, (59.0, 1.0, 2.0)))
GROUPED = PanelDetector((flat_panel("a", 0, 0, group=1), flat_panel("b", 0, 10, group=3), flat_panel("c", 8, 0, group=2)), GROUPS)


def test_a_group_moves_as_one():
    moved = GROUPED.moved("q0", translation_mm=(0.1, -0.2, 0.3), axis=(1.0, 2.0, -1.0), angle_deg=11.0)
    turn, pivot, shift = rotation((1, 2, -1), 11.0), np.array([60.0, 5.0, 0.0]), np.array([0.1, -0.2, 0.3])
    for name in ("a", "b"):
        expected = (GROUPED.panel(name).position_mm([0, 3.5], [1, 7.25]) - pivot) @ turn.T + pivot + shift
        np.testing.assert_allclose(moved.panel(name).position_mm([0, 3.5], [1, 7.25])[0], expected[0], atol=1e-12)
        np.testing.assert_allclose(moved.panel(name).position_mm([0, 3.5], [1, 7.25])[1], expected[1], atol=1e-12)
    assert moved.panels[2] == GROUPED.panels[2] and moved.groups[2] == GROUPED.groups[2] and moved.groups[0] == GROUPED.groups[0]
    np.testing.assert_allclose(moved.groups[3].origin_mm, turn @ (np.array([59.0, 1.0, 2.0]) - pivot) + pivot + shift, atol=1e-12)
    np.testing.assert_allclose(moved.groups[1].fast, turn @ [1.0, 0, 0], atol=1e-12)
    assert moved.panels[1].group == 3 and moved.map()[1]["groups"] == ["all", "q0", "inner"]
    back = moved.moved("q0", axis=(1.0, 2.0, -1.0), angle_deg=-11.0).moved("q0", translation_mm=(-0.1, 0.2, -0.3))
    np.testing.assert_allclose(back.panels[1].origin_mm, GROUPED.panels[1].origin_mm, atol=1e-12)


def test_a_panel_and_the_whole_move():
    shifted = GROUPED.moved(panel="b", translation_mm=(0.0, 0.8, 0.0))
    assert shifted.panels[1].origin_mm == (60.0, 10.8, -4.0) and shifted.panels[0] == GROUPED.panels[0]
    whole = GROUPED.moved(axis=(0, 0, 2.0), angle_deg=90.0)
    np.testing.assert_allclose(whole.panels[0].origin_mm, (-10.0, 60.0, -12.0), atol=1e-12)
    aside = GROUPED.moved("q0", axis=(0, 0, 1.0), angle_deg=180.0, pivot_mm=(1.0, 2.0, 3.0))
    np.testing.assert_allclose(aside.panels[0].origin_mm, (2.0 - 60.0, 4.0 - 10.0, -12.0), atol=1e-12)


def test_progress_counts_every_row():
    told = []
    simulate_panels(FLAT, GROUPED, threads=2, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24) and all(a[0] < b[0] for a, b in pairwise(told))


def test_saved_with_its_map(tmp_path):
    import json

    run = simulate_panels(FLAT, GROUPED)
    run.save(tmp_path / "still.bin")
    np.testing.assert_array_equal(np.fromfile(tmp_path / "still.bin", "<f4").reshape(24, 10), run.image)
    told = json.loads((tmp_path / "still.json").read_text())
    assert told["shape"] == [24, 10]
    np.testing.assert_array_equal(run.image[slice(*told["panels"][1]["slow"]), slice(*told["panels"][1]["fast"])], run["b"])
    run.save(tmp_path / "still.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "still.npy"), run.image)
    with pytest.raises(InputError, match="names no format"):
        run.save(tmp_path / "still.img")


P = flat_panel("p", 0, 0)
BAD = {
    "must be positive, not -1": lambda: replace(P, pixel_size_mm=-1.0),
    "must be finite": lambda: replace(P, origin_mm=(math.nan, 0.0, 0.0)),
    "is empty": lambda: replace(P, shape=(0, 10)),
    "along one line": lambda: replace(P, slow=(0.0, 0.0, -1.0)),
    r"mask of shape \(3, 3\)": lambda: replace(P, mask=np.ones((3, 3))),
    "before its plane": lambda: replace(P, first_pixel=(-1, 0)),
    "before the stacked": lambda: replace(P, place=(-1, 0)),
    "Panel.shape must be 2 whole numbers": lambda: replace(P, shape=(8.5, 10)),
    "two panels are called 'p'": lambda: PanelDetector((P, P)),
    "needs a panel": lambda: PanelDetector(()),
    "lies upon another": lambda: PanelDetector((replace(P, place=(0, 0)), replace(P, name="q", place=(7, 9)))),
    "group number 2 of 1": lambda: PanelDetector((replace(P, group=2),), (Group("g"),)),
    "behind the group": lambda: PanelDetector((P,), (Group("g", 0),)),
    "no group is called 'x'": lambda: GROUPED.moved("x"),
    "2 groups are called": lambda: replace(GROUPED, groups=(*GROUPS, Group("q0"))).moved("q0"),
    "no panel is called 'x'": lambda: GROUPED.panel("x"),
    "axis has no direction": lambda: GROUPED.moved("q0", axis=(0, 0, 0), angle_deg=1.0),
    "translation_mm must be 3 numbers": lambda: GROUPED.moved("q0", translation_mm=(1, 2)),
    "goes through the sample": lambda: simulate_panels(FLAT, PanelDetector((replace(P, origin_mm=(0.0, 1.0, 1.0)),))),
    "panels are planes": lambda: simulate_panels(replace(FLAT, detector=replace(FLAT.detector, curved=True)), GROUPED),
    "not inside": lambda: PanelDetector.cut(FLAT, {"a": (0, 2000, 0, 1)}),
    "must be a PanelDetector": lambda: simulate_panels(FLAT, GROUPED.panels),
    "neither a cell": lambda: simulate_panels(Parameters(), GROUPED),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_panels(said):
    with pytest.raises(InputError, match=said):
        BAD[said]()
