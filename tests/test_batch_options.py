"""nb-batch and the options that the C program does not have, as columns and in the base; what a run shows on the way."""

import csv
import io
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from batch_runs import BASE, content
from running import nanobragg

from nanobragg_numba import poisson_image
from nanobragg_numba.batch import run
from nanobragg_numba.batch.progress import Progress
from nanobragg_numba.cli.jobs import main
from nanobragg_numba.errors import InputError

HELIX = Path(__file__).parent.parent / "examples" / "helix.pdb"
SMALL = "-lambda 1 -distance 100 -detpixels 16 -pixel 1 -N 4 -oversample 1 -fluence 1e24"
CELL = "-cell 16.4 18.6 22.3 90 90 90"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spectrum.txt").write_text("12300 1\n12400 2\n12500 1\n")
    return tmp_path


def commands(run_folder):
    with open(run_folder / "manifest.csv", newline="") as file:
        return [(row["file"], shlex.split(row["command"])[1:]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("where", ["columns", "base"])
def test_options_about_input_files_in_a_table_and_in_the_base(where, folder, capfdbinary):
    """Files are named from where the run is begun, wherever its images are computed; each image is the single command line's."""
    pytest.importorskip("gemmi")
    shutil.copy(HELIX, folder)
    if where == "columns":
        rows = [
            {"hkl": "helix.pdb", "resolution": 4, "solvent": "none", "cell": [16.4, 18.6, 22.3]},
            {"hkl": "helix.pdb", "resolution": 4, "spectrum": "spectrum.txt", "channels": 2, "cell": [16.4, 18.6, 22.3]},
            {"default_F": 100, "cell": [16.4, 18.6, 22.3], "mosaic": 1, "mosaic_domains": 2},
        ]
        words = {"base": SMALL}
    else:
        rows = [{"misset": [10, 20, 30]}, {"misset": [40, 50, 60]}]
        words = {"base": f"{SMALL} {CELL} -hkl helix.pdb -resolution 4 -spectrum spectrum.txt -channels 2"}
    run(rows, out="run", format="float", engine="inline", seed=1, compat="spec", **words)
    images = set()
    for name, line in commands(folder / "run"):
        assert all(Path(line[at + 1]).is_absolute() for at, word in enumerate(line) if word in ("-spectrum", "-hkl"))
        single = nanobragg(line, folder / f"single{len(images)}", capfdbinary)
        images.add(single.files()["floatimage.bin"])
        assert single.files()["floatimage.bin"] == (folder / "run" / name).read_bytes()
    assert len(images) == len(rows)


def test_lists_of_what_the_command_takes_in_one_word(folder):
    rows = [{"N_cross": [3, -1, 0.5], "mosaic_width": [0.1, 0.2, 0.3]}, {"N_cross": "3,-1,0.5", "mosaic_width": "0.1, 0.2, 0.3"}]
    base = f"{SMALL} {CELL} -default_F 100 -gauss_xtal -N 6 -mosaic_domains 6"
    run(rows, out="run", format="float", engine="inline", seed=1, compat="spec", base=base)
    (one, _), (other, line) = commands(folder / "run")
    assert (folder / "run" / one).read_bytes() == (folder / "run" / other).read_bytes()
    assert line[line.index("-N_cross") + 1] == "3,-1,0.5" and line[line.index("-mosaic_width") + 1] == "0.1,0.2,0.3"


def test_a_spectrum_that_has_changed_is_no_run_to_resume(folder, capfd):
    (folder / "jobs.csv").write_text("misset,spectrum\n1 2 3,spectrum.txt\n")
    for rows, base in ((["jobs.csv"], BASE), (["--orientations", "1", "--seed", "1"], f"{BASE} -spectrum spectrum.txt")):
        words = [*rows, "--base", base, "--format", "float", "--engine", "inline", "--out", f"run{len(rows)}"]
        assert main(words) == 0
        (folder / "spectrum.txt").write_text(f"12300 1\n12400 2\n{12500 + len(rows)} 1\n")
        assert main([*words, "--resume"]) == 2
        assert "spectrum.txt has changed since this run began" in capfd.readouterr().err


@pytest.mark.parametrize("word", ["-panels", "-nxmx", "-png", "-batch"])
def test_what_no_run_can_do_is_refused_in_a_sentence(word, folder, capfd):
    (folder / "jobs.csv").write_text(f"{word}\nfile.h5\n")
    end = ["--format", "float", "--out", "run"]
    assert main(["--orientations", "2", "--base", f"{BASE} {word} file.h5", *end]) == 2
    first = capfd.readouterr().err
    assert main(["jobs.csv", "--base", BASE, *end]) == 2
    second = capfd.readouterr().err
    assert first.count("\n") == second.count("\n") == 1 and not (folder / "run").exists()
    assert f"--base: {word} " in first and f"jobs.csv, column '{word}': {word} " in second
    assert first.split(f"{word} ", 1)[1] == second.split(f": {word} ", 1)[1] and "unknown" not in first


def test_a_list_that_has_changed_is_read_again_by_the_next_run(folder):
    """Intensities go with the square of structure factors."""
    images = []
    for factor in (10, 100):
        (folder / "P1.hkl").write_text(
            "".join(f"{h} {k} {l} {factor}\n" for h in range(-9, 10) for k in range(-9, 10) for l in range(-9, 10))
        )
        base = f"{SMALL} {CELL} -hkl P1.hkl"
        run([{"misset": [1, 2, 3]}], out=f"run{factor}", base=base, format="float", engine="inline", seed=1)
        images.append(np.fromfile(f"run{factor}/image_00001.bin", "<f4"))
    assert images[0].max() > 0.0
    np.testing.assert_allclose(images[1], 100.0 * images[0], rtol=1e-6)


def test_a_contact_sheet_of_smv_images_is_of_their_photons(folder):
    for offset in (40, 700):
        run(
            orientations=2, out=f"run{offset}", base=f"{BASE} -adc {offset}", seed=2, format="smv", engine="inline", preview=f"{offset}.png"
        )
    assert (folder / "40.png").read_bytes() == (folder / "700.png").read_bytes()
    with pytest.raises(InputError, match="the picture is written as PNG"):
        run(orientations=2, out="other", base=BASE, format="smv", engine="inline", preview="sheet.jpg")


def test_progress_on_a_terminal_without_tqdm(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("nanobragg_numba.batch.progress.SECONDS_BETWEEN_LINES", -1.0)
    progress = Progress(10, 0, False)
    progress.add(4, 1)
    progress.close()
    assert "5 of 10 images" in sys.stderr.getvalue() and "1 failed" in sys.stderr.getvalue()


def test_brighter_pixels_are_cut_off_at_the_saturation_that_the_file_states(folder):
    """Below, every photon counts: the image is the float32 number of photons of the same draw."""
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    base = BASE.replace("-fluence 1e24", "-fluence 3e35") + " -seed 5"
    run(orientations=1, out="run", base=base, seed=2, engine="inline", compat="spec")
    run(orientations=1, out="floats", base=base, seed=2, engine="inline", compat="spec", format="float")
    photons = poisson_image(np.fromfile(folder / "floats" / "image_00001.bin", "<f4").reshape(24, 24), 5)
    with h5py.File("run/run_master.h5") as master:
        counts = master["entry/data/data_000001"][0]
        assert master["entry/instrument/detector/saturation_value"][()] == 2**31 - 3
    over = photons > 2**31 - 3
    assert 0 < np.count_nonzero(over) < photons.size and (counts[over] == 2**31 - 3).all()
    assert np.array_equal(counts[~over], photons[~over].astype(np.uint32)) and counts.dtype == np.uint32


def test_what_is_gone_from_a_finished_run_is_made_again(folder, capfd):
    pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    words = ["--orientations", "3", "--seed", "4", "--base", BASE, "--engine", "inline", "--images-per-file", "2", "--out", "run"]
    assert main(words) == 0
    whole = content(folder / "run")
    for name in ("run_master.h5", "manifest.csv", "run_data_000002.h5"):
        (folder / "run" / name).unlink()
        assert main([*words, "--resume"]) == 0 and content(folder / "run") == whole, name
    capfd.readouterr()
    # Nothing is left to compute, and the sheet is drawn from what is there.
    assert main([*words, "--resume", "--preview", "late.png"]) == 0 and "0 computed" in capfd.readouterr().err
    assert main([*words[:-1], "other", "--preview", "early.png"]) == 0
    assert (folder / "late.png").read_bytes() == (folder / "early.png").read_bytes()
