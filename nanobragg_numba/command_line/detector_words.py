"""What the words about the detector mean together in "spec", in whatever order they stand.

The reference lets later words undo earlier ones of another meaning: a vector makes the convention "custom", a convention drops the
vectors, and half a dozen words set the pivot by the way. Here a convention keeps its axes but for those that are given, and its pivot.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.conventions import CONVENTIONS, Convention
from nanobragg_numba.experiment.detector import derive_geometry
from nanobragg_numba.experiment.parameters import Detector, Parameters

Settings = dict[str, Any]
CONVENTION_WORDS = ("-mosflm", "-xds", "-adxv", "-denzo", "-dials")
AXES = {
    "-fdet_vector": ("detector.fast_axis", "axes.fast"),
    "-sdet_vector": ("detector.slow_axis", "axes.slow"),
    "-odet_vector": ("detector.normal_axis", "axes.normal"),
    "-beam_vector": ("beam.direction", "axes.beam"),
    "-polar_vector": ("beam.polarization_axis", "axes.polarization_axis"),
    "-spindle_axis": ("sampling.spindle_axis", "axes.spindle_axis"),
    "-twotheta_axis": ("detector.twotheta_axis", "axes.twotheta_axis"),
}
"""Word: the field it sets by itself, and the one that replaces a convention's axis."""
NEAREST = ("-Xclose", "-Yclose", "-ORGX", "-ORGY")
TURNS_ABOUT_SAMPLE = (*NEAREST, "-close_distance", "-twotheta")
"""Any of these, and no -pivot, and the convention "custom" turns about the sample."""
TILT = math.cos(math.radians(1.0))
"""Cosine of the angle by which -odet_vector may miss the direction at right angles to fast and slow."""


def settle(settings: Settings, given: Mapping[str, int], header: Settings) -> None:
    """Make ``settings`` what the words of the line, ``given``, mean together. Raises InputError where they contradict one another.

    ``given`` has the place of the last word for each row of the option table, by the row's first word; the settings of image
    headers, ``header``, are in ``settings`` beneath those words.
    """
    named = max((word for word in CONVENTION_WORDS if word in given), key=given.__getitem__, default=None)
    vectors = [word for word in (*AXES, "-pix0_vector") if word in given]
    if named is not None:
        settings["detector.convention"] = named[1:]
        for word in vectors:
            if word in AXES:
                own, axis = AXES[word]
                settings[axis] = tuple(settings.pop(f"{own}.{i}") for i in range(3))
    _settle_pivot(settings, given, settings.get("detector.convention", Detector.convention), header.get("detector.pivot"))
    _drop_headers(settings, given, rounded="detector.convention" not in header)
    _check_sizes(settings, given)
    if "-odet_vector" in given:
        _check_normal(settings)


def _settle_pivot(settings: Settings, given: Collection[str], convention: str, header_pivot: str | None) -> None:
    pivot = settings.get("asked.pivot")
    if convention == "custom":
        about_sample = any(word in given for word in TURNS_ABOUT_SAMPLE)
        settings["detector.pivot"] = pivot or ("sample" if about_sample else header_pivot or "beam")
        return
    settings.pop("detector.pivot", None)
    own = CONVENTIONS[convention].pivot
    if pivot is not None and pivot != own:
        raise InputError(f"-pivot {pivot}: the convention {convention} turns the detector about the {own}")


def _drop_headers(settings: Settings, given: Collection[str], rounded: bool) -> None:
    """A word about the detector's place has the last word over what a header says of it in another way.

    Without such a word, of a header's two points the one counts that the detector turns about, and of its distances the one to
    that point, where both are one geometry, ``rounded``; our own headers give only what was asked for, exactly.
    """
    convention = settings.get("detector.convention", Detector.convention)
    pivot = settings["detector.pivot"] if convention == "custom" else CONVENTIONS[convention].pivot
    beam, nearest = ("-Xbeam" in given or "-Ybeam" in given), any(word in given for word in NEAREST)
    points = {kind: [name for name in settings if name.startswith(f"detector.{kind}")] for kind in ("org_pixels", "beam_center")}
    if rounded and not beam and not nearest and all(points.values()):
        beam, nearest = pivot == "beam", pivot != "beam"
    if beam != nearest:
        for name in points["org_pixels" if beam else "beam_center"]:
            del settings[name]
    for i, axis in enumerate("XY"):
        if f"-{axis}close" in given and f"-ORG{axis}" not in given:
            settings.pop(f"detector.org_pixels.{i}", None)
    along_beam = "-distance" in given or (rounded and pivot == "beam" and "detector.distance_mm" in settings)
    if along_beam and "-close_distance" not in given:
        settings.pop("detector.close_distance_mm", None)


def _check_sizes(settings: Settings, given: Collection[str]) -> None:
    pixel = settings.get("detector.pixel_size_mm", Detector.pixel_size_mm)
    for axis, letter in enumerate("fs"):
        pixels, size = settings.get(f"detector.pixels.{axis}", 0), settings.get(f"detector.size_mm.{axis}")
        both = all(f"-det{what}" in given or f"-det{what}_{letter}" in given for what in ("pixels", "size"))
        if both and pixels > 0 and size is not None and abs(pixels * pixel - size) > 0.5 * pixel:
            raise InputError(f"-detpixels and -detsize contradict one another: {pixels} pixels of {pixel:g} mm are not {size:g} mm")


def _check_normal(settings: Settings) -> None:
    """Raise InputError where -odet_vector is far from fast x slow, which replaces it."""
    convention = CONVENTIONS.get(settings.get("detector.convention", Detector.convention))
    fast, slow, normal = (_axis(settings, word, convention) for word in ("-fdet_vector", "-sdet_vector", "-odet_vector"))
    upright = [fast[i - 2] * slow[i - 1] - fast[i - 1] * slow[i - 2] for i in range(3)]
    along = sum(x * y for x, y in zip(upright, normal, strict=True))
    lengths = math.hypot(*upright) * math.hypot(*normal)
    if lengths > 0.0 and abs(along) < TILT * lengths:
        raise InputError("-odet_vector is not at right angles to -fdet_vector and -sdet_vector, which say how the detector is tilted")


def _axis(settings: Settings, word: str, convention: Convention | None) -> Sequence[float]:
    """The vector that belongs to a word."""
    own, replaced = AXES[word]
    name, axis = own.split(".")[1], replaced.split(".")[1]
    if convention is not None:
        vector: Sequence[float] = settings.get(replaced, getattr(convention, axis))
        return vector
    return [settings.get(f"{own}.{i}", getattr(Detector, name)[i]) for i in range(3)]


def check_distances(parameters: Parameters, given: Collection[str]) -> None:
    """Raise InputError where -distance and -close_distance are both on the line and put the detector in different places."""
    if "-distance" not in given or "-close_distance" not in given or parameters.detector.pix0_mm is not None:
        return
    close = derive_geometry(parameters, "spec").close_distance
    along = derive_geometry(replace(parameters, detector=replace(parameters.detector, close_distance_mm=None)), "spec").close_distance
    if abs(close - along) > 1e-4 * abs(close):
        raise InputError("-distance and -close_distance contradict one another: leave one of them out")
