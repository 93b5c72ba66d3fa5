"""CrystFEL geometry files: 64 panels against a projection in numpy, masks, groups, layout, and sentences about bad files."""

from dataclasses import replace

import numpy as np
import pytest

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.kernels.arguments import PixelRecord
from nanobragg_numba.panels.crystfel import read_geom
from nanobragg_numba.panels.placing import seen_by
from nanobragg_numba.panels.simulate import derive_planes, simulate_panels

CRYSTAL = parameters_from_command_line("-cell 79 79 38 90 90 90 -N 5 -default_F 100 -lambda 1.3")
HEAD = "; a detector\nphoton_energy = 9537.246 eV\nadu_per_photon = 1\nclen = 91.5 mm\nres = 9090.91 ; pixels per metre\n"


def signed(x, y, z):
    return f"{x:+.12f}x {y:+.12f}y {z:+.12f}z"


def sixty_four(rng):
    """The text of 64 panels in two columns of a slab, and (corner, coffset, fs, ss) of each, as the text has them."""
    lines, rows = [HEAD], []
    for number in range(64):
        name = f"q{number // 16}a{number % 16}"
        fs, ss = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2] * rng.uniform(0.998, 1.002, (2, 1))
        fs, ss = np.round(fs, 12), np.round(ss, 12)
        corner, coffset = np.round(rng.uniform(-800, 800, 2), 6), round(rng.uniform(-0.02, 0.02), 9)
        row, column = divmod(number, 2)
        lines.append(
            f"{name}/min_fs = {12 * column}\n{name}/max_fs = {12 * column + 11}\n{name}/min_ss = {9 * row}\n{name}/max_ss = {9 * row + 8}\n"
            f"{name}/fs = {signed(*fs)}\n{name}/ss = {signed(*ss)}\n{name}/corner_x = {corner[0]}\n{name}/corner_y = {corner[1]}\n"
            f"{name}/coffset = {coffset}\n"
        )
        rows.append((corner, coffset, fs, ss))
    lines += [f"rigid_group_q{q} = {','.join(f'q{q}a{a}' for a in range(16))}\n" for q in range(4)]
    lines.append("rigid_group_collection_quadrants = q0,q1,q2,q3\n")
    return "".join(lines), rows


def test_64_panels_against_a_projection(tmp_path):
    text, rows = sixty_four(np.random.default_rng(5))
    (tmp_path / "a.geom").write_text(text)
    described = read_geom(str(tmp_path / "a.geom"))
    detector = described.detector
    assert len(detector) == 64 and detector.shape == (32 * 9, 24) and described.remarks == ()
    assert described.wavelength_A == pytest.approx(12398.42 / 9537.246, rel=1e-12)
    x, planes, oversample = derive_planes(CRYSTAL, detector, "spec")
    assert x.geometry.beam == (0.0, 0.0, 1.0)
    for panel, plane, (corner, coffset, fs, ss) in zip(detector.panels, planes, rows, strict=True):
        engine = PixelEngine(seen_by(x, plane, (1, 1), CRYSTAL))
        for slow, fast in ((0, 0), (8, 11), (3, 7)):
            # The manual: pixels of 1/res metres, z of the corner clen + coffset in metres, fs and ss in pixels.
            centre = np.array([*corner, (0.0915 + coffset) * 9090.91]) + (fast + 0.5) * fs + (slow + 0.5) * ss
            expected = centre / 9090.91
            np.testing.assert_allclose(panel.position_mm(slow + 0.5, fast + 0.5) / 1000, expected, atol=1e-13)
            np.testing.assert_allclose(engine.record(fast, slow, False)[PixelRecord.POSITION], expected, atol=1e-13)
    run = simulate_panels(CRYSTAL, detector)
    assert (run.image > 0).all()
    assert [group.name for group in detector.groups] == ["q0", "q1", "q2", "q3"]
    moved = detector.moved("q2", translation_mm=(0.0, 0.0, 1.5))
    shifts = [np.subtract(new.origin_mm, old.origin_mm) for new, old in zip(moved.panels, detector.panels, strict=True)]
    np.testing.assert_allclose(shifts, [(0, 0, 1.5 * (n // 16 == 2)) for n in range(64)], atol=1e-12)
    centres = [panel.position_mm(4.5, 6.0) for panel in detector.panels[16:32]]
    np.testing.assert_allclose(detector.groups[1].origin_mm, np.mean(centres, axis=0), atol=1e-9)
    assert oversample[1] >= 1


def test_as_another_reader_has_it(tmp_path):
    geometry = pytest.importorskip("cfelpyutils.geometry")
    text, _ = sixty_four(np.random.default_rng(6))
    # That reader takes a length with a unit for a place in the file, and no energy with one.
    (tmp_path / "a.geom").write_text(text.replace("91.5 mm", "0.0915").replace(" eV", ""))
    theirs = geometry.load_crystfel_geometry(str(tmp_path / "a.geom")).detector["panels"]
    for panel in read_geom(str(tmp_path / "a.geom")).detector.panels:
        other = theirs[panel.name]
        corner = np.array([other["cnx"], other["cny"], (other["clen"] + other["coffset"]) * other["res"]])
        for slow, fast in ((0, 0), (9, 12)):
            place = corner + fast * np.array([other[f"fs{i}"] for i in "xyz"]) + slow * np.array([other[f"ss{i}"] for i in "xyz"])
            np.testing.assert_allclose(panel.position_mm(slow, fast), 1000 * place / other["res"], atol=1e-9)


PANEL = "p/min_fs = 0\np/max_fs = 9\np/min_ss = 0\np/max_ss = 7\np/fs = x\np/ss = -y\np/corner_x = -5\np/corner_y = 4\n"
SECOND = PANEL.replace("p/", "second/").replace("ss = 0", "ss = 8").replace("ss = 7", "ss = 15").replace("corner_y = 4", "corner_y = -4")


def read(tmp_path, text, **options):
    (tmp_path / "a.geom").write_text(text)
    return read_geom(str(tmp_path / "a.geom"), **options)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x", (1, 0, 0)), ("-y", (0, -1, 0)), ("+0.5x -0.25y+z", (0.5, -0.25, 1)), ("-.5 x + 2.z", (-0.5, 0, 2)),
        ("1e-3x+1y", (1e-3, 1, 0)), ("- 1.0x", (-1, 0, 0)), ("0x 0y".replace(" ", "+") + "+1z", (0, 0, 1)),
    ],
)  # fmt: skip
def test_directions(tmp_path, text, expected):
    ss = "y" if expected != (0, -1, 0) else "x"
    lines = PANEL.replace("p/fs = x", f"p/fs = {text}").replace("p/ss = -y", f"p/ss = {ss} +0.1z +0.2x")
    panel = read(tmp_path, HEAD + lines).detector.panels[0]
    assert panel.fast == expected


def test_masks(tmp_path):
    bad = (
        "badone/panel = p\nbadone/min_fs = 1\nbadone/max_fs = 2\nbadone/min_ss = 3\nbadone/max_ss = 5\n"
        "badtwo/min_x = 1.5\nbadtwo/max_x = 3.5\nbadtwo/min_y = -5.5\nbadtwo/max_y = 0.5\n"
    )
    detector = read(tmp_path, HEAD + PANEL + SECOND + bad + "second/mask_edge_pixels = 1\n").detector
    expected = np.ones((16, 10), bool)
    expected[3:6, 1:3] = False
    for ss in range(16):
        for fs in range(10):
            # Corners of pixels: x from -5 on, y from 4 down.
            if 1.5 < -5 + fs < 3.5 and -5.5 < 4 - ss < 0.5:
                expected[ss, fs] = False
    inner = np.zeros((8, 10), bool)
    inner[1:7, 1:9] = True
    expected[8:] &= inner
    np.testing.assert_array_equal(detector.panels[0].mask, expected[:8])
    np.testing.assert_array_equal(detector.panels[1].mask, expected[8:])
    image = simulate_panels(CRYSTAL, detector).image
    np.testing.assert_array_equal(image > 0, expected)
    assert not read(tmp_path, HEAD + PANEL + "p/no_index = 1\n").detector.panels[0].mask.any()


def test_defaults_hold_for_panels_first_named_behind_them(tmp_path):
    third = PANEL.replace("p/", "third/").replace("ss = 0", "ss = 16").replace("ss = 7", "ss = 23")
    panels = read(
        tmp_path, HEAD + "coffset = 0.001\n" + PANEL + "res = 10000\ncoffset = 0.002\n" + third + "p/coffset = 0.004\n"
    ).detector.panels
    assert [panel.pixel_size_mm for panel in panels] == [pytest.approx(1000 / 9090.91), pytest.approx(0.1)]
    assert [panel.origin_mm[2] for panel in panels] == [pytest.approx(95.5), pytest.approx(93.5)]


def test_layout_of_a_stack(tmp_path):
    dims = "dim0 = %\ndim2 = ss\ndim3 = fs\n"
    detector = read(tmp_path, HEAD + dims + "p/dim1 = 0\nq/dim1 = 1\n" + PANEL + PANEL.replace("p/", "q/")).detector
    assert detector.boxes == ((0, 8, 0, 10), (8, 16, 0, 10))
    apart = read(tmp_path, HEAD + "data = /a\n" + PANEL + "data = /b\n" + PANEL.replace("p/", "q/")).detector
    assert apart.boxes == detector.boxes


def test_camera_lengths(tmp_path):
    text = HEAD + PANEL
    assert read(tmp_path, text.replace("91.5 mm", "0.0915 m")).detector.panels[0].origin_mm[2] == pytest.approx(91.5)
    assert read(tmp_path, text.replace("91.5 mm", "0.0915")).detector.panels[0].origin_mm[2] == pytest.approx(91.5)
    assert read(tmp_path, text + "p/clen = 0.2\n").detector.panels[0].origin_mm[2] == pytest.approx(200)
    kept = text.replace("91.5 mm", "/LCLS/detector_1/EncoderValue mm")
    assert read(tmp_path, kept, camera_length_mm=77.0).detector.panels[0].origin_mm[2] == pytest.approx(77)
    shifted = read(tmp_path, text + "detector_shift_x = 2 mm\ndetector_shift_y = -0.001\n").detector.panels[0].origin_mm
    assert shifted == (pytest.approx(-5000 / 9090.91 + 2), pytest.approx(4000 / 9090.91 - 1), pytest.approx(91.5))


def test_groups_of_the_new_kind_and_nested_ones(tmp_path):
    groups = "group_outer = inner,second\ngroup_inner = p\n"
    detector = read(tmp_path, HEAD + groups + PANEL + SECOND).detector
    assert [(group.name, group.parent) for group in detector.groups] == [("outer", None), ("inner", 0)]
    assert [panel.group for panel in detector.panels] == [1, 0]
    rigid = read(tmp_path, HEAD + PANEL + SECOND + "rigid_group_all = p,second\nrigid_group_0 = second\n").detector
    assert [panel.group for panel in rigid.panels] == [0, 1]


def test_what_is_not_used_is_told(tmp_path):
    described = read(tmp_path, HEAD + "mask_file = bad.h5\nmask = /mask\nmask_good = 1\ncofset = 0.1\n" + PANEL)
    assert described.remarks == (
        "mask_file = bad.h5: masks in files of their own are not read", "mask = /mask: masks in files of their own are not read",
        "line 9: cofset is no field of a CrystFEL geometry, and not used",
    )  # fmt: skip


BAD = {
    "line 13: 'p/corner_y 4' has no = sign": PANEL.replace("corner_y =", "corner_y"),
    r"line 12: corner_x: 'five' is not a number": PANEL.replace("-5", "five"),
    r"line 6: min_fs: '-1' is not a whole number": PANEL.replace("min_fs = 0", "min_fs = -1"),
    r"line 7: max_fs: '9.5' is not a whole": PANEL.replace("max_fs = 9", "max_fs = 9.5"),
    r"line 10: fs: '0.9q' is not a direction": PANEL.replace("fs = x", "fs = 0.9q"),
    r"line 10: fs: '0.9x 0.1y' is not a direction": PANEL.replace("fs = x", "fs = 0.9x 0.1y"),
    r"line 14: res: '0' is not positive": PANEL + "p/res = 0\n",
    r"line 14: coffset: '1 mm' is not in metres": PANEL + "p/coffset = 1 mm\n",
    r"panel p \(line 6\) has no corner_y": PANEL.replace("p/corner_y = 4\n", ""),
    "describes no panel": "",
    r"ends before it begins": PANEL.replace("max_ss = 7", "max_ss = 0").replace("min_ss = 0", "min_ss = 1"),
    "are too many": PANEL.replace("max_fs = 9", "max_fs = 1e12"),
    "along one line": PANEL.replace("-y", "-x"),
    "panel 'q' lies upon another": PANEL + PANEL.replace("p/", "q/"),
    "group g: 'r' is neither a panel": PANEL + "group_g = p,r\n",
    "share the panel p": PANEL + SECOND + SECOND.replace("second/", "t/").replace("ss = 15", "ss = 23").replace("min_ss = 8", "min_ss = 16")
    + "group_g = p,second\ngroup_h = p,t\n",
    "group g is in itself": PANEL + "group_g = h\ngroup_h = g\n",
    r"badx \(line 14\) needs min and max": PANEL + "badx/min_x = 1\n",
    r"badx \(line 14\) is not inside its panel p": PANEL + "badx/min_fs = 1\nbadx/max_fs = 10\nbadx/min_ss = 1\nbadx/max_ss = 1\n",
    r"line 14: min_z: bad regions have no such field": PANEL + "badx/min_z = 1\n",
    "gives no camera length": PANEL + "clen = /instrument/distance\n",
    "line 14: clen: '90 cm' needs a unit: m or mm": PANEL + "clen = 90 cm\n",
    "line 14: detector_shift_x: '/a/b' is kept in the images": PANEL + "detector_shift_x = /a/b\n",
    "line 14: wavelength: '1.3' needs a unit": PANEL + "wavelength = 1.3\n",
}  # fmt: skip


@pytest.mark.parametrize("said", BAD)
def test_bad_files(tmp_path, said):
    with pytest.raises(InputError, match=r"^-panels .*a\.geom") as error:
        read(tmp_path, HEAD + BAD[said])
    assert error.match(said) and "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.geom").write_bytes(b"\x89HDF\r\n\xff\xfe")
    for name, said in (("a.geom", "is no text"), ("none.geom", "no such file")):
        with pytest.raises(InputError, match=said):
            read_geom(str(tmp_path / name))


def test_a_camera_length_that_is_there_is_not_replaced(tmp_path):
    with pytest.raises(InputError, match=r"clen = 0\.0915 m: leave -distance out"):
        read(tmp_path, HEAD + PANEL, camera_length_mm=100.0)


def test_reads_what_a_replaced_panel_says(tmp_path):
    """Carriage returns of older systems, blanks and capitals of names."""
    text = (HEAD + PANEL).replace("p/", "Panel 1/").replace("\n", "\r\n").replace(" = ", "=")
    detector = read(tmp_path, text.replace("clen=91.5 mm", "clen=91.5 mm  ")).detector
    assert detector.panels[0].name == "Panel 1"
    assert replace(detector.panels[0], name="p", place=None) == replace(read(tmp_path, HEAD + PANEL).detector.panels[0], place=None)
