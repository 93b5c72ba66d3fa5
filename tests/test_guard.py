"""The guarded engine: the sums' errors against the bound, and the fallback."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from random_lines import INPUTS, random_line
from running import GOLDEN

from nanobragg_numba import InputError, parameters_from_command_line
from nanobragg_numba.command_line.reading import read_command_line
from nanobragg_numba.engine.pixel_engine import PixelEngine
from nanobragg_numba.experiment.derive import derive_experiment
from nanobragg_numba.experiment.parameters import SHAPES
from nanobragg_numba.jit.cpu_features import has_fused_multiply_add
from nanobragg_numba.kernels.reach.spots import reach_of
from nanobragg_numba.simd.error_bound import WORK_SHAPE, is_supported, relative_error_bound

COMPILED = str(Path(__file__).parent / "compiled")
sys.path.insert(0, COMPILED)
# The process that compiles must find it, too.
os.environ["PYTHONPATH"] = os.pathsep.join(part for part in (COMPILED, os.environ.get("PYTHONPATH")) if part)
from margin_entries import margin_rows  # noqa: E402


@dataclass
class Shares:
    """Over many runs: which modes the vector loop took, and the largest error as a share of the guard's bound."""

    largest: float = 0.0
    runs: Counter = field(default_factory=Counter)
    pixels: int = 0
    """Those of the runs without switches; a switch can multiply every pixel by a capture fraction of zero."""
    given_up: int = 0
    """Pixels whose error the guard does not bound: the exact engine computes them."""

    def add(self, parameters, compat) -> None:
        # The bound is that of the spots: backgrounds and shadows are put to them afterwards.
        x = derive_experiment(replace(parameters, backgrounds=(), shadow=None), compat)
        exact = PixelEngine(x, np.float64, "exact")
        if not is_supported(x.tables):
            return
        for _ in exact.blocks():
            pass
        tables = x.tables
        interpolates = tables.rules.interpolate and exact.out_of_table is None
        tables = tables._replace(rules=tables.rules._replace(interpolate=interpolates))
        values, margins = np.zeros(exact.image.shape), np.zeros(exact.image.shape)
        mask = exact.computed.copy()
        if exact.first_pixel >= 0:
            mask.flat[exact.first_pixel] = False
        if exact.out_of_table is not None:
            mask.flat[: exact.out_of_table.pixel + 1] = False
        left = np.zeros(len(mask), np.int64)
        rows, columns, bound = (0, len(mask)), exact.window[:2], relative_error_bound(tables)
        margin_rows.over_rows(rows, 0, lambda: np.empty(WORK_SHAPE), columns, mask, tables, reach_of(tables), bound, values, margins, left)
        assert not left.any()
        known = mask & np.isfinite(margins)
        a, b = exact.image[known], values[known]
        finite = np.isfinite(a) & (margins[known] > 0.0)
        assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
        self.largest = max(self.largest, float(np.max(np.abs(a - b)[finite] / margins[known][finite], initial=0.0)))
        switched = tables.rules.each_thick or tables.rules.each_polar or tables.rules.each_omega
        if not switched:
            self.pixels += int(mask.sum())
            self.given_up += int((mask & ~known).sum())
        for mode in (SHAPES[tables.crystal.shape], *(["interpolated"] * interpolates), *(["switched"] * switched)):
            self.runs[mode] += 1


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    for name in INPUTS:
        shutil.copy(GOLDEN / "inputs" / name, tmp_path)
    shutil.copy(GOLDEN / "inputs" / "supervisor.mat", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("compat", ["c", "c-fixed", "spec"])
def test_largest_error_is_far_inside_the_bound(inputs, compat):
    lines = [case["args"] for case in json.loads((GOLDEN / "cases.json").read_text())] + [random_line(seed) for seed in range(200)]
    shares = Shares()
    for words in lines:
        try:
            shares.add(read_command_line(words, compat).parameters, compat)
        except InputError:
            continue
    print(f"largest error / bound: {shares.largest:.3f} over {dict(shares.runs)}; {shares.given_up} of {shares.pixels} pixels given up")
    assert shares.largest < 0.25
    if has_fused_multiply_add():
        modes = ("square", "round", "gauss", "tophat", "interpolated", *(["switched"] if compat != "spec" else []))
        assert all(shares.runs[mode] > 5 for mode in modes)
        # In "c" and "c-fixed" these are pixels beyond the resolution limit, which have no polarization factor.
        assert shares.given_up < (0.001 if compat == "spec" else 0.01) * shares.pixels


def test_guarded_and_exact_give_the_same_bits_in_spec(inputs):
    used = 0
    for seed in range(200, 320):
        try:
            x = derive_experiment(read_command_line(random_line(seed), "spec").parameters, "spec")
        except InputError:
            continue
        guarded, exact = PixelEngine(x), PixelEngine(x, precision="exact")
        for engine in (guarded, exact):
            for _ in engine.blocks():
                pass
        assert np.array_equal(guarded.image.view(np.uint32), exact.image.view(np.uint32)), seed
        used += guarded.precision == "guarded"
    assert used > 40 or not has_fused_multiply_add()


LINE = (
    "-cell 70 80 90 75 85 95 -misset 10 20 30 -default_F 100 -N 7 -lambda 1 "
    "-distance 100 -detpixels 24 -oversample 1 -mosaic 0.3 -mosaic_dom 4"
)


def run(parameters, precision, dtype=np.float32):
    engine = PixelEngine(derive_experiment(parameters, "c"), dtype, precision)
    for _ in engine.blocks():
        pass
    return engine


@pytest.mark.parametrize("shape", ["", "-round_xtal", "-tophat_spots", "-gauss_xtal"])
@pytest.mark.parametrize("compat", ["c", "spec"])
def test_a_run_that_leaves_the_table_half_way(inputs, shape, compat, monkeypatch):
    line = (
        "-cell 70 80 90 75 85 95 -misset 10 20 30 -hkl block.hkl -interpolate -N 7 -lambda 1 -distance 200 -pixel 0.3 -detpixels 64 "
        "-xds -ORGX 32 -ORGY -8 -oversample 1 -phi 1 -osc 1 -phisteps 3 -mosaic 0.3 -mosaic_dom 2"
    )
    x = derive_experiment(parameters_from_command_line(f"{line} {shape}", compat), compat)
    guarded, exact = PixelEngine(x), PixelEngine(x, precision="exact")
    rows, exact_rows = set(), guarded._exact_rows
    monkeypatch.setattr(guarded, "_exact_rows", lambda slow, end, *others: (rows.update(range(slow, end)), exact_rows(slow, end, *others)))
    for engine in (guarded, exact):
        for _ in engine.blocks():
            pass
    assert guarded.precision == "guarded" or not has_fused_multiply_add()
    assert np.array_equal(guarded.image.view(np.uint32), exact.image.view(np.uint32))
    assert guarded.out_of_table == exact.out_of_table
    if compat == "c":
        assert 5 * 64 < exact.out_of_table.pixel < 60 * 64
    if guarded.precision == "guarded":
        # The row of pixels in which that happens is the only one that the vector loop leaves to the exact engine.
        assert rows == ({exact.out_of_table.pixel // 64} if compat == "c" else set())


def test_a_value_on_a_rounding_boundary_is_recomputed():
    parameters = parameters_from_command_line(LINE, "c")
    doubles = run(parameters, "exact", np.float64).image
    plain = run(parameters, "guarded")
    for slow, fast in [(s, f) for s in range(1, 24, 3) for f in range(1, 24, 4)]:
        value = doubles[slow, fast]
        below = np.float32(value)
        boundary = (float(below) + float(np.nextafter(below, np.float32(np.inf)))) / 2
        moved = replace(parameters, beam=replace(parameters.beam, fluence=parameters.beam.fluence * boundary / value))
        guarded = run(moved, "guarded")
        assert abs(run(moved, "exact", np.float64).image[slow, fast] / boundary - 1) < 1e-15
        if guarded.precision == "guarded":
            assert guarded.recomputed >= 1
        assert np.array_equal(guarded.image, run(moved, "exact").image)
    assert plain.recomputed < 20


def test_subnormal_zero_infinite_and_overflowing_pixels():
    parameters = parameters_from_command_line(LINE, "c")
    peak = float(run(parameters, "exact", np.float64).image.max())
    for target in (1e-44, 3e-45, 1e-50, 0.0, 3.4e38, 1e39, 1e200):
        beam = replace(parameters.beam, fluence=parameters.beam.fluence / peak * target)
        moved = replace(parameters, beam=beam)
        guarded, exact = run(moved, "guarded").image, run(moved, "exact").image
        assert np.array_equal(guarded.view(np.uint32), exact.view(np.uint32))


def test_a_processor_without_fused_multiply_add_takes_the_exact_kernel(tmp_path):
    code = (
        "import numpy as np\n"
        "from nanobragg_numba import parameters_from_command_line\n"
        "from nanobragg_numba.experiment.derive import derive_experiment\n"
        "from nanobragg_numba.engine.pixel_engine import PixelEngine\n"
        f"engine = PixelEngine(derive_experiment(parameters_from_command_line({LINE!r}, 'c'), 'c'))\n"
        "list(engine.blocks())\n"
        "engine.image.tofile('image.bin')\n"
        "print(engine.precision)"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path / "cold")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "exact", done.stderr
    image = run(parameters_from_command_line(LINE, "c"), "guarded").image
    assert (tmp_path / "image.bin").read_bytes() == image.tobytes()


def test_single_precision_is_good_enough_for_a_preview(inputs):
    hkl = "-mat erl.mat -hkl erl.hkl -N 300 -lambda 0.9768 -distance 75 -pixel 0.4 -detpixels 64 -oversample 1 -phisteps 9 -osc 1"
    for line in (LINE, LINE.replace("-N 7", "-N 1000"), hkl):
        parameters = parameters_from_command_line(line, "c")
        single, exact = run(parameters, "single").image.astype(float), run(parameters, "exact").image.astype(float)
        assert run(parameters, "mixed").image.tobytes() == run(parameters, "single").image.tobytes()
        bright = exact > exact.max() * 1e-3
        assert np.max(np.abs(single - exact)[bright] / exact[bright]) < 3e-6
        if has_fused_multiply_add():
            assert not np.array_equal(single, exact)
