#!/usr/bin/env bash
# SIZE1 is the number of pixels along the fast axis of an SMV image, the length of a row, and SIZE2 the number of rows. iotbx's ADSCImage
# keeps the pixels in the file's order, but gives them the grid (SIZE1, SIZE2), first index slow: of an image that is not square
# linearintdata.as_numpy_array() has rows of SIZE2 pixels, each beginning somewhere in a row of the detector. Nothing is said.
# Expected: (SIZE2, SIZE1), as fabio reads it. Whoever takes the array must reshape it.
# Versions: cctbx-base 2025.11, fabio 2026.6.0, Python 3.11.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check cctbx-base==2025.11 fabio==2026.6.0 2>/dev/null
python=$folder/venv/bin/python
"$python" - "$folder/image.img" <<'PYTHON'
import sys
from pathlib import Path

# 48 rows of 64 pixels, numbered.
keys = "HEADER_BYTES=512;\nDIM=2;\nBYTE_ORDER=little_endian;\nTYPE=unsigned_short;\nSIZE1=64;\nSIZE2=48;\nPIXEL_SIZE=0.1;\nDISTANCE=100;\n"
keys += "WAVELENGTH=1;\nBEAM_CENTER_X=2.4;\nBEAM_CENTER_Y=3.2;\nOSC_START=0;\nOSC_RANGE=1;\nPHI=0;\nTWOTHETA=0;\nDETECTOR_SN=1;\n"
pixels = b"".join(i.to_bytes(2, "little") for i in range(48 * 64))
Path(sys.argv[1]).write_bytes(("{\n" + keys + "}\f").encode().ljust(512) + pixels)
PYTHON
iotbx=$("$python" - "$folder/image.img" <<'PYTHON'
import sys

from iotbx.detectors.adsc import ADSCImage

image = ADSCImage(sys.argv[1])
image.readHeader()
image.read()
rows = image.linearintdata.as_numpy_array()
print(rows.shape, rows[1, 0])
PYTHON
)
fabio=$("$python" -c 'import fabio, sys; rows = fabio.open(sys.argv[1]).data; print(rows.shape, rows[1, 0])' "$folder/image.img")
echo "shape, and first pixel of the second row: iotbx $iotbx, fabio $fabio"
if [ "$iotbx" = "(64, 48) 48" ] && [ "$fabio" = "(48, 64) 64" ]; then echo "as described"; else echo "CHANGED" && exit 1; fi
