#!/usr/bin/env bash
# numba's simulator of a GPU (NUMBA_ENABLE_CUDASIM=1) runs the threads of a block as threads of Python. Where two of them come to the
# same cuda.shared.array at about the same time, each may get an array of its own: looking for the block's array and keeping a new one
# are two steps without a lock. What the other thread writes is then never seen, and nothing is said: one launch in some thousands on a
# busy machine. Here every line of the simulator's "array" is made to take 5 ms, as a slow debugger would, so that it happens at once.
# Expected: both threads write into one array, and thread 0 finds what thread 1 wrote. Seen: 1 where 2 is right.
# Versions: numba 0.68.1, numpy 2.4.6, Python 3.11. No GPU is needed.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numba==0.68.1 numpy==2.4.6
cat >"$folder/sum.py" <<'PYTHON'
import sys
import threading
import time

import numpy as np
from numba import cuda


@cuda.jit
def sum_of_both(out):
    both = cuda.shared.array(2, np.int64)
    both[cuda.threadIdx.x] = 1
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        out[0] = both[0] + (both[1] == 1)


def slow(frame, event, argument):
    if frame.f_code.co_name != "array":
        return None
    time.sleep(0.005)
    return slow


out = np.zeros(1, np.int64)
if sys.argv[1] == "slow":
    threading.settrace(slow)
sum_of_both[1, 2](out)
print(out[0])
PYTHON
seen() { (cd "$folder" && NUMBA_ENABLE_CUDASIM=1 venv/bin/python -W ignore sum.py "$1"); }
quick=$(seen quick) slow=$(seen slow)
if [ "$quick $slow" = "2 1" ]; then
    echo "as described: $quick where it is quick, $slow where it is slow"
else
    echo "CHANGED: $quick where it is quick, $slow where it is slow"
    exit 1
fi
