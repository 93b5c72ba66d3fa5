"""Predicted spots against images, single reflections, and the Ewald condition solved by bisection."""

from dataclasses import replace

import numpy as np
import pytest

from nanobragg_numba import (
    Beam,
    Crystal,
    Detector,
    InputError,
    Parameters,
    Sampling,
    from_arrays,
    parameters_from_command_line,
    simulate,
    simulate_batch,
    spots,
)

LINE = "-cell 40 50 60 85 95 100 -misset 10 20 30 -default_F 100 -N 15 -lambda 1 -distance 40 -detpixels 240 -pixel 0.15 -oversample 5 "
SPREADS = {
    "still": "",
    "mosaic": "-mosaic 0.3 -mosaic_dom 30 ",
    "spectrum": "-dispersion 1 -dispsteps 9 ",
    "divergence": "-hdivrange 3 -hdivsteps 5 -vdivrange 5 -vdivsteps 5 ",
    "rotation": "-osc 0.5 -phisteps 40 ",
    "sensor": "-xds -twotheta 25 -detector_thick 900 -detector_thicksteps 5 -detector_abs 500 ",
    "all": "-adxv -detector_rotx 10 -detector_roty 5 -mosaic 0.2 -mosaic_dom 4 -dispersion 1 -dispsteps 3 -hdivrange 3 -hdivsteps 2 "
    "-osc 1 -phisteps 3 ",
}


def maxima(image, least):
    """(n, 2) Places of local maxima of ``least`` of the image's largest value."""
    from scipy import ndimage

    tops = (image == ndimage.maximum_filter(image, size=5)) & (image > least * image.max())
    return np.argwhere(tops) + 0.5


def beside_the_beam(run):
    """The image without the reflection 0 0 0, which is no spot."""
    image = run.image.astype(np.float64)
    slow, fast = (int(at / run.geometry.pixel_size) for at in (run.geometry.sbeam, run.geometry.fbeam))
    image[max(slow - 4, 0) : slow + 5, max(fast - 4, 0) : fast + 5] = 0.0
    return image


def single(parameters, hkl):
    """The same crystal with one reflection alone."""
    crystal = replace(parameters.crystal, structure_factors=from_arrays([hkl], [100.0]), default_F=0.0)
    return replace(parameters, crystal=crystal)


def inside(image, box):
    fast, fast_end, slow, slow_end = box
    return float(image[slow:slow_end, fast:fast_end].sum(dtype=np.float64))


@pytest.mark.parametrize("shape", ["-square_xtal", "-gauss_xtal", "-round_xtal", "-tophat_spots"])
@pytest.mark.parametrize("setting", ["", "-xds -twotheta 20 ", "-denzo -detector_rotx 15 -detector_rotz 5 "])
def test_bright_spots_are_predicted_and_predicted_spots_are_bright(shape, setting):
    from scipy import ndimage

    line = LINE + shape + " " + setting
    parameters = parameters_from_command_line(line)
    run, found = simulate(parameters), spots(parameters)
    image = beside_the_beam(run)
    peaks = maxima(image, 0.15)
    assert len(peaks) > 20
    apart = np.abs(peaks[:, None] - found.centre[None]).max(axis=2).min(axis=1)
    assert apart.max() < 1.0
    bright = found[(found.partiality > 0.3) & ((found.centre > 0.0) & (found.centre < 240.0)).all(axis=1)]
    assert len(bright) > 40
    around = ndimage.maximum_filter(image, size=3)
    slow, fast = np.floor(bright.centre).astype(int).T
    bright = around[slow, fast] > 0.02 * image.max()
    # A flat spot that the sphere only grazes has its full height on next to no area.
    assert bright.mean() > 0.9 if shape == "-tophat_spots" else bright.all()


@pytest.mark.parametrize("spread", SPREADS)
def test_boxes_hold_the_photons_of_gaussian_spots(spread):
    parameters = parameters_from_command_line(LINE + "-gauss_xtal " + SPREADS[spread])
    found = spots(parameters)
    whole = found[((found.box[:, ::2] > 5) & (found.box[:, 1::2] < 235)).all(axis=1) & (found.partiality > 0.1)]
    chosen = whole[:: max(len(whole) // 3, 1)]
    lines = [single(parameters, hkl.tolist()) for hkl in chosen.hkl]
    for spot, image in enumerate(simulate_batch(lines)):
        box, total = chosen.box[spot], image.sum(dtype=np.float64)
        # A reflection that crosses twice has both of its spots on this image.
        twins = found[(found.hkl == chosen.hkl[spot]).all(axis=1)]
        held = inside(image, box) if len(twins) == 1 else image[covered(image.shape, twins.box)].sum(dtype=np.float64)
        assert held >= 0.99 * total > 0.0
        weights = image / total
        middle = np.array([weights.sum(axis=1) @ (np.arange(240) + 0.5), weights.sum(axis=0) @ (np.arange(240) + 0.5)])
        assert len(twins) > 1 or np.abs(middle - chosen.centre[spot]).max() < 1.0


def covered(shape, boxes):
    mask = np.zeros(shape, bool)
    for fast, fast_end, slow, slow_end in boxes:
        mask[slow:slow_end, fast:fast_end] = True
    return mask


@pytest.mark.parametrize(("shape", "share"), [("-square_xtal", 0.8), ("-round_xtal", 0.85), ("-tophat_spots", 0.999)])
def test_boxes_hold_most_of_spots_with_tails(shape, share):
    parameters = parameters_from_command_line(LINE + shape + " -mosaic 0.1 -mosaic_dom 10")
    found = spots(parameters)
    chosen = found[found.partiality > 0.9][::20]
    held = []
    for box, image in zip(chosen.box, simulate_batch([single(parameters, hkl.tolist()) for hkl in chosen.hkl]), strict=True):
        held.append(inside(image, box) / image.sum(dtype=np.float64))
    assert len(held) >= 5 and min(held) > share
    wider = spots(parameters, widths=6.0)
    assert (wider.box[:, 1::2] - wider.box[:, ::2]).sum() > (found.box[:, 1::2] - found.box[:, ::2]).sum()


def test_boxes_are_regions_of_a_batch():
    parameters = parameters_from_command_line(LINE + "-gauss_xtal")
    boxes = spots(parameters, border=2).box
    whole, part = simulate(parameters).image, next(simulate_batch([parameters], regions=[boxes.tolist()]))
    mask = covered(whole.shape, boxes)
    assert np.array_equal(part[mask], whole[mask]) and not part[~mask].any() and 0.01 < mask.mean() < 0.5


def turning(axis, angle):
    """Rodrigues' formula."""
    axis = axis / np.linalg.norm(axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def test_crossings_by_bisection():
    """All of three degrees: a lattice, a beam and a spindle in general positions, and nothing of ours in what is expected."""
    real = np.array([[31.0, 4.0, -7.0], [-3.0, 37.0, 9.0], [5.0, -8.0, 43.0]])
    axis, beam, start, osc, wavelength = np.array([0.2, 0.3, 1.0]), np.array([1.0, 0.0, 0.0]), 20.0, 3.0, 1.1
    detector = Detector(
        convention="custom",
        pixels=(300, 300),
        pixel_size_mm=0.4,
        distance_mm=60,
        beam_center_mm=(60, 60),
        fast_axis=(0, 0, 1),
        slow_axis=(0, -1, 0),
    )
    crystal = Crystal(real_space_matrix=real, n_cells=(40, 40, 40), shape="gauss", default_F=1)
    sampling = Sampling(phi_deg=start, osc_deg=osc, phisteps=300, spindle_axis=tuple(axis))
    found = spots(Parameters(crystal, Beam(wavelength_A=wavelength, direction=tuple(beam)), detector, sampling), 2.5)

    index = np.arange(-20, 21)
    hkl = np.stack(np.meshgrid(index, index, index, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[hkl.any(axis=1)]
    g = hkl @ np.linalg.inv(real).T
    hkl, g = (rows[np.linalg.norm(g, axis=1) <= 1 / 2.5] for rows in (hkl, g))

    def excess(phi_deg, rows):
        turned = np.array([turning(axis, np.radians(phi)) for phi in phi_deg])
        return np.linalg.norm(np.einsum("nij,nj->ni", turned, g[rows]) + beam / wavelength, axis=1) - 1 / wavelength

    expected = {}
    grid = np.linspace(start, start + osc - osc / 300, 61)
    values = np.array([np.linalg.norm(g @ turning(axis, np.radians(phi)).T + beam / wavelength, axis=1) - 1 / wavelength for phi in grid])
    for cell, row in np.argwhere(values[:-1] * values[1:] < 0.0):
        low, high = grid[cell], grid[cell + 1]
        rows = np.array([row])
        for _ in range(40):
            middle = 0.5 * (low + high)
            if excess([low], rows)[0] * excess([middle], rows)[0] <= 0.0:
                high = middle
            else:
                low = middle
        ray = turning(axis, np.radians(low)) @ g[row] + beam / wavelength
        place = np.array([60.0 - 60.0 * ray[1] / ray[0], 60.0 + 60.0 * ray[2] / ray[0]]) / 0.4
        if ray[0] > 0.0 and (place > 1.0).all() and (place < 299.0).all():
            inwards = values[cell + 1, row] < values[cell, row]
            expected[(*hkl[row].tolist(), bool(inwards))] = low, place
    assert len(expected) > 200
    by_index = {}
    for at, one in enumerate(found.hkl.tolist()):
        by_index.setdefault(tuple(one), []).append(at)
    for (*one, _), (phi, place) in expected.items():
        at = min(by_index[tuple(one)], key=lambda row, place=place: np.abs(found.centre[row] - place).max())
        assert abs(found.phi_deg[at] - phi) < 1e-6
        assert found.partiality[at] > 0.9
        assert np.abs(found.centre[at] - place).max() < 1.0
        assert found.resolution[at] == pytest.approx(1 / np.linalg.norm(np.linalg.inv(real) @ one), rel=1e-12)
    # What crosses well inside the sweep is expected, and what is whole crosses.
    within = (found.phi_deg > start + 0.05) & (found.phi_deg < start + osc - 0.06) & ((found.centre > 2) & (found.centre < 298)).all(axis=1)
    assert {tuple(one) for one in found.hkl[within].tolist()} <= {key[:3] for key in expected}


def test_partiality_is_that_of_the_formula():
    """One reflection, 0 0 4 of a cubic cell, off the sphere by a known angle: exp(-2 R^2 / 0.63), and (sin(N y) / (N sin(y)))^2."""
    wavelength, edge, cells = 1.0, 50.0, 20
    theta = np.arcsin(wavelength * 4 / (2 * edge))
    for off_deg in (0.0, 0.1, 0.3, 0.5):
        # c* at 90 degrees + theta from the beam, along x, meets the sphere; turned on about y by a little.
        angle = np.pi / 2 + theta + np.radians(off_deg)
        c, a = np.array([np.cos(angle), 0.0, np.sin(angle)]), np.array([np.sin(angle), 0.0, -np.cos(angle)])
        real = edge * np.array([a, np.cross(c, a), c])
        g = 4 / edge * c
        excess = np.linalg.norm(g + [1 / wavelength, 0, 0]) - 1 / wavelength
        normal = (g + [1 / wavelength, 0, 0]) / np.linalg.norm(g + [1 / wavelength, 0, 0])
        radius = cells * edge * excess
        detector = Detector(convention="custom", pixels=(500, 500), distance_mm=100, beam_center_mm=(25, 25))
        for shape in ("gauss", "square"):
            crystal = Crystal(real_space_matrix=real, n_cells=(cells,) * 3, shape=shape, structure_factors=from_arrays([[0, 0, 4]], [1.0]))
            found = spots(Parameters(crystal, Beam(wavelength_A=wavelength), detector), least_partiality=1e-3)
            assert found.hkl.tolist() == [[0, 0, 4]]
            if shape == "gauss":
                assert found.partiality[0] == pytest.approx(np.exp(-2 * radius**2 / 0.63), rel=1e-6)
            else:
                # The largest value on the plane, looked for on a fine grid.
                u = np.linspace(-1.0, 1.0, 4001)[None, :] * np.array([[normal @ (a / edge)], [normal @ (c / edge)]])[::-1] * [[-1], [1]]
                across = np.array([[normal @ a], [normal @ c]]) * -excess * edge + u * edge * 2 / cells
                values = np.prod([np.sinc(cells * one) / np.sinc(one) for one in across], axis=0) ** 2
                assert found.partiality[0] == pytest.approx(values.max(), rel=0.02, abs=1e-3)
                assert found.partiality[0] <= values.max() * (1 + 1e-9)


def test_resolution_structure_factors_and_absences():
    parameters = parameters_from_command_line(LINE + "-gauss_xtal")
    found, fewer = spots(parameters), spots(parameters, 3.0)
    assert fewer.resolution.min() >= 3.0 > found.resolution.min() and len(fewer) == np.count_nonzero(found.resolution >= 3.0)
    assert len(spots(replace(parameters, sampling=replace(parameters.sampling, dmin_A=3.0)))) == len(fewer)
    # A reflection listed as 0 is absent, one that is not listed takes -default_F.
    gone, kept = found.hkl[0].tolist(), found.hkl[1].tolist()
    table = from_arrays([gone, kept], [0.0, 7.0], default_F=2.0)
    listed = spots(replace(parameters, crystal=replace(parameters.crystal, structure_factors=table)))
    assert gone not in listed.hkl.tolist() and len(listed) == len(found) - 1
    assert listed.structure_factor[listed.hkl.tolist().index(kept)] == 7.0 and set(listed.structure_factor) <= {2.0, 7.0, 100.0}
    bare = spots(replace(parameters, crystal=replace(parameters.crystal, default_F=0.0)))
    assert len(bare) == len(found) and np.isnan(bare.structure_factor).all()
    assert np.isnan(found.phi_deg).all() and not found.panel.any()
    window = spots(replace(parameters, detector=replace(parameters.detector, roi=(100, 199, 50, 79))))
    assert 0 < len(window) < len(found)
    assert (window.box.min(axis=0) >= (100, 101, 50, 51)).all() and (window.box.max(axis=0) <= (199, 200, 79, 80)).all()
    assert len(found[found.partiality > 0.5]) == np.count_nonzero(found.partiality > 0.5) and "spots" in repr(found).lower()


def test_as_in_c():
    """The width of Gaussian spots in "c" (Q9) is 1 / (Na Nb Nc) in 1/A."""
    parameters = parameters_from_command_line(LINE.replace("-N 15", "-N 9") + "-gauss_xtal", "c")
    run = simulate(parameters, compat="c")
    found = spots(run.experiment)
    peaks = maxima(beside_the_beam(run), 0.2)
    assert len(peaks) > 5 and np.abs(peaks[:, None] - found.centre[None]).max(axis=2).min(axis=1).max() < 1.0


@pytest.mark.parametrize(
    ("words", "options", "sentence"),
    [
        ("-N 1", {}, "two cells or more"),
        ("-N 15 -curved_det", {}, "curved detector"),
        ("-N 15 -misset random", {}, "random orientation without a seed"),
        ("-N 15", {"resolution": -1.0}, "resolution must be a positive number"),
        ("-N 15", {"resolution": "2"}, "resolution must be a positive number"),
        ("-N 15", {"least_partiality": 0.0}, "least_partiality"),
        ("-N 15", {"widths": -2.0}, "widths must be positive"),
        ("-N 15", {"border": -1}, "border must be a whole number"),
        ("-N 15 -gauss_xtal -fudge 0", {}, "-fudge above zero"),
    ],
)
def test_what_is_refused(words, options, sentence):
    parameters = parameters_from_command_line(LINE.replace("-N 15", words))
    with pytest.raises(InputError, match=sentence):
        spots(parameters, **options)
