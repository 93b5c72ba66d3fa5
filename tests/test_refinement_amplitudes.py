"""Structure factors in a joint fit of stills: one for all equivalents, from a flat start."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_stills import GAIN, OFFSET, READOUT, noisy, turn

from nanobragg_numba import InputError, from_arrays, parameters_from_command_line, simulate
from nanobragg_numba.refinement import Settings, asymmetric_unit, fit, measured
from nanobragg_numba.refinement.models.amplitudes import amplitudes, with_tables
from nanobragg_numba.refinement.starting_model import starting_model

LINE = "-cell 14 16 18 90 90 90 -N 12 -lambda 1.5 -distance 30 -detpixels 64 -pixel 0.7 -oversample 1 -gauss_xtal -default_F 70"
LIMITS = (4, 5, 6)
GROUP = "P 21 21 21"


pytestmark = pytest.mark.usefixtures("one_thread")


def stills_of(truth, count, random, line=LINE):
    """Images of a crystal with structure factors ``truth``, and starts that know but one F for all."""
    made = []
    for _ in range(count):
        axis = random.normal(size=3)
        p = parameters_from_command_line(line)
        orientation = turn(random.uniform(0.0, 180.0) * axis / np.linalg.norm(axis))
        p = replace(p, crystal=replace(p.crystal, orientation=orientation))
        known = replace(p, crystal=replace(p.crystal, structure_factors=truth, default_F=0.0))
        fluence = 1e27 * 8000.0 / simulate(replace(known, beam=replace(p.beam, fluence=1e27))).image.max()
        image = simulate(replace(known, beam=replace(p.beam, fluence=fluence))).image.astype(float)
        away = turn(0.02 * random.normal(size=3)) @ orientation
        start = replace(p, crystal=replace(p.crystal, orientation=away), beam=replace(p.beam, fluence=fluence))
        made.append((measured(noisy(image, 5.0, random), gain=GAIN, offset=OFFSET, readout=READOUT), start))
    return made


@pytest.fixture(scope="module")
def truth():
    """Wilson's distribution for acentric reflections, with the group's symmetry."""
    random = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in LIMITS), indexing="ij"), -1).reshape(-1, 3)
    unit = asymmetric_unit(from_arrays(grid, np.ones(len(grid))), GROUP)
    values = torch.from_numpy(np.sqrt(random.exponential(80.0**2, len(unit))))
    return from_arrays(grid, unit.expand(values).numpy().ravel()), dict(zip(map(tuple, unit.hkl.tolist()), values.tolist(), strict=True))


def test_structure_factors_with_orientations_and_scales(truth):
    table, by_hkl = truth
    made = stills_of(table, 10, np.random.default_rng(9))
    settings = Settings(refine=("orientation", "scale", "structure_factors"), space_group=GROUP, resolution=3.2, start_error=0.0)
    fitted = fit([shot for shot, _ in made], [start for _, start in made], settings)
    rows = [n for n, row in enumerate(fitted.free.rows) if row.name == "structure_factors"]
    wanted = np.array([by_hkl[tuple(map(int, fitted.free.rows[n].part.split()))] for n in rows])
    values, sigmas = np.abs(fitted.values[rows]), fitted.sigmas[rows]
    sure = sigmas < 0.1 * values
    factor = np.median(values[sure] / wanted[sure])
    deviations = (values / factor - wanted)[sure] / (sigmas[sure] / factor)
    assert sure.sum() > 40 and len(rows) > 60
    assert fitted.squares / fitted.freedom == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(values[sure], wanted[sure])[0, 1] > 0.99
    assert 0.7 < np.std(deviations) < 1.4


def test_the_table_of_a_shot(truth):
    """Amplitudes of the reflections with spots go to all their equivalents, the others stay, and absences are 0."""
    table, _ = truth
    p = parameters_from_command_line(LINE)
    model = starting_model(replace(p, crystal=replace(p.crystal, structure_factors=table)))
    found = amplitudes([table, table], [np.array([[1, -2, 3], [2, 2, 2]]), np.array([[2, -2, -2], [0, 0, 2], [0, 0, 3]])], GROUP)
    assert found.names == ("0 0 2", "1 2 3", "2 2 2") and [own.tolist() for own in found.of_shots] == [[1, 2], [0, 2]]
    expected = table.table[:-1, :-1, :-1].copy()
    for (h, k, l), value in (((1, 2, 3), 7.0), ((2, 2, 2), 9.0)):
        for signs in np.ndindex(2, 2, 2):
            a, b, c = np.array([h, k, l]) * (1 - 2 * np.array(signs)) + LIMITS
            expected[a, b, c] = value
    np.testing.assert_allclose(found.of_shot(0).table(torch.tensor([7.0, 9.0], dtype=torch.float64)), expected)
    bare = starting_model(p)
    with_default = with_tables([bare], [np.array([[3, -1, 2]])])[0].parameters.crystal.structure_factors
    assert with_default.limits == (-3, 3, -1, 1, -2, 2) and (with_default.table[:-1, :-1, :-1] == 70.0).all()
    assert with_tables([model], [np.zeros((1, 3))]) == [model]
    other = from_arrays([[1, 0, 0]], [5.0])
    with pytest.raises(InputError, match="shot 2 has other structure factors than shot 1"):
        amplitudes([table, other], [np.array([[1, 2, 3]])] * 2, GROUP)
    with pytest.raises(InputError, match="no reflection of the list has a spot"):
        amplitudes([table], [np.array([[40, 0, 0]])], GROUP)
