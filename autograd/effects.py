"""Replacements without effect, which are refused, and those whose effect another undoes, which are remarked on."""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.crystal import OF_TENSORS
from nanobragg_numba.experiment.modes import mode_of
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.experiment.steps import phi_steps

Tensor = torch.Tensor


class Given(NamedTuple):
    """What an image is asked for with."""

    parameters: Parameters
    compat: Compat
    tensors: Mapping[str, Tensor]

    @property
    def spec(self) -> bool:
        """Whether the options mean what they promise, not what the reference makes of them."""
        return mode_of(self.compat).spec

    @property
    def fixed_origin(self) -> bool:
        """Whether the first pixel's place is given outright."""
        return self.spec and ("pix0_mm" in self.tensors or self.parameters.detector.pix0_mm is not None)

    @property
    def matrix_carries_wavelength(self) -> bool:
        """Whether the lattice's lengths come from a MOSFLM matrix; a cell beside it has its own."""
        crystal = self.parameters.crystal
        if crystal.mosflm_matrix is None or crystal.real_space_matrix is not None or "real_space_matrix" in self.tensors:
            return False
        return crystal.cell is None or crystal.cell[0] <= 0.0

    @property
    def own_wavelengths(self) -> bool:
        """Whether every source has a wavelength of its own."""
        sources = self.parameters.beam.sources
        return "source_wavelengths_A" in self.tensors or (sources is not None and bool((sources.wavelengths_m > 0.0).all()))

    @property
    def common_wavelength(self) -> bool:
        """Whether no source has a wavelength of its own."""
        sources = self.parameters.beam.sources
        return "source_wavelengths_A" not in self.tensors and (sources is None or not (sources.wavelengths_m > 0.0).any())

    @property
    def has_flux(self) -> bool:
        """Whether a flux gives the fluence."""
        beam = self.parameters.beam
        return beam.flux != 0.0 and beam.exposure_s > 0.0 and beam.beamsize_mm >= 0.0

    @property
    def axis_matters(self) -> bool:
        """Whether the polarization axis enters: the polarization factor, or the tilts of a divergent beam."""
        beam = self.parameters.beam
        polarized = beam.polarized and ("polarization" in self.tensors or beam.polarization != 0.0)
        steps = (beam.hdivsteps, beam.hdivrange_mrad, beam.hdivstep_mrad, beam.vdivsteps, beam.vdivrange_mrad, beam.vdivstep_mrad)
        listed = beam.sources is not None or "source_directions" in self.tensors
        return polarized or (not listed and any(step is not None and step > 0 for step in steps))


class _Rule(NamedTuple):
    name: str
    has_none: Callable[[Given], bool]
    says: str


RULES = (
    _Rule("pix0_mm", lambda g: not g.spec, "pix0_mm has no effect in compat={compat!r} (Q11); use compat='spec'"),
    _Rule(
        "source_weights",
        lambda g: not g.spec,
        "source_weights have no effect in compat={compat!r}, which weighs all sources alike; use compat='spec'",
    ),
    _Rule(
        "cell",
        lambda g: g.parameters.crystal.mosflm_matrix is not None or g.parameters.crystal.real_space_matrix is not None,
        "cell would leave the orientation of the parameters' matrix unused; replace real_space_matrix instead",
    ),
    _Rule("cell", lambda g: "real_space_matrix" in g.tensors, "cell and real_space_matrix both give the lattice; replace one of them"),
    _Rule(
        "distance_mm",
        lambda g: "close_distance_mm" in g.tensors or g.parameters.detector.close_distance_mm is not None,
        "distance_mm has no effect where close_distance_mm is given",
    ),
    *(
        _Rule(name, lambda g: g.fixed_origin, f"{name} has no effect where pix0_mm gives the first pixel's place")
        for name in ("distance_mm", "close_distance_mm", "beam_center_mm")
    ),
    _Rule(
        "beam_center_mm",
        lambda g: not g.spec and g.parameters.detector.convention in ("xds", "dials"),
        "beam_center_mm has no effect in compat={compat!r} under XDS and DIALS (Q34); use compat='spec'",
    ),
    _Rule(
        "mosaic_spread_deg",
        lambda g: "mosaic_rotations" in g.tensors or g.parameters.crystal.mosaic_rotations is not None,
        "mosaic_spread_deg has no effect where mosaic_rotations are given",
    ),
    _Rule(
        "mosaic_spread_deg",
        lambda g: g.parameters.crystal.mosaic_domains == 1,
        "mosaic_spread_deg has no effect with one mosaic domain, which is never turned; give more mosaic_domains",
    ),
    _Rule(
        "mosaic_spread_deg",
        lambda g: "mosaic_width_deg" in g.tensors or g.parameters.crystal.mosaic_width_deg is not None,
        "mosaic_spread_deg and mosaic_width_deg both give the mosaicity; replace one of them",
    ),
    _Rule("mosaic_width_deg", lambda g: not g.spec, "mosaic_width_deg has no meaning in compat={compat!r}; use compat='spec'"),
    _Rule(
        "mosaic_width_deg",
        lambda g: "mosaic_rotations" in g.tensors or g.parameters.crystal.mosaic_rotations is not None,
        "mosaic_width_deg has no effect where mosaic_rotations are given",
    ),
    _Rule(
        "osc_deg",
        lambda g: g.parameters.sampling.phistep_deg is not None,
        "osc_deg has no smooth effect where phistep_deg fixes the step; give phisteps instead",
    ),
    _Rule(
        "osc_deg",
        lambda g: g.parameters.sampling.phisteps in (0, 1),
        "osc_deg has no effect with one phi step, which is at the start of the rotation; give more phisteps",
    ),
    _Rule("fluence", lambda g: g.has_flux, "fluence has no effect where a flux is given"),
    _Rule(
        "n_cells",
        lambda g: any(width > 0.0 for width in g.parameters.crystal.size_mm),
        "n_cells has no effect where size_mm (-xtalsize) gives the crystal's size",
    ),
    _Rule(
        "n_cells_off_diagonal",
        lambda g: not g.spec,
        "n_cells_off_diagonal has no meaning in compat={compat!r}; use compat='spec'",
    ),
    _Rule(
        "n_cells_off_diagonal",
        lambda g: g.parameters.crystal.shape not in OF_TENSORS,
        "n_cells_off_diagonal is for gauss and tophat spots, and this crystal has another shape",
    ),
    _Rule(
        "n_cells_off_diagonal",
        lambda g: any(width > 0.0 for width in g.parameters.crystal.size_mm),
        "n_cells_off_diagonal needs numbers of cells beside it, n_cells, and size_mm (-xtalsize) gives the crystal's size",
    ),
    _Rule(
        "fudge",
        lambda g: g.parameters.crystal.shape == "square",
        "fudge has no effect on the spots of a square crystal; it is for round, gauss and tophat",
    ),
    _Rule(
        "polarization", lambda g: not g.parameters.beam.polarized, "polarization has no effect in a beam with polarized=False (-nopolar)"
    ),
    _Rule(
        "polarization_axis",
        lambda g: not g.axis_matters,
        "polarization_axis has no effect in a beam that is not polarized; replace polarization too, or give one that is not 0",
    ),
    _Rule(
        "wavelength_A",
        lambda g: g.own_wavelengths and not g.matrix_carries_wavelength,
        "wavelength_A has no effect where every source has a wavelength of its own; replace source_wavelengths_A",
    ),
)
NO_ROTATION = "spindle_axis: every phi step is at 0, where nothing is turned: the gradient is 0"
NO_WIDTH = "mosaic_width_deg: a width of 0 says nothing of a wider one, as points z and -z take each other's place: start above 0"
IN_THE_MATRIX = (
    "wavelength_A: a MOSFLM matrix holds the reciprocal axes times the wavelength, so that the cell grows with it and no spot "
    "moves; give real_space_matrix to refine the wavelength"
)


def refuse_without_effect(given: Given) -> None:
    """Raise InputError for a replacement that changes nothing."""
    for rule in RULES:
        if rule.name in given.tensors and rule.has_none(given):
            raise InputError(rule.says.format(compat=given.compat))


class Degenerate(NamedTuple):
    """Two kinds of replacements of which one undoes the other."""

    one: tuple[str, ...]
    other: tuple[str, ...]
    why: str


LATTICE_TURNS = ("misset_deg", "orientation", "real_space_matrix")
DEGENERATE = (
    Degenerate(
        ("cell", "real_space_matrix"), ("wavelength_A", "source_wavelengths_A"), "edges and wavelengths that grow together move no spot"
    ),
    Degenerate(
        ("distance_mm", "close_distance_mm", "pix0_mm"), ("pixel_size_mm",),
        "distance and pixels that grow together (a given beam centre with them) are seen from the sample as before",
    ),
    Degenerate(("fluence",), ("default_F", "structure_factors"), "the image depends on the fluence times F squared"),
    Degenerate(("phi_deg",), LATTICE_TURNS, "a turn about the spindle axis can be part of either"),
    Degenerate(("misset_deg",), ("orientation", "real_space_matrix"), "both turn the lattice"),
    Degenerate(("orientation",), ("real_space_matrix",), "both turn the lattice"),
    Degenerate(("mosaic_rotations",), LATTICE_TURNS, "a turn that all mosaic domains have in common can be part of either"),
    Degenerate(("detector_vectors",), ("detector_rotations_deg", "twotheta_deg"), "both turn the detector"),
    Degenerate(("twotheta_deg",), ("detector_rotations_deg",), "both turn the detector"),
)  # fmt: skip
"""Listed in docs/derivatives.md."""


def remark_on_refinement(given: Given) -> None:
    """Warn, once, where the refined tensors cannot be told from each other by the image, or have no gradient at these values."""
    refined = {name for name, tensor in given.tensors.items() if tensor.requires_grad}
    for pair in DEGENERATE:
        for one in pair.one:
            for other in pair.other:
                if one in refined and other in refined:
                    remark(f"{one} and {other} cannot both be refined from an image: {pair.why}; see docs/derivatives.md")
    if "wavelength_A" in refined and given.matrix_carries_wavelength and given.common_wavelength:
        remark(IN_THE_MATRIX)
    turned = phi_steps(given.parameters.sampling, given.compat).count > 1 or given.parameters.sampling.phi_deg != 0.0
    if "spindle_axis" in refined and not turned and not {"phi_deg", "osc_deg"} & set(given.tensors):
        remark(NO_ROTATION)
    if "mosaic_width_deg" in refined and not given.tensors["mosaic_width_deg"].detach().all():
        remark(NO_WIDTH)


def remark_on_zeros(gradients: Mapping[str, Tensor], upstream: Tensor, computed: int) -> None:
    """Warn, once, of gradients that are exactly 0 although the loss depends on most of the ``computed`` pixels."""
    zeros = [name for name, gradient in gradients.items() if not gradient.any()]
    if zeros and 2 * int(torch.count_nonzero(upstream)) > computed:
        for name in zeros:
            remark(f"{name}: its gradient is exactly 0 at these values; see docs/derivatives.md")


def remark(text: str) -> None:
    """A RuntimeWarning, which Python shows once for each text, since its place is always here."""
    warnings.warn(text, RuntimeWarning, stacklevel=1)
