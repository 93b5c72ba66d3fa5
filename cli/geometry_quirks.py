"""Which of the reference's quirks of geometry and steps changed an image made with -compat c.

Each compares what the reference made with what "spec" makes of the same words, so that a word which happens to change nothing is passed
over.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from nanobragg_numba.command_line.detector_words import CONVENTION_WORDS
from nanobragg_numba.command_line.reading import CommandLine, meant
from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.beam import grid_steps
from nanobragg_numba.experiment.conventions import starting_axes
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Parameters
from nanobragg_numba.experiment.placement import Frame
from nanobragg_numba.experiment.steps import layer_steps, phi_steps
from nanobragg_numba.maths.vectors3 import cross, dot, magnitude

SAME = 1e-9
"""Relative difference that rounding may make."""

AMBIGUOUS = ("_vector", "_axis", "-pivot", "-detsize", "-close_distance", "-img", "-mask")
"""Parts of the words that "spec" may take for something else than "c" does."""


def _differ(x: float, y: float, scale: float = 0.0) -> bool:
    return not abs(x - y) <= SAME * max(abs(x), abs(y), scale)


class _Line:
    """A line that was read in "c", its experiment, and what "spec" takes the words for."""

    def __init__(self, line: CommandLine, x: Experiment):
        self.line, self.x, self.p = line, x, x.parameters

    @cached_property
    def _reading(self) -> tuple[Parameters | None, str]:
        if not any(part in word for word in self.line.words for part in AMBIGUOUS):
            return self.p, ""
        try:
            return meant(self.line), ""
        except InputError as error:
            return None, str(error)

    @property
    def meant(self) -> Parameters | None:
        """None where "spec" refuses the words."""
        return self._reading[0]

    @property
    def refusal(self) -> str:
        """Why it does."""
        return self._reading[1]


def _turned(parameters: Parameters) -> bool:
    return parameters.detector.twotheta_deg != 0.0 or any(parameters.detector.rotations_deg)


def _other_twotheta(run: _Line) -> bool:
    return run.meant is not None and run.meant.detector.twotheta_deg != run.p.detector.twotheta_deg


def _stretched(run: _Line) -> bool:
    detector = run.p.detector
    return detector.convention == "custom" and detector.twotheta_deg != 0.0 and _differ(magnitude(detector.twotheta_axis), 1.0)


def _dropped_axes(run: _Line) -> bool:
    """Whether a convention and vectors stand on the line, and the ones that lost would have made another detector, beam or spindle."""
    if run.meant is None or run.meant.detector.convention not in {word[1:] for word in CONVENTION_WORDS}:
        return False
    (ours, _), (theirs, _) = starting_axes(run.meant, "c"), starting_axes(run.p, "c")
    same = all(not _differ(x, y, 1.0) for v, w in zip(ours[:-1], theirs[:-1], strict=True) for x, y in zip(v, w, strict=True))
    return not same or run.meant.detector.convention != run.p.detector.convention


def _other_pivot(run: _Line) -> bool:
    if run.refusal.startswith("-pivot "):
        return _turned(run.p)
    if run.meant is None or not _turned(run.meant) or _dropped_axes(run):
        return False
    return Frame(run.meant.detector, starting_axes(run.meant, "c")[0], 1.0, (1.0, 1.0)).pivot != run.x.geometry.pivot


def _unused_centre(run: _Line) -> bool:
    """Whether the detector is not where a beam centre (XDS, DIALS), or ORGX and ORGY (the others), put it."""
    g, detector = run.x.geometry, run.p.detector
    if run.meant is not None:
        # Header and words may both give them.
        detector = replace(
            detector, beam_center_mm=run.meant.detector.beam_center_mm, org_pixels=run.meant.detector.org_pixels,
            beam_center_y_m=run.meant.detector.beam_center_y_m,
        )  # fmt: skip
    frame = Frame(detector, starting_axes(run.p, "c")[0], g.pixel_size, g.size)
    if detector.convention in ("xds", "dials"):
        asked, got = frame.beam_centre, (g.fclose, g.sclose)
    elif detector.convention != "custom" or detector.beam_center_mm == (None, None):
        asked, got = frame.org, (g.fclose, g.sclose)
    else:
        return False
    return any(not math.isnan(x) and abs(x - y) > 1e-6 * g.pixel_size for x, y in zip(asked, got, strict=True))


def _tilted_centre(run: _Line) -> bool:
    """Whether a beam centre was taken for the nearest point although the beam does not run along the detector's normal."""
    g, detector = run.x.geometry, run.p.detector
    if detector.convention != "custom" or g.pivot != "sample" or detector.beam_center_mm == (None, None):
        return False
    axes = starting_axes(run.p, "spec")[0]
    return abs(dot(axes.beam, axes.fast)) > SAME or abs(dot(axes.beam, axes.slow)) > SAME


def _other_distance(run: _Line) -> bool:
    given = run.p.detector.close_distance_mm
    return given is not None and _differ(run.x.geometry.close_distance, given / 1000.0)


def _unused_distance(run: _Line) -> bool:
    return "-distance and -close_distance" in run.refusal


def _unused_size(run: _Line) -> bool:
    return "-detpixels and -detsize" in run.refusal


def _skewed(run: _Line) -> bool:
    if run.refusal.startswith("-odet_vector "):
        return True
    axes = starting_axes(run.p, "c")[0]
    upright = cross(axes.fast, axes.slow)
    return _differ(magnitude(upright), 1.0) or _differ(abs(dot(upright, axes.normal)), 1.0)


def _backwards(run: _Line) -> bool:
    """Whether a negative oscillation or step was taken for none."""
    sampling = run.p.sampling
    return any(angle is not None and angle < 0.0 for angle in (sampling.osc_deg, sampling.phistep_deg))


def _attempted(steps: Callable[[], Any]) -> Any:
    try:
        return steps()
    except InputError:
        return None


def _other_phi_steps(run: _Line) -> bool:
    if _backwards(run):
        return False
    ours, theirs = _attempted(lambda: phi_steps(run.p.sampling, "spec")), run.x.phi
    return ours is None or ours.count != theirs.count or _differ(ours.step, theirs.step)


def _other_grid(run: _Line) -> bool:
    sources, beam = run.x.sources, run.p.beam
    if beam.sources is not None:
        return False
    ours = _attempted(lambda: grid_steps(beam, "spec"))
    theirs = (sources.hdiv, sources.vdiv, sources.dispersion)
    if ours is None:
        return True
    return any(
        mine.count != its.count or _differ(mine.step, its.step) or _differ(mine.range, its.range)
        for mine, its in zip(ours, theirs, strict=True)
        if max(mine.count, its.count) > 1
    )


def _other_layers(run: _Line) -> bool:
    g, detector = run.x.geometry, run.p.detector
    ours = _attempted(lambda: layer_steps(detector.thickness_um * 1e-6, detector.layers))
    return ours is None or ours.count != g.layers


def _transparent(run: _Line) -> bool:
    return run.x.geometry.thickness > 0.0 and run.x.geometry.mu == 0.0


TILTED_CENTRE = (
    "-Xbeam -Ybeam were taken for the point nearest to the sample, which is not where the beam meets this tilted detector; -pivot beam"
)
QUIRKS: tuple[tuple[str, Callable[[_Line], bool], str], ...] = (
    ("Q30", _other_twotheta, "the first number of -twotheta_axis was read as the two-theta angle; give -twotheta after it, or -compat spec"),
    ("Q31", _stretched, "-twotheta_axis is not of unit length, and the swing stretched the detector; make it one long, or -compat spec"),
    ("Q32", _dropped_axes, "of a convention and a vector on one line, the later dropped the other; -compat spec takes both"),
    ("Q33", _other_pivot, "the last of many words set what the detector turns about; -pivot at the end of the line, or -compat spec"),
    ("Q34", _unused_centre, "-Xbeam -Ybeam under XDS and DIALS, or -ORGX -ORGY under the other conventions, did not place the detector; -compat spec"),
    ("Q35", _tilted_centre, TILTED_CENTRE),
    ("Q36", _other_distance, "the detector is not at -close_distance, which was worked out before the two-theta swing; -pivot sample, or -compat spec"),
    ("Q37", _unused_distance, "-distance was not used, since -close_distance is given; -compat spec refuses the two where they contradict"),
    ("Q38", _unused_size, "-detsize was not used, since -detpixels is given; -compat spec refuses the two where they contradict"),
    ("Q39", _skewed, "the detector's axes and normal are not at right angles, as its pixels are taken to be; -compat spec"),
    ("Q40", _backwards, "a negative -osc or -phistep was taken for none; -compat spec turns the other way"),
    ("Q41", _other_phi_steps, "the phi steps are not those asked for: a rounded quotient, or -phisteps and -phistep together; -compat spec"),
    ("Q42", _other_grid, "divergence or spectrum is not as asked for: one step made two, a grid off the beam, or a range of 1 radian; -compat spec"),
    ("Q43", _other_layers, "the sensor's layers are not those asked for; -compat spec"),
    ("Q45", _transparent, "-detector_thick after -detector_abs inf made a sensor that absorbs nothing, and the image is blank; give it before, or -compat spec"),
    ("Q44", lambda run: run.p.crystal.misset_deg == "random", "random orientations are not uniform: small rotations are too frequent; -compat spec"),
)  # fmt: skip


def geometry_notes(line: CommandLine, experiment: Experiment) -> list[str]:
    """One sentence for each of these quirks that touched the image; of those that "spec" shares, there too."""
    run = _Line(line, experiment)
    if mode_of(experiment.compat).spec:
        return [TILTED_CENTRE] if _tilted_centre(run) else []
    return [f"{name}: {text}" for name, applies, text in QUIRKS if applies(run)]
