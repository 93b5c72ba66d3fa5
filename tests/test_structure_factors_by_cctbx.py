"""Structure factors from coordinates beside cctbx's direct summation, in a Python of its own that NB_IOTBX_PYTHON names (.ci/iotbx)."""

import json
import os
import subprocess

import gemmi
import numpy as np
import pytest
from space_groups import CELLS
from summed_over_atoms import Site, pdb_text, some_sites

from nanobragg_numba import StructureFactors

PYTHON = os.environ.get("NB_IOTBX_PYTHON")
D_MIN, WAVELENGTH = 1.6, 0.9795
DIRECT = """
import json, sys
import iotbx.pdb
path, d_min, corrections = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
crystal = iotbx.pdb.input(path).xray_structure_simple()
crystal.scattering_type_registry(table="it1992")
for scatterer in crystal.scatterers():
    scatterer.fp, scatterer.fdp = corrections[scatterer.element_symbol()]
    scatterer.flags.set_use_fp_fdp(True)
F = crystal.structure_factors(d_min=d_min, anomalous_flag=True, algorithm="direct").f_calc()
print(json.dumps([list(map(list, F.indices())), list(abs(F).data())]))
"""
MODELS = {
    "P 21 21 21": [*some_sites(12), Site("Se", (0.1, 0.2, 0.3), 10.0)],
    "P 31 2 1": some_sites(8, 2.0),
    "P -1": some_sites(10, 8.0, anisotropic=True),
}


@pytest.mark.skipif(not PYTHON, reason="NB_IOTBX_PYTHON names no Python with cctbx")
@pytest.mark.parametrize("group", MODELS)
def test_same_as_by_cctbx(group, tmp_path):
    path = tmp_path / "model.pdb"
    path.write_text(pdb_text(MODELS[group], CELLS[group], group))
    energy = gemmi.hc / WAVELENGTH
    corrections = {name: gemmi.cromer_liberman(gemmi.Element(name).atomic_number, energy) for name in ("C", "N", "O", "S", "Se")}
    done = subprocess.run([PYTHON, "-c", DIRECT, str(path), str(D_MIN), json.dumps(corrections)], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    hkl, theirs = map(np.array, json.loads(done.stdout))
    table = StructureFactors.from_model(path, D_MIN, WAVELENGTH, solvent=False)
    h, k, l = (hkl - (table.h_min, table.k_min, table.l_min)).T
    assert len(hkl) > 300 and np.abs(table.table[h, k, l] - theirs).max() < 1e-4 * theirs.mean()
