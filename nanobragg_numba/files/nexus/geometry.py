"""Where the modules of an NXmx file stand, ours and others': the chain of transformations, walked.

NXtransformations: an axis moves what depends on it by its value along, or turns it about, its vector, and by its offset; then does the
axis that it depends on (https://manual.nexusformat.org/classes/base_classes/NXtransformations.html).
"""

import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError

from .contents import Module, Vector
from .hdf5 import Path
from .reader import opened

LENGTHS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "pm": 1e-12, "angstrom": 1e-10}
ANGLES = {"deg": math.pi / 180.0, "rad": 1.0}
OTHER_NAMES = {
    "meter": "m", "metre": "m", "meters": "m", "metres": "m", "millimeter": "mm", "micron": "um", "microns": "um", "degree": "deg",
    "degrees": "deg", "radian": "rad", "radians": "rad", "angstroms": "angstrom", "a": "angstrom", "\u00e5": "angstrom",
    "\u212b": "angstrom", "\u00b5m": "um", "\u03bcm": "um",
}  # fmt: skip
MOST_AXES = 100
LARGEST = 1e50
"""Of the numbers: its cube is one, too."""


@dataclass(frozen=True)
class Described:
    """The geometry of one frame, along NeXus's axes (``laboratory``)."""

    modules: tuple[Module, ...]
    """The detector."""
    wavelengths_A: tuple[float, ...]
    """The beam's, each once."""
    weights: tuple[float, ...]
    """Their shares, which add up to 1."""
    rotations: tuple[tuple[str, Vector, float], ...]
    """Name, unit vector and angle (degrees) of each axis that turns the sample, the one that it sits on first."""

    @property
    def wavelength_A(self) -> float:
        """The mean wavelength."""
        return float(np.dot(self.wavelengths_A, self.weights))


def read_geometry(path: Path, number: int = 1, flag: str = "read_geometry") -> Described:
    """The geometry of a frame, counted from 1, of an NXmx file. Raises InputError, naming ``flag``, the file and the field, where it is
    missing or makes no sense."""
    with opened(path, flag) as file:
        walk = Walk(file, f"{flag} {path}", number - 1)
        instrument = walk.child(walk.child(file, "NXentry"), "NXinstrument")
        detector, beam = walk.child(instrument, "NXdetector"), walk.child(instrument, "NXbeam")
        places = [item for item in detector.values() if class_of(item) == "NXdetector_module"]
        if not places:
            raise InputError(f"{walk.where}: {detector.name} has no NXdetector_module")
        wavelengths, weights = walk.spectrum(beam)
        sample = walk.child(walk.child(file, "NXentry"), "NXsample")
        return Described(tuple(map(walk.module, places)), wavelengths, weights, walk.rotations(sample))


def class_of(item: Any) -> str:
    """The NeXus class of a group; empty where there is none."""
    return text_of(getattr(item, "attrs", {}).get("NX_class", ""))


def text_of(value: Any) -> str:
    """A text, as one of the several types in which HDF5 hands it out."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class Walk:
    """Through a file, for one frame. What is missing or makes no sense raises an InputError."""

    file: Any
    """Opened by h5py."""
    where: str
    """What errors begin with."""
    index: int
    """Of the frame, counted from 0."""

    def child(self, parent: Any, nexus_class: str) -> Any:
        """The first group of a class."""
        found = next((item for item in parent.values() if class_of(item) == nexus_class), None)
        if found is None:
            raise InputError(f"{self.where}: {parent.name} has no {nexus_class}")
        return found

    def field(self, parent: Any, name: str) -> Any:
        """A dataset."""
        dataset = parent.get(name)
        if dataset is None or not hasattr(dataset, "dtype"):
            raise InputError(f"{self.where}: {parent.name} has no field {name}")
        return dataset

    def unit(self, attributes: Any, name: str, known: Mapping[str, float], what: str) -> float:
        """What an attribute's unit is in ours."""
        word = text_of(attributes.get(name, "")).strip().lower()
        word = OTHER_NAMES.get(word, word)
        if word not in known:
            raise InputError(f"{self.where}: {what} has the {name} {word or 'none'!r}, and needs one of {', '.join(known)}")
        return known[word]

    def value(self, axis: Any) -> float:
        """Of an axis in this frame."""
        values = np.ravel(axis[()]).astype(np.float64)
        if values.size != 1 and not self.index < values.size:
            raise InputError(f"{self.where}: {axis.name} has {values.size} values, and none for frame {self.index + 1}")
        number = float(values[self.index if values.size > 1 else 0])
        if not abs(number) < LARGEST:
            raise InputError(f"{self.where}: {axis.name} is {number}")
        return number

    def vector(self, axis: Any) -> np.ndarray:
        """(3,): what an axis goes along or turns about."""
        vector = np.asarray(axis.attrs.get("vector", ()), dtype=np.float64)
        if vector.shape != (3,) or not 0.0 < np.linalg.norm(vector) < LARGEST:
            raise InputError(f"{self.where}: {axis.name} has no vector of three numbers with a direction")
        return vector

    def offset(self, axis: Any) -> np.ndarray:
        """(3,), in metres."""
        offset = np.asarray(axis.attrs.get("offset", np.zeros(3)), dtype=np.float64)
        if offset.shape != (3,) or not (np.abs(offset) < LARGEST).all():
            raise InputError(f"{self.where}: {axis.name}@offset must be three finite numbers")
        if not offset.any():
            return offset
        # Some files give a translation's offset without a unit of its own.
        name = "offset_units" if "offset_units" in axis.attrs else "units"
        metres: np.ndarray = offset * self.unit(axis.attrs, name, LENGTHS, axis.name)
        return metres

    def step(self, axis: Any) -> np.ndarray:
        """(4, 4), in metres: what an axis does."""
        kind, value, vector = text_of(axis.attrs.get("transformation_type", "")), self.value(axis), self.vector(axis)
        matrix = np.identity(4)
        if kind == "rotation":
            matrix[:3, :3] = turn(vector / np.linalg.norm(vector), value * self.unit(axis.attrs, "units", ANGLES, axis.name))
        elif kind == "translation":
            matrix[:3, 3] = value * self.unit(axis.attrs, "units", LENGTHS, axis.name) * vector
        else:
            raise InputError(f"{self.where}: {axis.name} is of the transformation_type {kind!r}, and not a translation or a rotation")
        matrix[:3, 3] += self.offset(axis)
        return matrix

    def frame(self, axes: Sequence[Any]) -> np.ndarray:
        """(4, 4), in metres: from what depends on the first of the axes, each of which depends on the next, to the laboratory."""
        total = np.identity(4)
        for axis in axes:
            total = self.step(axis) @ total
        return total

    def axes(self, start: Any) -> list[Any]:
        """The chain from the axis that ``start`` depends on; of a dataset its attribute counts, of a group its field."""
        found: list[Any] = []
        here, group = start, start
        while True:
            if hasattr(here, "dtype"):
                following, group = text_of(here.attrs.get("depends_on", ".")), here.parent
            else:
                following = text_of(here["depends_on"][()]) if "depends_on" in here else "."
            if following in (".", ""):
                return found
            axis = self.file.get(posixpath.normpath(posixpath.join(group.name, following)))
            if axis is None or not hasattr(axis, "dtype"):
                raise InputError(f"{self.where}: {here.name} depends on {following}, which is not there")
            found.append(axis)
            if len(found) > MOST_AXES:
                raise InputError(f"{self.where}: the axes that {start.name} depends on have no end")
            here = axis

    def module(self, place: Any) -> Module:
        """Where its pixels stand, in metres."""
        fast, slow = (self.field(place, f"{name}_pixel_direction") for name in ("fast", "slow"))
        origin, size = (tuple(np.ravel(self.field(place, name)[()]).astype(int).tolist()) for name in ("data_origin", "data_size"))
        if len(origin) < 2 or len(origin) != len(size):
            raise InputError(f"{self.where}: {place.name} has data_origin {origin} and data_size {size}")
        vectors, edges = [], []
        for axis in (slow, fast):
            total = self.frame(self.axes(axis))
            along = total[:3, :3] @ self.vector(axis)
            length = float(np.linalg.norm(along))
            vectors.append(along / length)
            edges.append(self.value(axis) * self.unit(axis.attrs, "units", LENGTHS, axis.name) * length)
        if not min(edges) > 0.0:
            raise InputError(f"{self.where}: {place.name}: the pixels must have a positive size, not {edges[1]:g} x {edges[0]:g} m")
        name = place.name.rsplit("/", 1)[-1]
        # The pixels begin where the fast direction does, which may have an offset of its own.
        begin = total @ np.append(self.offset(fast), 1.0)
        corner, across, down = (_vector(v) for v in (begin[:3], vectors[0], vectors[1]))
        return Module(name, (origin[-2], origin[-1]), (size[-2], size[-1]), corner, across, down, (edges[0], edges[1]))

    def spectrum(self, beam: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Wavelengths (A) of this frame, and their shares."""
        field = self.field(beam, "incident_wavelength")
        wavelengths = np.atleast_1d(field[()]).astype(np.float64) * self.unit(field.attrs, "units", LENGTHS, field.name) / 1e-10
        weights = beam.get("incident_wavelength_weights")
        if weights is None:
            # One for all frames, or one a frame.
            one = wavelengths[self.index if len(wavelengths) > self.index and len(wavelengths) > 1 else 0]
            return (float(one),), (1.0,)
        shares = np.atleast_1d(weights[()]).astype(np.float64)
        wavelengths, shares = (values[self.index] if values.ndim == 2 else values for values in (wavelengths, shares))
        if wavelengths.shape != shares.shape or not shares.sum() > 0.0:
            raise InputError(f"{self.where}: {field.name} and its weights have {wavelengths.size} and {shares.size} numbers")
        return tuple(wavelengths.tolist()), tuple((shares / shares.sum()).tolist())

    def rotations(self, sample: Any) -> tuple[tuple[str, Vector, float], ...]:
        """See ``Described``."""
        turns = [axis for axis in self.axes(sample) if text_of(axis.attrs.get("transformation_type", "")) == "rotation"]
        found = []
        for axis in turns:
            angle = self.value(axis) * self.unit(axis.attrs, "units", ANGLES, axis.name) / ANGLES["deg"]
            vector = self.vector(axis)
            found.append((axis.name.rsplit("/", 1)[-1], _vector(vector / np.linalg.norm(vector)), angle))
        return tuple(found)


def _vector(values: np.ndarray) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3): the right-handed rotation about a unit vector by an angle (radians), after Rodrigues."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned: np.ndarray = np.identity(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross
    return turned
