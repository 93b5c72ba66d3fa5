#!/usr/bin/env bash
# h5py leaves no time in the files that it writes: create_dataset has track_times=False since version 3.0, so that the same content is
# the same bytes. But create_virtual_dataset has no such argument, and writes the second at which it was called: two files with the
# same virtual dataset differ unless both were written within one second. Nothing says so, and a test that writes twice in a row passes.
# Expected: as with create_dataset. Who wants the same bytes makes the dataset by h5py.h5d.create, with set_obj_track_times(False).
# Versions: h5py 3.16.0, Python 3.11.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check h5py==3.16.0 2>/dev/null
seen=$("$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import time
from pathlib import Path

import h5py


def plain(file):
    file.create_dataset("numbers", data=[1, 2, 3])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "numbers", (3,), "i8")
    file.create_virtual_dataset("numbers", layout)


def virtual_below(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    space = h5py.h5s.create_simple((3,))
    properties.set_virtual(space, b"other.h5", b"numbers", space)
    h5py.h5d.create(file.id, b"numbers", h5py.h5t.NATIVE_INT64, space, properties)


def same(write):
    contents = []
    for name in ("first.h5", "second.h5"):
        path = Path(sys.argv[1]) / name
        with h5py.File(path, "w") as file:
            write(file)
        contents.append(path.read_bytes())
        time.sleep(1.1)
    return "same" if contents[0] == contents[1] else "different"


print(f"plain {same(plain)}, virtual {same(virtual)}, virtual by the low-level functions {same(virtual_below)}")
PYTHON
)
echo "bytes of two files written a second apart: $seen"
if [ "$seen" = "plain same, virtual different, virtual by the low-level functions same" ]; then echo "as described"; else echo "CHANGED" && exit 1; fi
