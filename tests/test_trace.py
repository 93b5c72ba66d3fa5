"""nb-trace: the reference's recorded trace, the image's value in every setting, and what the command refuses."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import GOLDEN

from nanobragg_numba import Background, Beam, Crystal, Detector, InputError, Parameters, Sampling, SourceList, simulate
from nanobragg_numba.cli import trace as command
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.trace import trace_pixel
from nanobragg_numba.experiment.derive import axis_orbit, derive_experiment
from nanobragg_numba.experiment.structure_factors import from_arrays
from nanobragg_numba.maths.vectors3 import unit

RECORDED = json.loads((GOLDEN / "trace" / "supervisor.json").read_text())
PIXEL = ["--pixel", "685", "1039"]
SUPERVISOR = [*PIXEL, "--config", "supervisor"]
SMALL = "-cell 50 60 70 90 90 90 -default_F 10 -N 3 -lambda 1 -distance 50 -detpixels 6 -pixel 2 -nointerpolate -oversample 1"


def read_trace(path):
    """The lines up to the further values, as the recorded trace lists them."""
    lines = []
    for text in path.read_text().splitlines():
        if text.startswith("# further"):
            break
        head, *words = text.split()
        if head == "TRACE_PY:":
            lines.append({"name": words[0], "values": [float(word) for word in words[1:]]})
        elif head == "TRACE_PY_PHI":
            lines.append({key: float(value) for key, value in (word.split("=") for word in words)})
    return lines


def differences(got, want, digits):
    """Names of the lines with a number that is not the same to so many significant digits."""
    assert [line.get("name", line.get("phi_tic")) for line in got] == [line.get("name", line.get("phi_tic")) for line in want]
    wrong = []
    for mine, theirs in zip(got, want, strict=True):
        numbers = [np.ravel(list(line["values"]) if "name" in line else list(line.values())) for line in (mine, theirs)]
        if [f"{x:.{digits - 1}e}" for x in numbers[0]] != [f"{x:.{digits - 1}e}" for x in numbers[1]]:
            wrong.append(mine.get("name", mine.get("phi_tic")))
    return wrong


@pytest.fixture
def traced(tmp_path):
    def run(*words, status=0):
        out = tmp_path / "trace.log"
        assert command.main([*words, "--out", str(out)]) == status
        return out

    return run


def test_every_line_of_the_recorded_trace(traced):
    out = traced(*SUPERVISOR)
    assert differences(read_trace(out), RECORDED["lines"], 13) == []
    assert f"(spixel={RECORDED['pixel']['slow']}, fpixel={RECORDED['pixel']['fast']})" in out.read_text()
    assert len([line for line in RECORDED["lines"] if "phi_tic" in line]) == 10


def test_an_error_of_1e_9_in_the_spindle_axis_shows(traced):
    wrong = differences(read_trace(traced(*SUPERVISOR, "--", "-spindle_axis", "-1", "1e-9", "0")), RECORDED["lines"], 13)
    assert {"rot_b_angstroms", "hkl_frac", 0, 9, "I_before_scaling"} <= set(wrong)
    assert not {"pix0_vector_meters", "scattering_vec_A_inv", "rot_b_star_A_inv", "polar"} & set(wrong)


def test_spec_differs_at_phi_zero_alone(traced):
    def magnitudes(lines):
        # Gratings of h less the nearest whole number: the same up to the sign and to the rounding of pi N h.
        gratings = ("F_latt_a", "F_latt_b", "F_latt_c", "F_latt")
        return [
            {**line, "values": np.abs(line["values"])} if line.get("name") in gratings
            else {key: abs(value) if key in gratings else value for key, value in line.items()}
            for line in lines
        ]  # fmt: skip

    got = read_trace(traced(*SUPERVISOR, "--compat", "spec"))
    wrong = differences(magnitudes(got), magnitudes(RECORDED["lines"]), 10)
    assert set(wrong) == {
        "rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "hkl_frac", "F_latt_a", "F_latt_b", "F_latt_c", "F_latt", 0,
        "I_before_scaling", "I_pixel_final", "floatimage_accumulated",
    }  # fmt: skip


def test_the_shipped_run_is_the_recorded_case():
    (case,) = (case for case in json.loads((GOLDEN / "cases.json").read_text()) if case["name"] == "supervisor_roi")
    words = command.configuration("supervisor")
    matrix = Path(words[words.index("-mat") + 1])
    assert matrix.read_bytes() == (GOLDEN / "inputs" / "supervisor.mat").read_bytes()

    def options(words):
        starts = [i for i, word in enumerate(words) if re.match("-[a-zA-Z]", word)]
        return {words[i]: words[i + 1 : j] for i, j in zip(starts, [*starts[1:], len(words)], strict=True)}

    shipped, recorded = options(words), options(case["args"])
    # The reference reads the position of the first pixel and does not use it (Q11).
    assert recorded.pop("-pix0_vector_mm") == ["-216.336293", "215.205512", "-230.200866"]
    shipped["-mat"] = recorded["-mat"]
    assert shipped == recorded


def test_the_shipped_runs_are_installed():
    parser = configparser.ConfigParser()
    root = Path(__file__).parent.parent
    parser.read(root / "setup.cfg")
    assert parser["options.package_data"]["nanobragg_numba.cli"] == "configs/*"
    assert {path.name for path in (root / "cli" / "configs").iterdir()} == {"supervisor.txt", "supervisor.mat"}


def test_single_precision_is_near(traced):
    out = traced(*SUPERVISOR, "--dtype", "float32")
    assert "single" in out.read_text()
    for mine, theirs in zip(read_trace(out), RECORDED["lines"], strict=True):
        if mine.get("name") in ("hkl_frac", "rot_a_angstroms", "rot_b_angstroms", "rot_c_angstroms", "R_distance_meters"):
            assert np.allclose(mine["values"], theirs["values"], rtol=1e-6)
        if mine.get("name") == "I_pixel_final":
            assert mine["values"][0] == pytest.approx(theirs["values"][0], rel=1e-3)
            assert mine["values"][0] != theirs["values"][0]


def test_the_phi_steps_as_json(traced):
    out = traced(*SUPERVISOR)
    entries = json.loads((out.parent / "per_phi" / "trace_per_phi.json").read_text())["per_phi_entries"]
    steps = [line for line in RECORDED["lines"] if "phi_tic" in line]
    assert len(entries) == len(steps)
    for entry, step in zip(entries, steps, strict=True):
        for key, value in step.items():
            assert entry[key] == pytest.approx(value, rel=1e-13)
        assert {"h", "l", "F_latt_a", "F_latt_c", "ap", "bp", "cp"} <= set(entry)
        product = entry["F_latt_a"] * entry["F_latt_b"] * entry["F_latt_c"]
        assert entry["F_latt"] == pytest.approx(product, rel=1e-14)
    # Step 0 has the axes of step 9, which carried over.
    assert entries[0]["bp"] == entries[9]["bp"] and entries[0]["effective_phi_deg"] == entries[9]["phi_deg"]


TILTED = Parameters(
    Crystal(cell=(40, 50, 60, 80, 95, 100), misset_deg=(10, 20, 30), n_cells=(5, 1, 3), default_F=100, interpolate=False),
    Beam(wavelength_A=1.3),
    Detector(pixels=(6, 5), pixel_size_mm=1.6, distance_mm=60, rotations_deg=(3, -4, 5)),
    Sampling(phi_deg=0.0, osc_deg=1.5, phisteps=3, oversample=1),
)
SOURCES = SourceList(
    np.array([[-10, 0.0, 0.01], [-10, 0.02, 0.0], [-10, -0.03, 0.01]]), np.array([1.0, 3.0, 0.5]), np.array([1.3e-10, 1.28e-10, 1.31e-10])
)
EVERYTHING = Parameters(
    replace(TILTED.crystal, mosaic_spread_deg=0.6, mosaic_domains=2, water_um=7.0),
    replace(TILTED.beam, polarization=0.7, sources=SOURCES),
    replace(TILTED.detector, thickness_um=400, layers=2, attenuation_depth_um=250),
    replace(TILTED.sampling, oversample=2),
)


def _listed():
    hkl = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return from_arrays(hkl, 100 + 10 * np.sin(hkl @ np.array([1.0, 2.0, 3.0])))


def _unsettled_axis():
    axes = np.random.default_rng(2).normal(size=(20000, 3))
    return tuple(next(v for v in axes if len(axis_orbit(unit(unit(tuple(v))))[0]) > 4))


def settings():
    yield "one source", TILTED
    yield "everything", EVERYTHING
    for shape in ("round", "gauss", "tophat"):
        yield shape, replace(EVERYTHING, crystal=replace(EVERYTHING.crystal, shape=shape, fudge=0.01))
    yield "interpolated", replace(EVERYTHING, crystal=replace(EVERYTHING.crystal, structure_factors=_listed(), interpolate=True))
    yield "resolution limit", replace(EVERYTHING, sampling=replace(EVERYTHING.sampling, dmin_A=9.0))
    each = replace(EVERYTHING.sampling, oversample_thick=True, oversample_polar=True, oversample_omega=True)
    yield "every correction each step", replace(EVERYTHING, sampling=each)
    beam = replace(EVERYTHING.beam, polarization_axis=_unsettled_axis())
    detector = replace(EVERYTHING.detector, convention="custom", pivot="beam", beam_center_mm=(4.0, 4.0))
    yield "an axis that never settles", replace(EVERYTHING, beam=beam, detector=detector, sampling=each)
    yield "masked and curved", replace(EVERYTHING, detector=replace(EVERYTHING.detector, mask=np.eye(5, 6), curved=True))


SETTINGS = dict(settings())


@pytest.mark.parametrize("compat", ["c", "spec"])
@pytest.mark.parametrize("name", SETTINGS)
def test_the_trace_ends_with_the_image(name, compat):
    parameters = SETTINGS[name]
    run = simulate(parameters, compat=compat, dtype=np.float64, precision="exact")
    x = run.experiment
    traces = 0
    for slow, fast in ((0, 0), (1, 1), (2, 2), (2, 5), (4, 4), (4, 1)):
        try:
            trace = trace_pixel(x, slow, fast)
        except InputError as error:
            assert ("beyond the resolution" in str(error) and run.image[slow, fast] == 0) or parameters.detector.mask[slow, fast] == 0
            continue
        traces += 1
        assert trace.value == run.image[slow, fast]
        assert all(len(sweep.steps) == 3 * x.mosaic_domains for sweep in trace.sweeps)
        if parameters.sampling.dmin_A == 0:
            detector = parameters.detector
            assert len(trace.sweeps) == len(x.sources.wavelengths) * (detector.layers or 1) * parameters.sampling.oversample**2
    assert traces >= 2


CASES = [case for case in json.loads((GOLDEN / "cases.json").read_text()) if (GOLDEN / "float" / f"{case['name']}.f32.z").exists()]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_trace_ends_with_the_recorded_image(case, tmp_path, monkeypatch):
    for name in case["inputs"]:
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    experiment = derive_experiment(read_command_line(case["args"], "c").parameters, "c")
    recorded = zlib.decompress((GOLDEN / "float" / f"{case['name']}.f32.z").read_bytes())
    image = np.frombuffer(recorded, "<f4").reshape(experiment.geometry.slow_pixels, -1)
    brightest = divmod(int(np.argmax(image)), image.shape[1])
    another = np.random.default_rng(1).choice(np.argwhere(image > 0))
    for slow, fast in (brightest, another):
        assert np.float32(trace_pixel(experiment, int(slow), int(fast)).value) == image[slow, fast]


def test_the_first_sweep_of_a_run_starts_unrotated():
    x = derive_experiment(TILTED, "c")
    first, second = trace_pixel(x, 0, 0), trace_pixel(x, 0, 1)
    assert first.effective_phi[0] == 0.0 and second.effective_phi[0] == second.phi[2]
    assert not np.array_equal(first.sweeps[0].orientations[0], second.sweeps[0].orientations[0])


def test_every_sweep_and_step_is_written(traced):
    more = "-hdivrange 2 -hdivsteps 2 -mosaic 0.5 -mosaic_domains 3 -osc 1 -phisteps 2 -detector_thick 100 -detector_thicksteps 2"
    out = traced("--pixel", "2", "3", "--", *shlex.split(SMALL.replace("-oversample 1", "-oversample 2") + " " + more))
    text = out.read_text()
    assert text.count("TRACE_PY_SWEEP ") == 2 * 4 * 2 and text.count("TRACE_PY_STEP ") == 2 * 4 * 2 * 2 * 3
    assert text.count("TRACE_PY: pixel_pos_meters ") == 2 * 4 * 2 and text.count("TRACE_PY_PHI ") == 2 * 4 * 2 * 2
    assert "layer=1 sub_slow=1 sub_fast=0 source=1 phi_tic=1 mos_tic=2" in text


def test_a_shape_without_gratings_has_null(traced):
    out = traced("--pixel", "2", "3", "--", *shlex.split(SMALL), "-gauss_xtal")
    entry = json.loads((out.parent / "per_phi" / "trace_per_phi.json").read_text(), parse_constant=pytest.fail)["per_phi_entries"][0]
    assert entry["F_latt_b"] is None and entry["F_latt"] > 0.0


def test_options_come_from_a_file(traced, tmp_path):
    file = tmp_path / "run.txt"
    file.write_text(
        "nanoBragg -cell 50 60 70 90 90 90 # the cell\n-default_F 10 -N 3 -lambda 1 \\\n -distance 50 -detpixels 6 -pixel 2\n-oversample 1"
    )
    from_file = traced("--pixel", "2", "3", "--config", str(file)).read_text()
    given = traced("--pixel", "2", "3", "--overwrite", "--", *shlex.split(SMALL)).read_text()
    assert from_file.splitlines()[1:] == given.splitlines()[1:]
    assert "compat spec" in traced("--pixel", "2", "3", "--config", str(file), "--overwrite", "--", "-compat", "spec").read_text()


def test_an_existing_trace_is_kept(traced, capsys):
    words = ["--pixel", "2", "3", "--", *shlex.split(SMALL)]
    out = traced(*words)
    before = out.read_bytes()
    traced("--pixel", "1", "1", "--", *shlex.split(SMALL), status=2)
    assert "exists; --overwrite replaces it" in capsys.readouterr().err and out.read_bytes() == before
    out.unlink()
    traced(*words, status=2)
    assert "per_phi" in capsys.readouterr().err and not out.exists()
    traced("--overwrite", *words)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--pixel", "9", "9", "--", *shlex.split(SMALL)], "--pixel 9 9: the image has 6 slow and 6 fast pixels"),
        (["--pixel", "5", "5", "--", *shlex.split(SMALL), "-roi", "0", "2", "0", "2"], "-roi or -mask leaves it out"),
        (["--pixel", "5", "5", "--", *shlex.split(SMALL), "-dmin", "40"], "beyond the resolution limit"),
        (["--pixel", "x", "5", "--config", "supervisor"], "invalid int value: 'x'"),
        (["--config", "supervisor"], "--pixel"),
        (PIXEL, "say what to simulate"),
        ([*PIXEL, "--config", "supervisr"], "--config supervisr: no such file"),
        ([*SUPERVISOR, "--device", "cuda"], "--device cuda: a trace is made on the CPU only"),
        ([*SUPERVISOR, "--dtype", "float16"], "float16"),
        ([*PIXEL, "--", "-N", "5"], "no crystal"),
        ([*SUPERVISOR, "--", "-mat", "nowhere.mat"], "-mat nowhere.mat"),
        ([*SUPERVISOR, "--", "-batch", "lines.txt"], "-batch"),
        ([*SUPERVISOR, "--", "-strict", "-qwerty"], "unknown option -qwerty"),
    ],
)
def test_bad_input_is_one_sentence(traced, tmp_path, capsys, words, sentence):
    traced(*words, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nb-trace: error: ") and sentence in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(capsys):
    assert command.main([*SUPERVISOR, "--out", "nowhere/trace.log"]) == 2
    assert "--out nowhere/trace.log" in capsys.readouterr().err


def test_a_trace_that_is_not_the_image_is_an_error(traced, tmp_path, capsys, monkeypatch):
    from nanobragg_numba.engine import plain_kernel

    mathematics = plain_kernel.mathematics

    def slightly_wrong(dtype):
        names = mathematics(dtype)
        names.sqrt = lambda x, root=names.sqrt: root(x) * (1.0 + 1e-15)
        return names

    monkeypatch.setattr(plain_kernel, "mathematics", slightly_wrong)
    traced("--pixel", "2", "3", "--", *shlex.split(SMALL), status=1)
    assert "the trace ends with" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_the_command_is_installed(tmp_path):
    import sysconfig

    script = Path(sysconfig.get_path("scripts")) / "nb-trace"
    run = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0 and "--pixel SLOW FAST" in run.stdout and "supervisor" in run.stdout


def test_a_trace_follows_the_spots_beneath_a_background():
    line = "-cell 60 60 60 90 90 90 -default_F 10 -N 3 -lambda 1 -distance 100 -detpixels 64 -pixel 1 -oversample 1"
    bare = read_command_line(line.split(), "spec", only_named=True).parameters
    covered = replace(bare, backgrounds=(Background(np.array([[0.0, 3.0], [0.3, 2.5], [0.6, 2.0], [1.0, 1.0]])),))
    assert simulate(covered).image[20, 20] > 2.0 * simulate(bare).image[20, 20]
    assert trace_pixel(derive_experiment(covered), 20, 20).value == trace_pixel(derive_experiment(bare), 20, 20).value
