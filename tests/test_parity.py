"""nb-trace and nb-compare-phi together: the supervisor run against the recorded steps, and a seeded error."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from running import GOLDEN

from nanobragg_numba.cli import compare_phi, trace

SCRIPT = Path(__file__).parent.parent / "scripts" / "compare_per_phi_traces.py"


@pytest.fixture
def recorded_log(tmp_path):
    """The recorded steps as the reference's log has them."""
    lines = json.loads((GOLDEN / "trace" / "supervisor.json").read_text())["lines"]
    steps = [line for line in lines if "phi_tic" in line]
    assert len(steps) == 10
    log = tmp_path / "c_trace.log"
    log.write_text("".join("TRACE_C_PHI " + " ".join(f"{name}={value!r}" for name, value in step.items()) + "\n" for step in steps))
    return log


def per_phi(tmp_path, *words) -> Path:
    """The JSON that nb-trace writes for the supervisor run."""
    assert trace.main(["--pixel", "685", "1039", "--config", "supervisor", "--out", str(tmp_path / "trace.log"), *words]) == 0
    (found,) = (tmp_path / "per_phi").glob("*.json")
    return found


def test_all_ten_steps_agree(tmp_path, recorded_log):
    assert compare_phi.main([str(per_phi(tmp_path)), str(recorded_log), "--tolerance", "1e-12"]) == 0


def test_an_error_of_1e_9_in_the_spindle_axis_is_caught(tmp_path, recorded_log, capsys):
    wrong = per_phi(tmp_path, "--", "-spindle_axis", "-1", "1e-9", "0")
    assert compare_phi.main([str(wrong), str(recorded_log), "--tolerance", "1e-12"]) == 1
    assert "first divergence" in capsys.readouterr().out.lower()


def test_spec_diverges_at_phi_zero_and_the_script_says_so(tmp_path, recorded_log):
    spec = per_phi(tmp_path, "--compat", "spec")
    run = subprocess.run([sys.executable, str(SCRIPT), str(spec), str(recorded_log)], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert (spec.parent / "comparison_summary.md").exists()
    assert run.stdout.count("DIVERGED") + run.stdout.lower().count("diverges") >= 1
