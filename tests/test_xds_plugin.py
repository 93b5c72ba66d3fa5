"""Runs of counts read by the plug-in with which XDS reads HDF5, the library that NB_XDS_PLUGIN names (.ci/xds-plugin builds one)."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
from nexus_runs import write_run

PLUGIN = os.environ.get("NB_XDS_PLUGIN")
SMALL = "-detpixels_f 24 -detpixels_s 16 -pixel 0.8 -distance 90 -lambda 1.1 -oversample 1"


def read_all(master):
    """Pixels (fast, slow), bytes of a pixel, its edges (m), number of frames, and the frames, as XDS asks for them."""
    library = ctypes.CDLL(PLUGIN)
    info, error = (ctypes.c_int * 1024)(), ctypes.c_int()
    nx, ny, size, frames = (ctypes.c_int() for _ in range(4))
    qx, qy = ctypes.c_float(), ctypes.c_float()
    library.plugin_open(os.fsencode(master), info, ctypes.byref(error))
    assert error.value == 0
    library.plugin_get_header(*map(ctypes.byref, (nx, ny, size, qx, qy, frames)), info, ctypes.byref(error))
    assert error.value == 0
    images = []
    for number in range(1, frames.value + 1):
        image = np.zeros((ny.value, nx.value), np.int32)
        place = image.ctypes.data_as(ctypes.c_void_p)
        library.plugin_get_data(ctypes.byref(ctypes.c_int(number)), ctypes.byref(nx), ctypes.byref(ny), place, info, ctypes.byref(error))
        assert error.value == 0
        images.append(image)
    library.plugin_close(ctypes.byref(error))
    return (nx.value, ny.value, size.value, qx.value, qy.value, frames.value), np.stack(images)


@pytest.mark.skipif(not PLUGIN, reason="NB_XDS_PLUGIN names no plug-in")
@pytest.mark.parametrize("window", ["", "-roi 3 20 0 9"])
def test_the_plugin_reads_every_frame(window, tmp_path):
    run = write_run(tmp_path, [f"{SMALL} {window} -phi {i} -osc 1" for i in range(5)], counts=True)
    # In a process of its own: where the plug-in does not like a file, it ends the process.
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import numpy, test_xds_plugin as t\n"
    code += f"header, images = t.read_all({str(run.master)!r}); numpy.savez(sys.argv[1], header=header, images=images)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "read.npz")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = np.load(tmp_path / "read.npz")
    assert read["header"] == pytest.approx([24, 16, 4, 0.8e-3, 0.8e-3, 5], rel=1e-6)
    wanted = np.stack(run.images).astype(np.int64)
    if window:
        # Pixels that were not computed have no value.
        assert not wanted[:, 10:].any() and not wanted[:, :, :3].any() and not wanted[:, :, 21:].any()
        wanted[:, 10:] = wanted[:, :, :3] = wanted[:, :, 21:] = -1
    assert np.array_equal(read["images"], wanted)
