"""Headers of SMV in "spec" and of miniCBF read by iotbx, in a Python of its own that NB_IOTBX_PYTHON names (.ci/iotbx makes one)."""

import json
import os
import subprocess

import numpy as np
import pytest
from running import nanobragg

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.files import cbf

PYTHON = os.environ.get("NB_IOTBX_PYTHON")
READ = """
import json, sys
from iotbx.detectors.adsc import ADSCImage
image = ADSCImage(sys.argv[1])
image.readHeader()
image.read()
names = "size1 size2 pixel_size distance wavelength beamx beamy twotheta osc_start deltaphi".split()
print(json.dumps([{name: getattr(image, name) for name in names}, image.linearintdata.as_numpy_array().ravel().tolist()]))
"""
CRYSTAL = "-cell 70 80 90 90 90 90 -default_F 100 -N 5 -seed 1 -oversample 1 -fluence 1e26 -scale 0.5".split()
PLACES = {
    "-mosflm -Xbeam 3.1 -Ybeam 4.3": (3.1, 4.3),
    "-mosflm -Xbeam 3.1 -Ybeam 4.3 -detector_rotx 3 -detector_roty -2": (3.1, 4.3),
    "-adxv -Xbeam 3.7 -Ybeam 2.9": (3.7, 2.9),
    "-xds -Xbeam 3.7 -Ybeam 2.9": (3.7, 2.9),
}


@pytest.mark.skipif(not PYTHON, reason="NB_IOTBX_PYTHON names no Python with iotbx")
@pytest.mark.parametrize("words", PLACES)
def test_iotbx_reads_what_was_asked_for(words, tmp_path, capfdbinary):
    line = "-compat spec -lambda 1.1 -distance 101.25 -detpixels_f 64 -detpixels_s 48 -pixel 0.125 -phi 12 -osc 0.5 -phisteps 3"
    run = nanobragg([*CRYSTAL, *line.split(), *words.split()], tmp_path, capfdbinary)
    assert run.status == 0, run.stderr
    path = tmp_path / "intimage.img"
    done = subprocess.run([PYTHON, "-c", READ, str(path)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    keys, pixels = json.loads(done.stdout)
    x, y = PLACES[words]
    assert keys == pytest.approx({
        "size1": 64, "size2": 48, "pixel_size": 0.125, "distance": 101.25, "wavelength": 1.1, "beamx": x, "beamy": y,
        "twotheta": 0.0, "osc_start": 12.0, "deltaphi": 0.5,
    }, rel=1e-12)  # fmt: skip
    written = np.frombuffer(path.read_bytes()[-2 * 64 * 48 :], "<u2")
    assert written.any() and pixels == written.tolist()


READ_CBF = """
import json, sys
from iotbx.detectors.pilatus_minicbf import PilatusImage
image = PilatusImage(sys.argv[1])
image.readHeader()
names = "size1 size2 pixel_size distance wavelength beamx beamy twotheta osc_start deltaphi saturation".split()
print(json.dumps({name: getattr(image, name) for name in names}))
"""


@pytest.mark.skipif(not PYTHON, reason="NB_IOTBX_PYTHON names no Python with iotbx")
@pytest.mark.parametrize("convention", ["mosflm", "xds", "denzo"])
def test_iotbx_reads_the_header_of_a_cbf(convention, tmp_path):
    line = "-lambda 1.1 -distance 101.25 -detpixels_f 64 -detpixels_s 48 -pixel 0.125 -phi 12 -osc 0.5 -phisteps 3 -Xbeam 3.1 -Ybeam 4.3"
    x = derive_experiment(parameters_from_command_line([*CRYSTAL, *line.split(), f"-{convention}"]))
    path = tmp_path / "image.cbf"
    path.write_bytes(b"".join(cbf.contents(np.zeros((48, 64), np.uint16), x, saturation=60000)))
    done = subprocess.run([PYTHON, "-c", READ_CBF, str(path)], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    # Its size1 is along slow, and it counts the beam centre as denzo does, from the corner: X along slow.
    g = x.geometry
    assert json.loads(done.stdout) == pytest.approx({
        "size1": 48, "size2": 64, "pixel_size": 0.125, "distance": 101.25, "wavelength": 1.1,
        "beamx": 1e3 * g.sbeam, "beamy": 1e3 * g.fbeam,
        "twotheta": 0.0, "osc_start": 12.0, "deltaphi": 0.5, "saturation": 60000,
    }, rel=1e-9)  # fmt: skip
