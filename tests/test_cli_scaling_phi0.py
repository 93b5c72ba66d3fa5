"""The seed project's question: which lattice does the step at phi = 0 have, in the reference and as promised."""

import json
from dataclasses import replace

import pytest
import torch
from running import GOLDEN

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.cli.trace import configuration, main

# Recorded with 15 digits; the unrotated values are the reference's for a run whose step at phi = 0 stays at 0.
ROT_B_Y = {"c": 0.671588233999813, "spec": 0.717320030990266}
K_FRAC = {"c": -0.607255839576692, "spec": -0.589167636095369}
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
modes = pytest.mark.parametrize("compat", ["c", "spec"])
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])


def first_step(tmp_path, compat, dtype):
    """The step at phi = 0 of pixel slow 685, fast 1039, as nb-trace writes it."""
    out = tmp_path / "trace.log"
    words = ["--pixel", "685", "1039", "--config", "supervisor", "--compat", compat, "--dtype", dtype, "--out", str(out)]
    assert main(words) == 0
    entry = json.loads((tmp_path / "per_phi" / "trace_per_phi.json").read_text())["per_phi_entries"][0]
    assert entry["phi_tic"] == 0 and entry["phi_deg"] == 0.0
    return entry


class TestPhiZeroParity:
    """Step 0 of the supervisor run, in both modes."""

    @modes
    @dtypes
    def test_rot_b_matches_c(self, tmp_path, compat, dtype):
        tolerance = TOLERANCE[dtype]
        assert first_step(tmp_path, compat, dtype)["bp"][1] == pytest.approx(ROT_B_Y[compat], rel=tolerance)
        parameters = parameters_from_command_line(configuration("supervisor"), compat)
        crystal, sampling = parameters.crystal, parameters.sampling
        matrix = torch.as_tensor(crystal.mosflm_matrix, dtype=getattr(torch, dtype))
        for each in (crystal, replace(crystal, mosflm_matrix=matrix)):
            (_, b, _), _ = each.get_rotated_real_vectors(sampling, wavelength_A=0.9768, compat=compat)
            assert b.shape == (10, 1, 3)
            assert float(b[0, 0, 1]) == pytest.approx(ROT_B_Y[compat], rel=tolerance if each is not crystal else 1e-12)

    @modes
    @dtypes
    def test_k_frac_phi0_matches_c(self, tmp_path, compat, dtype):
        assert first_step(tmp_path, compat, dtype)["k_frac"] == pytest.approx(K_FRAC[compat], rel=TOLERANCE[dtype])

    def test_the_figures_are_the_recorded_ones(self):
        lines = json.loads((GOLDEN / "trace" / "supervisor.json").read_text())["lines"]
        values = {line["name"]: line["values"] for line in lines if "name" in line}
        assert values["rot_b_angstroms"][1] == ROT_B_Y["c"] and values["hkl_frac"][1] == K_FRAC["c"]
