#!/usr/bin/env bash
# CrystFEL's manual (crystfel_geometry) writes the photon energy of a geometry file with its unit, "photon_energy = 9000 eV", and so do its
# examples. cfelpyutils' load_crystfel_geometry stops there with a
# ValueError about "9000eV"; and it takes "clen = 0.1 m" for a place in the images: the camera length of every panel is then -1.
# Expected: the number, in the unit. Whoever needs both programs leaves the units out: eV and metres are CrystFEL's defaults.
# Versions: cfelpyutils 2.2.0, Python 3.11.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check cfelpyutils==2.2.0 2>/dev/null
seen=$("$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

from cfelpyutils.geometry import load_crystfel_geometry

PANEL = "p/min_fs = 0\np/max_fs = 9\np/min_ss = 0\np/max_ss = 7\np/fs = 1.0x\np/ss = 1.0y\np/corner_x = -5\np/corner_y = -4\n"


def read(energy, length):
    path = Path(sys.argv[1]) / "a.geom"
    path.write_text(f"photon_energy = {energy}\nadu_per_photon = 1\nclen = {length}\nres = 10000\n{PANEL}")
    try:
        geometry = load_crystfel_geometry(str(path))
    except ValueError as error:
        return f"ValueError: {error}"
    panel = geometry.detector["panels"]["p"]
    return f"{geometry.beam['photon_energy']:g} eV, clen {panel['clen']:g} from {panel['clen_from']!r}"


print(read("9000", "0.1"), read("9000 eV", "0.1"), read("9000", "0.1 m"), sep=" | ")
PYTHON
)
echo "without units | energy with eV | length with m: $seen"
wanted="9000 eV, clen 0.1 from '' | ValueError: could not convert string to float: '9000eV' | 9000 eV, clen -1 from '0.1m'"
if [ "$seen" = "$wanted" ]; then echo "as described"; else echo "CHANGED" && exit 1; fi
