"""Structure factors on the asymmetric unit, and cells of crystal systems: by counting, and by operators written out."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch
from noisy_stills import turn

from nanobragg_numba import InputError, autograd, parameters_from_command_line, simulate, spots
from nanobragg_numba.experiment.structure_factors import StructureFactors, from_arrays
from nanobragg_numba.refinement import asymmetric_unit, cell_constraint, poisson_nll

P212121 = ("x,y,z", "-x+1/2,-y,z+1/2", "-x,y+1/2,-z+1/2", "x+1/2,-y+1/2,-z")


def box(h, k, l):
    """A table of all reflections to |h|, |k|, |l|."""
    return StructureFactors(np.zeros((2 * h + 2, 2 * k + 2, 2 * l + 2)), -h, -k, -l, (2 * h + 1) * (2 * k + 1) * (2 * l + 1))


def matrices(triplets):
    """Rotations (integers) and translations of operators in x, y, z, by reading them as expressions."""
    found = []
    for triplet in triplets:
        rows = [eval(row, {"x": np.array([1.0, 0, 0, 0]), "y": np.array([0, 1.0, 0, 0]), "z": np.array([0, 0, 1.0, 0])}) for row in
                [_with_vector(part) for part in triplet.split(",")]]  # fmt: skip
        rows = np.array(rows)
        found.append((rows[:, :3].astype(int), rows[:, 3]))
    return found


def _with_vector(part):
    """x+1/2 with the number along a fourth axis."""
    for number in ("1/2", "1/3", "2/3", "1/4"):
        part = part.replace(number, f"({number})*one")
    return part.replace("one", "__import__('numpy').array([0, 0, 0, 1.0])")


def orbits(limits, triplets, friedel):
    """A dictionary from each reflection to the set of its equivalents, and the set of absences, in plain Python."""
    operators = matrices(triplets)
    h, k, l = limits
    every = [(a, b, c) for a in range(-h, h + 1) for b in range(-k, k + 1) for c in range(-l, l + 1)]
    equivalents, absent = {}, set()
    for hkl in every:
        moved = {tuple(int(n) for n in np.array(hkl) @ rotation) for rotation, _ in operators}
        equivalents[hkl] = frozenset(moved | ({tuple(-n for n in one) for one in moved} if friedel else set()))
        for rotation, shift in operators:
            if tuple(np.array(hkl) @ rotation) == hkl and abs((np.array(hkl) @ shift + 0.5) % 1.0 - 0.5) > 1e-9:
                absent.add(hkl)
    return equivalents, absent


@pytest.mark.parametrize(
    ("group", "triplets", "friedel"),
    [
        ("P 21 21 21", P212121, True),
        ("P 21 21 21", P212121, False),
        ("P 1 21 1", ("x,y,z", "-x,y+1/2,-z"), True),
        ("P 1 21 1", ("x,y,z", "-x,y+1/2,-z"), False),
        ("P 32", ("x,y,z", "-y,x-y,z+2/3", "-x+y,-x,z+1/3"), True),
        ("P 32", ("x,y,z", "-y,x-y,z+2/3", "-x+y,-x,z+1/3"), False),
        ("P 1", ("x,y,z",), True),
    ],
)
def test_equivalents_share_one_parameter(group, triplets, friedel):
    limits = (4, 4, 5)
    unit = asymmetric_unit(box(*limits), group, friedel=friedel)
    equivalents, absent = orbits(limits, triplets, friedel)
    orbit_of = {hkl: orbit for hkl, orbit in equivalents.items() if hkl not in absent and any(hkl)}
    assert len(unit) == len(set(orbit_of.values()))
    values = torch.arange(1.0, len(unit) + 1.0, dtype=torch.float64)
    table = unit.expand(values).numpy()
    seen = {}
    for hkl in equivalents:
        value = table[tuple(np.array(hkl) + limits)]
        if hkl in orbit_of:
            assert value > 0.0 and seen.setdefault(orbit_of[hkl], value) == value
        else:
            assert value == 0.0
    assert len(set(seen.values())) == len(unit)
    # The reflection that a parameter is called by is one of its own, and in gemmi's asymmetric unit.
    wedge = gemmi.ReciprocalAsu(gemmi.SpaceGroup(group))
    for hkl, value in zip(unit.hkl, values.tolist(), strict=True):
        assert table[tuple(hkl + limits)] == value
        assert wedge.is_in(hkl.tolist()) or (not friedel and wedge.is_in((-hkl).tolist()))
    torch.testing.assert_close(unit.mean(table), values)
    torch.testing.assert_close(unit.mean(np.pad(table, (0, 1))), values)


def test_counts_of_known_groups():
    """Independent of operators: of all 7 x 7 x 7 - 1 reflections each class (general, axes, planes) counts its own way in P 2 2 2."""
    unit = asymmetric_unit(box(3, 3, 3), "P 2 2 2")
    assert len(unit) == 4**3 - 1
    screw = asymmetric_unit(box(3, 3, 3), "P 21 21 21")
    # h00, 0k0, 00l with odd indices are gone: 1 and 3 on three axes.
    assert len(screw) == 4**3 - 1 - 6
    assert len(asymmetric_unit(box(3, 3, 3), "P 1")) == (7**3 - 1) // 2
    assert len(asymmetric_unit(box(3, 3, 3), "P 1", friedel=False)) == 7**3 - 1


def test_gradients_of_equivalents_add_up():
    unit = asymmetric_unit(box(2, 2, 2), "P 21 21 21")
    values = torch.rand(len(unit), dtype=torch.float64, requires_grad=True)
    weights = torch.rand(5, 5, 5, dtype=torch.float64)
    (unit.expand(values) * weights).sum().backward()
    for hkl, gradient in zip(unit.hkl, values.grad, strict=True):
        h, k, l = hkl
        signs = {(a * h, b * k, c * l) for a in (1, -1) for b in (1, -1) for c in (1, -1)}
        assert float(gradient) == pytest.approx(sum(float(weights[a + 2, b + 2, c + 2]) for a, b, c in signs))
    assert torch.autograd.gradcheck(unit.expand, torch.rand(len(unit), dtype=torch.float64, requires_grad=True))


def metric(cell):
    cosines = np.cos(np.radians(cell[3:]))
    g = np.outer(cell[:3], cell[:3])
    g[0, 1] *= cosines[2]
    g[0, 2] *= cosines[1]
    g[1, 2] *= cosines[0]
    return np.triu(g) + np.triu(g, 1).T


def test_cells_are_those_that_the_operators_leave_alone():
    """Of every setting gemmi knows: as many free parameters as the operators leave of a metric tensor, which they leave as it is."""
    random = np.random.default_rng(4)
    seen = set()
    symmetric = [np.outer(a, b) + np.outer(b, a) for n, a in enumerate(np.eye(3)) for b in np.eye(3)[n:]]
    for group in gemmi.spacegroup_table():
        constraint = cell_constraint(group)
        seen.add(constraint.system)
        sample = np.array([random.uniform(40, 60) if name in "abc" else random.uniform(80, 100) for name in constraint.names])
        cell = constraint.cell(torch.from_numpy(sample)).numpy()
        g = metric(cell)
        rotations = [np.array(one.rot) / 24.0 for one in group.operations()]
        for r in rotations:
            np.testing.assert_allclose(r.T @ g @ r, g, atol=1e-8 * g.max(), err_msg=group.xhm())
        averaged = np.array([np.mean([r.T @ basis @ r for r in rotations], axis=0).ravel() for basis in symmetric])
        assert len(constraint.names) == np.linalg.matrix_rank(averaged, tol=1e-9), group.xhm()
        np.testing.assert_allclose(constraint.free(cell), sample, rtol=1e-12)
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: asymmetric_unit(box(1, 1, 1), "P 21 21 22"), "'P 21 21 22' is no space group"),
        (lambda: cell_constraint(231), "231 is no space group"),
        (lambda: cell_constraint("P 4").free([50.0, 55.0, 60.0, 90.0, 90.0, 90.0]), "the cell 50 55 60 90 90 90 is not tetragonal"),
        (lambda: asymmetric_unit(box(1, 1, 1), "P 1").expand(torch.zeros(3)), r"has 13 reflections: .* shape \(13,\), not \(3,\)"),
        (lambda: asymmetric_unit(box(1, 1, 1), "P 1").mean(np.zeros((2, 2, 2))), r"has shape \(3, 3, 3\) \(or padded\), not \(2, 2, 2\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


LINE = "-cell 20 24 28 90 90 90 -N 4 -lambda 1.5 -distance 30 -detpixels 44 -pixel 1.0 -oversample 1 -gauss_xtal -default_F 1"


def test_structure_factors_of_many_stills():
    """P 21 21 21 from 50 stills with photon noise, all reflections started from one value."""
    random = np.random.default_rng(12)
    limits = (6, 8, 9)
    unit = asymmetric_unit(box(*limits), "P 21 21 21")
    # Wilson's distribution for acentric reflections.
    truth = torch.from_numpy(np.sqrt(random.exponential(100.0**2, len(unit))))
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limits), indexing="ij"), -1).reshape(-1, 3)
    factors = from_arrays(grid, unit.expand(truth).numpy().ravel())
    p = parameters_from_command_line(LINE)
    p = replace(p, crystal=replace(p.crystal, structure_factors=factors, default_F=0.0))
    orientations = np.array([turn(random.uniform(0.0, 180.0) * v / np.linalg.norm(v)) for v in random.normal(size=(50, 3))])
    shots = [replace(p, crystal=replace(p.crystal, orientation=one)) for one in orientations]
    images = np.array([simulate(one).image.astype(float) for one in shots])
    scale = 5000.0 / images.max()
    bright = replace(p, beam=replace(p.beam, fluence=p.beam.fluence * scale))
    counts = torch.from_numpy(random.poisson(images * scale + 1.0))
    # What is in the light: spots of some partiality, by their indices.
    lit = np.zeros(len(unit), bool)
    for one in shots:
        found = spots(replace(one, crystal=replace(one.crystal, structure_factors=None, default_F=1.0)), least_partiality=0.3)
        found = found.hkl[(np.abs(found.hkl) <= limits).all(axis=1)] + limits
        places = unit.place.numpy()[tuple(found.T)]
        lit[places[places < len(unit)]] = True
    assert lit.sum() > 0.5 * len(unit)

    def expected(amplitudes):
        table = unit.expand(amplitudes)
        return autograd.simulate(bright, orientation=torch.from_numpy(orientations), structure_factors=table).flatten()

    start = torch.full((len(unit),), 60.0, dtype=torch.float64, requires_grad=True)
    # Each pixel sees one reflection, mostly: of I = m F^2 photons an amplitude has the information 4 I / F^2, whatever F is.
    (slopes,) = torch.autograd.grad(expected(start).sum(), start)
    steps = (2.0 * slopes / start.detach()).clamp(min=1e-4).rsqrt()
    scaled = (start.detach() / steps).requires_grad_()
    optimiser = torch.optim.LBFGS([scaled], max_iter=15, history_size=15, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = poisson_nll(expected(scaled * steps) + 1.0, counts.flatten())
        loss.backward()
        return loss

    optimiser.step(closure)
    found = (scaled * steps).abs().detach().numpy()
    correlation = np.corrcoef(found[lit], truth.numpy()[lit])[0, 1]
    assert correlation > 0.99
