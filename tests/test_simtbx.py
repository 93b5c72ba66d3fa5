"""What users of cctbx and simtbx have, each convention derived with numpy."""

import json
from dataclasses import replace

import numpy as np
import pytest
from test_panels_dials import experiment_list, laboratory, rotation

from nanobragg_numba import Crystal, InputError, Parameters, from_arrays, simtbx, simulate_panels
from nanobragg_numba.panels.dials import read_expt
from nanobragg_numba.panels.simulate import derive_planes

CELL = np.array([[70.0, 3.0, -2.0], [1.0, 80.0, 4.0], [-5.0, 2.0, 95.0]])
"""Rows a, b, c."""
TURN = rotation((1, -2, 3), 50.0)
DICTIONARIES = experiment_list(np.random.default_rng(2))


def test_a_takes_indices_to_scattering_vectors():
    """Lattice planes: a point of the lattice at u a + v b + w c has the phase h u + k v + l w at A (h, k, l)."""
    a_matrix = np.linalg.inv(CELL @ TURN.T)
    lattice = simtbx.lattice_from_a(a_matrix.ravel().tolist())
    np.testing.assert_allclose(lattice, CELL @ TURN.T, atol=1e-12)
    np.testing.assert_array_equal(simtbx.lattice_from_a(a_matrix.T, transposed=True), lattice)
    rng = np.random.default_rng(1)
    for _ in range(5):
        hkl, uvw = rng.integers(-9, 9, 3), rng.integers(-9, 9, 3)
        assert (uvw @ lattice) @ (a_matrix @ hkl) == pytest.approx(hkl @ uvw, abs=1e-10)


def test_u_and_b_are_multiplied_in_this_order():
    """B's columns are a*, b*, c* along the crystal's own axes, here those of CELL; U turns these into the laboratory."""
    b_matrix = np.linalg.inv(CELL)
    np.testing.assert_allclose(simtbx.lattice_from_u_and_b(TURN, b_matrix), CELL @ TURN.T, atol=1e-12)


def test_spectrum_and_fluence():
    beam = simtbx.beam_from_spectrum([(1.2, 1e10), (1.3, 3e10)], (0.0, 3.0, 4.0), exposure_s=2.0, beamsize_mm=0.02, polarization=0.5)
    x = derive_planes(
        Parameters(Crystal(real_space_matrix=CELL, default_F=1.0), beam),
        simtbx.detector_from_dictionary(DICTIONARIES["detector"][0], {"direction": (0.0, 3.0, 4.0), "wavelength": 1.0}),
        "spec",
    )[0]
    np.testing.assert_allclose(x.tables.beam.incident, [[0.0, -0.6, -0.8]] * 2, atol=1e-15)
    np.testing.assert_allclose(x.tables.beam.wavelengths, [1.2e-10, 1.3e-10])
    np.testing.assert_allclose(x.tables.beam.weights, [0.25, 0.75])
    # Photons per second, for two seconds, over the square of 20 micrometres.
    assert x.fluence == pytest.approx(4e10 * 2 / (20e-6) ** 2)
    assert x.geometry.beam == pytest.approx((0.0, -0.6, -0.8)) and x.tables.beam.kahn == 0.5
    assert x.wavelength == pytest.approx(1.275e-10)


def test_panels_of_dictionaries(tmp_path):
    """dxtbx gives tuples where JSON has lists."""

    def tuples(value):
        if isinstance(value, dict):
            return {key: tuples(inner) for key, inner in value.items()}
        if isinstance(value, list) and value and not isinstance(value[0], dict):
            return tuple(map(tuples, value))
        return list(map(tuples, value)) if isinstance(value, list) else value

    given = tuples(DICTIONARIES)
    detector = simtbx.detector_from_dictionary(given["detector"][0], given["beam"][0], rotation_axis=(0.0, 1.0, 0.0))
    for number, panel in enumerate(detector.panels):
        np.testing.assert_allclose(panel.position_mm(3, 4), laboratory(DICTIONARIES, number, 3, 4), atol=1e-12)
    (one,) = simtbx.experiments_from_dictionary(given)
    (tmp_path / "a.expt").write_text(json.dumps(DICTIONARIES))
    (other,) = read_expt(tmp_path / "a.expt")
    assert one.parameters.axes == other.parameters.axes and one.detector == other.detector and one.images == other.images
    np.testing.assert_array_equal(one.parameters.crystal.real_space_matrix, other.parameters.crystal.real_space_matrix)
    assert detector.axes == replace(one.parameters.axes, spindle_axis=(0.0, 1.0, 0.0))


def test_a_reflection_is_where_its_vector_says():
    """The brightest pixel of one reflection is where s1 = s0 + A h meets the panel."""
    wavelength, hkl = 1.0, np.array([4, -3, 2])
    a_matrix = np.linalg.inv(CELL)
    s0 = np.array([0.0, 0.0, -1.0 / wavelength])
    # Turn the crystal until the reflection is on Ewald's sphere: its vector must make the right angle with the beam.
    length = np.linalg.norm(a_matrix @ hkl)
    wanted = np.array([np.sqrt(1 - (length * wavelength / 2) ** 2), 0.0, length * wavelength / 2]) * length
    axis = np.cross(a_matrix @ hkl, wanted)
    turn = rotation(axis, np.degrees(np.arccos((a_matrix @ hkl) @ wanted / length**2)))
    s1 = s0 + wanted
    assert np.linalg.norm(s1) == pytest.approx(1 / wavelength)
    meets = s1 / -s1[2] * 100
    panel = {"name": "p", "fast_axis": (1, 0, 0), "slow_axis": (0, -1, 0), "origin": (meets[0] - 10.5, meets[1] + 6.5, -100)}
    detector = simtbx.detector_from_dictionary(
        {"panels": [{**panel, "image_size": (20, 12), "pixel_size": (1.0, 1.0)}]}, {"direction": (0, 0, 1), "wavelength": wavelength}
    )  # fmt: skip
    crystal = Crystal(
        real_space_matrix=simtbx.lattice_from_a(turn @ a_matrix), n_cells=(9, 9, 9), structure_factors=from_arrays([hkl], [100.0])
    )  # fmt: skip
    image = simulate_panels(Parameters(crystal, simtbx.beam_from_spectrum([(wavelength, 1e12)], (0, 0, 1))), detector).image
    assert np.unravel_index(image.argmax(), image.shape) == (6, 10)


BAD = {
    "encloses no volume": lambda: simtbx.lattice_from_a(np.ones(9)),
    "9 finite numbers": lambda: simtbx.lattice_from_a(np.ones(8)),
    "changed places": lambda: simtbx.lattice_from_u_and_b(np.linalg.inv(CELL), TURN),
    "pairs of wavelength": lambda: simtbx.beam_from_spectrum([]),
    "wavelengths above zero": lambda: simtbx.beam_from_spectrum([(0.0, 1.0)]),
    "and photons": lambda: simtbx.beam_from_spectrum([(1.0, 0.0)]),
    "direction must be 3 numbers": lambda: simtbx.beam_from_spectrum([(1.0, 1.0)], (0, 0, 0)),
    "detector.panels is missing": lambda: simtbx.detector_from_dictionary({}, DICTIONARIES["beam"][0]),
    "beam.direction is missing": lambda: simtbx.detector_from_dictionary(DICTIONARIES["detector"][0], {"wavelength": 1.0}),
    "is no experiment list": lambda: simtbx.experiments_from_dictionary({}),
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_bad_values(said):
    with pytest.raises(InputError, match=said):
        BAD[said]()
