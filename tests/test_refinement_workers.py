"""Workers of a joint fit: the same numbers as without, also where one is killed; and a sentence where all are."""

import json
import os
import signal
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor

import numpy as np
import pytest
from noisy_stills import GAIN, OFFSET, READOUT, stills

from nanobragg_numba import InputError, write_smv
from nanobragg_numba.batch import engines
from nanobragg_numba.batch.engines import Given, Processes
from nanobragg_numba.cli.refine import main
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.prediction.spots import spots
from nanobragg_numba.refinement.free_parameters import free_parameters
from nanobragg_numba.refinement.joint_target import JointTarget
from nanobragg_numba.refinement.measured import pixels_of
from nanobragg_numba.refinement.optimisers import METHODS
from nanobragg_numba.refinement.starting_model import starting_model
from nanobragg_numba.refinement.symmetry import cell_constraint
from nanobragg_numba.refinement.workers import DEATHS, Workers, load

LINE = "-cell 40 44 50 90 90 90 -default_F 60 -N 10 -lambda 1.2 -distance 40 -detpixels 48 -pixel 0.7 -oversample 1 -gauss_xtal"
NAMES = ("orientation", "scale", "cell", "n_cells", "distance_mm")


@pytest.fixture(scope="module")
def made():
    return stills(LINE, 5, np.random.default_rng(7), off_deg=0.03, off=0.0005, distance=1.0)


@pytest.fixture(scope="module")
def pieces(made):
    """What makes a target of five stills."""
    free = free_parameters([starting_model(still.start) for still in made], NAMES, cell_constraint("P 1"))
    pixels = [pixels_of(still.measured, spots(still.start, 2.8, border=2), number, 8) for number, still in enumerate(made)]
    return free, pixels


@pytest.fixture(scope="module")
def processes():
    engine = Processes(2, 1, load=load)
    yield engine
    engine.stop()


def numbers(target):
    """All that a fit asks of a target, at two vectors."""
    at = target.free.start
    found = []
    for vector in (at, at + 0.03 * target.free.priors()):
        target.take_weights(vector, from_data=True)
        gradient, matrix = target.normal_equations(vector)
        found += [gradient, matrix, target.value(vector), target.residuals(vector), target.jacobian(vector), *target.figures(vector)]
        found += [np.concatenate([own.weights.numpy() for own in target.targets]), target.squares_without_spots()]
    return found


def test_the_same_numbers_by_processes_one_of_which_is_killed(pieces, processes):
    expected = numbers(JointTarget(*pieces))
    for found, wanted in zip(numbers(JointTarget(*pieces, computing=Workers(processes))), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    before = set(processes._pool._processes)
    os.kill(min(before), signal.SIGKILL)
    for found, wanted in zip(numbers(JointTarget(*pieces, computing=Workers(processes))), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert min(before) not in processes._pool._processes


class Dying:
    """An engine whose workers die at each task that holds the third shot, or after so many tasks."""

    workers = 2

    def __init__(self, pieces_of_death):
        self.deadly, self.renewed, self.pool = pieces_of_death, 0, ThreadPoolExecutor(1)

    def submit(self, function, name, first, *rest):
        if first in self.deadly:
            future = Future()
            future.set_exception(BrokenExecutor())
            return future
        return self.pool.submit(function, name, first, *rest)

    def renew(self):
        self.renewed += 1


def test_pieces_that_kill_each_worker_are_named(pieces):
    engine = Dying({2})
    target = JointTarget(*pieces, computing=Workers(engine))
    with pytest.raises(InputError, match=rf"the workers were killed {DEATHS} times while they worked out shot 3: is there memory"):
        target.value(pieces[0].start)
    assert engine.renewed == DEATHS - 1
    with pytest.raises(InputError, match="worked out shots 1 to 5"):
        JointTarget(*pieces, computing=Workers(Dying(set(range(5))))).value(pieces[0].start)


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_does_not_take_lost_workers_for_a_step_too_far(pieces, method):
    engine = Dying(set())
    target = JointTarget(*pieces, computing=Workers(engine))
    target.take_weights(pieces[0].start)

    def after_the_first(value, vector):
        engine.deadly = {2}

    with pytest.raises(InputError, match="the workers were killed"):
        METHODS[method](target, pieces[0].start + 0.02 * pieces[0].priors(), 20, after_the_first)


def test_what_a_piece_refuses_is_raised_here(pieces):
    """As without workers: what optimisers take for a step too far."""
    free, pixels = pieces
    target = JointTarget(free, pixels, computing=Workers(Given(ThreadPoolExecutor(1), 1)))
    vector = free.start.copy()
    vector[[row.name == "cell" for row in free.rows]] = -1.0
    with pytest.raises(InputError, match="cell") as said:
        target.value(vector)
    with pytest.raises(InputError, match="cell") as expected:
        JointTarget(free, pixels).value(vector)
    assert str(said.value) == str(expected.value)


class Lent:
    """Processes that go on after the command."""

    def __init__(self, engine):
        self.workers, self.submit, self.renew, self.stopped = engine.workers, engine.submit, engine.renew, 0

    def stop(self):
        self.stopped += 1


def test_workers_of_the_command(made, processes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lent, asked = Lent(processes), []
    monkeypatch.setattr(engines, "Processes", lambda *how: asked.append(how) or lent)
    for number, still in enumerate(made[:2]):
        counts = np.clip(np.rint(still.counts), 0, 65534).astype(np.uint16)
        write_smv(f"still{number}.img", counts, derive_experiment(still.truth))
    turn = "-misset 10 20 30"
    words = ["still0.img", "still1.img", *(word for _ in range(2) for word in ("--line", f"{LINE} {turn} -fluence 1e24"))]
    words += ["--refine", "scale,n_cells", "--start-error", "0", "--spots", "20", "--least-explained", "0", "--steps", "3", "--no-pictures"]
    words += ["--gain", str(GAIN), "--offset", str(OFFSET), "--readout", str(READOUT)]
    assert main([*words, "--out", "alone"]) == 0, capsys.readouterr().err
    assert main([*words, "--out", "two", "--workers", "2"]) == 0
    assert (tmp_path / "two" / "refined.json").read_text() == (tmp_path / "alone" / "refined.json").read_text()
    state = json.loads((tmp_path / "two" / "state.json").read_text())
    (tmp_path / "two" / "state.json").write_text(json.dumps({**state, "stage": 0}))
    (tmp_path / "alone" / "state.json").write_text(json.dumps({**state, "stage": 0}))
    assert main([*words, "--out", "alone", "--resume"]) == 0
    assert main([*words, "--out", "two", "--resume", "--engine", "processes", "--workers", "1"]) == 0
    assert (tmp_path / "two" / "refined.json").read_text() == (tmp_path / "alone" / "refined.json").read_text()
    assert [how[0] for how in asked] == [2, 1] and all(how[3] is load for how in asked) and lent.stopped == 2
    capsys.readouterr()
    for flags, says in (
        (["--workers", "0"], "--workers must be"),
        (["--engine", "magic"], "--engine must be one of inline, processes, dask"),
        (["--engine", "inline", "--workers", "2"], "--workers: --engine inline is this process alone"),
        (["--scheduler", "tcp://host:8786"], "--scheduler and --slurm are for --engine dask"),
        (["--slurm-options", "cores=2"], "--slurm-options is for --slurm"),
    ):
        assert main([*words, "--out", "bad", *flags]) == 2
        assert says in capsys.readouterr().err and not (tmp_path / "bad").exists()
