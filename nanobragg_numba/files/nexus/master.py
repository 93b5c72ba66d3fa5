"""The master file of a run: NXmx, with the frames in files of their own.

What each field says is in docs/files.md. The definition is NXmx (https://manual.nexusformat.org/classes/applications/NXmx.html); where
readers ask for more or for another name than it has, both are there.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.files.output import write_whole

from .contents import SENSOR_MATERIAL, DataFile, Frame, Module, Setup, Vector, frame_of, setup_of
from .contents import pixel_mask as pixel_mask_of
from .frames import FRAMES, add_frames, group
from .hdf5 import Path, bytes_of, fill_value, in_memory

TRANSFORMATIONS = "/entry/instrument/detector/transformations"
ALL_FRAMES = "frames"
"""The virtual dataset in /entry/data. Names that begin with "data" are taken for frames by fabio, and would be counted twice."""
SIGNED_TOP = 2**31 - 3
"""The largest count that DIALS, which reads 32 bits as signed ones, does not take for a mark of a bad pixel."""


def write_master(
    path: Path,
    setup: Setup,
    frames: Sequence[Frame],
    files: Sequence[DataFile],
    dtype: Any,
    *,
    saturation: float | None = None,
    pixel_mask: np.ndarray | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
    program: str = "nanobragg_numba",
    base_command: str = "",
) -> None:
    """Write the master file of ``frames``, which stand in ``files`` one after the other, each of ``dtype``.

    ``saturation``: the largest value that can be trusted, by default what the type holds below the value of frames that were not written.
    ``pixel_mask`` (slow, fast) uint32: NXdetector's bits, 0 for good pixels. Photons are (value + ``offset``) times ``scale``.
    The file appears whole or not at all; its bytes depend on the arguments alone. The files of frames need not be there yet. Raises
    InputError where it cannot be written, and where the files hold another number of frames.
    """
    name, kind = os.fspath(path), np.dtype(dtype)
    held = sum(file.frames for file in files)
    if not frames or held != len(frames):
        raise InputError(f"write_master {name}: {len(frames)} frames, but the data files hold {held}")
    if pixel_mask is not None and pixel_mask.shape != setup.shape:
        raise InputError(f"write_master {name}: a pixel mask of shape {pixel_mask.shape}, where a frame has {setup.shape}")
    # In memory first: it is small, and a disk that is full is told by one sentence only where HDF5 does not see it.
    with in_memory("write_master") as file:
        entry = _write_entry(file, setup, frames, kind, saturation, pixel_mask, program, base_command)
        _write_data(entry, setup.shape, files, kind, scale, offset)
        content = bytes_of(file)
    write_whole(name, "write_master", [content])


def image_bytes(image: np.ndarray, x: Experiment, command: str = "", saturation: float | None = None) -> bytes:
    """An NXmx file of one image (slow, fast) with its frame inside, as bytes. ``saturation`` as for ``write_master``.

    Raises InputError for a curved detector, and where h5py or hdf5plugin is missing.
    """
    return bytes_of_image(image, setup_of(x), frame_of(x, command), pixel_mask_of(x), command, saturation)


def bytes_of_image(
    image: np.ndarray, setup: Setup, frame: Frame, pixel_mask: np.ndarray | None, command: str = "", saturation: float | None = None
) -> bytes:
    """An NXmx file of one image (slow, fast), of as many modules as ``setup`` has, with its frame inside, as bytes."""
    with in_memory("save") as file:
        entry = _write_entry(file, setup, [frame], image.dtype, saturation, pixel_mask, "nanobragg_numba", command)
        data = group(entry, "data", "NXdata", signal="data")
        add_frames(data, (1, *setup.shape), image.dtype)[0] = image
        content = bytes_of(file)
    return content


def _write_entry(
    file: Any, setup: Setup, frames: Sequence[Frame], dtype: np.dtype, saturation: float | None, pixel_mask: np.ndarray | None,
    program: str, base_command: str,
) -> Any:  # fmt: skip
    """All but the data."""
    if saturation is None and dtype.kind != "f":
        saturation = min(int(np.iinfo(dtype).max) - 1, SIGNED_TOP)
    file.attrs["default"] = "entry"
    entry = group(file, "entry", "NXentry", default="data")
    entry["definition"] = _text("NXmx")
    _field(entry, "program_name", _text(program))
    source = group(entry, "source", "NXsource")
    _field(source, "name", _text("simulation"), short_name="simulation")
    instrument = group(entry, "instrument", "NXinstrument")
    _field(instrument, "name", _text("nanobragg_numba"), short_name="nanobragg_numba")
    _write_beam(group(instrument, "beam", "NXbeam"), setup, frames)
    _write_detector(group(instrument, "detector", "NXdetector"), setup, dtype, len(frames), saturation, pixel_mask)
    _write_sample(group(entry, "sample", "NXsample"), setup, frames)
    _write_simulation(group(entry, "simulation", "NXcollection"), frames, base_command)
    return entry


def _text(value: str) -> np.bytes_:
    # Text of fixed length, and a scalar: some readers take nothing else.
    return np.bytes_(value.encode() or b" ")


def _field(parent: Any, name: str, value: Any, units: str | None = None, **attributes: Any) -> Any:
    dataset = parent.create_dataset(name, data=value)
    if units is not None:
        dataset.attrs["units"] = np.bytes_(units)
    for key, text in attributes.items():
        dataset.attrs[key] = np.bytes_(text) if isinstance(text, str) else text
    return dataset


def _write_data(entry: Any, shape: tuple[int, int], files: Sequence[DataFile], dtype: np.dtype, scale: float, offset: float) -> None:
    import h5py

    data = group(entry, "data", "NXdata", signal=ALL_FRAMES)
    all_frames = (sum(file.frames for file in files), *shape)
    # By the low-level interface: the other leaves the time of day in the file.
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    # A file that is missing reads as this, which no image has, and not as zeros.
    properties.set_fill_value(np.array(fill_value(dtype)))
    start = 0
    for number, file in enumerate(files, 1):
        data[f"data_{number:06d}"] = h5py.ExternalLink(file.name, FRAMES)
        place = h5py.h5s.create_simple(all_frames)
        place.select_hyperslab((start, 0, 0), (file.frames, *shape))
        source = h5py.h5s.create_simple((file.frames, *shape))
        properties.set_virtual(place, file.name.encode(), FRAMES.encode(), source)
        start += file.frames
    kind = h5py.h5t.py_create(dtype, logical=True)
    made = h5py.h5d.create(data.id, ALL_FRAMES.encode(), kind, h5py.h5s.create_simple(all_frames), properties)
    h5py.Dataset(made).attrs["interpretation"] = "image"
    for names, value, nothing in ((("data_scaling_factor", "data_scale_factor"), scale, 1.0), (("data_offset",), offset, 0.0)):
        if value != nothing:
            for name in names:
                _field(data, name, float(value))


def _axis(parent: Any, name: str, value: Any, units: str, kind: str, vector: Vector, depends_on: str) -> Any:
    """A transformation: a translation or a rotation by ``value`` along or about ``vector``, a unit vector."""
    return _field(
        parent, name, value, units, transformation_type=kind, vector=np.array(vector), offset=np.zeros(3), offset_units="m",
        depends_on=depends_on,
    )  # fmt: skip


def _write_beam(beam: Any, setup: Setup, frames: Sequence[Frame]) -> None:
    wavelengths, weights = _spectra(frames)
    _field(beam, "incident_wavelength", wavelengths, "angstrom")
    if weights is not None:
        _field(beam, "incident_wavelength_weights", weights)
    if setup.stokes is not None:
        _field(beam, "incident_polarization_stokes", np.array(setup.stokes))
    _field(beam, "fluence", _once([frame.fluence for frame in frames]), "1/m^2")
    if setup.beam_size > 0.0:
        _field(beam, "incident_beam_size", np.full(2, setup.beam_size), "m")
        _field(beam, "profile", _text("rectangular"))
    _field(beam, "incident_beam_divergence", np.array(setup.divergence), "rad")


def _once(values: list[float]) -> Any:
    """An array, or one number where all that are numbers are the same."""
    array = np.array(values, dtype=np.float64)
    known = array[~np.isnan(array)]
    return array if len(known) == 0 or np.any(known != known[0]) else float(known[0])


def _spectra(frames: Sequence[Frame]) -> tuple[Any, np.ndarray | None]:
    """Wavelengths and weights in NXbeam's forms: a number, one a frame, a spectrum, or a spectrum a frame."""
    spectra = {(frame.wavelengths_A, frame.weights) for frame in frames if frame.wavelengths_A}
    channels = max((len(wavelengths) for wavelengths, _ in spectra), default=0)
    if channels <= 1:
        return _once([frame.wavelengths_A[0] if frame.wavelengths_A else np.nan for frame in frames]), None
    if len(spectra) == 1:
        wavelengths, weights = spectra.pop()
        return np.array(wavelengths), np.array(weights)
    # A shorter one goes on with its last wavelength, of no weight.
    rows = [
        (
            [*frame.wavelengths_A, *frame.wavelengths_A[-1:] * (channels - len(frame.wavelengths_A))] or [np.nan] * channels,
            [*frame.weights, *[0.0] * (channels - len(frame.weights))],
        )
        for frame in frames
    ]
    return np.array([row for row, _ in rows]), np.array([row for _, row in rows])


def _write_detector(detector: Any, setup: Setup, dtype: np.dtype, frames: int, saturation: float | None, mask: np.ndarray | None) -> None:
    import hdf5plugin

    first = setup.modules[0]
    translation = f"{TRANSFORMATIONS}/translation"
    detector["depends_on"] = _text(translation)
    _field(detector, "description", _text("simulated detector"))
    _field(detector, "type", _text("pixel"))
    distance = first.distance()
    if distance is not None:
        _field(detector, "distance", distance, "m")
        slow, fast = first.beam_centre() or (np.nan, np.nan)
        _field(detector, "beam_center_x", first.origin[1] + fast, "pixel")
        _field(detector, "beam_center_y", first.origin[0] + slow, "pixel")
    _field(detector, "x_pixel_size", first.pixel_size[1], "m")
    _field(detector, "y_pixel_size", first.pixel_size[0], "m")
    _field(detector, "count_time", setup.exposure_s, "s")
    _field(detector, "frame_time", setup.exposure_s, "s")
    _field(detector, "sensor_material", _text(SENSOR_MATERIAL))
    _field(detector, "sensor_thickness", setup.sensor_thickness, "m")
    if setup.sensor_attenuation_depth is not None:
        _field(detector, "sensor_attenuation_depth", setup.sensor_attenuation_depth, "m")
    if saturation is not None:
        _field(detector, "saturation_value", saturation)
    if dtype.kind != "f":
        _field(detector, "underload_value", 0)
        _field(detector, "bit_depth_readout", 8 * dtype.itemsize)
    _field(detector, "bit_depth_image", 8 * dtype.itemsize)
    if mask is not None:
        detector.create_dataset("pixel_mask", data=mask.astype(np.uint32), chunks=setup.shape, **hdf5plugin.Bitshuffle())
    # Dectris's names: how many frames there should be, whatever files are there.
    specific = group(detector, "detectorSpecific", "NXcollection")
    for name, number in (("nimages", frames), ("ntrigger", 1)):
        _field(specific, name, number)
    # XDS's plug-in takes the size of a frame from this one, and it reads none that is compressed.
    bits = np.zeros(setup.shape, np.uint8) if mask is None else mask
    _field(specific, "pixel_mask", bits.astype(np.uint8 if bits.max() < 256 else np.uint32))
    slow_pixels, fast_pixels = setup.shape
    _field(specific, "x_pixels_in_detector", fast_pixels)
    _field(specific, "y_pixels_in_detector", slow_pixels)
    reach = distance or 0.0
    chain = group(detector, "transformations", "NXtransformations")
    _axis(chain, "translation", reach, "m", "translation", (0.0, 0.0, 1.0), ".")
    for module in setup.modules:
        _write_module(group(detector, module.name, "NXdetector_module"), module, translation, reach)


def _write_module(place: Any, module: Module, depends_on: str, reach: float) -> None:
    _field(place, "data_origin", np.array(module.origin))
    _field(place, "data_size", np.array(module.size))
    across = np.array(module.corner) - (0.0, 0.0, reach)
    length = float(np.linalg.norm(across))
    x, y, z = (across / length).tolist() if length > 0.0 else (1.0, 0.0, 0.0)
    _axis(place, "module_offset", length, "m", "translation", (x, y, z), depends_on)
    for name, size, vector in (("fast", module.pixel_size[1], module.fast), ("slow", module.pixel_size[0], module.slow)):
        _axis(place, f"{name}_pixel_direction", size, "m", "translation", vector, f"{place.name}/module_offset")


def _write_sample(sample: Any, setup: Setup, frames: Sequence[Frame]) -> None:
    sample["name"] = _text("simulated crystal")
    sample["depends_on"] = _text("/entry/sample/transformations/phi")
    _field(sample, "unit_cell", np.array([frame.cell for frame in frames]))
    ub = np.array([frame.ub for frame in frames])
    _field(sample, "ub_matrix", ub, "1/angstrom")
    starts, ends = _angles(frames)
    turns = group(sample, "transformations", "NXtransformations")
    _axis(turns, "phi", starts, "deg", "rotation", setup.spindle, ".")
    _field(turns, "phi_end", ends, "deg")
    _field(turns, "phi_increment_set", float(np.median(ends - starts)), "deg")


def _angles(frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """Spindle angle at the start and at the end of each frame (degrees); one that is unknown goes on where the one before ended."""
    starts, ends, last = [], [], 0.0
    for frame in frames:
        start = last if np.isnan(frame.phi_deg) else frame.phi_deg
        last = start + (0.0 if np.isnan(frame.osc_deg) else frame.osc_deg)
        starts.append(start)
        ends.append(last)
    return np.array(starts), np.array(ends)


def _write_simulation(place: Any, frames: Sequence[Frame], base_command: str) -> None:
    import h5py

    _field(place, "frames", len(frames))
    _field(place, "failed", np.array([bool(frame.failed) for frame in frames]).astype(np.uint8))
    words = h5py.string_dtype()
    place.create_dataset("reason", data=[frame.failed for frame in frames], dtype=words)
    place.create_dataset("command", data=[frame.command for frame in frames], dtype=words)
    place.create_dataset("base_command", data=base_command, dtype=words)
    for name in ("misset", "mosaic", "noise"):
        seeds = [0 if frame.seeds is None else getattr(frame.seeds, name) for frame in frames]
        _field(place, f"seed_{name}", np.array(seeds, dtype=np.int64))
