"""What a run takes over from runs before it is what it would have derived itself, to the last bit."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import Detector, Sampling, SourceList
from nanobragg_numba.fields.kept import LARGEST_ARRAY, Kept, fingerprint

LINE = "-cell 79 79 38 90 90 90 -default_F 100 -lambda 1 -N 20 -distance 100 -detpixels 32 -mosaic 0.1 -mosaic_domains 5 -seed 3"
CHANGES = (
    "", "-misset 10 20 30", "-lambda 1.1", "-mosaic 0.2", "-mosaic_seed 7", "-mosaic_domains 6", "-distance 101", "-phi 5 -osc 1",
    "-detpixels 40", "-fdet_vector 0 1 1", "-mosaic_seed -7", "-misset random -misset_seed 4",
    "-misset random -misset_seed 4 -mosaic_seed -7",
    "-dispersion 1 -dispsteps 3", "-polar 0.5", "-dmin 3", "-twotheta 10", "",
)  # fmt: skip
ALONE = """
import pickle, sys
from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.experiment.derive import derive_experiment
line, compat = sys.argv[1:]
x = derive_experiment(parameters_from_command_line(line, compat=compat), compat, noise_seed=1, missing_seed=lambda: 2)
sys.stdout.buffer.write(pickle.dumps([x.tables, x.geometry, x.sources, x.lattice, x.random_state, x.mosaic, x.mask]))
"""


def derived(line, compat):
    x = derive_experiment(parameters_from_command_line(line, compat=compat), compat, noise_seed=1, missing_seed=lambda: 2)
    return pickle.dumps([x.tables, x.geometry, x.sources, x.lattice, x.random_state, x.mosaic, x.mask])


@pytest.mark.parametrize("compat", ["c", "spec"])
def test_runs_after_others_are_those_of_a_fresh_process(compat, tmp_path):
    in_turn = [derived(f"{LINE} {change}", compat) for change in CHANGES for _ in range(2)]
    chosen = (1, 4, 10, 12, 13)
    for at in chosen:
        command = [sys.executable, "-c", ALONE, f"{LINE} {CHANGES[at]}", compat]
        alone = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
        first, second = (_numbers(pickle.loads(one)) for one in in_turn[2 * at : 2 * at + 2])
        assert first == second == _numbers(pickle.loads(alone)), CHANGES[at]


def _numbers(value):
    if isinstance(value, np.ndarray):
        return (value.shape, value.tobytes())
    if isinstance(value, tuple | list):
        return tuple(_numbers(part) for part in value)
    return tuple(_numbers(part) for part in vars(value).values()) if hasattr(value, "__dict__") else repr(value)


def test_arrays_changed_in_place_are_seen():
    sources = SourceList(np.array([[-1.0, 0, 0]] * 2), np.array([1.0, 3.0]), np.array([1e-10, 1.1e-10]))
    p = parameters_from_command_line(LINE)
    p = replace(p, beam=replace(p.beam, sources=sources))
    assert list(derive_experiment(p).tables.beam.weights) == [0.25, 0.75]
    p.beam.sources.intensities[:] = 1.0
    assert list(derive_experiment(p).tables.beam.weights) == [0.5, 0.5]
    p.beam.sources.intensities[:] = -1.0
    with pytest.raises(InputError, match="must be 0 or more"):
        derive_experiment(p)


def test_what_was_in_order_once_is_checked_for_other_modes():
    p = parameters_from_command_line(f"{LINE} -dmin -1", compat="c")
    derive_experiment(p, "c")
    with pytest.raises(InputError, match="dmin"):
        derive_experiment(p, "spec")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Sampling(phi_deg=0.0), Sampling(phi_deg=-0.0)),
        (1, 1.0), (True, 1), ("1", 1), ((1.0, 2.0), ((1.0,), 2.0)), (None, 0),
        (np.zeros(4), np.zeros((2, 2))), (np.zeros(2), np.zeros(4, np.float32)), (Detector(), Sampling()),
    ],
)  # fmt: skip
def test_fingerprints_differ(one, other):
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) is not None


def test_there_is_no_fingerprint_of_what_is_not_compared():
    assert fingerprint(np.zeros(LARGEST_ARRAY // 8 + 1)) is None
    assert fingerprint(Detector(), object()) is None


def test_only_the_last_are_kept():
    made = []
    kept = Kept(2)
    for key in (1, 2, 1, 3, 2, None, None):
        kept.get("squares", key, lambda key=key: made.append(key))
    assert made == [1, 2, 3, 2, None, None]
