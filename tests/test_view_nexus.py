"""nb-view on NXmx files: frames, and what their recorded command lines tell."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from nexus_runs import CRYSTAL, write_run

from nanobragg_numba import parameters_from_command_line, spots
from nanobragg_numba.cli import view
from nanobragg_numba.cli.nanobragg import main as nanobragg
from nanobragg_numba.cli.view import main
from nanobragg_numba.cli.view_geometry import from_line, from_nexus
from nanobragg_numba.prediction.detector_plane import beam_place, resolution_at

LINE = "-lambda 1 -distance 30 -detpixels_x 40 -detpixels_y 30 -pixel 0.5 -oversample 1 -compat spec"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Three frames in two files, of turned crystals; and no display."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    plain = LINE.replace(" -compat spec", "")
    written = write_run(tmp_path, [f"{plain} -phi {10 * at}" for at in range(3)])
    with h5py.File(written.master, "r+") as file:
        commands = [f"nanoBragg {CRYSTAL} {LINE} -phi {10 * at}" for at in range(3)]
        file["/entry/simulation/command"][:] = commands
    return written


def test_a_frame_with_its_own_spots_and_rings(run, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(view, "_png", lambda draw: draw(drawn.append(Figure()) or drawn[-1]) or b"drawn")
    for number in (1, 3):
        words = ["run_master.h5", "--frame", str(number), "--spots", "--levels", "1e-9", "1e9", "--out", "a.png"]
        assert main(words) == 0
        axes = drawn[-1].axes[0]
        assert np.array_equal(axes.images[0].get_array(), np.maximum(run.images[number - 1].astype(float), 1e-9))
        expected = spots(parameters_from_command_line(f"{CRYSTAL} {LINE.replace(' -compat spec', '')} -phi {10 * (number - 1)}"))
        places = expected.centre[((expected.centre >= 0) & (expected.centre <= (30, 40))).all(axis=1)]
        assert len(places) > 20 and np.array_equal(axes.collections[0].get_offsets(), places[:, ::-1])
        assert axes.get_title() == f"run_master.h5, frame {number}, {len(places)} predicted spots"
        assert "the command line" in capsys.readouterr().out
    assert main(["run_000002.h5", "--levels", "1e-9", "1e9", "--out", "a.png"]) == 0
    assert np.array_equal(drawn[-1].axes[0].images[0].get_array(), np.maximum(run.images[2].astype(float), 1e-9))
    assert "no rings: the file says nothing" in capsys.readouterr().out


def test_what_is_refused(run, capsys):
    for words, sentence in (
        (["run_master.h5", "--frame", "4"], "there is no frame 4: they go from 1 to 3"),
        (["run_000002.h5", "--spots"], "run_000002.h5 has no command line recorded"),
    ):
        assert main([*words, "--out", "a.png"]) == 2 and sentence in capsys.readouterr().err
    with h5py.File(run.master, "r+") as file:
        file["/entry/simulation/command"][0] = "nanoBragg -mat gone.mat -default_F 1"
    # The image is there all the same, and what the file says of the detector.
    assert main(["run_master.h5", "--out", "a.png"]) == 0
    assert "the detector in run_master.h5" in capsys.readouterr().out
    assert main(["run_master.h5", "--spots", "--out", "b.png"]) == 2 and "gone.mat" in capsys.readouterr().err
    os.unlink("run_000002.h5")
    assert main(["run_master.h5", "--frame", "1", "--out", "a.png"]) == 0
    capsys.readouterr()
    assert main(["run_master.h5", "--frame", "3", "--out", "b.png"]) == 2
    assert "run_000002.h5: does not exist" in capsys.readouterr().err and not os.path.exists("b.png")
    with open("text.h5", "wb") as file:
        file.write(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert main(["text.h5", "--out", "b.png"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("nb-view: error: text.h5: ") and err.count("\n") == 1


@pytest.mark.parametrize("line", ["-Xbeam 4 -Ybeam 9", "-xds -detector_rotx 7 -detector_roty -5 -twotheta 12 -ORGX 31 -ORGY 8", "-adxv"])
def test_rings_from_the_file_s_own_detector(line, tmp_path, monkeypatch, capsys):
    """A file without a command line: resolution at every pixel as from the line that made it, the beam's place too."""
    monkeypatch.chdir(tmp_path)
    words = f"{LINE} {line}"
    write_run(tmp_path, [f"{LINE.replace(' -compat spec', '')} {line}"])
    with h5py.File("run_master.h5", "r+") as file:
        del file["/entry/simulation"]
    found, asked = from_nexus("run_master.h5", 1, ""), from_line(f"{CRYSTAL} {words}", "--line")
    place = np.meshgrid(np.arange(30) + 0.5, np.arange(40) + 0.5, indexing="ij")
    seen, wanted = (1.0 / resolution_at(setting.geometry, 1.0, *place) for setting in (found, asked))
    assert np.allclose(seen, wanted, rtol=1e-9, atol=1e-12)
    assert np.allclose(beam_place(found.geometry), beam_place(asked.geometry), rtol=1e-9)
    assert main(["run_master.h5", "--out", "a.png"]) == 0
    assert "the detector in run_master.h5" in (said := capsys.readouterr().out) and "1 A" in said


def test_modules_of_one_plane_and_of_more(run, capsys):
    """Two modules that stand side by side as in the image are one plane; moved by a pixel they are two, and there are no rings."""
    with h5py.File(run.master, "r+") as file:
        del file["/entry/simulation"]
        detector = file["/entry/instrument/detector"]
        module = detector["module"]
        file.copy(module, detector, "right")
        for name, width, start in (("module", 25, 0), ("right", 15, 25)):
            del detector[name]["data_size"], detector[name]["data_origin"]
            detector[name]["data_size"], detector[name]["data_origin"] = [30, width], [0, start]
        right = detector["right"]
        for key in ("fast_pixel_direction", "slow_pixel_direction"):
            right[key].attrs["depends_on"] = right.name + "/module_offset"
        fast = np.array(right["fast_pixel_direction"].attrs["vector"])
        at = right["module_offset"][()] * np.array(right["module_offset"].attrs["vector"]) + 25 * 0.5e-3 * fast
        right["module_offset"][()] = np.linalg.norm(at)
        right["module_offset"].attrs["vector"] = at / np.linalg.norm(at)
    assert main(["run_master.h5", "--out", "a.png"]) == 0
    assert "beam at fast 21.00, slow 16.00, 30 mm" in capsys.readouterr().out
    with h5py.File(run.master, "r+") as file:
        file["/entry/instrument/detector/right/module_offset"][()] *= 1.1
    assert main(["run_master.h5", "--out", "a.png"]) == 0
    assert "its 2 modules do not stand in one plane" in capsys.readouterr().out
    assert main(["run_master.h5", "--rings", "2", "--out", "b.png"]) == 2 and "2 modules" in capsys.readouterr().err


def test_an_image_of_panels_is_shown(tmp_path, monkeypatch, capsys):
    """Its command line speaks of a detector of its own, and not of the default one."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(__file__).parent.parent / "examples" / "four_panels.geom", tmp_path)
    assert nanobragg("-panels four_panels.geom -cell 50 60 70 90 90 90 -default_F 10 -N 3 -compat spec -nxmx run.nxs -quiet".split()) == 0
    capsys.readouterr()
    assert main(["run.nxs", "--out", "a.png"]) == 0
    assert "4 modules do not stand in one plane" in capsys.readouterr().out


def test_rings_of_a_spectrum_are_at_its_mean_wavelength(tmp_path):
    (tmp_path / "spectrum.txt").write_text("1.2 1\n1.4 3\n")
    (tmp_path / "sources").write_text("-1 0 0 2 1.5e-10\n-1 0 0 6 1.9e-10\n")
    for option, wanted in ((f"-spectrum {tmp_path / 'spectrum.txt'}", 1.35), (f"-sourcefile {tmp_path / 'sources'}", 1.8), ("", 1.0)):
        assert from_line(f"{CRYSTAL} {LINE} {option}", "--line").wavelength_A == pytest.approx(wanted, rel=1e-9)
