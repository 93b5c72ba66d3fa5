"""The master file: its geometry walked with numpy alone, its lattice, its frames, and what is told of missing files."""

import json
import os
import re
import time
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from nexus_runs import chain, experiment, positions, write_run

from nanobragg_numba import InputError
from nanobragg_numba.files.nexus import DataFile, Frame, Setup, encode, frame_of, pixel_mask, setup_of, write_frames, write_master

SMALL = "-detpixels_f 24 -detpixels_s 16 -pixel 0.8 -distance 90 -lambda 1.1"
TURNED = "-detector_rotx 7 -detector_roty -4 -detector_rotz 12 -twotheta 21"
PLACES = [f"-{name} {SMALL} {turn}" for name in ("mosflm", "xds", "dials", "adxv", "denzo") for turn in ("", TURNED)] + [
    f"{SMALL} -Xbeam 3 -Ybeam 5 -oversample 3 -twotheta_axis 0.3 1 0.2 -twotheta 30",
    f"{SMALL.replace('-distance', '-close_distance')} -xds -detector_roty 15",
    f"{SMALL} -fdet_vector 0 0 1 -sdet_vector 0 -1 0.3 -beam_vector 1 0.1 -0.2 -polar_vector 0.2 0.1 1 -spindle_axis 0 1 1 {TURNED}",
    f"{SMALL} -beam_vector 1 0 0 -polar_vector 1 0 0 -polar 0.5",
]


def written(tmp_path, x, frames=None, **more):
    """The master of one frame that is not there."""
    path = tmp_path / "m.h5"
    write_master(path, setup_of(x), frames or [frame_of(x)], [DataFile("none.h5", len(frames or [0]))], "f4", **more)
    return h5py.File(path)


def laboratory(x):
    """(3, 3): NeXus's axes along ours by their definition: z along the beam; x, here, against the E vector across it, or the spindle."""
    z = np.array(x.geometry.beam)
    e = np.array(x.geometry.polarization_axis)
    if np.linalg.norm(np.cross(z, e)) < 1e-6:
        e = np.array(x.geometry.spindle_axis)
    across = np.cross(np.cross(z, e), z)
    across /= np.linalg.norm(across)
    return np.array([-across, np.cross(across, z), z])


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("line", PLACES)
def test_pixels_lie_where_the_experiment_has_them(line, compat, tmp_path):
    x = experiment(line, compat)
    g = x.geometry
    i, j = np.arange(g.slow_pixels)[:, None, None] + 0.5, np.arange(g.fast_pixels)[None, :, None] + 0.5
    ours = np.array(g.pix0) + g.pixel_size * (i * np.array(g.slow) + j * np.array(g.fast))
    axes = laboratory(x)
    assert np.abs(axes @ axes.T - np.identity(3)).max() < 1e-12 and np.linalg.det(axes) > 0.99
    with written(tmp_path, x) as file:
        theirs = positions(file, "module")
        assert np.abs(theirs - ours @ axes.T).max() < 1e-9
        # What is measured from the beam alone does not depend on the choice of x and y.
        assert np.abs(theirs[..., 2] - ours @ np.array(g.beam)).max() < 1e-9
        detector = file["entry/instrument/detector"]
        place = chain(file, "/entry/instrument/detector/module/module_offset")[:3, 3]
        slow, fast = (np.array(detector[f"module/{name}_pixel_direction"].attrs["vector"]) for name in ("slow", "fast"))
        centre = place + g.pixel_size * (detector["beam_center_y"][()] * slow + detector["beam_center_x"][()] * fast)
        assert np.abs(centre - [0, 0, detector["distance"][()]]).max() < 1e-9
        assert detector["depends_on"][()] == b"/entry/instrument/detector/transformations/translation"
        assert abs(detector["x_pixel_size"][()] - 0.8e-3) < 1e-15


@pytest.mark.parametrize("line", [f"-{name} {SMALL} {TURNED} -phi 33 -osc 0.5 -phisteps 2" for name in ("mosflm", "xds", "adxv")])
def test_lattice_and_rotation(line, tmp_path):
    """The phases that sit on the pixels do not depend on whose axes they are counted in: a . s at every pixel, the crystal turned by
    the file's own chain, is what the kernels' turned axes make it."""
    x = experiment(line)
    with written(tmp_path, x) as file:
        turn = chain(file, file["entry/sample/depends_on"][()].decode())[:3, :3]
        ub = file["entry/sample/ub_matrix"][0]
        direct = np.linalg.inv(turn @ ub)  # rows a, b, c
        theirs = positions(file, "module")
        wavelength = file["entry/instrument/beam/incident_wavelength"][()]
    unit = theirs / np.linalg.norm(theirs, axis=-1, keepdims=True)
    miller = ((unit - [0, 0, 1]) / wavelength) @ direct.T
    g = x.geometry
    i, j = np.arange(g.slow_pixels)[:, None, None] + 0.5, np.arange(g.fast_pixels)[None, :, None] + 0.5
    ours = np.array(g.pix0) + g.pixel_size * (i * np.array(g.slow) + j * np.array(g.fast))
    ours /= np.linalg.norm(ours, axis=-1, keepdims=True)
    axes = x.tables.crystal.orientations[0].reshape(3, 3) * 1e10
    assert np.abs(miller).max() > 5
    assert np.abs(miller - ((ours - np.array(g.beam)) / (x.wavelength * 1e10)) @ axes.T).max() < 1e-9


def test_the_scan(tmp_path):
    lines = [f"{SMALL} -phi {3 + 0.25 * i} -osc 0.25 -phisteps 2 -seed {i}" for i in range(4)]
    experiments = [experiment(line) for line in lines]
    frames = [frame_of(x, f"nanoBragg {line}") for x, line in zip(experiments, lines, strict=True)]
    frames[2] = Frame("nanoBragg -cell 1", failed="-cell: six numbers are needed")
    with written(tmp_path, experiments[0], frames, base_command="nanoBragg x") as file:
        turns = file["entry/sample/transformations"]
        assert turns["phi"][:].tolist() == [3, 3.25, 3.5, 3.75]
        assert turns["phi_end"][:].tolist() == [3.25, 3.5, 3.5, 4.0]
        assert turns["phi_increment_set"][()] == 0.25
        simulation = file["entry/simulation"]
        assert simulation["frames"][()] == file["entry/instrument/detector/detectorSpecific/nimages"][()] == 4
        assert simulation["failed"][:].tolist() == [0, 0, 1, 0]
        assert simulation["reason"].asstr()[:].tolist() == ["", "", "-cell: six numbers are needed", ""]
        assert simulation["command"].asstr()[3] == f"nanoBragg {lines[3]}"
        assert simulation["base_command"].asstr()[()] == "nanoBragg x"
        for name in ("misset", "mosaic", "noise"):
            seeds = [0 if i == 2 else getattr(experiments[i].seeds, name) for i in range(4)]
            assert simulation[f"seed_{name}"][:].tolist() == seeds
        assert np.abs(file["entry/sample/unit_cell"][0] - [70, 80, 90, 80, 95, 100]).max() < 1e-9
        assert np.isnan(file["entry/sample/ub_matrix"][2]).all() and np.isnan(file["entry/sample/unit_cell"][2]).all()


SOURCES = "0 0 -10 3 1.2e-10\n0 1 -10 1 1.0e-10\n0 0 -10 4 1.0e-10\n"


def test_wavelengths(tmp_path):
    """One, one a frame, a spectrum, a spectrum a frame; sources of one wavelength in several directions are one channel."""
    (tmp_path / "sources").write_text(SOURCES)

    def beam(*lines):
        experiments = [experiment(f"{SMALL} {line}") for line in lines]
        with written(tmp_path, experiments[0], [frame_of(x) for x in experiments]) as file:
            place = file["entry/instrument/beam"]
            weights = place.get("incident_wavelength_weights")
            return place["incident_wavelength"][()].tolist(), None if weights is None else weights[()].tolist()

    assert beam("-lambda 1.5", "-lambda 1.5") == (1.5, None)
    assert beam("-lambda 1.5", "-lambda 1.25") == ([1.5, 1.25], None)
    spectrum = f"-sourcefile {tmp_path / 'sources'}"
    wavelengths, weights = beam(spectrum, spectrum)
    assert wavelengths == pytest.approx([1.0, 1.2], rel=1e-12) and weights == pytest.approx([5 / 8, 3 / 8], rel=1e-12)
    wavelengths, weights = beam(spectrum, "-lambda 1.5")
    assert np.array(wavelengths) == pytest.approx(np.array([[1.0, 1.2], [1.5, 1.5]]), rel=1e-12)
    assert np.array(weights) == pytest.approx(np.array([[5 / 8, 3 / 8], [1, 0]]), rel=1e-12)


def test_detector_and_beam(tmp_path):
    x = experiment(f"{SMALL} -polar 0.8 -detector_abs 200 -detector_thick 450 -roi 2 20 0 11 -exposure 0.25 -flux 1e12 -beamsize 0.05")
    mask = np.zeros((16, 24), np.uint32)
    mask[3, 4] = 2
    with written(tmp_path, x, saturation=1000, pixel_mask=mask) as file:
        detector, beam = file["entry/instrument/detector"], file["entry/instrument/beam"]
        numbers = {name: detector[name][()] for name in ("sensor_thickness", "sensor_attenuation_depth", "saturation_value", "count_time")}
        assert numbers == pytest.approx(
            {"sensor_thickness": 450e-6, "sensor_attenuation_depth": 200e-6, "saturation_value": 1000, "count_time": 0.25}, rel=1e-12
        )
        assert np.array_equal(detector["pixel_mask"][:], mask)
        # The E vector is along x: all that is polarized is in Q.
        assert beam["incident_polarization_stokes"][:].tolist() == pytest.approx([1, 0.8, 0, 0], abs=1e-12)
        assert beam["fluence"][()] == pytest.approx(1e12 * 0.25 / 0.05e-3**2, rel=1e-12)
    with written(tmp_path, experiment(f"{SMALL} -nopolar")) as file:
        assert "incident_polarization_stokes" not in file["entry/instrument/beam"]
        assert "pixel_mask" not in file["entry/instrument/detector"]


def test_frames_of_one_master_have_one_setup():
    base = setup_of(experiment(f"{SMALL} -phi 1 -lambda 1.1"))
    assert base == setup_of(experiment(f"{SMALL} -phi 2 -osc 1 -lambda 1.3 -N 7 -misset 1 2 3 -seed 4"))
    for word in ("-distance 91", "-Xbeam 2", "-twotheta 1", "-roi 1 20 0 11", "-detector_abs 200 -detector_thick 450", "-polar 0.5"):
        assert base != setup_of(experiment(f"{SMALL} {word}"))
    with pytest.raises(InputError, match="-curved_det"):
        setup_of(experiment(f"{SMALL} -curved_det"))


def test_the_same_bytes_whenever_it_is_written(tmp_path):
    x = experiment(f"{SMALL} -seed 3 -misset random")
    for name in ("a.h5", "b.h5"):
        write_master(tmp_path / name, setup_of(x), [frame_of(x, "nanoBragg")] * 9, [DataFile("x.h5", 4), DataFile("y.h5", 5)], "u4")
        time.sleep(1.1)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_what_does_not_agree_is_refused(tmp_path):
    x = experiment(SMALL)
    setup = setup_of(x)
    assert isinstance(setup, Setup)
    with pytest.raises(InputError, match="3 frames, but the data files hold 2"):
        write_master(tmp_path / "m.h5", setup, [frame_of(x)] * 3, [DataFile("x.h5", 2)], "f4")
    with pytest.raises(InputError, match="0 frames, but the data files hold 0"):
        write_master(tmp_path / "m.h5", setup, [], [], "f4")
    with pytest.raises(InputError, match=r"a pixel mask of shape \(3, 4\), where a frame has \(16, 24\)"):
        write_master(tmp_path / "m.h5", setup, [frame_of(x)], [DataFile("x.h5", 1)], "f4", pixel_mask=np.zeros((3, 4), np.uint32))
    assert os.listdir(tmp_path) == []


def test_the_virtual_frames(tmp_path):
    run = write_run(tmp_path, [f"{SMALL} -phi {i} -osc 1 -oversample 1" for i in range(5)], per_file=2)
    with h5py.File(run.master) as file:
        assert file["entry/data"].attrs["signal"] == "frames"
        assert np.array_equal(file["entry/data/frames"][:], np.stack(run.images))
        assert np.array_equal(file["entry/data/data_000003"][0], run.images[4])
    run.files[1].rename(tmp_path / "elsewhere.h5")
    with h5py.File(run.master) as file:
        there = ~np.isnan(file["entry/data/frames"][:]).all(axis=(1, 2))
        assert there.tolist() == [True, True, False, False, True]
    # Moved together, they still belong together.
    os.rename(tmp_path / "elsewhere.h5", run.files[1])
    os.makedirs(tmp_path / "moved")
    for path in (run.master, *run.files):
        path.rename(tmp_path / "moved" / path.name)
    with h5py.File(tmp_path / "moved" / run.master.name) as file:
        assert np.array_equal(file["entry/data/frames"][:], np.stack(run.images))


def test_numbers_of_any_run_are_plain(tmp_path):
    """Text is of fixed length and scalars are scalars: some readers refuse arrays of one."""
    x = experiment(SMALL)
    wrong = {}
    with written(tmp_path, x) as file:
        file.visititems(lambda name, item: wrong.update({name: str(item.dtype)}) if getattr(item, "shape", ()) == (1,) else None)
        dtypes = {}
        file.visititems(lambda name, item: dtypes.update({name: item.dtype.kind}) if isinstance(item, h5py.Dataset) else None)
    per_frame = {"entry/sample/transformations/phi", "entry/sample/transformations/phi_end"}
    assert {name for name in wrong if "simulation" not in name} == per_frame, json.dumps(wrong)
    assert {name for name, kind in dtypes.items() if kind == "O"} == {
        f"entry/simulation/{n}" for n in ("base_command", "command", "reason")
    }


def test_frames_of_panels_one_below_the_other(tmp_path):
    """Four modules in one frame: each is where its own vectors say, and the frame holds them all."""
    from dataclasses import replace

    x = experiment(f"{SMALL} {TURNED}")
    whole = setup_of(x)
    (module,) = whole.modules
    parts = tuple(
        replace(module, name=f"panel{i}", origin=(4 * i, 0), size=(4, 24), corner=tuple(module.position(4 * i, 0).tolist()))
        for i in range(4)
    )
    setup = replace(whole, modules=parts)
    assert setup.shape == whole.shape
    image = np.arange(16 * 24, dtype="u4").reshape(16, 24)
    write_frames(tmp_path / "p.h5", (1, 16, 24), "u4", [encode(image)])
    write_master(tmp_path / "p_master.h5", setup, [frame_of(x)], [DataFile("p.h5", 1)], "u4")
    write_master(tmp_path / "w_master.h5", whole, [frame_of(x)], [DataFile("p.h5", 1)], "u4")
    with h5py.File(tmp_path / "p_master.h5") as panels, h5py.File(tmp_path / "w_master.h5") as plane:
        pieces = np.concatenate([positions(panels, f"panel{i}") for i in range(4)])
        assert np.abs(pieces - positions(plane, "module")).max() < 1e-9
        centres = [panels["entry/instrument/detector"][f"beam_center_{axis}"][()] for axis in "xy"]
        assert centres == pytest.approx([plane["entry/instrument/detector"][f"beam_center_{axis}"][()] for axis in "xy"], abs=1e-9)


def test_every_field_has_its_row_in_the_documents(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "files.md").read_text()
    rows = [line for line in text[text.index("### Fields") :].splitlines() if line.startswith("| `")]
    words = {word for row in rows for word in re.findall(r"[\w/]+", row.split("|")[1])}
    known = {part for word in words for part in word.split("/")}
    (tmp_path / "sources").write_text(SOURCES)
    x = experiment(f"{SMALL} -detector_abs 200 -detector_thick 450 -roi 1 20 0 11 -sourcefile {tmp_path / 'sources'}")
    names = set()
    with written(tmp_path, x, pixel_mask=pixel_mask(x), scale=0.5, offset=-40.0) as file:
        file["entry"].visit(names.add)
    write_master(tmp_path / "n.h5", setup_of(x), [frame_of(x)], [DataFile("none.h5", 1)], "u4")
    with h5py.File(tmp_path / "n.h5") as file:
        file["entry"].visit(names.add)
    assert len(names) > 60
    assert {name for name in names if name.split("/")[-1] not in known} == set()
    # And the other way round, but for the second name of the links, and ".".
    written_parts = {part for name in names for part in name.split("/")}
    assert known - written_parts - {"data_000001", "data", ""} == set()
