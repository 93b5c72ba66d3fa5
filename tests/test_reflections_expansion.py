"""From an asymmetric unit to P1 in twelve space groups: by counting, by the sum over all atoms of a cell, by what is absent."""

import gemmi
import numpy as np
import pytest
from space_groups import CELLS, GENERATORS, inside, operations, orbits, present, scattering_vectors

from nanobragg_numba import InputError, StructureFactors

D_MIN = 2.2
every_group = pytest.mark.parametrize("name", GENERATORS)


def summed(hkl, name):
    """F(hkl) of four atoms anywhere in the cell of the group, one of them with f''."""
    rng = np.random.default_rng(3)
    R, t = operations(name)
    s2 = (scattering_vectors(hkl, CELLS[name]) ** 2).sum(axis=1)
    total = np.zeros(len(hkl), complex)
    for factor in (6.0, 8.0, 16.0, 30.0 + 9.0j):
        places = np.einsum("mij,j->mi", R, rng.random(3)) + t
        total += factor * np.exp(-4 * s2) * np.exp(2j * np.pi * (hkl @ places.T)).sum(axis=1)
    return total


def write_mtz(path, name, hkl, columns, cell=None):
    """An MTZ file of ``columns``: label to type and values."""
    data = gemmi.Mtz(with_base=True)
    data.spacegroup = gemmi.SpaceGroup(name)
    data.set_cell_for_all(gemmi.UnitCell(*(cell or CELLS[name])))
    data.add_dataset("made")
    for label, (kind, _) in columns.items():
        data.add_column(label, kind)
    data.set_data(np.column_stack([hkl, *(values for _, values in columns.values())]).astype(np.float32))
    data.write_to_file(str(path))
    return path


def representatives(hkl, name, friedel=True):
    """Places in ``hkl`` of one reflection of each orbit, taken by chance."""
    order = np.random.default_rng(5).permutation(len(hkl))
    return order[np.unique(orbits(hkl, name, friedel)[order], return_index=True)[1]]


def within(hkl, d_min, name):
    return np.linalg.norm(scattering_vectors(hkl, CELLS[name]), axis=1) <= (1 + 1e-6) / d_min


def values_at(table, hkl):
    h, k, l = (hkl - (table.h_min, table.k_min, table.l_min)).T
    return table.table[h, k, l]


@every_group
def test_all_of_p1_from_pairs(name, tmp_path):
    everything = inside(CELLS[name], D_MIN)
    there = everything[present(everything, name)]
    asymmetric = there[representatives(there, name)]
    pair = [np.abs(summed(sign * asymmetric, name)) for sign in (1, -1)]
    path = write_mtz(tmp_path / "pairs.mtz", name, asymmetric, {"F(+)": ("G", pair[0]), "F(-)": ("G", pair[1])})
    table = StructureFactors.from_mtz(path)
    assert table.count == len(there) and np.count_nonzero(table.table) == len(there)
    assert values_at(table, there) == pytest.approx(np.abs(summed(there, name)), rel=1e-6, abs=1e-4)
    assert table.completeness == 1.0
    assert table.resolution_A == pytest.approx(1 / np.linalg.norm(scattering_vectors(there, CELLS[name]), axis=1).max())
    if name not in ("P -1",):
        assert np.abs(values_at(table, there) - values_at(table, -there)).max() > 1.0


@every_group
def test_multiplicities(name, tmp_path):
    everything = inside(CELLS[name], D_MIN)
    there = everything[present(everything, name)]
    orbit = orbits(there, name, friedel=True)
    chosen = representatives(there, name)[::3]
    # Each orbit its own amplitude, so that the reflections of a value are those of the orbit.
    path = write_mtz(tmp_path / "f.mtz", name, there[chosen], {"F": ("F", 1.0 + np.arange(len(chosen)))})
    table = StructureFactors.from_mtz(path)
    found, counts = np.unique(table.table[table.table > 0], return_counts=True)
    assert np.array_equal(found, 1.0 + np.arange(len(chosen)))
    assert np.array_equal(counts, [np.count_nonzero(orbit == orbit[one]) for one in chosen])
    assert table.count == counts.sum()
    assert table.completeness == pytest.approx(counts.sum() / np.count_nonzero(within(there, table.resolution_A, name)))


@every_group
def test_absent_reflections_are_zero_and_missing_ones_are_the_default(name, tmp_path):
    everything = inside(CELLS[name], D_MIN)
    there = present(everything, name)
    asymmetric = everything[there][representatives(everything[there], name)]
    missing = np.arange(len(asymmetric)) % 7 == 3
    values = np.where(missing, np.nan, 50.0)
    table = StructureFactors.from_mtz(write_mtz(tmp_path / "f.mtz", name, asymmetric, {"F": ("F", values)}), default_F=9.0)
    orbit = orbits(everything, name, friedel=True)
    unknown = np.isin(orbit, orbits(asymmetric[missing], name, friedel=True))
    assert np.array_equal(values_at(table, everything), np.where(unknown, 9.0, np.where(there, 50.0, 0.0)))
    # The outermost may be missing, and the list end further in.
    counted = there & within(everything, table.resolution_A, name)
    assert table.completeness == pytest.approx(1 - np.count_nonzero(unknown & counted) / np.count_nonzero(counted))


def test_a_listed_reflection_that_is_absent_by_symmetry(tmp_path):
    path = write_mtz(
        tmp_path / "f.mtz", "P 21 21 21", np.array([(1, 0, 0), (2, 0, 0), (0, 3, 0), (1, 1, 1)]), {"F": ("F", [3.0, 4.0, 0.0, 5.0])}
    )
    with pytest.warns(UserWarning, match="2 of its reflections, mates included, are absent in P 21 21 21 and were set to 0"):
        table = StructureFactors.from_mtz(path)
    assert values_at(table, np.array([(1, 0, 0), (-1, 0, 0), (2, 0, 0), (-2, 0, 0), (-1, 1, -1)])).tolist() == [0, 0, 4, 4, 5]


def test_friedel_mates_that_are_listed_apart(tmp_path):
    there = inside(CELLS["P 1 21 1"], D_MIN)
    there = there[present(there, "P 1 21 1")]
    chosen = there[representatives(there, "P 1 21 1", friedel=False)]
    path = write_mtz(tmp_path / "f.mtz", "P 1 21 1", chosen, {"F": ("F", np.abs(summed(chosen, "P 1 21 1")))})
    table = StructureFactors.from_mtz(path)
    assert values_at(table, there) == pytest.approx(np.abs(summed(there, "P 1 21 1")), rel=1e-6, abs=1e-4)


def test_centric_pairs_are_one_and_a_missing_mate_is_its_other(tmp_path):
    # In P 21 21 21 the reflections h k 0 are centric.
    hkl = np.array([(1, 2, 0), (2, 1, 0), (1, 2, 3), (2, 2, 3), (3, 1, 1)])
    pair = {"F(+)": ("G", [10.0, np.nan, 20.0, np.nan, 40.0]), "F(-)": ("G", [12.0, 7.0, np.nan, 30.0, 44.0])}
    with pytest.warns(UserWarning, match="of 2 acentric reflections one of the pair is missing"):
        table = StructureFactors.from_mtz(write_mtz(tmp_path / "f.mtz", "P 21 21 21", hkl, pair))
    for sign, expected in ((1, [11, 7, 20, 30, 40]), (-1, [11, 7, 20, 30, 44])):
        assert values_at(table, sign * hkl).tolist() == expected
        assert values_at(table, sign * hkl * (-1, -1, 1)).tolist() == expected


def test_data_that_are_not_merged_are_refused(tmp_path):
    hkl = np.array([(1, 2, 3), (-1, -2, 3)])
    path = write_mtz(tmp_path / "f.mtz", "P 21 21 21", hkl, {"F": ("F", [10.0, 11.0])})
    with pytest.raises(InputError, match=r"f\.mtz: the reflection -1 -2 3 has several values .*, 10 to 11, its equivalents in P 21 21 21"):
        StructureFactors.from_mtz(path)
    same = write_mtz(tmp_path / "same.mtz", "P 21 21 21", hkl, {"F": ("F", [10.0, 10.0])})
    assert StructureFactors.from_mtz(same).count == 8


def test_reflections_at_exactly_the_resolution_are_kept(tmp_path):
    # A cube of 12 A: 6 0 0 is at exactly 2 A, where gemmi leaves it out.
    hkl = np.array([(6, 0, 0), (5, 0, 0), (7, 0, 0)])
    path = write_mtz(tmp_path / "f.mtz", "P 1", hkl, {"F": ("F", [3.0, 4.0, 5.0])}, cell=(12, 12, 12, 90, 90, 90))
    table = StructureFactors.from_mtz(path, d_min=2.0)
    assert table.count == 4 and table.resolution_A == 2.0 and table.limits[:2] == (-6, 6)
