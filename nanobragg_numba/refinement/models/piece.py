"""A piece of a model: one crystal on one panel of its detector, and what the refined numbers make of both; and the pieces of an image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nanobragg_numba.experiment.parameters import Parameters

from ..kinds import BODIES, DETECTOR
from ..starting_model import Plane
from ..symmetry import CellConstraint
from .amplitudes import ShotAmplitudes
from .bodies import Body, Motion, motion_of, rotation

Tensor = torch.Tensor


@dataclass(frozen=True)
class Piece:
    """See the module. ``part`` is what concerns it of the vector."""

    shot: int
    """The starting model's number: a crystal of an image."""
    panel: int
    parameters: Parameters
    """The start, with that panel for its detector."""
    orientation: np.ndarray
    """(3, 3): that of the start."""
    plane: Plane
    """Of the whole detector."""
    constraint: CellConstraint
    bodies: Mapping[str, Body] = field(default_factory=dict)
    """By the keys of ``BODIES`` the rigid part that the panel is in."""
    amplitudes: ShotAmplitudes | None = None
    slices: Mapping[str, slice] = field(default_factory=dict)
    """Where each kind is in the part."""

    def overrides(self, part: Tensor) -> dict[str, Tensor]:
        """The overrides of ``autograd.simulate``; differentiable."""
        own = {name: part[where] for name, where in self.slices.items()}
        found: dict[str, Tensor] = {}
        if "orientation" in own:
            found["orientation"] = rotation(own["orientation"]) @ torch.from_numpy(self.orientation)
        if "cell" in own:
            found["cell"] = self.constraint.cell(own["cell"])
        if "n_cells" in own:
            found["n_cells"] = own["n_cells"].exp()
        if "n_cells_off_diagonal" in own:
            found["n_cells_off_diagonal"] = own["n_cells_off_diagonal"]
        if "mosaic_spread_deg" in own:
            found["mosaic_spread_deg"] = own["mosaic_spread_deg"][0].exp()
        if "mosaic_width_deg" in own:
            found["mosaic_width_deg"] = own["mosaic_width_deg"].exp()
        if "spectrum" in own:
            found["source_weights"] = own["spectrum"].softmax(0)
        if "scale" in own:
            found["fluence"] = own["scale"][0].exp() * self.parameters.beam.fluence
        if "structure_factors" in own and self.amplitudes is not None:
            found["structure_factors"] = self.amplitudes.table(own["structure_factors"])
        return found | self._placed(own)

    def _placed(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """First pixel and axes of the panel; none where nothing moves it."""
        motions = motions_of(self.plane, self.bodies, own)
        if not motions:
            return {}
        p = self.parameters
        pix0 = torch.tensor(p.detector.pix0_mm, dtype=torch.float64)
        axes = torch.tensor([p.axes.fast, p.axes.slow, p.axes.normal], dtype=torch.float64)
        for motion in motions:
            pix0, axes = motion.point(pix0), motion.vectors(axes)
        return {"pix0_mm": pix0, "detector_vectors": axes}


@dataclass(frozen=True)
class View:
    """A panel of an image: the pieces of all crystals that it shows."""

    image: int
    panel: int
    pieces: tuple[Piece, ...]
    columns: np.ndarray
    """Of the vector those that concern it: its part."""
    places: tuple[Tensor, ...]
    """int64: where each piece's own part is in that."""

    def overrides(self, part: Tensor) -> list[dict[str, Tensor]]:
        """Of each crystal; see ``Piece.overrides``."""
        if len(self.pieces) == 1:
            return [self.pieces[0].overrides(part)]
        return [piece.overrides(part[place]) for piece, place in zip(self.pieces, self.places, strict=True)]


def views_of(pieces: Sequence[Piece], columns: Sequence[np.ndarray], images: Sequence[int]) -> tuple[View, ...]:
    """The views of all images, panel by panel; ``images``: the image of each starting model."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, piece in enumerate(pieces):
        found.setdefault((images[piece.shot], piece.panel), []).append(number)
    views = []
    for (image, panel), numbers in found.items():
        every = np.array(list(dict.fromkeys(column for n in numbers for column in columns[n].tolist())), np.int64)
        at = {column: place for place, column in enumerate(every.tolist())}
        places = tuple(torch.tensor([at[column] for column in columns[n].tolist()], dtype=torch.int64) for n in numbers)
        views.append(View(image, panel, tuple(pieces[n] for n in numbers), every, places))
    return tuple(views)


def motions_of(plane: Plane, bodies: Mapping[str, Body], own: Mapping[str, Tensor]) -> list[Motion]:
    """The motions of a panel from its start, in their order: its own, its group's, the whole detector's."""
    found = []
    for key, (shifts, tilts) in BODIES.items():
        if shifts in own or tilts in own:
            found.append(motion_of(bodies[key], own.get(shifts), own.get(tilts)))
    if set(DETECTOR) & set(own):
        found.append(_motion_of_all(plane, own))
    return found


def _motion_of_all(plane: Plane, own: Mapping[str, Tensor]) -> Motion:
    """Of a detector turned about the point where the beam meets it."""
    axes, beam = torch.from_numpy(plane.axes), torch.from_numpy(plane.beam)
    start = torch.tensor(plane.beam_mm, dtype=torch.float64)
    turn = rotation(own["tilts_deg"] @ axes) if "tilts_deg" in own else torch.eye(3, dtype=torch.float64)
    farther = own["distance_mm"][0] - plane.distance_mm if "distance_mm" in own else torch.zeros((), dtype=torch.float64)
    across = own.get("beam_mm", start) - start
    return Motion(turn, plane.distance_mm * beam, farther * beam - across @ (axes[:2] @ turn.T))
