"""What the options of the detector mean in "spec" (docs/options.md), checked from outside: where it stands, and what its pixels count.

Expected values come from the definitions, by numpy and scipy alone: rotations from scipy, points of a plane by least squares, solid angles
from the corners of the pixels. What is looked at is what the kernels get, and the image of one atom a cell, whose photons are
r_e^2 fluence F^2 times the correction factors.
"""

import math

import numpy as np
import pytest
from scipy import constants
from scipy.spatial.transform import Rotation
from test_option_meanings import CRYSTAL, X, Y, Z, experiment

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.experiment.derive import derive_experiment

WIDE, HIGH, PIXEL = 16.0, 12.0, 0.5
CONVENTIONS = {
    # beam, fast, slow, two-theta axis, spindle, E vector
    "mosflm": (X, Z, -Y, -Z, Z, Z),
    "denzo": (X, Z, -Y, -Z, Z, Z),
    "adxv": (Z, X, -Y, -X, X, X),
    "xds": (Z, X, Y, X, X, X),
    "dials": (Z, X, Y, Y, Y, Y),
}
CUSTOM = "-beam_vector 0 0 1 -fdet_vector 1 0 0 -sdet_vector 0 1 0 -odet_vector 0 0 1 -twotheta_axis 0 1 0"
PLACES = {
    **{name: (f"-{name}", *axes[:4]) for name, axes in CONVENTIONS.items()},
    "custom, beam": (f"{CUSTOM} -pivot beam", Z, X, Y, Y),
    "custom, sample": (f"{CUSTOM} -pivot sample", Z, X, Y, Y),
}
SAMPLE = ("xds", "dials", "custom, sample")
ON_DETECTOR = {
    "mosflm": lambda x, y: (y + PIXEL / 2, x + PIXEL / 2),
    "denzo": lambda x, y: (y, x),
    "adxv": lambda x, y: (x, HIGH - y),
}
TURNS = {
    "straight": "",
    "rotated": "-detector_rotx 4 -detector_roty -7 -detector_rotz 11",
    "swung": "-twotheta 17",
    "both": "-detector_rotx 4 -detector_roty -7 -detector_rotz 11 -twotheta -23",
}


class Plane:
    """The detector of a line, in millimetres, from the table that the kernels get."""

    def __init__(self, words: str):
        table = experiment(words).tables.detector
        self.beam, self.fast, self.slow = table.beam, table.fast, table.slow
        self.pix0 = table.pix0 * 1000

    def turned_back(self, rotation: Rotation) -> "Plane":
        for name in ("fast", "slow", "pix0"):
            setattr(self, name, rotation.inv().apply(getattr(self, name)))
        return self

    def meets_beam(self) -> tuple[float, float, float]:
        """Distance along the beam, and fast and slow coordinate: t beam = pix0 + F fast + S slow."""
        t, fast, slow = np.linalg.solve(np.stack([self.beam, -self.fast, -self.slow], 1), self.pix0)
        return t, fast, slow

    def nearest(self) -> tuple[float, float, float]:
        """Distance of the nearest point, and its fast and slow coordinate: the least of |pix0 + F fast + S slow|."""
        axes = np.stack([self.fast, self.slow], 1)
        (fast, slow), *_ = np.linalg.lstsq(axes, -self.pix0, rcond=None)
        return np.linalg.norm(self.pix0 + axes @ [fast, slow]), fast, slow


def turn_of(words: str, axis: np.ndarray) -> Rotation:
    """About x, then y, then z, then the two-theta axis."""
    given = dict(zip(*[iter(words.split())] * 2, strict=True))
    angles = [float(given.get(f"-detector_rot{letter}", 0)) for letter in "xyz"]
    swing = Rotation.from_rotvec(math.radians(float(given.get("-twotheta", 0))) * axis)
    return swing * Rotation.from_euler("xyz", angles, degrees=True)


places = pytest.mark.parametrize("place", PLACES)
turns = pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)


# --- where the detector stands -----------------------------------------------------------------------------------
@places
@turns
def test_rotations_and_two_theta_turn_the_axes(place, turn):
    words, _, fast, slow, axis = PLACES[place]
    plane, rotation = Plane(f"{words} -distance 100 {turn}"), turn_of(turn, axis)
    assert np.allclose(plane.fast, rotation.apply(fast), atol=1e-14) and np.allclose(plane.slow, rotation.apply(slow), atol=1e-14)


@places
@turns
def test_beam_centre(place, turn):
    words, _, _, _, axis = PLACES[place]
    plane = Plane(f"{words} -distance 100 -Xbeam 4 -Ybeam 6 {turn}")
    if place in SAMPLE:
        plane.turned_back(turn_of(turn, axis))
    _, fast, slow = plane.meets_beam()
    assert (fast, slow) == pytest.approx(ON_DETECTOR.get(place, lambda x, y: (x, y))(4, 6), abs=1e-9)


@places
@turns
@pytest.mark.parametrize("point", ["-Xclose 4 -Yclose 6", "-ORGX 8.5 -ORGY 12.5"])
def test_nearest_point(place, turn, point):
    plane = Plane(f"{PLACES[place][0]} -distance 100 {point} {turn}")
    assert plane.nearest()[1:] == pytest.approx((4, 6), abs=1e-9)


@places
@turns
def test_close_distance(place, turn):
    assert Plane(f"{PLACES[place][0]} -close_distance 95 {turn}").nearest()[0] == pytest.approx(95, abs=1e-9)


@places
@turns
def test_distance(place, turn):
    words, _, _, _, axis = PLACES[place]
    plane = Plane(f"{words} -distance 100 {turn}")
    if place in SAMPLE:
        # Before the two-theta swing, about the sample.
        rotations = turn.split("-twotheta")[0]
        plane.turned_back(turn_of(turn, axis) * turn_of(rotations, axis).inv())
    assert plane.meets_beam()[0] == pytest.approx(100, abs=1e-9)


@places
def test_the_sample_pivot_turns_the_whole_detector_and_the_beam_pivot_about_the_spot(place):
    words, _, _, _, axis = PLACES[place]
    still, turned = (Plane(f"{words} -close_distance 100 -Xbeam 4 -Ybeam 6 {turn}") for turn in ("", TURNS["both"]))
    if place in SAMPLE:
        assert np.allclose(turned.turned_back(turn_of(TURNS["both"], axis)).pix0, still.pix0, atol=1e-9)
    else:
        assert turned.meets_beam()[1:] == pytest.approx(still.meets_beam()[1:], abs=1e-9)


def test_default_centres():
    middle = {"mosflm": (WIDE / 2 + PIXEL, HIGH / 2 + PIXEL), "denzo": (WIDE / 2 + PIXEL / 2, HIGH / 2 + PIXEL / 2),
              "adxv": (WIDE / 2 + PIXEL / 2, HIGH / 2 + PIXEL / 2)}  # fmt: skip
    for place, (words, *_) in PLACES.items():
        got = Plane(f"{words} -distance 100").meets_beam()
        assert got == pytest.approx((100, *middle.get(place, (WIDE / 2, HIGH / 2))), abs=1e-9), place


def test_one_coordinate_of_each_point():
    # X of the beam is fast and ORGY is slow; the beam's Y and ORGX follow from the tilt.
    turn = "-detector_rotx 5 -detector_roty 8"
    for place in ("xds", "custom, beam"):
        words, _, _, _, axis = PLACES[place]
        plane = Plane(f"{words} -distance 100 -Xbeam 4 -ORGY 12.5 {turn}")
        assert plane.nearest()[2] == pytest.approx(6, abs=1e-9)
        if place in SAMPLE:
            plane.turned_back(turn_of(turn, axis))
        assert plane.meets_beam()[1] == pytest.approx(4, abs=1e-9)


def test_a_tilted_detector_given_twice():
    """Beam centre and distance, and pix0_vector, of one detector as another program wrote them: the same to the digits given."""
    words = (
        "-distance 231.274660 -detpixels_f 2463 -detpixels_s 2527 -pixel 0.172 -fdet_vector 0.999982 -0.005998 -0.000118 -sdet_vector "
        "-0.005998 -0.999970 -0.004913 -odet_vector -0.000088 0.004914 -0.999998 -beam_vector 0.00051387949 0.0 -0.99999986"
    )
    for more in ("", "-pivot beam -twotheta 0"):
        plane = Plane(f"{words} -Xbeam 217.742295 -Ybeam 213.907080 {more}")
        assert np.allclose(plane.pix0, (-216.336293, 215.205512, -230.200866), atol=0.005)


def test_custom_with_the_sample_pivot_takes_the_beam_centre_for_the_nearest_point():
    words = "-fdet_vector 0 0.1 1 -sdet_vector 0 -1 0.1 -pivot sample -distance 100 -Xbeam 4 -Ybeam 6 -beam_vector 1 0.02 0.03"
    assert Plane(words).nearest()[1:] == pytest.approx((4, 6), abs=1e-9)


def test_pix0_vector():
    for place, (words, *_) in PLACES.items():
        for given in ("-pix0_vector 0.01 -0.02 0.1", "-pix0_vector_mm 10 -20 100"):
            assert np.allclose(Plane(f"{words} -distance 70 -twotheta 9 {given}").pix0, (10, -20, 100), atol=1e-12), place


def test_dials_origin():
    """The first pixel along fast, against slow and against the beam, before the detector turns; it is one detector in all conventions."""
    asked = {"mosflm": (5.75, 7.75), "denzo": (6, 8), "adxv": (8, HIGH - 6)}
    for place, (words, beam, fast, slow, _) in PLACES.items():
        x, y = asked.get(place, (8, 6))
        g = experiment(f"{words} -distance 100 -Xbeam {x} -Ybeam {y}").geometry
        assert g.dials_origin == pytest.approx((-8, 6, -100), abs=1e-9), place
        g = experiment(f"{words} -distance 100 -Xbeam {x} -Ybeam {y} {TURNS['both']}").geometry
        pix0 = np.array(g.pix0) * 1000
        assert g.dials_origin == pytest.approx((pix0 @ fast, -pix0 @ slow, -pix0 @ beam), abs=1e-9), place


@places
@turns
def test_reported_centre_and_distances_make_the_detector_again(place, turn):
    words = PLACES[place][0]
    for asked in ("-Xbeam 4 -Ybeam 6 -distance 100", "-ORGX 9 -Yclose 5 -distance 100", "-ORGX 9 -Yclose 5 -close_distance 90"):
        g = experiment(f"{words} {asked} {turn}").geometry
        for again in (f"-Xbeam {g.xbeam * 1000!r} -Ybeam {g.ybeam * 1000!r}", f"-ORGX {g.org[0]!r} -ORGY {g.org[1]!r}"):
            plane = Plane(f"{words} {again} -close_distance {g.close_distance * 1000!r} {turn}")
            assert np.allclose(plane.pix0, np.array(g.pix0) * 1000, atol=1e-8)
    g = experiment(f"{words} -pix0_vector_mm 5 -4 80 {turn}").geometry
    assert np.allclose(np.array(g.pix0) * 1000, (5, -4, 80), atol=1e-12)
    if g.close_distance > 0:
        plane = Plane(f"{words} -Xbeam {g.xbeam * 1000!r} -Ybeam {g.ybeam * 1000!r} -close_distance {g.close_distance * 1000!r} {turn}")
        assert np.allclose(plane.pix0, (5, -4, 80), atol=1e-8)


def test_a_convention_keeps_the_axes_that_are_not_replaced():
    for words in ("-xds -spindle_axis 0 3 0 -polar_vector 0 0.5 0", "-polar_vector 0 0.5 0 -spindle_axis 0 3 0 -xds"):
        g = experiment(f"{words} -distance 100").geometry
        assert np.allclose([g.beam, g.fast, g.slow, g.spindle_axis, g.polarization_axis], [Z, X, Y, Y, Y])
    swung = Plane("-dials -twotheta_axis 2 0 0 -beam_vector 0 0 7 -twotheta 30 -distance 100")
    assert np.allclose(swung.slow, Rotation.from_rotvec(math.radians(30) * X).apply(Y), atol=1e-14)


def test_the_normal_is_that_of_the_plane():
    for normal, side in (("", 1), ("-odet_vector 1 0.004 0", 1), ("-odet_vector -2 0.003 0.01", -1)):
        x = experiment(f"-fdet_vector 0 0.01 1 -sdet_vector 0.002 -1 0 {normal} -distance 100")
        n = np.cross(x.tables.detector.fast, x.tables.detector.slow)
        assert np.allclose(x.tables.detector.normal, side * n / np.linalg.norm(n), atol=1e-14)


# --- solid angle, and the other factors of one atom --------------------------------------------------------------
ATOM = "-cell 50 60 70 90 90 90 -default_F 100 -N 1 -lambda 1 -oversample 1 -fluence 1e24 -detpixels 8"
R_E = constants.physical_constants["classical electron radius"][0]


def photons(words: str) -> np.ndarray:
    """Over those of one electron: the image of a crystal of one cell and F = 100."""
    image = simulate(parameters_from_command_line(f"{ATOM} {words}"), dtype=np.float64).image
    return image / (R_E**2 * 1e24 * 100**2)


def corners(words: str) -> np.ndarray:
    """(slow, fast, 4, 3): the corners of the pixels, mm."""
    x = derive_experiment(parameters_from_command_line(f"{ATOM} {words}"))
    d = x.tables.detector
    at = np.arange(8)
    around = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    fast = (at[None, :, None] + around[:, 0]) * d.pixel_size
    slow = (at[:, None, None] + around[:, 1]) * d.pixel_size
    return d.pix0 + fast[..., None] * d.fast + slow[..., None] * d.slow


def triangle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Solid angle of a triangle seen from the origin (van Oosterom and Strackee 1983)."""
    a, b, c = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b, c))
    volume = np.abs((np.cross(a, b) * c).sum(-1))
    return 2 * np.arctan2(volume, 1 + (a * b).sum(-1) + (b * c).sum(-1) + (c * a).sum(-1))


def solid_angles(words: str) -> np.ndarray:
    p = corners(words)
    return triangle(p[..., 0, :], p[..., 1, :], p[..., 2, :]) + triangle(p[..., 0, :], p[..., 2, :], p[..., 3, :])


def rays(words: str) -> np.ndarray:
    middle = corners(words).mean(axis=2)
    return middle / np.linalg.norm(middle, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "words",
    [
        "-distance 20",
        "-mosflm -twotheta 35 -detector_rotx 10 -distance 20",
        "-xds -close_distance 20 -twotheta 60",
        # Axes at 60 degrees, and at 115.
        "-fdet_vector 0 0 1 -sdet_vector 0 -0.8660254037844386 0.5 -distance 20",
        "-fdet_vector 0.1 0.5 1 -sdet_vector 0 -1 0.1 -distance 20 -Xbeam 3 -Ybeam 2 -detector_rotz 12",
        # The beam comes through the back of the detector.
        "-mosflm -detector_rotz 130 -distance 20",
        "-pix0_vector_mm 20 1 2 -odet_vector -1 0 0 -distance 30",
    ],
)
def test_solid_angle(words):
    """Exact by the corners of the pixels, but for the curvature over 0.05 mm at 20."""
    assert photons(f"-nopolar -pixel 0.05 {words}") == pytest.approx(solid_angles(f"-pixel 0.05 {words}"), rel=2e-5)


def test_point_pixel():
    words = "-distance 20 -pixel 2 -twotheta 20"
    apart = np.linalg.norm(corners(words).mean(axis=2), axis=-1)
    assert photons(f"-nopolar -point_pixel {words}") == pytest.approx(1 / apart**2, rel=1e-5)


@pytest.mark.parametrize(("kahn", "vector"), [(0.0, Z), (0.8, Z), (-0.5, np.array([0.1, 0.6, 0.9]))])
def test_polarization(kahn, vector):
    words = f"-distance 20 -pixel 2 -polar_vector {vector[0]} {vector[1]} {vector[2]}"
    d = rays(words)
    e = vector - vector[0] * X
    e /= np.linalg.norm(e)
    psi = np.arctan2(d @ np.cross(X, e), d @ e)
    wanted = (1 + d[..., 0] ** 2 - kahn * np.cos(2 * psi) * (1 - d[..., 0] ** 2)) / 2
    assert photons(f"-polar {kahn} {words}") / photons(f"-nopolar {words}") == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("order", [0, 1])
def test_sensor(order):
    base = "-nopolar -distance 20 -pixel 0.05 -twotheta 30"
    d, normal = rays(base), derive_experiment(parameters_from_command_line(f"{ATOM} {base}")).tables.detector.normal
    through = d @ normal

    def sensor(depth: str, thickness: str) -> str:
        return " ".join((f"-detector_abs {depth}", f"-detector_thick {thickness}")[:: 1 - 2 * order])

    one = photons(f"{base} {sensor('300', '450')} -detector_thicksteps 1") / photons(base)
    assert one == pytest.approx(1 - np.exp(-1.5 / through), rel=1e-9)
    # Three layers, each where it stands: together as one, but that those behind are further off, by 0.3 mm of 20 at most.
    three = photons(f"{base} {sensor('300', '450')} -thicksteps 3") / photons(base)
    assert three == pytest.approx(1 - np.exp(-1.5 / through), rel=0.05) and (three < one).all()
    for nothing in ("inf", "0"):
        assert np.array_equal(photons(f"{base} {sensor(nothing, '450')}"), photons(base))
    half = photons(f"{base} -detector_thick 450 -detector_thicksteps 1") / photons(base)
    assert half == pytest.approx(1 - np.exp(-1 / through), rel=1e-9)


def test_resolution_limit():
    words = "-distance 20 -pixel 2 -Xbeam 1 -Ybeam 1"
    theta = np.arccos(np.clip(rays(words) @ X, -1, 1)) / 2
    kept = photons(f"{words} -dmin 2") > 0
    assert np.array_equal(kept, 1 / (2 * np.sin(theta)) >= 2) and kept.any() and not kept.all()


def test_fluence_flux_and_energy():
    plain = photons("-distance 20")
    assert photons("-distance 20 -flux 3e15 -exposure 2 -beamsize 0.05") == pytest.approx(plain * (6e15 / 0.00005**2) / 1e24, rel=1e-9)
    assert photons("-distance 20 -fluence 7e24") == pytest.approx(7 * plain, rel=1e-9)
    for energy in (12398.42, 8000):
        x = experiment(f"-energy {energy} -distance 100")
        assert x.tables.beam.wavelengths * 1e10 == pytest.approx([12398.42 / energy], rel=1e-12)
        # The constant is h c / e, rounded.
        assert constants.h * constants.c / constants.e * 1e10 == pytest.approx(12398.42, rel=1e-6)
    assert (
        experiment("-energy 0 -lambda 1.5 -distance 100").wavelength
        == experiment("-lambda nan -wave 1.5 -distance 100").wavelength
        == 1.5e-10
    )


def test_pixels_window_and_size():
    g = derive_experiment(parameters_from_command_line(f"{CRYSTAL} -detsize_f 7.3 -detsize_s 4.1 -pixel 0.2")).geometry
    assert (g.fast_pixels, g.slow_pixels) == (36, 20)
    g = derive_experiment(
        parameters_from_command_line(f"{CRYSTAL} -detsize 9 -pixel 0.3 -detpixels_x 30 -detpixels_y 10 -detsize_s 3")
    ).geometry
    assert (g.fast_pixels, g.slow_pixels) == (30, 10)
    whole, part = photons("-distance 50"), photons("-distance 50 -roi 2 5 -1 6")
    inside = np.zeros((8, 8), bool)
    inside[:7, 2:6] = True
    assert np.array_equal(part, np.where(inside, whole, 0))


def test_a_detector_swung_past_ninety_degrees():
    """Back-scattering: the plane turns about the sample and stays 20 mm away; every pixel counts."""
    words = "-xds -close_distance 20 -twotheta 120"
    assert Plane(words).nearest()[0] == pytest.approx(20)
    assert photons(f"-nopolar -pixel 0.05 {words}") == pytest.approx(solid_angles(f"-pixel 0.05 {words}"), rel=2e-5)
