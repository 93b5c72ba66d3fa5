"""examples/hkl_from_model.py, and what docs/from-a-pdb-entry.md says of gemmi, against sums over atoms by the definition."""

import gemmi
import numpy as np
import pytest
from test_examples import example

from nanobragg_numba import parameters_from_command_line

CELL = (40.0, 22.0, 23.0, 90.0, 110.0, 90.0)
D_MIN = 2.5


def model(b=20.0, zinc_occupancy=0.5):
    """Forty light atoms anywhere in a cell of C2, and a zinc on the twofold axis."""
    rng = np.random.default_rng(1)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(*CELL), "C 1 2 1"
    chain = gemmi.Chain("A")
    for n, place in enumerate([*rng.random((40, 3)), (0.0, 0.3, 0.0)]):
        residue, atom = gemmi.Residue(), gemmi.Atom()
        residue.name, residue.seqid = "UNK", gemmi.SeqId(str(n + 1))
        atom.name = atom.element.name if n < 40 else "ZN"
        atom.element = gemmi.Element("Zn" if n == 40 else "CNOS"[n % 4])
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*place))
        atom.b_iso, atom.occ = b, zinc_occupancy if n == 40 else 1.0
        residue.add_atom(atom)
        chain.add_residue(residue)
    structure.add_model(gemmi.Model(1))
    structure[0].add_chain(chain)
    structure.setup_cell_images()
    return structure


def by_definition(structure, hkl):
    """F(hkl) of a C2 model whose zinc sits on the axis: each atom of the cell once, scattering factors from the four Gaussians."""
    s2 = np.array([structure.cell.calculate_1_d2(indices) for indices in hkl.tolist()])
    total = np.zeros(len(hkl), complex)
    for found in structure[0].all():
        atom, place = found.atom, np.array(structure.cell.fractionalize(found.atom.pos).tolist())
        table = atom.element.it92
        factor = table.c + sum(a * np.exp(-b * s2 / 4) for a, b in zip(table.a, table.b, strict=True))
        twice = [place] if atom.element.name == "Zn" else [place, place * (-1, 1, -1)]
        for x in [y + shift for y in twice for shift in ((0, 0, 0), (0.5, 0.5, 0))]:
            total += factor * np.exp(-atom.b_iso * s2 / 4) * np.exp(2j * np.pi * (hkl @ x))
    return total


def all_indices(d_min=D_MIN):
    """Every h k l to ``d_min`` in which the centring leaves anything, by trying a block, (0, 0, 0) too."""
    cell = gemmi.UnitCell(*CELL)
    block = np.stack(np.meshgrid(*[np.arange(-20, 21)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    s2 = np.array([cell.calculate_1_d2(indices) for indices in block.tolist()])
    return block[(s2 <= 1 / d_min**2) & ((block[:, 0] + block[:, 1]) % 2 == 0)]


def relative(found, wanted):
    return np.abs(np.abs(found) - np.abs(wanted)).sum() / np.abs(wanted).sum()


@pytest.fixture(scope="module")
def structure(tmp_path_factory):
    """The model as it is read back from its file, coordinates rounded."""
    path = tmp_path_factory.mktemp("model") / "model.cif"
    model().make_mmcif_document().write_file(str(path))
    return path, gemmi.read_structure(str(path))


def test_list_from_coordinates(structure, tmp_path, capsys):
    path, read = structure
    out = tmp_path / "model.hkl"
    example("hkl_from_model").main([str(path), str(out), "--dmin", str(D_MIN)])
    hkl, amplitudes = np.loadtxt(out, dtype=int, usecols=(0, 1, 2)), np.loadtxt(out, usecols=3)
    assert sorted(map(tuple, hkl.tolist())) == sorted(map(tuple, all_indices().tolist()))
    wanted = by_definition(read, hkl)
    assert relative(amplitudes, wanted) < 1e-4
    assert amplitudes[(hkl == 0).all(axis=1)][0] == pytest.approx(2 * 2 * 10 * (6 + 7 + 8 + 16) + 2 * 30, rel=1e-3)
    assert "-cell 40 22 23 90 110 90" in capsys.readouterr().out
    table = parameters_from_command_line(f"-hkl {out} -cell 40 22 23 90 110 90").crystal.structure_factors
    assert table.table[1 - table.h_min, 1 - table.k_min, -3 - table.l_min] == amplitudes[(hkl == (1, 1, -3)).all(axis=1)][0]


def test_list_from_an_mtz(structure, tmp_path):
    _, read = structure
    hkl = gemmi.make_miller_array(read.cell, read.find_spacegroup(), D_MIN)
    amplitudes = np.abs(by_definition(read, hkl))
    data = gemmi.Mtz(with_base=True)
    data.spacegroup = read.find_spacegroup()
    data.set_cell_for_all(read.cell)
    data.add_dataset("model")
    data.add_column("FC", "F")
    data.set_data(np.column_stack([hkl, np.where(np.arange(len(hkl)) == 5, np.nan, amplitudes)]))
    data.write_to_file(str(tmp_path / "model.mtz"))
    example("hkl_from_model").main([str(tmp_path / "model.mtz"), str(tmp_path / "model.hkl")])
    listed = np.loadtxt(tmp_path / "model.hkl")
    # The one without a value lacks its four relatives, or the two of a centric one; so does (0, 0, 0), which MTZ files do not have.
    assert len(all_indices()) - 1 - len(listed) in (2, 4)
    assert relative(listed[:, 3], by_definition(read, listed[:, :3].astype(int))) < 1e-5


def test_expansion_to_p1_adds_no_friedel_mates(structure):
    _, read = structure
    data = gemmi.Mtz(with_base=True)
    data.spacegroup = read.find_spacegroup()
    data.set_cell_for_all(read.cell)
    data.set_data(gemmi.make_miller_array(read.cell, read.find_spacegroup(), D_MIN).astype(np.float32))
    data.expand_to_p1()
    indices = {tuple(row) for row in data.make_miller_array().tolist()}
    assert not any((-h, -k, -l) in indices for h, k, l in indices)
    assert len(indices) == (len(all_indices()) - 1) / 2


def test_a_special_position_counts_once_an_operation():
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), gemmi.SpaceGroup("C 1 2 1"), D_MIN)
    whole = model()
    wanted = by_definition(whole, hkl)
    # The calculator refers to the cell, and does not keep it alive.
    calculator = gemmi.StructureFactorCalculatorX(whole.cell)

    def calculated(zinc_occupancy):
        structure = model(zinc_occupancy=zinc_occupancy)
        return np.array([calculator.calculate_sf_from_model(structure[0], indices) for indices in hkl.tolist()])

    assert relative(calculated(0.5), wanted) < 1e-6
    assert relative(calculated(1.0), wanted) > 0.2


def test_a_small_structure_counts_alike_until_told():
    zinc_blende = gemmi.SmallStructure()
    zinc_blende.cell, zinc_blende.spacegroup_hm = gemmi.UnitCell(5.41, 5.41, 5.41, 90, 90, 90), "F -4 3 m"
    zinc_blende.spacegroup = gemmi.SpaceGroup("F -4 3 m")
    for element, x in (("Zn", 0.0), ("S", 0.25)):
        site = gemmi.SmallStructure.Site()
        site.label, site.element, site.fract, site.occ = element, gemmi.Element(element), gemmi.Fractional(x, x, x), 1.0
        zinc_blende.add_site(site)
    zinc_blende.setup_cell_images()
    calculator = gemmi.StructureFactorCalculatorX(zinc_blende.cell)
    before = calculator.calculate_sf_from_small_structure(zinc_blende, [0, 0, 0])
    zinc_blende.change_occupancies_to_crystallographic()
    after = calculator.calculate_sf_from_small_structure(zinc_blende, [0, 0, 0])
    assert abs(after) == pytest.approx(4 * (30 + 16), rel=1e-3)  # four formula units
    assert abs(before) == pytest.approx(24 * abs(after))


@pytest.mark.parametrize(("b", "least"), [(20.0, 1e-4), (5.0, 0.03), (2.0, 0.2)])
def test_density_needs_its_blur(b, least):
    structure = model(b=b)
    hkl = gemmi.make_miller_array(structure.cell, structure.find_spacegroup(), 2.0)
    wanted = by_definition(structure, hkl)

    def from_density(blurred):
        density = gemmi.DensityCalculatorX()
        density.d_min = 2.0
        density.grid.setup_from(structure)
        if blurred:
            density.set_refmac_compatible_blur(structure[0])
        density.put_model_density_on_grid(structure[0])
        data = gemmi.transform_map_to_f_phi(density.grid).prepare_asu_data(dmin=2.0, unblur=density.blur)
        values = dict(zip(map(tuple, data.miller_array.tolist()), data.value_array, strict=True))
        return np.array([values[indices] for indices in map(tuple, hkl.tolist())])

    assert relative(from_density(True), wanted) < 1e-4
    assert least < relative(from_density(False), wanted)


def test_calculators_take_no_imaginary_part():
    cell = gemmi.UnitCell(*CELL)
    calculator = gemmi.StructureFactorCalculatorX(cell)
    calculator.addends.set(gemmi.Element("Zn"), -3.0)
    with pytest.raises(TypeError):
        calculator.addends.set(gemmi.Element("Zn"), 2.0j)


def test_frames():
    # gemmi: a along x, b in the xy plane. -cell: a* along x, b* in the xy plane.
    cell = (40.0, 22.0, 23.0, 80.0, 110.0, 95.0)
    rows = np.array(gemmi.UnitCell(*cell).orth.mat.tolist()).T
    assert rows[0] == pytest.approx((40, 0, 0)) and rows[1][2] == pytest.approx(0)
    from nanobragg_numba import Crystal, Sampling

    axes, stars = (np.reshape(part, (3, 3)) for part in Crystal(cell=cell).rotated_real_vectors(Sampling()))
    assert stars[0][1:] == pytest.approx((0, 0)) and stars[1][2] == pytest.approx(0) and abs(axes[0][1]) > 1
    given = Crystal(real_space_matrix=rows).rotated_real_vectors(Sampling()).real
    assert np.reshape(given, (3, 3)) == pytest.approx(rows)
