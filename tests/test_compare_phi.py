"""nb-compare-phi: pairing by angle, divergence, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nanobragg_numba.cli.compare_phi import main

SCRIPT = Path(__file__).parent.parent / "scripts" / "compare_per_phi_traces.py"
# A made-up sweep: phi (degrees), k, F_latt_b, F_latt.
STEPS = ((0.0, -0.61, 1.05, -2.4), (0.05, -0.6, 0.5, 1500.0), (0.1, -0.59, -0.65, 1.1))


def entries(steps=STEPS):
    return [
        {"phi_tic": tic, "phi_deg": phi, "k_frac": k, "F_latt_b": b, "F_latt": f, "h": -6.9, "l": -13.8}
        for tic, (phi, k, b, f) in enumerate(steps)
    ]


def log_text(steps=STEPS, mark="TRACE_C_PHI"):
    lines = [
        f"{mark} phi_tic={t} phi_deg={p:.15g} k_frac={k:.15g} F_latt_b={b:.15g} F_latt={f:.15g}" for t, (p, k, b, f) in enumerate(steps)
    ]
    return "TRACE_C: hkl_frac 1 2 3\n" + "\n".join(lines) + "\nTRACE_C: steps 3\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes both files; returns their names."""
    monkeypatch.chdir(tmp_path)

    def write(content, log):
        Path("run").mkdir(exist_ok=True)
        Path("run/steps.json").write_text(content if isinstance(content, str) else json.dumps({"per_phi_entries": content}))
        Path("c.log").write_text(log)
        return ["run/steps.json", "c.log"]

    return write


def test_equal_steps(files, capsys):
    assert main(files(entries(), log_text())) == 0
    out = capsys.readouterr().out
    assert "All 3 steps agree." in out and out.count("| ok") == 3
    assert Path("run/comparison_summary.md").read_text() == out
    assert main(files(entries(), log_text(mark="TRACE_PY_PHI"))) == 0


def test_steps_are_paired_by_angle_not_by_place(files):
    shuffled = [entries()[i] for i in (2, 0, 1)]
    # An angle that went through radians has lost its last bits.
    shuffled[0]["phi_deg"] += 1e-14
    assert main(files(shuffled, log_text())) == 0


@pytest.mark.parametrize(("name", "step"), [("k_frac", 0), ("F_latt_b", 1), ("F_latt", 2)])
def test_a_seeded_error_is_found(files, capsys, name, step):
    wrong = entries()
    wrong[step][name] += 3e-6
    assert main(files(wrong, log_text())) == 1
    out = capsys.readouterr().out
    assert f"DIVERGES ({name})" in out and out.count("DIVERGES") == 1
    assert f"First divergence: step {step}, phi = {STEPS[step][0]:.15g} degrees, {name} = " in out and "difference 3.000e-06" in out
    assert main([*files(wrong, log_text()), "--tolerance", "1e-5"]) == 0


def test_the_tolerance_is_relative_above_one_and_tight_where_asked(files):
    wrong = entries()
    wrong[1]["F_latt"] += 1e-4
    words = files(wrong, log_text())
    assert main(words) == 0 and main([*words, "--tolerance", "1e-8"]) == 1
    wrong = entries()
    wrong[1]["k_frac"] += 1e-9
    words = files(wrong, log_text())
    assert main(words) == 0 and main([*words, "--tolerance", "1e-12"]) == 1


def test_the_first_of_several_divergences_is_named(files, capsys):
    wrong = entries()
    for step in (1, 2):
        wrong[step]["k_frac"] += 1.0
    assert main(files(wrong, log_text())) == 1
    assert "First divergence: step 1," in capsys.readouterr().out
    wrong[0]["F_latt_b"] = float("nan")
    assert main(files(wrong, log_text())) == 1
    out = capsys.readouterr().out
    assert "First divergence: step 0," in out and "3 of 3 steps diverge" in out


GOOD = json.dumps({"per_phi_entries": entries()})


@pytest.mark.parametrize(
    ("content", "log", "sentence"),
    [
        (GOOD, log_text(STEPS[:2]), "different phi grids: 3 steps in the JSON, 2 in the log"),
        (GOOD, log_text((*STEPS[:2], (0.11, -0.59, -0.65, 1.1))), "phi = 0.1 in the JSON stands against 0.11 in the log"),
        (GOOD, log_text((*STEPS[:2], STEPS[1])), "the log has two steps at phi = 0.05"),
        (GOOD, "TRACE_C: hkl_frac 1 2 3\n", "no line begins with TRACE_C_PHI or TRACE_PY_PHI"),
        (GOOD, log_text().replace("F_latt_b=0.5", "F_latt_b=half"), "log c.log, line 3: F_latt_b is no number: 'half'"),
        (GOOD, log_text().replace(" k_frac=-0.61", ""), "log c.log, line 2: k_frac is missing"),
        (GOOD, log_text().replace("phi_deg=0 ", "phi_deg=nan "), "line 2: phi_tic must be whole and phi_deg finite"),
        (GOOD, "", "log c.log: the file is empty"),
        ("{\n1", log_text(), "JSON run/steps.json, line 2: not a JSON file"),
        ("[]", log_text(), "JSON run/steps.json: no per_phi_entries"),
        ('{"per_phi_entries": [3]}', log_text(), "entry 0: not an object"),
        (GOOD.replace("-0.6,", "true,"), log_text(), "JSON run/steps.json, entry 1: k_frac is no number: True"),
        (GOOD.replace('"F_latt": 1.1,', ""), log_text(), "entry 2: F_latt is missing"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(files, capsys, content, log, sentence):
    assert main(files(content, log)) == 2
    out, err = capsys.readouterr()
    assert sentence in err and err.startswith("nb-compare-phi: error: ") and err.count("\n") == 1 and out == ""
    assert not Path("run/comparison_summary.md").exists()


def test_wrong_words(files, capsys):
    words = files(entries(), log_text())
    for wrong, sentence in (
        (words[:1], "C_LOG"),
        ([*words, "--tolerance", "-1"], "--tolerance -1"),
        (["none.json", "c.log"], "JSON none.json"),
    ):
        assert main(wrong) == 2 and sentence in capsys.readouterr().err


def test_an_earlier_summary_is_replaced_and_other_files_are_not(files, capsys):
    words = files(entries(), log_text())
    assert main(words) == 0 and main(words) == 0
    Path("run/comparison_summary.md").write_text("my notes")
    assert main(words) == 2 and "holds something else" in capsys.readouterr().err
    assert Path("run/comparison_summary.md").read_text() == "my notes"


def test_the_script_is_the_command(files):
    words = files(entries(), log_text())
    run = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert run.returncode == 0 and "All 3 steps agree." in run.stdout
    run = subprocess.run([sys.executable, str(SCRIPT), *files(entries(STEPS[:2]), log_text())], capture_output=True, text=True)
    assert run.returncode == 2 and "different phi grids" in run.stderr
