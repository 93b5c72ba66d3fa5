"""What was simulated, as an experiment list of DIALS (.expt)."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nanobragg_numba.experiment.crystal import Lattice
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.detector import Geometry
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.files.output import write_whole

from .detector import Panel, PanelDetector
from .dials import turn_about
from .dials_detector import detector_dictionary
from .simulate import derive_planes


def write_expt(
    path: str | os.PathLike[str],
    parameters: Parameters | Sequence[Parameters],
    detector: PanelDetector | None = None,
    image: str | os.PathLike[str] | None = None,
) -> None:
    """Write an experiment list of one experiment, as "spec" means the parameters, for DIALS.

    ``parameters``: several are crystals of one image, an experiment each; beam, detector and scan are those of the first.
    ``detector``: the panels, by default the one of ``parameters.detector``. ``image``: the file that holds the image, for programs that
    look for it. The lattice stands at zero of the spindle, in space group P 1; a still has neither goniometer nor scan. What an experiment
    list has no place for is left out: spectrum, divergence, mosaic domains, size of the crystal, structure factors, seeds. Raises
    InputError where the parameters make no sense and where the file cannot be written.
    """
    crystals = [parameters] if isinstance(parameters, Parameters) else list(parameters)
    parameters = crystals[0]
    given = parameters if parameters.sampling.oversample else replace(parameters, sampling=replace(parameters.sampling, oversample=1))
    if detector is None:
        x = derive_experiment(given, "spec")
        geometries: tuple[Geometry, ...] = (x.geometry,)
        g = x.geometry
        corner = (1000.0 * np.array(g.pix0)).tolist()
        panels = PanelDetector(
            (
                Panel(
                    "panel",
                    (g.slow_pixels, g.fast_pixels),
                    1000.0 * g.pixel_size,
                    (corner[0], corner[1], corner[2]),
                    g.fast,
                    g.slow,
                    mask=x.mask,
                ),
            )
        )
    else:
        panels = detector
        x, planes, _ = derive_planes(given, detector, "spec")
        by_panel = {number: plane.geometry for plane in planes for number in plane.panels}
        geometries = tuple(by_panel[number] for number in range(len(detector)))
    sensors = [(1000.0 * g.thickness, g.mu / 1000.0) if g.thickness > 0.0 and g.mu > 0.0 else (0.0, 0.0) for g in geometries]
    base = x.geometry
    moving = x.phi.range != 0.0 and x.phi.count > 0
    still = turn_about(np.array(base.spindle_axis), parameters.sampling.phi_deg) if not moving and x.phi_start != 0.0 else np.eye(3)
    lattices = [x.lattice, *(_lattice(own, given.sampling.oversample or x.oversample) for own in crystals[1:])]
    axes = [np.array([lattice.a, lattice.b, lattice.c]) @ still.T for lattice in lattices]
    electric = np.array(base.polarization_axis)
    polarized = parameters.beam.polarized
    entries: list[dict[str, Any]] = [
        {"__id__": "Experiment", "identifier": "", "beam": 0, "detector": 0, "crystal": number} for number in range(len(crystals))
    ]
    content: dict[str, Any] = {
        "__id__": "ExperimentList", "experiment": entries, "imageset": [],
        "beam": [
            {
                "__id__": "monochromatic", "direction": (-np.array(base.beam)).tolist(), "wavelength": parameters.beam.wavelength_A,
                "divergence": 0.0, "sigma_divergence": 0.0, "polarization_normal": np.cross(base.beam, electric).tolist(),
                "polarization_fraction": (1.0 + parameters.beam.polarization) / 2.0 if polarized else 0.5, "flux": 0.0,
                "transmission": 1.0, "probe": "x-ray", "sample_to_source_distance": 0.0,
            }
        ],
        "detector": [detector_dictionary(panels, sensors)], "goniometer": [], "scan": [],
        "crystal": [
            {
                "__id__": "crystal", **{f"real_space_{name}": row.tolist() for name, row in zip("abc", own, strict=True)},
                "space_group_hall_symbol": " P 1",
            }
            for own in axes
        ],
        "profile": [], "scaling_model": [],
    }  # fmt: skip
    if moving:
        same = np.eye(3).ravel().tolist()
        for entry in entries:
            entry["goniometer"] = entry["scan"] = 0
        content["goniometer"].append({"rotation_axis": list(base.spindle_axis), "fixed_rotation": same, "setting_rotation": same})
        width = parameters.sampling.osc_deg if parameters.sampling.osc_deg is not None else math.degrees(x.phi.range)
        start, exposure = parameters.sampling.phi_deg, parameters.beam.exposure_s
        # What newer versions look up in "properties", older ones find beside it.
        content["scan"].append(
            {
                "image_range": [1, 1], "batch_offset": 0, "oscillation": [start, width], "exposure_time": [exposure], "epochs": [0.0],
                "properties": {"oscillation": [start], "oscillation_width": [width], "exposure_time": [exposure], "epochs": [0.0]},
                "valid_image_ranges": {},
            }
        )  # fmt: skip
    if image is not None:
        for entry in entries:
            entry["imageset"] = 0
        content["imageset"].append(_imageset(os.path.abspath(os.fspath(image)), moving))
    write_whole(path, "write_expt", [(json.dumps(content, indent=2) + "\n").encode()])


def _lattice(parameters: Parameters, oversample: int) -> Lattice:
    given = replace(parameters, sampling=replace(parameters.sampling, oversample=oversample))
    return derive_experiment(given, "spec").lattice


def _imageset(name: str, moving: bool) -> dict[str, Any]:
    single = {"single_file_indices": [0]} if name.endswith((".nxs", ".h5")) else {}
    kind: dict[str, Any] = {"__id__": "ImageSequence", "template": name} if moving else {"__id__": "ImageSet", "images": [name]}
    return {**kind, **single, "mask": None, "gain": None, "pedestal": None, "dx": None, "dy": None, "params": {}}
