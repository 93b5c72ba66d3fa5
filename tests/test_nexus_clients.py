"""NXmx files as other programs read them: dials' nxmx, fabio, silx, pyFAI; pixels compared where they lie."""

import fabio
import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import nxmx
import pytest
import silx.io
import silx.io.nxdata
from nexus_runs import write_run
from pyFAI.crystallography.cell import Cell
from pyFAI.detectors import Detector as PlaneOfPixels
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from nanobragg_numba import simulate
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.mosaic import uniform_rotation
from nanobragg_numba.experiment.parameters import Beam, Crystal, Detector, Parameters, Sampling
from nanobragg_numba.files.nexus import DataFile, encode, frame_of, setup_of, write_frames, write_master

SMALL = "-detpixels_f 24 -detpixels_s 16 -pixel 0.8 -distance 90 -lambda 1.1 -oversample 1 -roi 2 23 0 15"
TURNED = "-detector_rotx 7 -detector_roty -4 -detector_rotz 12 -twotheta 21"
LINES = [f"{SMALL} {TURNED} -phi {3 + 0.5 * i} -osc 0.5 -phisteps 1" for i in range(5)]


@pytest.fixture(scope="module", params=["float", "counts"])
def run(request, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), LINES, counts=request.param == "counts")


def test_nxmx(run):
    x = run.experiments[0]
    g = x.geometry
    with h5py.File(run.master) as file:
        (entry,) = nxmx.NXmx(file).entries
        (instrument,), (sample,) = entry.instruments, entry.samples
        (detector,), (beam,), (data,) = instrument.detectors, instrument.beams, entry.data
        assert entry.definition == "NXmx" and entry.source.name == instrument.name.replace("nanobragg_numba", "simulation")
        assert beam.incident_wavelength.to("angstrom").magnitude == pytest.approx(1.1, rel=1e-12)
        assert detector.distance.to("mm").magnitude == pytest.approx(g.distance * 1e3, rel=1e-12)
        centre = [detector.beam_center_x.magnitude, detector.beam_center_y.magnitude]
        assert centre == pytest.approx([g.fbeam / g.pixel_size, g.sbeam / g.pixel_size], rel=1e-9)
        assert detector.sensor_material == "Si" and detector.sensor_thickness.magnitude == 0.0
        assert detector.count_time.to("s").magnitude == 1.0
        counts = run.images[0].dtype.kind == "u"
        assert detector.bit_depth_readout == (32 if counts else None)
        assert detector.saturation_value == (2**31 - 3 if counts else None)
        assert np.array_equal(np.array(detector.pixel_mask) != 0, np.arange(24)[None, :].repeat(16, 0) < 2)

        (module,) = detector.modules
        assert module.data_size.tolist() == [16, 24] and module.data_origin.tolist() == [0, 0]
        fast, slow = module.fast_pixel_direction, module.slow_pixel_direction
        names = [step.path.split("/")[-1] for step in nxmx.get_dependency_chain(fast)]
        assert names == ["fast_pixel_direction", "module_offset", "translation"]
        corner = nxmx.get_cumulative_transformation(nxmx.get_dependency_chain(fast.depends_on))[0]
        along = [axis.vector * axis[()].to("mm").magnitude for axis in (slow, fast)]
        i, j = np.arange(16)[:, None, None] + 0.5, np.arange(24)[None, :, None] + 0.5
        theirs = corner[:3, 3] + i * (corner[:3, :3] @ along[0]) + j * (corner[:3, :3] @ along[1])
        ours = np.array(g.pix0) + g.pixel_size * (i * np.array(g.slow) + j * np.array(g.fast))
        # Millimetres. Distances and the part along the beam do not depend on the axes across it.
        assert np.abs(theirs[..., 2] - 1e3 * ours @ np.array(g.beam)).max() < 1e-6
        assert np.abs(np.linalg.norm(theirs, axis=-1) - 1e3 * np.linalg.norm(ours, axis=-1)).max() < 1e-6

        turns = nxmx.get_dependency_chain(sample.depends_on)
        axes = nxmx.get_rotation_axes(turns)
        assert axes.is_scan_axis.tolist() == [True] and axes.names.tolist() == ["phi"]
        assert turns[0][()].to("deg").magnitude.tolist() == [3, 3.5, 4, 4.5, 5]
        assert (turns[0].end[()] - turns[0][()]).to("deg").magnitude.tolist() == [0.5] * 5
        assert np.array_equal(data[data.signal][:], np.stack(run.images))


def test_fabio(run):
    with fabio.open(str(run.master)) as image:
        assert image.nframes == 5
        assert all(np.array_equal(image.getframe(i).data, frame) for i, frame in enumerate(run.images))
    with fabio.open(str(run.files[1])) as image:
        assert image.nframes == 2
        assert all(np.array_equal(image.getframe(i).data, run.images[2 + i]) for i in range(2))


def test_silx(run):
    with silx.io.open(str(run.master)) as file:
        default = silx.io.nxdata.get_default(file)
        assert default.is_valid and default.signal_name == "frames" and default.interpretation == "image"
        assert np.array_equal(default.signal[3], run.images[3])
        assert np.array_equal(file["entry/data/data_000003"][0], run.images[4])
    assert np.array_equal(silx.io.get_data(f"silx:{run.files[0]}?path=/entry/data/data&slice=1"), run.images[1])
    assert np.array_equal(silx.io.get_data(f"fabio:{run.files[0]}?slice=1"), run.images[1])


def integrator(master):
    """pyFAI's, from the geometry in a master file: where the normal through the sample meets the plane, and the beam's direction there."""
    with h5py.File(master) as file:
        detector = file["entry/instrument/detector"]
        module = detector["module"]
        slow, fast = (np.array(module[f"{name}_pixel_direction"].attrs["vector"]) for name in ("slow", "fast"))
        corner = module["module_offset"][()] * np.array(module["module_offset"].attrs["vector"])
        corner = corner + detector["transformations/translation"][()] * np.array([0, 0, 1])
        sizes = [module[f"{name}_pixel_direction"][()] for name in ("slow", "fast")]
        wavelength = 1e-10 * file["entry/instrument/beam/incident_wavelength"][()]
        shape = tuple(module["data_size"][()].tolist())
    normal = np.cross(slow, fast)
    normal *= np.sign(corner @ normal)
    # A point p1 along slow, p2 along fast and L along the normal has t3 = p1 sin(rot2) - p2 cos(rot2) sin(rot1) + L cos(rot2) cos(rot1)
    # along the beam (J. Kieffer et al., J. Synchrotron Rad. 27 (2020) 558, and pyFAI's page on geometry).
    rot1, rot2 = np.arctan2(-fast[2], normal[2]), np.arcsin(slow[2])
    plane = PlaneOfPixels(*sizes, max_shape=shape, orientation=3)
    return AzimuthalIntegrator(
        corner @ normal, -corner @ slow, -corner @ fast, rot1, rot2, 0.0, detector=plane, wavelength=wavelength
    )  # fmt: skip


def integrator_of_smv(path):
    """pyFAI's, from the header of an SMV image: the near point, the near distance, and where the beam meets the plane."""
    with fabio.open(str(path)) as image:
        keys, shape = image.header, image.data.shape
    pixel, near = float(keys["PIXEL_SIZE"]), float(keys["CLOSE_DISTANCE"])
    slow, fast = ((float(keys[f"XDS_ORG{axis}"]) - 0.5) * pixel for axis in "YX")
    beam = np.array([float(keys["DENZO_X_BEAM"]) - slow, float(keys["DENZO_Y_BEAM"]) - fast, near])
    beam /= np.linalg.norm(beam)
    plane = PlaneOfPixels(pixel / 1e3, pixel / 1e3, max_shape=shape, orientation=3)
    lengths = (length / 1e3 for length in (near, slow, fast))
    rot1, rot2 = np.arctan2(-beam[1], beam[2]), np.arcsin(beam[0])
    return AzimuthalIntegrator(*lengths, rot1, rot2, 0.0, detector=plane, wavelength=1e-10 * float(keys["WAVELENGTH"]))


CELL, DISTANCE, PIXEL = 20.0, 80.0, 0.25
DETECTORS = {
    "mosflm": {},
    "xds": {"rotations_deg": (6, -9, 12), "twotheta_deg": 8, "beam_center_mm": (18, 15)},
    "adxv": {"rotations_deg": (-4, 3, 2), "twotheta_deg": 10},
}


def powder(convention):
    """Rings of 3000 crystals, whose lattice is cubic, turned every way; spots wider than a pixel."""
    rng = np.random.default_rng(5)
    turns = np.array([uniform_rotation(*rng.random(3)).reshape(3, 3) for _ in range(3000)])
    crystal = Crystal((CELL,) * 3 + (90,) * 3, n_cells=(14,) * 3, shape="gauss", default_F=10, mosaic_rotations=turns, interpolate=False)
    plane = Detector((160, 140), pixel_size_mm=PIXEL, distance_mm=DISTANCE, convention=convention, **DETECTORS[convention])
    return simulate(Parameters(crystal, Beam(wavelength_A=1.2), plane, Sampling(oversample=1)))


def ring_errors(ai, image):
    """How far the integrator finds each ring from the calibrant's d-spacing, in pixels. The rings stand four or more apart."""
    calibrant = Cell.cubic(CELL).to_calibrant(dmin=7.9)
    calibrant.setWavelength_change2th(ai.wavelength)
    profile = ai.integrate1d(image, 400, unit="2th_deg")
    pixel = np.degrees(PIXEL / DISTANCE)
    errors = []
    for place in np.degrees(calibrant.get_2th()):
        near = np.abs(profile.radial - place) < 2.0 * pixel
        height = profile.intensity[near] - profile.intensity[near].min()
        errors.append((height @ profile.radial[near] / height.sum() - place) / pixel)
    return np.array(errors)


@pytest.mark.parametrize("convention", DETECTORS)
def test_powder_rings_are_at_the_calibrants_spacings(convention, tmp_path):
    run = powder(convention)
    write_frames(tmp_path / "p_000001.h5", (1, *run.image.shape), "f4", [encode(run.image)])
    master = tmp_path / "p_master.h5"
    write_master(master, setup_of(run.experiment), [frame_of(run.experiment)], [DataFile("p_000001.h5", 1)], "f4")
    run.save(tmp_path / "p.img")
    for path, ai in ((master, integrator(master)), (tmp_path / "p.img", integrator_of_smv(tmp_path / "p.img"))):
        with fabio.open(str(path)) as opened:
            image = opened.data
        errors = ring_errors(ai, image)
        assert len(errors) == 6 and np.abs(errors).max() < 0.3
        # A beam two pixels off is seen.
        ai.poni1, ai.poni2 = ai.poni1 + 2e-3 * PIXEL, ai.poni2 + 2e-3 * PIXEL
        assert np.abs(ring_errors(ai, image)).max() > 0.6


@pytest.mark.parametrize("convention", DETECTORS)
def test_scattering_angles_are_pyfais(convention, tmp_path):
    plane = Detector((160, 140), pixel_size_mm=PIXEL, distance_mm=DISTANCE, convention=convention, **DETECTORS[convention])
    x = derive_experiment(Parameters(Crystal(cell=(20,) * 3 + (90,) * 3, default_F=1), Beam(wavelength_A=1.2), plane))
    write_master(tmp_path / "m.h5", setup_of(x), [frame_of(x)], [DataFile("p.h5", 1)], "f4")
    g = x.geometry
    i, j = np.arange(140)[:, None, None] + 0.5, np.arange(160)[None, :, None] + 0.5
    ours = np.array(g.pix0) + g.pixel_size * (i * np.array(g.slow) + j * np.array(g.fast))
    angles = np.arccos(ours @ np.array(g.beam) / np.linalg.norm(ours, axis=-1))
    theirs = integrator(tmp_path / "m.h5").center_array((140, 160), unit="2th_rad")
    # pyFAI works in single precision in places.
    assert np.abs(theirs - angles).max() < 1e-6
