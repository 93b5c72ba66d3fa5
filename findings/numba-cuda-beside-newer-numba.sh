#!/usr/bin/env bash
# numba-cuda 0.30.3 declares "numba>=0.60.0", and pip installs it beside numba 0.66.0 and finds nothing broken; but
# "from numba import cuda" then ends in
#   AttributeError: module 'numba.cuda.types' has no attribute 'NPDatetime'
# while numba itself works. So whoever keeps numba-cuda and lets another package raise numba loses CUDA, and its simulator, at the
# import. Expected: what pip accepts can be imported, as with numba 0.65.1, or with numba-cuda 0.30.4.
# Versions: numba-cuda 0.30.3 and 0.30.4, numba 0.65.1 and 0.66.0, Python 3.11. No GPU is needed.
# Exit status: 0 if it still behaves so, 1 if not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
python=$folder/venv/bin/python

beside() { # numba-cuda's version, numba's: what pip says of the pair, whether numba compiles, and the last line of importing its CUDA
    "$python" -m pip install -q --disable-pip-version-check "numba-cuda==$1" "numba==$2" 2>/dev/null
    echo "$("$python" -m pip check);" \
        "$("$python" -c 'import numba; print(numba.njit(lambda x: x + 1)(2))');" \
        "$("$python" -W ignore -c 'from numba import cuda; print("imported")' 2>&1 | tail -n 1)"
}

status=0
compare() { # what was seen, the text to be found in it
    case $2 in *"$3"*) echo "as described: $1: $2" ;; *) echo "CHANGED: $1: $2" && status=1 ;; esac
}
compare "numba-cuda 0.30.3, numba 0.65.1" "$(beside 0.30.3 0.65.1)" "No broken requirements found.; 3; imported"
compare "numba-cuda 0.30.3, numba 0.66.0" "$(beside 0.30.3 0.66.0)" "No broken requirements found.; 3; AttributeError: module 'numba.cuda.types' has no attribute 'NPDatetime'"
compare "numba-cuda 0.30.4, numba 0.66.0" "$(beside 0.30.4 0.66.0)" "No broken requirements found.; 3; imported"
exit $status
