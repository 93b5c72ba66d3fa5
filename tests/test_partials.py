"""The partial derivatives of single formulas against mpmath at 50 digits, on both sides of where another form takes over."""

import mpmath
import numpy as np
import pytest

from nanobragg_numba.derivatives.formula_derivatives import (
    SMALL_SPHERE,
    cubic_slopes,
    cubic_weights,
    polarization_and_slope,
    polarization_form,
    polarization_form_adjoint,
    polarization_form_tangent,
    squared_grating,
    squared_sphere,
)

mpmath.mp.dps = 50


def exact_grating(h, n):
    """Square of sin(pi n h) / sin(pi h) and its derivatives with respect to h and n, from the definition."""
    h, n = mpmath.mpf(float(h)), mpmath.mpf(float(n))
    x = mpmath.pi * h
    top, low = mpmath.sin(n * x), mpmath.sin(x)
    u = top / low
    by_h = mpmath.pi * (n * mpmath.cos(n * x) - u * mpmath.cos(x)) / low
    by_n = x * mpmath.cos(n * x) / low
    return float(u * u), float(2 * u * by_h), float(2 * u * by_n)


OFFSETS = (1e-9, 1e-6, 1e-4, 3e-3, 0.02, 0.11, 0.26, 0.37, 0.5)


@pytest.mark.parametrize("n", [2.0, 3.0, 10.0, 47.0, 1000.0])
@pytest.mark.parametrize("m", [0.0, 1.0, -7.0, 40.0])
def test_squared_grating(n, m):
    switch = 0.5 / n
    for offset in (*OFFSETS, 0.999 * switch, 1.001 * switch, -0.999 * switch, -1.001 * switch):
        h = m + offset
        got = squared_grating(h, n)
        want = exact_grating(h, n)
        # Near a zero of sin(pi n h) what counts is the size of the maxima beside it: rounding n r moves the zero.
        height = min(n, 1.0 / abs(np.sin(np.pi * offset)))
        sizes = (height**2, 2 * np.pi * n * height**2, 2 * np.pi * (abs(h) + 1.0) * height**2)
        for value, exact, size in zip(got, want, sizes, strict=True):
            assert abs(value - exact) <= 2e-13 * abs(exact) + 4e-15 * (1.0 + n * abs(offset)) * size


@pytest.mark.parametrize("n", [2.0, 10.0, 1000.0])
def test_the_slope_keeps_its_digits_on_both_sides_of_the_switch(n):
    for factor in (1e-6, 1e-3, 0.1, 0.9, 0.999, 1.001, 1.1):
        h = factor * 0.5 / n
        _, slope, _ = squared_grating(h, n)
        assert slope == pytest.approx(exact_grating(h, n)[1], rel=3e-14)


def test_cells_that_are_no_whole_number():
    for n in (2.5, 5.001, 12.75):
        for h in (0.01, 0.3, 2.02, 2.3, -3.4):
            for value, exact in zip(squared_grating(h, n), exact_grating(h, n), strict=True):
                assert value == pytest.approx(exact, rel=1e-11)


def test_on_the_lattice_point():
    for m in (0.0, 3.0, -12.0):
        square, by_h, by_n = squared_grating(m, 7.0)
        assert (square, by_h, by_n) == (49.0, 0.0, 14.0)


def test_squared_sphere():
    for z in (1e-8, 1e-3, 0.3, 0.99 * SMALL_SPHERE**0.5, 1.01 * SMALL_SPHERE**0.5, 2.0, 4.4934, 9.0, 50.0):
        r = mpmath.mpf(z * z)
        transform = lambda s: 3 * (mpmath.sin(mpmath.sqrt(s)) / mpmath.sqrt(s) - mpmath.cos(mpmath.sqrt(s))) / s  # noqa: E731
        value, slope = squared_sphere(z * z)
        assert value == pytest.approx(float(transform(r) ** 2), rel=3e-13, abs=1e-22)
        assert slope == pytest.approx(float(2 * transform(r) * mpmath.diff(transform, r)), rel=3e-12, abs=1e-18)


def test_cubic_slopes_are_the_weights_derivatives():
    for x in (3.0, 3.2, 3.9):
        for n, slope in enumerate(cubic_slopes(x, 3)):
            step = 1e-6
            difference = (cubic_weights(x + step, 3)[n] - cubic_weights(x - step, 3)[n]) / (2 * step)
            assert slope == pytest.approx(difference, abs=1e-9)
    assert sum(cubic_weights(3.7, 3)) == pytest.approx(1.0)


def test_polarization_is_the_forward_formula():
    from nanobragg_numba.kernels.formulas import polarization_factor

    generator = np.random.default_rng(4)
    for _ in range(20):
        incident, diffracted, axis = (tuple(float(x) for x in v / np.linalg.norm(v)) for v in generator.normal(size=(3, 3)))
        value, _ = polarization_and_slope(polarization_form(0.7, incident, axis), diffracted)
        assert value == pytest.approx(polarization_factor(0.7, incident, diffracted, axis), rel=1e-13)


def test_straight_ahead_the_polarization_factor_is_one():
    beam = (0.0, 0.0, 1.0)
    value, slope = polarization_and_slope(polarization_form(0.7, beam, (1.0, 0.0, 0.0)), beam)
    assert value == 1.0 and slope == beam


@pytest.mark.parametrize("kahn", [0.0, 0.6])
def test_an_axis_along_the_beam_leaves_the_azimuth_out(kahn):
    from nanobragg_numba.kernels.formulas import polarization_factor

    beam, diffracted = (0.0, 0.0, 1.0), (0.6, 0.0, 0.8)
    form = polarization_form(kahn, beam, beam)
    assert polarization_and_slope(form, diffracted)[0] == pytest.approx(polarization_factor(kahn, beam, diffracted, beam), rel=1e-15)
    moment = (0.36, 0.0, 0.64, 0.0, 0.48, 0.0)
    by_kahn, by_incident, by_axis = polarization_form_adjoint(kahn, beam, beam, moment)
    assert by_kahn == pytest.approx(-0.5 * 0.36) and by_incident == pytest.approx(((1 + kahn) * 0.48, 0.0, (1 + kahn) * 0.64))
    assert by_axis == (0.0, 0.0, 0.0)
    moved = polarization_form_tangent(kahn, beam, beam, 1.0, (0.1, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert moved == pytest.approx((-1.0, -1.0, 0.0, 0.0, 0.1 * (1 + kahn), 0.0))
