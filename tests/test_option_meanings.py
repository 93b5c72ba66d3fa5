"""What each option means in "spec" (docs/options.md), checked from outside; the detector's are in test_detector_meanings.py.

Expected values come from the definitions, by numpy and scipy alone: rotations from scipy, deviates and statistics written out here. What is
looked at is what the kernels get.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.command_line.own_input_options import ROWS
from nanobragg_numba.command_line.whole_image.options import ROWS as OF_THE_WHOLE_IMAGE
from nanobragg_numba.experiment.derive import derive_experiment

X, Y, Z = np.eye(3)
CRYSTAL = "-cell 50 60 70 90 90 90 -default_F 100 -N 5 -oversample 1"
DETECTOR = "-detpixels_f 32 -detpixels_s 24 -pixel 0.5"


def experiment(words: str):
    return derive_experiment(parameters_from_command_line(f"{CRYSTAL} {DETECTOR} {words}"))


# --- the crystal's orientation -----------------------------------------------------------------------------------
def real_axes(a, b, c, alpha, beta, gamma) -> np.ndarray:
    """Rows a, b, c (A): a* along x, b* in the xy plane with y > 0, c* with z > 0."""
    cos = np.cos(np.radians([alpha, beta, gamma]))
    lengths = np.array([a, b, c])
    metric = np.array([[1, cos[2], cos[1]], [cos[2], 1, cos[0]], [cos[1], cos[0], 1]]) * np.outer(lengths, lengths)
    # The rows of a lower triangular matrix L with L L^T = G* are such a*, b*, c*.
    return np.linalg.inv(np.linalg.cholesky(np.linalg.inv(metric))).T


CELL = (40, 50, 60, 80, 95, 105)
SKEW = "-cell 40 50 60 80 95 105 -default_F 1 -N 3 -oversample 1 -detpixels 8 -distance 100 -lambda 1"


def lattices(words: str) -> np.ndarray:
    """(steps, 3, 3): a, b, c (A) of each step, as the kernels sum over them."""
    return derive_experiment(parameters_from_command_line(f"{SKEW} {words}")).tables.crystal.orientations.reshape(-1, 3, 3) * 1e10


def test_cell_and_missetting():
    assert np.allclose(lattices("")[0], real_axes(*CELL), atol=1e-9)
    turned = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).apply(real_axes(*CELL))
    assert np.allclose(lattices("-misset 10 -20 30")[0], turned, atol=1e-9)
    assert np.allclose(lattices("-misset 10 -20 30 -misset_seed 4")[0], turned, atol=1e-9)


SWEEPS = [
    # words, angles (degrees)
    ("-phi 10", [10]),
    ("-phi 10 -osc 1", [10, 10.5]),
    ("-phi 10 -osc -1", [10, 9.5]),
    ("-phi 10 -osc -0.3 -phisteps 10", [10 - 0.03 * i for i in range(10)]),
    ("-osc 0.45 -phistep 0.15", [0, 0.15, 0.3]),
    ("-osc -0.45 -phistep -0.15", [0, -0.15, -0.3]),
    ("-osc 0.9 -phistep 0.03", [0.03 * i for i in range(30)]),
    ("-osc 0.3 -phistep 0.1", [0, 0.1, 0.2]),
    ("-osc 360 -phistep 0.1", [0.1 * i for i in range(3600)]),
    ("-osc 1 -phistep 0.3", [0, 0.3, 0.6, 0.9]),
    ("-osc 0.1 -phistep 0.3", [0]),
    ("-osc 0 -phistep 0.3", [0]),
    ("-osc 1 -phisteps 1", [0]),
    ("-osc 1 -phistep 0.25 -phisteps 4", [0, 0.25, 0.5, 0.75]),
    ("-phistep 0.2 -phisteps 5", [0, 0.2, 0.4, 0.6, 0.8]),
    ("-phistep -0.2 -phisteps 3", [0, -0.2, -0.4]),
    ("-phistep 0.2", [0, 0.2]),
    ("-phi 1 -phisteps 4", [1, 1.25, 1.5, 1.75]),
]


@pytest.mark.parametrize(("words", "angles"), SWEEPS, ids=[words for words, _ in SWEEPS])
@pytest.mark.parametrize("axis", [(0, 0, 1), (0.5, -2, 1)])
def test_angles_of_the_sweep(words, angles, axis):
    unit = np.array(axis) / np.linalg.norm(axis)
    got = lattices(f"{words} -spindle_axis {axis[0]} {axis[1]} {axis[2]}")
    assert len(got) == len(angles)
    for lattice, angle in zip(got, angles, strict=True):
        assert np.allclose(lattice, Rotation.from_rotvec(math.radians(angle) * unit).apply(real_axes(*CELL)), atol=1e-9)


class ParkMiller:
    """The minimal standard generator, 16807 x mod 2^31 - 1, with a shuffle table of 32 (Numerical Recipes' ran1), in whole numbers."""

    def __init__(self, seed: int):
        self.x = seed
        drawn = [self.advance() for _ in range(40)]
        self.table = drawn[8:][::-1]
        self.last = self.table[0]

    def advance(self) -> int:
        self.x = 16807 * self.x % (2**31 - 1)
        return self.x

    def __call__(self) -> float:
        following = self.advance()
        place = self.last // (1 + (2**31 - 2) // 32)
        self.last, self.table[place] = self.table[place], following
        return float(np.float32(self.last / (2**31 - 1)))


def shoemake(u: float, v: float, w: float) -> Rotation:
    low, high = math.sqrt(1 - u), math.sqrt(u)
    turn = 2 * math.pi
    return Rotation.from_quat([low * math.sin(turn * v), low * math.cos(turn * v), high * math.sin(turn * w), high * math.cos(turn * w)])


def test_a_seed_gives_one_orientation():
    for seed in (1, 42, 2**31 - 2):
        draw = ParkMiller(seed)
        draw()
        turned = shoemake(draw(), draw(), draw()).apply(real_axes(*CELL))
        for words in (f"-misset random -misset_seed {seed}", f"-misset_seed {seed} -misset random"):
            assert np.allclose(lattices(words)[0], turned, atol=1e-9)


def test_random_orientations_are_uniform():
    """The angle's distribution is (t - sin t) / pi; every direction of the crystal is uniform on the sphere."""
    straight = np.linalg.inv(real_axes(*CELL))
    seeds = np.random.default_rng(1).integers(1, 2**31 - 1, 2000)
    matrices = np.array([(straight @ lattices(f"-misset random -misset_seed {seed}")[0]).T for seed in seeds])
    rotations = Rotation.from_matrix(matrices)
    angle = rotations.magnitude()
    assert stats.kstest(angle, lambda t: (t - np.sin(t)) / np.pi).pvalue > 0.01
    assert abs(np.degrees(np.median(angle)) - 132.3) < 3
    for direction in (X, Z, np.array([0.6, 0.0, 0.8])):
        turned = rotations.apply(direction)
        for component in turned.T:
            assert stats.kstest(component, stats.uniform(-1, 2).cdf).pvalue > 0.005
        assert stats.kstest(np.arctan2(turned[:, 1], turned[:, 0]), stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.005


def test_size_and_number_of_cells():
    for words, cells in (("-N 4", (4, 4, 4)), ("-N 4 -Nb 7", (4, 7, 4)), ("-Na 2 -Nb 3 -Nc 5", (2, 3, 5)), ("-xtalsize 0.00001", (3, 2, 2)),
                         ("-N 4 -sample_y 0.00001", (4, 2, 4))):  # fmt: skip
        x = derive_experiment(parameters_from_command_line(f"{SKEW} {words}"))
        assert (x.tables.crystal.na, x.tables.crystal.nb, x.tables.crystal.nc) == cells, words


def test_matrix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stars = np.array([[0.021, 0.004, -0.003], [-0.002, 0.018, 0.005], [0.004, -0.001, 0.016]])
    np.savetxt("a.mat", stars)
    for wavelength in (1.0, 1.3):
        # Columns a*, b*, c* times the wavelength; the rows of the inverse of the matrix of a*, b*, c* are a, b, c.
        words = f"-mat a.mat -default_F 1 -N 3 -oversample 1 -detpixels 8 -distance 100 -lambda {wavelength}"
        got = derive_experiment(parameters_from_command_line(words)).tables.crystal.orientations.reshape(3, 3) * 1e10
        assert np.allclose(got, np.linalg.inv(stars) * wavelength, rtol=1e-9)


# --- directions and wavelengths ----------------------------------------------------------------------------------
def directions(words: str) -> list[tuple[float, float]]:
    """Horizontal and vertical tilt (mrad) of the sources, along b = x, E = z."""
    incident = experiment(f"-square_div {words} -distance 100").tables.beam.incident
    return sorted((round(1000 * math.atan2(v[2], v[0]), 4) + 0.0, round(1000 * math.asin(v[1]), 4) + 0.0) for v in incident)


GRIDS = [
    ("", [0]),
    ("{}range 2", [-1, 1]),
    ("{}range 2 -{}steps 3", [-1, 0, 1]),
    ("{}range 2 -{}steps 1", [0]),
    ("{}range 0.9 -{}step 0.3", [-0.3, 0, 0.3]),
    ("{}range 0.6 -{}step 0.2", [-0.2, 0, 0.2]),
    ("{}range 1 -{}step 0.25", [-0.375, -0.125, 0.125, 0.375]),
    ("{}range 0.9 -{}step 0.9", [0]),
    ("{}step 0.5", [-0.25, 0.25]),
    ("{}step 0.5 -{}steps 3", [-0.5, 0, 0.5]),
    ("{}range 1 -{}step 0.5 -{}steps 3", [-0.5, 0, 0.5]),
    ("{}steps 3", [0]),
    ("{}range 0 -{}steps 3", [0]),
]


@pytest.mark.parametrize(("words", "tilts"), GRIDS, ids=[words or "none" for words, _ in GRIDS])
def test_divergence(words, tilts):
    for name, which in (("hdiv", 0), ("vdiv", 1)):
        got = directions(("-" + words.format(*[name] * 3)) if words else "")
        assert sorted(tilt[which] for tilt in got) == pytest.approx(tilts, abs=1e-6), name
        assert all(tilt[1 - which] == 0 for tilt in got)


def test_horizontal_is_about_b_cross_e_and_vertical_about_e():
    h, v = 0.02, 0.03
    incident = experiment(f"-hdivrange {2000 * h} -vdivrange {2000 * v} -square_div -distance 100").tables.beam.incident
    wanted = [
        Rotation.from_rotvec(i * h * np.cross(X, Z)).apply(Rotation.from_rotvec(j * v * Z).apply(X)) for i in (-1, 1) for j in (-1, 1)
    ]
    assert np.allclose(sorted(map(tuple, incident)), sorted(map(tuple, wanted)), atol=1e-12)


def test_both_ways_and_round():
    grid = [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert directions("-divergence 2 -divsteps 5") == [(h, v) for h in grid for v in grid]
    kept = directions("-divergence 2 -divsteps 5 -round_div")
    # Inside the circle of the range, 1 mrad, and a little over.
    assert kept == [(h, v) for h in grid for v in grid if h * h + v * v <= 1.1]


@pytest.mark.parametrize(
    ("words", "wavelengths"),
    [
        ("-dispersion 2", [0.99, 1.01]),
        ("-dispersion 2 -dispsteps 1", [1]),
        ("-dispersion 2 -dispsteps 3", [0.99, 1, 1.01]),
        ("-dispersion 0 -dispsteps 3", [1]),
        ("-dispsteps 3", [1]),
        ("-dispersion 199 -dispsteps 2", [0.005, 1.995]),
    ],
)
def test_spectrum(words, wavelengths):
    beam = experiment(f"{words} -lambda 1 -distance 100").tables.beam
    assert beam.wavelengths * 1e10 == pytest.approx(wavelengths, rel=1e-12)
    assert beam.weights == pytest.approx([1 / len(wavelengths)] * len(wavelengths), rel=1e-12)


def test_default_sub_pixels():
    # 60 cells of 100 A are 6000 A wide; a pixel of 0.1 mm at 100 mm and 1 A is 1/1000 A^-1: 3 x 6000 / 1000 = 18.
    words = "-cell 100 -default_F 1 -N 60 -lambda 1 -detpixels 8 -pixel 0.1 -xds"
    for distance, count in (("-distance 100", 18), ("-close_distance 100 -twotheta 90", 18), ("-distance 101", 18), ("-distance 200", 9)):
        assert derive_experiment(parameters_from_command_line(f"{words} {distance}")).oversample == count, distance


# --- order, contradictions, completeness -------------------------------------------------------------------------
GROUPS = [
    "-twotheta 20", "-twotheta_axis 0 1 0.1", "-spindle_axis 0.2 1 0", "-beam_vector 1 0.01 0", "-fdet_vector 0 0.01 1",
    "-odet_vector 1 0 -0.01",
    "-polar_vector 0 0.1 1", "-xds", "-distance 120", "-close_distance 95", "-Xbeam 4", "-Ybeam 6", "-ORGX 9", "-Yclose 5", "-pivot sample",
    "-detector_rotx 3", "-detector_abs inf", "-detector_thick 300", "-detector_thicksteps 3", "-osc -1", "-phistep -0.2", "-phisteps 5",
    "-hdivrange 1", "-hdivstep 0.5", "-misset random", "-misset_seed 7", "-detpixels 30", "-detsize 20", "-pixel 0.4", "-polar 0.5",
    "-pix0_vector_mm 90 7 -6", "-flux 1e12", "-beamsize 0.2", "-oversample 2", "-mosaic 0.3", "-mosaic_domains 3",
]  # fmt: skip


def outcome(words: str):
    """All that the kernels get, as numbers in a row; or the sentence of a refusal."""
    try:
        x = derive_experiment(parameters_from_command_line(f"-cell 50 60 70 90 90 90 -default_F 100 -N 5 -oversample 1 {words}"))
    except InputError as error:
        return str(error)
    numbers = [np.ravel(np.asarray(value, float)) for table in x.tables for value in table]
    return np.concatenate([*numbers, [x.geometry.fast_pixels]]).tobytes()


def test_the_order_of_words_does_not_matter():
    for one, other in itertools.combinations(GROUPS, 2):
        context = "-detpixels 16" if "-det" not in one + other else ""
        context += "" if "-misset_seed" in one + other else " -misset_seed 5"
        assert outcome(f"{context} {one} {other}") == outcome(f"{context} {other} {one}"), (one, other)


REFUSED = [
    ("-distance 100 -close_distance 95", "-distance and -close_distance contradict"),
    ("-detpixels 16 -detsize 50", "-detpixels and -detsize contradict"),
    ("-xds -Xbeam 4 -ORGX 20", "contradict one another"),
    ("-mosflm -ORGX 20 -Ybeam 4", "contradict one another"),
    ("-ORGX 20 -Xclose 4", "-ORGX and -Xclose both name the nearest point"),
    ("-xds -pivot beam", "the convention xds turns the detector about the sample"),
    ("-odet_vector 1 0.2 0", "-odet_vector is not at right angles"),
    ("-xds -odet_vector 0 0.2 1", "-odet_vector is not at right angles"),
    ("-fdet_vector 0 0 1 -sdet_vector 0 0 -2", "lie along one line"),
    ("-twotheta 10 -twotheta_axis 0 0 0", "-twotheta_axis has no direction"),
    ("-osc 1 -spindle_axis 0 0 0", "-spindle_axis has no direction"),
    ("-polar 0.5 -polar_vector 0 0 0", "-polar_vector has no direction"),
    ("-xds -close_distance 90 -twotheta 100 -curved_det", "-curved_det: the beam does not meet the detector"),
    ("-mosflm -close_distance 90 -twotheta 95", "is not met by the beam"),
    ("-xds -distance 90 -detector_rotx 90 -Xclose 3", "runs along the detector's plane"),
    ("-pix0_vector 0 0.1 0.1 -distance 100", "goes through the sample (-distance, -pix0_vector"),
    ("-mosflm -detector_rotz 120 -detector_thick 100 -distance 90", "the back of the sensor faces the sample"),
    ("-osc 1 -phistep -0.1", "opposite signs"),
    ("-osc 1 -phistep 0.1 -phisteps 7", "contradict"),
    ("-phistep 0", "-phistep must not be zero"),
    ("-phisteps 0", "-phisteps must be 1 or more"),
    ("-osc 90 -phistep 1e-9", "steps are too many"),
    ("-hdivrange -1", "-hdivrange must be zero or more"),
    ("-vdivstep 0", "-vdivstep must be positive"),
    ("-hdivsteps -2", "-hdivsteps must be 1 or more"),
    ("-hdivrange 1 -hdivstep 0.1 -hdivsteps 3", "contradict"),
    ("-hdivrange 1e6 -hdivstep 1e-6", "steps are too many"),
    ("-dispersion 200", "not positive"),
    ("-dispersion -1", "-dispersion must be zero or more"),
    ("-dispsteps 0", "-dispsteps must be 1 or more"),
    ("-detector_thick -5", "(-detector_thick) must be 0 or more"),
    ("-detector_thick 100 -detector_abs -5", "(-detector_abs) must be 0 or more"),
    ("-detector_thick 100 -detector_thicksteps 0", "-detector_thicksteps must be 1 or more"),
    ("-mosaic -1", "(-mosaic) must be 0 or more"),
    ("-mosaic_width -1", "-mosaic_width must be one width or three"),
    ("-mosaic_width 0.1,0.2", "-mosaic_width must be one width or three"),
    ("-mosaic_width 0.1 -mosaic 0.2", "both give the mosaicity"),
    ("-mosaic_width 0.1 -mosaic_domains 5", "must be 6 or more"),
    ("-mosaic_width 0.1,0.1,0.1 -osc 1 -phisteps 2", "there are 2 phi steps"),
    ("-mosaic_width 0_1", "-mosaic_width must be one width or three"),
    ("-N_cross 1_0,0,0 -gauss_xtal", "-N_cross must be three numbers with commas"),
    ("-N_cross 1,0", "-N_cross must be three numbers with commas"),
    ("-N_cross 1,0,0", "(-N_cross) is for gauss and tophat spots"),
    ("-N_cross 6,0,0 -gauss_xtal", "must make a positive definite tensor of numbers of cells, not 5 6 0; 6 5 0; 0 0 5"),
    ("-N_cross 1,0,0 -gauss_xtal -xtal_x 0.001", "needs numbers of cells beside it"),
    ("-energy 0", "-energy must be positive"),
    ("-lambda 1 -energy -5", "-energy must be positive"),
    ("-lambda 1 -lambda inf", "'inf' is not a finite number"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[words for words, _ in REFUSED])
def test_contradictions_and_impossible_numbers_are_refused(words, says):
    with pytest.raises(InputError) as refusal:
        derive_experiment(parameters_from_command_line(f"-cell 50 60 70 90 90 90 -default_F 100 -N 5 -oversample 1 -detpixels 16 {words}"))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_every_option_has_an_entry():
    text = (Path(__file__).parent.parent / "docs" / "options.md").read_text()
    entries = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = [word.strip(" `") for entry in entries for word in entry.split(",")]
    assert sorted(named) == sorted({word for option in (*OPTIONS, *ROWS, *OF_THE_WHOLE_IMAGE) for word in option.words})
    assert all(len(line.split("|")) >= 4 and line.split("|", 2)[2].strip(" |") for line in text.splitlines() if line.startswith("| `"))
