"""nb-view on NXmx files: frames, and what their recorded command lines tell."""

import os

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure
from nexus_runs import CRYSTAL, write_run

from nanobragg_numba import parameters_from_command_line, spots
from nanobragg_numba.cli import view
from nanobragg_numba.cli.view import main

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
    # The image is there all the same.
    assert main(["run_master.h5", "--out", "a.png"]) == 0
    assert "no rings" in (out := capsys.readouterr().out) and "gone.mat: no such file" in out
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
