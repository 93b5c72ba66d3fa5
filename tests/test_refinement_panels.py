"""Detectors of several panels in a fit: groups that have moved are found, and panels are computed as ``simulate_panels`` does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_stills import GAIN, OFFSET, READOUT, angle_between, noisy, turn

from nanobragg_numba import InputError, autograd, parameters_from_command_line
from nanobragg_numba.panels.detector import Group, Panel, PanelDetector
from nanobragg_numba.panels.simulate import simulate_panels
from nanobragg_numba.refinement import Settings, fit, measured, stacked
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint

LINE = "-cell 45 55 65 90 90 90 -default_F 60 -N 12 -lambda 1.2 -oversample 1 -gauss_xtal -xds"
SIZE, PIXEL, GAP, DISTANCE = 40, 0.5, 1.3, 50.0


def detector_of(columns=2, rows=2, lean=0.0, size=SIZE):
    """Groups q00, q01, ... of a panel each, but for the first one's two, half as wide, side by side; the beam is along z."""
    panels, groups = [], [Group("all")]
    for row in range(rows):
        for column in range(columns):
            x, y = ((n - k / 2) * (size * PIXEL + GAP) + GAP / 2 for n, k in ((column, columns), (row, rows)))
            axes = turn([0.0, lean * (column + 1), -lean * row])
            groups.append(Group(f"q{row}{column}", 0, (x, y, DISTANCE)))
            pieces = (0, size // 2) if not panels else (0,)
            for first in pieces:
                corner = np.array([x, y, DISTANCE]) + first * PIXEL * axes[:, 0]
                wide = size // len(pieces)
                panels.append(
                    Panel(f"p{row}{column}_{first}", (size, wide), PIXEL, tuple(corner), tuple(axes[:, 0]), tuple(axes[:, 1]),
                          group=len(groups) - 1)
                )  # fmt: skip
    return PanelDetector(tuple(panels), tuple(groups))


pytestmark = pytest.mark.usefixtures("one_thread")


def stills_on(detector, count, random, peak=20000.0, off_deg=0.03, line=LINE):
    """Of each still the true parameters, the image with noise, and the parameters to start from."""
    made = []
    for _ in range(count):
        axis = random.normal(size=3)
        p = parameters_from_command_line(line)
        p = replace(p, crystal=replace(p.crystal, orientation=turn(random.uniform(0.0, 180.0) * axis / np.linalg.norm(axis))))
        p = replace(p, beam=replace(p.beam, fluence=1e27))
        p = replace(p, beam=replace(p.beam, fluence=1e27 * peak / simulate_panels(p, detector).image.max()))
        counts = noisy(simulate_panels(p, detector).image.astype(float), 5.0, random)
        away = random.normal(size=3)
        turned = turn(off_deg * away / np.linalg.norm(away)) @ p.crystal.orientation
        start = replace(p, crystal=replace(p.crystal, orientation=turned), beam=replace(p.beam, fluence=0.9 * p.beam.fluence))
        made.append((p, counts, start))
    return made


def test_a_group_that_has_moved_is_found():
    nominal = detector_of(rows=1, size=48)
    moved = nominal.moved("q00", translation_mm=(0.08, -0.06, 0.0))
    made = stills_on(moved, 3, np.random.default_rng(4))
    shots = [measured(counts, gain=GAIN, offset=OFFSET, readout=READOUT) for _, counts, _ in made]
    settings = Settings(refine=("orientation", "scale", "group_shifts_mm"), space_group="P 21 21 21")
    fitted = fit(shots, [start for *_, start in made], settings, detectors=[nominal] * 3)
    rows = {str(row): n for n, row in enumerate(fitted.free.rows)}
    for name in ("q00", "q01"):
        for axis, truth in (("fast", 0.08), ("slow", -0.06)):
            n = rows[f"group_shifts_mm {name} {axis}"]
            assert fitted.values[n] == pytest.approx(truth if name == "q00" else 0.0, abs=0.002)
            assert abs(fitted.values[n] - (truth if name == "q00" else 0.0)) < 4.0 * fitted.sigmas[n] < 0.004
    for shot, ((truth, *_), parameters) in enumerate(zip(made, fitted.parameters, strict=True)):
        sigmas = [fitted.sigmas[n] for n, row in enumerate(fitted.free.rows) if (row.name, row.shot) == ("orientation", shot)]
        away = angle_between(parameters.crystal.orientation, starting_model(truth, moved).orientation)
        assert away < 4.0 * np.linalg.norm(sigmas) < 0.03
    for panel, wanted in zip(fitted.detectors[0].panels, moved.panels, strict=True):
        np.testing.assert_allclose(panel.origin_mm[:2], wanted.origin_mm[:2], atol=0.002)
    assert fitted.detectors[0].groups[1].origin_mm[0] == pytest.approx(moved.groups[1].origin_mm[0], abs=0.002)


def test_a_start_makes_the_image_of_all_panels():
    detector = detector_of(lean=4.0)
    mask = np.ones((SIZE, SIZE), bool)
    mask[5:9, 3:30] = False
    panels = list(detector.panels)
    panels[3] = replace(panels[3], mask=mask)
    # A panel that begins inside its plane.
    panels[4] = replace(panels[4], shape=(SIZE - 6, SIZE - 4), first_pixel=(6, 4))
    detector = replace(detector, panels=tuple(panels))
    p = parameters_from_command_line(f"{LINE.replace('-oversample 1', '')} -misset 20 40 10 -mosaic 0.2 -mosaic_dom 3 -fluence 1e27")
    wanted = simulate_panels(p, detector)
    model = starting_model(p, detector)
    assert [panel.box for panel in model.panels] == list(detector.boxes)
    for number, panel in enumerate(model.panels):
        assert panel.parameters.sampling.oversample == wanted.experiment.oversample
        image = autograd.simulate(panel.parameters).numpy()
        image = image if panel.mask is None else np.where(panel.mask != 0, image, 0.0)
        np.testing.assert_allclose(image, wanted[number], rtol=2e-4, atol=1e-6 * wanted.image.max())


NAMES = ("group_shifts_mm", "group_tilts_deg", "panel_shifts_mm", "panel_tilts_deg", "distance_mm", "beam_mm", "tilts_deg")


def test_what_the_numbers_do_to_the_panels():
    """The overrides of each panel, and the detector that is written, against motions done one after the other with matrices."""
    detector = detector_of(lean=4.0)
    p = parameters_from_command_line(f"{LINE} -misset 20 40 10 -fluence 1e27")
    model = starting_model(p, detector)
    free = free_parameters([model], NAMES, cell_constraint("P 1"))
    vector = free.start + np.random.default_rng(3).normal(size=len(free.start))
    at = {str(row): value for row, value in zip(free.rows, vector, strict=True)}
    written = free.detector(0, vector)

    def three(kind, body):
        return np.array([at[f"{kind} {body} {axis}"] for axis in ("fast", "slow", "normal")])

    def frame(panels):
        first = panels[0]
        axes = np.array([first.fast, first.slow, np.cross(first.fast, first.slow)])
        return axes, np.mean([panel.position_mm(panel.shape[0] / 2, panel.shape[1] / 2) for panel in panels], axis=0)

    plane = model.plane
    for number, panel in enumerate(detector.panels):
        group = panel.name[:3].replace("p", "q")
        members = [other for other in detector.panels if other.group == panel.group]
        place, axes = np.array(panel.origin_mm), np.array([panel.fast, panel.slow])
        for kinds, body, (own, pivot) in (
            (("panel_shifts_mm", "panel_tilts_deg"), panel.name, frame([panel])),
            (("group_shifts_mm", "group_tilts_deg"), group, frame(members)),
        ):
            r = turn(three(kinds[1], body) @ own)
            place, axes = pivot + r @ (place - pivot) + three(kinds[0], body) @ own, axes @ r.T
        r = turn(np.array([at[f"tilts_deg {axis}"] for axis in ("fast", "slow", "normal")]) @ plane.axes)
        met = plane.distance_mm * plane.beam
        across = [at["beam_mm fast"] - plane.beam_mm[0], at["beam_mm slow"] - plane.beam_mm[1]]
        place, axes = r @ (place - met) + at["distance_mm"] * plane.beam - across @ (plane.axes[:2] @ r.T), axes @ r.T
        found = free.overrides(number, torch.from_numpy(vector[free.columns[number]]))
        np.testing.assert_allclose(found["pix0_mm"], place, atol=1e-9)
        np.testing.assert_allclose(found["detector_vectors"][:2], axes, atol=1e-12)
        np.testing.assert_allclose(written.panels[number].origin_mm, place, atol=1e-8)
        np.testing.assert_allclose([written.panels[number].fast, written.panels[number].slow], axes, atol=1e-9)
    # At the start nothing has moved.
    for panel, before in zip(free.detector(0, free.start).panels, detector.panels, strict=True):
        np.testing.assert_allclose(panel.origin_mm, before.origin_mm, atol=1e-12)


def test_common_motions_are_named_and_held():
    """What all groups do together the whole detector does, too: as many combinations are held as move no panel, and no more are left."""
    detector = detector_of(lean=4.0)
    model = starting_model(parameters_from_command_line(f"{LINE} -misset 20 40 10 -fluence 1e27"), detector)
    for names, held in ((NAMES, 6 + 6 * 4), (NAMES[:2] + NAMES[4:], 6), (NAMES[:1] + NAMES[4:], 3), (NAMES[:2], 0), (NAMES[2:], 6)):
        free = free_parameters([model], names, cell_constraint("P 1"))

        def places(vector, free=free):
            found = []
            for number in range(len(free.pieces)):
                own = free.overrides(number, torch.from_numpy(vector[free.columns[number]]))
                found += [own["pix0_mm"].numpy(), *own["detector_vectors"].numpy()]
            return np.concatenate(found)

        steps = 1e-5 * np.eye(len(free.start))
        slopes = np.array([(places(free.start + step) - places(free.start - step)) / 2e-5 for step in steps])
        sizes = np.linalg.svd(slopes, compute_uv=False)
        dark = int((sizes < 1e-6 * sizes[0]).sum())
        assert dark == len(free.fixed) == held, names
        # With what is held nothing is left open.
        together = np.concatenate([slopes, free.fixed.T / np.linalg.norm(free.fixed, axis=1)], axis=1) if held else slopes
        assert np.linalg.matrix_rank(together, tol=1e-6) == len(free.start)


def test_a_turn_of_all_groups_about_the_beam_is_one_of_the_crystals():
    """Held where both are refined: turned together they leave the image as it was, and one of them alone does not."""
    detector, names, constraint = detector_of(lean=4.0, size=24), ("orientation", *NAMES[:2]), cell_constraint("P 1")
    line = f"{LINE} -misset 20 40 10 -fluence 1e27"
    free = free_parameters([starting_model(parameters_from_command_line(line), detector)], names, constraint)
    (held,) = free.fixed
    turned = 0.01 * held / (held @ held)
    by_crystal = np.zeros_like(turned)
    by_crystal[:3] = 0.01 * free.models[0].plane.beam

    def image(vector):
        parts = [torch.from_numpy(vector[columns]) for columns in free.columns]
        pieces = [autograd.simulate(piece.parameters, **piece.overrides(part)) for piece, part in zip(free.pieces, parts, strict=True)]
        return np.concatenate([piece.numpy().ravel() for piece in pieces])

    before = image(free.start)
    np.testing.assert_allclose(image(free.start + turned + by_crystal), before, rtol=1e-5, atol=1e-6 * before.max())
    assert np.abs(image(free.start + turned) - before).max() > 1e-3 * before.max()
    # What has a place of its own about the beam tells the two apart.
    for words in ("-polar 0.9", "-osc 1 -phisteps 2", "-mosaic 0.2 -mosaic_dom 3", "-hdivrange 5 -hdivsteps 2"):
        model = starting_model(parameters_from_command_line(f"{line} {words}"), detector)
        assert len(free_parameters([model], names, constraint).fixed) == 0, words
    assert len(free_parameters(free.models, NAMES[:2], constraint).fixed) == 0


@pytest.mark.parametrize(
    ("names", "groups", "says"),
    [
        (("groups",), ("q77",), "no group is called 'q77'"),
        (("groups",), ("all", "q00"), "groups all and q00 share the panel p00_0"),
        (("walls",), (), "'walls' cannot be refined; these can: .*, groups, panels"),
    ],
)
def test_groups_that_cannot_be_refined(names, groups, says):
    model = starting_model(parameters_from_command_line(f"{LINE} -fluence 1e27"), detector_of())
    with pytest.raises(InputError, match=says):
        free_parameters([model], names, cell_constraint("P 1"), groups=groups)


def test_detectors_that_differ():
    p = parameters_from_command_line(f"{LINE} -fluence 1e27")
    models = [starting_model(p, detector_of()), starting_model(p, detector_of().moved("q01", translation_mm=(0.1, 0.0, 0.0)))]
    with pytest.raises(InputError, match="shot 2 has another detector than shot 1: its groups cannot be refined together"):
        free_parameters(models, ("groups",), cell_constraint("P 1"))
    assert len(free_parameters(models, ("groups",), cell_constraint("P 1"), ("groups",)).rows) == 2 * 4 * 6
    flat = starting_model(parameters_from_command_line(f"{LINE} -detpixels 20 -pixel 1 -distance 50"))
    with pytest.raises(InputError, match="shot 1 has a detector of one plane, and no panels"):
        free_parameters([flat], ("panels",), cell_constraint("P 1"))


def test_images_of_panels_are_stacked():
    detector = detector_of(1, 1, size=4)
    one, other = np.arange(8.0).reshape(4, 2), np.arange(8.0, 16.0).reshape(4, 2)
    np.testing.assert_array_equal(stacked([one, other], detector), np.concatenate([one, other]))
    with pytest.raises(InputError, match="1 images for a detector of 2 panels"):
        stacked([one], detector)
    with pytest.raises(InputError, match=r"the image of panel 'p00_2' has shape \(2, 4\), and the panel \(4, 2\)"):
        stacked([one, other.T], detector)
