"""The geometry of NXmx files read back: our own, and one in the manner of others, worked out with scipy's rotations."""

import re

import h5py
import numpy as np
import pytest
from nexus_runs import experiment, positions
from scipy.spatial.transform import Rotation
from test_nexus_master import PLACES, SMALL, SOURCES, TURNED, written

from nanobragg_numba import InputError
from nanobragg_numba.files.nexus import frame_of, read_geometry, setup_of


@pytest.mark.parametrize("line", PLACES)
def test_ours_come_back(line, tmp_path):
    x = experiment(f"{line} -phi 12 -osc 1")
    setup = setup_of(x)
    with written(tmp_path, x) as file:
        walked = positions(file, "module")
    seen = read_geometry(tmp_path / "m.h5")
    (module,) = seen.modules
    i, j = np.meshgrid(np.arange(16) + 0.5, np.arange(24) + 0.5, indexing="ij")
    assert np.abs(module.position(i, j) - walked).max() < 1e-12
    assert (module.name, module.origin, module.size) == ("module", (0, 0), (16, 24))
    assert module.pixel_size == pytest.approx(setup.modules[0].pixel_size, rel=1e-12)
    assert seen.wavelengths_A == (1.1,) and seen.weights == (1.0,) and seen.wavelength_A == 1.1
    ((name, axis, angle),) = seen.rotations
    assert name == "phi" and angle == pytest.approx(12, rel=1e-12) and axis == pytest.approx(setup.spindle, abs=1e-12)


def test_what_changes_from_frame_to_frame(tmp_path):
    (tmp_path / "sources").write_text(SOURCES)
    experiments = [experiment(f"{SMALL} -phi {7 * i} -osc 1 {beam}") for i, beam in enumerate(("", f"-sourcefile {tmp_path / 'sources'}"))]
    written(tmp_path, experiments[0], [frame_of(x) for x in experiments]).close()
    first, second = (read_geometry(tmp_path / "m.h5", number) for number in (1, 2))
    assert first.wavelength_A == pytest.approx(1.1) and second.wavelength_A == pytest.approx((5 * 1.0 + 3 * 1.2) / 8)
    assert [seen.rotations[0][2] for seen in (first, second)] == pytest.approx([0, 7])
    written(tmp_path, experiments[0], [frame_of(experiments[0]), frame_of(experiment(f"{SMALL} -lambda 1.3"))]).close()
    assert [read_geometry(tmp_path / "m.h5", number).wavelength_A for number in (1, 2)] == pytest.approx([1.1, 1.3])


def foreign(path):
    """A detector on an arm, in millimetres and degrees, with offsets, and names beside their axes."""
    with h5py.File(path, "w") as file:

        def group(name, nexus_class):
            made = file.create_group(name)
            made.attrs["NX_class"] = nexus_class
            return made

        def axis(parent, name, value, kind, vector, depends_on, units, offset=None):
            parent[name] = value
            attributes = {"transformation_type": kind, "vector": vector, "depends_on": depends_on, "units": units}
            parent[name].attrs.update(attributes | ({} if offset is None else {"offset": offset, "offset_units": "um"}))

        group("entry", "NXentry")
        group("entry/instrument", "NXinstrument")
        beam, detector = group("entry/instrument/beam", "NXbeam"), group("entry/instrument/detector", "NXdetector")
        beam["incident_wavelength"] = 0.09
        beam["incident_wavelength"].attrs["units"] = "nm"
        arm = group("entry/instrument/detector/arm", "NXtransformations")
        axis(arm, "two_theta", [10.0, 30.0], "rotation", [0.0, 1.0, 0.0], ".", "degrees")
        axis(arm, "det_z", 150.0, "translation", [0.0, 0.0, 1.0], "two_theta", "mm", [0.0, 2000.0, 0.0])
        module = group("entry/instrument/detector/m0", "NXdetector_module")
        axis(module, "module_offset", 0.0, "translation", [1.0, 0.0, 0.0], "/entry/instrument/detector/arm/det_z", "mm", [40e3, 30e3, 0])
        axis(module, "fast_pixel_direction", 0.075, "translation", [-1.0, 0.0, 0.0], "module_offset", "mm")
        axis(module, "slow_pixel_direction", 0.1, "translation", [0.0, -1.0, 0.0], "module_offset", "mm")
        module["data_origin"], module["data_size"] = [0, 0], [5, 7]
        detector["depends_on"] = "arm/det_z"
        sample = group("entry/sample", "NXsample")
        turns = group("entry/sample/transformations", "NXtransformations")
        axis(turns, "phi", [1.0, 2.0], "rotation", [-1.0, 0.0, 0.0], "chi", "deg")
        axis(turns, "chi", 54.0, "rotation", [0.0, 0.0, 2.0], ".", "deg")
        sample["depends_on"] = "transformations/phi"


def test_one_of_others(tmp_path):
    foreign(tmp_path / "f.h5")
    for number, angle in ((1, 10.0), (2, 30.0)):
        seen = read_geometry(tmp_path / "f.h5", number)
        (module,) = seen.modules
        arm = Rotation.from_euler("y", angle, degrees=True)
        assert module.corner == pytest.approx(arm.apply([0.04, 0.03 + 0.002, 0.15]), abs=1e-15)
        assert module.fast == pytest.approx(arm.apply([-1, 0, 0]), abs=1e-15) and module.slow == pytest.approx([0, -1, 0], abs=1e-15)
        assert module.pixel_size == pytest.approx((1e-4, 7.5e-5)) and module.size == (5, 7)
        assert seen.wavelength_A == pytest.approx(0.9)
        assert seen.rotations == (("phi", (-1.0, 0.0, 0.0), pytest.approx(number)), ("chi", (0.0, 0.0, 1.0), pytest.approx(54.0)))


@pytest.mark.parametrize(("change", "words"), [
    (lambda f: f["entry/instrument/detector/arm/det_z"].attrs.update(units="furlong"), "det_z has the units 'furlong', and needs"),
    (lambda f: f["entry/instrument/detector/arm/det_z"].attrs.update(depends_on="nothing"), "det_z depends on nothing, which is not there"),
    (lambda f: f["entry/instrument/detector/arm/two_theta"].attrs.update(depends_on="det_z"), "have no end"),
    (lambda f: f["entry/instrument/detector/arm/two_theta"].attrs.update(transformation_type="wobble"), "'wobble', and not a translation"),
    (lambda f: f["entry/instrument/detector/arm/two_theta"].attrs.update(vector=[0, 0, 0]), "two_theta has no vector"),
    (lambda f: f["entry/instrument/detector/arm/det_z"].write_direct(np.array(np.nan)), "det_z is nan"),
    (lambda f: f.__delitem__("entry/instrument/detector/m0"), "detector has no NXdetector_module"),
    (lambda f: f.__delitem__("entry/instrument/beam/incident_wavelength"), "beam has no field incident_wavelength"),
    (lambda f: f.__delitem__("entry/sample"), "entry has no NXsample"),
])  # fmt: skip
def test_what_makes_no_sense_is_told(change, words, tmp_path):
    foreign(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        change(file)
    with pytest.raises(InputError, match=f"^-img {re.escape(str(tmp_path / 'f.h5'))}: .*{re.escape(words)}"):
        read_geometry(tmp_path / "f.h5", 1, "-img")


def test_a_frame_that_is_not_there(tmp_path):
    foreign(tmp_path / "f.h5")
    with pytest.raises(InputError, match="two_theta has 2 values, and none for frame 3"):
        read_geometry(tmp_path / "f.h5", 3)
    with pytest.raises(InputError, match="does not exist"):
        read_geometry(tmp_path / "g.h5")


def test_distance_and_beam_centre_of_a_turned_detector(tmp_path):
    x = experiment(f"{SMALL} {TURNED}")
    g = x.geometry
    written(tmp_path, x).close()
    (module,) = read_geometry(tmp_path / "m.h5").modules
    assert abs(module.fast[2]) > 0.05 and module.distance() == pytest.approx(g.distance, rel=1e-12)
    assert module.beam_centre() == pytest.approx((g.sbeam / g.pixel_size, g.fbeam / g.pixel_size), rel=1e-9)
