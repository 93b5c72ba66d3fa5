"""-panels and -expt: a line's parameters with what a file says of detector, beam and crystal."""

from collections.abc import Callable
from dataclasses import replace

from nanobragg_numba.command_line.option_table import OPTIONS
from nanobragg_numba.command_line.reading import CommandLine
from nanobragg_numba.command_line.word_readers import Reading, read_words
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Compat, Detector
from nanobragg_numba.panels.detector import PanelDetector
from nanobragg_numba.panels.dials import DialsExperiment, ExperimentList, open_expt
from nanobragg_numba.panels.reading import read_described

from .expt_words import expt_parts

KEPT = {"-detector_abs", "-detector_thick", "-detector_thicksteps", "-thicksteps", "-point_pixel"}
"""Of the words about the detector those that a file does not answer."""
OF_EXPERIMENT = {"-cell", "-mat", "-lambda", "-energy", "-polar", "-nopolar", "-phi", "-osc", "-phistep"}
"""What -expt says, beside the detector."""
WAVELENGTHS_AGREE = 1e-4


def with_described(
    line: CommandLine,
    compat: Compat,
    panels: str | None = None,
    expt: str | None = None,
    listed: Callable[[str], ExperimentList] = open_expt,
) -> tuple[CommandLine, PanelDetector, list[str]]:
    """The line with the parameters of the file of -panels or of -expt, the panels, and what of the file was not used.

    ``listed`` reads the list in a file. Raises InputError for a word that the file answers, too, and for a file that cannot be used.
    """
    given = _given(line, compat)
    if expt is not None:
        _refuse(given, _geometry_words() | OF_EXPERIMENT, f"-expt {expt}")
        return _with_experiment(expt, line, listed)
    assert panels is not None
    _refuse(given, _geometry_words() - {"-distance"}, f"-panels {panels}")
    length = line.parameters.detector.distance_mm if "-distance" in given else None
    described = read_described(panels, camera_length_mm=length)
    remarks = [f"-panels {panels}: {remark}" for remark in described.remarks]
    filed, used = described.wavelength_A, line.parameters.beam.wavelength_A
    if filed is not None and abs(filed - used) > WAVELENGTHS_AGREE * filed and line.parameters.beam.sources is None:
        remarks.append(f"-panels {panels} has a wavelength of {filed:g} A; the image is made with {used:g} A (-lambda)")
    parameters = replace(line.parameters, detector=_sensor_alone(line.parameters.detector))
    return replace(line, parameters=parameters), described.detector, remarks


def _given(line: CommandLine, compat: Compat) -> dict[str, str]:
    """The words of the line, by the first word of their option."""
    reading = Reading(line.words, compat)
    read_words(reading)
    return {first: line.words[at] for first, at in reading.given.items()}


def _geometry_words() -> set[str]:
    return {option.words[0] for option in OPTIONS if option.group in ("geometry", "detector")} - KEPT


def _refuse(given: dict[str, str], answered: set[str], by: str) -> None:
    for first, word in given.items():
        if first in answered:
            raise InputError(f"{word}: {by} says that; leave {word} out")


def _sensor_alone(detector: Detector) -> Detector:
    return Detector(
        layers=detector.layers, thickness_um=detector.thickness_um, attenuation_depth_um=detector.attenuation_depth_um,
        point_pixel=detector.point_pixel,
    )  # fmt: skip


def _with_experiment(text: str, line: CommandLine, listed: Callable[[str], ExperimentList]) -> tuple[CommandLine, PanelDetector, list[str]]:
    path, number, image = expt_parts(text)
    experiment = _chosen(path, number, listed)
    read = experiment.at_image(experiment.images[0] if image is None else image)
    if read.crystal.real_space_matrix is None:
        raise InputError(f"-expt {path}: experiment {experiment.number} has no crystal; -panels takes its panels alone")
    own = line.parameters
    parameters = replace(
        own,
        crystal=replace(own.crystal, real_space_matrix=read.crystal.real_space_matrix),
        beam=replace(own.beam, wavelength_A=read.beam.wavelength_A, polarization=read.beam.polarization),
        detector=_sensor_alone(own.detector),
        sampling=replace(own.sampling, phi_deg=read.sampling.phi_deg, osc_deg=read.sampling.osc_deg),
        axes=read.axes,
    )
    return replace(line, parameters=parameters), experiment.detector, [f"-expt {path}: {remark}" for remark in experiment.remarks]


def _chosen(path: str, number: int | None, listed: Callable[[str], ExperimentList]) -> DialsExperiment:
    """The experiment of that number; without one, the only one. Raises InputError where there are several, or none of that number."""
    experiments = listed(path)
    if number is not None and number >= len(experiments):
        raise InputError(f"-expt {path}: holds {len(experiments)} experiments, counted from 0, and none of number {number}")
    if number is None and len(experiments) > 1:
        raise InputError(f"-expt {path}: holds several experiments: say which one, as -expt {path}:0")
    return experiments[number or 0]
