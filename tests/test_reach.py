"""Steps left out where no spot reaches: the search against exact arithmetic, images against the exact engine, bit for bit."""

import math
import shutil
from fractions import Fraction

import numpy as np
import pytest
from running import GOLDEN

from nanobragg_numba import parameters_from_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add
from nanobragg_numba.kernels import formulas
from nanobragg_numba.kernels.reach import spots
from nanobragg_numba.kernels.reach.spots import LEFT_OUT, reach_of
from nanobragg_numba.kernels.reach.tiles import (
    SEARCH_SHAPE,
    TILE,
    gather_sources,
    measure_tiles,
    search_orientations,
    search_tile,
)

BASE = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 40 -lambda 1 -distance 100 -detpixels 33 -pixel 0.1 -oversample 1"
WAYS = {
    "plain": "",
    "spectrum": "-dispersion 2 -dispsteps 25",
    "wide spectrum": "-dispersion 60 -dispsteps 90",
    "divergent": "-hdivrange 10 -hdivsteps 3 -vdivrange 5 -vdivsteps 2 -dispersion 1 -dispsteps 3",
    "mosaic": "-mosaic 2 -mosaic_domains 70",
    "everything": "-dispersion 1 -dispsteps 7 -mosaic 0.5 -mosaic_domains 5 -osc 1 -phisteps 3 -hdivrange 2 -hdivsteps 2",
    "sub-pixels": "-oversample 3 -dispersion 1 -dispsteps 5",
    "tilted": "-detector_rotx 40 -detector_roty -30 -detector_rotz 10 -dispersion 1 -dispsteps 5",
    "close": "-distance 5 -pixel 0.5 -mosaic 1 -mosaic_domains 3",
    "curved": "-curved_det -distance 20 -pixel 0.5 -dispersion 1 -dispsteps 4",
    "at the horizon": "-twotheta 89.5 -distance 3 -pixel 0.5 -mosaic 1 -mosaic_domains 3",
    "behind the sample": "-twotheta 140 -distance 50 -mosaic 1 -mosaic_domains 3",
    "thick sensor": "-detector_thick 450 -detector_thicksteps 3 -detector_abs 300 -dispersion 1 -dispsteps 3",
    "thick sensor at the horizon": "-detector_thick 450 -detector_thicksteps 3 -detector_abs 1 -twotheta 85 -distance 5 -pixel 1 "
    "-dispersion 1 -dispsteps 3",
    "polarized": "-polar 0.9 -dispersion 1 -dispsteps 5 -oversample 2",
    "water": "-water 50 -dispersion 1 -dispsteps 5 -mosaic 1 -mosaic_domains 3",
    "resolution": "-dmin 2.2 -dispersion 1 -dispsteps 5 -mosaic 1 -mosaic_domains 3",
    "resolution and water": "-dmin 2.2 -dispersion 1 -dispsteps 5 -water 30 -polar 0.5",
    "beam in the middle": "-Xbeam 1.6 -Ybeam 1.6 -mosaic 0.2 -mosaic_domains 4",
    "beam on a border of tiles": "-lambda 2 -xds -ORGX 16 -ORGY 8",
    "listed": "-hkl block.hkl -default_F 3 -nointerpolate -distance 300 -dispersion 1 -dispsteps 5 -mosaic 1 -mosaic_domains 3",
    "interpolated": "-hkl block.hkl -interpolate -distance 300 -dispersion 1 -dispsteps 3",
    "masked": "-detpixels_x 88 -detpixels_y 72 -mask mask.img -pixel 0.3 -dispersion 1 -dispsteps 5",
    "window": "-roi 5 22 3 30 -dispersion 1 -dispsteps 5",
    "plate": "-Na 3 -Nb 200 -Nc 60 -mosaic 1 -mosaic_domains 3",
    "needle": "-Na 500 -Nb 2 -Nc 3 -nointerpolate -mosaic 1 -mosaic_domains 3",
    "wider": "-fudge 0.3 -mosaic 1 -mosaic_domains 3",
    "narrower": "-fudge 7 -mosaic 1 -mosaic_domains 3",
    "one cell": "-N 1 -nointerpolate",
    "few cells": "-N 12 -mosaic 1 -mosaic_domains 3",
    "many cells": "-N 500 -mosaic 1 -mosaic_domains 30",
    "bright": "-N 25 -default_F 1e9 -fluence 1e40 -mosaic 1 -mosaic_domains 3",
    "faint": "-N 25 -fluence 1e-30 -mosaic 1 -mosaic_domains 3",
    "subnormal": "-N 20 -default_F 1e-8 -fluence 1e-3 -mosaic 1 -mosaic_domains 3",
    "nothing": "-fluence 0 -mosaic 1 -mosaic_domains 3",
    "point pixels": "-point_pixel -distance 1 -pixel 0.01 -mosaic 1 -mosaic_domains 3",
    "switches": "-oversample_omega -oversample_polar -oversample 2 -mosaic 1 -mosaic_domains 3",
    "large cell": "-cell 400 500 300 90 90 90 -N 30 -distance 50 -mosaic 0.1 -mosaic_domains 3",
    "flat cell": "-cell 70 80 90 60 60 118 -mosaic 1 -mosaic_domains 3",
}


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    for name in ("block.hkl", "mask.img"):
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    monkeypatch.chdir(tmp_path)


def image_of(x, precision="guarded", dtype=np.float32):
    engine = PixelEngine(x, dtype, precision)
    for _ in engine.blocks():
        pass
    return engine


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
@pytest.mark.parametrize("shape", ["-gauss_xtal", "-tophat_spots"])
def test_the_exact_engine_s_bits(inputs, shape, compat):
    used = lit = 0
    for way, words in WAYS.items():
        x = derive_experiment(parameters_from_command_line(f"{BASE} {words} {shape}", compat), compat)
        guarded, exact = image_of(x), image_of(x, "exact")
        assert np.array_equal(guarded.image.view(np.uint32), exact.image.view(np.uint32)), way
        used += guarded.reach.used and guarded.precision == "guarded"
        lit += guarded.reach.used and bool((exact.image > 0).any())
    assert (used > 25 and lit > 15) or not has_fused_multiply_add()


def numbers(values):
    return " ".join(f"{value:.5g}" for value in values)


@pytest.mark.parametrize("compat", ["c", "spec"])
def test_random_crystals_and_detectors(compat):
    random = np.random.default_rng(17)
    used = 0
    for case in range(60):
        cell = [*random.uniform(20, 150, 3), *random.uniform(70, 110, 3)]
        cells = np.exp(random.uniform(0, math.log(500), 3 if case % 3 else 1))
        sizes = "".join(f" -N{axis} {n:.0f}" for axis, n in zip("abc", np.resize(cells, 3), strict=True))
        line = (
            f"-cell {numbers(cell)} -misset {numbers(random.uniform(-180, 180, 3))} -nointerpolate{sizes}"
            f" -lambda {random.uniform(0.5, 3):.4g} -default_F {10 ** random.uniform(-3, 5):.3g}"
            f" -fluence {10 ** random.uniform(5, 32):.3g} -fudge {random.uniform(0.3, 3):.3g}"
            f" -distance {random.uniform(10, 300):.4g} -pixel {random.uniform(0.03, 0.4):.3g} -detpixels_x {random.integers(3, 40)}"
            f" -detpixels_y 6 -oversample {random.integers(1, 3)} -dispersion {random.choice([0, 0.5, 5])}"
            f" -dispsteps {random.integers(1, 9)} -mosaic {random.choice([0.01, 0.3, 30])} -mosaic_domains {random.integers(1, 6)}"
            f" -detector_rotx {random.uniform(-40, 40):.3g} -twotheta {random.uniform(-60, 60):.3g} -Xbeam 3 -Ybeam 2"
            f" {random.choice(['', '-curved_det', '-water 1', '-polar 0.7'])} {random.choice(['-gauss_xtal', '-tophat_spots'])}"
        )
        x = derive_experiment(parameters_from_command_line(line, compat), compat)
        guarded, exact = image_of(x), image_of(x, "exact")
        assert np.array_equal(guarded.image.view(np.uint32), exact.image.view(np.uint32)), line
        used += guarded.reach.used
    assert used > 25


def exact_widths_squared(tables, axes, ray, incident, wavelength):
    """R^2 of a ray's step, in widths of the spot: rational arithmetic on the doubles as they are."""
    s = [(Fraction(d) - Fraction(i)) / Fraction(wavelength) for d, i in zip(ray, incident, strict=True)]
    h = [sum(Fraction(axes[3 * row + n]) * s[n] for n in range(3)) for row in range(3)]
    away = [value - math.ceil(value - Fraction(1, 2)) for value in h]
    cells = [Fraction(tables.crystal.na), Fraction(tables.crystal.nb), Fraction(tables.crystal.nc)]
    if tables.rules.spec:
        ab, ac, bc = map(Fraction, tables.crystal.cross)
        rows = (cells[0], ab, ac), (ab, cells[1], bc), (ac, bc, cells[2])
        return sum(sum(n * d for n, d in zip(row, away, strict=True)) ** 2 for row in rows)
    star = [Fraction(value) for value in tables.crystal.star]
    vector = [sum(away[row] * star[3 * row + n] for row in range(3)) for n in range(3)]
    return sum(value * value for value in vector) * (cells[0] * cells[1] * cells[2]) ** 2


def pairs_found(tables, rays, reach):
    """(pixels, orientations, sources) bool: what the search does not leave out."""
    search = np.zeros(SEARCH_SHAPE)
    orientations, beam = tables.crystal.orientations, tables.beam
    pixels, steps, sources = rays.shape[1], len(orientations), len(beam.wavelengths)
    found = np.zeros((pixels, steps, sources), bool)
    tiles = measure_tiles(pixels, rays, search)
    first = 0
    while first < sources:
        group = gather_sources(first, sources, tiles, beam.incident, beam.wavelengths, reach, search)
        incident = tuple(beam.incident[first])
        search_orientations(0, steps, tiles, group, incident, orientations, reach, search)
        for tile in range(tiles):
            entries, _ = search_tile(tile, 0, steps, group, incident, orientations, reach, search)
            for step, members in zip(search[9].view(np.int64)[:entries], search[10].view(np.int64)[:entries], strict=True):
                for source in range(group[0]):
                    if members >> source & 1:
                        found[tile * TILE : (tile + 1) * TILE, step, first + source] = True
        first += group[0]
    return found


def random_rays(random, pixels):
    """Unit vectors of neighbouring pixels: along a line, an arc or a crooked path, of any step."""
    along = np.sort(random.uniform(0, 1, pixels)) if random.random() < 0.3 else np.linspace(0, 1, pixels)
    start, step = random.normal(size=3), random.normal(size=3) * 10 ** random.uniform(-4, 0) * (random.random() > 0.05)
    path = start[:, None] + step[:, None] * along
    path += random.normal(size=(3, 1)) * along**2 * random.choice([0, 0, 0.1])
    path += random.normal(size=path.shape) * random.choice([0, 0, 1e-5, 1e-3])
    return np.ascontiguousarray(path / np.linalg.norm(path, axis=0))


def random_tensor(random, least, largest):
    """(3, 3): a symmetric tensor of numbers of cells, turned at random from its eigenvalues."""
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return turn @ np.diag(np.exp(random.uniform(math.log(least), math.log(largest), 3))) @ turn.T


@pytest.mark.parametrize(("compat", "sheared"), [("c", False), ("spec", False), ("spec", True)])
def test_no_step_within_reach_is_left_out(compat, sheared):
    random = np.random.default_rng(3)
    within = left = missed_by_less = 0
    for _ in range(150):
        cells = np.exp(random.uniform(math.log(2.5), math.log(300 if compat == "spec" else 30), 3))
        cell = [*random.uniform(20, 150, 3), *random.uniform(75, 105, 3)]
        line = (
            f"-cell {numbers(cell)} -misset {numbers(random.uniform(-180, 180, 3))} -default_F 100 -N 5 -lambda 1 -gauss_xtal "
            f"-distance 100 -mosaic {random.choice([0.02, 1, 90])} -mosaic_domains 6 "
            f"-dispersion {10 ** random.uniform(-2, 1):.3g} -dispsteps 12 "
        )
        x = derive_experiment(parameters_from_command_line(line + random.choice(["", "-hdivrange 3 -hdivsteps 2"]), compat), compat)
        tensor = random_tensor(random, 2.5, 300) if sheared else np.diag(cells)
        across = tensor[0, 1], tensor[0, 2], tensor[1, 2]
        crystal = x.tables.crystal._replace(na=tensor[0, 0], nb=tensor[1, 1], nc=tensor[2, 2], cross=across)
        tables = x.tables._replace(crystal=crystal)
        reach = reach_of(tables)
        if not reach.used:
            continue
        rays = random_rays(random, int(random.integers(1, 40)))
        found = pairs_found(tables, rays, reach)
        axes = tables.crystal.orientations.reshape(-1, 3, 3)
        s = (rays.T[:, None] - tables.beam.incident) / tables.beam.wavelengths[:, None]
        h = np.einsum("oan,psn->posa", axes, s)
        widths = np.linalg.norm(np.einsum("ab,posb->posa", np.reshape(reach.root, (3, 3)), h - np.ceil(h - 0.5)), axis=-1)
        # Where doubles are in doubt, rational numbers decide.
        sure, doubtful = widths < reach.radius * (1 - 1e-6), np.abs(widths / reach.radius - 1) <= 1e-6
        assert found[sure].all()
        for p, o, j in np.argwhere(doubtful):
            squared = exact_widths_squared(tables, axes[o].ravel(), rays[:, p], tables.beam.incident[j], tables.beam.wavelengths[j])
            assert found[p, o, j] or squared > Fraction(reach.radius) ** 2
        for p, o, j in np.argwhere(sure)[:2]:
            squared = exact_widths_squared(tables, axes[o].ravel(), rays[:, p], tables.beam.incident[j], tables.beam.wavelengths[j])
            assert math.sqrt(squared) == pytest.approx(widths[p, o, j], rel=1e-6, abs=1e-6)
        within, left = within + int(sure.sum()), left + int((~found).sum())
        smaller = reach._replace(radius=0.5 * reach.radius, along=tuple(0.5 * c for c in reach.along))
        missed_by_less += int((~pairs_found(tables, rays, smaller)[sure]).sum())
    # The search leaves most out, and one of half the radius would be caught.
    assert within > 300 and left > 5 * within and missed_by_less > 30


def test_what_is_left_out_in_c_adds_up_to_less_than_the_margin_has_for_it():
    # On every pixel of this image are steps beyond the reach: their sum by the formula, in the exact engine's doubles.
    line = "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 12 -lambda 1 -distance 100 -detpixels 12 -pixel 0.1 -oversample 1 "
    line += "-mosaic 1 -mosaic_domains 7 -gauss_xtal -fluence 1e30 -dispersion 1 -dispsteps 4 "
    x = derive_experiment(parameters_from_command_line(line, "c"), "c")
    t, reach = x.tables, reach_of(x.tables)
    assert reach.used and reach.left_out == LEFT_OUT
    f, s = (np.arange(12) + 0.5) * x.geometry.pixel_size, (np.arange(12) + 0.5) * x.geometry.pixel_size
    places = np.array(x.geometry.pix0) + s[:, None, None] * np.array(x.geometry.slow) + f[None, :, None] * np.array(x.geometry.fast)
    rays = (places / np.linalg.norm(places, axis=-1, keepdims=True)).reshape(-1, 3)
    q = (rays[:, None] - t.beam.incident) / t.beam.wavelengths[:, None]
    h = np.einsum("oan,psn->posa", t.crystal.orientations.reshape(-1, 3, 3), q)
    away = h - np.round(h)
    star, volume = np.reshape(t.crystal.star, (3, 3)), float(t.crystal.na * t.crystal.nb * t.crystal.nc)
    squared = ((away @ star) ** 2).sum(axis=-1) * volume**2
    terms = (100 * volume * np.exp(-squared / 0.63)) ** 2 * t.rules.scale / t.rules.steps
    outside = np.where(squared > reach.radius**2, terms, 0.0).sum(axis=(1, 2))
    assert outside.max() <= LEFT_OUT and (squared > reach.radius**2).mean() > 0.5
    # Not by far: a term on the very edge, as often as there are steps, would add up to it.
    edge = (100 * volume * math.exp(-(reach.radius**2) / 0.63)) ** 2 * t.rules.scale / t.rules.steps * x.steps
    assert 0.9 * LEFT_OUT < edge <= LEFT_OUT


@pytest.mark.parametrize("spec", [True, False])
def test_a_spot_ends_in_spec_and_not_in_c(spec):
    # With 20 unit cells along each axis and a* of 1/400 A, R of "c" (Q9) is 20 |dh| too.
    star = tuple(np.eye(3).ravel() / 400.0)
    end = math.sqrt(30.0 * 0.63) / 20.0
    inside, beyond = (
        formulas.lattice_factor.py_func(formulas.GAUSS, end * f, 0.0, 0.0, 0, 0, 0, 20, 20, 20, (0.0, 0.0, 0.0), star, 1.0, spec)
        for f in (1 - 1e-6, 1 + 1e-6)
    )
    assert inside == pytest.approx(8000.0 * math.exp(-30.0), rel=1e-4)
    assert beyond == (0.0 if spec else pytest.approx(8000.0 * math.exp(-30.0), rel=1e-4))


def test_the_shapes_have_the_formulas_numbers():
    assert (spots.GAUSS, spots.TOPHAT) == (formulas.GAUSS, formulas.TOPHAT)


def test_gradients_are_those_of_every_step(monkeypatch):
    torch = pytest.importorskip("torch")
    from nanobragg_numba.autograd import simulate
    from nanobragg_numba.derivatives import cpu

    used = 0
    for way in (
        "spectrum",
        "everything",
        "sub-pixels",
        "curved",
        "thick sensor",
        "polarized",
        "water",
        "resolution",
        "plate",
        "many cells",
    ):
        parameters = parameters_from_command_line(f"{BASE} -N 25 {WAYS[way]} -gauss_xtal -fluence 1e24")
        found = []
        for reach in (reach_of, lambda tables: spots.NO_REACH):
            monkeypatch.setattr(cpu, "reach_of", reach)
            turns = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64, requires_grad=True)
            cell = torch.tensor([70.0, 80.0, 90.0, 75.0, 85.0, 95.0], dtype=torch.float64, requires_grad=True)
            image = simulate(parameters, misset_deg=turns, cell=cell, dtype=torch.float32)
            (image * torch.linspace(0.3, 1.7, image.numel()).reshape(image.shape)).sum().backward()
            _, change = torch.func.jvp(
                lambda turns, p=parameters: simulate(p, misset_deg=turns), (turns.detach(),), (torch.ones(3).double(),)
            )
            found.append([turns.grad, cell.grad, change])
        used += reach_of(derive_experiment(parameters, "spec").tables).used
        for ours, every in zip(*found, strict=True):
            assert every.abs().max() > 0.0, way
            assert (ours - every).abs().max() <= 1e-12 * every.abs().max(), way
    assert used == 10
