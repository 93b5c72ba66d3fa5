#!/usr/bin/env bash
# Entries of the PDB may hold atoms of unknown kind (residue UNX, element X). gemmi's calculators count each as an oxygen, and say nothing:
# Element("X").it92 has oxygen's coefficients. cctbx (2025.11) refuses such a file.
# Expected: nothing at all, as for einsteinium, which has no coefficients, or a word about it.
# Version: gemmi 0.7.5, Python 3.11.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check gemmi==0.7.5 2>/dev/null
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import gemmi

PDB = """\
CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1
HETATM    1 %-3s  %s A   1       0.000   0.000   0.000  1.00 20.00          %2s
END
"""
F = {}
for name, residue, element in (("UNK", "UNX", "X"), ("O", "HOH", "O")):
    structure = gemmi.read_pdb_string(PDB % (name, residue, element))
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    F[element] = abs(calculator.calculate_sf_from_model(structure[0], (1, 2, 3)))
print("F(1 2 3) of one atom:", ", ".join(f"{element} {value:.4f}" for element, value in F.items()))
as_described = F["X"] == F["O"] > 1 and gemmi.Element("Es").it92 is None
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PYTHON
