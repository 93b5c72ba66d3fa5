"""The Python interface, and the physics of compat="spec" against a plain twin."""

import math
import zlib
from dataclasses import replace

import naive
import numpy as np
import pytest
from running import GOLDEN

from nanobragg_numba import (
    Beam,
    Crystal,
    Detector,
    InputError,
    Parameters,
    Sampling,
    SourceList,
    parameters_from_command_line,
    poisson_image,
    simulate,
    simulate_batch,
)
from nanobragg_numba.experiment.derive import axis_orbit, derive_experiment
from nanobragg_numba.experiment.steps import effective_angles
from nanobragg_numba.experiment.structure_factors import from_arrays
from nanobragg_numba.maths.vectors3 import unit

TILTED = Parameters(
    Crystal(cell=(40, 50, 60, 80, 95, 100), misset_deg=(10, 20, 30), n_cells=(5, 4, 3), default_F=100),
    Beam(wavelength_A=1.3),
    Detector(pixels=(12, 9), pixel_size_mm=0.8, distance_mm=60, rotations_deg=(3, -4, 5)),
    Sampling(oversample=1),
)
EVERYTHING = replace(
    TILTED,
    crystal=replace(TILTED.crystal, mosaic_spread_deg=0.6, mosaic_domains=3, water_um=0.012),
    beam=replace(
        TILTED.beam,
        polarization=0.7,
        sources=SourceList(
            np.array([[-10, 0.0, 0.01], [-10, 0.02, 0.0], [-10, -0.03, 0.01]]),
            np.array([1.0, 3.0, 0.5]),
            np.array([1.3e-10, 1.28e-10, 1.31e-10]),
        ),
    ),
    detector=replace(TILTED.detector, thickness_um=400, layers=3, attenuation_depth_um=250),
    sampling=replace(TILTED.sampling, phi_deg=0.0, osc_deg=1.5, phisteps=3, oversample=2),
)


@pytest.mark.parametrize("shape", ["square", "round", "gauss"])
@pytest.mark.parametrize("parameters", [TILTED, EVERYTHING], ids=["one step", "everything"])
def test_spec_against_the_plain_twin(parameters, shape):
    parameters = replace(
        parameters, crystal=replace(parameters.crystal, shape=shape, fudge={"square": 1.0, "round": 0.3, "gauss": 0.5}[shape])
    )
    run = simulate(parameters, dtype=np.float64)
    for fast, slow in ((0, 0), (5, 3), (11, 8), (6, 4)):
        want = naive.pixel(run.experiment, fast, slow, shape, lambda hkl: 100.0)
        assert run.image[slow, fast] == pytest.approx(want, rel=2e-10)


def test_spec_ignores_the_oversampling_switches():
    switched = replace(
        EVERYTHING, sampling=replace(EVERYTHING.sampling, oversample_thick=True, oversample_polar=True, oversample_omega=True)
    )
    assert np.array_equal(simulate(switched).image, simulate(EVERYTHING).image)


def test_spec_falls_back_step_by_step_where_it_cannot_interpolate():
    hkl = np.array([(h, k, l) for h in range(-4, 5) for k in range(-4, 5) for l in range(-4, 5)])
    amplitudes = 100 + 10 * np.sin(hkl @ np.array([1.0, 2.0, 3.0]))
    crystal = replace(TILTED.crystal, structure_factors=from_arrays(hkl, amplitudes), interpolate=True, default_F=0.0)
    on = simulate(replace(TILTED, crystal=crystal), dtype=np.float64)
    off = simulate(replace(TILTED, crystal=replace(crystal, interpolate=False)), dtype=np.float64)
    changed = on.image != off.image
    assert changed.any() and not changed.all() and on.out_of_table is None
    c = simulate(replace(TILTED, crystal=crystal), compat="c", dtype=np.float64)
    assert c.out_of_table is not None
    later = np.arange(c.image.size).reshape(c.image.shape) > c.out_of_table.pixel
    # In "c" nothing behind the first step outside the table is interpolated (Q2).
    c_off = simulate(replace(TILTED, crystal=replace(crystal, interpolate=False)), compat="c", dtype=np.float64)
    assert np.array_equal(c.image[later], c_off.image[later])


def test_carryover_is_a_matter_of_effective_angles():
    assert effective_angles([0.0, 0.5, 1.0]) == ([1.0, 0.5, 1.0], [0.0, 0.5, 1.0])
    assert effective_angles([-0.5, 0.0, 0.5]) == ([-0.5, -0.5, 0.5], [-0.5, -0.5, 0.5])
    assert effective_angles([0.0]) == ([0.0], [0.0])
    square = replace(TILTED, crystal=replace(TILTED.crystal, cell=(40, 50, 60, 90, 90, 90)))
    sweep = replace(square, sampling=replace(TILTED.sampling, osc_deg=1.0, phisteps=4))
    c, spec = simulate(sweep, compat="c"), simulate(sweep)
    c_without = simulate(replace(sweep, sampling=replace(sweep.sampling, carryover=False)), compat="c")
    assert not np.array_equal(c.image, spec.image)
    assert np.allclose(c_without.image, spec.image, rtol=1e-5)
    assert c.image[0, 0] == c_without.image[0, 0]


def test_the_polarization_axis_settles_or_cycles():
    rows, start = axis_orbit(unit((0.3, 0.2, 0.9)))
    for n in range(len(rows)):
        following = rows[n + 1] if n + 1 < len(rows) else rows[start]
        assert unit(tuple(rows[n])) == tuple(following)
    lengths = {len(axis_orbit(unit(tuple(v)))[0]) for v in np.random.default_rng(1).normal(size=(3000, 3))}
    assert 1 in lengths and max(lengths) > 2


def test_an_axis_that_never_settles_matches_serial_counting():
    """Pixels must see the axis that belongs to their place in the serial order, whatever the blocks."""
    generator = np.random.default_rng(2)
    axis = next(v for v in generator.normal(size=(20000, 3)) if len(axis_orbit(unit(unit(tuple(v))))[0]) > 2)
    beam = replace(TILTED.beam, polarization=0.9, polarization_axis=tuple(axis))
    detector = replace(TILTED.detector, convention="custom", pivot="beam", beam_center_mm=(4.0, 4.0))
    parameters = replace(TILTED, beam=beam, detector=detector, sampling=replace(TILTED.sampling, oversample=2, oversample_polar=True))
    run = simulate(parameters, compat="c", dtype=np.float64)
    from nanobragg_numba.engine.plain_kernel import plain_pixel_value
    from nanobragg_numba.kernels.arguments import PixelRecord

    pixel_value = plain_pixel_value(np.float64, lambda *heard: None)
    evaluations = 0
    for slow in range(9):
        for fast in range(12):
            record = np.zeros(PixelRecord.SIZE)
            value, _, _, evaluations, _ = pixel_value(slow, fast, run.experiment.tables, False, False, evaluations, record)
            assert run.image[slow, fast] == value
    assert evaluations == 9 * 12 * 4


def test_the_command_line_lifts_into_python():
    line = "-cell 100 100 100 90 90 90 -default_F 100 -lambda 6.2 -N 5 -distance 100 -detpixels 128 -seed 1"
    run = simulate(parameters_from_command_line(line), compat="c")
    recorded = zlib.decompress((GOLDEN / "float" / "cubic_basic.f32.z").read_bytes())
    assert run.image.tobytes() == recorded
    assert run.image.shape == (128, 128) and run.image.dtype == np.float32
    assert run.geometry.distance == pytest.approx(0.1)


def test_dtypes():
    double, single = simulate(TILTED, dtype=np.float64), simulate(TILTED, dtype=np.float32)
    assert double.image.dtype == np.float64 and np.array_equal(double.image.astype(np.float32), single.image)
    with pytest.raises(ValueError, match="float32 or float64"):
        simulate(TILTED, dtype=np.int32)


def test_pix0_has_the_last_word_in_spec():
    detector = replace(TILTED.detector, pix0_mm=(60.0, 4.0, -4.0))
    assert simulate(replace(TILTED, detector=detector)).geometry.pix0 == (0.06, 0.004, -0.004)
    assert simulate(replace(TILTED, detector=detector), compat="c").geometry.pix0 != (0.06, 0.004, -0.004)


def test_progress_reaches_the_end():
    seen = []
    simulate(replace(TILTED, detector=replace(TILTED.detector, pixels=(30, 200))), progress=lambda done, rows: seen.append((done, rows)))
    assert seen[-1] == (200, 200) and seen == sorted(seen)


def test_a_window_beyond_the_image_and_an_empty_one():
    window = replace(TILTED, detector=replace(TILTED.detector, roi=(4, 500, 7, 900)))
    image, whole = simulate(window).image, simulate(TILTED).image
    assert np.array_equal(image[7:, 4:], whole[7:, 4:]) and not image[:7].any() and not image[:, :4].any()
    for empty in ((50, 60, 0, 5), (5, 2, 0, 8)):
        parameters = replace(TILTED, detector=replace(TILTED.detector, roi=empty))
        assert not simulate(parameters, compat="c").image.any()
        with pytest.raises(InputError, match=r"Detector\.roi \(-roi\) .* holds no pixel of the 12x9 image"):
            simulate(parameters)


def test_bad_parameters_are_refused():
    with pytest.raises(InputError, match="neither a cell nor a matrix"):
        simulate(Parameters())
    with pytest.raises(InputError, match=r"Beam\.fluence must be finite"):
        simulate(replace(TILTED, beam=replace(TILTED.beam, fluence=math.inf)))
    with pytest.raises(InputError, match="shape"):
        Crystal(mosflm_matrix=np.eye(2))
    with pytest.raises(InputError, match="mask has"):
        simulate(replace(TILTED, detector=replace(TILTED.detector, mask=np.ones((3, 3)))))
    with pytest.raises(InputError, match="whole numbers"):
        from_arrays(np.array([[0.5, 0, 0]]), np.array([1.0]))


def test_noise_has_the_mean_and_variance_of_poisson():
    for mean in (3.0, 50.0, 4e6):
        photons = poisson_image(np.full((200, 200), mean, np.float32), seed=7)
        n = photons.size
        assert abs(photons.mean() - mean) < 5 * math.sqrt(mean / n)
        # The reference's rejection method and its single precision leave the variance a little off above 1e6.
        assert abs(photons.var() / mean - 1) < 5 * math.sqrt(2 / n) + (0.0 if mean < 1e6 else 0.01)
    assert np.array_equal(poisson_image(np.ones((5, 5)), 3), poisson_image(np.ones((5, 5)), 3))


def test_derived_objects_are_there_without_an_image():
    x = derive_experiment(EVERYTHING)
    assert x.steps == 3 * 3 * 3 * 4
    assert x.tables.crystal.orientations.shape == (9, 9)
    direct, star = (np.array(v) for v in ((x.lattice.a, x.lattice.b, x.lattice.c), (x.lattice.a_star, x.lattice.b_star, x.lattice.c_star)))
    assert np.allclose(direct @ star.T, np.eye(3), atol=1e-12)
    assert np.degrees(x.lattice.cell[3:]) == pytest.approx((80, 95, 100), abs=1e-9)
    # The reference bends the angles of a triclinic cell (Q13).
    assert abs(np.degrees(derive_experiment(EVERYTHING, "c").lattice.cell[3]) - 80) > 1e-3


@pytest.mark.parametrize(
    "box", [(0, float("inf"), 0, 5), (0, 2**70, 0, 5), (0, 5), None, (0.5, 2, 0, 1), (0, "x", 0, 1), (5, 2, 0, 1)], ids=str
)
def test_a_box_that_is_none_is_refused(box):
    parameters = parameters_from_command_line("-cell 70 80 90 90 90 90 -default_F 100 -lambda 1 -N 3 -distance 100 -detpixels 8")
    with pytest.raises(InputError, match="image 0 of the batch: a box of regions must"):
        simulate_batch([parameters], regions=[[box]])
