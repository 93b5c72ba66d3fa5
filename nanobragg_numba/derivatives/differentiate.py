"""Derivatives of an image: J^T g, J v, and the change of J^T g along v, all without storing a step.

``kernels`` sum over pixels and steps: those of cpu.py, or those of a GPU (cuda_kernels/derivatives.py).
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nanobragg_numba.errors import InputError
from nanobragg_numba.experiment.derive import Experiment
from nanobragg_numba.kernels.arguments import Tables

from . import entries
from .bundles import Turning
from .flat_variables import Variables, split, tables_at, variables_of

DIRECTIONS_AT_ONCE = 16


@dataclass(frozen=True)
class Rendered:
    """An experiment whose image has been computed, and what its derivatives need to know of that."""

    experiment: Experiment
    computed: np.ndarray
    """(slow, fast) bool: pixels computed."""
    first_pixel: int
    leaving_pixel: int
    """Index of the pixel at which interpolation ended (Q2), or -1."""

    @property
    def variables(self) -> Variables:
        """The continuous quantities of the experiment's tables."""
        return variables_of(self.experiment)

    @property
    def factors(self) -> np.ndarray:
        """(h, k, l): the table of structure factors."""
        return self.experiment.tables.crystal.factors


class Kernels(Protocol):
    """What sums over pixels and steps. Images and tables of structure factors are arrays of the kernels' own device."""

    def adjoint_sums(
        self, run: Rendered, tables: Tables, sizes: tuple[int, ...], grad: Any, with_factors: bool
    ) -> tuple[np.ndarray, np.ndarray, Any]:
        """From ``grad`` (slow, fast) the gradients with respect to the flat variables, to each step's lattice axes (2, steps, 9), those of
        the first sweep behind the others, and to the structure factors (h, k, l), None unless ``with_factors``."""

    def tangent_images(self, run: Rendered, tables: Tables, dots: Variables, lattice_dot: np.ndarray, factors_dot: Any) -> Any:
        """Derivative images (K, slow, fast) from ``dots``, arrays (K, n), ``lattice_dot`` (2, K, steps, 9), and ``factors_dot``, which
        is None or (K, h, k, l)."""


def _check(run: Rendered) -> None:
    rules = run.experiment.tables.rules
    if rules.each_thick or rules.each_polar or rules.each_omega:
        what = "the running sum" if rules.running_products else "each step alone"
        raise InputError(
            f"-oversample_thick, -oversample_polar and -oversample_omega multiply {what} in compat={run.experiment.compat!r} (Q3): "
            "no derivatives for these; use compat='spec', which applies the factors at every sub-pixel"
        )


def _turnings(v: Variables) -> tuple[Turning, Turning]:
    """What the lattices of all sweeps but the first are turned from, and those of the first; or gradients or changes of it."""
    rotations = v.mosaic.reshape(-1, 9)
    return Turning(v.axes, v.spindle, v.angles, rotations), Turning(v.axes, v.spindle, v.first_angles, rotations)


def adjoint(
    run: Rendered, flat: np.ndarray, factors: np.ndarray, grad: Any, kernels: Kernels, with_factors: bool = True
) -> tuple[np.ndarray, Any]:
    """J^T g: gradients with respect to the flat variables and, ``with_factors``, the structure factors from ``grad`` (slow, fast).

    ``flat`` and ``factors`` may be complex (derivatives/complex_step.py); the results then are.
    """
    _check(run)
    kind = np.result_type(flat, factors)
    flat, factors = flat.astype(kind), np.ascontiguousarray(factors, kind)
    sizes = run.variables.sizes
    v = split(flat, sizes)
    total, lattice_bar, factors_bar = kernels.adjoint_sums(run, tables_at(v, factors, run.experiment.tables), sizes, grad, with_factors)
    bars = split(total, sizes)
    lattice_adjoint = entries.complex_lattice_adjoint if kind.kind == "c" else entries.lattice_adjoint
    for turning, bar, turning_bar in zip(_turnings(v), lattice_bar, _turnings(bars), strict=True):
        lattice_adjoint(turning, np.ascontiguousarray(bar), turning_bar)
    return total, factors_bar


def tangent(run: Rendered, flat: np.ndarray, factors: np.ndarray, flat_dot: np.ndarray, factors_dot: Any, kernels: Kernels) -> list[Any]:
    """J v: derivative images (K, slow, fast), in parts, along K directions ``flat_dot`` (K, variables) and ``factors_dot`` (K, h, k, l)."""
    _check(run)
    sizes = run.variables.sizes
    v = split(flat, sizes)
    tables = tables_at(v, np.ascontiguousarray(factors), run.experiment.tables)
    images = []
    for start in range(0, len(flat_dot), DIRECTIONS_AT_ONCE):
        part = slice(start, start + DIRECTIONS_AT_ONCE)
        rows = np.ascontiguousarray(flat_dot[part], np.float64)
        lattice_dot = np.zeros((2, len(rows), len(tables.crystal.orientations), 9))
        for k, changes in enumerate(rows):
            for n, (turning, change) in enumerate(zip(_turnings(v), _turnings(split(changes, sizes)), strict=True)):
                entries.lattice_tangent(turning, change, lattice_dot[n, k])
        dots = Variables(*(np.ascontiguousarray(section) for section in np.split(rows, np.cumsum(sizes)[:-1], axis=1)))
        images.append(kernels.tangent_images(run, tables, dots, lattice_dot, None if factors_dot is None else factors_dot[part]))
    return images


def adjoint_tangent(
    run: Rendered, flat: np.ndarray, factors: np.ndarray, grad: Any, flat_dot: np.ndarray, factors_dot: np.ndarray | None, kernels: Kernels
) -> tuple[np.ndarray, np.ndarray]:
    """The derivative of ``adjoint`` along ``flat_dot`` and ``factors_dot``, by the complex step."""
    from .complex_step import STEP

    moved = factors if factors_dot is None else factors + 1j * STEP * factors_dot
    flat_bar, factors_bar = adjoint(run, flat + 1j * STEP * flat_dot, moved.astype(complex), grad, kernels)
    return flat_bar.imag / STEP, factors_bar.imag / STEP
