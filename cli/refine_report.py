"""What nb-refine says of a finished fit: the table, a JSON file, and experiment lists of DIALS."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nanobragg_numba.autograd.effects import DEGENERATE
from nanobragg_numba.files import hkl as hkl_file
from nanobragg_numba.files.output import write_whole
from nanobragg_numba.panels.dials_writing import write_expt
from nanobragg_numba.refinement.estimates import describe
from nanobragg_numba.refinement.fit import Fit
from nanobragg_numba.refinement.kinds import KINDS
from nanobragg_numba.refinement.symmetry import space_group
from nanobragg_numba.reflections.writing import write_merged

from .refine_input import Frame

OVERRIDES_OF = {"scale": "fluence", "beam_mm": "beam_center_mm", "tilts_deg": "detector_rotations_deg"}
"""What the table of degenerate pairs calls them, where that is another name."""


def table(found: Fit) -> str:
    """A line for each parameter, with its start, its shift in standard deviations, and what cannot be told apart."""
    rows, start = found.free.rows, found.free.values(found.free.start)
    names = [str(row) for row in rows]
    width = max(map(len, names))
    lines = [f"{'parameter':{width}} {'value':>16} {'sigma':>12} {'start':>16}"]
    for name, value, sigma, before in zip(names, found.values, found.sigmas, start, strict=True):
        lines.append(f"{name:{width}} {_number(value, sigma):>16} {sigma:12.3g} {before:16.8g}")
    images = max(found.free.images) + 1
    pixels, boxes = sum(map(len, found.target.pixels)), sum(len(own.spots) for own in found.target.pixels)
    lines.append(f"{pixels} pixels in {boxes} boxes of {images} images")
    reduced = found.squares / max(found.freedom, 1)
    lines.append(f"chi^2 / degrees of freedom: {found.squares:.6g} / {found.freedom} = {reduced:.4f}")
    if reduced > 1.5:
        lines.append(f"residuals are larger than noise makes them: the true sigmas are some {math.sqrt(reduced):.2g} times these")
    lines += [f"units: {', '.join(f'{name}: {KINDS[name].unit}' for name in found.free.names)}"]
    lines += describe(found.estimates, names) + _known_pairs(found.free.names)
    return "\n".join(lines) + "\n"


def _number(value: float, sigma: float) -> str:
    """With two digits of the standard deviation."""
    digits = 6 if not 0.0 < sigma < math.inf else max(0, min(12, 1 - math.floor(math.log10(sigma))))
    return f"{value:.{digits}f}"


def _known_pairs(names: Sequence[str]) -> list[str]:
    called = {OVERRIDES_OF.get(name, name) for name in names}
    return [f"degenerate: {one} and {other}: {pair.why}" for pair in DEGENERATE for one in pair.one for other in pair.other
            if {one, other} <= called]  # fmt: skip


def results(found: Fit, frames: Sequence[Frame]) -> dict[str, Any]:
    """For other programs; what is not determined or has no value is null."""
    rows = [
        {
            "name": row.name, "part": row.part, **_place(found, row.shot), "value": float(value), "sigma": _finite(sigma),
            "start": float(before),
        }
        for row, value, sigma, before in zip(
            found.free.rows, found.values, found.sigmas, found.free.values(found.free.start), strict=True
        )
    ]  # fmt: skip
    shots = []
    for number, (parameters, panels) in enumerate(zip(found.parameters, found.detectors, strict=True)):
        frame = frames[found.free.images[number]]
        place = {name: value for name, value in _place(found, number).items() if name == "crystal"}
        crystal, detector, axes = parameters.crystal, parameters.detector, parameters.axes
        assert crystal.orientation is not None and crystal.cell is not None
        shots.append(
            {
                "image": os.path.abspath(frame.path), "frame": frame.number, **place, "cell": list(crystal.cell),
                "orientation": crystal.orientation.tolist(), "n_cells": list(crystal.n_cells),
                "n_cells_off_diagonal": list(crystal.n_cells_off_diagonal), "fluence": parameters.beam.fluence,
                "mosaic_spread_deg": crystal.mosaic_spread_deg, "mosaic_width_deg": crystal.mosaic_width_deg,
                **({"panels": panels.map()} if panels is not None else {
                    "pix0_mm": list(detector.pix0_mm or ()),
                    "detector_vectors": [list(axis or ()) for axis in (axes.fast, axes.slow, axes.normal)],
                }),
            }
        )  # fmt: skip
    if "spectrum" in found.free.names:
        for shot, parameters in zip(shots, found.parameters, strict=True):
            assert parameters.beam.sources is not None
            shot["source_weights"] = parameters.beam.sources.intensities.tolist()
    return {
        "parameters": rows, "correlations": [[_finite(value) for value in row] for row in found.estimates.correlations],
        "undetermined": [[str(found.free.rows[n]) for n in group] for group in found.estimates.undetermined],
        "chi_squared": found.squares, "degrees_of_freedom": found.freedom, "explained": _finite(found.explained), "shots": shots,
    }  # fmt: skip


def _place(found: Fit, model: int | None) -> dict[str, int | None]:
    """The image of a starting model, and its number among the crystals of this where there are several; from 0."""
    if model is None:
        return {"shot": None}
    images = found.free.images
    several = images.count(images[model]) > 1
    return {"shot": images[model], **({"crystal": images[:model].count(images[model])} if several else {})}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_experiments(folder: str, found: Fit, frames: Sequence[Frame]) -> None:
    """An experiment list of each shot, shot_0001.expt and on, with an experiment for each crystal."""
    for image, frame in enumerate(frames):
        path = os.path.join(folder, f"shot_{image + 1:04d}.expt")
        own = [number for number, other in enumerate(found.free.images) if other == image]
        crystals = [found.parameters[number] for number in own]
        write_expt(path, crystals, found.detectors[own[0]], image=frame.path if frame.number is None else None)


def write_spectra(folder: str, found: Fit) -> None:
    """Wavelengths and weights as ``-spectrum`` reads them, with standard deviations behind: spectrum.txt, or each shot's own."""
    if "spectrum" not in found.free.names:
        return
    for shot in dict.fromkeys(row.shot for row in found.free.rows if row.name == "spectrum"):
        rows = [n for n, row in enumerate(found.free.rows) if (row.name, row.shot) == ("spectrum", shot)]
        sources = found.parameters[shot or 0].beam.sources
        assert sources is not None
        lines = ["# wavelength in A, share of the photons, its standard deviation"]
        for wavelength, n in zip(sources.wavelengths_m, rows, strict=True):
            lines.append(f"{1e10 * wavelength:.10g} {found.values[n]:.8g} # {found.sigmas[n]:.3g}")
        name = "spectrum.txt" if shot is None else f"spectrum_{found.free.images[shot] + 1:04d}.txt"
        write_whole(os.path.join(folder, name), "--out", [("\n".join(lines) + "\n").encode()])


def write_structure_factors(folder: str, found: Fit, group: str) -> None:
    """The refined ones with standard deviations, structure_factors.mtz, and all of P1 as ``-hkl`` reads them, structure_factors.hkl."""
    free = found.free
    if free.amplitudes is None:
        return
    rows = [n for n, row in enumerate(free.rows) if row.name == "structure_factors"]
    hkl = free.amplitudes.unit.hkl[free.amplitudes.refined]
    cell = np.mean([np.array(parameters.crystal.cell) for parameters in found.parameters], axis=0)
    path = os.path.join(folder, "structure_factors")
    write_merged(f"{path}.mtz", hkl, np.abs(found.values[rows]), found.sigmas[rows], tuple(cell.tolist()), space_group(group))
    factors = found.parameters[0].crystal.structure_factors
    assert factors is not None
    table = replace(factors, table=np.abs(factors.table))
    write_whole(f"{path}.hkl", "--out", [b"".join(hkl_file.lines(table))])
