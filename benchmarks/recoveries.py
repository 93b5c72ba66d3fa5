"""What nb-refine's fits bring back from stills with noise: ``python benchmarks/recoveries.py [groups] [spectrum] [factors]``.

Minutes of one processor each. The stills, and the noise in them, are those of the tests.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from noisy_stills import noisy, true_parameters, turn
from test_refinement_amplitudes import GROUP, LINE, stills_of
from test_refinement_panels import detector_of, stills_on
from test_refinement_spectrum import with_weights

from nanobragg_numba import from_arrays, simulate
from nanobragg_numba.refinement import Settings, asymmetric_unit, fit, measured
from nanobragg_numba.refinement.estimates import describe
from nanobragg_numba.refinement.starting_model import starting_model

GAIN, OFFSET, READOUT = 2.0, 10.0, 3.0


def told(step):
    print(f"  stage {step.stage} of {step.stages}, step {step.number}: {step.target:.6g}", flush=True)


def rows_of(fitted, *names):
    return [n for n, row in enumerate(fitted.free.rows) if row.name in names]


def groups() -> None:
    """Four groups of panels, of which two have moved and leant: shifts and tilts, with orientations and scales, the cell known."""
    nominal = detector_of(size=48)
    truth = {
        "q00": ((0.08, -0.06, 0.10), (0.30, -0.20, 0.10)),
        "q11": ((-0.05, 0.04, -0.08), (-0.25, 0.30, -0.15)),
    }
    moved = nominal
    for name, (shift, tilt) in truth.items():
        # Of panels that face the beam the axes are those of the laboratory.
        middle = np.mean(
            [panel.position_mm(*(0.5 * np.array(panel.shape))) for panel in nominal.panels if panel.name.startswith(f"p{name[1:]}")], axis=0
        )
        moved = moved.moved(name, translation_mm=shift, axis=tilt, angle_deg=float(np.linalg.norm(tilt)), pivot_mm=middle.tolist())
    made = stills_on(moved, 8, np.random.default_rng(4), peak=50000.0)
    shots = [measured(counts, gain=GAIN, offset=OFFSET, readout=READOUT) for _, counts, _ in made]
    settings = Settings(refine=("orientation", "scale", "groups"), space_group="P 21 21 21")
    fitted = fit(shots, [start for *_, start in made], settings, detectors=[nominal] * len(made), progress=told)
    print(f"chi^2 / freedom {fitted.squares / fitted.freedom:.4f}")
    rows = rows_of(fitted, "group_shifts_mm", "group_tilts_deg")
    wanted = np.zeros(len(fitted.values))
    for n in rows:
        row = fitted.free.rows[n]
        group, axis = row.part.split()
        moves = truth.get(group, ((0.0,) * 3,) * 2)[row.name == "group_tilts_deg"]
        wanted[n] = moves[("fast", "slow", "normal").index(axis)]
    for held in fitted.free.fixed:
        # The common turn about the beam is taken for one of the crystals.
        wanted -= held * (held @ wanted) / (held @ held)
    for n in rows:
        off = (fitted.values[n] - wanted[n]) / fitted.sigmas[n]
        print(
            f"{fitted.free.rows[n]!s:32} {fitted.values[n]:9.5f} +- {fitted.sigmas[n]:.5f}, truth {wanted[n]:8.5f}, off by {off:5.1f} sigma"
        )
    deviations = (fitted.values - wanted)[rows] / fitted.sigmas[rows]
    print(f"spread of the deviations {np.std(deviations):.2f}")
    print("\n".join(describe(fitted.estimates, [str(row) for row in fitted.free.rows], 30)))


def spectrum() -> None:
    """Ten colours over 3 %, shared by four stills; from a flat start."""
    line = "-cell 55 65 75 90 90 90 -default_F 60 -N 20 -lambda 1.2 -distance 60 -detpixels 128 -pixel 0.4 -oversample 1 -gauss_xtal"
    line += " -dispersion 3 -dispsteps 10"
    weights = np.array([0.5, 1.1, 1.5, 0.9, 0.7, 1.3, 1.4, 0.6, 1.2, 0.8]) / 10.0
    random = np.random.default_rng(12)
    shots, starts = [], []
    for _ in range(4):
        axis = random.normal(size=3)
        flat = true_parameters(line, turn(random.uniform(0.0, 180.0) * axis / np.linalg.norm(axis)), 1e5)
        image = simulate(with_weights(flat, weights)).image.astype(float)
        shots.append(measured(noisy(image, 5.0, random), gain=GAIN, offset=OFFSET, readout=READOUT))
        start = starting_model(flat).parameters
        away = turn(0.02 * random.normal(size=3)) @ start.crystal.orientation
        starts.append(
            replace(start, crystal=replace(start.crystal, orientation=away), beam=replace(start.beam, fluence=0.8 * start.beam.fluence))
        )
    fitted = fit(shots, starts, Settings(refine=("orientation", "scale", "spectrum"), most_spots=99), progress=told)
    rows = rows_of(fitted, "spectrum")
    off, sigmas = fitted.values[rows] / weights - 1.0, fitted.sigmas[rows] / weights
    print(f"chi^2 / freedom {fitted.squares / fitted.freedom:.4f}; {sum(len(own.spots) for own in fitted.target.pixels)} spots")
    print(
        f"off by {np.abs(off).max():.2%} at most, {np.abs(off / sigmas).max():.1f} sigma; they are {sigmas.min():.2%} to {sigmas.max():.2%}"
    )


def factors() -> None:
    """Structure factors of a P 21 21 21 crystal from fifty stills, one F for all at the start, orientations and scales free."""
    for cells in (12, 10, 8):
        print(f"{cells} cells along each axis")
        _factors(LINE.replace("-N 12", f"-N {cells}"))


def _factors(line: str) -> None:
    """With a crystal of that line."""
    random = np.random.default_rng(5)
    limits = (4, 5, 6)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in limits), indexing="ij"), -1).reshape(-1, 3)
    unit = asymmetric_unit(from_arrays(grid, np.ones(len(grid))), GROUP)
    values = torch.from_numpy(np.sqrt(random.exponential(80.0**2, len(unit))))
    table = from_arrays(grid, unit.expand(values).numpy().ravel())
    by_hkl = dict(zip(map(tuple, unit.hkl.tolist()), values.tolist(), strict=True))
    made = stills_of(table, 50, np.random.default_rng(9), line)
    settings = Settings(refine=("orientation", "scale", "structure_factors"), space_group=GROUP, resolution=2.8, start_error=0.0)
    fitted = fit([shot for shot, _ in made], [start for _, start in made], settings, progress=told)
    rows = rows_of(fitted, "structure_factors")
    wanted = np.array([by_hkl[tuple(map(int, fitted.free.rows[n].part.split()))] for n in rows])
    found, sigmas = np.abs(fitted.values[rows]), fitted.sigmas[rows]
    print(f"chi^2 / freedom {fitted.squares / fitted.freedom:.4f}")
    for name, own in (("all", np.ones(len(rows), bool)), ("sigma < 30 %", sigmas < 0.3 * found), ("sigma < 10 %", sigmas < 0.1 * found)):
        factor = np.median(found[own] / wanted[own])
        deviations = (found[own] / factor - wanted[own]) / (sigmas[own] / factor)
        correlation = np.corrcoef(found[own], wanted[own])[0, 1]
        print(f"{name}: {own.sum()} of {len(rows)}, correlation {correlation:.4f}, spread {np.std(deviations):.2f} sigma")
    weakest = np.argsort(-sigmas)[:8]
    print("; ".join(f"{fitted.free.rows[rows[n]].part}: {found[n]:.1f} +- {sigmas[n]:.1f}, truth {wanted[n]:.1f}" for n in weakest))


RECOVERIES: dict[str, Callable[[], None]] = {"groups": groups, "spectrum": spectrum, "factors": factors}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or RECOVERIES:
        print(f"{name}: {RECOVERIES[name].__doc__}", flush=True)
        started = process_time()
        RECOVERIES[name]()
        print(f"{process_time() - started:.0f} s of one processor", flush=True)
