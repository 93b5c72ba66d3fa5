"""DIALS's experiment lists (.expt): beam, detector, goniometer, scan and crystal of each experiment, to parameters.

The definition is dxtbx's, in whose laboratory all vectors stay. Its beam direction points from the sample to the source. A reciprocal
lattice vector h of the crystal, whose real axes are those of the goniometer at zero, is at S R(e, phi) F A h: F the fixed rotation, e the
rotation axis, S the setting rotation. That is the lattice S F A, turned about S e. polarization_fraction is the share of the intensity
with the E vector in the plane whose normal is polarization_normal: Kahn's factor is twice it less 1, its axis the E vector.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.parameters import Axes, Beam, Crystal, Parameters, Sampling

from .described import DescribedDetector
from .detector import PanelDetector
from .dials_detector import read_detector
from .json_values import Node, Vector, read_json

MODELS = ("beam", "detector", "goniometer", "scan", "crystal")


@dataclass(frozen=True)
class DialsExperiment:
    """An experiment of a list, as parameters."""

    number: int
    """Its place in the list, from 0."""
    identifier: str
    """Its identifier; empty where there is none."""
    parameters: Parameters
    """Beam, lattice and rotation of the first image of its scan; structure factors, crystal size and what a list does not say are as by
    default. Without a crystal in the list there is no lattice."""
    detector: PanelDetector
    """Its panels."""
    images: tuple[int, int] = (1, 1)
    """Numbers of the first and of the last image of its scan; 1 and 1 for a still."""
    remarks: tuple[str, ...] = ()
    """What of it was not used."""
    imageset: int | None = None
    """The number of its imageset in the list: experiments that have it and ``images`` in common are crystals of one image."""

    def at_image(self, image: int) -> Parameters:
        """The parameters of an image of the scan, by its number. Raises InputError for one that is not in it."""
        first, last = self.images
        if not first <= image <= last:
            raise InputError(f"experiment {self.number} has images {first} to {last}, not {image}")
        sampling = self.parameters.sampling
        phi = sampling.phi_deg + (image - first) * (sampling.osc_deg or 0.0)
        return replace(self.parameters, sampling=replace(sampling, phi_deg=phi))


def read_expt(path: str | os.PathLike[str], flag: str = "-expt") -> list[DialsExperiment]:
    """The experiments of a DIALS experiment list. Raises InputError naming the file and the key at fault."""
    return list(iterate_expt(path, flag))


def iterate_expt(path: str | os.PathLike[str], flag: str = "-expt") -> Iterator[DialsExperiment]:
    """The experiments of a list one by one: thousands of stills of one detector share it."""
    yield from open_expt(path, flag)


def open_expt(path: str | os.PathLike[str], flag: str = "-expt") -> "ExperimentList":
    """The list in a file. Raises InputError, naming the file, for what is no list."""
    name = os.fspath(path)
    return ExperimentList(read_json(name, flag), f"{flag} {name}: ")


class ExperimentList:
    """The experiments of a list, each read when it is asked for; experiments that name one detector share it.

    ``where``: what errors begin with. Raises InputError for what is no list, and where an experiment is asked for, naming the key at fault.
    """

    def __init__(self, whole: Node, where: str = ""):
        self._whole, self._where = whole, where
        self._detectors: dict[int, tuple[PanelDetector, list[str]]] = {}
        if not self._whole.has("__id__") or self._whole.at("__id__").value != "ExperimentList":
            raise self._wrong('is no experiment list of DIALS ("__id__": "ExperimentList")')
        try:
            self._entries = self._whole.at("experiment")
            self._count = self._entries.members()
        except InputError as error:
            raise self._wrong(error) from None
        if not self._count:
            raise self._wrong("holds no experiment")

    def _wrong(self, what: object) -> InputError:
        return InputError(f"{self._where}{what}")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[DialsExperiment]:
        return (self[number] for number in range(self._count))

    def __getitem__(self, number: int) -> DialsExperiment:
        try:
            return _experiment(self._whole, self._entries.member(number), number, self._detectors)
        except InputError as error:
            raise self._wrong(error) from None
        except RecursionError:
            raise self._wrong("its groups are nested too deep") from None


def read_panels_of_expt(path: str, flag: str = "-panels") -> DescribedDetector:
    """The detector of the first experiment, with its beam and spindle."""
    experiments = read_expt(path, flag)
    first = experiments[0]
    others = any(experiment.detector.panels is not first.detector.panels for experiment in experiments)
    said = ("the experiments have several detectors; this is the first one's",) if others else ()
    return DescribedDetector(first.detector, first.parameters.beam.wavelength_A, (*first.remarks, *said))


def _model(whole: Node, entry: Node, kind: str) -> tuple[int, Node] | None:
    if not entry.has(kind):
        return None
    index = entry.at(kind)
    if isinstance(index.value, str):
        raise index.wrong("is a model in a file of its own, which is not read")
    models = whole.at(kind)
    at, count = index.whole(), models.members()
    if not 0 <= at < count:
        raise index.wrong(f"is {at}, where {kind} has {count} models")
    return at, models.member(at)


def _experiment(whole: Node, entry: Node, number: int, detectors: dict[int, tuple[PanelDetector, list[str]]]) -> DialsExperiment:
    beam, detector, goniometer, scan, crystal = (_model(whole, entry, kind) for kind in MODELS)
    if beam is None or detector is None:
        raise entry.wrong(f"has no {'beam' if beam is None else 'detector'}")
    remarks: list[str] = []
    at, node = detector
    if at not in detectors:
        detectors[at] = read_detector(node)
    panels, said = detectors[at]
    remarks += said
    beam_fields, direction, electric = read_beam(beam[1], remarks)
    axis, setting, fixed = (None, np.eye(3), np.eye(3)) if goniometer is None else _goniometer(goniometer[1], remarks)
    sampling, images = (Sampling(), (1, 1)) if scan is None or axis is None else _scan(scan[1])
    spindle = None if axis is None else _tuple(setting @ axis)
    axes = Axes(beam=direction, polarization_axis=electric, spindle_axis=spindle)
    parameters = Parameters(
        crystal=Crystal() if crystal is None else Crystal(real_space_matrix=_lattice(crystal[1], setting @ fixed, remarks)),
        beam=beam_fields, sampling=sampling, axes=axes,
    )  # fmt: skip
    imageset = entry.at("imageset").whole() if entry.has("imageset") and isinstance(entry.at("imageset").value, int) else None
    identifier = entry.at("identifier").text() if entry.has("identifier") else ""
    return DialsExperiment(number, identifier, parameters, replace(panels, axes=axes), images, tuple(dict.fromkeys(remarks)), imageset)


def _tuple(v: np.ndarray) -> Vector:
    x, y, z = v.tolist()
    return x, y, z


def _unit(node: Node) -> np.ndarray:
    vector = np.array(node.vector())
    length = float(np.linalg.norm(vector))
    if not length > 0.0:
        raise node.wrong("has no direction")
    unit: np.ndarray = vector / length
    return unit


def read_beam(node: Node, remarks: list[str]) -> tuple[Beam, Vector, Vector]:
    """The beam, its direction, and the direction of its E vector."""
    if node.has("probe") and node.at("probe").value != "x-ray":
        raise node.at("probe").wrong(f"must be x-ray, not {node.at('probe').text()}")
    if node.has("__id__") and node.at("__id__").value == "polychromatic":
        raise node.wrong("is polychromatic, and gives no wavelength")
    wavelength = node.at("wavelength").number()
    if not wavelength > 0.0:
        raise node.at("wavelength").wrong(f"must be positive, not {wavelength:g} A")
    direction = -_unit(node.at("direction"))
    normal = _unit(node.at("polarization_normal")) if node.has("polarization_normal") else np.array([0.0, 1.0, 0.0])
    electric = np.cross(normal, direction)
    if not np.linalg.norm(electric) > 1e-6:
        raise node.at("polarization_normal").wrong("lies along the beam")
    fraction = node.at("polarization_fraction").number() if node.has("polarization_fraction") else 0.999
    if not 0.0 <= fraction <= 1.0:
        raise node.at("polarization_fraction").wrong(f"must be from 0 to 1, not {fraction:g}")
    for key in ("divergence", "sigma_divergence", "flux"):
        if node.has(key) and node.at(key).number() > 0.0:
            remarks.append(f"{node.at(key).place} = {node.at(key).number():g} is not used")
    if node.has("s0_at_scan_points"):
        remarks.append(f"{node.place}: the beam that varies in the scan is not used")
    beam = Beam(wavelength_A=wavelength, polarization=2.0 * fraction - 1.0)
    return beam, _tuple(direction), _tuple(electric / np.linalg.norm(electric))


def _rotation(node: Node, key: str) -> np.ndarray:
    """A rotation of nine numbers, row by row; none where there is no such key."""
    if not node.has(key):
        return np.eye(3)
    matrix = np.array(node.at(key).numbers(9)).reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-5 or np.linalg.det(matrix) < 0.0:
        raise node.at(key).wrong("is no rotation")
    return matrix


def turn_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """(3, 3): the right-handed rotation about a unit vector."""
    x, y, z = axis
    across = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turn: np.ndarray = cosine * np.eye(3) + sine * across + (1.0 - cosine) * np.outer(axis, axis)
    return turn


def _goniometer(node: Node, remarks: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rotation axis, and the setting and the fixed rotation."""
    if node.has("setting_rotation_at_scan_points"):
        remarks.append(f"{node.place}: the setting rotation that varies in the scan is not used")
    if not node.has("axes"):
        return _unit(node.at("rotation_axis")), _rotation(node, "setting_rotation"), _rotation(node, "fixed_rotation")
    axes = [_unit(axis) for axis in node.at("axes").items()]
    angles = [angle.number() for angle in node.at("angles").items()]
    scanned = node.at("scan_axis").whole()
    if len(angles) != len(axes):
        raise node.at("angles").wrong(f"must be {len(axes)} numbers, one an axis, not {len(angles)}")
    if not 0 <= scanned < len(axes):
        raise node.at("scan_axis").wrong(f"must be from 0 to {len(axes) - 1}, not {scanned}")
    # From the crystal to the base: those before the scanned axis are carried by it.
    fixed = setting = np.eye(3)
    for number, (axis, angle) in enumerate(zip(axes, angles, strict=True)):
        if number < scanned:
            fixed = turn_about(axis, angle) @ fixed
        elif number > scanned:
            setting = turn_about(axis, angle) @ setting
    return axes[scanned], setting, fixed


def _scan(node: Node) -> tuple[Sampling, tuple[int, int]]:
    """Start and width of the first image, and the numbers of the first and the last one."""
    first, last = node.at("image_range").wholes(2)
    if last < first:
        raise node.at("image_range").wrong(f"ends before it begins: {first} to {last}")
    table = node.at("properties") if node.has("properties") else node
    if not table.has("oscillation"):
        return Sampling(), (first, last)
    angles = [angle.number() for angle in table.at("oscillation").items()]
    if not angles:
        raise table.at("oscillation").wrong("is empty")
    if table.has("oscillation_width"):
        widths = [width.number() for width in table.at("oscillation_width").items()]
        if not widths:
            raise table.at("oscillation_width").wrong("is empty")
        width = widths[0]
    elif len(angles) < 2:
        raise table.at("oscillation").wrong("gives no width: it must be start and width, or the start of each image")
    elif table is node:
        # As older versions have it: start and width.
        width = angles[1]
    else:
        width = angles[1] - angles[0] if len(angles) == last - first + 1 or last > first else angles[1]
    start = angles[0]
    return (Sampling(phi_deg=start) if width == 0.0 else Sampling(phi_deg=start, osc_deg=width)), (first, last)


def _lattice(node: Node, turn: np.ndarray, remarks: list[str]) -> np.ndarray:
    """(3, 3): a, b, c row by row with the spindle at zero."""
    if node.has("A_at_scan_points"):
        remarks.append(f"{node.place}: the lattice that varies in the scan is not used, but the one of the whole scan")
    for key in ("mosaicity", "ML_half_mosaicity_deg", "ML_domain_size_ang"):
        if node.has(key) and node.at(key).number() > 0.0:
            remarks.append(f"{node.at(key).place} = {node.at(key).number():g} is not used: give -mosaic_spread, -N")
    rows = np.array([node.at(f"real_space_{axis}").vector() for axis in "abc"])
    if not abs(np.linalg.det(rows)) > 1e-9 * np.prod(np.linalg.norm(rows, axis=1)):
        raise node.wrong("encloses no volume")
    lattice: np.ndarray = rows @ turn.T
    return lattice
