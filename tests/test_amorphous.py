"""The vector kernel of amorphous scattering beside the pixel-by-pixel one, whose operations are the reference's."""

import numpy as np
import pytest

from nanobragg_numba.cli.nonbragg import derive
from nanobragg_numba.command_line.nonbragg_line import read_nonbragg_line
from nanobragg_numba.response.amorphous_image import render
from nanobragg_numba.response.amorphous_table import padded, table_of

TABLES = {
    "smooth": lambda rng: (np.linspace(0.0, 0.6, 300), lambda s: 3.0 + 2.0 * np.sin(20.0 * s)),
    "rough, uneven": lambda rng: (np.sort(rng.uniform(0.0, 0.5, 400)), lambda s: rng.uniform(-5.0, 5.0, len(s))),
    "crowded": lambda rng: (np.cumsum(rng.choice([1e-9, 1e-3], 300)), lambda s: rng.uniform(1.0, 5.0, len(s))),
    "two points": lambda rng: (np.array([0.1, 0.3]), lambda s: np.array([2.0, 4.0])),
    "through zero": lambda rng: (np.linspace(0.0, 0.4, 40), lambda s: np.cos(40.0 * s)),
}
GEOMETRIES = {
    "plain": "-distance 60 -pixel 1",
    "polarized": "-distance 60 -pixel 1 -polar 0.9 -detector_rotx 20",
    "sources, sub-pixels": "-distance 90 -pixel 0.7 -polar -0.4 -oversample 2 -dispersion 2 -dispsteps 3 -hdivrange 3 -hdivsteps 2",
    "near the beam": "-distance 900 -pixel 0.02 -polar 1 -Xbeam 1 -Ybeam 1",
    "behind the sample": "-distance 50 -pixel 1 -twotheta 150 -nopolar",
}


@pytest.mark.parametrize("where", GEOMETRIES)
@pytest.mark.parametrize("what", TABLES)
def test_the_same_single_precision_numbers(what, where, tmp_path):
    rng = np.random.default_rng(len(what) * len(where))
    s, F = TABLES[what](rng)
    # With all digits: what is written is not the point here.
    (tmp_path / "t.stol").write_text("".join(f"{x!r} {f!r}\n" for x, f in zip(s.tolist(), F(s).tolist(), strict=True)))
    words = f"-stol {tmp_path}/t.stol -detpixels_x 301 -detpixels_y 83 -lambda 1.1 -fluence 1e24 {GEOMETRIES[where]}".split()
    x = derive(read_nonbragg_line(words))
    given = (x.geometry, x.line.parameters, x.sources, x.points, x.oversample, x.fluence, x.molecules)
    vectors, exact = render(*given, 2), render(*given, 1, exact=True)
    assert np.array_equal(vectors.image.view(np.uint32), exact.image.view(np.uint32))
    assert vectors.printed_solid_angle == pytest.approx(exact.printed_solid_angle, rel=1e-12)


def test_the_bound_of_a_smooth_table_leaves_few_pixels_in_doubt():
    """Single precision has 6e-8 between neighbours: a bound of 1e-12 leaves one pixel in 10^4 or fewer."""
    s = np.linspace(0.0, 0.6e10, 3000)
    points = padded(s, 3.0 + np.sin(s / 0.05e10), "here")
    table = table_of(*points, np.array([1e-10]), 0.9, 1, (1.0, 1.0, 1.0, 1.0))
    inner = slice(3, -4)
    assert table.relative < 1e-12
    assert (table.pieces[inner, 5] / np.abs(points[1][inner])).max() < 1e-12


def test_pieces_are_lagranges_cubics():
    rng = np.random.default_rng(4)
    s, F = np.sort(rng.uniform(0.0, 0.5e10, 50)), rng.uniform(1.0, 9.0, 50)
    points, values = padded(s, F, "here")
    table = table_of(points, values, np.array([1e-10]), 0.0, 1, (1.0, 1.0, 1.0, 1.0))
    for piece in range(3, 48):
        x = rng.uniform(points[piece], points[piece + 1])
        near = points[piece - 1 : piece + 3]
        lagrange = sum(values[piece - 1 + i] * np.prod([(x - near[j]) / (near[i] - near[j]) for j in range(4) if j != i]) for i in range(4))
        t = x - table.pieces[piece, 0]
        found = np.polyval(table.pieces[piece, 4:0:-1], t)
        assert abs(found - lagrange) <= table.pieces[piece, 5] + 1e-12 * abs(lagrange)
