"""The rows of the vector that is refined: from which starts they can be, and which combinations of them no image depends on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.crystal import OF_TENSORS

from ..kinds import BODIES, DETECTOR, KINDS
from ..starting_model import Plane, StartingModel
from .bodies import Body, shift_mode, tilt_mode


@dataclass(frozen=True)
class Row:
    """One number of the vector."""

    name: str
    part: str
    shot: int | None
    """The number of the starting model; None: shared."""
    label: str = field(default="", compare=False)
    """Of that: its image, and its number among the crystals of this."""

    def __str__(self) -> str:
        part = f" {self.part}" if self.part else ""
        return f"{self.name}{part}" + ("" if self.shot is None else f" ({self.label})")


def labels_of(images: Sequence[int]) -> tuple[str, ...]:
    """What each starting model is called: shot 1, or shot 1, crystal 2 where the image has several."""
    counts, numbered, found = Counter(images), Counter[int](), []
    for image in images:
        numbered[image] += 1
        found.append(f"shot {image + 1}" + (f", crystal {numbered[image]}" if counts[image] > 1 else ""))
    return tuple(found)


def source_names(model: StartingModel) -> tuple[str, ...]:
    """Wavelengths in A, or numbers where sources have the same."""
    wavelengths = tuple(f"{1e10 * one:.7g} A" for one in model.experiment.sources.wavelengths)
    return wavelengths if len(set(wavelengths)) == len(wavelengths) else tuple(f"source {n + 1}" for n in range(len(wavelengths)))


def width_names(model: StartingModel) -> tuple[str, ...]:
    """The axes of widths of Gaussian mosaicity; one has none."""
    return ("a", "c* x a", "c*") if isinstance(model.parameters.crystal.mosaic_width_deg, tuple) else ("",)


def check_crystals(models: Sequence[StartingModel], own: set[str], images: Sequence[int]) -> None:
    """Raise InputError where the crystals of an image have another exposure than its first, or each would have its own."""
    for number, (model, image) in enumerate(zip(models, images, strict=True)):
        first = models[images.index(image)]
        if images.count(image) > 1 and (model.parameters.crystal.water_um != 0.0 or model.parameters.backgrounds):
            raise InputError(
                f"{labels_of(images)[number]}: background (-water, -background) would be added for each of the image's crystals: leave it "
                "out, the fit has planes for it"
            )
        if model is first:
            continue
        for name in own & {"spectrum", *DETECTOR, *(kind for kinds in BODIES.values() for kind in kinds)}:
            raise InputError(f"shot {image + 1} has several crystals: {name} cannot be each one's own")
        ours, theirs = _places(first), _places(model)
        same = ours.shape == theirs.shape and np.allclose(ours, theirs, atol=1e-9) and _same_sources(first, model)
        if not same or _seen_alike(first) != _seen_alike(model):
            raise InputError(
                f"{labels_of(images)[number]}: has another detector, beam, rotation or sampling than the image's first crystal"
            )


def _places(model: StartingModel) -> np.ndarray:
    """(panels, 9): first pixel and axes."""
    own = [panel.parameters for panel in model.panels]
    return np.array([np.concatenate([p.detector.pix0_mm or (), p.axes.fast or (), p.axes.slow or ()]) for p in own])


def _seen_alike(model: StartingModel) -> list[tuple[object, ...]]:
    """What else of an exposure changes the pixels of every crystal: polarization, the sensor's form and depth, rotation, sampling."""
    own = [panel.parameters for panel in model.panels]
    electric = np.round(model.experiment.geometry.polarization_axis, 9).tolist()
    return [
        (p.beam.polarized, p.beam.polarization, electric, p.detector.curved, p.detector.point_pixel, p.detector.thickness_um,
         p.detector.layers, p.detector.attenuation_depth_um, p.sampling.osc_deg, p.sampling.phistep_deg, p.sampling.phisteps,
         p.sampling.oversample, p.sampling.dmin_A)
        for p in own
    ]  # fmt: skip


def _same_sources(first: StartingModel, model: StartingModel) -> bool:
    ours, theirs = first.experiment.sources, model.experiment.sources
    if len(ours.wavelengths) != len(theirs.wavelengths):
        return False
    one, other = (np.column_stack([s.directions, 1e10 * s.wavelengths, s.intensities]) for s in (ours, theirs))
    return bool(np.allclose(one, other, atol=1e-9))


def check_starts(models: Sequence[StartingModel], names: Sequence[str], own: set[str], labels: Sequence[str]) -> None:
    """Raise InputError where what is refined cannot be, or cannot be shared."""
    for model, label in zip(models, labels, strict=True):
        crystal, where = model.parameters.crystal, f"{label}: "
        if "mosaic_spread_deg" in names and not ((crystal.mosaic_spread_deg or 0.0) > 0.0 and model.experiment.mosaic_domains > 1):
            raise InputError(f"{where}mosaic_spread_deg is refined from a spread above 0 with more than one domain: give -mosaic_spread")
        if "mosaic_width_deg" in names:
            if crystal.mosaic_width_deg is None or not np.all(np.array(crystal.mosaic_width_deg) > 0.0):
                raise InputError(f"{where}mosaic_width_deg is refined from a width above 0, or three: give -mosaic_width")
            if "mosaic_width_deg" not in own and width_names(model) != width_names(models[0]):
                raise InputError(f"{where}has another number of widths than shot 1: mosaic_width_deg cannot be shared")
        if "n_cells" in names and min(crystal.n_cells) <= 1.0:
            raise InputError(f"{where}n_cells is refined from more than one cell along each axis, not {crystal.n_cells}")
        if "n_cells_off_diagonal" in names and crystal.shape not in OF_TENSORS:
            raise InputError(f"{where}n_cells_off_diagonal is refined of Gaussian or flat spots: give -gauss_xtal")
        if "scale" in names and not model.parameters.beam.fluence > 0.0:
            raise InputError(f"{where}scale is refined from a fluence above 0")
        if "spectrum" in names:
            _check_sources(where, model, models[0] if "spectrum" not in own else model)
    first = models[0].plane
    for name in set(DETECTOR) & set(names) - own:
        for number, model in enumerate(models, 1):
            if not np.allclose(model.plane.axes, first.axes, atol=1e-9) or not np.allclose(model.plane.beam, first.beam, atol=1e-9):
                raise InputError(f"shot {number} has another detector than shot 1: {name} cannot be shared")


def _check_sources(where: str, model: StartingModel, first: StartingModel) -> None:
    sources, others = model.experiment.sources, first.experiment.sources
    if len(sources.intensities) < 2:
        raise InputError(f"{where}spectrum is refined of a beam of several sources: give -spectrum, -sourcefile or -dispersion")
    if not (sources.intensities > 0.0).all():
        raise InputError(f"{where}spectrum is refined from weights above 0, and that of source {np.argmin(sources.intensities) + 1} is not")
    same = len(sources.wavelengths) == len(others.wavelengths) and np.allclose(sources.wavelengths, others.wavelengths, rtol=1e-9, atol=0.0)
    if not same or not np.allclose(sources.directions, others.directions, atol=1e-9):
        raise InputError(f"{where}has other sources than shot 1: spectrum cannot be shared")


def fixed_combinations(
    rows: Sequence[Row], start: np.ndarray, models: Sequence[StartingModel], bodies: Sequence[Mapping[str, Sequence[Body]]]
) -> np.ndarray:
    """(k, n): see ``FreeParameters.fixed``."""
    found = [*_shares(rows), *_common_factor(rows, start)]
    for shot in dict.fromkeys(row.shot for row in rows):
        model = models[shot or 0]
        found += _common_motions(rows, shot, model.plane, bodies[shot or 0], len(model.panels), _can_turn(rows, models))
    return np.array(found).reshape(-1, len(rows))


def _can_turn(rows: Sequence[Row], models: Sequence[StartingModel]) -> bool:
    """Whether a turn of all crystals about the beam turns their images and changes nothing else: where no polarization, no spindle, no
    mosaic domain and no direction of another source has a place of its own about the beam, and all orientations are refined."""
    if not any(row.name == "orientation" for row in rows):
        return False
    for model in models:
        x, beam = model.experiment, model.parameters.beam
        polarized = beam.polarized and beam.polarization != 0.0
        divergent = not np.allclose(np.cross(x.sources.directions, model.plane.beam), 0.0, atol=1e-9)
        if polarized or divergent or x.phi.count > 1 or x.mosaic_domains > 1:
            return False
    return True


def _shares(rows: Sequence[Row]) -> list[np.ndarray]:
    """The mean of the numbers that make shares."""
    found: dict[tuple[str, int | None], np.ndarray] = {}
    for number, row in enumerate(rows):
        if KINDS[row.name].form == "share":
            found.setdefault((row.name, row.shot), np.zeros(len(rows)))[number] = 1.0
    return [one / one.sum() for one in found.values()]


def _common_factor(rows: Sequence[Row], start: np.ndarray) -> list[np.ndarray]:
    """That of structure factors, which scales undo: the projection on the start."""
    own = np.array([start[n] if row.name == "structure_factors" else 0.0 for n, row in enumerate(rows)])
    scaled = any(row.name == "scale" for row in rows)
    return [own / (own @ own)] if scaled and own.any() else []


def _common_motions(
    rows: Sequence[Row], shot: int | None, plane: Plane, bodies: Mapping[str, Sequence[Body]], panels: int, round_the_beam: bool
) -> list[np.ndarray]:
    """Motions of all bodies together that the body which they are in makes, too, where both are refined, and ``round_the_beam`` the
    turn about it, where orientations make that."""
    found = []
    outer = {row.name for row in rows if row.shot in (None, shot)}
    inner_first = [key for key in BODIES if key in bodies and set(BODIES[key]) & {row.name for row in rows if row.shot == shot}]
    for key in inner_first:
        covered = sum(len(body.panels) for body in bodies[key]) == panels
        if key == "panel" and "group" in bodies:
            shifts, tilts = BODIES["group"]
            for group in bodies["group"]:
                inside = [n for n, body in enumerate(bodies[key]) if set(body.panels) <= set(group.panels)]
                modes = [shift_mode(axis, bodies[key]) for axis in group.axes] if shifts in outer else []
                turned = [tilt_mode(axis, group.pivot, bodies[key]) for axis in group.axes] if tilts in outer else []
                found += [_condition(rows, shot, key, mode, inside, needs_tilts=n >= len(modes)) for n, mode in enumerate(modes + turned)]
        elif covered:
            every = list(range(len(bodies[key])))
            modes = [shift_mode(plane.beam, bodies[key])] if "distance_mm" in outer else []
            modes += [shift_mode(axis, bodies[key]) for axis in plane.axes[:2]] if "beam_mm" in outer else []
            turned = []
            if "tilts_deg" in outer:
                turned = [tilt_mode(axis, plane.distance_mm * plane.beam, bodies[key]) for axis in plane.axes]
            elif shot is None and round_the_beam:
                turned = [tilt_mode(plane.beam, np.zeros(3), bodies[key])]
            found += [_condition(rows, shot, key, mode, every, needs_tilts=n >= len(modes)) for n, mode in enumerate(modes + turned)]
    return [one for one in found if one is not None]


def _condition(
    rows: Sequence[Row], shot: int | None, key: str, mode: np.ndarray, inside: Sequence[int], needs_tilts: bool
) -> np.ndarray | None:
    """The projection of the bodies' numbers on a motion of all of them; None where their kinds that are refined cannot make it."""
    found = np.zeros(len(rows))
    names = BODIES[key]
    kinds = {row.name for row in rows if row.shot == shot} & set(names)
    if names[0] not in kinds or (needs_tilts and len(kinds) < 2):
        return None
    for half, name in enumerate(names):
        at = [n for n, row in enumerate(rows) if (row.name, row.shot) == (name, shot)]
        for body in inside if at else ():
            found[at[3 * body : 3 * body + 3]] = mode[body, 3 * half : 3 * half + 3]
    return found / (found @ found) if found.any() else None
