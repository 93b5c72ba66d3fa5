"""Where the spots of a run are, predicted from its rays without computing a pixel."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment, derive_experiment
from nanobragg_numba.experiment.parameters import Compat, Parameters
from nanobragg_numba.maths.constants import RTD

from .detector_plane import corner_resolution, hits, require_flat, slopes
from .rays import Rays, met_at_step, rays_of, squared_lengths
from .spot_shape import BOX_RADIUS, end_of, nearest_offsets, reach, share_of_peak, spot_metric

LEAST_PARTIALITY = 0.05
MOST_REFLECTIONS = 10**9
CHUNK = 1 << 18
"""Reflections looked at together."""


@dataclass(frozen=True)
class Spots:
    """Predicted spots, in order of h, k, l; a reflection that crosses the Ewald sphere inwards and outwards has two."""

    hkl: np.ndarray
    """(n, 3) int64: Miller indices."""
    centre: np.ndarray
    """(n, 2): slow, fast in pixels from the corner of the first pixel, so that pixel 0 reaches from 0 to 1. The mean over the rays that
    meet the reflection, each with its source's weight and its share of the peak."""
    resolution: np.ndarray
    """(n,): spacing d (A)."""
    box: np.ndarray
    """(n, 4) int64: fast start, fast end, slow start, slow end, ends excluded, as the ``regions`` of ``simulate_batch``; clipped to the
    part of the image that is computed."""
    partiality: np.ndarray
    """(n,): the largest share of the peak's intensity that any ray of the run reaches, the maximum of L(u)^2 / L(0)^2: u is the point of
    the Ewald sphere where the crystal's shape transform L around the reflection is largest, the rays are all sources at all phi steps and
    mosaic domains. 1: a sphere goes through the reflection."""
    phi_deg: np.ndarray
    """(n,): the spindle angle at which the lattice without mosaic domains crosses the Ewald sphere of the mean source, the one nearest to
    the middle of the sweep; beyond the sweep for a spot that is cut off by its end. nan for a still, and where it never crosses."""
    structure_factor: np.ndarray
    """(n,): electrons; nan where the parameters give none."""
    panel: np.ndarray
    """(n,) int64: the detector panel, 0."""

    def __len__(self) -> int:
        return len(self.hkl)

    def __getitem__(self, chosen: object) -> "Spots":
        """The spots that a slice, a mask (n,) or an array of rows chooses."""
        return Spots(*(np.atleast_1d(getattr(self, field.name)[chosen]) for field in fields(self)))

    def __repr__(self) -> str:
        finest = f", to {self.resolution.min():.3g} A" if len(self) else ""
        return f"<Spots: {len(self)}{finest}>"


def spots(
    parameters: Parameters | Experiment,
    resolution: float | None = None,
    *,
    compat: Compat = "spec",
    least_partiality: float = LEAST_PARTIALITY,
    widths: float | None = None,
    border: int = 0,
) -> Spots:
    """The spots on the image of ``parameters``, or of a run's ``experiment``, whose ``compat`` then counts.

    ``resolution``: the least spacing d (A), by default that of the detector's corner; ``Sampling.dmin_A`` limits it as well.
    ``least_partiality``: spots of less are left out (``Spots.partiality``). ``widths``: half a box in widths 1/N of a spot, about the
    places where the rays of the run meet the reflection, so that mosaicity, divergence, spectrum, rotation and the sensor's depth are in
    it; by default 1.48 for gauss (a box then holds 99 % of its spot), 0.63 for tophat (all of it), 2 for square and round, whose tails
    fall with a power of the distance (80 % and more). ``border``: pixels added on each side of a box.

    Reflections whose structure factor is 0, listed or by default, are left out, unless the parameters give no structure factors at all; no
    other absences are assumed. 0 0 0, the direct beam, is no spot. Time goes with the reflections near the Ewald sphere times the rays:
    sources, mosaic domains, phi steps.

    Raises InputError where the parameters make no sense, for a random orientation without a seed, a curved detector, and crystals that
    have no spots (less than two cells along an axis of a square one).
    """
    x = parameters if isinstance(parameters, Experiment) else _derived(parameters, compat)
    if not (0.0 < least_partiality <= 1.0):
        raise InputError(f"spots: least_partiality must be above 0 and at most 1, not {least_partiality!r}")
    if widths is not None and not 0.0 < widths < math.inf:
        raise InputError(f"spots: widths must be positive, not {widths!r}")
    if border < 0 or border != int(border):
        raise InputError(f"spots: border must be a whole number of pixels, 0 or more, not {border!r}")
    require_flat(x.geometry, x.tables.detector.curved, "spots")
    run = _Run(x, least_partiality, widths)
    least = _resolution(x, run.rays, resolution)
    empty = np.zeros((0, 10))
    found = np.zeros((0, 14))
    for hkl, factors in _listed(x, _reflections(x, least)):
        parts, lengths = [empty], squared_lengths(run.rays, hkl)
        for step in range(len(run.rays.reciprocal)):
            parts += [_summed(run.cuts(hkl, step, *met)) for met in met_at_step(run.rays, step, hkl, lengths, run.farthest)]
        found = np.concatenate([found, _spots_of(_summed(np.concatenate(parts)), hkl, factors, least_partiality)])
    return _finished(x, found, int(border))


def _derived(parameters: Parameters, compat: Compat) -> Experiment:
    if isinstance(parameters, Parameters) and parameters.crystal.misset_deg == "random" and parameters.crystal.misset_seed is None:
        raise InputError(
            "spots: a random orientation without a seed is another in each image: give Crystal.misset_seed (-misset_seed), "
            "or the experiment of the run"
        )
    return derive_experiment(parameters, compat)


def _resolution(x: Experiment, rays: Rays, asked: float | None) -> float:
    """The least spacing (metres)."""
    if asked is not None and not (isinstance(asked, int | float | np.number) and 0.0 < asked < math.inf):
        raise InputError(f"spots: resolution must be a positive number of A, not {asked!r}")
    corner = corner_resolution(x.geometry, float(rays.wavelengths.min()))
    # Divergent rays see the corner at larger angles.
    straying = float(np.linalg.norm(rays.incident - np.array(x.geometry.beam), axis=1).max())
    shortest = float(rays.wavelengths.min()) / 2.0
    corner = max(1.0 / (1.0 / corner + straying / (2.0 * shortest)), shortest)
    return max(corner if asked is None else max(asked * 1e-10, corner), x.tables.beam.dmin)


def _reflections(x: Experiment, least: float) -> Iterator[np.ndarray]:
    """(n, 3) float64: indices of all reflections of spacing ``least`` (metres) or more, in order of h, k, l, 0 0 0 left out."""
    lattice = np.array([x.lattice.a, x.lattice.b, x.lattice.c]) * 1e-10
    most = [int(np.linalg.norm(axis) / least) for axis in lattice]
    count = math.prod(2 * n + 1 for n in most)
    if count > MOST_REFLECTIONS:
        raise InputError(f"spots: {count:.3g} reflections lie within {least * 1e10:.3g} A: give a coarser resolution")
    a, b, c = np.linalg.inv(lattice).T
    k, l = (grid.ravel() for grid in np.meshgrid(*(np.arange(-n, n + 1.0) for n in most[1:]), indexing="ij"))
    plane = k[:, None] * b + l[:, None] * c
    squares, products = np.sum(plane**2, axis=1), plane @ a
    waiting, count = [], 0
    for h in range(-most[0], most[0] + 1):
        inside = np.flatnonzero(squares + 2.0 * h * products <= (1.0 / least) ** 2 - h * h * (a @ a))
        hkl = np.column_stack([np.full(len(inside), float(h)), k[inside], l[inside]])
        waiting.append(hkl[hkl.any(axis=1)] if h == 0 else hkl)
        count += len(inside)
        if count >= CHUNK or h == most[0]:
            # Columns are what is computed with.
            yield np.asfortranarray(np.concatenate(waiting))
            waiting, count = [], 0


def _listed(x: Experiment, chunks: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The reflections that scatter, and their structure factors."""
    table = x.tables.crystal
    none_given = x.parameters.crystal.structure_factors is None and table.default_F == 0.0
    for hkl in chunks:
        if none_given:
            yield hkl, np.full(len(hkl), math.nan)
            continue
        if table.factors.size == 1:
            yield hkl, np.full(len(hkl), float(table.default_F))
            continue
        at = hkl.astype(np.int64) - (table.h_min, table.k_min, table.l_min)
        inside = ((at >= 0) & (at < np.array(table.factors.shape) - 1)).all(axis=1)
        factors = np.full(len(hkl), float(table.default_F))
        factors[inside] = table.factors[tuple(at[inside].T)]
        yield np.asfortranarray(hkl[factors != 0.0]), factors[factors != 0.0]


# Columns of the table of what rays find; the columns of sums, and of what is largest, smallest is the negative's largest.
ROW, INWARDS, WEIGHT, SLOW, FAST, SHARE, SLOW_END, FAST_END, SLOW_START, FAST_START = range(10)
SUMS, LARGEST = slice(WEIGHT, SHARE), slice(SHARE, 10)


class _Run:
    """What all reflections of a run are held against."""

    def __init__(self, x: Experiment, least: float, widths: float | None):
        self.x, self.rays, self.shape = x, rays_of(x), x.parameters.crystal.shape
        self.metric, self.cells = spot_metric(x), np.array(x.size.cells)
        self.inverse = np.linalg.inv(self.metric)
        self.radius = BOX_RADIUS[self.shape] if widths is None else widths
        # Rays far out in a spot's tails still widen its box; those tails that fall with a power would do so without end.
        self.least = 0.01 * least if self.shape in ("gauss", "tophat") else 0.5 * least
        first = self.rays.reciprocal[0, 0]
        widest = float(np.linalg.eigvalsh(first @ self.inverse @ first.T).max())
        self.end = end_of(x)
        self.farthest = reach(self.shape, self.least, self.end) * math.sqrt(widest)
        """The largest distance (1/m) of a spot's points from the reflection."""
        still = len(self.rays.reciprocal) == 1
        self.spindle = None if still else np.array(x.geometry.spindle_axis)

    def cuts(self, hkl: np.ndarray, step: int, rows: np.ndarray, domains: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """(n, 10): what the rays find of the reflections ``hkl[rows]``, as far as that is on the detector's plane.

        The Ewald sphere is taken as its plane at the reflection's nearest point. The plane's cut through the ellipsoid u^T D u <= R^2 is,
        moved to the plane's own centre, an ellipse with the matrix D^-1 - D^-1 m m^T D^-1 / (m^T D^-1 m) for a normal m in hkl.
        """
        x, rays, geometry = self.x, self.rays, self.x.geometry
        lattices, wave = rays.reciprocal[step][domains], 1.0 / rays.wavelengths[sources]
        incident = rays.incident[sources] * wave[:, None]
        g = np.einsum("nij,nj->ni", lattices, hkl[rows])
        outwards = g + incident
        length = np.linalg.norm(outwards, axis=1)
        normal = outwards / length[:, None]
        in_hkl = np.einsum("nij,ni->nj", lattices, normal)
        offsets = nearest_offsets(self.shape, in_hkl, wave - length, self.metric, self.cells)
        share = share_of_peak(self.shape, offsets, self.metric, self.cells, self.end)
        scattered = outwards + np.einsum("nij,nj->ni", lattices, offsets)
        kept = (share >= self.least) & (scattered @ np.array(geometry.normal) * np.dot(geometry.pix0, geometry.normal) > 0.0)
        rows, share, scattered, lattices, in_hkl = rows[kept], share[kept], scattered[kept], lattices[kept], in_hkl[kept]
        places = hits(geometry, scattered, _mean_depths(x, scattered))
        flat = in_hkl @ self.inverse
        ellipse = self.inverse - flat[:, :, None] * flat[:, None, :] / np.einsum("ni,ni->n", in_hkl, flat)[:, None, None]
        along = np.einsum("nai,nij->naj", slopes(geometry, scattered), lattices)
        half = self.radius * np.sqrt(np.maximum(np.einsum("nai,nij,naj->na", along, ellipse, along), 0.0))
        ends = [hits(geometry, scattered, layer * geometry.layer_thickness) for layer in {0, geometry.layers - 1}]
        low, high = np.min(ends, axis=0) - half, np.max(ends, axis=0) + half
        weight = rays.weights[sources[kept]] * share
        inwards = np.zeros(len(rows))
        if self.spindle is not None:
            inwards = np.einsum("ni,ni->n", np.cross(self.spindle, g[kept]), incident[kept]) < 0.0
        return np.column_stack([rows, inwards, weight, weight[:, None] * places, share, high, -low])


def _mean_depths(x: Experiment, rays: np.ndarray) -> np.ndarray | float:
    """The mean depth (metres) of the sensor's layers, each with the share of photons that it absorbs."""
    geometry = x.geometry
    if geometry.thickness == 0.0:
        return 0.0
    path = geometry.mu * geometry.layer_thickness / np.abs(rays @ np.array(geometry.normal) / np.linalg.norm(rays, axis=1))
    absorbed = np.exp(-path[:, None] * np.arange(geometry.layers))
    return np.asarray(absorbed @ np.arange(geometry.layers) * geometry.layer_thickness / absorbed.sum(axis=1))


def _summed(table: np.ndarray) -> np.ndarray:
    """One row for each reflection and sense of crossing: sums, largest values."""
    if len(table) == 0:
        return table
    table = table[np.lexsort((table[:, INWARDS], table[:, ROW]))]
    firsts = np.flatnonzero(np.r_[True, np.any(np.diff(table[:, [ROW, INWARDS]], axis=0) != 0.0, axis=1)])
    found = table[firsts]
    found[:, SUMS] = np.add.reduceat(table[:, SUMS], firsts)
    found[:, LARGEST] = np.maximum.reduceat(table[:, LARGEST], firsts)
    return np.asarray(found)


def _spots_of(table: np.ndarray, hkl: np.ndarray, factors: np.ndarray, least: float) -> np.ndarray:
    """(n, 14): the rows of the table that are spots, with h, k, l and the structure factor."""
    chosen = table[table[:, SHARE] >= least] if len(table) else table
    rows = chosen[:, ROW].astype(np.int64)
    return np.column_stack([chosen, hkl[rows], factors[rows]])


def _finished(x: Experiment, found: np.ndarray, border: int) -> Spots:
    """The spots whose box holds pixels of the window."""
    ends = np.floor(found[:, [FAST_END, SLOW_END]]) + 1.0 + border
    starts = np.floor(-found[:, [FAST_START, SLOW_START]]) - border
    fast, fast_end, slow, slow_end = x.geometry.window
    starts, ends = np.maximum(starts, (fast, slow)), np.minimum(ends, (fast_end, slow_end))
    kept = (starts < ends).all(axis=1)
    found, hkl = found[kept], found[kept, 10:13].astype(np.int64)
    box = np.column_stack([starts[kept], ends[kept]])[:, [0, 2, 1, 3]].astype(np.int64)
    lattice = np.array([x.lattice.a_star, x.lattice.b_star, x.lattice.c_star])
    spacing = 1.0 / np.linalg.norm(hkl @ lattice, axis=1)
    centre = found[:, [SLOW, FAST]] / found[:, [WEIGHT]]
    panel = np.zeros(len(hkl), np.int64)
    return Spots(hkl, centre, spacing, box, found[:, SHARE], _crossings(x, hkl, found[:, INWARDS] > 0.0), found[:, 13], panel)


def _crossings(x: Experiment, hkl: np.ndarray, inwards: np.ndarray) -> np.ndarray:
    """See ``Spots.phi_deg``. With the spindle's axis e, g.s = C + A cos(phi) + B sin(phi) must be -lambda g^2 / 2."""
    if len(x.angles) == 1:
        return np.full(len(hkl), math.nan)
    beam, axis = rays_of(x), np.array(x.geometry.spindle_axis)
    mean = beam.weights @ beam.incident
    mean = mean / np.linalg.norm(mean)
    wavelength = float(beam.weights @ beam.wavelengths) * 1e10 / float(beam.weights.sum())
    g = hkl @ np.array([x.lattice.a_star, x.lattice.b_star, x.lattice.c_star])
    fixed = (g @ axis) * (mean @ axis)
    cosine, sine = g @ mean - fixed, np.cross(axis, g) @ mean
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.arccos((-wavelength * np.sum(g * g, axis=1) / 2.0 - fixed) / np.hypot(cosine, sine))
    # The excitation error falls with phi at the later of the two angles about its maximum.
    phi = np.arctan2(sine, cosine) + np.where(inwards, apart, -apart)
    middle = x.phi_start + x.phi.range / 2.0
    return np.asarray((phi + 2.0 * math.pi * np.round((middle - phi) / (2.0 * math.pi))) * RTD)
