"""Joint fits of stills with fresh noise: what comes back, how sure the fit is of it, and which starts are no starts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_stills import GAIN, READOUT, angle_between, noisy, stills, turn

from nanobragg_numba import InputError, autograd, parameters_from_command_line, simulate, spots
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.refinement.fit import Settings, explained_share, fit
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.joint_target import JointTarget
from nanobragg_numba.refinement.kinds import KINDS
from nanobragg_numba.refinement.measured import measured, pixels_of, strong_pixels
from nanobragg_numba.refinement.optimisers import METHODS
from nanobragg_numba.refinement.restraints import Restraint
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

LINE = "-cell 45 55 65 90 90 90 -default_F 60 -N 12 -lambda 1.2 -distance 60 -detpixels 128 -pixel 0.4 -oversample 1 -gauss_xtal"
SMALL = "-cell 40 44 50 90 90 90 -default_F 60 -N 10 -lambda 1.2 -distance 40 -detpixels 48 -pixel 0.7 -oversample 1 -gauss_xtal"
OF_ONE_PLANE = tuple(name for name in KINDS if not name.startswith(("group_", "panel_", "structure_", "mosaic_width")))
WHOLE = ("orientation", "scale", "cell", "n_cells", "distance_mm")


pytestmark = pytest.mark.usefixtures("one_thread")


def found_and_wanted(fitted, kind):
    rows = [n for n, row in enumerate(fitted.free.rows) if row.name == kind]
    return fitted.values[rows], fitted.sigmas[rows]


def check_recovered(made, fitted, orientation, cell, n_cells, distance):
    for still, parameters in zip(made, fitted.parameters, strict=True):
        assert angle_between(parameters.crystal.orientation, starting_model(still.truth).orientation) < orientation
        assert parameters.beam.fluence / still.truth.beam.fluence == pytest.approx(1.0, abs=0.03)
    values, _ = found_and_wanted(fitted, "cell")
    np.testing.assert_allclose(values, [45.0, 55.0, 65.0], rtol=cell)
    values, _ = found_and_wanted(fitted, "n_cells")
    np.testing.assert_allclose(values, 12.0, rtol=n_cells)
    values, _ = found_and_wanted(fitted, "distance_mm")
    assert values[0] == pytest.approx(60.0, rel=distance)


def test_a_joint_fit_of_noisy_stills():
    made = stills(LINE, 3, np.random.default_rng(5))
    told = []
    settings = Settings(refine=WHOLE, space_group="P 21 21 21")
    fitted = fit([still.measured for still in made], [still.start for still in made], settings, progress=told.append)
    check_recovered(made, fitted, orientation=0.006, cell=0.0003, n_cells=0.03, distance=0.0002)
    assert fitted.explained > 0.7
    # Half the sum of squares is what was made small; it is as large as noise makes it.
    assert fitted.squares / fitted.freedom == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / fitted.freedom))
    assert told[-1].stage == told[-1].stages > 1 and told[-1].target == pytest.approx(0.5 * fitted.squares, rel=0.01)
    # An independent look: distances from the truth in standard deviations.
    for kind, truth in (("cell", [45.0, 55.0, 65.0]), ("n_cells", 12.0), ("distance_mm", 60.0)):
        values, sigmas = found_and_wanted(fitted, kind)
        assert (np.abs(values - truth) < 4.0 * sigmas).all()


def test_twenty_stills():
    made = stills(LINE, 20, np.random.default_rng(8), peak=40000.0)
    settings = Settings(refine=WHOLE, space_group="P 21 21 21", most_spots=120)
    fitted = fit([still.measured for still in made], [still.start for still in made], settings)
    check_recovered(made, fitted, orientation=0.003, cell=0.0002, n_cells=0.03, distance=0.0001)


@pytest.fixture(scope="module")
def small():
    """One small still, its start close by, for what needs no long way."""
    return stills(SMALL, 1, np.random.default_rng(3), off_deg=0.02, off=0.0005, n_cells=1.0, distance=1.0)[0]


def test_sigmas_are_those_of_repeats(small):
    image = simulate(small.truth).image.astype(float)
    random = np.random.default_rng(17)
    settings = Settings(refine=("orientation", "scale", "n_cells"), start_error=0.0, method="trust")
    truth = starting_model(small.truth)
    wanted = np.r_[0.0, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0]
    deviations = []
    for _ in range(50):
        shot = measured(noisy(image, 5.0, random), gain=GAIN, offset=10.0, readout=READOUT)
        fitted = fit([shot], [truth.parameters], settings)
        deviations.append((fitted.values - wanted) / fitted.sigmas)
    spread = np.std(deviations)
    assert 0.8 < spread < 1.25
    assert np.abs(np.mean(deviations, axis=0)).max() < 4.0 / np.sqrt(50)


MATRIX_LINE = (
    "-lambda 1.1 -detpixels 40 -pixel 0.5 -oversample 1 -default_F 50 -cell 40 45 50 80 95 100 -misset 10 20 30 -flux 1e24 -exposure 2 "
    "-beamsize 0.05"
)


@pytest.mark.parametrize(
    "words",
    [
        "-N 6 -distance 50",
        "-xtalsize 0.0003 -close_distance 45 -twotheta 20 -detector_rotx 3 -detector_roty -2 -detector_rotz 4 -phi 12 -osc 1 -phisteps 2",
        "-N 6 -distance 50 -xds -ORGX 15 -ORGY 22 -twotheta 12 -mosaic 0.3 -mosaic_dom 3 -dispersion 1 -dispsteps 2 -polar 0.8",
        "-N 6 -distance 50 -adxv -Xbeam 9 -Ybeam 11 -detector_thick 300 -detector_abs 200 -gauss_xtal -detector_roty 5",
    ],
)
def test_a_starting_model_makes_the_same_image(words):
    p = parameters_from_command_line(f"{MATRIX_LINE} {words}")
    model = starting_model(p)
    wanted = simulate(p).image.astype(float)
    np.testing.assert_allclose(simulate(model.parameters).image, wanted, rtol=2e-4, atol=1e-6 * wanted.max())
    # The detector's plane is where it was: the beam's point from its own coordinates.
    plane, geometry = model.plane, model.experiment.geometry
    point = 1000.0 * np.array(geometry.pix0) + plane.axes[:2].T @ plane.beam_mm
    np.testing.assert_allclose(point, plane.distance_mm * plane.beam, atol=1e-8)


def everything(count=2, line=None, per_shot=(), names=OF_ONE_PLANE, boxes=12):
    """Free parameters of all kinds, and a target of a few boxes, away from the minimum."""
    random = np.random.default_rng(2)
    line = line or f"{SMALL} -mosaic 0.4 -mosaic_dom 4 -dispersion 1 -dispsteps 3"
    made = stills(line, count, random, off_deg=0.05, off=0.001, distance=1.0)
    models = [starting_model(still.start) for still in made]
    free = free_parameters(models, names, cell_constraint("P 1"), per_shot)
    pixels = []
    for number, still in enumerate(made):
        found = spots(still.start, 2.8, border=2)
        strongest = found[np.argsort(-found.partiality)[: boxes + number]]
        pixels.append(pixels_of(still.measured, strongest, number, 8))
    return free, pixels


def test_derivatives_of_the_target_by_differences():
    free, pixels = everything(per_shot=("mosaic_spread_deg",))
    target = JointTarget(free, pixels, restraints={"cell": Restraint(40.0, 5.0), "scale": Restraint(1.0, 0.5)}, prior=free.priors())
    vector = free.start + 0.1 * free.priors() * np.random.default_rng(6).normal(size=len(free.start))
    target.take_weights(vector)
    gradient, matrix = target.normal_equations(vector)
    steps = 1e-4 * free.priors()
    columns = []
    for n, step in enumerate(steps):
        away = np.eye(len(vector))[n] * step
        before, after = target.residuals(vector - away), target.residuals(vector + away)
        columns.append((after - before) / (2.0 * step))
        by_difference = (target.value(vector + away) - target.value(vector - away)) / (2.0 * step)
        assert gradient[n] == pytest.approx(by_difference, rel=2e-4, abs=2e-5 * abs(gradient * steps).max() / step), str(free.rows[n])
    slopes = np.array(columns).T
    size = np.sqrt(np.diag(matrix))
    # Backgrounds follow the parameters: their part is in the residuals' slopes, too.
    np.testing.assert_allclose(slopes / size, target.jacobian(vector) / size, atol=2e-4)
    np.testing.assert_allclose(matrix / np.outer(size, size), slopes.T @ slopes / np.outer(size, size), atol=5e-4)


def test_each_column_is_its_own_shots():
    free, _ = everything(3, per_shot=("cell",))
    own = [row for row in free.rows if row.shot == 1]
    assert {row.name for row in own} == {"orientation", "scale", "cell"}
    assert [free.rows[n] for n in free.columns[1]][:3] == [row for row in own if row.name == "orientation"]
    shared = set(free.columns[0]) & set(free.columns[1]) & set(free.columns[2])
    together = {"n_cells", "n_cells_off_diagonal", "mosaic_spread_deg", "spectrum", "distance_mm", "beam_mm", "tilts_deg"}
    assert {free.rows[n].name for n in shared} == together
    vector = free.start.copy()
    tilt = [n for n, row in enumerate(free.rows) if row.name == "tilts_deg" and row.part == "slow"]
    turned = [n for n, row in enumerate(free.rows) if row.name == "orientation" and row.shot == 1]
    vector[tilt], vector[turned] = 2.0, [0.1, -0.2, 0.3]
    before, after = (free.parameters(1, v) for v in (free.start, vector))
    plane = free.models[1].plane
    # The beam's point stays, the fast axis leans.
    np.testing.assert_allclose(after.axes.fast, turn(2.0 * plane.axes[1]) @ plane.axes[0], atol=1e-12)
    point = np.array(after.detector.pix0_mm) + plane.beam_mm[0] * np.array(after.axes.fast) + plane.beam_mm[1] * np.array(after.axes.slow)
    np.testing.assert_allclose(point, plane.distance_mm * plane.beam, atol=1e-9)
    np.testing.assert_allclose(after.crystal.orientation, turn([0.1, -0.2, 0.3]) @ before.crystal.orientation, atol=1e-12)
    assert free.parameters(0, vector).crystal.orientation == pytest.approx(free.models[0].orientation)
    # The parameters of a shot, written out, make the image that the fit's tensors make.
    with torch.no_grad():
        image = autograd.simulate(free.models[1].parameters, **free.overrides(1, torch.from_numpy(vector[free.columns[1]])))
    np.testing.assert_allclose(simulate(after).image, image.numpy(), rtol=1e-5, atol=1e-6 * float(image.max()))


def test_all_methods_find_the_same():
    free, pixels = everything(1, LINE, names=("orientation", "scale", "n_cells", "distance_mm"), boxes=60)
    target = JointTarget(free, pixels)
    target.take_weights(free.start, from_data=True)
    found = {name: minimise(target, free.start, 100) for name, minimise in METHODS.items()}
    sigmas = np.sqrt(np.diag(np.linalg.inv(target.normal_equations(found["trust"])[1])))
    assert target.value(free.start) > 1.2 * target.value(found["trust"])
    for vector in found.values():
        assert target.value(vector) == pytest.approx(target.value(found["trust"]), abs=1e-3)
        assert (np.abs(vector - found["trust"]) < 0.05 * sigmas).all()


@pytest.fixture(scope="module")
def reference(small):
    """A fit of the small still."""
    return fit([small.measured], [small.start], Settings(refine=("orientation", "scale", "n_cells"), most_spots=60, start_error=0.0))


def test_restraints_hold(small, reference):
    held = fit([small.measured], [small.start], Settings(
        refine=("orientation", "scale", "n_cells"), most_spots=60, start_error=0.0, restraints={"n_cells": Restraint(11.0, 1e-3)},
    ))  # fmt: skip
    rows = [n for n, row in enumerate(held.free.rows) if row.name == "n_cells"]
    np.testing.assert_allclose(held.values[rows], 11.0, atol=0.01)
    assert (held.sigmas[rows] < 1.1e-3).all() and (reference.sigmas[rows] > 5e-3).all()
    with pytest.raises(InputError, match="restraint on cell: it is not refined; these are: orientation"):
        fit([small.measured], [small.start], Settings(refine=("orientation",), restraints={"cell": Restraint(1.0, 1.0)}))


def test_wrong_starts_are_said():
    still = stills(LINE, 1, np.random.default_rng(21), off_deg=0.05, off=0.001)[0]
    crystal = still.start.crystal
    away = replace(still.start, crystal=replace(crystal, orientation=turn([11.0, 23.0, 7.0]) @ crystal.orientation))
    for resolution in (None, 3.5):
        settings = Settings(resolution=resolution)
        assert explained_share([still.measured], [[still.start]], settings) > 0.85
        with pytest.raises(InputError, match=r"the model explains \d % of the strong pixels: \d+ of \d+ are in its boxes"):
            fit([still.measured], [away], settings)
    # What it says is so: strong pixels to that resolution inside the boxes, counted one by one.
    x = derive_experiment(still.start).geometry
    np.testing.assert_allclose([x.fbeam, x.sbeam], 0.026, atol=1e-9)
    y, z = 0.4 * (np.indices((128, 128)) + 0.5) - 26.0
    fine = 1.2 / (2.0 * np.sin(0.5 * np.arctan2(np.hypot(y, z), 60.18))) < 3.5
    bright = np.argwhere(strong_pixels(still.measured) & ~fine)
    boxes = spots(still.start, 3.5, border=4, least_partiality=0.02).box
    covered = {(slow, fast) for f, fe, s, se in boxes for slow in range(s, se) for fast in range(f, fe) if not fine[slow, fast]}
    share, area = sum((slow, fast) in covered for slow, fast in bright) / len(bright), len(covered) / (~fine).sum()
    found = explained_share([still.measured], [[still.start]], Settings(resolution=3.5))
    assert found == pytest.approx((share - area) / (1.0 - area))


def test_strong_pixels_and_bad_ones():
    random = np.random.default_rng(1)
    counts = 10.0 + 3.0 * random.poisson(4.0, (40, 50))
    counts[20, 30], counts[5, 5], counts[6, 6] = 10.0 + 3.0 * 60, np.nan, 10.0 + 3.0 * 90
    good = np.ones((40, 50), bool)
    good[6, 6] = False
    shot = measured(counts, gain=3.0, offset=10.0, readout=3.0, good=good)
    assert np.argwhere(strong_pixels(shot)).tolist() == [[20, 30]]
    assert shot.readout == 1.0 and not shot.good[5, 5] and shot.photons[20, 30] == pytest.approx(60.0)


def test_bad_pixels_have_no_say(small, reference):
    counts = small.counts.copy()
    good = np.ones(counts.shape, bool)
    random = np.random.default_rng(9)
    slow, fast = random.integers(0, 48, (2, 60))
    good[slow, fast] = False
    settings = Settings(refine=("orientation", "scale"), most_spots=60, start_error=0.0)
    found = []
    for value in (0.0, 1e7):
        counts[slow, fast] = value
        shot = measured(counts, gain=GAIN, offset=10.0, readout=READOUT, good=good)
        found.append(fit([shot], [small.start], settings))
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert sum(map(len, found[0].target.pixels)) < sum(map(len, reference.target.pixels))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"refine": ("wavelength",)}, "'wavelength' cannot be refined; these can: orientation"),
        ({"refine": ()}, "nothing is to be refined"),
        ({"per_shot": ("distance_mm",)}, "distance_mm cannot be each shot's own: it is not refined"),
        ({"refine": ("mosaic_spread_deg",)}, "shot 1: mosaic_spread_deg is refined from a spread above 0"),
        ({"background": "cubic"}, "background must be one of none, constant, plane, not 'cubic'"),
        ({"method": "annealing"}, "method must be one of trust, least_squares, lbfgs"),
        ({"space_group": "P 4"}, "the cell .* is not tetragonal"),
        ({"steps": 0}, "steps and spots must be 1 or more"),
    ],
)
def test_settings_without_a_meaning(small, changes, says):
    with pytest.raises(InputError, match=says):
        fit([small.measured], [small.start], replace(Settings(), **changes))


def test_images_of_another_size(small):
    with pytest.raises(InputError, match="an image has 48x40 pixels, and its model 48x48"):
        fit([measured(small.counts[:40])], [small.start], Settings())
    with pytest.raises(InputError, match="2 images and 1 starting models"):
        fit([small.measured] * 2, [small.start], Settings())
