"""Structure factors from coordinates against the sum over atoms by the definition: 1e-4 of the mean F, at the worst reflection."""

import gemmi
import numpy as np
import pytest
from space_groups import CELLS, inside, present
from summed_over_atoms import Site, as_in_pdb, by_definition, pdb_text, some_sites

from nanobragg_numba import InputError, StructureFactors
from nanobragg_numba.reflections import coordinates
from nanobragg_numba.reflections.calculated import Solvent, calculate

WAVELENGTH = 0.9795
"""Near the K edge of selenium."""
IN_C2 = (40.0, 22.0, 23.0, 90.0, 110.0, 90.0)
IN_F43M = [
    Site("C", (0.06, 0.13, 0.37)),
    Site("O", (0.31, 0.17, 0.45)),
    Site("Zn", (0.0, 0.0, 0.0), 3.0),
    Site("Se", (0.25, 0.25, 0.25), 3.0),
]
MODELS = {
    # name: space group, cell, sites, d_min
    "B 20": ("P 21 21 21", CELLS["P 21 21 21"], some_sites(12), 1.6),
    "B 0.3": ("P 21 21 21", CELLS["P 21 21 21"], some_sites(12, 0.3), 1.6),
    "B 2 to 0.9 A": ("P 31 2 1", CELLS["P 31 2 1"], some_sites(8, 2.0), 0.9),
    "at rest": ("P -1", CELLS["P -1"], some_sites(8, 0.0), 1.2),
    "anisotropic": ("P -1", CELLS["P -1"], some_sites(12, 8.0, anisotropic=True), 1.2),
    "anisotropic, turned": ("P 61", CELLS["P 61"], some_sites(8, 5.0, anisotropic=True), 1.5),
    "metal on an axis": ("C 1 2 1", IN_C2, [*some_sites(40), Site("Zn", (0.0, 0.3, 0.0), 12.0)], 2.0),
    "shared axis": ("C 1 2 1", IN_C2, [*some_sites(10), Site("Se", (0.5, 0.1, 0.0), 12.0, 0.5)], 2.0),
    "to 6 A": ("P 21 21 21", (60.0, 50.0, 55.0, 90.0, 90.0, 90.0), some_sites(20), 6.0),
    "on hexagonal axes": ("R 3:H", CELLS["R 3:H"], some_sites(6), 2.0),
    "selenium": ("P 21 21 21", CELLS["P 21 21 21"], [*some_sites(12), Site("Se", (0.1, 0.2, 0.3), 10.0)], 1.6),
    "centred": (
        "F -4 3 m",
        CELLS["F -4 3 m"],
        IN_F43M,
        1.8,
    ),
}


def difference(table, sites, cell, group, d_min, wavelength):
    """The largest error of |F| over all P1, mates apart, as a part of the mean; and that the table holds what it should."""
    hkl = inside(cell, d_min)
    hkl = np.vstack([hkl[present(hkl, group)], [(0, 0, 0)]])
    assert table.count == len(hkl) and table.completeness == 1.0
    wanted = np.abs(by_definition(sites, cell, group, hkl, wavelength))
    h, k, l = (hkl - (table.h_min, table.k_min, table.l_min)).T
    return np.abs(table.table[h, k, l] - wanted).max() / wanted.mean()


@pytest.mark.parametrize("wavelength", [None, WAVELENGTH])
@pytest.mark.parametrize("name", MODELS)
def test_against_the_sum_over_atoms(name, wavelength, tmp_path):
    group, cell, sites, d_min = MODELS[name]
    path = tmp_path / "model.pdb"
    # A file has half an atom where two share an axis, and so has the sum, which counts each place once.
    shared = name == "shared axis"
    path.write_text(pdb_text(sites, cell, group.replace(":H", "")))
    sites = as_in_pdb(sites, cell)
    if name in ("metal on an axis", "centred"):
        with pytest.warns(UserWarning, match=r"\d atoms on special positions were counted once"):
            table = StructureFactors.from_model(path, d_min, wavelength, solvent=False)
    else:
        table = StructureFactors.from_model(path, d_min, wavelength, solvent=False)
    if shared:
        # Occupancy 0.5 in the file is that of one of the two operations: together they make one whole atom.
        sites[-1].occupancy = 1.0
    assert difference(table, sites, cell, group, d_min, wavelength) < 1e-4


def test_a_table_for_each_wavelength(tmp_path):
    group, cell, sites, d_min = MODELS["selenium"]
    path = tmp_path / "model.pdb"
    path.write_text(pdb_text(sites, cell, group))
    wavelengths = (WAVELENGTH - 0.01, WAVELENGTH, 1.3)
    tables = StructureFactors.from_model(path, d_min, wavelengths, solvent=False)
    assert tables.tables == 3 and tables.cell == cell and tables.space_group == group and "at 0.9695, 0.9795, 1.3 A" in repr(tables)
    for own, wavelength in zip(tables.table, wavelengths, strict=True):
        alone = StructureFactors.from_model(path, d_min, wavelength, solvent=False)
        np.testing.assert_allclose(own, alone.table, rtol=1e-12)
        assert difference(alone, as_in_pdb(sites, cell), cell, group, d_min, wavelength) < 1e-4
    # Beyond what the density is off by, the tables differ: the first two are on the two sides of an edge.
    assert np.abs(tables.table[0] - tables.table[1]).max() > 1e-2 * tables.table[0].mean()
    with pytest.raises(InputError, match="wavelength_A must be positive"):
        StructureFactors.from_model(path, d_min, (1.0, 0.0))


def test_friedel_mates_differ_with_a_wavelength_alone(tmp_path):
    group, cell, sites, d_min = MODELS["selenium"]
    path = tmp_path / "model.pdb"
    path.write_text(pdb_text(sites, cell, group))

    def mates(wavelength):
        table = StructureFactors.from_model(path, d_min, wavelength).table[:-1, :-1, :-1]
        return np.abs(table - table[::-1, ::-1, ::-1]).max() / table.mean()

    assert mates(None) < 1e-5 and mates(WAVELENGTH) > 0.05


CIF = """data_made_up
_cell_length_a {0}
_cell_length_b {1}
_cell_length_c {2}
_cell_angle_alpha {3}
_cell_angle_beta {4}
_cell_angle_gamma {5}
_symmetry_space_group_name_H-M '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
_atom_site_adp_type
{sites}
"""


def small_molecule(sites, cell, group, uij=None):
    kind = "Uani" if uij else "Uiso"
    rows = "\n".join(
        f"X{n} {site.element} {' '.join(f'{x:.6f}' for x in site.place)} {site.occupancy} {site.B / (8 * np.pi**2):.7f} {kind}"
        for n, site in enumerate(sites)
    )
    text = CIF.format(*cell, group=group, sites=rows)
    if uij:
        text += "loop_\n_atom_site_aniso_label\n" + "".join(f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23"))
        text += "\n".join(f"X{n} " + " ".join(f"{u:.6f}" for u in row) for n, row in enumerate(uij)) + "\n"
    return text


def test_zinc_blende_has_four_formula_units(tmp_path):
    cell, group = (5.41, 5.41, 5.41, 90.0, 90.0, 90.0), "F -4 3 m"
    sites = [Site("Zn", (0.0, 0.0, 0.0), 0.8), Site("S", (0.25, 0.25, 0.25), 0.9)]
    path = tmp_path / "ZnS.cif"
    path.write_text(small_molecule(sites, cell, group))
    table = StructureFactors.from_model(path, 0.7, WAVELENGTH)
    assert "no bulk solvent" in table.source
    assert difference(table, sites, cell, group, 0.7, WAVELENGTH) < 1e-4


def test_anisotropic_sites_of_a_small_molecule(tmp_path):
    cell, group = CELLS["P -1"], "P -1"
    sites = as_in_pdb(some_sites(6), cell)
    sites = [Site(site.element, tuple(np.round(site.place, 6)), 4.0) for site in sites]
    uij = [(0.05, 0.03, 0.04, 0.01, -0.012, 0.008 + 0.001 * n) for n in range(6)]
    path = tmp_path / "small.cif"
    path.write_text(small_molecule(sites, cell, group, uij))
    table = StructureFactors.from_model(path, 1.0)
    # By the CIF dictionary: exp(-2 pi^2 sum of U_ij h_i h_j a*_i a*_j).
    hkl = inside(cell, 1.0)
    star = np.linalg.norm(np.linalg.inv(np.array(gemmi.UnitCell(*cell).orth.mat.tolist())), axis=1)
    total = np.zeros(len(hkl), complex)
    for site, (u11, u22, u33, u12, u13, u23) in zip(sites, uij, strict=True):
        still = by_definition([Site(site.element, site.place, 0.0)], cell, group, hkl)
        q = hkl * star
        total += still * np.exp(-2 * np.pi**2 * np.einsum("ni,ij,nj->n", q, [[u11, u12, u13], [u12, u22, u23], [u13, u23, u33]], q))
    h, k, l = (hkl - (table.h_min, table.k_min, table.l_min)).T
    assert np.abs(table.table[h, k, l] - np.abs(total)).max() < 1e-4 * np.abs(total).mean()


def one_atom(tmp_path):
    path = tmp_path / "atom.pdb"
    path.write_text(pdb_text([Site("S", (0.5, 0.5, 0.5))], (20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "P 1"))
    return path


def test_solvent_is_what_the_atom_leaves(tmp_path):
    """Around one atom the solvent has a hole, a sphere, whose transform is known."""
    atoms = coordinates.from_pdb(one_atom(tmp_path).read_bytes(), gemmi, "here")
    without, dense, smeared = (calculate(atoms, 3.0, (), way, gemmi, "here") for way in (None, Solvent(0.5, 0.0), Solvent(0.5, 60.0)))
    hkl, mask = without.hkl, (dense.F[0] - without.F[0]) / 0.5
    s = np.linalg.norm(hkl, axis=1) / 20.0
    assert np.abs(smeared.F[0] - without.F[0] - 0.5 * np.exp(-15 * s**2) * mask).max() < 1e-2
    hole = 20.0**3 - mask[0].real
    radius = (3 * hole / (4 * np.pi)) ** (1 / 3)
    assert 1.5 < radius < 2.5
    qr = 2 * np.pi * s[1:] * radius
    sphere = 4 * np.pi * radius**3 * (np.sin(qr) - qr * np.cos(qr)) / qr**3
    phases = np.exp(1j * np.pi * hkl[1:].sum(axis=1))
    assert np.abs(mask[1:] + sphere * phases).max() < 0.05 * hole


def test_solvent_by_default_for_macromolecules(tmp_path):
    path = one_atom(tmp_path)
    default, same, none, zero = (StructureFactors.from_model(path, 3.0, solvent=way) for way in (True, (0.35, 46), False, (0.0, 46)))
    assert np.array_equal(default.table, same.table) and np.array_equal(none.table, zero.table)
    assert "bulk solvent k_sol 0.35 e/A^3, B_sol 46 A^2" in default.source and "no bulk solvent" in none.source
    assert np.abs(default.table - none.table).max() > 1.0


def test_reflections_at_exactly_the_resolution_are_computed(tmp_path):
    table = StructureFactors.from_model(one_atom(tmp_path), 2.0)
    assert table.limits == (-10, 10, -10, 10, -10, 10) and table.resolution_A == 2.0
    assert table.table[20, 10, 10] > 0.0


COPY = "".join(
    f"MTRIX{row}   2{'  1.000000' if row == 1 else '  0.000000'}{'  1.000000' if row == 2 else '  0.000000'}"
    f"{'  1.000000' if row == 3 else '  0.000000'}     {'   5.00000' if row == 1 else '   0.00000'}    {{0}}\n"
    for row in (1, 2, 3)
)


@pytest.mark.parametrize("given", [" ", "1"])
def test_copies_that_the_file_does_not_list(tmp_path, given):
    cell = (20.0, 21.0, 22.0, 90.0, 90.0, 90.0)
    head, atom, *end = pdb_text([Site("S", (0.1, 0.2, 0.3))], cell, "P 1").splitlines(keepends=True)
    path = tmp_path / "copies.pdb"
    path.write_text(head + COPY.format(given) + atom + "".join(end))
    sites = [Site("S", (0.1, 0.2, 0.3)), Site("S", (0.35, 0.2, 0.3))]
    if given == " ":
        with pytest.warns(UserWarning, match="1 copies by non-crystallographic symmetry"):
            table = StructureFactors.from_model(path, 2.0, solvent=False)
    else:
        table, sites = StructureFactors.from_model(path, 2.0, solvent=False), sites[:1]
    assert difference(table, sites, cell, "P 1", 2.0, None) < 1e-4


def test_records_that_end_early_and_further_models_are_told(tmp_path):
    head, atom, *_ = pdb_text([Site("S", (0.1, 0.2, 0.3))], (20.0, 21.0, 22.0, 90.0, 90.0, 90.0), "P 1").splitlines()
    path = tmp_path / "short.pdb"
    path.write_text(f"{head}\nMODEL        1\n{atom[:54]}\nENDMDL\nMODEL        2\n{atom}\nENDMDL\nEND\n")
    with pytest.warns(UserWarning) as told:
        table = StructureFactors.from_model(path, 2.0, solvent=False)
    texts = [str(one.message) for one in told]
    assert any("holds 2 models; the first is used" in text for text in texts)
    assert any("1 of 2 atom records end before occupancy or B factor" in text for text in texts)
    assert table.count > 100


def test_elements_without_a_dispersion(tmp_path):
    path = tmp_path / "am.pdb"
    path.write_text(pdb_text([Site("Am", (0.1, 0.2, 0.3))], (20.0, 21.0, 22.0, 90.0, 90.0, 90.0), "P 1"))
    with pytest.warns(UserWarning, match=r"f' and f'' of Am are not tabulated, and are 0"):
        StructureFactors.from_model(path, 3.0, 1.0)
    with pytest.warns(UserWarning, match=r"f' and f'' are uncertain at 206640 eV"):
        StructureFactors.from_model(one_atom(tmp_path), 3.0, 0.06)


@pytest.mark.parametrize(
    ("d_min", "says"), [(0.01, "resolution must be from 0.2 to 100 A"), (0.0, "d_min must be positive"), (np.nan, "d_min must be")]
)
def test_resolutions_that_make_no_sense(tmp_path, d_min, says):
    with pytest.raises(InputError, match=says):
        StructureFactors.from_model(one_atom(tmp_path), d_min)


@pytest.mark.parametrize("solvent", [(0.35,), (0.35, 46, 1), (-0.1, 46), (0.35, np.nan), "none", None])
def test_solvents_that_are_none(tmp_path, solvent):
    with pytest.raises(InputError, match="solvent must be True, False, or k_sol and B_sol"):
        StructureFactors.from_model(one_atom(tmp_path), 3.0, solvent=solvent)
