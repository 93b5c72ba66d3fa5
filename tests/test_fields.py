"""What the parameters take for numbers, and what they refuse by the field's name."""

import math
from dataclasses import fields, replace
from fractions import Fraction

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import (
    Beam,
    Crystal,
    Detector,
    InputError,
    Parameters,
    Sampling,
    SourceList,
    StructureFactors,
    from_arrays,
    simulate,
    simulate_batch,
)
from nanobragg_numba.experiment.derive import derive_experiment

SMALL = Parameters(
    Crystal(cell=(40, 50, 60, 80, 95, 100), n_cells=(5, 4, 3), default_F=100, mosaic_spread_deg=0.5, mosaic_domains=3),
    Beam(wavelength_A=1.3),
    Detector(pixels=(6, 5), pixel_size_mm=1.5, distance_mm=60, rotations_deg=(1, 2, 3)),
    Sampling(oversample=1, phi_deg=0.5, osc_deg=1.0, phisteps=2),
)


def changed(part, **values):
    return replace(SMALL, **{part: replace(getattr(SMALL, part), **values)})


NUMBERS = [
    # part, field, value as it may come, what it is kept as
    ("beam", "wavelength_A", np.float64(1.25), 1.25),
    ("beam", "wavelength_A", np.float32(1.25), 1.25),
    ("beam", "wavelength_A", np.float16(1.25), 1.25),
    ("beam", "wavelength_A", np.longdouble(1.25), 1.25),
    ("beam", "wavelength_A", np.array(1.25), 1.25),
    ("beam", "wavelength_A", np.int8(2), 2),
    ("beam", "wavelength_A", Fraction(5, 4), 1.25),
    ("beam", "fluence", 10**29, 1e29),
    ("beam", "hdivsteps", np.int64(3), 3),
    ("beam", "hdivsteps", 3.0, 3),
    ("beam", "hdivsteps", np.array(3, np.uint8), 3),
    ("beam", "polarized", np.bool_(False), False),
    ("beam", "polarized", np.array(False), False),
    ("beam", "direction", np.array([1, 0, 0], np.float32), (1.0, 0.0, 0.0)),
    ("crystal", "cell", np.array([40, 50, 60, 80, 95, 100], np.float32), (40.0, 50.0, 60.0, 80.0, 95.0, 100.0)),
    ("crystal", "cell", [np.float64(40), 50, 60, np.array(80), 95, 100], (40.0, 50, 60, 80, 95, 100)),
    ("crystal", "n_cells", [5, 4, 3], (5, 4, 3)),
    ("crystal", "misset_deg", np.zeros(3), (0.0, 0.0, 0.0)),
    ("crystal", "misset_deg", np.str_("random"), "random"),
    ("detector", "pixels", np.array([6, 5]), (6, 5)),
    ("detector", "pixels", [6.0, np.int32(5)], (6, 5)),
    ("detector", "beam_center_mm", [None, np.float32(2.5)], (None, 2.5)),
    ("detector", "roi", np.array([0, 3, 0, 4]), (0, 3, 0, 4)),
]


@pytest.mark.parametrize(("part", "field", "value", "kept"), NUMBERS, ids=str)
def test_numbers_of_any_kind_are_plain_numbers(part, field, value, kept):
    parameters = changed(part, **{field: value})
    got = getattr(getattr(parameters, part), field)
    assert got == kept and type(got) is type(kept)
    for one, wanted in zip(*(x if isinstance(x, tuple) else (x,) for x in (got, kept)), strict=True):
        assert type(one) in (int, float, bool, str, type(None)) and one == wanted
    derive_experiment(parameters)


def test_the_image_is_that_of_plain_numbers():
    numpy_kinds = Parameters(
        Crystal(cell=np.array(SMALL.crystal.cell), n_cells=np.array([5, 4, 3], np.float32), default_F=np.int64(100),
                mosaic_spread_deg=np.array(0.5), mosaic_domains=np.uint8(3)),
        Beam(wavelength_A=np.float64(1.3)),
        Detector(pixels=np.array([6, 5]), pixel_size_mm=np.float64(1.5), distance_mm=np.float32(60), rotations_deg=[1, 2, np.int16(3)]),
        Sampling(oversample=np.int32(1), phi_deg=np.float32(0.5), osc_deg=np.array([1.0])[0], phisteps=2.0),
    )  # fmt: skip
    assert simulate(numpy_kinds).image.tobytes() == simulate(SMALL).image.tobytes()


def test_matrices_and_masks_of_any_real_type():
    matrix = [[0.02, 0, 0], [0, 0.025, 0.001], [0, 0, 0.03]]
    for given in (matrix, tuple(map(tuple, matrix)), np.asfortranarray(matrix), np.array(matrix)):
        kept = Crystal(mosflm_matrix=given).mosflm_matrix
        assert kept.dtype == np.float64 and np.array_equal(kept, matrix)
    assert Crystal(cell=SMALL.crystal.cell, orientation=np.eye(3, dtype=int)).orientation.dtype == np.float64
    mask = np.ones((5, 6), bool)
    mask[2, 3] = False
    images = [simulate(changed("detector", mask=kind)).image for kind in (mask, mask.astype(np.float32), mask.tolist(), mask.astype("u1"))]
    assert images[0].any() and all(np.array_equal(images[0], image) for image in images)
    assert np.array_equal(images[0], np.where(mask, simulate(SMALL).image, 0))


class Quantity(float):
    unit = "m"


REFUSED = [
    # class, field, value, what the sentence must say behind the field's name
    (Beam, "wavelength_A", "1.0", "must be a number, not '1.0'"),
    (Beam, "wavelength_A", None, "must be given"),
    (Beam, "wavelength_A", 1 + 2j, "must be a number"),
    (Beam, "wavelength_A", np.complex128(1), "must be a number"),
    (Beam, "wavelength_A", True, "must be a number, not True"),
    (Beam, "wavelength_A", [1.0], "must be a number"),
    (Beam, "wavelength_A", np.ones(1), r"must be a number, not an array of shape \(1,\)"),
    (Beam, "wavelength_A", Quantity(1.0), "must be a number"),
    (Beam, "fluence", 10**400, "must be a number"),
    (Beam, "hdivsteps", 2.5, "must be a whole number, not 2.5"),
    (Beam, "hdivsteps", math.nan, "must be a whole number"),
    (Beam, "polarized", 1, "must be True or False, not 1"),
    (Beam, "polarized", "no", "must be True or False"),
    (Beam, "direction", (1, 0), r"must be 3 numbers, not \(1, 0\)"),
    (Beam, "direction", 1.0, "must be 3 numbers, not 1.0"),
    (Beam, "direction", "100", "must be 3 numbers"),
    (Beam, "direction", (1, None, 0), "must be 3 numbers"),
    (Beam, "direction", (1, "0", 0), "must be 3 numbers"),
    (Beam, "direction", np.eye(3), r"must be 3 numbers, not an array of shape \(3, 3\)"),
    (Beam, "direction", np.array([1j, 0, 0]), "must be 3 numbers"),
    (Beam, "sources", np.zeros((3, 5)), "must be SourceList, not ndarray"),
    (Crystal, "cell", (40, 50, 60), "must be 6 numbers"),
    (Crystal, "shape", "cube", "must be one of square, round, gauss, tophat, not 'cube'"),
    (Crystal, "shape", 3, "must be one of square"),
    (Crystal, "misset_deg", "rnd", "must be 3 numbers or 'random', not 'rnd'"),
    (Crystal, "mosflm_matrix", np.eye(2), r"must have shape \(3, 3\), not \(2, 2\)"),
    (Crystal, "mosflm_matrix", np.eye(3) * 1j, "must be an array of real numbers, not of complex128"),
    (Crystal, "mosflm_matrix", [[1, 2, 3], [4, 5]], "must be an array of numbers"),
    (Crystal, "mosflm_matrix", "auto.mat", "must be an array of real numbers"),
    (Crystal, "mosflm_matrix", np.ones((3, 3)), "encloses no volume"),
    (Crystal, "mosaic_rotations", np.eye(3), r"must have shape \(n, 3, 3\), not \(3, 3\)"),
    (Crystal, "structure_factors", np.ones((3, 3, 3)), r"must be StructureFactors \(from_arrays makes them\), not ndarray"),
    (Detector, "convention", "MOSFLM", "must be one of custom, adxv, mosflm, xds, dials, denzo, not 'MOSFLM'"),
    (Detector, "pixels", (6.5, 5), "must be 2 whole numbers"),
    (Detector, "roi", (0, 3, 0), "must be 4 whole numbers"),
    (Detector, "mask", np.ones(30), r"must have shape \(n, n\), not \(30,\)"),
    (Detector, "mask", np.full((5, 6), "x"), "must be an array of real numbers"),
    (Sampling, "phisteps", "10", "must be a whole number, not '10'"),
    (Parameters, "beam", Crystal(), "must be Beam, not Crystal"),
    (SourceList, "positions", [["a", "b", "c"]], "must be an array of real numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "field", "value", "says"), REFUSED, ids=lambda x: getattr(x, "__name__", None))
def test_what_is_no_number_is_refused_by_the_fields_name(cls, field, value, says):
    others = {"intensities": [1.0], "wavelengths_m": [1e-10]} if cls is SourceList else {}
    with pytest.raises(InputError, match=rf"^{cls.__name__}\.{field} {says}"):
        cls(**others, **{field: value})


def test_every_field_refuses_an_object():
    for part in (SMALL, SMALL.crystal, SMALL.beam, SMALL.detector, SMALL.sampling, SMALL.axes):
        for field in fields(part):
            with pytest.raises(InputError, match=rf"^{type(part).__name__}\.{field.name} must "):
                replace(part, **{field.name: object()})


def test_something_else_than_parameters():
    with pytest.raises(InputError, match=r"parameters must be Parameters .* not str"):
        simulate("-cell 50 50 50 90 90 90")


@pytest.mark.parametrize("value", [math.inf, math.nan, np.float32(np.inf)])
def test_what_is_not_finite_is_refused_in_every_mode(value):
    for compat in ("c", "spec"):
        with pytest.raises(InputError, match=r"^Detector\.distance_mm must be finite"):
            derive_experiment(changed("detector", distance_mm=value), compat)
        with pytest.raises(InputError, match=r"^Crystal\.cell must be finite"):
            derive_experiment(changed("crystal", cell=(40, 50, 60, 90, value, 90)), compat)


LEFT = np.diag([0.02, 0.025, -0.03])
MEANINGLESS = [
    # part, values, what the sentence names, in "spec"
    ("beam", {"fluence": -1.0}, r"Beam\.fluence \(-fluence\) must be 0 or more, not -1"),
    ("beam", {"flux": -1e9}, r"Beam\.flux \(-flux\)"),
    ("beam", {"flux": 1e9, "exposure_s": 0.0}, r"Beam\.exposure_s \(-exposure\) must be positive where a flux is given"),
    ("beam", {"flux": 1e9, "beamsize_mm": -0.1}, r"Beam\.beamsize_mm \(-beamsize\)"),
    ("beam", {"polarization": 5}, r"Beam\.polarization \(-polar\) must be from -1 to 1, not 5"),
    ("beam", {"polarization": -1.001}, r"Beam\.polarization"),
    ("beam", {"wavelength_A": 12398.42 / 12.4}, r"Beam\.wavelength_A \(-lambda or -energy\) must be at most 100 A.*in eV.*999\.87"),
    ("crystal", {"mosaic_domains": 0}, r"Crystal\.mosaic_domains \(-mosaic_domains\) must be 1 or more, not 0"),
    ("crystal", {"mosaic_domains": -4}, r"Crystal\.mosaic_domains"),
    ("crystal", {"mosaic_spread_deg": -0.5}, r"Crystal\.mosaic_spread_deg"),
    ("crystal", {"n_cells": (5, -4, 3)}, r"Crystal\.n_cells \(-N\) must be 0 or more, not -4"),
    ("crystal", {"size_mm": (0.1, 0.1, -0.1)}, r"Crystal\.size_mm"),
    ("crystal", {"water_um": -3.0}, r"Crystal\.water_um"),
    ("crystal", {"fudge": -1.0}, r"Crystal\.fudge"),
    ("detector", {"roi": (4, 2, 0, 3)}, r"Detector\.roi \(-roi\) 4 2 0 3 holds no pixel of the 6x5 image"),
    ("detector", {"roi": (0, 3, 3, 1)}, r"Detector\.roi"),
    ("detector", {"roi": (6, 9, 0, 3)}, r"Detector\.roi"),
    ("detector", {"thickness_um": -5.0}, r"Detector\.thickness_um"),
    ("detector", {"thickness_um": 5.0, "attenuation_depth_um": -5.0}, r"Detector\.attenuation_depth_um"),
    ("sampling", {"dmin_A": -2.0}, r"Sampling\.dmin_A"),
    ("crystal", {"mosflm_matrix": LEFT}, r"Crystal\.mosflm_matrix \(-mat\) is left-handed"),
    ("crystal", {"mosflm_matrix": LEFT[:, [1, 0, 2]] * [1, 1, -1], }, r"Crystal\.mosflm_matrix \(-mat\) is left-handed"),
    ("crystal", {"real_space_matrix": np.diag([40.0, -50.0, 60.0])}, r"Crystal\.real_space_matrix is left-handed"),
    ("crystal", {"orientation": -np.eye(3)}, r"Crystal\.orientation is left-handed"),
    ("crystal", {"mosaic_rotations": np.stack([np.eye(3), np.diag([1, 1, -1])])}, r"Crystal\.mosaic_rotations is left-handed"),
    ("crystal", {"mosflm_matrix": np.diag([40.0, 50.0, 60.0])}, r"Crystal\.mosflm_matrix \(-mat\) allows no reflection.*real_space_matrix"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "values", "says"), MEANINGLESS, ids=lambda x: " ".join(x) if isinstance(x, dict) else None)
def test_values_without_a_meaning_are_refused_in_spec_alone(part, values, says):
    parameters = changed(part, **values)
    with pytest.raises(InputError, match=f"^{says}"):
        derive_experiment(parameters)
    derive_experiment(parameters, "c")


def test_negative_source_weights_are_refused_in_spec_alone():
    parameters = changed("beam", sources=SourceList(np.eye(3) - 2, [1.0, -0.5, 2.0], [1e-10] * 3))
    with pytest.raises(InputError, match=r"^SourceList\.intensities \(-sourcefile\) must be 0 or more, not -0\.5"):
        derive_experiment(parameters)
    derive_experiment(parameters, "c")


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("beam", {"fluence": 0.0}),
        ("beam", {"polarization": -1}),
        ("beam", {"wavelength_A": 100.0}),
        ("beam", {"beamsize_mm": 0.0}),
        ("crystal", {"n_cells": (0, 0, 0)}),
        ("crystal", {"fudge": 0}),
        ("detector", {"roi": (5, 5, 4, 4)}),
        ("detector", {"roi": (-1, -1, -1, -1)}),
        ("detector", {"roi": (2, 900, 2, 900)}),
        # The longest lambda/d of a reflection in reach is 2: backscattering.
        ("crystal", {"mosflm_matrix": np.diag([1.99, 2.5, 3.0])}),
        ("crystal", {"mosflm_matrix": np.array([[1.5, 1.4, 0], [2.0, 2.1, 0], [0, 0, 3.0]])}),
    ],
    ids=str,
)
def test_values_at_the_edge_of_meaning_are_taken(part, values):
    derive_experiment(changed(part, **values))


@pytest.mark.parametrize("threads", [0, -3, 2.5, "2", True])
def test_threads_that_are_none(threads):
    with pytest.raises(InputError, match=f"^threads must be a whole number, 1 or more, not {threads!r}"):
        simulate(SMALL, threads=threads)
    with pytest.raises(InputError, match=r"^threads must be"):
        simulate_batch([SMALL], threads=threads)
    assert simulate(SMALL, threads=np.int64(2)).image.any()


GOOD = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -lambda 1 -distance 100 -detpixels 16 -oversample 1 -seed 1 -nonoise -nopgm".split()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("-fluence -1", "-fluence "),
        ("-polar 5", "-polar "),
        ("-mosaic 1 -mosaic_domains 0", "-mosaic_domains "),
        ("-roi 9 3 0 5", "-roi "),
        ("-roi 20 30 0 5", "-roi "),
        ("-energy 12.4", "-energy "),
        ("-mat real.mat", "-mat "),
        ("-mat left.mat", "-mat "),
    ],
)
def test_the_command_refuses_them_in_spec_and_not_in_c(words, option, tmp_path, capfdbinary):
    for name in ("c", "spec"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real.mat").write_text("70 0 0\n0 80 0\n0 0 90\n")
        (tmp_path / name / "left.mat").write_text("0 0.0125 0\n0.0143 0 0\n0 0 0.0111\n")
    line = [*GOOD, *words.split()]
    assert nanobragg(line, tmp_path / "c", capfdbinary).status == 0
    run = nanobragg([*line, "-compat", "spec"], tmp_path / "spec", capfdbinary)
    assert run.status == 2 and option in run.stderr and run.stderr.count("error: ") == 1
    assert run.files(["real.mat", "left.mat"]) == {}


HKL = np.array([(h, k, l) for h in (-2, 0, 3) for k in (1, 2) for l in (0, 4)])
F = np.arange(1.0, 13.0)


@pytest.mark.parametrize(
    ("hkl", "amplitudes"),
    [
        (HKL.astype(np.float32), F.astype(np.float32)),
        (np.asfortranarray(HKL.astype(np.int16)), F[::-1][::-1]),
        (HKL.astype(np.float64), F.astype(np.int64)),
        (HKL.tolist(), F.tolist()),
        (HKL, F * np.exp(1j * F)),
        (HKL, (F * np.exp(2j * F)).astype(np.complex64)),
        (HKL, F.astype(">f4")),
    ],
    ids=["single", "fortran", "whole amplitudes", "lists", "complex", "complex64", "big-endian"],
)
def test_structure_factors_of_any_type(hkl, amplitudes):
    factors = from_arrays(hkl, amplitudes)
    assert factors.table.dtype == np.dtype(np.float64) and factors.table.flags.c_contiguous and factors.limits == (-2, 3, 1, 2, 0, 4)
    assert factors.count == 12
    wanted = {tuple(row): value for row, value in zip(HKL.tolist(), F.tolist(), strict=True)}
    for h in range(-2, 4):
        for k in (1, 2):
            for l in range(5):
                assert factors.table[h + 2, k - 1, l] == pytest.approx(wanted.get((h, k, l), 0.0), rel=1e-6)


@pytest.mark.parametrize(
    ("hkl", "amplitudes", "says"),
    [
        (HKL[:, :2], F, r"\(12, 2\) and \(12,\)"),
        (HKL, F[:-1], r"\(12, 3\) and \(11,\)"),
        (HKL.T, F, r"\(3, 12\)"),
        (HKL[0], F[:1], r"\(3,\)"),
        (np.empty((0, 3)), np.empty(0), r"\(0, 3\)"),
        (HKL + 0.5, F, r"whole numbers.*\[-1\.5, 1\.5, 0\.5\] \(row 0\)"),
        (np.where(HKL == 4, np.nan, HKL), F, r"whole numbers.*nan.*\(row 1\)"),
        (np.where(HKL == 4, 1e9, HKL), F, r"below 1000000.*\(row 1\)"),
        (HKL + 0j, F, "not complex"),
        (HKL.astype(str), F, "Miller indices must be numbers"),
        ([[1, 2, 3], [4, 5]], F[:2], "all rows of one length"),
        (HKL, F.astype(str), "amplitudes must be numbers"),
        (HKL, np.where(F == 3, np.nan, F), r"amplitudes must be finite, not nan \(row 2, reflection \[-2, 2, 0\]\)"),
        (HKL, np.where(F == 3, np.inf, F), "amplitudes must be finite, not inf"),
    ],
)
def test_lists_that_are_none_are_refused(hkl, amplitudes, says):
    with pytest.raises(InputError, match=says):
        from_arrays(hkl, amplitudes)


def test_amplitudes_in_a_graph_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(InputError, match="would lose their gradient"):
        from_arrays(HKL, torch.tensor(F, requires_grad=True))
    assert from_arrays(torch.tensor(HKL), torch.tensor(F)).count == 12


def test_tables_of_any_type_and_none():
    table = np.zeros((3, 4, 5))
    table[:-1, :-1, :-1] = np.arange(24.0).reshape(2, 3, 4)
    for given in (table, np.asfortranarray(table), table.astype(np.float32), table.astype(int), table * 1j, table.tolist()):
        factors = StructureFactors(given, np.int32(-1), 0, 2.0, 24)
        assert np.array_equal(factors.table, table) and factors.table.dtype == np.float64 and factors.table.flags.c_contiguous
        assert factors.limits == (-1, 0, 0, 2, 2, 5)
    assert StructureFactors(table, 0, 0, 0, 24).table is table
    for bad, says in (
        (np.zeros((3, 4)), r"table must have shape \(n, n, n\), not \(3, 4\)"),
        (np.zeros((1, 4, 4)), "holds no reflection"),
        (np.full((2, 2, 2), "F"), "table must be an array of real numbers"),
    ):
        with pytest.raises(InputError, match=says):
            StructureFactors(bad, 0, 0, 0, 1)
    with pytest.raises(InputError, match=r"StructureFactors\.h_min must be a whole number, not 0\.5"):
        StructureFactors(table, 0.5, 0, 0, 1)


def test_complex_structure_factors_make_the_image_of_their_moduli():
    spots = np.array([(h, k, l) for h in range(-3, 4) for k in range(-3, 4) for l in range(-3, 4)])
    values = 10.0 + np.abs(spots).sum(axis=1)
    images = [
        simulate(changed("crystal", structure_factors=from_arrays(spots, F), default_F=0.0), dtype=np.float64).image
        for F in (values, values * 1j)
    ]
    assert images[0].any() and np.array_equal(*images)


def test_tensors_stay_tensors():
    torch = pytest.importorskip("torch")
    cell = torch.tensor(SMALL.crystal.cell, dtype=torch.float64, requires_grad=True)
    angle = torch.tensor(1.0)
    crystal = replace(SMALL.crystal, cell=cell, misset_deg=[angle, 2.0, np.float32(3)])
    assert crystal.cell is cell and crystal.misset_deg[0] is angle and crystal.misset_deg[1:] == (2.0, 3.0)
    with pytest.raises(InputError, match="is a torch tensor"):
        simulate(replace(SMALL, crystal=crystal))
    from nanobragg_numba.autograd.number import Number

    number = Number(1.5, torch.tensor(1.5))
    assert Beam(wavelength_A=number).wavelength_A is number
    rows = ((number, 0.0, 0.0), [0.0, number, 0.0], (0.0, 0.0, number))
    assert Crystal(real_space_matrix=rows).real_space_matrix[1] == (0.0, number, 0.0)


def test_a_source_at_the_sample_has_no_direction(tmp_path, capfdbinary):
    for name, status in (("c", 0), ("spec", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.txt").write_text("-10 0 0 1 1e-10\n0 0 0 1 1e-10\n")
        run = nanobragg([*GOOD, "-compat", name, "-sourcefile", "s.txt"], tmp_path / name, capfdbinary)
        assert run.status == status and "-sourcefile: source 2 is where the sample is" in run.stderr
    sources = SourceList(np.zeros((1, 3)), np.ones(1), np.array([1e-10]))
    with pytest.raises(InputError, match=r"SourceList\.positions .* source 1 is where the sample is"):
        simulate(Parameters(Crystal(cell=(70, 80, 90, 90, 90, 90), default_F=1), Beam(sources=sources)))


@pytest.mark.parametrize("compat", ["c", "spec"])
def test_more_photons_than_a_float_holds_are_told(compat, tmp_path, capfdbinary):
    """The largest 4-byte float is 3.4e38, and the image is in proportion to the fluence."""
    for fluence, told in (("1e300", 1), ("1e20", 0)):
        folder = tmp_path / fluence
        folder.mkdir()
        run = nanobragg([*GOOD, "-compat", compat, "-fluence", fluence], folder, capfdbinary)
        assert run.status == 0 and run.stderr.count("more photons than a 4-byte float can hold") == told
        assert np.isinf(np.fromfile(folder / "floatimage.bin", "f4")).any() == bool(told)


def test_what_c_refuses_is_not_also_gone_on_with(tmp_path, capfdbinary):
    for words in ("-lambda 0", "-distance -50", "-pixel -0.1"):
        run = nanobragg([*GOOD, *words.split()], tmp_path, capfdbinary)
        assert run.status == 2 and "goes on with it" not in run.stderr and run.stderr.count("\n") == 1
