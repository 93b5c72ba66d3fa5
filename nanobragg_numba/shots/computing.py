"""Values, gradients and changes of the pixels of many shots, each shot with its own continuous quantities. In "spec", on the CPU."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nanobragg_numba.derivatives.bundles import CHANGE_ROWS, PIXELS, ROWS, WORK_ROWS, AdjointWork, TangentWork
from nanobragg_numba.derivatives.differentiate import DIRECTIONS_AT_ONCE
from nanobragg_numba.derivatives.flat_variables import Variables
from nanobragg_numba.kernels.arguments import Tables
from nanobragg_numba.kernels.reach.spots import NO_REACH, ROW, SEARCH_SHAPE, Reach, reach_of
from nanobragg_numba.simd.error_bound import WORK_SHAPE, is_supported, relative_error_bound

from . import entries
from .bundles import GradientWork, OfShots, ShotTangentWork, ValueWork
from .pixels import ShotPixels

STEPS_WITHOUT_THREADS = 20_000
"""A thread would hardly have started before so many are done."""
STEPS_OF_A_PART = 50_000
"""A shot of more steps is computed in several parts, so that several threads have work: whatever their number, so that the gradients,
which are added up part by part, do not depend on it."""
PARTS = 16
SLOTS = 32
"""Tables of gradients of structure factors that threads add to, at most."""
SLOT_BYTES = 2**26
"""Of all these tables together."""


@dataclass(frozen=True)
class ManyShots:
    """What is computed: ``tables``, whose continuous quantities are replaced, shot by shot, by rows of ``flats``."""

    tables: Tables
    sizes: tuple[int, ...]
    """Of ``Variables``."""
    flats: np.ndarray
    """(shots, n): ``Variables``, one behind the other."""
    factors: np.ndarray
    """(1, h, k, l), or (shots, h, k, l): structure factors."""
    pixels: ShotPixels
    steps: int
    """Of a pixel."""
    threads: int

    @cached_property
    def own(self) -> OfShots:
        """The kernels' view of the shots."""
        v = self._variables(self.flats)
        shots = len(self.flats)
        return OfShots(
            v, v.axes.reshape(shots, 3, 3), _matrices(v.mosaic, 9), _matrices(v.incident, 3), v.polarization_axis.reshape(shots, 1, 3),
            np.ascontiguousarray(self.factors, np.float64),
        )  # fmt: skip

    def _variables(self, rows: np.ndarray) -> Variables:
        ends = np.cumsum(self.sizes)
        return Variables._make(
            np.ascontiguousarray(rows[:, end - size : end], np.float64) for end, size in zip(ends, self.sizes, strict=True)
        )

    @property
    def _orientations(self) -> np.ndarray:
        return np.empty((len(self.tables.crystal.orientations), 9))

    def _threads(self, pixels: int | None = None) -> int:
        return self.threads if (self.pixels.total if pixels is None else pixels) * self.steps > STEPS_WITHOUT_THREADS else 0

    @cached_property
    def _parts(self) -> np.ndarray:
        """(n, 4): see ``ShotPixels.parts``."""
        return self.pixels.parts(max(1, STEPS_OF_A_PART // self.steps), PARTS)

    def is_covered(self, largest_factor: float) -> bool:
        """Whether the guarded engine covers all shots; ``largest_factor``: the largest magnitude in ``factors``."""
        v, crystal = self.own.variables, self.tables.crystal
        na, nb, nc = v.cells[:, :3].max(axis=0)
        # Of the longest axes, and as many times as long as mosaic rotations that are none might make them.
        lengths = np.linalg.norm(self.own.axes, axis=2).max(axis=0)
        stretch = max(1.0, float(np.linalg.norm(self.own.mosaic, axis=2).max(initial=0.0)))
        worst = crystal._replace(
            na=na, nb=nb, nc=nc, cross=(0.0, 0.0, 0.0), fudge=float(v.fudge.max()), orientations=np.diag(lengths * stretch).reshape(1, 9),
            factors=_small(crystal.factors.shape, crystal.tables, largest_factor),
            default_F=float(np.abs(v.default_F).max()),
        )  # fmt: skip
        beam = self.tables.beam._replace(kahn=float(np.abs(v.kahn).max()), wavelengths=v.wavelengths.ravel())
        rules = self.tables.rules
        both = (
            rules._replace(background=float(v.background.min()), scale=float(v.scale.min())),
            rules._replace(scale=float(v.scale.max())),
        )
        return bool(v.fudge.min() >= 0.0) and all(is_supported(Tables(self.tables.detector, beam, worst, one)) for one in both)

    @cached_property
    def _reaches(self) -> np.ndarray:
        """(shots, 16): the numbers of each shot's ``Reach``."""
        v, crystal = self.own.variables, self.tables.crystal
        if reach_of(self.tables) == NO_REACH:
            return np.tile(_numbers(NO_REACH), (len(self.flats), 1))
        # Mosaic rotations that are none make axes longer.
        stretch = max(1.0, float(np.linalg.norm(self.own.mosaic, axis=2).max(initial=0.0)))
        rows = []
        for shot, axes in enumerate(self.own.axes):
            na, nb, nc, *cross = v.cells[shot].tolist()
            own = crystal._replace(
                na=na, nb=nb, nc=nc, cross=tuple(cross), fudge=float(v.fudge[shot, 0]), orientations=axes.reshape(1, 9) * stretch
            )
            rows.append(_numbers(reach_of(self.tables._replace(crystal=own))))
        return np.array(rows)

    def values(self, dtype: np.dtype) -> np.ndarray:
        """(pixels,): photons."""
        out, nothing = np.empty(self.pixels.total, dtype), (np.zeros(0, np.float32), np.zeros(0))
        outs = (out, nothing[1]) if out.dtype == np.float32 else (nothing[0], out)
        unsure, counts = np.zeros(self.pixels.total, np.uint8), np.zeros(len(self._parts), np.int64)
        head, pixels = (self.own, self.tables), (self._parts, self.pixels.runs)
        rows = (0, len(self._parts))

        def work() -> ValueWork:
            return ValueWork(np.zeros(WORK_SHAPE), self._orientations)

        entries.shot_values.over_rows(
            rows, self._threads(), work, *head, self._reaches, *pixels, relative_error_bound(self.tables), *outs, unsure, counts
        )
        doubtful = int(counts.sum())
        if doubtful:
            entries.exact_values.over_rows(rows, self._threads(doubtful), work, *head, *pixels, *outs, unsure, counts)
        return out

    def gradients(self, grad: np.ndarray, of_factors: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """From ``grad`` (pixels,) those with respect to ``flats`` and, if wanted, to ``factors``, of their shapes."""
        table = self.own.factors[0]
        parts = self._parts
        each = of_factors and len(self.factors) > 1
        most = SLOTS if of_factors else max(self.threads, 1)
        slots = int(max(1, min(most, len(parts), SLOT_BYTES // table.nbytes if of_factors else SLOTS)))
        bars = Variables(*(np.zeros((len(parts), size)) for size in self.sizes))
        factors_bars = np.zeros((len(parts) if each else slots, table.size if of_factors else 0))
        gradient = np.ascontiguousarray(grad, grad.dtype if grad.dtype == np.float32 else np.float64)
        kinds = (gradient, np.zeros(0)) if gradient.dtype == np.float32 else (np.zeros(0, np.float32), gradient)

        def work() -> GradientWork:
            adjoint = AdjointWork(
                np.zeros((ROWS, PIXELS)), np.zeros((WORK_ROWS, PIXELS)), np.zeros(PIXELS), np.zeros(PIXELS, np.int64),
                np.zeros((2, PIXELS)), np.zeros(SEARCH_SHAPE), np.zeros(ROW, np.int64),
            )  # fmt: skip
            return GradientWork(adjoint, self._orientations, self._orientations)

        entries.shot_gradients.over_rows(
            (0, slots), self._threads(), work, slots, parts, each, self.pixels.runs, self.own, self.tables, self._reaches, *kinds,
            bars,
            _matrices(bars.mosaic, 9), factors_bars,
        )  # fmt: skip
        by_part = np.concatenate(bars, axis=1)
        by_factors = None
        if of_factors:
            rows = _sums(factors_bars, parts[:, 0], len(self.flats)) if each else factors_bars.sum(axis=0, keepdims=True)
            by_factors = rows.reshape(self.factors.shape)
        return _sums(by_part, parts[:, 0], len(self.flats)), by_factors

    def changes(self, dots: np.ndarray, factors_dot: np.ndarray | None) -> np.ndarray:
        """(K, pixels): along ``dots`` (shots, K, n), and ``factors_dot`` (K, h, k, l) where all shots share the structure factors."""
        shots, directions = dots.shape[:2]
        out = np.empty((directions, self.pixels.total))
        for start in range(0, directions, DIRECTIONS_AT_ONCE):
            part = slice(start, start + DIRECTIONS_AT_ONCE)
            rows = dots[:, part]
            count = rows.shape[1]
            v = self._variables(rows.reshape(shots * count, -1))
            tables = np.zeros((count, 0, 0, 0)) if factors_dot is None else np.ascontiguousarray(factors_dot[part], np.float64)
            image = np.empty((count, self.pixels.total))

            def work(count: int = count) -> ShotTangentWork:
                tangent = TangentWork(
                    np.zeros((ROWS, PIXELS)), np.zeros((WORK_ROWS, PIXELS)), np.zeros((count, CHANGE_ROWS, PIXELS)), np.zeros(PIXELS),
                    np.zeros(PIXELS, np.int64), np.zeros((2, PIXELS)), np.zeros(SEARCH_SHAPE), np.zeros(ROW, np.int64),
                )  # fmt: skip
                return ShotTangentWork(tangent, self._orientations, np.empty((count, len(self.tables.crystal.orientations), 9)))

            entries.shot_tangents.over_rows(
                (0, len(self._parts)), self._threads(), work, self.own, self.tables, self._reaches, self._parts, self.pixels.runs, v,
                _matrices(v.mosaic, 9), tables, image,
            )  # fmt: skip
            out[part] = image
        return out


def _numbers(reach: Reach) -> list[float]:
    return [*reach.root, reach.radius, *reach.along, reach.longest, reach.left_out, float(reach.used)]


def _small(shape: tuple[int, ...], tables: int, largest: float) -> np.ndarray:
    """A table that the guarded engine covers where it covers one of that shape, of values up to ``largest``."""
    h, k, l = (min(size, 6) for size in (shape[0] // tables, *shape[1:]))
    return np.full((tables * h, k, l), largest)


def _matrices(rows: np.ndarray, width: int) -> np.ndarray:
    """(n, m, width): the same memory."""
    return rows.reshape(len(rows), rows.shape[1] // width, width)


def _sums(rows: np.ndarray, shots: np.ndarray, count: int) -> np.ndarray:
    """(count, n): the sum of each shot's rows, which are neighbours."""
    if len(rows) == count:
        return rows
    return np.add.reduceat(rows, np.searchsorted(shots, np.arange(count)), axis=0)
