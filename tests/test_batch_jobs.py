"""nb-batch: what its rows are, what it leaves, and that every engine and the single command line make the same bytes."""

import csv
import json
import math
import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from batch_runs import BASE, content
from running import nanobragg

from nanobragg_numba.batch import run
from nanobragg_numba.batch.generated_rows import NOISE, Scan, orientation_words, row_seed
from nanobragg_numba.cli.jobs import main
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import derive_experiment

TABLE = """misset,lambda,-N,nopolar,mosaic_seed
10 20 30,,,,
,1.1,,,
random,,,1,
random,,4,0,77
"""


def manifest(folder):
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_forty_jobs_are_the_same_however_they_are_computed(tmp_path, monkeypatch, capfdbinary):
    monkeypatch.chdir(tmp_path)
    rows = [{"misset": [float(n), 20, 0.5 * n], "lambda": 1 + 0.01 * n, "N": 4 + n % 3} for n in range(39)] + [{"misset": "random"}]
    words = {"base": BASE, "seed": 5, "format": "smv", "compat": "c"}
    run(rows, out="inline", engine="inline", **words)
    wanted = content(tmp_path / "inline")
    images = {name: text for name, text in wanted.items() if name.startswith("image_")}
    assert len(images) == 40 and len(set(images.values())) == 40
    run(rows, out="processes", engine="processes", workers=2, **words)
    assert content(tmp_path / "processes") == wanted
    with ThreadPoolExecutor(2) as executor:
        # Of the interface of mpi4py.futures.MPIPoolExecutor.
        run(rows, out="executor", engine=executor, **words)
    assert content(tmp_path / "executor") == wanted

    for row in manifest(tmp_path / "inline"):
        line = nanobragg(shlex.split(row["command"])[1:], tmp_path / "single", capfdbinary)
        assert line.status == 0 and line.files()["noiseimage.img"] == images[row["file"]], row["command"]

    run(rows, out="floats", engine="inline", **{**words, "format": "float"})
    for row in manifest(tmp_path / "floats")[::13]:
        line = nanobragg(shlex.split(row["command"])[1:], tmp_path / "single", capfdbinary)
        assert line.files()["floatimage.bin"] == (tmp_path / "floats" / row["file"]).read_bytes()
        image = np.frombuffer(line.files()["floatimage.bin"], "<f4")
        assert float(row["brightest"]) == image.max() and math.isclose(float(row["photons"]), image.sum(dtype="f8"), rel_tol=1e-12)

    run(rows, out="ints", engine="inline", **{**words, "base": BASE + " -nonoise"})
    for row in manifest(tmp_path / "ints")[::13]:
        line = nanobragg(shlex.split(row["command"])[1:], tmp_path / "single", capfdbinary)
        assert line.files()["intimage.img"] == (tmp_path / "ints" / row["file"]).read_bytes()


def test_dask_makes_the_same(tmp_path):
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("h5py")
    words = {"orientations": 40, "base": BASE, "seed": 6, "images_per_file": 15}
    run(out=tmp_path / "inline", engine="inline", **words)
    wanted = content(tmp_path / "inline")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        result = run(out=tmp_path / "scheduler", engine="dask", scheduler=cluster.scheduler_address, **words)
    assert result.computed == 40 and content(tmp_path / "scheduler") == wanted
    run(out=tmp_path / "local", engine="dask", workers=2, **words)
    assert content(tmp_path / "local") == wanted


SIMULATED = f"""
import sys
from nanobragg_numba.batch import run
for device in ("cpu", "cuda"):
    rows = [{{"misset": [n, 0, 0], "detpixels": 6 + n // 2}} for n in range(3)] + [{{"lambda": -1}}]
    run(rows, out=device, base={BASE!r} + f" -device {{device}}", seed=1, format="smv", engine="inline")
"""


def test_a_gpu_makes_the_same(tmp_path):
    """On numba's simulated GPU; a row that fails, and one of another shape, leave the launch to the others."""
    done = subprocess.run(
        [sys.executable, "-c", SIMULATED], cwd=tmp_path, env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    images = {device: [path.read_bytes() for path in sorted((tmp_path / device).glob("*.img"))] for device in ("cpu", "cuda")}
    assert len(images["cpu"]) == 3 and images["cpu"] == images["cuda"]


def test_slurm_is_asked_for_jobs(tmp_path, monkeypatch, capfd):
    """A stand-in for sbatch runs the job's script on this machine."""
    pytest.importorskip("dask_jobqueue")
    for name, text in (
        ("sbatch", f'cp "$1" {tmp_path}/$$.sh\nsetsid sh {tmp_path}/$$.sh > {tmp_path}/$$.log 2>&1 &\necho job $!'),
        ("scancel", "kill -- -$1"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    words = ["--orientations", "6", "--seed", "1", "--base", BASE, "--format", "smv"]
    slurm = ["--engine", "dask", "--slurm", "1", "--slurm-options", "cores=1 memory=1GB walltime=00:07:00 queue=short interface=lo"]
    assert main([*words, *slurm, "--out", str(tmp_path / "slurm")]) == 0
    (script,) = tmp_path.glob("*.sh")
    assert "#SBATCH -p short" in script.read_text() and "#SBATCH -t 00:07:00" in script.read_text()
    assert main([*words, "--engine", "inline", "--out", str(tmp_path / "inline")]) == 0
    assert content(tmp_path / "slurm") == content(tmp_path / "inline")
    assert main([*words, *slurm[:4], "--slurm-options", "core=1", "--out", str(tmp_path / "bad")]) == 2
    assert "--slurm: dask-jobqueue refuses" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_every_kind_is_the_same_rows(kind, tmp_path):
    rows = list(csv.DictReader(TABLE.splitlines()))
    path = tmp_path / f"jobs.{kind}"
    if kind == "csv":
        path.write_text("# jobs\n" + TABLE)
    elif kind == "jsonl":
        records = [{name: value for name, value in row.items() if value} for row in rows]
        records[0]["misset"] = [10, 20, 30]
        records[3]["-N"], records[2]["nopolar"], records[1]["lambda"] = 4, True, 1.1
        path.write_text("\n".join(map(json.dumps, records)))
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {name: [row[name] or None for row in rows] for name in rows[0]}
        columns["misset"] = [["10", "20", "30"], None, ["random"], ["random"]]
        columns["lambda"] = [None, 1.1, None, None]
        parquet.write_table(pyarrow.table(columns), path)
    run(path, out=tmp_path / "run", base=BASE, seed=3, format="float", engine="inline", compat="spec")
    commands = [row["command"] for row in manifest(tmp_path / "run")]
    ends = [command.split(" -fluence 1e24")[1].split() for command in commands]
    assert ends[0] == "-misset 10 20 30".split() and ends[1] == "-lambda 1.1".split()
    assert ends[2][:3] == "-misset random -nopolar".split() or ends[2][:3] == "-nopolar -misset random".split()
    assert {"-N", "4", "-mosaic_seed", "77", "-misset", "random"} <= set(ends[3]) and "-nopolar" not in ends[3]
    assert all(end[-2] == "-misset_seed" for end in ends[2:]) and ends[2][-1] != ends[3][-1]


def test_seeds_depend_on_the_row_and_the_seed_alone(tmp_path):
    run(out=tmp_path / "a", orientations=6, seed=3, base=BASE, format="smv", engine="inline")
    run(out=tmp_path / "b", orientations=4, seed=3, base=BASE, format="smv", engine="inline")
    a, b = manifest(tmp_path / "a"), manifest(tmp_path / "b")
    assert [row["command"] for row in a[:4]] == [row["command"] for row in b]
    assert len({row["noise_seed"] for row in a}) == 6
    run(out=tmp_path / "c", orientations=2, seed=3, base=BASE + " -seed 9", format="smv", engine="inline")
    assert [row["noise_seed"] for row in manifest(tmp_path / "c")] == ["9", "9"]
    assert len({row_seed(seed, row, NOISE) for seed in range(30) for row in range(30)}) == 900


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
def test_orientations_are_uniform_and_read_back_in_every_mode(compat):
    """A uniform rotation takes any vector to a uniform point of the sphere, and turns by t with density (1 - cos t) / pi."""
    start = derive_experiment(read_command_line(BASE.split(), compat).parameters, compat).lattice
    axes = np.array([start.a, start.b, start.c]).T
    turns, count = [], 400
    for row in range(count):
        line = read_command_line([*BASE.split(), *orientation_words(8, row)], compat)
        lattice = derive_experiment(line.parameters, compat).lattice
        turns.append(np.array([lattice.a, lattice.b, lattice.c]).T @ np.linalg.inv(axes))
    rotations = np.array(turns)
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-6)
    # Kolmogorov-Smirnov: beyond 1.95 / sqrt(n) once in a thousand times.
    limit = 1.95 / math.sqrt(count)
    for uniform in (*((rotations[:, i, j] + 1) / 2 for i in range(3) for j in range(3)), _turned_by(rotations)):
        below = np.sort(uniform)
        steps = np.arange(count + 1) / count
        assert max(np.abs(below - steps[1:]).max(), np.abs(below - steps[:-1]).max()) < limit


def _turned_by(rotations):
    """What the angle's distribution function makes of each rotation: uniform from 0 to 1."""
    angles = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1))
    return (angles - np.sin(angles)) / math.pi


def test_a_scan_is_exact():
    scan = Scan("phi=0:180:0.1")
    assert scan.count == 1800 and scan.words(1799) == ["-phi", "179.9", "-osc", "0.1"] and scan.words(3) == ["-phi", "0.3", "-osc", "0.1"]
    assert Scan("phi=10:-10:-5").words(3) == ["-phi", "-5", "-osc", "-5"]
    for text in ("phi=0:1", "omega=0:1:0.1", "phi=0:1:0", "phi=0:1:0.3", "phi=1:0:0.1", "phi=a:b:c", "phi=0:nan:1", ""):
        with pytest.raises(InputError, match="--scan"):
            Scan(text)


BAD = (
    ("misst\n1 2 3\n", "column 'misst': no option of that name (the nearest is -misset)"),
    ("misset,-misset\n1 2 3,\n", "two columns mean"),
    ("compat\nspec\n", "belongs to --base"),
    ("floatfile\na.bin\n", "names its files itself"),
    ("nonoise\n1\n", "cannot be given in a row"),
    ("misset,lambda\n1 2 3\n", "line 2: 1 cells"),
    ("misset\n", "no rows"),
)


@pytest.mark.parametrize(("text", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_tables_are_refused(text, says, tmp_path, capfd):
    (tmp_path / "jobs.csv").write_text(text)
    assert main([str(tmp_path / "jobs.csv"), "--base", BASE, "--out", str(tmp_path / "run"), "--format", "smv"]) == 2
    assert says in capfd.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--orientations", "3", "--base", BASE + " -floatfile x"], "names its files itself"),
        (["--orientations", "3", "--base", BASE + " -batch x"], "nothing that a run"),
        (["--orientations", "3", "--base", BASE + " -unknown"], "unknown option -unknown"),
        (["--orientations", "3", "--base", "-mat missing.mat -default_F 1"], "missing.mat: no such file"),
        (["--orientations", "3", "--base", "-default_F 1"], "no crystal"),
        (["--orientations", "3", "--base", BASE + " -device cuda:77"], "-device cuda:77"),
        (["--orientations", "0", "--base", BASE], "--orientations"),
        (["--orientations", "3", "--scan", "phi=0:1:1", "--base", BASE], "one of these"),
        (["--base", BASE], "one of these"),
        (["--orientations", "3", "--base", BASE, "--format", "tiff"], "--format must be"),
        (["--orientations", "30", "--base", BASE, "--name", "a_#.img"], "need 2 digits"),
        (["--orientations", "3", "--base", BASE, "--engine", "threads"], "--engine must be"),
        (["--orientations", "3", "--base", BASE, "--scheduler", "tcp://nowhere:1"], "--engine dask"),
        (["--orientations", "3", "--base", BASE + " -nonoise", "--format", "cbf"], "whole numbers"),
        (["--orientations", "three"], "invalid int"),
        (["nothing.csv", "--base", BASE], "no such file"),
    ],
)
def test_bad_words_are_refused(words, says, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    form = [] if "--format" in words else ["--format", "smv"]
    assert main([*words, *form, "--out", "run"]) == 2
    assert says in capfd.readouterr().err and not (tmp_path / "run").exists()


def test_a_bad_row_and_one_too_large_are_recorded_and_stop_no_other(tmp_path, capfd):
    table = tmp_path / "jobs.csv"
    table.write_text("misset,detpixels,distance\n1 2 3,,\n4 5,,\n,99999999,\n,40000,\n,,-5\n7 8 9,,\n")
    out = tmp_path / "run"
    words = [str(table), "--base", BASE, "--format", "smv", "--seed", "1", "--engine", "inline", "--out", str(out)]
    # 40000 x 40000 pixels take 19 GB, and the parent is told of less.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nanobragg_numba.experiment.memory.available_bytes", lambda: 2**33)
        assert main(words) == 1
    said = capfd.readouterr().err
    assert "row 2 failed: column 'misset': -misset needs" in said and "row 4 failed: an image of 40000x40000 pixels needs" in said
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert (
        [one["row"] for one in failures] == [2, 3, 4, 5] and "too large" in failures[1]["reason"] and "-distance" in failures[3]["reason"]
    )
    assert [row["status"] for row in manifest(out)] == ["done", *["failed"] * 4, "done"]
    assert json.loads((out / "summary.json").read_text())["failed"] == 4
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("image_*")}
    assert set(done) == {"image_00001.img", "image_00006.img"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nanobragg_numba.experiment.memory.available_bytes", lambda: 2**33)
        assert main([*words, "--resume"]) == 1
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("image_*")} == done


def test_a_run_is_not_mixed_with_another(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.csv").write_text("misset,lambda\n1 2 3,1\n4 5 6,1.1\n")
    (tmp_path / "a.mat").write_text("0.01 0 0\n0 0.01 0\n0 0 0.01\n")
    base = "-mat a.mat " + BASE.split("90 90 90 90 ")[0].replace("-cell 70 80 ", "") + BASE.split("90 90 90 90 ")[1]

    def words(table="jobs.csv", base=base, seed="1", form="smv", more=()):
        return [table, "--base", base, "--format", form, "--seed", seed, "--engine", "inline", "--out", "run", *more]

    assert main(words()) == 0
    assert main(words()) == 2 and "--resume goes on with it" in capfd.readouterr().err
    resume = ["--resume"]
    assert main(words(more=resume)) == 0 and "0 computed" in capfd.readouterr().err
    for changed, says in (
        (words(base=base + " -water 1", more=resume), "the base command"),
        (words(seed="2", more=resume), "the seed"),
        (words(form="float", more=resume), "the format"),
        (words(base=base + " -compat spec", more=resume), "options"),
    ):
        assert main(changed) == 2
        assert says in capfd.readouterr().err
    (tmp_path / "jobs.csv").write_text("misset,lambda\n1 2 3,1\n4 5 6,1.2\n")
    assert main(words(more=resume)) == 2
    assert "row 2, column 'lambda': '1.1' then, '1.2' now" in capfd.readouterr().err
    (tmp_path / "jobs.csv").write_text("misset,lambda\n1 2 3,1\n4 5 6,1.1\n7 8 9,1\n")
    assert main(words(more=resume)) == 2
    assert "2 rows then, 3 now" in capfd.readouterr().err
    (tmp_path / "jobs.csv").write_text("misset,lambda\n1 2 3,1\n4 5 6,1.1\n")
    (tmp_path / "a.mat").write_text("0.011 0 0\n0 0.01 0\n0 0 0.01\n")
    assert main(words(more=resume)) == 2
    assert "a.mat has changed" in capfd.readouterr().err


def test_frames_of_failed_rows_have_no_data_and_can_be_tried_again(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    rows = [{"misset": f"{n} 0 0"} for n in range(5)]
    words = {"base": BASE, "seed": 2, "images_per_file": 3, "engine": "inline", "compat": "c"}
    run(rows, out=tmp_path / "whole", **words)
    from nanobragg_numba.batch import worker

    derive = worker.derive_row

    def failing(read, base):
        if read.line.parameters.crystal.misset_deg == (4.0, 0.0, 0.0):
            raise MemoryError
        return derive(read, base)

    monkeypatch.setattr(worker, "derive_row", failing)
    result = run(rows, out=tmp_path / "run", **words)
    assert result.failures == ((5, "not enough memory for this image"),)
    with h5py.File(tmp_path / "run" / "run_data_000002.h5") as file:
        frames = file["/entry/data/data"]
        assert frames.dtype == np.uint32 and (frames[1] == 2**32 - 1).all() and frames[0].sum() > 0
    monkeypatch.undo()
    result = run(rows, out=tmp_path / "run", resume=True, **words)
    assert result.computed == 1 and not result.failures
    assert content(tmp_path / "run") == content(tmp_path / "whole")


def test_counts_are_the_engines_photons(tmp_path, capfdbinary):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("hdf5plugin")
    run(out=tmp_path / "run", orientations=3, seed=2, base=BASE, engine="inline", compat="c", preview=tmp_path / "sheet.png")
    with h5py.File(tmp_path / "run" / "run_data_000001.h5") as file:
        counts = file["/entry/data/data"][:]
    for row, frame in zip(manifest(tmp_path / "run"), counts, strict=True):
        line = nanobragg(shlex.split(row["command"])[1:], tmp_path / "single", capfdbinary)
        pixels = np.frombuffer(line.files()["noiseimage.img"][512:], "<u2").reshape(24, 24)
        assert (frame == pixels.astype(np.int64) - 40).all() and float(row["photons"]) == frame.sum()
    from PIL import Image

    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.min() < 64 and sheet.max() == 255


def test_cbf_files_of_a_scan(tmp_path):
    fabio = pytest.importorskip("fabio")
    words = {"scan": "phi=10:10.3:0.1", "seed": 2, "base": BASE + " -phisteps 2", "engine": "inline", "compat": "c"}
    run(out=tmp_path / "cbf", format="cbf", name="xtal1_####", **words)
    run(out=tmp_path / "smv", format="smv", **words)
    for row in range(3):
        image = fabio.open(tmp_path / "cbf" / f"xtal1_000{row + 1}.cbf")
        counts = np.frombuffer((tmp_path / "smv" / f"image_0000{row + 1}.img").read_bytes()[512:], "<u2").reshape(24, 24)
        assert (image.data == counts.astype(int) - 40).all()
        header = image.header["_array_data.header_contents"]
        assert f"Start_angle {10 + row / 10:.1f} deg." in header and "Angle_increment 0.1 deg." in header
        assert f"Count_cutoff {2**31 - 3} counts" in header


def test_help_does_not_load_numba():
    code = "import sys\nfrom nanobragg_numba.cli.jobs import main\n"
    code += "try:\n main(['--help'])\nexcept SystemExit:\n assert 'numba' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True).returncode == 0
