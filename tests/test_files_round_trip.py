"""What the header of a spec image says is where the detector stood: read back by us, by fabio, and worked out anew with scipy."""

import math
from dataclasses import replace

import fabio
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from nanobragg_numba import InputError
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Axes, Beam, Crystal, Detector, Parameters, Sampling
from nanobragg_numba.files import smv_header

CONVENTIONS = ("mosflm", "adxv", "denzo", "xds", "dials")
CRYSTAL = ["-cell", "70", "80", "90", "-default_F", "1"]
# Laboratory axes of each convention, from its definition: beam, fast, slow, and the axis of the two-theta swing.
AXES = {
    "adxv": ([0, 0, 1], [1, 0, 0], [0, -1, 0], [-1, 0, 0]),
    "mosflm": ([1, 0, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1]),
    "denzo": ([1, 0, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1]),
    "xds": ([0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]),
    "dials": ([0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]),
}


def numbers(low, high):
    return st.floats(low, high, allow_nan=False, allow_infinity=False)


def maybe(strategy):
    return st.none() | strategy


def vectors():
    component = numbers(-1, 1)
    return st.tuples(component, component, component).filter(lambda v: math.hypot(*v) > 0.1)


@st.composite
def geometries(draw):
    """Parameters whose detector stands anywhere, told in any of the ways that there are."""
    convention = draw(st.sampled_from((*CONVENTIONS, "custom")))
    fast = draw(vectors())
    slow = np.cross(fast, draw(vectors()))
    assume(np.linalg.norm(slow) > 1e-3)
    pixels = draw(st.sampled_from(((7, 5), (0, 0), (6, 0))))
    centre = draw(st.sampled_from(("beam_center_mm", "close_point_mm", "org_pixels", None)))
    detector = Detector(
        pixels=pixels,
        size_mm=draw(st.tuples(numbers(0.4, 2), numbers(0.4, 2))),
        pixel_size_mm=draw(numbers(0.05, 0.4)),
        distance_mm=draw(numbers(30, 900)),
        close_distance_mm=draw(maybe(numbers(30, 900))),
        convention=convention,
        pivot=draw(st.sampled_from(("beam", "sample"))),
        rotations_deg=draw(st.tuples(*[numbers(-40, 40)] * 3)),
        twotheta_deg=draw(numbers(-40, 40)),
        curved=draw(st.booleans()),
        **({centre: draw(st.tuples(maybe(numbers(-3, 3)), maybe(numbers(-3, 3))))} if centre is not None else {}),
    )
    if convention == "custom":
        slow = tuple(float(x) for x in slow / np.linalg.norm(slow))
        detector = replace(detector, fast_axis=fast, slow_axis=slow, twotheta_axis=draw(vectors()), pix0_mm=draw(maybe(vectors())))
    return Parameters(
        Crystal(cell=(70, 80, 90, 90, 90, 90), default_F=1),
        Beam(wavelength_A=draw(numbers(0.5, 5)), direction=draw(vectors()) if convention == "custom" else (1.0, 0.0, 0.0)),
        detector,
        Sampling(phi_deg=draw(numbers(-400, 400)), spindle_axis=draw(vectors()) if convention == "custom" else (0.0, 0.0, 1.0)),
        Axes(spindle_axis=draw(maybe(vectors())), polarization_axis=draw(maybe(vectors()))),
    )


def experiment(parameters):
    try:
        return derive_experiment(parameters)
    except InputError:
        assume(False)


def image(x) -> bytes:
    """An SMV image of ``x`` whose pixels are numbered."""
    shape = x.geometry.slow_pixels, x.geometry.fast_pixels
    return smv_header.header(x) + np.arange(shape[0] * shape[1], dtype="<u2").tobytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("round_trip") / "image.img"


@settings(max_examples=150, deadline=None)
@given(parameters=geometries())
def test_the_geometry_comes_back(path, parameters):
    x = experiment(parameters)
    path.write_bytes(image(x))
    back = derive_experiment(read_command_line([*CRYSTAL, "-img", str(path)]).parameters)
    g, h = x.geometry, back.geometry
    assert (h.fast_pixels, h.slow_pixels, h.convention, h.pivot) == (g.fast_pixels, g.slow_pixels, g.convention, g.pivot)
    for name in (
        "pixel_size", "size", "beam", "fast", "slow", "normal", "pix0", "polarization_axis", "spindle_axis", "distance",
        "close_distance", "xbeam", "ybeam", "fbeam", "sbeam", "fclose", "sclose", "org", "beam_in_detector_frame",
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(h, name), getattr(g, name), rtol=1e-9, atol=1e-12, err_msg=name)
    assert back.wavelength == x.wavelength and back.phi_start == x.phi_start
    assert back.parameters.detector.curved == parameters.detector.curved


@settings(max_examples=80, deadline=None)
@given(parameters=geometries())
def test_fabio_finds_the_pixels_in_place(path, parameters):
    x = experiment(parameters)
    content = image(x)
    path.write_bytes(content)
    read = fabio.open(str(path))
    length = int(read.header["HEADER_BYTES"])
    assert length % 512 == 0 and content[:length].rstrip(b" ").endswith(b"}\f") and len(content[:length].rstrip(b" ")) > length - 512
    shape = x.geometry.slow_pixels, x.geometry.fast_pixels
    assert np.array_equal(read.data, np.arange(shape[0] * shape[1]).reshape(shape))
    assert float(read.header["DISTANCE"]) == pytest.approx(x.geometry.distance * 1000, rel=1e-15)
    assert float(read.header["WAVELENGTH"]) == parameters.beam.wavelength_A


def stated(x) -> dict[str, str]:
    """The header as another program would take it apart: a key and its text between the semicolons."""
    text = smv_header.header(x).decode()
    pairs = (entry.split("=", 1) for entry in text[text.index("{") + 1 : text.index("}")].replace("\n", "").split(";") if entry)
    return dict(pairs)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("seed", range(8))
def test_the_keys_agree_with_the_detector_worked_out_anew(convention, seed):
    r = np.random.default_rng(seed)
    angles, twotheta = r.uniform(-25, 25, 3), float(r.uniform(-25, 25))
    detector = Detector(
        pixels=(40, 30), pixel_size_mm=0.2, distance_mm=float(r.uniform(60, 300)), convention=convention,
        rotations_deg=tuple(map(float, angles)), twotheta_deg=twotheta, beam_center_mm=(float(r.uniform(0, 8)), float(r.uniform(0, 6))),
    )  # fmt: skip
    x = derive_experiment(Parameters(Crystal(cell=(70, 80, 90, 90, 90, 90), default_F=1), detector=detector))
    keys = {key: [float(part) for part in text.split(",")] for key, text in stated(x).items() if key.split("_")[0] in
            ("XDS", "DIALS", "ADXV", "MOSFLM", "DENZO", "CLOSE", "DISTANCE", "SIZE1", "SIZE2")}  # fmt: skip
    beam, fast0, slow0, axis = (np.array(v, float) for v in AXES[convention])
    # About the laboratory's x, then y, then z, then the swing.
    turn = Rotation.from_rotvec(np.radians(twotheta) * axis) * Rotation.from_euler("xyz", angles, degrees=True)
    fast, slow = turn.apply(fast0), turn.apply(slow0)
    normal = np.cross(fast, slow) * np.sign(np.dot(np.cross(fast0, slow0), beam))
    # The nearest point of the plane: XDS's origin counts the first pixel's centre as 1, and lies CLOSE_DISTANCE away.
    corner = keys["CLOSE_DISTANCE"][0] * normal
    for (org,), direction in ((keys["XDS_ORGX"], fast), (keys["XDS_ORGY"], slow)):
        corner = corner - (org - 0.5) * 0.2 * direction
    assert np.allclose([corner @ fast0, -corner @ slow0, -corner @ beam], keys["DIALS_ORIGIN"], rtol=0, atol=1e-9)
    # Where the beam meets the plane, DISTANCE from the sample.
    hit = beam * keys["CLOSE_DISTANCE"][0] / (beam @ normal)
    assert np.linalg.norm(hit) == pytest.approx(keys["DISTANCE"][0], rel=1e-12)
    f, s = (hit - corner) @ fast, (hit - corner) @ slow
    assert np.allclose([keys["ADXV_CENTER_X"][0], keys["ADXV_CENTER_Y"][0]], [f, 30 * 0.2 - s], rtol=0, atol=1e-9)
    assert np.allclose([keys["MOSFLM_CENTER_X"][0], keys["MOSFLM_CENTER_Y"][0]], [s - 0.1, f - 0.1], rtol=0, atol=1e-9)
    assert np.allclose([keys["DENZO_X_BEAM"][0], keys["DENZO_Y_BEAM"][0]], [s, f], rtol=0, atol=1e-9)


# Where the beam meets the middle of 16 x 12 mm, as each convention counts it, 0.2 mm to a pixel.
MIDDLE = {
    "mosflm": {"beam_center_mm": (5.9, 7.9)}, "denzo": {"beam_center_mm": (6.0, 8.0)}, "adxv": {"beam_center_mm": (8.0, 6.0)},
    "xds": {"org_pixels": (40.5, 30.5)}, "dials": {"org_pixels": (40.5, 30.5)},
}  # fmt: skip


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_origin_of_dials_is_one_point_in_every_convention(convention):
    detector = Detector(pixels=(80, 60), pixel_size_mm=0.2, distance_mm=100, convention=convention, **MIDDLE[convention])
    x = derive_experiment(Parameters(Crystal(cell=(70, 80, 90, 90, 90, 90), default_F=1), detector=detector))
    assert [float(part) for part in stated(x)["DIALS_ORIGIN"].split(",")] == pytest.approx([-8, 6, -100], abs=1e-9)


def test_the_reference_finds_its_own_keys_behind_ours():
    # It takes the last place where a keyword stands, also inside a longer one.
    detector = Detector(pixels=(8, 8), convention="custom", pix0_mm=(99.0, 1.0, -1.0), rotations_deg=(1, 2, 3), close_distance_mm=70.0)
    text = smv_header.header(derive_experiment(Parameters(Crystal(cell=(70, 80, 90, 90, 90, 90), default_F=1), detector=detector))).decode()
    for keyword in ("PIXEL_SIZE", "DISTANCE", "WAVELENGTH", "BEAM_CENTER_X", "BEAM_CENTER_Y", "ORGX", "PHI", "OSC_RANGE", "SIZE1", "SIZE2"):
        line = text[text.rindex(keyword) :].split(";")[0]
        assert "NB_" not in text[: text.rindex(keyword)].rsplit("\n", 1)[1] and "=" in line
