"""NXmx files of panels: written with a module a panel, read by nxmx, and back."""

import json

import h5py
import numpy as np
import nxmx
import pytest
from test_panels_crystfel import CRYSTAL, HEAD, PANEL, SECOND, sixty_four
from test_panels_dials import experiment_list

from nanobragg_numba import InputError
from nanobragg_numba.cli.nanobragg import main
from nanobragg_numba.panels.crystfel import read_geom
from nanobragg_numba.panels.reading import read_described, read_panels
from nanobragg_numba.panels.simulate import simulate_panels


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """64 panels, one of them masked in part, as a file, and the run."""
    folder = tmp_path_factory.mktemp("nexus")
    text, _ = sixty_four(np.random.default_rng(21))
    (folder / "a.geom").write_text(text + "badx/panel = q1a3\nbadx/min_fs = 12\nbadx/max_fs = 14\nbadx/min_ss = 81\nbadx/max_ss = 83\n")
    detector = read_geom(str(folder / "a.geom")).detector
    run = simulate_panels(CRYSTAL, detector)
    run.save(folder / "a.nxs")
    return run, folder / "a.nxs"


def test_modules_stand_where_another_reader_finds_them(written):
    run, path = written
    with h5py.File(path) as file:
        found = nxmx.NXmx(file).entries[0].instruments[0].detectors[0]
        modules = {module._handle.name.rpartition("/")[2]: module for module in found.modules}
        assert set(modules) == {panel.name for panel in run.detector.panels}
        np.testing.assert_array_equal(file["/entry/data/data"][0], run.image)
        for panel, (slow, _, fast, _) in zip(run.detector.panels, run.detector.boxes, strict=True):
            module = modules[panel.name]
            assert tuple(module.data_origin[-2:]) == (slow, fast) and tuple(module.data_size[-2:]) == panel.shape
            # Millimetres; their chain ends a pixel along fast. Here NeXus's x goes against the E vector, our x, and so y against ours.
            chain = nxmx.get_dependency_chain(module.fast_pixel_direction)
            end = nxmx.get_cumulative_transformation(chain)[0, :3, 3]
            np.testing.assert_allclose(end, panel.position_mm(0, 1) * (-1, -1, 1), atol=1e-9)
            down = nxmx.get_cumulative_transformation(nxmx.get_dependency_chain(module.slow_pixel_direction))[0, :3, 3]
            np.testing.assert_allclose(down, panel.position_mm(1, 0) * (-1, -1, 1), atol=1e-9)


def test_read_back(written):
    run, path = written
    described = read_described(path)
    assert described.wavelength_A == pytest.approx(1.3) and len(described.detector) == 64
    for panel in described.detector.panels:
        old = run.detector.panel(panel.name)
        np.testing.assert_allclose(panel.position_mm([0, 9], [0, 12]), old.position_mm([0, 9], [0, 12]) * (-1, -1, 1), atol=1e-9)
        assert panel.place == old.place and (panel.mask is None) == (old.mask is None)
    np.testing.assert_array_equal(described.detector.panel("q1a3").mask, run.detector.panel("q1a3").mask)
    assert described.detector.axes.beam == (0.0, 0.0, 1.0)
    np.testing.assert_allclose(np.abs(described.detector.axes.polarization_axis), (1.0, 0.0, 0.0), atol=1e-15)


def test_the_command_writes_and_reads_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.expt").write_text(json.dumps(experiment_list(np.random.default_rng(2))))
    line = "-expt models.expt -default_F 100 -N 3 -compat spec -nxmx run.nxs -quiet"
    assert main(line.split()) == 0 and "as NXmx of 8 modules" in capfd.readouterr().out
    with h5py.File("run.nxs") as file:
        np.testing.assert_array_equal(file["/entry/data/data"][0].ravel(), np.fromfile("floatimage.bin", "<f4"))
        assert file["/entry/simulation/base_command"][()].decode().startswith("nanoBragg -default_F 100 -N 3")
    assert len(read_panels("run.nxs")) == 8


def test_chains_of_another_program(tmp_path):
    """A detector that is turned, then pushed along, then a module with an offset: each transformation in the frame of the one before."""
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        entry = group(file, "entry", "NXentry")
        instrument = group(entry, "instrument", "NXinstrument")
        detector = group(instrument, "det", "NXdetector")
        turns = group(detector, "transformations", "NXtransformations")
        axis(turns, "tilt", 30.0, "deg", "rotation", (0, 2, 0), ".", offset=(1, 2, 3), offset_units="mm")
        axis(turns, "push", 0.2, "m", "translation", (0, 0, 1), "tilt")
        module = group(detector, "m", "NXdetector_module")
        module["data_origin"], module["data_size"] = [0, 0], [4, 6]
        axis(
            module,
            "fast_pixel_direction",
            75,
            "um",
            "translation",
            (1, 0, 0),
            "/entry/instrument/det/transformations/push",
            offset=(-7, 5, 0),
        )
        module["fast_pixel_direction"].attrs["offset_units"] = "mm"
        axis(module, "slow_pixel_direction", 0.075, "mm", "translation", (0, -1, 0), "../transformations/push")
    (panel,) = read_panels(tmp_path / "x.nxs").panels
    cosine, sine = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    np.testing.assert_allclose(panel.origin_mm, turn @ [-7, 5, 200] + [1, 2, 3], atol=1e-12)
    np.testing.assert_allclose(panel.fast, turn @ [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(panel.slow, (0, -1, 0), atol=1e-12)
    assert (panel.shape, panel.pixel_size_mm) == ((4, 6), pytest.approx(0.075))


def group(parent, name, nexus_class):
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    return made


def axis(parent, name, value, units, kind, vector, depends_on, **attributes):
    dataset = parent.create_dataset(name, data=value)
    for key, text in {"units": units, "transformation_type": kind, "vector": vector, "depends_on": depends_on, **attributes}.items():
        dataset.attrs[key] = text


MODULE = "/entry/instrument/detector/q0a0"


def remove(name):
    return lambda file: file.pop(name)


def attribute(name, key, value):
    def change(file):
        file[name].attrs[key] = value

    return change


def both_entries(file):
    group(file, "more", "NXentry")


def no_modules(file):
    for module in [name for name in file["/entry/instrument/detector"] if name.startswith("q")]:
        del file[f"/entry/instrument/detector/{module}"]


def small_mask(file):
    del file["/entry/instrument/detector/pixel_mask"]
    file["/entry/instrument/detector/pixel_mask"] = np.zeros((3, 3), np.uint32)


BAD = {
    "holds 2 groups of class NXentry": both_entries,
    "/entry holds 0 groups of class NXinstrument": attribute("/entry/instrument", "NX_class", "NXnote"),
    "holds no NXdetector_module": no_modules,
    f"{MODULE} has no field data_size": remove(f"{MODULE}/data_size"),
    f"{MODULE} has no field data_origin": remove(f"{MODULE}/data_origin"),
    f"{MODULE} has no field slow_pixel_direction": remove(f"{MODULE}/slow_pixel_direction"),
    f"{MODULE}/fast_pixel_direction has no vector": attribute(f"{MODULE}/fast_pixel_direction", "vector", np.zeros(3)),
    f"{MODULE}/fast_pixel_direction has the units 'furlong'": attribute(f"{MODULE}/fast_pixel_direction", "units", "furlong"),
    f"{MODULE}/module_offset@offset must be three finite numbers": attribute(f"{MODULE}/module_offset", "offset", np.full(3, np.nan)),
    "which is not there": attribute(f"{MODULE}/fast_pixel_direction", "depends_on", "/entry/nowhere"),
    "is of the transformation_type 'shear'": attribute(f"{MODULE}/module_offset", "transformation_type", "shear"),
    "_pixel_direction depends on have no end": attribute(f"{MODULE}/module_offset", "depends_on", f"{MODULE}/module_offset"),
    "pixel_mask has shape": small_mask,
}


@pytest.mark.parametrize("said", BAD)
def test_bad_files(written, tmp_path, said):
    (tmp_path / "bad.nxs").write_bytes(written[1].read_bytes())
    with h5py.File(tmp_path / "bad.nxs", "r+") as file:
        BAD[said](file)
    with pytest.raises(InputError, match=r"^read_panels .*bad\.nxs: ") as error:
        read_panels(tmp_path / "bad.nxs")
    assert said in str(error.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.nxs").write_text(HEAD + PANEL + SECOND)
    for name, said in (("text.nxs", "is no HDF5 file"), ("none.nxs", "does not exist")):
        with pytest.raises(InputError, match=said):
            read_panels(tmp_path / name)
