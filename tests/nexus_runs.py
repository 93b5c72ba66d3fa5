"""Small runs written as NXmx, and a walk along a chain of transformations with numpy alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401
import numpy as np

from nanobragg_numba import parameters_from_command_line, simulate
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.files.nexus import DataFile, encode, frame_of, pixel_mask, setup_of, write_frames, write_master

CRYSTAL = "-cell 70 80 90 80 95 100 -default_F 100 -N 5 -misset 10 20 30 -mosaic_seed 7"
UNITS = {"m": 1.0, "mm": 1e-3, "deg": np.pi / 180.0}


@dataclass
class Written:
    """A run and its files."""

    master: Path
    experiments: list[Experiment]
    images: list[np.ndarray]
    files: list[Path]


def experiment(line: str, compat: Any = "spec") -> Experiment:
    """What a command line means."""
    return derive_experiment(parameters_from_command_line(f"{CRYSTAL} {line}"), compat)


def write_run(folder: Path, lines: list[str], per_file: int = 2, compat: Any = "spec", counts: bool = False) -> Written:
    """Simulate each line, and write ``per_file`` images a file; ``counts``: whole numbers, hundredfold."""
    runs = [simulate(parameters_from_command_line(f"{CRYSTAL} {line}"), compat=compat) for line in lines]
    images = [np.round(100.0 * run.image).astype(np.uint32) if counts else run.image for run in runs]
    files, names = [], []
    for start in range(0, len(runs), per_file):
        part = images[start : start + per_file]
        name = f"run_{len(files) + 1:06d}.h5"
        write_frames(folder / name, (len(part), *part[0].shape), part[0].dtype, map(encode, part), start + 1)
        files.append(DataFile(name, len(part)))
        names.append(folder / name)
    experiments = [run.experiment for run in runs]
    frames = [frame_of(x, f"nanoBragg {CRYSTAL} {line}") for x, line in zip(experiments, lines, strict=True)]
    master = folder / "run_master.h5"
    write_master(master, setup_of(experiments[0]), frames, files, images[0].dtype, pixel_mask=pixel_mask(experiments[0]))
    return Written(master, experiments, images, names)


def step(axis: h5py.Dataset, value: float) -> np.ndarray:
    """(4, 4): the transformation of an axis at ``value``, in metres and radians, by the definition of NXtransformations."""
    vector, offset = np.array(axis.attrs["vector"]), np.array(axis.attrs["offset"]) * UNITS[axis.attrs["offset_units"].decode()]
    amount = value * UNITS[axis.attrs["units"].decode()]
    matrix = np.identity(4)
    matrix[:3, 3] = offset
    if axis.attrs["transformation_type"] == b"translation":
        matrix[:3, 3] += amount * vector
    else:
        x, y, z = vector
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix[:3, :3] = np.identity(3) + np.sin(amount) * cross + (1 - np.cos(amount)) * cross @ cross
    return matrix


def chain(file: h5py.File, path: str, frame: int = 0) -> np.ndarray:
    """(4, 4): all transformations from ``path`` to the laboratory."""
    total = np.identity(4)
    while path != ".":
        axis = file[path]
        total = step(axis, float(np.ravel(axis[()])[frame if axis.size > 1 else 0])) @ total
        path = axis.attrs["depends_on"].decode()
    return total


def positions(file: h5py.File, module: str) -> np.ndarray:
    """(slow, fast, 3): centres of a module's pixels (metres), by the chain alone."""
    group = file[f"/entry/instrument/detector/{module}"]
    base = chain(file, f"{group.name}/module_offset")
    slow, fast = (group[f"{name}_pixel_direction"] for name in ("slow", "fast"))
    places = np.zeros((*group["data_size"][()], 3))
    for axis, counts in ((slow, np.arange(places.shape[0])[:, None]), (fast, np.arange(places.shape[1])[None, :])):
        assert axis.attrs["depends_on"].decode() == f"{group.name}/module_offset"
        distance = (counts + 0.5) * axis[()] * UNITS[axis.attrs["units"].decode()]
        places += distance[..., None] * np.array(axis.attrs["vector"])
    return places @ base[:3, :3].T + base[:3, 3]
