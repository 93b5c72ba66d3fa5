"""MTZ and CIF files behind -hkl and in Python: which columns, which cell, what is written, and what is refused."""

import gzip
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
from running import nanobragg
from space_groups import CELLS
from summed_over_atoms import Site, pdb_text
from test_reflections_expansion import values_at, write_mtz

from nanobragg_numba import InputError, StructureFactors, from_arrays, parameters_from_command_line, read_hkl

EXAMPLES = Path(__file__).parent.parent / "examples"
GROUP, CELL = "P 21 21 21", CELLS["P 21 21 21"]
HKL = np.array([(1, 2, 3), (2, 1, 1), (3, 1, 2), (2, 0, 0)])
SHORT = "-distance 60 -detpixels 8 -pixel 2 -N 2 -nopgm -nonoise -oversample 1".split()
F, PLUS, MINUS, I = ([10.0, 20.0, 30.0, 40.0], [11.0, 21.0, 31.0, 40.0], [9.0, 19.0, 29.0, 40.0], [4.0, 9.0, -16.0, 25.0])
ALL = {
    "I": ("J", I), "SIGI": ("Q", F), "F": ("F", F), "SIGF": ("Q", F), "FC": ("F", PLUS), "PHI": ("P", F),
    "F(+)": ("G", PLUS), "SIGF(+)": ("L", F), "F(-)": ("G", MINUS), "SIGF(-)": ("L", F),
    "I(+)": ("K", I), "I(-)": ("K", I), "FREE": ("I", [0, 1, 0, 1]), "DANO": ("D", F),
}  # fmt: skip


def some(*labels):
    return {label: ALL[label] for label in labels}


@pytest.fixture
def mtz(tmp_path):
    return lambda *labels: write_mtz(tmp_path / "data.mtz", GROUP, HKL, some(*labels))


SIGMA_FOLLOWS = (
    (tuple(ALL), None, (PLUS, MINUS)),
    (("I", "SIGI", "F", "SIGF", "FC", "PHI"), None, (F, F)),
    (("FC", "PHI", "I", "SIGI"), None, ([2, 3, 0, 5],) * 2),
    (("FC", "PHI", "I"), None, (PLUS, PLUS)),
    (("I", "SIGI", "FREE"), None, ([2, 3, 0, 5],) * 2),
    (("I(+)", "I(-)", "I", "SIGI"), None, ([2, 3, 0, 5],) * 2),
    (tuple(ALL), "FC,PHI", (PLUS, PLUS)),
    (tuple(ALL), " I , SIGI ", ([2, 3, 0, 5],) * 2),
    (tuple(ALL), "F(-),SIGF(-),F(+),SIGF(+)", (PLUS, MINUS)),
    (tuple(ALL), "F(-)", (MINUS, MINUS)),
    (tuple(ALL), "made/F,SIGF", (F, F)),
)


@pytest.mark.filterwarnings("ignore:.*negative")
@pytest.mark.parametrize(("there", "columns", "expected"), SIGMA_FOLLOWS)
def test_columns(there, columns, expected, mtz):
    table = StructureFactors.from_mtz(mtz(*there), columns)
    for sign, values in zip((1, -1), expected, strict=True):
        assert values_at(table, sign * HKL) == pytest.approx(values)


@pytest.mark.parametrize(
    ("there", "columns", "says"),
    [
        (("FREE", "PHI", "DANO"), None, r"no column of amplitudes or intensities; there are FREE \(integers\), PHI"),
        (("FC", "PHI", "F"), None, "several columns may be meant: made/FC; made/F; name one with columns"),
        (tuple(ALL), "FP", "no column FP; there are I, SIGI, F"),
        (tuple(ALL), "SIGF", "none of the columns SIGF holds amplitudes"),
        (tuple(ALL), "DANO", "the column DANO is an anomalous difference, neither amplitudes nor intensities"),
        (tuple(ALL), "F,FC", "one column of amplitudes or intensities is needed, or a Friedel pair"),
        (tuple(ALL), "F(+),I(-)", "or a Friedel pair of one data set"),
        (tuple(ALL), ",", "none of the columns , holds"),
    ],
)
def test_columns_that_are_refused(there, columns, says, mtz):
    with pytest.raises(InputError, match=rf"from_mtz .*data\.mtz: .*{says}"):
        StructureFactors.from_mtz(mtz(*there), columns)


def test_what_was_found_is_said(mtz, tmp_path, capfdbinary):
    run = nanobragg(["-compat", "spec", "-hkl", str(mtz(*ALL)), *SHORT], tmp_path / "run", capfdbinary)
    assert run.status == 0
    assert "data.mtz: the amplitudes F(+), F(-) of made (others: I, F, FC, I(+), I(-)); 26 reflections of P1 from P 21 21 21" in run.stderr
    run = nanobragg(["-compat", "c", "-hkl", str(mtz("I", "SIGI")), *SHORT], tmp_path / "run", capfdbinary)
    assert "data.mtz: 1 intensities in I are negative; their amplitudes are 0" in run.stderr
    assert b"Unit Cell: 11 12.5 14 90 90 90\n" in run.stdout
    assert "the amplitudes F of made" in repr(StructureFactors.from_mtz(mtz("F"))) and "A, cell 11 12.5 14 90 90 90, P 21 21 21" in repr(
        StructureFactors.from_mtz(mtz("F"))
    )


def two_data_sets(path, second_cell):
    data = gemmi.Mtz(with_base=True)
    data.spacegroup = gemmi.SpaceGroup(GROUP)
    data.set_cell_for_all(gemmi.UnitCell(*CELL))
    for name in ("native", "peak"):
        data.add_dataset(name)
        data.add_column(f"F_{name}", "F")
    data.datasets[2].cell = gemmi.UnitCell(*second_cell)
    data.set_data(np.column_stack([HKL, F, PLUS]).astype(np.float32))
    data.write_to_file(str(path))
    return path


def test_two_data_sets_and_two_cells(tmp_path):
    near, far = (CELL[0] * factor for factor in (1.003, 1.02))
    path = two_data_sets(tmp_path / "two.mtz", (near, *CELL[1:]))
    with pytest.raises(InputError, match="several columns may be meant: native/F_native; peak/F_peak"):
        StructureFactors.from_mtz(path)
    with pytest.warns(UserWarning) as told:
        table = StructureFactors.from_mtz(path, "F_peak")
    texts = " | ".join(str(one.message) for one in told)
    assert "the data set peak has the cell 11.033 12.5 14 90 90 90, the file 11 12.5 14 90 90 90; the data set's is used" in texts
    assert "it holds 2 data sets, native, peak; the amplitudes F_peak of peak is used" in texts
    assert table.cell == pytest.approx((near, *CELL[1:]))
    path = two_data_sets(tmp_path / "far.mtz", (far, *CELL[1:]))
    with pytest.raises(InputError, match=r"the data set peak has the cell 11\.22 .*, the file 11 .*; say with cell which one is meant"):
        StructureFactors.from_mtz(path, "F_peak")
    for edge in (11.0, 11.22):
        with pytest.warns(UserWarning, match="2 data sets"):
            assert StructureFactors.from_mtz(path, "F_peak", cell=(edge, *CELL[1:])).cell[0] == pytest.approx(edge)
        line = f"-hkl {path} -columns F_peak -cell {edge} 12.5 14 -N 5"
        with pytest.warns(UserWarning, match="2 data sets"):
            assert parameters_from_command_line(line).crystal.structure_factors.cell[0] == pytest.approx(edge)


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
def test_cells_that_disagree_are_refused(compat, mtz, tmp_path):
    path = mtz("F")
    for words in ("-cell 11.1 12.5 14", "-cell 11 12.4 13.9 90.9 89.1 90", ""):
        assert parameters_from_command_line(f"-hkl {path} {words}", compat).crystal.cell[0] == pytest.approx(
            11.1 if "11.1" in words else 11
        )
    for words, shown in (
        ("-cell 11.2 12.5 14", "11.2 12.5 14 90 90 90"),
        ("-cell 11", "11 11 11"),
        ("-cell 11 12.5 14 90 91.1", "91.1 90"),
    ):
        with pytest.raises(InputError, match=rf"data\.mtz: its cell 11 12\.5 14 90 90 90 is not that of -cell, .*{shown}"):
            parameters_from_command_line(f"{words} -hkl {path}", compat)
    # A matrix holds the wavelength: with another one its cell is another.
    (tmp_path / "A.mat").write_text("\n".join(" ".join(map(str, row)) for row in np.diag(0.9 / np.array(CELL[:3]))))
    line = f"-mat {tmp_path / 'A.mat'} -hkl {path}"
    assert parameters_from_command_line(f"{line} -lambda 0.9", compat).crystal.cell is None
    with pytest.raises(InputError, match=r"is not that of -mat at 1 A, 12\.2222 13\.8889 15\.5556 90 90 90"):
        parameters_from_command_line(line, compat)


def test_order_of_words_does_not_matter(tmp_path):
    path = tmp_path / "se.pdb"
    path.write_text(pdb_text([Site("Se", (0.1, 0.2, 0.3)), Site("C", (0.4, 0.3, 0.3))], CELL, GROUP))
    tables = [
        parameters_from_command_line(line.format(path)).crystal.structure_factors.table
        for line in (
            "-lambda 0.9795 -default_F 3 -resolution 2 -hkl {}",
            "-hkl {} -resolution 5 -resolution 2 -lambda 2 -lambda 0.9795 -default_F 3",
            "-hkl {} -resolution 2 -energy 12658.0 -default_F 3",
        )
    ]
    assert np.array_equal(tables[0], tables[1]) and not np.array_equal(tables[0], tables[2])
    wanted = StructureFactors.from_model(path, 2.0, 0.9795, default_F=3.0)
    assert np.array_equal(tables[0], wanted.table)


ERL = "-mat erl.mat -lambda 0.9768 -N 8 -distance 75 -detpixels 64 -pixel 0.4 -seed 1 -default_F 7".split()


def test_the_image_of_an_mtz_is_that_of_the_list(tmp_path, capfdbinary):
    listed = np.loadtxt(EXAMPLES / "erl.hkl")
    cell = (53.91, 23.10, 23.10, 90.0, 110.4, 90.0)
    write_mtz(tmp_path / "erl.mtz", "P 1", listed[:, :3], {"F": ("F", listed[:, 3])}, cell)
    from_arrays(listed[:, :3], listed[:, 3], cell=cell).write(tmp_path / "written.mtz")
    images = {}
    for compat in ("c", "spec"):
        for source in ("erl.hkl", str(tmp_path / "erl.mtz"), str(tmp_path / "written.mtz")):
            words = ["-compat", compat, "-hkl", source, *ERL]
            run = nanobragg(words, tmp_path / f"{compat}-{Path(source).name}", capfdbinary, ["erl.mat", "erl.hkl"])
            assert run.status == 0, run.stderr
            files = run.files(["erl.mat", "erl.hkl"])
            files.pop("Fdump.bin")  # The table of a file reaches to its resolution along every axis.
            images[compat, Path(source).name] = files
    for compat in ("c", "spec"):
        assert len(images[compat, "erl.hkl"]) == 4
        assert images[compat, "erl.mtz"] == images[compat, "written.mtz"] == images[compat, "erl.hkl"]
    assert images["c", "erl.hkl"] != images["spec", "erl.hkl"]


def test_erl_as_a_part_in_its_group(tmp_path):
    listed = np.loadtxt(EXAMPLES / "erl.hkl")
    hkl = listed[:, :3].astype(int)
    part = ((hkl[:, 2] > 0) | ((hkl[:, 2] == 0) & (hkl[:, 0] >= 0))) & (hkl[:, 1] >= 0)
    cell = (53.91, 23.10, 23.10, 90.0, 110.4, 90.0)
    table = StructureFactors.from_mtz(write_mtz(tmp_path / "erl.mtz", "C 1 2 1", hkl[part], {"FC": ("F", listed[part, 3])}, cell))
    assert values_at(table, hkl) == pytest.approx(listed[:, 3], abs=0.002)


@pytest.mark.parametrize("pairs", [False, True])
def test_round_trip(pairs, tmp_path):
    rng = np.random.default_rng(2)
    hkl = np.array([(h, k, l) for h in range(-3, 4) for k in range(-4, 4) for l in range(-2, 3)])
    hkl = np.unique(np.concatenate([hkl, -hkl]), axis=0)
    values = rng.random(len(hkl)).round(5)
    if not pairs:
        rank = {tuple(row): value for row, value in zip(hkl.tolist(), values, strict=True)}
        values = np.array([rank[max(tuple(row), tuple(-np.array(row)))] for row in hkl.tolist()])
    table = from_arrays(hkl, values, cell=CELL)
    table.write(tmp_path / "t.mtz")
    table.write(str(tmp_path / "t.HKL"))
    assert [column.label for column in gemmi.read_mtz_file(str(tmp_path / "t.mtz")).columns][3:] == (["F(+)", "F(-)"] if pairs else ["F"])
    again, text = StructureFactors.from_mtz(tmp_path / "t.mtz"), read_hkl(tmp_path / "t.HKL")
    assert np.array_equal(values_at(again, hkl), values) and again.count == len(hkl)
    assert again.cell == CELL and again.resolution_A == pytest.approx(table.resolution_A) and again.completeness == table.completeness
    assert np.array_equal(text.table, table.table) and text.limits == table.limits
    with pytest.raises(InputError, match=r"t\.txt: the name must end in \.hkl or \.mtz"):
        table.write(tmp_path / "t.txt")
    with pytest.raises(InputError, match="needs the unit cell"):
        text.write(tmp_path / "u.mtz")
    with pytest.raises(InputError, match="does not exist"):
        table.write(tmp_path / "nowhere" / "t.mtz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.HKL", "t.mtz"]


SF_CIF = """data_r1madesf
_cell.length_a 11.0
_cell.length_b 12.5
_cell.length_c 14.0
_cell.angle_alpha 90
_cell.angle_beta 90
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 21 21 21'
loop_
_refln.index_h
_refln.index_k
_refln.index_l
_refln.status
{names}
{rows}
"""


def sf_cif(**columns):
    names = "\n".join(f"_refln.{name}" for name in columns)
    rows = "\n".join(f"{h} {k} {l} o " + " ".join(map(str, values)) for (h, k, l), *values in zip(HKL, *columns.values(), strict=True))
    return SF_CIF.format(names=names, rows=rows)


def test_deposited_reflections(tmp_path):
    path = tmp_path / "1made-sf.cif"
    text = sf_cif(F_meas_au=F, F_meas_sigma_au=["1", "?", "1", "."], F_calc_au=PLUS, phase_calc=F)
    path.write_text(text)
    table = StructureFactors.from_cif(path)
    assert values_at(table, -HKL).tolist() == F and "the amplitudes F_meas_au (others: F_calc_au)" in table.source
    assert values_at(StructureFactors.from_cif(path, "F_calc_au,phase_calc"), HKL).tolist() == PLUS
    path.write_text(sf_cif(pdbx_F_plus=PLUS, pdbx_F_minus=MINUS, intensity_meas=I))
    table = StructureFactors.from_cif(path)
    assert values_at(table, HKL).tolist() == PLUS and values_at(table, -HKL).tolist() == MINUS
    path.write_text(text.replace("1 2 3 o", "1 2 3 x").replace("2 1 1 o", "2 1 1 <").replace("20.0", "?"))
    with pytest.warns(UserWarning, match="1 reflections with the status x, unreliable, were left out"):
        table = StructureFactors.from_cif(path, default_F=5.0)
    assert values_at(table, HKL).tolist() == [5.0, 5.0, 30.0, 40.0]
    (tmp_path / "packed.ent.cif.gz").write_bytes(gzip.compress(text.encode()))
    assert values_at(parameters_from_command_line(f"-hkl {tmp_path}/packed.ent.cif.gz").crystal.structure_factors, HKL).tolist() == F


def test_several_tables_of_a_deposition(tmp_path):
    path = tmp_path / "1made-sf.cif"
    second = sf_cif(F_meas_au=MINUS).replace("r1madesf", "r1madeAsf")
    path.write_text(sf_cif(F_meas_au=F) + "\n".join(line for line in second.splitlines() if not line.startswith(("_cell", "_symm"))))
    with pytest.warns(UserWarning, match="it holds 2 tables of reflections, r1madesf, r1madeAsf; r1madesf is used"):
        assert values_at(StructureFactors.from_cif(path), HKL).tolist() == F
    assert values_at(StructureFactors.from_cif(path, "r1madeAsf/F_meas_au"), HKL).tolist() == MINUS
    with pytest.raises(InputError, match="several columns are called F_meas_au: r1madesf/F_meas_au, r1madeAsf/F_meas_au"):
        StructureFactors.from_cif(path, "F_meas_au")


def test_small_molecule_reflections(tmp_path):
    path = tmp_path / "small.fcf"
    text = sf_cif(F_squared_calc=[1.0] * 4, F_squared_meas=["4.0(2)", "9.00", "16", "25.0(10)"], F_squared_sigma=F).replace(
        "_refln.", "_refln_"
    )
    path.write_text(text.replace("_cell.", "_cell_").replace("_symmetry.space_group_name_H-M 'P 21 21 21'", SYMOPS))
    table = parameters_from_command_line(f"-hkl {path}").crystal.structure_factors
    assert values_at(table, HKL).tolist() == [2, 3, 4, 5] and table.space_group == GROUP


SYMOPS = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n'1/2-x,-y,1/2+z'\n'1/2+x,1/2-y,-z'\n'-x,1/2+y,1/2-z'"
ATOM = pdb_text([Site("C", (0.1, 0.2, 0.3))], CELL, GROUP)
BAD = {
    "cut.mtz": (lambda mtz: mtz("F").read_bytes()[:150], "cut.mtz: the MTZ file is damaged or cut short"),
    "empty.mtz": (lambda mtz: b"", "empty.mtz: the file is empty"),
    "list.mtz": (lambda mtz: b"h k l F\n", "(nor is it an MTZ file, which begins with 'MTZ ')"),
    "named.hkl": (lambda mtz: mtz("F").read_bytes(), "(it looks like an MTZ file: give it a name that ends in .mtz)"),
    "nothing.mtz": (lambda mtz: mtz("FREE").read_bytes(), "nothing.mtz: no column of amplitudes or intensities"),
    "packed.mtz.gz": (lambda mtz: gzip.compress(mtz("F").read_bytes())[:-20], "packed.mtz.gz: the compressed file is damaged or cut short"),
    "broken.cif": (lambda mtz: b"data_x\nloop_\n_refln.index_h\n_refln.index_k\n1 2 3\n", "broken.cif: not a CIF file: 2:"),
    "neither.cif": (lambda mtz: b"data_x\n_cell.length_a 3\n", "the CIF file holds neither a table of reflections nor coordinates"),
    "no_cell.cif": (lambda mtz: sf_cif(F_meas=F).replace("_cell.length_a 11.0", "").encode(), "no_cell.cif: the file has no unit cell"),
    "group.cif": (lambda mtz: sf_cif(F_meas=F).replace("P 21 21 21", "P 99").encode(), "the file has no space group that is known (P 99)"),
    "index.cif": (lambda mtz: sf_cif(F_meas=F).replace("2 1 1 o", "2 ? 1 o").encode(), "reflection 2 of the table has the indices 2 ? 1"),
    "values.cif": (lambda mtz: sf_cif(F_meas=["?"] * 4).encode(), "values.cif: no reflection has a value in the amplitudes F_meas"),
    "infinite.cif": (lambda mtz: sf_cif(F_meas=[1, 2, "inf", 3]).encode(), "the value of reflection 3 1 2 is infinite"),
    "no_cell.pdb": (lambda mtz: ATOM[ATOM.index("HETATM") :].encode(), "the file has no unit cell (a CRYST1 record, or _cell)"),
    "no_group.pdb": (lambda mtz: ATOM.replace(GROUP, "P 99      ").encode(), "the file has no space group that is known (P 99)"),
    "flat.cif": (lambda mtz: sf_cif(F_meas=F).replace("gamma 90", "gamma 180").encode(), "cell 11 12.5 14 90 90 180 encloses no volume"),
    "flat.pdb": (lambda mtz: ATOM.replace(" 90.00 P", "180.00 P").encode(), "its cell 11 12.5 14 90 90 180 encloses no volume"),
    "no_atoms.pdb": (lambda mtz: ATOM[: ATOM.index("HETATM")].encode(), "no_atoms.pdb: no atoms in the file"),
    "element.pdb": (lambda mtz: ATOM.replace(" C", " X").encode(), "element.pdb: the atom X of UNK 1 in chain A is of no element"),
    "melting.pdb": (lambda mtz: ATOM.replace(" 20.00", "-20.00").encode(), "the atom C of UNK 1 in chain A has the B factor -20"),
    "label.pdb": (lambda mtz: ATOM.encode(), "label.pdb: -columns goes with reflections, and the file holds coordinates", "-columns", "F"),
    "dense.mtz": (lambda mtz: mtz("F").read_bytes(), "dense.mtz: -solvent goes with coordinates", "-solvent", "none"),
    "coarse.mtz": (lambda mtz: mtz("F").read_bytes(), "no reflection has a resolution of 50 A or less fine", "-resolution", "50"),
}  # fmt: skip


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("name", BAD)
def test_bad_files(name, compat, mtz, tmp_path, capfdbinary):
    make, says, *words = BAD[name]
    run_in = tmp_path / "run"
    run_in.mkdir()
    (run_in / name).write_bytes(make(mtz))
    words = words or (["-resolution", "2"] if name.endswith(".pdb") else [])
    run = nanobragg(["-compat", compat, "-hkl", name, *words, "-cell", "11", "12.5", "14", *SHORT], run_in, capfdbinary)
    assert run.status == 2 and run.stdout == b""
    errors = [line for line in run.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1 and says in errors[0] and name in errors[0], run.stderr
    assert [path.name for path in run_in.iterdir()] == [name]


def test_unmerged_data_are_refused(tmp_path):
    data = gemmi.Mtz(with_base=True)
    data.spacegroup = gemmi.SpaceGroup(GROUP)
    data.set_cell_for_all(gemmi.UnitCell(*CELL))
    data.add_dataset("made")
    for label, kind in (("M/ISYM", "Y"), ("BATCH", "B"), ("I", "J")):
        data.add_column(label, kind)
    batch = gemmi.Mtz.Batch()
    batch.number = 1
    data.batches.append(batch)
    data.set_data(np.column_stack([HKL, np.ones((4, 2)), I]).astype(np.float32))
    data.write_to_file(str(tmp_path / "unmerged.mtz"))
    with pytest.raises(InputError, match=r"unmerged\.mtz: its reflections are not merged \(1 batches\)"):
        StructureFactors.from_mtz(tmp_path / "unmerged.mtz")


def test_without_gemmi_one_sentence_says_what_to_install(mtz, monkeypatch):
    path = mtz("F")
    monkeypatch.setitem(sys.modules, "gemmi", None)
    with pytest.raises(InputError, match=r"data\.mtz: reading it needs gemmi: pip install 'nanobragg_numba\[formats\]'"):
        StructureFactors.from_mtz(path)


def test_options_without_use(tmp_path, capfdbinary):
    (tmp_path / "P1.hkl").write_text("1 0 0 5\n")
    words = ["-hkl", "P1.hkl", "-cell", "70", "-resolution", "2", *SHORT]
    plain = nanobragg(["-compat", "c", *words[:4], *SHORT], tmp_path, capfdbinary)
    told = nanobragg(["-compat", "c", *words], tmp_path, capfdbinary)
    assert told.stdout == plain.stdout and "warning: -resolution has no effect: -hkl P1.hkl is a text list" in told.stderr
    for own in (["-compat", "spec"], ["-compat", "c", "-strict"]):
        refused = nanobragg([*own, *words], tmp_path, capfdbinary)
        assert refused.status == 2 and "error: -resolution has no effect: -hkl P1.hkl is a text list" in refused.stderr
    for bad, says in (
        (["-resolution", "fine"], "-resolution must be a positive number (A), not 'fine'"),
        (["-solvent", "wet"], "-solvent must be none, or k_sol,B_sol"),
        (["-columns"], "-columns needs a value: LABEL[,LABEL...]"),
    ):
        refused = nanobragg(["-compat", "c", "-hkl", "P1.hkl", "-cell", "70", *bad], tmp_path, capfdbinary)
        assert refused.status == 2 and says in refused.stderr


@pytest.mark.parametrize("name", ["list.cif", "list.mtz", "list.pdb", "list.hkl"])
def test_a_text_list_is_one_whatever_its_name(name, tmp_path, capfdbinary):
    (tmp_path / "P1.hkl").write_text("1 0 0 5\n0 1 0 6.5\n")
    (tmp_path / name).write_text("1 0 0 5\n0 1 0 6.5\n")
    assert np.array_equal(
        parameters_from_command_line(f"-hkl {tmp_path / name} -cell 70").crystal.structure_factors.table,
        read_hkl(tmp_path / "P1.hkl").table,
    )


def test_python_refuses_the_wrong_kind(mtz, tmp_path):
    (tmp_path / "model.pdb").write_text(ATOM)
    for read, path, says in (
        (StructureFactors.from_cif, mtz("F"), "not a CIF file, which begins with data_"),
        (StructureFactors.from_mtz, tmp_path / "model.pdb", "not an MTZ file, which begins with 'MTZ '"),
        (lambda path: StructureFactors.from_model(path, 2.0), mtz("F"), "not a PDB file, which has a CRYST1 or ATOM record or a CIF file"),
        (lambda path: StructureFactors.from_model(path, 2.0, -1.0), tmp_path / "model.pdb", "wavelength_A must be positive"),
        (StructureFactors.from_mtz, tmp_path / "none.mtz", "no such file"),
    ):
        with pytest.raises(InputError, match=says):
            read(path)


def test_dispersion_far_from_the_sources_is_told(tmp_path, capfdbinary):
    (tmp_path / "model.pdb").write_text(ATOM)
    (tmp_path / "beam.txt").write_text("# A\n1.30 1\n1.31 2\n")
    words = ["-compat", "spec", "-hkl", "model.pdb", "-resolution", "3", "-spectrum", "beam.txt", *SHORT]
    says = "f' and f'' are those at -lambda 1 A, which the sources, 1.3 to 1.31 A, do not reach"
    assert says in nanobragg(words, tmp_path, capfdbinary).stderr
    assert "do not reach" not in nanobragg([*words, "-lambda", "1.305"], tmp_path, capfdbinary).stderr


@pytest.mark.parametrize(
    "cell", [(10, 10, 10, 90, 90, 180), (0, 10, 10, 90, 90, 90), (10, 10, 10, 60, 60, 130), (np.inf, 1, 1, 90, 90, 90)]
)
def test_cells_without_a_volume(cell):
    with pytest.raises(InputError, match="is no unit cell: it encloses no volume"):
        from_arrays(HKL, F, cell=cell)


def test_a_cell_that_does_not_fit_the_group_is_told(tmp_path):
    path = write_mtz(tmp_path / "f.mtz", GROUP, HKL, some("F"), (11.0, 12.5, 14.0, 90.0, 90.0, 92.0))
    with pytest.warns(UserWarning, match="its cell 11 12.5 14 90 90 92 does not have the symmetry of P 21 21 21"):
        StructureFactors.from_mtz(path)
    (tmp_path / "model.pdb").write_text(ATOM.replace(" 90.00 P", " 92.00 P"))
    with pytest.warns(UserWarning, match="its cell 11 12.5 14 90 90 92 does not have the symmetry of P 21 21 21"):
        StructureFactors.from_model(tmp_path / "model.pdb", 3.0)
    path = write_mtz(tmp_path / "near.mtz", GROUP, HKL, some("F"), (11.0, 12.5, 14.0, 90.0, 90.0, 90.2))
    assert StructureFactors.from_mtz(path).count == 26
